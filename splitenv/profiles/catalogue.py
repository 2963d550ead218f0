"""Find, load and check the profiles that come with the package, or a file of the user's own."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from splitenv.profiles.arrivals import ArrivalProfile
from splitenv.profiles.compute import DeviceProfile, GpuProfile
from splitenv.profiles.figures import (
    Curve,
    ProfileError,
    Source,
    _Traced,
    describe_validation,
    read_profile,
)
from splitenv.profiles.mixes import DeviceMix
from splitenv.profiles.models import ModelProfile
from splitenv.profiles.networks import NetworkProfile

Profile = ModelProfile | DeviceProfile | GpuProfile | NetworkProfile | ArrivalProfile | DeviceMix
AnyProfile = TypeVar("AnyProfile", bound=BaseModel)

CLASSES: dict[str, type[BaseModel]] = {
    "models": ModelProfile,
    "devices": DeviceProfile,
    "gpus": GpuProfile,
    "networks": NetworkProfile,
    "arrivals": ArrivalProfile,
    "mixes": DeviceMix,
}
FIGURE_KINDS = ("measured", "derived", "assumed")


class _Catalogue:
    """The lookup through which derived entries find the profiles that they name."""

    def model(self, name: str) -> ModelProfile:
        return load_model(name)

    def gpu(self, name: str) -> GpuProfile:
        return load_gpu(name)


def profiles_root() -> Path:
    """Directory of the profile files: inside an installed package, else in the checkout.

    Raises
    ------
    ProfileError
        If neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for root in (package / "_profiles", package.parent / "profiles"):
        if root.is_dir():
            return root
    raise ProfileError(
        f"no profiles found: neither {package}/_profiles nor {package.parent}/profiles"
    )


def names(kind: str) -> list[str]:
    """Names of all profiles of a kind: a folder of the profiles directory, such as ``gpus``."""
    if kind not in CLASSES:
        raise ProfileError(f"unknown kind of profile {kind!r}; accepted: {', '.join(CLASSES)}")
    return sorted(path.stem for path in (profiles_root() / kind).glob("*.yaml"))


def load_model(name: str) -> ModelProfile:
    """Load a model by name, or from a path that ends in ``.yaml``."""
    return _load("models", name, ModelProfile)


def load_device(name: str) -> DeviceProfile:
    """Load a device by name, or from a path that ends in ``.yaml``."""
    return _load("devices", name, DeviceProfile).using(_Catalogue())


def load_gpu(name: str) -> GpuProfile:
    """Load a GPU by name, or from a path that ends in ``.yaml``."""
    return _load("gpus", name, GpuProfile).using(_Catalogue())


def load_network(name: str) -> NetworkProfile:
    """Load a network by name, or from a path that ends in ``.yaml``."""
    return _load("networks", name, NetworkProfile)


def load_arrival(name: str) -> ArrivalProfile:
    """Load an arrival process by name, or from a path that ends in ``.yaml``."""
    return _load("arrivals", name, ArrivalProfile)


def load_mix(name: str) -> DeviceMix:
    """Load a device mix by name, or from a path that ends in ``.yaml``."""
    return _load("mixes", name, DeviceMix)


LOADERS: dict[str, Callable[[str], Profile]] = {
    "models": load_model,
    "devices": load_device,
    "gpus": load_gpu,
    "networks": load_network,
    "arrivals": load_arrival,
    "mixes": load_mix,
}


def find(name: str) -> tuple[str, Profile]:
    """Load a profile of any kind by its name.

    Returns
    -------
    kind, profile
        The folder that it stands in, and the profile.

    Raises
    ------
    ProfileError
        If no kind, or more than one, has that name.
    """
    if name.endswith(".yaml"):
        kind = Path(name).resolve().parent.name
        if kind not in LOADERS:
            raise ProfileError(
                f"{name}: its folder must say what it is: {', '.join(LOADERS)}; got {kind!r}"
            )
        return kind, LOADERS[kind](name)
    kinds = [kind for kind in CLASSES if name in names(kind)]
    if not kinds:
        raise _unknown("profile", name, [known for kind in CLASSES for known in names(kind)])
    if len(kinds) > 1:
        raise ProfileError(f"profile {name!r} is ambiguous: it is in {' and '.join(kinds)}")
    return kinds[0], LOADERS[kinds[0]](name)


def sources() -> dict[str, Source]:
    """All sources by id, from every ``SOURCES*.yaml``.

    Raises
    ------
    ProfileError
        If a file is malformed, or an id stands in two of them or twice in one.
    """
    return _read_sources(profiles_root())


@cache
def _read_sources(root: Path) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for path in sorted(root.glob("SOURCES*.yaml"), key=lambda file: file.stem):
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
            entries = TypeAdapter(dict[str, Source]).validate_python(data)
        except ValidationError as error:
            raise ProfileError(describe_validation(str(path), error)) from error
        except (OSError, yaml.YAMLError) as error:
            raise ProfileError(f"{path}: {' '.join(str(error).split())}") from error
        if doubled := sorted(set(found) & set(entries)):
            raise ProfileError(f"{path}: source {doubled[0]!r} already stands in another file")
        found.update(entries)
    return found


def figures(profile: Any, at: str = "") -> Iterator[tuple[str, _Traced]]:
    """Every figure, curve and basis of a profile, each with the path of its field."""
    if isinstance(profile, _Traced):
        yield at, profile
    if isinstance(profile, BaseModel):
        for key in type(profile).model_fields:
            yield from figures(getattr(profile, key), f"{at}.{key}" if at else key)
    elif isinstance(profile, dict):
        for key, value in profile.items():
            yield from figures(value, f"{at}.{key}")
    elif isinstance(profile, tuple | list):
        for index, value in enumerate(profile):
            yield from figures(value, f"{at}.{index}")


def count_figures(profile: BaseModel) -> dict[str, int]:
    """Count measured, derived and assumed figures; a curve counts once per batch size."""
    counts = Counter[str]()
    for _, figure in figures(profile):
        counts[figure.kind] += len(figure.batch) if isinstance(figure, Curve) else 1
    return {kind: counts[kind] for kind in FIGURE_KINDS}


@dataclass
class Report:
    """What :func:`check` found."""

    faults: list[str] = field(default_factory=list)
    profiles: dict[str, int] = field(default_factory=dict)
    figures: dict[str, dict[str, int]] = field(default_factory=dict)


def check() -> Report:
    """Validate every profile file, and count files and figures by kind of profile.

    A fault is one sentence: a file that does not load, a name that is not the file's, a source
    that does not exist, a source that nobody uses, an entry that does not resolve to times.
    """
    report, loaded, used = Report(), list[tuple[Path, Profile]](), set[str]()
    try:
        known = sources()
    except ProfileError as error:
        report.faults.append(str(error))
        return report
    for kind in CLASSES:
        counts = Counter[str](dict.fromkeys(FIGURE_KINDS, 0))
        report.profiles[kind] = len(names(kind))
        for name in names(kind):
            try:
                profile = LOADERS[kind](name)
            except ProfileError as error:
                report.faults.append(str(error))
                continue
            loaded.append((profiles_root() / kind / f"{name}.yaml", profile))
            counts.update(count_figures(profile))
        report.figures[kind] = dict(counts)
    for path, profile in loaded:
        report.faults += [f"{path}: {fault}" for fault in _missing_sources(profile, known, used)]
        if isinstance(profile, DeviceProfile | GpuProfile):
            unresolved = [fault for fault in _unresolved(profile) if fault not in report.faults]
            report.faults += [f"{path}: {fault}" for fault in unresolved]
    for source in sorted(set(known) - used):
        report.faults.append(f"{profiles_root()}: source {source!r} is used by no profile")
    return report


def _missing_sources(profile: Profile, known: dict[str, Source], used: set[str]) -> Iterator[str]:
    for at, figure in figures(profile):
        used.update(figure.source)
        for source in figure.source:
            if source not in known:
                yield f"{at}: source {source!r} is in no SOURCES file"


def _unresolved(profile: DeviceProfile | GpuProfile) -> Iterator[str]:
    """Entries that give no times for the model that they name."""
    for model in profile.models:
        try:
            chain_of = load_model(model)
            for steps in chain_of.steps or (None,):
                profile.unit_times(chain_of.chain(steps))
        except ProfileError as error:
            yield str(error)
        except RecursionError:
            yield f"models.{model}: like leads back to itself"


def _load(kind: str, name: str, schema: type[AnyProfile]) -> AnyProfile:
    if name.endswith(".yaml"):
        path = Path(name)
    elif name in names(kind):
        path = profiles_root() / kind / f"{name}.yaml"
    else:
        raise _unknown(kind.removesuffix("s").replace("mixe", "mix"), name, names(kind))
    profile = _read(path.resolve(), schema)
    assert isinstance(profile, schema)
    return profile


@cache
def _read(path: Path, schema: type[BaseModel]) -> BaseModel:
    profile = read_profile(path, schema)
    name = getattr(profile, "name", path.stem)
    if name != path.stem:
        raise ProfileError(f"{path}: name: must be the file's, {path.stem!r}, got {name!r}")
    return profile


def _unknown(what: str, name: str, accepted: list[str]) -> ProfileError:
    close = difflib.get_close_matches(name, accepted, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(accepted)}"
    return ProfileError(f"unknown {what} {name!r}; {hint}")


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, count in Counter(keys).items():
            if count > 1:
                raise yaml.YAMLError(f"source {key!r} stands twice")
        return super().construct_mapping(node, deep)
