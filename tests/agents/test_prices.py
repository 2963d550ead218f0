"""The violation price is the slope of the best tuned rule's curve, and is written in place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import prices
from agents.prices import Price, best_rules, interval, lower_hull, main, price, slope, write_price
from agents.registry import PolicyError
from agents.tasks import Measured, here
from agents.tuned_files import Tuned, write_tuned
from splitenv.scenario import FOLDER, load_scenario
from tests.agents.tuned import tuned_for

V = np.linspace(0.0, 0.03, 31)


def test_the_slope_of_a_straight_curve_is_its_slope() -> None:
    assert slope(V, 1.0 - 7.0 * V, at=0.01) == pytest.approx(-7.0)


def test_the_slope_of_a_quadratic_curve_is_its_tangent() -> None:
    curve = 100.0 * (V - 0.03) ** 2
    assert slope(V, curve, at=0.01) == pytest.approx(200.0 * (0.01 - 0.03), rel=0.01)


def test_settings_above_the_hull_do_not_move_the_slope() -> None:
    curve = 1.0 - 7.0 * V
    curve[5:25:3] += 0.2
    assert slope(V, curve, at=0.01) == pytest.approx(-7.0)


def test_points_in_any_order_have_one_hull() -> None:
    x, y = np.array([2.0, 0.0, 1.0, 1.0, 3.0]), np.array([0.0, 2.0, 3.0, 0.5, 4.0])
    assert lower_hull(x, y).tolist() == [[0.0, 2.0], [1.0, 0.5], [2.0, 0.0], [3.0, 4.0]]


@pytest.mark.parametrize("at", [0.0, 0.0295, 0.04])
def test_a_slope_at_the_end_of_the_curve_or_beyond_is_not_determined(at: float) -> None:
    assert np.isnan(slope(V, 1.0 - 7.0 * V, at))


def test_where_more_violations_save_nothing_the_slope_is_not_determined() -> None:
    assert np.isnan(slope(V, np.maximum(1.0 - 100.0 * V, 0.5) + V, at=0.02))


def curve(weight: float, noise: float = 0.0) -> list[Measured]:
    """Cost 1 - 4 x weighted violations, on 64 episodes that share their noise."""
    ones = np.ones(64)
    wobble = noise * np.random.default_rng(0).normal(size=64)
    return [
        Measured(1e3 * ones, 1e3 * v * ones, 1e3 * weight * v * ones, ones, 1e3 * cost)
        for v in V
        for cost in [(1.0 - 4.0 * weight * v) * (1.0 + wobble)]
    ]


@pytest.mark.parametrize("weight", [1.0, 0.5, 2.0])
def test_violations_count_by_the_price_of_their_class(weight: float) -> None:
    assert interval(curve(weight), 0.01) == pytest.approx((4.0, 4.0, 4.0))


def test_the_interval_tells_how_much_episodes_differ() -> None:
    value, low, high = interval(curve(1.0, noise=0.1), 0.01)
    assert low < value < high
    assert high - low == pytest.approx(4 * 4.0 * 0.1 / 8.0, rel=0.3)


def store(folder: Path, **changes: Any) -> Tuned:
    tuned = tuned_for(load_scenario("sd-mobile"), **changes)
    write_tuned(folder / "sd-mobile" / f"{tuned.policy}.yaml", tuned)
    return tuned


def test_rules_with_their_target_and_a_knob_are_asked_the_cheapest_first(tmp_path: Path) -> None:
    scenario = load_scenario("sd-mobile")
    store(tmp_path, policy="all-cloud", parameters={}, gpu_cost=0.3)
    store(tmp_path, policy="latency-bound-batching", gpu_cost=0.4, reached=False)
    best = store(tmp_path, gpu_cost=0.5)
    store(tmp_path, policy="joint-greedy", parameters={}, gpu_cost=0.6)

    rules, reason = best_rules(scenario, tmp_path)

    assert (rules[0], reason) == (best, "")
    assert [rule.policy for rule in rules] == ["latency-bound", "joint-greedy"]


def test_why_there_is_no_price_is_said(tmp_path: Path) -> None:
    scenario = load_scenario("sd-mobile")

    assert "nothing is tuned for it" in price(scenario, tmp_path, here).reason
    store(tmp_path, reached=False)
    assert price(scenario, tmp_path, here).reason == "no tuned rule has its target"
    store(tmp_path, scenario_digest="0" * 64)
    assert "of another version of it" in price(scenario, tmp_path, here).reason
    store(tmp_path, gpu_cost=0.0)
    assert price(scenario, tmp_path, here).reason == "the target is had without any GPU time"


@pytest.mark.parametrize(("spent", "reason"), [(0.4, ""), (0.6, "to give a request up")])
def test_a_slope_below_what_a_request_costs_to_serve_is_no_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spent: float, reason: str
) -> None:
    rule = store(tmp_path, gpu_cost=spent)
    monkeypatch.setattr(prices, "_near", lambda *_: ["a setting"])
    monkeypatch.setattr(prices, "measure_all", lambda *_: [])
    monkeypatch.setattr(prices, "interval", lambda *_: (0.5, 0.45, 0.55))

    found = prices.price_of(rule, load_scenario("sd-mobile"), here)

    assert found.value == 0.5
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


def test_where_the_best_rule_gives_no_price_the_next_best_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario("sd-mobile")
    best = store(tmp_path, gpu_cost=0.5)
    second = store(tmp_path, policy="joint-greedy", parameters={}, gpu_cost=0.6)
    known = Price(3.0, 2.9, 3.1, second)

    def given(*prices_of: Price) -> Price:
        of = {p.rule.policy: p for p in prices_of if p.rule}
        monkeypatch.setattr(prices, "price_of", lambda rule, *_: of[rule.policy])
        return price(scenario, tmp_path, here)

    assert given(Price(rule=best, reason="hardly"), known) == known
    nothing = given(Price(rule=best, reason="hardly"), Price(rule=second, reason="neither"))
    assert (nothing.rule, nothing.reason) == (best, "hardly")


def test_a_new_violation_price_leaves_tuned_files_up_to_date(tmp_path: Path) -> None:
    tuned = store(tmp_path)
    dearer = load_scenario("sd-mobile", {"violation_price": 33.0})
    assert best_rules(dearer, tmp_path) == ([tuned], "")


def test_a_price_is_stored_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shutil.copy(FOLDER / "sd-mobile.yaml", path)
    before = path.read_text()
    rule = tuned_for(load_scenario("sd-mobile"))

    write_price(path, Price(2.5678, 2.4, 2.7, rule))
    once = path.read_text()
    write_price(path, Price(3.0, 2.9, 3.1, rule))

    line = "violation_price: 2.57  # 2.4 to 2.7; agents.prices, from latency-bound at 99%\n"
    assert once.replace(line, "") == before.replace(
        next((old for old in before.splitlines(True) if old.startswith("violation_price")), ""), ""
    )
    assert load_scenario(str(path)).violation_price == 3.0
    assert path.read_text().count("violation_price") == 1


def test_a_file_without_a_place_for_a_price_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{name: x, load: 2}\n")

    with pytest.raises(PolicyError, match="expected one line 'load"):
        write_price(path, Price(2.5, 2.4, 2.7, tuned_for(load_scenario("sd-mobile"))))

    assert path.read_text() == "{name: x, load: 2}\n"


def test_the_price_of_a_real_rule_comes_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "cores", lambda: 1)
    monkeypatch.setattr(prices, "COARSE", 2)
    monkeypatch.setattr(prices, "FINE", 4)
    monkeypatch.setattr(prices, "WIDEST", 50.0)
    scenario = load_scenario("sd-mobile", {"decisions": 600})
    write_tuned(tmp_path / "sd-mobile" / "latency-bound.yaml", tuned_for(scenario))
    path = tmp_path / "mine.yaml"
    path.write_text((FOLDER / "sd-mobile.yaml").read_text() + "decisions: 600\n")

    with pytest.raises(SystemExit) as ended:
        main(["--scenario", str(path), "--tuned", str(tmp_path), "--write"])

    printed = capsys.readouterr()
    assert ended.value.code == 0
    assert "latency-bound" in printed.out
    assert printed.err == f"wrote {path}\n"
    assert "violation_price: " in path.read_text()
