"""Suites: what is kept, what is played anew, and what stands beside a bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.heuristics.fixed import AllCloud
from agents.heuristics.latency_bound import LatencyBound
from agents.items import Cache, Item, policy_of
from agents.judge import play_all, points_of
from agents.measures import Tally
from agents.runner import Runner
from agents.suite import (
    Load,
)
from agents.suite_report import as_dict
from splitenv.scenario import load_scenario
from tests.agents.suites import SHORT, content, judged, suite


def test_a_second_run_plays_nothing_and_says_the_same(tmp_path: Path) -> None:
    first, played = judged(suite(), tmp_path)
    again, more = judged(suite(), tmp_path)

    assert played == 4 + 6  # attainable, all-cloud, all-device and settings of latency-bound
    assert more == 0
    assert repr(content(first, suite())) == repr(content(again, suite()))


def test_what_is_changed_is_played_anew_and_nothing_else(tmp_path: Path) -> None:
    judged(suite(), tmp_path)

    _, other = judged(suite(policies=("latency-bound:margin=0.3", "all-device")), tmp_path)
    _, load = judged(suite(loads={"low": Load(nominal=0.4)}), tmp_path)
    _, seeds = judged(suite(), tmp_path, seed=4)

    assert other == 1 + 1  # at half its own setting; at nominal its own, the ends are the same
    assert load == 4
    assert seeds == 10


def test_one_process_and_two_find_the_same(tmp_path: Path) -> None:
    one, _ = judged(suite(), tmp_path / "one")
    two, played = judged(suite(), tmp_path / "two", processes=2)

    assert played == 10
    assert repr(content(one, suite())) == repr(content(two, suite()))


def test_a_bound_is_played_along_kept_and_below_everybody(tmp_path: Path) -> None:
    asked = suite(loads={"nominal": Load(nominal=1.0, points=3)}, targets=(0.95, 0.9))
    runner, again = (Runner(Cache(tmp_path), 1) for _ in range(2))
    points = points_of(asked, SHORT, False, print)

    (cell,), (kept,) = (
        play_all(points, each, asked, 0, None, lambda _: lambda _: None, 2)
        for each in (runner, again)
    )

    assert (runner.computed, again.computed) == (7, 0)
    assert cell.floors is not None
    assert cell.floors.episodes == 2
    for each in cell.standings:
        gaps = [each.figures["above_bound"], *(each.above[target] for target in asked.targets)]
        assert all(not gap.low < 0.0 for gap in gaps), each.label
    said, same = (as_dict([each], asked, SHORT, 0, None)["cells"][0] for each in (cell, kept))
    assert repr(said) == repr(same)
    best = cell.best_rule(0.95)
    assert best is not None
    least = said["bound"]["gpu_cost_at"]["0.95"]["value"]
    left = said["bound"]["room"]["0.95"]
    assert left["policy"] == best.label == "latency-bound"
    assert left["above_bound"] == vars(best.above[0.95])
    assert left["room"]["value"] == pytest.approx(1 - 1 / (1 + best.above[0.95].value))
    assert said["bound"]["words"]["0.95"].startswith(f"The bound at 95% is {least:.3g} GPU s")
    assert "can still be saved" in said["bound"]["words"]["0.95"]


def test_a_learned_policy_leaves_the_room_to_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LatencyBound, "fingerprint", lambda _: "weights")
    policy_of.cache_clear()

    cells, _ = judged(suite(), tmp_path)

    best, rule = cells[0].best(0.99), cells[0].best_rule(0.99)
    assert best is not None
    assert rule is not None
    assert (best.label, rule.label) == ("latency-bound", "all-cloud")


def test_without_a_bound_none_is_told(tmp_path: Path) -> None:
    cells, _ = judged(suite(), tmp_path)

    (cell, _) = as_dict(cells, suite(), SHORT, 0, None)["cells"]
    assert cell["bound"] is None
    assert cell["policies"][0]["above_bound_at"] == {}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    point = points_of(suite(), SHORT, False, print)[1]
    items = [item for spec in point.specs() for item in point.items(spec, 0, 4)]
    runner = Runner(Cache(tmp_path), 1)

    def stop(_: int) -> None:
        if runner.computed == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(items, stop)
    after = Runner(Cache(tmp_path), 1)
    after.run(items, lambda _: None)

    assert after.computed == len(items) - 3


def test_a_damaged_piece_is_played_again(tmp_path: Path) -> None:
    item = Item(load_scenario("sd-mobile", SHORT), "all-cloud", 0, 2)
    runner = Runner(Cache(tmp_path), 1)
    whole = runner.load(item)
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:200])

    again = runner.load(item)

    assert runner.computed == 2
    assert np.array_equal(whole.sums, again.sums)
    assert Cache(tmp_path).load(item.key(), Tally) is not None


def test_what_is_kept_is_what_was_played(tmp_path: Path) -> None:
    item = Item(load_scenario("sd-mobile", SHORT), "latency-bound", 0, 2)
    made = item.run()
    Cache(tmp_path).store("key", made)

    kept = Cache(tmp_path).load("key", Tally)

    assert kept is not None
    assert kept.groups == made.groups
    for name in ("sums", "episodes", "latency", "crossed"):
        assert np.array_equal(getattr(kept, name), getattr(made, name)), name


def test_a_key_depends_on_policy_discipline_scenario_and_seeds() -> None:
    scenario = load_scenario("sd-mobile", SHORT)
    louder = load_scenario("sd-mobile", {**SHORT, "load": 0.7})
    items = [
        Item(scenario, "latency-bound", 0, 2),
        Item(scenario, "latency-bound", 2, 2),
        Item(scenario, "latency-bound", 0, 4),
        Item(louder, "latency-bound", 0, 2),
        Item(scenario, "latency-bound:margin=0.3", 0, 2),
        Item(scenario, "latency-bound+window", 0, 2),
        Item(scenario, "attainable", 0, 2),
    ]

    assert len({item.key() for item in items}) == len(items)
    assert items[0].key() == Item(scenario, "latency-bound:margin=0.2", 0, 2).key()


def test_other_weights_are_another_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    item = Item(load_scenario("sd-mobile", SHORT), "all-cloud", 0, 2)
    before = item.key()

    monkeypatch.setattr(AllCloud, "fingerprint", lambda _: "other weights")

    assert item.key() != before
