"""Scenarios: workload x clients x network x GPU pool x SLA classes, everything an episode is.

A scenario is a YAML file under ``splitenv/scenarios/`` or a path of your own. It names profiles and
holds no measured figure itself. Those under ``splitenv/scenarios/heldout/`` show how policies do in
worlds that they were not made for: nothing is trained or tuned on them.
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

from splitenv.parts import (
    Clients,
    Dispatch,
    LoadStep,
    Network,
    Pool,
    Randomise,
    SlaClass,
    Workload,
)
from splitenv.profiles.figures import Frozen, ProfileError, describe_validation, read_profile

FOLDER = Path(__file__).resolve().parent / "scenarios"
HELD_OUT = "heldout"
"""Folder, and beginning of the names, of the scenarios that nothing is trained or tuned on."""


class ScenarioError(ProfileError):
    """A scenario that cannot be used; the message names file, field and reason."""


class Scenario(Frozen):
    """Everything that defines an episode.

    Attributes
    ----------
    load
        Mean arrival rate, requests/s.
    arrivals
        Name of an arrival profile: how those requests are spread in time; or the path of recorded
        times of arrival, that ends in ``.csv`` or ``.csv.gz``.
    load_steps
        Steps of the load in the course of an episode, by time.
    serving
        ``batch``: members are fixed at launch. ``continuous``: they join and leave between units.
    dispatch
        The dispatch discipline.
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
    load: Annotated[float, Field(ge=1e-6)]
    arrivals: str = "poisson"
    load_steps: tuple[LoadStep, ...] = ()
    serving: Literal["batch", "continuous"] = "batch"
    dispatch: Dispatch = Dispatch()
    control_delay_ms: Annotated[float, Field(ge=0)] = 5.0
    violation_price: Annotated[float, Field(gt=0, le=1e6)] = 10.0
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
        if self.serving == "continuous" and self.dispatch.discipline not in ("slack", "edf-drop"):
            raise ValueError(
                "serving: continuous takes the disciplines slack and edf-drop, "
                f"got {self.dispatch.discipline}"
            )
        if self.randomise.gpus and self.pool.beside:
            raise ValueError("randomise.gpus takes a pool of one type; pool.beside names more")
        times = [step.at_s for step in self.load_steps]
        if times != sorted(set(times)):
            raise ValueError(f"load_steps: at_s must ascend, got {times}")
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
    """Names of the scenarios that come with the package, without the held-out ones."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def held_out_names() -> list[str]:
    """Names of the held-out scenarios, each ``heldout/NAME``."""
    return sorted(f"{HELD_OUT}/{path.stem}" for path in (FOLDER / HELD_OUT).glob("*.yaml"))


def load_scenario(name: str | Scenario, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Load a scenario by name, or from a path that ends in ``.yaml``, and override fields.

    Raises
    ------
    ScenarioError
        If there is none of that name, or it cannot be used; one sentence.
    """
    if isinstance(name, Scenario):
        return name.with_overrides(overrides) if overrides else name
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name}.yaml"
        if not path.is_file():
            raise ScenarioError(f"unknown scenario {name!r}; {_hint(name)}")
    try:
        scenario = read_profile(path, Scenario)
    except ProfileError as error:
        raise ScenarioError(str(error)) from error
    return scenario.with_overrides(overrides) if overrides else scenario


def _hint(name: str) -> str:
    """Say which scenario may be meant, or which there are."""
    known, held_out = scenario_names(), held_out_names()
    if close := get_close_matches(name, [*known, *held_out], n=1):
        return f"did you mean {close[0]!r}?"
    return f"accepted: {', '.join(known)}; held out: {', '.join(held_out)}"


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
