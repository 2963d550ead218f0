from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from agents.policy import Parameter, Policy
from agents.registry import RULES, PolicyError, make_policy, split_specs
from splitenv.context import Context
from splitenv.parts import Dispatch
from splitenv.scenario import ScenarioError, load_scenario

ROOT = Path(__file__).resolve().parents[2]


class Halves(Policy):
    name = "halves"
    parameters: ClassVar = {"hold": Parameter(0.0, 0.0, 0.75, "share of slack spent waiting")}
    hold: float

    def act(self, observations, masks):
        level = self.context.hold_levels.index(self.hold)
        return self.context.encode(np.full(len(masks), 1), np.full(len(masks), level))


def test_a_policy_of_ones_own_takes_ten_lines(toy: Context) -> None:
    policy = Halves(hold=0.5)
    policy.bind(toy)

    actions = policy.act(np.zeros((2, 1), np.float32), np.ones((2, 11), np.bool_))

    assert actions.tolist() == [4, 4]


def test_a_policy_describes_itself_with_the_values_of_its_parameters() -> None:
    assert Halves(hold=0.25).describe() == {
        "name": "halves",
        "parameters": {"hold": 0.25},
    }


def test_a_policy_runs_under_the_scenarios_discipline_unless_it_names_one() -> None:
    class Windowed(Halves):
        def dispatch(self, scenario):
            return Dispatch(discipline="window", window_s=0.5)

    scenario = load_scenario("sd-mobile")

    assert Halves().under(scenario) == scenario
    assert Windowed().under(scenario).dispatch == Dispatch(discipline="window", window_s=0.5)


def test_a_discipline_that_the_serving_mode_does_not_take_is_refused() -> None:
    class Windowed(Halves):
        def dispatch(self, scenario):
            return Dispatch(discipline="window")

    with pytest.raises(ScenarioError, match="serving: continuous takes the disciplines"):
        Windowed().under(load_scenario("sd-mobile", {"serving": "continuous"}))


def test_parameters_not_given_take_their_defaults() -> None:
    assert Halves().hold == 0.0


def test_an_unknown_parameter_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="halves has no parameter 'holds'; accepted: hold"):
        Halves(holds=0.5)


@pytest.mark.parametrize("value", [-0.1, 0.8, float("nan")])
def test_a_parameter_out_of_range_is_refused_with_its_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"halves: hold must lie between 0 and 0.75, got"):
        Halves(hold=value)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_made_by_its_name_with_defaults_inside_their_ranges(name: str) -> None:
    policy = make_policy(name)

    assert policy.name == name
    assert policy.describe()["parameters"] == {
        key: parameter.default for key, parameter in policy.parameters.items()
    }


def test_a_spec_sets_parameters() -> None:
    policy = make_policy("latency-bound-batching:margin=0.2,hold=0.5")

    assert policy.describe()["parameters"] == {"margin": 0.2, "hold": 0.5}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("latency-bond", "unknown policy 'latency-bond'; did you mean 'latency-bound'?"),
        ("zzz", "unknown policy 'zzz'; accepted: all-cloud, "),
        ("fixed:0.5", "expected PARAMETER=NUMBER after the colon, got '0.5'"),
        ("fixed:ratio=half", "expected PARAMETER=NUMBER after the colon, got 'ratio=half'"),
        ("fixed:ratio=2", "fixed: ratio must lie between 0 and 1, got 2"),
        ("ppo", "policy 'ppo' needs the folder of its run, such as ppo:runs/x"),
    ],
)
def test_a_spec_that_cannot_be_used_is_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(PolicyError) as error:
        make_policy(spec)

    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_commas_part_policies_but_not_the_parameters_of_one() -> None:
    text = "all-cloud, latency-bound-batching:margin=0.1,hold=0.5,ppo:runs/x,fixed:ratio=0.2"

    assert split_specs(text) == [
        "all-cloud",
        "latency-bound-batching:margin=0.1,hold=0.5",
        "ppo:runs/x",
        "fixed:ratio=0.2",
    ]


def test_pyproject_offers_every_rule_as_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["splitenv.policies"] == {
        name: f"{rule.__module__}:{rule.__name__}" for name, rule in RULES.items()
    }


def test_importing_the_rules_imports_no_heavy_library() -> None:
    code = (
        "import sys, agents.registry, agents.heuristics; "
        "heavy = {'torch', 'gymnasium', 'numba', 'scipy', 'typer', 'matplotlib', 'yaml'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
