"""Scenarios: workload x clients x network x GPU pool x SLA classes, everything an episode is.

A scenario is a YAML file under ``splitenv/scenarios/`` or a path of your own. It names profiles and
holds no measured figure itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from splitenv.profiles.figures import Frozen, ProfileError, describe_validation, read_profile

FOLDER = Path(__file__).resolve().parent / "scenarios"

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[Positive, Positive]

MOST_PLACEMENTS = 32


class ScenarioError(ProfileError):
    """A scenario that cannot be used; the message names file, field and reason."""


class SlaClass(Frozen):
    """A promise to a class of requests.

    Attributes
    ----------
    deadline_s
        Relative deadline, s.
    target
        Attainment that is promised.
    price
        Factor on the scenario's violation price.
    """

    deadline_s: Positive
    target: Annotated[float, Field(gt=0, lt=1)] = 0.99
    price: Positive = 1.0


class Workload(Frozen):
    """One model that clients ask for.

    Attributes
    ----------
    model
        Name of a model profile, or a path to one.
    steps
        Denoising steps, for models that have them.
    cut_every
        Cut after every so many units (denoising steps, residual blocks).
    wire
        Number format of tensors that cross.
    share
        Share of all requests.
    sla
        Share of this model's requests in each SLA class; sums to 1.
    """

    model: str
    steps: Annotated[int, Field(gt=0)] | None = None
    cut_every: Annotated[int, Field(gt=0)] = 1
    wire: Literal["fp32", "fp16", "int8"] = "fp16"
    share: Share = 1.0
    sla: dict[str, Share]


class Generation(Frozen):
    """A share of the fleet whose devices are so many times faster than the measured ones."""

    faster: Positive
    share: Share


class Clients(Frozen):
    """Who asks.

    Attributes
    ----------
    count
        Clients in the fleet; each has one device and one network session an episode.
    mix
        Name of a device-mix profile.
    generations
        How much faster than measured, for fleets of the future.
    jitter
        Realised device time lies within 1 +- jitter of the profile (assumed).
    """

    count: Annotated[int, Field(ge=1, le=65536)] = 128
    mix: str
    generations: tuple[Generation, ...] = (Generation(faster=1.0, share=1.0),)
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.15


class Network(Frozen):
    """How clients reach the cloud.

    Attributes
    ----------
    shares
        Share of clients on each network profile.
    report_lag_s
        Age of the rate that a client reports, s (assumed).
    report_error
        Standard deviation of the log of reported over true rate (assumed).
    """

    shares: dict[str, Share]
    report_lag_s: Annotated[float, Field(ge=0)] = 1.0
    report_error: Annotated[float, Field(ge=0, le=2)] = 0.1


class Pool(Frozen):
    """GPUs of one type.

    Attributes
    ----------
    gpu
        Name of a GPU profile.
    count
        How many, 1 to 8.
    batch_limit
        Largest batch, where the measured curve would allow more.
    """

    gpu: str
    count: Annotated[int, Field(ge=1, le=8)]
    batch_limit: Annotated[int, Field(ge=1)] | None = None


class Randomise(Frozen):
    """What training redraws at each reset, so that a policy meets more than one world.

    Attributes
    ----------
    load, bandwidth, device_time
        Lowest and highest factor on the scenario's own, log-uniform.
    gpus
        Fewest and most GPUs, uniform; the pool's count if not given.
    """

    load: Range = (0.25, 1.2)
    bandwidth: Range = (0.5, 2.0)
    device_time: Range = (0.7, 1.4)
    gpus: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("load", "bandwidth", "device_time", "gpus"):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name} must go from low to high, got {list(limits)}")
        return self


class Scenario(Frozen):
    """Everything that defines an episode.

    Attributes
    ----------
    load
        Mean arrival rate, requests/s.
    arrivals
        Name of an arrival profile: how those requests are spread in time.
    late
        What becomes of a ready request that can no longer meet its deadline.
    violation_price
        Cost of a violation, in all-cloud requests alone.
    decisions
        Length of an episode.
    queue
        Requests that may be on their way to a GPU at once; more are dropped, and counted.
    """

    name: str
    title: str
    note: str = ""
    models: Annotated[tuple[Workload, ...], Field(min_length=1, max_length=8)]
    sla: Annotated[dict[str, SlaClass], Field(min_length=1)]
    clients: Clients
    network: Network
    pool: Pool
    load: Positive
    arrivals: str = "poisson"
    control_delay_ms: Annotated[float, Field(ge=0)] = 5.0
    late: Literal["serve", "drop"] = "serve"
    violation_price: Positive = 10.0
    decisions: Annotated[int, Field(ge=1)] = 2048
    queue: Annotated[int, Field(ge=1, le=65536)] = 500
    randomise: Randomise = Randomise()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _sums_to_one("models.share", [workload.share for workload in self.models])
        _sums_to_one("network.shares", list(self.network.shares.values()))
        _sums_to_one("clients.generations", [g.share for g in self.clients.generations])
        for workload in self.models:
            if unknown := set(workload.sla) - set(self.sla):
                raise ValueError(
                    f"models: {workload.model} uses SLA class {sorted(unknown)[0]!r}; "
                    f"the classes are {sorted(self.sla)}"
                )
            _sums_to_one(f"models: {workload.model}.sla", list(workload.sla.values()))
        if self.decisions <= 2 * self.warmup:
            raise ValueError(
                f"decisions must be above {2 * self.warmup}, twice the warm-up of five longest "
                f"deadlines at this load, got {self.decisions}"
            )
        return self

    @property
    def warmup(self) -> int:
        """Requests at each end of an episode that metrics leave out: W of the design."""
        longest = max(sla.deadline_s for sla in self.sla.values())
        return max(64, round(5 * longest * self.load))

    def with_overrides(self, overrides: Mapping[str, Any]) -> Scenario:
        """Return a copy with fields replaced, by dotted name, such as ``{"pool.count": 4}``.

        Raises
        ------
        ScenarioError
            If a name is not a field, or the outcome is not a valid scenario.
        """
        data = self.model_dump(mode="json")
        for dotted, value in overrides.items():
            _set(data, dotted, value)
        try:
            return Scenario.model_validate(data)
        except ValidationError as error:
            raise ScenarioError(describe_validation(f"scenario {self.name}", error)) from error

    def digest(self) -> str:
        """SHA-256 of the scenario's content."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the package, held-out ones as ``heldout/NAME``."""
    paths = sorted(FOLDER.rglob("*.yaml"))
    return [str(path.relative_to(FOLDER).with_suffix("")).replace("\\", "/") for path in paths]


def load_scenario(name: str | Scenario, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Load a scenario by name, or from a path that ends in ``.yaml``, and override fields.

    Raises
    ------
    ScenarioError
        If there is none of that name, or it cannot be used; one sentence.
    """
    if isinstance(name, Scenario):
        return name.with_overrides(overrides) if overrides else name
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if path.parent == FOLDER and not path.is_file():
        known = scenario_names()
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"accepted: {', '.join(known)}"
        raise ScenarioError(f"unknown scenario {name!r}; {hint}")
    try:
        scenario = read_profile(path, Scenario)
    except ProfileError as error:
        raise ScenarioError(str(error)) from error
    return scenario.with_overrides(overrides) if overrides else scenario


def parse_overrides(settings: list[str]) -> dict[str, Any]:
    """Parse ``load=1.4`` style settings of the command line; values are YAML."""
    overrides = {}
    for setting in settings:
        dotted, separator, value = setting.partition("=")
        if not separator or not dotted:
            raise ScenarioError(f"--set {setting!r}: expected FIELD=VALUE, such as load=1.4")
        try:
            overrides[dotted] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ScenarioError(f"--set {setting!r}: the value is not valid YAML") from error
    return overrides


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    node: Any = data
    for part in parents:
        node = _child(node, part, dotted)
    _child(node, last, dotted)
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value


def _child(node: Any, part: str, dotted: str) -> Any:
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, dict) and part in node:
        return node[part]
    accepted = ", ".join(node) if isinstance(node, dict) else "an index of the list"
    raise ScenarioError(f"--set {dotted}: there is no field {part!r}; accepted: {accepted}")


def _sums_to_one(field: str, shares: list[float]) -> None:
    if abs(sum(shares) - 1.0) > 1e-6:
        raise ValueError(f"{field}: shares must sum to 1, got {sum(shares):g}")
