from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import closeups
from agents.closeups import LEVELS, Look, describe, latency_at
from agents.evaluation import play
from agents.items import Cache, Item
from agents.measures import counted
from agents.registry import make_policy
from agents.runner import Runner
from splitenv.accounting import IN_TIME
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator
from splitenv.timeline import PHASES

GPU = list(PHASES).index("GPU")


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile", {"decisions": 300, "load": 2.4})


@pytest.fixture(scope="module")
def played(scenario: Scenario) -> Simulator:
    """Two episodes, busy enough for somebody to be late."""
    simulator = Simulator(scenario, 2, record=True)
    play(make_policy("latency-bound"), simulator, np.arange(2))
    return simulator


@pytest.fixture(scope="module")
def seen(played: Simulator) -> dict[str, Any]:
    return describe(played)


def test_batch_sizes_count_every_counted_cloud_request(
    played: Simulator, seen: dict[str, Any]
) -> None:
    record = counted(played)

    assert seen["requests"] == record.size
    assert sum(seen["batches"]) == (record["batch"] > 0).sum()
    assert seen["batches"][3] == (record["batch"] == 3).sum()


def test_latency_levels_are_those_of_the_tiers_requests(
    played: Simulator, seen: dict[str, Any]
) -> None:
    record = counted(played).ravel()
    slow = seen["latency"]["low"]
    took = (record["complete"] - record["arrival"])[record["device"] == 0]

    assert sorted(slow) == list(slow)
    assert took.max() <= latency_at(slow, 100)
    assert latency_at([*[1.0] * (len(LEVELS) - 1), None], 100) == np.inf


def test_groups_by_bandwidth_are_of_one_size_and_ascend(seen: dict[str, Any]) -> None:
    rates = [band["rate"] for band in seen["bandwidth"]]

    assert rates == sorted(rates)
    assert len(rates) == closeups.BANDS
    for band in seen["bandwidth"]:
        assert sum(band["shares"]) == pytest.approx(1.0)
        mean = sum(k / 20 * share for k, share in enumerate(band["shares"]))
        assert band["mean"] == pytest.approx(mean, abs=0.025)


def test_devices_carry_their_requests_and_their_time_for_the_whole_model(
    played: Simulator, seen: dict[str, Any]
) -> None:
    record = counted(played).ravel()
    first = seen["devices"][0]

    assert sum(row["requests"] for row in seen["devices"]) == record.size
    assert first["seconds"] == played.tables.head[0, 0, 0]
    assert first["requests"] == (record["device"] == 0).sum()


def test_no_minute_is_worse_than_the_worst_one(played: Simulator, seen: dict[str, Any]) -> None:
    minute = seen["minute"]
    most = 0
    for episode in counted(played):
        for start in episode["arrival"]:
            inside = (episode["arrival"] >= start) & (
                episode["arrival"] < start + minute["seconds"]
            )
            most = max(most, int((episode["outcome"][inside] != IN_TIME).sum()))

    assert minute["missed"] == most > 0


def test_the_minute_holds_whoever_was_there_and_the_batches_they_were_in(
    played: Simulator, seen: dict[str, Any]
) -> None:
    minute = seen["minute"]
    record = played.record[minute["episode"]]
    end = minute["start"] + minute["seconds"]
    there = (record["arrival"] < end) & (record["complete"] > minute["start"])

    assert len(minute["requests"]) == there.sum()
    for arrival, _, last, _, batch, _, *phases in minute["requests"]:
        assert phases[-1] == last > arrival
        if batch >= 0:
            assert GPU in phases[::2]
            gpu, start, stop, members = minute["batches"][batch]
            assert 0 <= gpu < minute["gpus"]
            assert arrival <= start < stop
            assert members >= 1


@pytest.mark.parametrize(
    ("load", "seconds"), [(0.5, 60.0), (2.0, 60.0), (3.0, 40.0), (100.0, 1.0), (2000.0, 0.05)]
)
def test_a_window_is_a_round_time_in_which_not_too_many_arrive(load: float, seconds: float) -> None:
    assert closeups._window(load) == pytest.approx(seconds)
    assert seconds * load <= closeups.MOST_LIVES + 1e-9


def test_a_closeup_is_kept_until_something_that_it_depends_on_changes(
    scenario: Scenario, tmp_path: Path
) -> None:
    runner = Runner(Cache(tmp_path), 1)
    first = runner.load(Look(scenario, "latency-bound", 0, 1))

    assert runner.load(Look(scenario, "latency-bound", 0, 1)) == first
    assert runner.computed == 1
    for other in (
        Look(scenario, "latency-bound:margin=0.3", 0, 1),
        Look(scenario, "latency-bound", 1, 1),
        Look(scenario.model_copy(update={"load": 2.5}), "latency-bound", 0, 1),
    ):
        assert runner.load(other) != first
    assert runner.computed == 4


def test_a_closeup_is_no_tally(scenario: Scenario) -> None:
    look = Look(scenario, "latency-bound", 0, 1)

    assert look.key() != Item(scenario, "latency-bound", 0, 1).key()


def test_a_damaged_closeup_is_made_again(scenario: Scenario, tmp_path: Path) -> None:
    look = Look(scenario, "latency-bound", 0, 1)
    first = Runner(Cache(tmp_path), 1).load(look)
    (kept,) = tmp_path.rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:-99])

    again = Runner(Cache(tmp_path), 1)
    assert again.load(look) == first
    assert again.computed == 1
