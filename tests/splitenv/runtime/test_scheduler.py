"""Who decides, and why: the policy, or the fallback rule in every case that calls for it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitenv.runtime import Arrival, ClientReport, Decision, Reason, Scheduler
from splitenv.runtime.bundle import Bundle, read_bundle

MODEL = "stable-diffusion-2.1-base"


class Says:
    """A policy that always says the same, or fails."""

    def __init__(self, action: int | Exception) -> None:
        self.action = action

    def act(self, observations: Any, masks: Any) -> Any:
        if isinstance(self.action, Exception):
            raise self.action
        return np.full(len(observations), self.action)


@pytest.fixture(scope="module")
def bundle(learned_bundle: Path) -> Bundle:
    """A learned policy without an envelope, so that other reasons to fall back show."""
    whole = read_bundle(learned_bundle)
    return replace(whole, manifest=whole.manifest.model_copy(update={"envelope": None}))


@pytest.fixture
def scheduler(bundle: Bundle) -> Scheduler:
    return Scheduler(bundle)


def device(scheduler: Scheduler) -> str:
    """A device that can run the model."""
    tables = scheduler.bundle.tables
    row = int(np.flatnonzero(tables.can[:, 0, 0])[0])
    return scheduler.bundle.manifest.names.devices[row]


def report(scheduler: Scheduler, time: float = 1.0, **values: Any) -> None:
    link = {"uplink": 2e6, "downlink": 9e6, "rtt": 0.04} | values
    scheduler.observe(ClientReport(time, "ann", **{"device": device(scheduler), **link}))


def decide(scheduler: Scheduler, time: float = 1.0, request: object = "r") -> Decision:
    return scheduler.decide(Arrival(time, request, "ann", MODEL, "standard"))


def test_the_policy_decides_what_it_can(scheduler: Scheduler) -> None:
    report(scheduler)
    scheduler._policy = Says(51)
    decision = decide(scheduler)
    assert decision.reason is Reason.POLICY
    assert decision.policy == "ppo:untrained"
    assert decision.action == 51
    assert decision.placement == scheduler.bundle.manifest.names.models[0].placements[-1]
    assert decision.hold == 0.0
    assert decision.predicted_slack is not None
    assert 0.0 < decision.predicted_slack < 10.0
    assert decision.predicted_gpu_seconds is not None
    assert decision.predicted_gpu_seconds > 0.0


def test_hold_and_units_follow_from_the_action(scheduler: Scheduler) -> None:
    report(scheduler)
    scheduler._policy = Says(1 + 5 * 9 + 3)
    decision = decide(scheduler)
    assert decision.hold == 0.5
    assert decision.placement == scheduler.bundle.manifest.names.models[0].placements[10]


def test_a_client_that_never_reported_is_served_by_the_cloud(scheduler: Scheduler) -> None:
    decision = decide(scheduler)
    assert decision.reason is Reason.MISSING_REPORT
    assert (decision.policy, decision.action) == ("all-cloud", 51)
    assert decision.predicted_slack is None
    assert decision.predicted_gpu_seconds is None


def test_a_stale_report_is_left_to_the_fallback_rule(scheduler: Scheduler) -> None:
    report(scheduler, time=1.0)
    decision = decide(scheduler, time=1.0 + scheduler.bundle.manifest.guard.max_report_age_s + 1)
    assert decision.reason is Reason.STALE_REPORT
    assert decision.policy == "latency-bound"


@pytest.mark.parametrize(
    "wrong",
    [
        {"uplink": math.nan},
        {"uplink": 0.0},
        {"downlink": -5.0},
        {"downlink": math.inf},
        {"rtt": -0.1},
        {"rtt": 1e6},
        {"speed": 0.0},
    ],
)
def test_a_report_out_of_range_is_left_to_the_fallback_rule(
    scheduler: Scheduler, wrong: dict[str, float]
) -> None:
    report(scheduler, **wrong)
    decision = decide(scheduler)
    assert decision.reason is Reason.OUT_OF_RANGE
    assert decision.policy == "latency-bound"
    assert np.isfinite(scheduler.observation).all()


def test_an_unknown_device_is_served_by_the_cloud(scheduler: Scheduler) -> None:
    report(scheduler, device="abacus")
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.OUT_OF_RANGE, "all-cloud")


def test_a_feature_out_of_bounds_is_left_to_the_fallback_rule(scheduler: Scheduler) -> None:
    report(scheduler)
    scheduler._high = scheduler._high - 10.0
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.OUT_OF_RANGE, "latency-bound")


def test_what_the_policy_was_not_trained_on_is_left_to_the_fallback_rule(
    learned_bundle: Path,
) -> None:
    scheduler = Scheduler(read_bundle(learned_bundle))
    scheduler._policy = Says(51)
    report(scheduler, time=1.0)
    usual = decide(scheduler, request="usual")
    report(scheduler, time=1.0, rtt=5.0)
    strange = decide(scheduler, request="strange")

    assert (usual.reason, usual.action) == (Reason.POLICY, 51)
    assert (strange.reason, strange.policy) == (Reason.OUTSIDE_TRAINING, "latency-bound")
    assert str(strange.reason) == "fallback:outside-training"


def test_decisions_are_counted_by_reason(scheduler: Scheduler) -> None:
    decide(scheduler, request="unreported")
    report(scheduler)
    scheduler._policy = Says(51)
    decide(scheduler, request="first")
    decide(scheduler, request="second")

    assert scheduler.reasons == {Reason.MISSING_REPORT: 1, Reason.POLICY: 2}


@pytest.mark.parametrize("action", [RuntimeError("out of memory"), -1, 56])
def test_a_rule_that_fails_is_left_to_the_fallback_rule(
    scheduler: Scheduler, action: int | Exception
) -> None:
    report(scheduler)
    scheduler._policy = Says(action)
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.RULE_FAILED, "latency-bound")


def test_a_graph_that_fails_is_left_to_the_fallback_rule(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(scheduler)
    monkeypatch.setattr(scheduler._policy, "_session", None)
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.GRAPH_FAILED, "latency-bound")


def test_an_action_that_the_device_cannot_do_is_left_to_the_fallback_rule(
    scheduler: Scheduler,
) -> None:
    tables = scheduler.tracker.tables
    row = scheduler.bundle.manifest.names.devices.index(device(scheduler))
    tables.mask[row, 0][0] = False
    report(scheduler)
    scheduler._policy = Says(0)
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.RULE_FAILED, "latency-bound")


def test_a_predicted_miss_is_left_to_the_fallback_rule_if_that_avoids_it(
    scheduler: Scheduler,
) -> None:
    report(scheduler, speed=5.0)
    scheduler._policy = Says(0)
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.PREDICTED_MISS, "latency-bound")
    assert decision.predicted_slack is not None
    assert decision.predicted_slack >= 0.0


def test_a_predicted_miss_that_the_fallback_shares_stays_with_the_policy(
    scheduler: Scheduler,
) -> None:
    report(scheduler, uplink=1e3, downlink=1e3, speed=19.0)
    scheduler._policy = Says(0)
    decision = decide(scheduler)
    assert decision.reason is Reason.POLICY
    assert decision.predicted_slack is not None
    assert decision.predicted_slack < 0.0


def test_a_full_queue_leaves_the_request_to_its_device(scheduler: Scheduler) -> None:
    scheduler._policy = Says(51)
    for request in range(scheduler.bundle.manifest.queue):
        report(scheduler)
        assert decide(scheduler, request=request).reason is not Reason.QUEUE_FULL
    decision = decide(scheduler, request="last")
    assert (decision.reason, decision.policy) == (Reason.QUEUE_FULL, "all-device")
    assert decision.placement == (0, 0)


def test_where_the_fallback_fails_too_the_cloud_serves(scheduler: Scheduler) -> None:
    report(scheduler)
    scheduler._policy = scheduler._fallback = Says(RuntimeError("no"))
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.RULE_FAILED, "all-cloud")


def test_an_arrival_observed_and_then_decided_counts_once(bundle: Bundle) -> None:
    once, twice = Scheduler(bundle), Scheduler(bundle)
    arrival = Arrival(1.0, "r", "ann", MODEL, "standard")
    for scheduler in (once, twice):
        report(scheduler)
    twice.observe(arrival)
    assert twice.decide(arrival) == once.decide(arrival)
    assert twice.tracker.belief.queue[0, 0].arrivals == 1


def test_a_rule_bundle_decides_by_its_rule(rule_bundle: Path) -> None:
    scheduler = Scheduler.load(rule_bundle)
    report(scheduler)
    decision = decide(scheduler)
    assert (decision.reason, decision.policy) == (Reason.POLICY, "latency-bound-batching")
