"""A scheduler that hears of simulated episodes sees and does what the simulation saw and did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.export import export
from agents.registry import make_policy
from agents.replay import Skew, event_log, measure_skew, replay, simulate
from splitenv.runtime import Arrival, Dropped, Finish, Launch, Ready, Scheduler
from splitenv.runtime.bundle import read_bundle
from splitenv.scenario import load_scenario

DECISIONS = 2000
Export = Callable[[str, str], Path]


@pytest.mark.parametrize("kind", ["learned", "rule"])
@pytest.mark.parametrize("scenario", ["sd-mobile", "regnet-camera", "mixed-tenants"])
def test_observations_and_actions_are_equal(
    export_bundle: Export, kind: str, scenario: str
) -> None:
    skew = measure_skew(export_bundle(kind, scenario), DECISIONS)
    assert skew.decisions == DECISIONS
    assert skew.observations == DECISIONS
    assert skew.actions + skew.near_ties == DECISIONS
    assert skew.equal


def test_it_hears_of_requests_that_were_dropped(tmp_path: Path) -> None:
    crowded = load_scenario("sd-mobile", {"dispatch.late": "drop", "load": 4.0})
    export(make_policy("latency-bound"), crowded, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    records = simulate(bundle, 1, seed=0).records[0]
    assert any(isinstance(event, Dropped) for event in event_log(records, bundle))
    assert measure_skew(tmp_path / "bundle", DECISIONS).equal


@pytest.mark.parametrize(
    "dispatch",
    [
        {"discipline": "window", "window_s": 0.5},
        {"discipline": "deferred"},
        {"discipline": "window-drop"},
        {"discipline": "fitted", "window_s": 0.5},
        {"discipline": "aimd", "window_s": 0.2, "target_s": 3.0},
    ],
    ids=lambda dispatch: dispatch["discipline"],
)
def test_it_follows_every_kind_of_dispatch(tmp_path: Path, dispatch: dict[str, Any]) -> None:
    scenario = load_scenario("sd-mobile", {"dispatch": dispatch, "load": 2.0})
    export(make_policy("latency-bound"), scenario, tmp_path / "bundle")
    assert measure_skew(tmp_path / "bundle", DECISIONS).equal


def test_the_log_tells_causes_before_effects(export_bundle: Export) -> None:
    bundle = read_bundle(export_bundle("rule", "sd-mobile"))
    records = simulate(bundle, 1, seed=3).records[0]
    arrived, ready, last = set(), set(), 0.0
    for event in event_log(records, bundle):
        assert event.time >= last
        last = event.time
        match event:
            case Arrival():
                arrived.add(event.request)
            case Ready():
                assert event.request in arrived
                ready.add(event.request)
            case Launch():
                assert ready.issuperset(event.requests)
            case Finish():
                assert ready
    assert len(arrived) == len(records)


def test_a_difference_is_noticed_and_counted_once(export_bundle: Export) -> None:
    bundle = read_bundle(export_bundle("rule", "sd-mobile"))
    episodes = simulate(bundle, 1, seed=3)
    episodes.observations[0, 7, 3] += 0.25
    episodes.actions[0, 9] = episodes.actions[0, 9] + 1
    skew = Skew()
    replay(Scheduler(bundle), episodes, 0, skew, 10)
    assert (skew.decisions, skew.observations, skew.actions) == (10, 9, 9)
    assert not skew.equal
