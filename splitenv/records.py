"""Records of played episodes as Parquet: a row a request, a column a field.

Columns follow from the dtype of the records, so that a new field is a new column without a line
here; only fields that hold codes are named, to put what the codes stand for in their place.
``docs/formats.md`` says what each column means.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv.files import OutputError, write_bytes
from splitenv.names import names_of
from splitenv.provenance import provenance, to_json
from splitenv.scenario import Scenario
from splitenv.tables import build_tables, profile_digest
from splitenv.timeline import OUTCOMES

__all__ = ["require_pyarrow", "to_parquet", "write_parquet"]

Array = npt.NDArray[Any]
Columns = dict[str, Any]

METADATA = "splitenv"
"""Key of the file's metadata under which its JSON stands."""


def require_pyarrow() -> None:
    """Raise :class:`OutputError` unless pyarrow, which is optional, is installed."""
    if find_spec("pyarrow") is None:
        raise OutputError("records need pyarrow: pip install splitenv[records]")


def write_parquet(
    path: Path,
    record: Array,
    scenario: Scenario,
    seeds: Sequence[int],
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write records to a file, atomically, see :func:`to_parquet`.

    Raises
    ------
    OutputError
        If that fails, or pyarrow is missing; an older file is left as it was.
    """
    write_bytes(path, to_parquet(record, scenario, seeds, about))


def to_parquet(
    record: Array,
    scenario: Scenario,
    seeds: Sequence[int],
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """Render records as a Parquet file.

    Parameters
    ----------
    record
        Structured array, shape (episodes, requests), such as ``Simulator.record`` once every
        episode has ended.
    scenario
        What was played: gives codes their names.
    seeds
        One for each episode.
    about
        What else the file's metadata say, such as the policy; must go into JSON. Scenario, digests,
        seeds and provenance are there anyhow.

    Raises
    ------
    OutputError
        If pyarrow is missing.
    """
    require_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    metadata = {
        "scenario": scenario.model_dump(mode="json"),
        "scenario_digest": scenario.digest(),
        "profile_digest": profile_digest(scenario),
        "seeds": list(seeds),
        **(about or {}),
        "provenance": provenance(),
    }
    table = pa.table(_columns(record, scenario, seeds))
    content = io.BytesIO()
    parquet.write_table(
        table.replace_schema_metadata({METADATA: to_json(metadata)}), content, compression="zstd"
    )
    return content.getvalue()


def _columns(record: Array, scenario: Scenario, seeds: Sequence[int]) -> Columns:
    episodes, requests = record.shape
    rows = record.reshape(-1)
    columns: Columns = {
        "episode": np.repeat(np.arange(episodes), requests),
        "seed": np.repeat(np.array(seeds, np.uint64), requests),
        "index": np.tile(np.arange(requests), episodes),
    }
    decoded = _decoded(rows, scenario)
    for field in record.dtype.names or ():
        columns |= decoded.get(field) or {field: _numbers(rows[field])}
    return columns


def _decoded(rows: Array, scenario: Scenario) -> dict[str, Columns]:
    """What takes the place of each field that holds a code."""
    names, tables = names_of(scenario), build_tables(scenario)
    device, model, placement, gpu = (rows[f] for f in ("device", "model", "placement", "gpu"))
    first = np.cumsum([0, *map(len, names.placements)])
    spans = [span for spans in names.placements for span in spans]
    return {
        "device": {
            "device": _strings(names.devices, device),
            "tier": _strings(names.tiers, device),
        },
        "model": {"model": _strings(names.models, model)},
        "sla": {"sla": _strings(names.classes, rows["sla"])},
        "placement": {
            "placement": _strings(spans, first[model] + placement),
            "split_ratio": tables.ratio[model, placement],
        },
        "action": {"action": rows["action"], "hold": tables.action_hold[rows["action"]]},
        "gpu": {
            "gpu": _numbers(gpu),
            "gpu_type": _strings(names.gpu_types, np.where(gpu < 0, -1, tables.pool[gpu])),
        },
        "outcome": {"outcome": _strings(OUTCOMES, rows["outcome"])},
    }


def _numbers(values: Array) -> Any:
    """A column in which what never happened (NaN or infinite, a number below 0) is null."""
    import pyarrow as pa

    never = ~np.isfinite(values) if values.dtype.kind == "f" else values < 0
    return pa.array(values, mask=never)


def _strings(names: Sequence[str], codes: Array) -> Any:
    """A dictionary-encoded column of the names that codes stand for; null below 0."""
    import pyarrow as pa

    return pa.array(names, pa.string()).take(_numbers(codes)).dictionary_encode()
