"""Records as Parquet: what was kept of every request, under its name, and where it came from."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from splitenv.files import OutputError
from splitenv.records import to_parquet, write_parquet
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import NO_RESET, Simulator
from splitenv.tables import fleet, place

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
SEEDS = (7, 2**63 + 1)
CODES = {"device", "model", "sla", "placement", "outcome"}


def world() -> Scenario:
    """Two generations of devices, three models, and requests that are dropped either way."""
    generations = [{"faster": 1.0, "share": 0.5}, {"faster": 2.0, "share": 0.5}]
    return load_scenario(
        "mixed-tenants",
        {"decisions": 400, "queue": 9, "dispatch.late": "drop", "clients.generations": generations},
    )


@cache
def played() -> Simulator:
    """One episode under each of two seeds, decided at random."""
    simulator = Simulator(world(), len(SEEDS), record=True)
    simulator.seed(np.array(SEEDS, np.uint64))
    simulator.reset()
    random = np.random.default_rng(0)
    for _ in range(world().decisions):
        simulator.step(random.integers(simulator.actions, size=len(SEEDS)), NO_RESET)
    return simulator


@cache
def written() -> Any:
    content = to_parquet(played().record, world(), SEEDS, {"policy": "random:a=1"})
    return parquet.read_table(io.BytesIO(content))


def column(name: str) -> list[Any]:
    return written()[name].to_pylist()


def test_the_world_has_every_kind_of_life() -> None:
    record = played().record
    assert set(record["outcome"].ravel()) == {1, 2, 3}
    assert set(record["model"].ravel()) == {0, 1, 2}
    dropped = record["outcome"] == 3
    assert np.isnan(record["ready"][dropped]).any()
    assert np.isfinite(record["ready"][dropped]).any()
    assert (record["placement"] == 0).any()


def test_every_field_is_a_column_that_equals_the_array() -> None:
    rows = played().record.ravel()
    for name in set(rows.dtype.names) - CODES:
        kept = rows[name]
        never = ~np.isfinite(kept) if kept.dtype.kind == "f" else kept < 0
        read = written()[name]
        assert read.type == pa.from_numpy_dtype(kept.dtype), name
        assert read.is_null().to_numpy().tolist() == never.tolist(), name
        assert read.drop_null().to_pylist() == kept[~never].tolist(), name


def test_a_field_that_comes_later_becomes_a_column() -> None:
    record = played().record
    grown = np.zeros(record.shape, [*record.dtype.descr, ("joules", "f8"), ("paused", "?")])
    for name in record.dtype.names:
        grown[name] = record[name]
    grown["joules"], grown["paused"] = np.nan, True

    table = parquet.read_table(io.BytesIO(to_parquet(grown, world(), SEEDS)))

    assert table["joules"].null_count == grown.size
    assert set(table["paused"].to_pylist()) == {True}
    assert table.drop_columns(["joules", "paused"]).equals(written())


def test_rows_are_numbered_by_episode_seed_and_index() -> None:
    episodes, requests = played().record.shape
    assert column("episode") == np.repeat(range(episodes), requests).tolist()
    assert column("seed") == [seed for seed in SEEDS for _ in range(requests)]
    assert column("index") == list(range(requests)) * episodes


def test_codes_are_written_as_the_names_that_they_stand_for() -> None:
    scenario, rows = world(), played().record.ravel()
    devices = fleet(scenario)
    faster = {1.0: "", 2.0: ", 2x faster"}
    assert column("device") == [devices[d].name + faster[devices[d].faster] for d in rows["device"]]
    assert column("tier") == [devices[d].tier for d in rows["device"]]
    assert column("model") == [scenario.models[m].model for m in rows["model"]]
    assert column("sla") == [list(scenario.sla)[c] for c in rows["sla"]]
    assert column("outcome") == [("in time", "late", "dropped")[o - 1] for o in rows["outcome"]]
    assert column("gpu_type") == [None if gpu < 0 else "h100" for gpu in rows["gpu"]]
    for name in ("device", "tier", "model", "sla", "placement", "gpu_type", "outcome"):
        assert str(written()[name].type).startswith("dictionary<values=string"), name


def test_a_placement_is_the_span_of_units_that_the_cloud_runs() -> None:
    tables = played().tables
    units = [len(place(workload).chain.kinds) for workload in world().models]
    rows = zip(
        played().record.ravel(),
        column("placement"),
        column("split_ratio"),
        column("hold"),
        strict=True,
    )
    for row, placement, ratio, hold in rows:
        assert ratio == tables.ratio[row["model"], row["placement"]]
        assert hold == tables.action_hold[row["action"]]
        if row["placement"] == 0:
            assert (placement, ratio) == ("all-device", 0.0)
            continue
        first, end = map(int, re.fullmatch(r"\[(\d+), (\d+)\)", placement).groups())
        assert 0 <= first < end <= units[row["model"]]
        assert ((first, end) == (0, units[row["model"]])) == (ratio == 1.0)


def test_gpu_seconds_sum_to_what_the_metrics_attribute() -> None:
    attributed = played().finished["attributed_seconds"].sum()
    assert sum(column("gpu_seconds")) == pytest.approx(attributed, rel=1e-12)
    assert sum(column("cost")) == pytest.approx(played().finished["total_cost"].sum(), rel=1e-12)
    assert written().num_rows == played().finished["total_requests"].sum()


def test_the_file_says_where_it_came_from() -> None:
    about = json.loads(written().schema.metadata[b"splitenv"])
    assert Scenario.model_validate(about["scenario"]) == world()
    assert about["scenario_digest"] == world().digest()
    assert about["seeds"] == list(SEEDS)
    assert about["policy"] == "random:a=1"
    assert about["provenance"]["libraries"]["pyarrow"]
    assert "revision" in (about["provenance"]["git"] or {"revision": None})


def test_nothing_is_recorded_unless_asked_for() -> None:
    assert Simulator(world(), 64).record.nbytes == 0


def test_without_pyarrow_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r"pip install splitenv\[records\]$"):
        write_parquet(tmp_path / "out.parquet", played().record, world(), SEEDS)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_an_older_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.parquet"
    path.write_text("older")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_parquet(path, played().record, world(), SEEDS)
    assert [file.name for file in tmp_path.iterdir()] == ["out.parquet"]
    assert path.read_text() == "older"


def test_the_documentation_lists_the_columns_in_their_order() -> None:
    section = FORMATS.read_text().split("# Records of requests")[1].split("\n# ")[0]
    listed = [
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert listed == written().column_names


def test_the_example_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "out.parquet", played().record, world(), SEEDS, {"policy": "random"})
    monkeypatch.chdir(tmp_path)
    section = FORMATS.read_text().split("# Records of requests")[1]
    example = next(
        block
        for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        if "pandas" not in block  # which is no dependency
    )
    found: dict[str, Any] = {}
    exec(example, found)
    assert found["about"]["policy"] == "random"
