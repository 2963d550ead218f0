"""Suites: sweeps, verdicts, loads, held-out scenarios, errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from agents import registry
from agents.across import across
from agents.heuristics.fixed import AllCloud
from agents.items import Cache, policy_of
from agents.judge import play_all, points_of, within
from agents.policy import Parameter
from agents.registry import PolicyError, make_policy
from agents.runner import Runner
from agents.suite import (
    Load,
    Lookahead,
    SuiteError,
    load_suite,
    settings_of,
    suite_names,
    under_load,
)
from agents.suite_report import verdict
from agents.zero_shot import zero_shot
from splitenv.scenario import held_out_names, load_scenario
from tests.agents.suites import SHORT, judged, suite


class Stubborn(AllCloud):
    """All-cloud with a knob that does nothing."""

    name = "stubborn"
    parameters: ClassVar[Mapping[str, Parameter]] = {"will": Parameter(0.25, 0.0, 1.0, "nothing")}
    aggressiveness = "will"
    will: float


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(registry.RULES, "stubborn", Stubborn)
    policy_of.cache_clear()
    return "stubborn"


@pytest.mark.parametrize(
    ("spec", "points", "values", "own"),
    [
        ("stubborn", 5, [0.0, 0.1875, 0.25, 0.4375, 1.0], 2),
        ("stubborn", 1, [0.25], 0),
        ("stubborn:will=0", 3, [0.0, 0.25, 1.0], 0),
        ("stubborn:will=1", 2, [0.0, 1.0], 1),
    ],
)
def test_a_sweep_is_densest_around_the_policys_own_setting(
    stubborn: str, spec: str, points: int, values: list[float], own: int
) -> None:
    specs, place = settings_of(spec, points)

    assert [policy_of(each).describe()["parameters"]["will"] for each in specs] == values
    assert place == own


def test_a_price_is_swept_along_its_logarithm(
    stubborn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = Parameter(1.0, 0.0625, 16.0, "a price", ratio=True)
    monkeypatch.setattr(registry.RULES["stubborn"], "parameters", {"will": price})
    specs, place = settings_of("stubborn:will=1", 5)
    values = [policy_of(each).describe()["parameters"]["will"] for each in specs]
    assert values == [0.0625, 0.5, 1.0, 2.0, 16.0]
    assert place == 2


def test_a_sweep_ends_just_where_the_range_does() -> None:
    own = 0.06 / 0.7
    for value in (own, 0.1, 0.3, 0.7):
        specs, _ = settings_of(f"latency-bound+symphony:guard={value!r}", 9)
        guards = [make_policy(spec).describe()["parameters"]["guard"] for spec in specs]
        assert (guards[0], guards[-1], len(guards)) == (0.0, 1.0, 9)


def test_a_policy_without_a_knob_has_one_setting() -> None:
    assert settings_of("all-cloud", 9) == (["all-cloud"], 0)


def test_a_knob_that_does_nothing_saves_nothing_and_is_level(stubborn: str, tmp_path: Path) -> None:
    cells, _ = judged(suite(policies=(stubborn,), reference=stubborn), tmp_path)
    low = cells[0]

    assert low.best(0.95) is not None
    for each in low.standings:
        assert each.saving[0.95].value == 0.0
    assert verdict(low, 0.95) == (
        "all-cloud serves 95% in time, and nobody does so with less GPU time; "
        "level with it: stubborn"
    )


def test_the_verdict_is_the_cheapest_at_the_target(tmp_path: Path) -> None:
    cells, _ = judged(suite(), tmp_path)
    half = cells[0]
    by_label = {each.label: each for each in half.standings}
    bound = by_label["latency-bound"]

    assert half.best(0.99) is bound
    assert bound.saving[0.99].low <= bound.saving[0.99].value <= bound.saving[0.99].high
    assert bound.saving[0.99].value == pytest.approx(bound.figures["saving"].value)
    assert by_label["all-device"].saving[0.99].value == -np.inf
    assert verdict(half, 0.99).startswith("latency-bound serves 99% in time with ")


def test_it_is_said_where_nobody_gets_there_and_what_could_be_asked_for(tmp_path: Path) -> None:
    asked = suite(policies=("all-device",), reference="all-device")
    slow: dict[str, object] = {"sla": {"standard": {"deadline_s": 2.0}, "fast": {"deadline_s": 1}}}
    points = points_of(asked, SHORT | slow, False, print)[:1]

    runner = Runner(Cache(tmp_path), 1)
    (cell,) = play_all(points, runner, asked, 0, None, lambda _: lambda _: None)

    words = verdict(cell, 0.99)
    assert cell.attainable.value < 0.9
    assert cell.effective[0.99] == pytest.approx(cell.attainable.value - 0.005)
    assert words.startswith("Nobody serves 99% in time; ")
    assert "is attainable" in words


def test_a_precision_doubles_the_episodes_until_it_is_had(tmp_path: Path) -> None:
    wide, played = judged(suite(), tmp_path)
    loose, none = judged(suite(), tmp_path, precision=0.9)
    tight, more = judged(suite(), tmp_path, precision=0.02)

    assert (played, none) == (10, 0)
    assert [cell.episodes for cell in loose] == [4, 4]
    assert more > 0
    for before, after in zip(wide, tight, strict=True):
        assert within(after, 0.02)
        assert after.episodes == before.episodes or not within(before, 0.02)


def test_the_slow_rival_plays_along_at_one_point_in_fewer_and_shorter_episodes() -> None:
    at = Lookahead(
        policy="neurosurgeon", scenario="sd-mobile", load="half", episodes=3, decisions=256
    )

    *others, point = points_of(suite(lookahead=at), SHORT, True, print)

    assert len(others) == 2
    assert all("neurosurgeon" not in other.specs() for other in others)
    assert point.specs()[-1] == "neurosurgeon"
    assert point.world.decisions == 256
    assert point.world.load == others[0].world.load
    assert [item.first for item in point.items("neurosurgeon", 0, point.episodes)] == [0, 1, 2]


def test_a_suite_without_a_point_for_the_slow_rival_cannot_have_it() -> None:
    with pytest.raises(PolicyError, match="suite toy names no operating point"):
        points_of(suite(), SHORT, True, print)


def test_many_episodes_are_played_in_pieces() -> None:
    point = points_of(suite(), SHORT, False, print)[0]

    pieces = [(item.first, item.episodes) for item in point.items("all-cloud", 5, 70)]

    assert pieces == [(5, 32), (37, 32), (69, 6)]


def test_scenarios_come_together_as_an_interquartile_mean(tmp_path: Path) -> None:
    asked = suite(scenarios=("sd-mobile", "future-phones"), loads={"half": Load(nominal=0.5)})
    cells, _ = judged(asked, tmp_path)

    rows = {row.label: row for row in across(cells, 0.99)["half"]}

    savings = [
        each.saving[0.99].value
        for cell in cells
        for each in cell.standings
        if each.label == "latency-bound"
    ]
    assert rows["latency-bound"].saving.value == pytest.approx(np.mean(savings))
    assert (rows["latency-bound"].reached, rows["latency-bound"].of) == (2, 2)
    assert rows["all-device"].reached < 2
    assert rows["all-cloud"].cost_saving.value == 0.0


def test_overload_is_a_multiple_of_what_the_pool_can_serve() -> None:
    scenario = load_scenario("sd-mobile")
    world = under_load("sd-mobile", Load(capacity=1.1), {})
    more = under_load("sd-mobile", Load(capacity=1.1), {"pool.count": 4})

    assert world.load > scenario.load
    assert more.load == pytest.approx(2 * world.load)
    counted = [each.decisions - 2 * each.warmup for each in (scenario, world, more)]
    assert counted[0] == counted[1] == counted[2]


def test_rules_play_a_held_out_scenario_as_they_were_tuned_for_its_origin() -> None:
    asked = load_suite("heldout")
    rule = "joint-greedy+symphony"
    points = {point.scenario: point for point in points_of(asked, {}, False, print)}

    def own(scenario: str) -> str:
        (sweep,) = (each for each in points[scenario].sweeps if each.label == rule)
        return sweep.specs[sweep.own]

    assert sorted(asked.tuned_as) == held_out_names()
    for name, origin in asked.tuned_as.items():
        assert name.startswith(f"heldout/{origin}-")
        assert policy_of(own(name)).describe() == policy_of(f"tuned:{origin}/{rule}").describe()


def test_zero_shot_is_against_the_rule_that_was_cheapest_at_the_origin(tmp_path: Path) -> None:
    held_out = "heldout/sd-mobile-networks"
    asked = suite(
        scenarios=(held_out, "sd-mobile", "future-phones"),
        loads={"nominal": Load(nominal=1.0)},
        tuned_as={held_out: "sd-mobile"},
    )
    cells, _ = judged(asked, tmp_path)
    cost = [{each.label: each.figures["cost"].value for each in cell.standings} for cell in cells]

    rows = zero_shot(cells, asked)

    best = min(cost[1], key=cost[1].__getitem__)
    assert [(row.scenario, row.derives_from, row.rule) for row in rows] == [
        (held_out, "sd-mobile", best),
        ("sd-mobile", "sd-mobile", best),
    ]
    for row, costs in zip(rows, cost[:2], strict=True):
        assert row.more[best].value == 0.0
        for label, more in row.more.items():
            assert more.value == pytest.approx(costs[label] / costs[best] - 1.0)


def test_a_suite_without_held_out_scenarios_shows_nothing_zero_shot(tmp_path: Path) -> None:
    cells, _ = judged(suite(), tmp_path)

    assert zero_shot(cells, suite()) == []


def test_the_shipped_suites_can_be_played() -> None:
    for name in suite_names():
        asked = load_suite(name)
        points = points_of(asked, {}, False, print)

        assert asked.reference in asked.policies
        assert len(points) == len(asked.scenarios) * len(asked.loads)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: x}", "reference"),
        (
            "{name: x, reference: y, scenarios: [a], policies: [b], loads: {l: {}}}",
            "either nominal",
        ),
        (
            "{name: x, reference: y, scenarios: [a], policies: [b], loads: {l: {nominal: 1}}, "
            "lookahead: {scenario: a, load: m}}",
            "lookahead must name one of the scenarios",
        ),
        (
            "{name: x, reference: y, scenarios: [a], policies: [b], loads: {l: {nominal: 1}}, "
            "tuned_as: {c: a}}",
            "tuned_as: 'c' is none of the scenarios",
        ),
    ],
)
def test_a_suite_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)

    with pytest.raises(SuiteError, match=message):
        load_suite(str(path))
