"""The trace of an episode: well-formed events that tell what happened, in its order."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from splitenv.scenario import load_scenario
from splitenv.timeline import DROPPED, PHASES, SimulateError, Timeline, simulate
from splitenv.trace import GPUS, REQUESTS, trace_json

EPISODES = {
    "cloud first": ("sd-mobile", "latency-bound", {}),
    "overloaded, late ones dropped": (
        "sd-mobile",
        "latency-bound-batching",
        {"load": 4.0, "dispatch.late": "drop"},
    ),
    "device first, held": ("regnet-camera-small", "joint-greedy", {}),
    "a queue of two": ("sd-mobile", "all-cloud", {"queue": 2, "load": 3.0}),
    "no GPU": ("sd-mobile", "all-device", {}),
    "two models": ("mixed-tenants", "random", {}),
}

NANOSECOND = 1e-3  # in the trace's unit


@cache
def episode(name: str) -> Timeline:
    scenario, policy, overrides = EPISODES[name]
    settings = {"decisions": 2**20, **overrides}
    return simulate(load_scenario(scenario, settings), policy, seed=3, seconds=20.0)


@cache
def trace(name: str) -> dict[str, Any]:
    return json.loads(trace_json(episode(name)))


def of(name: str, *kinds: str) -> list[dict[str, Any]]:
    return [event for event in trace(name)["traceEvents"] if event["ph"] in kinds]


every_episode = pytest.mark.parametrize("name", EPISODES)


@every_episode
def test_phases_follow_each_other_and_add_up_to_the_latency(name: str) -> None:
    order = list(PHASES)
    for request in episode(name).requests:
        if request.phases:
            assert request.phases[0].start == request.arrival
            assert request.phases[-1].end == request.end
        assert all(phase.end > phase.start for phase in request.phases)
        assert all(a.end == b.start for a, b in pairwise(request.phases))
        total = math.fsum(phase.end - phase.start for phase in request.phases)
        assert total == pytest.approx(request.end - request.arrival, abs=1e-9)
        cloud = [p.kind for p in request.phases if not p.kind.startswith("device")]
        assert cloud == sorted(cloud, key=order.index)
        if request.outcome == DROPPED:
            assert "GPU" not in cloud


@every_episode
def test_a_request_computes_on_the_gpu_while_its_batch_runs(name: str) -> None:
    timeline = episode(name)
    for request in timeline.requests:
        ran = [phase for phase in request.phases if phase.kind == "GPU"]
        assert len(ran) == (request.batch > 0)
        if ran:
            batch = timeline.batches[request.batch - 1]
            assert request.number in batch.members
            assert batch.start == ran[0].start
            assert ran[0].end <= batch.end


@every_episode
def test_a_device_does_one_thing_at_a_time(name: str) -> None:
    busy: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for request in episode(name).requests:
        busy[request.client] += [(p.start, p.end) for p in request.phases if p.kind == "device"]
    for spans in busy.values():
        spans.sort()
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(spans))


def test_the_device_part_takes_its_profiled_time_within_the_jitter() -> None:
    timeline = episode("cloud first")
    jitter = timeline.scenario.clients.jitter
    ran: dict[tuple[int, float], list[float]] = defaultdict(list)
    for request in timeline.requests:
        for phase in request.phases:
            if phase.kind == "device":
                ran[request.device, request.ratio].append(phase.end - phase.start)
    assert any(len(times) > 1 for times in ran.values())
    for times in ran.values():
        assert max(times) <= min(times) * (1 + jitter) / (1 - jitter)


def test_arrivals_stop_at_the_seconds_asked_for_and_a_longer_run_starts_the_same() -> None:
    scenario = load_scenario("sd-mobile")
    short = simulate(scenario, "latency-bound", seconds=20.0)
    longer = simulate(scenario, "latency-bound", seconds=40.0)
    assert short.requests[-1].arrival <= 20.0 < longer.requests[len(short.requests)].arrival
    arrivals = [request.arrival for request in longer.requests[: len(short.requests)]]
    assert [request.arrival for request in short.requests] == arrivals
    ended = [request for request in short.requests if request.end < 20.0]
    assert ended == [longer.requests[request.number - 1] for request in ended]


def test_an_episode_is_prolonged_where_a_crowd_asks_for_more_than_the_mean_load() -> None:
    scenario = load_scenario("flash-crowd")
    timeline = simulate(scenario, "all-cloud", seed=5, seconds=60.0)
    assert all(request.outcome > 0 for request in timeline.requests)
    assert timeline.requests[-1].arrival <= 60.0


@every_episode
def test_every_async_begin_has_its_end_and_they_nest(name: str) -> None:
    open_: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for event in of(name, "b", "e"):
        stack = open_[event["id"]]
        if event["ph"] == "b":
            assert len(stack) < 2
            stack.append((event["name"], event["ts"]))
        else:
            begun, at = stack.pop()
            assert begun == event["name"]
            assert at <= event["ts"]
    assert len(open_) == len(episode(name).requests)
    assert not any(open_.values())


@every_episode
def test_batches_do_not_overlap_on_a_gpu(name: str) -> None:
    lanes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in of(name, "X"):
        assert event["pid"] == GPUS
        lanes[event["tid"]].append(event)
    for batches in lanes.values():
        batches.sort(key=lambda event: event["ts"])
        for before, after in pairwise(batches):
            assert before["ts"] + before["dur"] <= after["ts"] + NANOSECOND


@every_episode
def test_names_deadlines_and_microseconds(name: str) -> None:
    timeline = episode(name)
    named = {(e["pid"], e["tid"]): e["args"] for e in of(name, "M") if e["name"] == "thread_name"}
    assert {event["tid"] for event in of(name, "X")} <= {t for p, t in named if p == GPUS}
    processes = [e["pid"] for e in of(name, "M") if e["name"] == "process_name"]
    assert sorted(processes) == [GPUS, REQUESTS]
    due = {event["id"]: event["ts"] for event in of(name, "n")}
    assert due == pytest.approx({r.number: 1e6 * r.deadline for r in timeline.requests})
    assert trace(name)["otherData"]["requests"] == len(timeline.requests)


def test_the_episodes_above_meet_what_they_are_there_for() -> None:
    found = {phase.kind for name in EPISODES for r in episode(name).requests for phase in r.phases}
    assert found == set(PHASES)
    assert episode("overloaded, late ones dropped").summary()["dropped"] > 0
    assert episode("a queue of two").summary()["dropped"] > 0
    assert not episode("no GPU").batches


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 1e-9, 1e12])
def test_seconds_that_make_no_episode_are_refused(seconds: float) -> None:
    with pytest.raises(SimulateError):
        simulate(load_scenario("sd-mobile"), "all-cloud", seconds=seconds)
