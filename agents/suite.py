"""Suites: which policies are judged on which scenarios under which loads. Data, not code.

A suite is a YAML file under ``agents/suites/``, or a path of your own.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from agents.capacity import capacity
from agents.registry import PolicyError, make_policy, reference_and_settings
from splitenv.profiles.figures import Frozen, ProfileError, read_profile
from splitenv.scenario import Scenario, load_scenario

FOLDER = Path(__file__).resolve().parent / "suites"
TUNED = Path(__file__).resolve().parent / "tuned"

Positive = Annotated[float, Field(gt=0)]
Target = Annotated[float, Field(gt=0, lt=1)]


class SuiteError(PolicyError):
    """A suite that cannot be used; the message says why in one sentence."""


class Load(Frozen):
    """One load that every scenario is put under.

    Attributes
    ----------
    nominal
        Multiple of the scenario's own load; or
    capacity
        multiple of what its pool can serve, see :func:`agents.capacity.capacity`.
    points
        Settings of its aggressiveness that each policy is swept over; with 1, its own only.
    """

    nominal: Positive | None = None
    capacity: Positive | None = None
    points: Annotated[int, Field(ge=1, le=65)] = 1

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.nominal is None) == (self.capacity is None):
            raise ValueError("a load is a multiple of either nominal or capacity")
        return self

    def of(self, scenario: Scenario) -> float:
        """Requests per second that it means for a scenario."""
        if self.capacity is not None:
            return self.capacity * capacity(scenario)
        assert self.nominal is not None
        return self.nominal * scenario.load


class Lookahead(Frozen):
    """The operating point at which the slow upper rival plays along, if asked for.

    All policies play there once more, in as few and short episodes as it has time for.
    """

    policy: str = "lookahead"
    scenario: str
    load: str
    episodes: Annotated[int, Field(ge=1)] = 8
    decisions: Annotated[int, Field(ge=1)] = 512


class Suite(Frozen):
    """An evaluation: policies x scenarios x loads.

    Attributes
    ----------
    episodes
        Of each policy setting at each scenario and load, unless a precision asks for more.
    targets
        Attainments at which policies are compared; the first one gives the verdict.
    reference
        The policy whose curve areas are taken against.
    policies
        Specs. Where a tuned file is shipped for a scenario, it takes the place of the policy's
        defaults.
    tuned_as
        Of a held-out scenario, the one that it derives from, whose tuned files are taken.
    """

    name: str
    note: str = ""
    episodes: Annotated[int, Field(ge=1)] = 32
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = (0.99, 0.95, 0.999)
    reference: str
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)]
    loads: Annotated[dict[str, Load], Field(min_length=1)]
    policies: Annotated[tuple[str, ...], Field(min_length=1)]
    lookahead: Lookahead | None = None
    tuned_as: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if strange := set(self.tuned_as) - set(self.scenarios):
            raise ValueError(f"tuned_as: {sorted(strange)[0]!r} is none of the scenarios")
        at = self.lookahead
        if at and (at.scenario not in self.scenarios or at.load not in self.loads):
            raise ValueError("lookahead must name one of the scenarios and one of the loads")
        return self

    def with_policies(self, specs: list[str]) -> Self:
        """Add policies, such as a trained one."""
        return self.model_copy(update={"policies": (*self.policies, *specs)})


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Load a suite by name, or from a path that ends in ``.yaml``.

    Raises
    ------
    SuiteError
        If there is none of that name, or it cannot be used.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if path.parent == FOLDER and not path.is_file():
        close = get_close_matches(name, suite_names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"accepted: {', '.join(suite_names())}"
        raise SuiteError(f"unknown suite {name!r}; {hint}")
    try:
        return read_profile(path, Suite)
    except ProfileError as error:
        raise SuiteError(str(error)) from error


def under_load(name: str, load: Load, overrides: dict[str, object]) -> Scenario:
    """Load a scenario and put it under a load; overrides come first.

    As many of its requests count as before: what warms up at both ends grows with the load.
    """
    return with_load(load_scenario(name, overrides), load)


def with_load(scenario: Scenario, load: Load) -> Scenario:
    """Put a scenario under a load, likewise."""
    rate = load.of(scenario)
    warmup = scenario.model_copy(update={"load": rate}).warmup
    decisions = scenario.decisions + 2 * (warmup - scenario.warmup)
    return scenario.with_overrides({"load": rate, "decisions": decisions})


def tuned_spec(spec: str, scenario: str) -> str:
    """The shipped tuned file of a policy for a scenario, as a spec; else the policy as it is."""
    if ":" not in spec and (TUNED / scenario / f"{spec}.yaml").is_file():
        return f"tuned:{scenario}/{spec}"
    return spec


def settings_of(spec: str, points: int) -> tuple[list[str], int]:
    """Sweep a policy over its aggressiveness.

    Half of the other settings lie below its own value of that parameter, half above, ever closer
    together towards it: at (k / n)^2 of the way to the end of the declared range, or of the way in
    the logarithm if the parameter is a ratio.

    Returns
    -------
    specs : list of str
        In the order of the knob; the policy's own one alone if it has no knob.
    own : int
        Place of its own setting among them.
    """
    policy = make_policy(spec)
    knob = policy.aggressiveness
    if knob is None:
        return [spec], 0
    about = policy.describe()
    values = dict(about["parameters"])
    parameter = policy.parameters[knob]
    own = float(values[knob])
    ends = [end for end in (parameter.low, parameter.high) if end != own]
    each = (points - 1) // len(ends) if ends else 0
    grid = {own}
    for end in ends:
        way = [(k / each) ** 2 for k in range(1, each)]
        if parameter.ratio:
            grid |= {own * (end / own) ** share for share in way}
        else:
            grid |= {own + (end - own) * share for share in way}
        grid |= {end} if each else set()  # as it is: a sum may round to beyond it
    kind, _, reference = spec.partition(":")
    name = about["name"]
    if kind in ("ppo", "bundle"):
        name = f"{kind}:{reference_and_settings(reference)[0]}"
    specs = [_spec(name, {**values, knob: value}) for value in sorted(grid)]
    return specs, sorted(grid).index(own)


def _spec(name: str, values: dict[str, float]) -> str:
    return f"{name}:" + ",".join(f"{key}={value!r}" for key, value in values.items())
