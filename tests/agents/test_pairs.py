"""Any split goes with any batching: grammar, parameters, disciplines, episodes."""

from __future__ import annotations

import pickle
from typing import ClassVar

import numpy as np
import pytest

from agents.evaluation import run_episodes
from agents.heuristics.batching import Batching
from agents.heuristics.fixed import AllCloud
from agents.heuristics.pair import Pair
from agents.policy import Parameter, Policy
from agents.registry import BATCHINGS, NAMED_PAIRS, RULES, PolicyError, make_policy, make_rule
from splitenv.context import Context
from splitenv.parts import Dispatch
from splitenv.scenario import Scenario, load_scenario
from tests.agents.rules import decide

SHORT = {"decisions": 1100}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile")  # the shortest deadline is 6 s


def test_a_pair_has_the_parameters_of_both() -> None:
    policy = make_policy("latency-bound+window:margin=0.1,size=4")

    assert policy.name == "latency-bound+window"
    assert policy.describe() == {
        "name": "latency-bound+window",
        "parameters": {"margin": 0.1, "size": 4.0, "wait": 0.1},
        "split": "latency-bound",
        "batching": "window",
    }


def test_a_pair_decides_as_its_split(toy: Context, observe) -> None:
    observation = observe(toy, [0.1, 0.5, 0.7])

    for spec in ("latency-bound", "latency-bound+symphony", "latency-bound+window"):
        assert decide(f"{spec}:margin=0.2", toy, observation) == (1, 0.0)


def test_a_pair_is_as_aggressive_as_its_split_or_else_as_its_batching() -> None:
    assert make_policy("latency-bound+window").aggressiveness == "margin"
    assert make_policy("all-cloud+window").aggressiveness == "wait"
    assert make_policy("all-cloud+clockwork").aggressiveness is None
    assert make_policy("latency-bound+symphony").aggressiveness == "guard"


def test_a_batching_rules_parameter_that_the_split_has_too_takes_a_prefix() -> None:
    class Split(AllCloud):
        name = "split"
        parameters: ClassVar = {"wait": Parameter(1, 0, 2, "something else")}

    pair = Pair(Split, BATCHINGS["window"], wait=2, batching_wait=0.5)

    assert pair.describe()["parameters"] == {"wait": 2, "size": 8, "batching_wait": 0.5}
    assert pair.dispatch(load_scenario("sd-mobile")).window_s == 3.0


def test_no_batching_rules_parameter_needs_a_prefix_here() -> None:
    splits = {key for rule in RULES.values() for key in rule.parameters}
    batchings = {key for rule in BATCHINGS.values() for key in rule.parameters}

    assert not splits & batchings


def test_a_pair_outlives_a_journey_to_another_process() -> None:
    policy = make_policy("latency-bound+window:margin=0.1,size=4")

    assert pickle.loads(pickle.dumps(policy)).describe() == policy.describe()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("latency-bound+symphoni", "unknown batching rule 'symphoni'; did you mean 'symphony'?"),
        ("latency-bound+zzz", "unknown batching rule 'zzz'; accepted: none, slack, slack-drop,"),
        ("latency-bond+symphony", "unknown policy 'latency-bond'; did you mean 'latency-bound'?"),
        ("latency-bound+", "unknown batching rule ''; accepted: none"),
        ("symphony", "unknown policy 'symphony'; accepted: all-cloud"),
        ("fixed+window:size=0.5", "fixed+window: size must lie between 1 and 64, got 0.5"),
        ("fixed+window:margin=1", "fixed+window has no parameter 'margin'; accepted: ratio, size"),
    ],
)
def test_a_pair_that_cannot_be_made_is_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(PolicyError) as error:
        make_policy(spec)

    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "dispatch"),
    [
        ("none", Dispatch(discipline="window", window_s=0.0, sizes=(1,))),
        ("slack", Dispatch(discipline="slack")),
        ("window:size=3.6,wait=0.25", Dispatch(discipline="window", window_s=1.5, sizes=(4,))),
        (
            "preferred:least=6,wait=0.5",
            Dispatch(discipline="preferred", window_s=3.0, sizes=(6, 12, 24, 48)),
        ),
        ("fitted:budget=0.5", Dispatch(discipline="fitted", window_s=3.0)),
        (
            "aimd:target=0.5,wait=0.25",
            Dispatch(discipline="aimd", target_s=3.0, window_s=1.5),
        ),
        ("slack-drop", Dispatch(discipline="slack", late="drop")),
        (
            "symphony-drop:spare=1,guard=0.25",
            Dispatch(discipline="deferred", spare=1, guard_s=1.5, late="drop"),
        ),
        ("nexus:size=12", Dispatch(discipline="window-drop", sizes=(12,))),
        ("clockwork", Dispatch(discipline="edf-drop")),
        ("symphony:spare=0.7,guard=0.25", Dispatch(discipline="deferred", spare=1, guard_s=1.5)),
        (
            "control-limit:limit=5,wait=0.1",
            Dispatch(discipline="preferred", window_s=0.6, sizes=tuple(range(5, 65))),
        ),
    ],
)
def test_a_batching_rule_names_its_discipline(
    spec: str, dispatch: Dispatch, scenario: Scenario
) -> None:
    named = make_policy(f"all-cloud+{spec}").dispatch(scenario)

    assert named.model_copy(update={"window_s": 0.0}) == dispatch.model_copy(
        update={"window_s": 0.0}
    )
    assert named.window_s == pytest.approx(dispatch.window_s)


@pytest.mark.parametrize("name", BATCHINGS)
def test_a_batching_rule_is_called_by_its_name(name: str) -> None:
    assert BATCHINGS[name].name == name


@pytest.mark.parametrize("rule", [*RULES.values(), *BATCHINGS.values()], ids=lambda rule: rule.name)
def test_the_aggressiveness_is_a_parameter(rule: type[Policy] | type[Batching]) -> None:
    assert rule.aggressiveness is None or rule.aggressiveness in rule.parameters


@pytest.mark.parametrize("name", BATCHINGS)
@pytest.mark.parametrize("end", ["low", "high"])
def test_both_ends_of_every_range_give_a_discipline(
    name: str, end: str, scenario: Scenario
) -> None:
    values = {key: getattr(known, end) for key, known in BATCHINGS[name].parameters.items()}

    policy = make_rule(f"all-cloud+{name}", values)

    assert policy.under(scenario).dispatch == policy.dispatch(scenario)


def test_at_most_twelve_pairs_are_named() -> None:
    assert 1 <= len(NAMED_PAIRS) <= 12
    assert {make_policy(name).name for name in NAMED_PAIRS} == set(NAMED_PAIRS)


@pytest.mark.parametrize("world", ["sd-mobile", "regnet-camera"])
@pytest.mark.parametrize("name", NAMED_PAIRS)
def test_a_named_pair_plays_an_episode(name: str, world: str) -> None:
    short = load_scenario(world, SHORT)

    outcomes = run_episodes(make_policy(name), short, episodes=1)

    assert outcomes.sums["requests"].sum() == short.decisions - 2 * short.warmup
    assert np.isfinite(outcomes.sums["gpu_seconds"]).all()
