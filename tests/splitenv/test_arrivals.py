"""When requests arrive, worked out from docs/physics.md for the draws that the kernel makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from splitenv import draws
from splitenv.kernel import compiled
from splitenv.truth import Settings
from tests.reference.drawn import stream
from tests.toy import run, toy_settings, toy_simulator, toy_tables

HOUR = 3600.0
HOURS = 1.0 + 0.5 * np.sin(np.arange(24.0))
"""Factor on the load by hour of day."""


def arrivals(settings: Settings, seed: int) -> tuple[np.ndarray[Any, Any], Any]:
    simulator = toy_simulator(toy_tables([[1.0]], [1.0], [(0, 1)]), settings)
    return run(simulator, 0, seed)[0]["arrival"], simulator.truth.world[0]


def phases(settings: Settings, world: Any) -> Iterator[tuple[float, float]]:
    """Until when each state of the arrival process lasts, and its factor on the load."""
    states = len(settings.phase_rate)
    state = int(compiled.uniform(stream(world["key"], draws.PHASE), 0) * states)
    end = 0.0
    for number in itertools.count():
        dwell = compiled.exponential(stream(world["key"], draws.DWELL), number)
        end += settings.phase_dwell[state] * dwell
        yield end, float(settings.phase_rate[state])
        state = (state + 1) % states


def expected_arrivals(settings: Settings, world: Any) -> list[float]:
    """Arrival n + 1 is where the integral of the rate has grown by the n-th gap."""
    passing = phases(settings, world)
    phase_end, phase_rate = next(passing)
    steps = settings.step_at.tolist()
    start = float(world["start"])
    times, time = [], 0.0
    for n in range(settings.length):
        left = compiled.exponential(stream(world["key"], draws.GAP), n)
        while True:
            hour = math.floor((start + time) / HOUR)
            step = sum(at <= time for at in steps) - 1
            step_end = steps[step + 1] if step + 1 < len(steps) else math.inf
            end = min(phase_end, (hour + 1) * HOUR - start, step_end)
            rate = world["load"] * phase_rate
            rate *= settings.hour_rate[hour % 24] * settings.step_rate[step]
            if left <= rate * (end - time):
                break
            left -= rate * (end - time)
            time = end
            if time == phase_end:
                phase_end, phase_rate = next(passing)
        time += left / rate
        times.append(float(time))
    return times


@pytest.mark.parametrize("seed", range(8))
def test_load_follows_phases_hours_and_steps(seed: int) -> None:
    settings = toy_settings(load=0.01, length=400)._replace(
        phase_rate=np.array([0.5, 3.0, 0.0]),
        phase_dwell=np.array([2000.0, 500.0, 300.0]),
        hour_rate=HOURS,
        step_at=np.array([0.0, 1000.0, 7200.0, 9000.0]),
        step_rate=np.array([1.0, 4.0, 0.25, 2.0]),
    )
    times, world = arrivals(settings, seed)
    assert times[-1] > 2 * HOUR
    assert times == pytest.approx(expected_arrivals(settings, world), rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_recorded_gaps_follow_each_other_from_an_offset_and_nothing_else_matters(seed: int) -> None:
    recorded = [0.5, 2.0, 0.0, 1.5]
    settings = toy_settings(load=0.1, length=9)._replace(
        replay=np.array(recorded),
        phase_rate=np.array([0.5, 3.0]),
        phase_dwell=np.array([10.0, 5.0]),
        hour_rate=HOURS,
        step_at=np.array([0.0, 20.0]),
        step_rate=np.array([1.0, 4.0]),
    )
    times, world = arrivals(settings, seed)
    offset = int(compiled.uniform(stream(world["key"], draws.REPLAY), 0) * len(recorded))
    gaps = [recorded[(offset + n) % len(recorded)] / 0.1 for n in range(9)]
    assert times == pytest.approx(np.cumsum(gaps), rel=1e-12)


def test_episodes_start_at_different_places_of_the_recording() -> None:
    settings = toy_settings(length=2)._replace(replay=np.array([1.0, 2.0, 3.0, 4.0]))
    firsts = {arrivals(settings, seed)[0][0] for seed in range(32)}
    assert firsts == {1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize("seed", range(4))
def test_a_lane_changes_its_client_every_so_many_requests(seed: int) -> None:
    settings = toy_settings(length=400)._replace(lanes=2, session_requests=10)
    simulator = toy_simulator(toy_tables([[1.0]], [1.0], [(0, 1)]), settings)
    clients = run(simulator, 0, seed)[0]["client"]
    key = simulator.truth.world["key"][0]
    lanes = np.array([int(2 * compiled.uniform(stream(key, draws.LANE), n)) for n in range(400)])
    for lane in (0, 1):
        changes = np.flatnonzero(np.diff(clients[lanes == lane]))
        assert 18 <= len(changes) <= 21  # every 20 requests of both lanes
    assert 0.4 < lanes.mean() < 0.6
