"""The bundle: a folder with an exported policy and all that the runtime needs to run it safely.

Format version 2::

    manifest.json   what it is, what it fits, the envelope of a learned policy's training, and the
                    hash of every other file
    tables.npz      the scenario's public tables, one array for each field of ``Tables``
    goldens.npz     observations, masks and the actions (and logits) that the policy gave on them
    policy.onnx     the graph of a learned policy

Nothing is unpickled. A folder that holds anything else, or less, is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from splitenv import features
from splitenv.actions import HOLD_LEVELS, action_table
from splitenv.context import Context
from splitenv.runtime.envelope import Envelope
from splitenv.runtime.manifest import FORMAT, FileEntry, Manifest, Rule
from splitenv.runtime.policies import BundleError, Decider, GraphPolicy, load_rule
from splitenv.state import Array, Tables

MANIFEST, TABLES, GOLDENS, POLICY = "manifest.json", "tables.npz", "goldens.npz", "policy.onnx"
LOGIT_TOLERANCE = 1e-5
_SCALARS = [name for name, kind in get_type_hints(Tables).items() if kind in (int, float)]


@dataclass(frozen=True)
class Goldens:
    """Inputs and the outputs that the policy gave on them when it was exported.

    Attributes
    ----------
    observations, masks, actions
        Shapes (N, F), (N, A) and (N,).
    logits
        Masked logits of a learned policy, shape (N, A).
    """

    observations: npt.NDArray[np.float32]
    masks: npt.NDArray[np.bool_]
    actions: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Bundle:
    """What is in a bundle folder; ``graph`` is the ONNX model of a learned policy."""

    manifest: Manifest
    tables: Tables
    goldens: Goldens
    graph: bytes | None = None
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        """Derive the context from the tables."""
        object.__setattr__(self, "context", Context(self.tables))

    def policy(self, target: float | None = None) -> Decider:
        """Make the policy that the bundle is about.

        Parameters
        ----------
        target
            Attainment to stand at, of a policy with a knob; its own setting if not given.

        Raises
        ------
        BundleError
            If it has no knob, or was not measured at that target or does not reach it.
        """
        if target is not None:
            return GraphPolicy(self.graph or b"", self._knob_at(target))
        if self.graph is not None:
            knob = self.manifest.graph.knob if self.manifest.graph else None
            return GraphPolicy(self.graph, knob.value if knob else None)
        rule = self.manifest.rule or self.manifest.fallback
        return self._rule(rule)

    def _knob_at(self, target: float) -> float:
        knob = self.manifest.graph.knob if self.manifest.graph else None
        if knob is None:
            raise BundleError(f"target {target:g}: {self.manifest.name} has no knob to set")
        reached = {float(name): at for name, at in knob.targets.items() if at is not None}
        if target not in reached:
            names = ", ".join(f"{each:g}" for each in sorted(reached)) or "none"
            raise BundleError(f"target {target:g} is none that it was measured to meet: {names}")
        return reached[target]

    def fallback(self) -> Decider:
        """Make the rule that decides when the policy is not to be trusted."""
        return self._rule(self.manifest.fallback)

    def envelope(self) -> Envelope | None:
        """What the policy was trained on; None for a rule, which was not."""
        entry = self.manifest.envelope
        return Envelope(entry, self.context) if entry else None

    def _rule(self, rule: Rule) -> Decider:
        made: Decider = load_rule(rule.name, rule.parameters, self.context)
        return made


def read_bundle(folder: Path | str) -> Bundle:
    """Read a bundle and see that it is whole, of this format, fits this version and decides alike.

    Raises
    ------
    BundleError
        If it does not; one sentence that says what is wrong.
    """
    folder = Path(folder)
    try:
        return _read(folder)
    except BundleError as error:
        raise BundleError(f"bundle {folder}: {error}") from error.__cause__
    except OSError as error:
        raise BundleError(f"bundle {folder}: cannot be read: {error.strerror or error}") from error


def write_bundle(folder: Path | str, bundle: Bundle) -> Manifest:
    """Write a bundle whole or not at all; a bundle that stands there already is replaced.

    Returns
    -------
    Manifest
        As written, with the files' hashes.

    Raises
    ------
    BundleError
        If ``folder`` exists and is no bundle, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise BundleError(f"bundle {folder}: exists and is no bundle, so it is not replaced")
    contents = {TABLES: _pack(bundle.tables._asdict()), GOLDENS: _pack(_arrays(bundle.goldens))}
    if bundle.graph is not None:
        contents[POLICY] = bundle.graph
    sealed = bundle.manifest.sealed({name: _entry(data) for name, data in contents.items()})
    text = json.dumps(sealed.model_dump(mode="json"), indent=2) + "\n"
    contents[MANIFEST] = text.encode()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
            new = Path(place) / "new"
            new.mkdir()
            for name, data in contents.items():
                _write_file(new / name, data)
            _swap(new, folder, Path(place) / "old")
    except OSError as error:
        raise BundleError(
            f"bundle {folder}: cannot be written: {error.strerror or error}"
        ) from error
    return sealed


def check(bundle: Bundle) -> None:
    """See that a bundle fits this version, and that its policy gives what its goldens say.

    Raises
    ------
    BundleError
        If not.
    """
    _check_fit(bundle)
    _check_goldens(bundle)


def _read(folder: Path) -> Bundle:
    if not folder.is_dir():
        raise BundleError("there is no such folder")
    manifest = _read_manifest(folder / MANIFEST)
    _check_names(folder, manifest)
    contents = {name: _read_file(folder / name, entry) for name, entry in manifest.files.items()}
    bundle = Bundle(
        manifest=manifest,
        tables=_read_tables(contents[TABLES]),
        goldens=_read_goldens(contents[GOLDENS]),
        graph=contents.get(POLICY),
    )
    check(bundle)
    return bundle


def _read_manifest(path: Path) -> Manifest:
    if not path.is_file():
        raise BundleError(f"{MANIFEST} is missing")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise BundleError(f"{MANIFEST} is corrupt: it is not JSON") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise BundleError(f"is of format version {version!r}; this version reads {FORMAT}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{MANIFEST}: {where or 'content'}: {first['msg']}") from error
    if manifest.digest != manifest.content_digest():
        raise BundleError(f"{MANIFEST} is corrupt: its content is not what its digest says")
    return manifest


def _check_names(folder: Path, manifest: Manifest) -> None:
    expected = {TABLES, GOLDENS} | ({POLICY} if manifest.kind == "learned" else set())
    if listed := expected ^ set(manifest.files):
        raise BundleError(
            f"{MANIFEST} lists {sorted(manifest.files)}, and {sorted(listed)[0]} is "
            f"{'not one of its files' if listed - expected else 'not among them'}"
        )
    present = {path.name for path in folder.iterdir()}
    if missing := expected - present:
        raise BundleError(f"{sorted(missing)[0]} is missing")
    if extra := present - expected - {MANIFEST}:
        raise BundleError(f"holds {sorted(extra)[0]!r}, which its manifest does not list")


def _read_file(path: Path, entry: FileEntry) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{path.name} is no plain file")
    size = path.stat().st_size
    if size != entry.bytes:
        problem = "truncated" if size < entry.bytes else "corrupt"
        raise BundleError(f"{path.name} is {problem}: {size} bytes, expected {entry.bytes}")
    data = path.read_bytes()
    if _entry(data) != entry:
        raise BundleError(f"{path.name} is corrupt: its SHA-256 is not what the manifest says")
    return data


def _read_tables(data: bytes) -> Tables:
    arrays = _unpack(TABLES, data, set(Tables._fields))
    scalars = {name: arrays[name].item() for name in _SCALARS if arrays[name].ndim == 0}
    if len(scalars) != len(_SCALARS):
        raise BundleError(f"{TABLES} holds arrays where single numbers are expected")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BundleError(f"{TABLES} holds a number that is not finite")
    return Tables(**{**arrays, **scalars})


def _read_goldens(data: bytes) -> Goldens:
    arrays = _unpack(GOLDENS, data, {"observations", "masks", "actions"}, {"logits"})
    return Goldens(**arrays)


def _unpack(
    name: str, data: bytes, required: set[str], optional: set[str] | None = None
) -> dict[str, Array]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, KeyError, EOFError, BadZipFile) as error:
        raise BundleError(f"{name} is corrupt: it is no archive of arrays") from error
    if wrong := (set(arrays) - (optional or set())) ^ required:
        raise BundleError(f"{name}: {sorted(wrong)[0]!r} is missing or not expected")
    return arrays


def _check_fit(bundle: Bundle) -> None:
    manifest, tables = bundle.manifest, bundle.tables
    placements = tables.enter.shape[1]
    if manifest.observation.version != features.VERSION:
        raise BundleError(
            f"observes by schema version {manifest.observation.version}; "
            f"this version observes by {features.VERSION}"
        )
    if manifest.observation.features != features.describe(placements):
        raise BundleError("its observation schema is not that of this version")
    placement, hold = action_table(placements)
    actions = manifest.actions
    same = (
        tuple(actions.hold_levels) == HOLD_LEVELS
        and actions.placement == placement.tolist() == tables.action_placement.tolist()
        and actions.hold == hold.tolist() == tables.action_hold.tolist()
    )
    if not same:
        raise BundleError("its action table is not that of this version and its own tables")
    devices, models, _ = tables.head.shape
    names = manifest.names
    sizes = (len(names.devices), len(names.models), len(names.sla), len(manifest.guard.low))
    needed = (devices, models, len(tables.deadline), len(manifest.observation.features))
    counts = [len(model.placements) for model in names.models]
    if sizes != needed or counts != tables.placements.tolist():
        raise BundleError("its names or bounds are more or fewer than its tables have")
    for kind in manifest.envelope.kinds if manifest.envelope else ():
        inside = kind.model < models and kind.sla < len(tables.deadline)
        if not inside or len(kind.low) != needed[3]:
            raise BundleError("its envelope is of other models, SLA classes or features")
    if manifest.gpus > len(tables.pool):
        raise BundleError(f"runs {manifest.gpus} GPUs, and its tables have {len(tables.pool)}")


def _check_goldens(bundle: Bundle) -> None:
    goldens = bundle.goldens
    rows = len(goldens.observations)
    shapes = (goldens.observations.shape, goldens.masks.shape, goldens.actions.shape)
    widths = len(bundle.manifest.observation.features), len(bundle.manifest.actions.hold)
    if rows == 0 or shapes != ((rows, widths[0]), (rows, widths[1]), (rows,)):
        raise BundleError(f"{GOLDENS} holds shapes {shapes}, not rows of {widths}")
    policy = bundle.policy()
    try:
        actions = policy.act(goldens.observations, goldens.masks)
    except Exception as error:
        raise BundleError(f"its policy fails on its goldens: {error}") from error
    wrong = int((actions != goldens.actions).sum())
    if isinstance(policy, GraphPolicy):
        logits = policy.logits(goldens.observations, goldens.masks)
        if goldens.logits is None or goldens.logits.shape != logits.shape:
            raise BundleError(f"{GOLDENS} holds no logits of the graph's shape")
        if not np.allclose(logits, goldens.logits, rtol=LOGIT_TOLERANCE, atol=LOGIT_TOLERANCE):
            raise BundleError("its graph gives other logits than its goldens say")
        wrong -= int((_near_ties(goldens.logits) & (actions != goldens.actions)).sum())
    if wrong:
        raise BundleError(f"its policy gives another action on {wrong} of its {rows} goldens")


def _near_ties(logits: Array) -> npt.NDArray[np.bool_]:
    """Rows whose two best logits are too close to tell apart between machines."""
    best = np.sort(logits, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0] < LOGIT_TOLERANCE)


def _arrays(goldens: Goldens) -> dict[str, Any]:
    return {name: value for name, value in vars(goldens).items() if value is not None}


def _pack(arrays: dict[str, Any]) -> bytes:
    if objects := [name for name, value in arrays.items() if np.asarray(value).dtype.hasobject]:
        raise BundleError(f"{objects[0]} is no array of numbers")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _entry(data: bytes) -> FileEntry:
    return FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(new: Path, folder: Path, old: Path) -> None:
    """Put ``new`` in the place of ``folder``; what stood there stands again if that fails."""
    if not folder.exists():
        new.rename(folder)
        return
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
