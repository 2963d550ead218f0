"""Events keep the belief; what cannot be true is counted and corrupts nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from splitenv.runtime import Arrival, ClientReport, Dropped, Finish, Launch, Ready, bundle
from splitenv.runtime.tracker import Tracker

CLOUD = 51
"""All-cloud without a hold, in sd-mobile."""


@pytest.fixture
def tracker(rule_bundle: Path) -> Tracker:
    read = bundle.read_bundle(rule_bundle)
    return Tracker(read.tables, read.manifest)


def report(tracker: Tracker, time: float, client: str = "ann", **values: float) -> None:
    device = next(iter(tracker._devices))
    link = {"uplink": 2e6, "downlink": 9e6, "rtt": 0.04} | values
    tracker.observe(ClientReport(time, client, device, **link))


def send(tracker: Tracker, time: float, request: object, action: int = CLOUD) -> None:
    report(tracker, time)
    tracker.arrive(Arrival(time, request, "ann", "stable-diffusion-2.1-base", "standard"))
    tracker.place(action)


def counts(tracker: Tracker) -> tuple[int, int, int]:
    """Uploading, waiting, and slots in use."""
    clock = tracker.belief.clock[0]
    used = tracker.belief.free.shape[1] - clock.free_slots
    return clock.uploading, clock.waiting, used


def test_a_request_goes_from_upload_to_queue_to_gpu(tracker: Tracker) -> None:
    send(tracker, 1.0, "r")
    assert counts(tracker) == (1, 0, 1)
    tracker.observe(Ready(1.5, "r"))
    assert counts(tracker) == (0, 1, 1)
    tracker.observe(Launch(2.0, 0, ("r",)))
    assert counts(tracker) == (0, 0, 0)
    assert tracker.belief.gpu[0, 0].free_at > 2.0
    tracker.observe(Finish(2.5, 0))
    assert tracker.belief.gpu[0, 0].free_at == 2.5
    assert not tracker.anomalies


def test_a_request_on_its_device_takes_no_slot(tracker: Tracker) -> None:
    send(tracker, 1.0, "r", action=0)
    assert counts(tracker) == (0, 0, 0)
    assert tracker.belief.client[0, 0].device_free > 1.0


def test_a_dropped_request_leaves_upload_or_queue(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    send(tracker, 1.1, "b")
    tracker.observe(Ready(1.5, "a"))
    tracker.observe(Dropped(1.6, "a"))
    tracker.observe(Dropped(1.6, "b"))
    assert counts(tracker) == (0, 0, 0)
    assert tracker.belief.queue[0, 0].uploading == 0
    assert not tracker.anomalies


@pytest.mark.parametrize(
    ("event", "anomaly"),
    [
        (Ready(2.0, "nobody"), "ready, but not on its way"),
        (Ready(math.nan, "a"), "ready, but not on its way"),
        (Launch(2.0, 0, ("nobody",)), "launch of a request that is not known"),
        (Launch(2.0, 0, ()), "launch of a request that is not known"),
        (Finish(2.0, 0), "finish of a GPU that does not run"),
        (Finish(2.0, 17), "finish of a GPU that does not run"),
        (Dropped(2.0, "nobody"), "drop of a request that is not known"),
    ],
)
def test_an_event_that_cannot_be_true_changes_nothing(
    tracker: Tracker, event: Ready | Launch | Finish | Dropped, anomaly: str
) -> None:
    send(tracker, 1.0, "a")
    before = snapshot(tracker)
    tracker.observe(event)
    assert snapshot(tracker) == before
    assert tracker.anomalies == {anomaly: 1}


def snapshot(tracker: Tracker) -> str:
    rows = [
        {name: getattr(row, name) for name in row.__slots__} if hasattr(row, "__slots__") else row
        for grid in tracker.belief
        for row in grid.values()
    ]
    return repr(rows)


def test_ready_twice_counts_once(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    tracker.observe(Ready(1.5, "a"))
    tracker.observe(Ready(1.6, "a"))
    assert counts(tracker) == (0, 1, 1)
    assert tracker.anomalies == {"ready, but not on its way": 1}


def test_a_launch_makes_up_for_a_ready_that_was_lost(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    tracker.observe(Launch(2.0, 0, ("a",)))
    assert counts(tracker) == (0, 0, 0)
    assert tracker.belief.gpu[0, 0].free_at > 2.0
    assert tracker.anomalies == {"launch without ready": 1}


def test_a_launch_of_more_than_a_batch_leaves_no_request_behind(tracker: Tracker) -> None:
    limit = int(tracker.tables.limit[0, 0])
    requests = tuple(range(limit + 2))
    for request in requests:
        send(tracker, 1.0, request)
        tracker.observe(Ready(1.0, request))
    tracker.observe(Launch(2.0, 0, requests))
    assert counts(tracker) == (0, 0, 0)
    assert tracker.anomalies == {"launch of a batch that cannot be": 1}


def test_a_launch_on_an_unknown_gpu_leaves_no_request_behind(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    tracker.observe(Ready(1.5, "a"))
    tracker.observe(Launch(2.0, 9, ("a",)))
    assert counts(tracker) == (0, 0, 0)
    assert tracker.anomalies == {"launch on a GPU that is not known": 1}


def test_a_finish_from_before_the_batch_is_ignored(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    tracker.observe(Ready(1.5, "a"))
    tracker.observe(Launch(2.0, 0, ("a",)))
    free_at = tracker.belief.gpu[0, 0].free_at
    tracker.observe(Finish(1.9, 0))
    assert tracker.belief.gpu[0, 0].free_at == free_at


def test_time_does_not_run_backwards(tracker: Tracker) -> None:
    send(tracker, 5.0, "a")
    tracker.observe(Ready(4.0, "a"))
    assert tracker.now == 5.0
    assert tracker.belief.clock[0].now == 5.0
    assert tracker.anomalies == {"time ran backwards": 1}


def test_an_arrival_that_is_reported_late_keeps_its_deadline(tracker: Tracker) -> None:
    send(tracker, 5.0, "a")
    send(tracker, 4.5, "b")
    clock = tracker.belief.clock[0]
    assert clock.now == 5.0
    assert clock.deadline == 4.5 + tracker.tables.deadline[0]


def test_a_request_that_arrives_again_is_tracked_once(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    send(tracker, 1.5, "a")
    assert counts(tracker) == (1, 0, 1)
    assert tracker.anomalies == {"request arrived again": 1}


def test_an_unknown_model_is_one_sentence_and_no_change(tracker: Tracker) -> None:
    before = snapshot(tracker)
    with pytest.raises(ValueError, match="unknown model 'gpt'; the bundle knows stable-diffusion"):
        tracker.arrive(Arrival(1.0, "a", "ann", "gpt", "standard"))
    assert snapshot(tracker) == before


def test_an_older_report_does_not_replace_a_newer_one(tracker: Tracker) -> None:
    report(tracker, 2.0, rtt=0.1)
    report(tracker, 1.0, rtt=0.9)
    assert tracker._clients["ann"].rtt == 0.1
    assert tracker.anomalies == {"report older than the last": 1}


def test_uploads_that_were_lost_make_room_when_the_queue_is_full(tracker: Tracker) -> None:
    slots = tracker.belief.free.shape[1]
    for request in range(slots):
        send(tracker, 1.0, request)
    assert counts(tracker) == (slots, 0, slots)
    assert tracker.full
    send(tracker, 1000.0, "late")
    assert tracker.anomalies["queue full"] == 1
    assert not tracker.full
    assert counts(tracker) == (0, 0, 0)


def test_clients_with_nothing_to_remember_are_forgotten(tracker: Tracker) -> None:
    for number in range(5000):
        time = 10.0 * number
        client = f"client {number}"
        report(tracker, time, client)
        tracker.arrive(Arrival(time, number, client, "stable-diffusion-2.1-base", "standard"))
        tracker.place(0)
    assert len(tracker._clients) <= 2048
    assert tracker.belief.client.shape[1] <= 2048
    assert "client 4999" in tracker._clients


def test_a_revised_decision_leaves_no_trace_of_the_first(tracker: Tracker) -> None:
    send(tracker, 1.0, "a", action=0)
    tracker.revise("a", CLOUD)
    revised = snapshot(tracker)
    assert counts(tracker) == (1, 0, 1)
    assert tracker.belief.client[0, 0].device_free == 0.0
    tracker.revise("a", 0)
    tracker.revise("a", CLOUD)
    assert snapshot(tracker) == revised


def test_only_the_last_decision_can_be_revised(tracker: Tracker) -> None:
    send(tracker, 1.0, "a")
    send(tracker, 2.0, "b")
    with pytest.raises(ValueError, match="'a' is not the one that was decided last"):
        tracker.revise("a", 0)
    with pytest.raises(ValueError, match="action 99 is none of 0 to 55"):
        tracker.revise("b", 99)
