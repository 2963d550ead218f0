"""The scheduler of a serving system: events in, decisions out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from splitenv.runtime.bundle import Bundle, read_bundle
from splitenv.runtime.events import Arrival, Event
from splitenv.runtime.policies import Decider, GraphPolicy
from splitenv.runtime.tracker import Tracker

log = logging.getLogger(__name__)

ALL_CLOUD = "all-cloud"


class Reason(StrEnum):
    """Why that policy decided.

    Where nothing trustworthy is known of the client (it never reported, or names a device that the
    bundle does not know), and where the fallback rule fails too, all-cloud without a hold decides:
    every device can do it and it needs no figure of theirs.
    """

    POLICY = "policy"
    MISSING_REPORT = "fallback:missing-report"
    STALE_REPORT = "fallback:stale-report"
    OUT_OF_RANGE = "fallback:out-of-range"
    OUTSIDE_TRAINING = "fallback:outside-training"
    GRAPH_FAILED = "fallback:graph-failed"
    RULE_FAILED = "fallback:rule-failed"
    PREDICTED_MISS = "fallback:predicted-miss"
    QUEUE_FULL = "fallback:queue-full"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a request is to do.

    Attributes
    ----------
    placement
        The units ``[i, j)`` that the cloud runs; ``(0, 0)`` is all-device.
    hold
        Share of its slack that the request may wait for companions once it is ready.
    action
        Both, as an index into the action table.
    policy
        Name of what decided.
    reason
        Why that one did.
    predicted_slack
        Seconds left at the predicted completion, negative for a miss; None where the client never
        reported.
    predicted_gpu_seconds
        GPU seconds that it is predicted to take, likewise.
    """

    placement: tuple[int, int]
    hold: float
    action: int
    policy: str
    reason: Reason
    predicted_slack: float | None
    predicted_gpu_seconds: float | None


def predicted_to_miss(slack: Any, fallback_slack: Any) -> Any:
    """Whether the fallback's choice is to be preferred: it is predicted in time, the other late.

    A hold never enters: dispatch ends it before it costs the deadline.
    """
    return (slack < 0.0) & (fallback_slack >= 0.0)


class Scheduler:
    """Decides split and hold of every request, from what a serving system reports.

    Not to be called from several threads at once.

    Parameters
    ----------
    bundle
        A bundle that has been checked, from :func:`~splitenv.runtime.bundle.read_bundle`.
    target
        Attainment to serve at, of a learned policy with a knob; its own setting if not given.

    Attributes
    ----------
    tracker
        What is known of clients, requests and GPUs, and the anomalies among the events.
    observation, mask
        Of the request decided last, shapes (1, F) and (1, A); overwritten by the next.
    reasons
        How many requests were decided for each reason.
    """

    def __init__(self, bundle: Bundle, target: float | None = None) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.tracker = Tracker(bundle.tables, manifest)
        self.observation = np.zeros((1, len(manifest.observation.features)), np.float32)
        self.mask = np.zeros((1, len(manifest.actions.hold)), np.bool_)
        self._policy = bundle.policy(target)
        self._fallback = bundle.fallback()
        self._envelope = bundle.envelope()
        self.reasons: Counter[Reason] = Counter()
        self._low = np.array(manifest.guard.low, np.float32)
        self._high = np.array(manifest.guard.high, np.float32)
        self._max_age = manifest.guard.max_report_age_s
        self._placements = [model.placements for model in manifest.names.models]

    @classmethod
    def load(cls, folder: Path | str, target: float | None = None) -> Scheduler:
        """Read a bundle, see that it can be trusted, and start with an empty system.

        Raises
        ------
        BundleError
            If the bundle does not fit, is not whole, or decides otherwise than it says, or does not
            know that target.
        """
        return cls(read_bundle(folder), target)

    def observe(self, event: Event) -> None:
        """Learn of an event; one that cannot be true is counted in ``tracker.anomalies``.

        Raises
        ------
        ValueError
            If an arrival names a model or an SLA class that the bundle does not know.
        """
        self.tracker.observe(event)

    def decide(self, request: Arrival) -> Decision:
        """Decide a request, and keep track of it from here on.

        Its arrival may have been observed before, as the last event that moved time on; it then
        counts once.

        Raises
        ------
        ValueError
            If the bundle knows no such model or SLA class, or the time of arrival is no number.
        """
        tracker = self.tracker
        if not tracker.pending(request.request):
            tracker.arrive(request)
        tracker.look(self.observation, self.mask)
        action, policy, reason = self._choose(request)
        self.reasons[reason] += 1
        placement = tracker.tables.action_placement[action]
        slack = seconds = None
        if reason is not Reason.MISSING_REPORT:
            slack, seconds = tracker.predict(placement)
        tracker.place(action)
        return Decision(
            placement=self._placements[tracker.belief.clock[0].model][placement],
            hold=tracker.tables.action_hold[action],
            action=action,
            policy=policy,
            reason=reason,
            predicted_slack=slack,
            predicted_gpu_seconds=seconds,
        )

    def revise(self, request: Hashable, action: int) -> None:
        """Take note that the request decided last took another action than was decided.

        Raises
        ------
        ValueError
            If another event than a client's report came in between, or the action is none.
        """
        self.tracker.revise(request, action)

    def _choose(self, request: Arrival) -> tuple[int, str, Reason]:
        """Choose an action; return it, the name of what decided, and why that did."""
        report = self.tracker.report_of(request.client)
        if report is None:
            return self._all_cloud(), ALL_CLOUD, Reason.MISSING_REPORT
        if not self.tracker.device_known(request.client):
            return self._all_cloud(), ALL_CLOUD, Reason.OUT_OF_RANGE
        if self.tracker.full:
            possible = bool(self.mask[0, 0])
            name = "all-device" if possible else ALL_CLOUD
            return (0 if possible else self._all_cloud()), name, Reason.QUEUE_FULL
        reported_at, credible = report
        if not credible or not self._within_bounds():
            return *self._fall_back(), Reason.OUT_OF_RANGE
        if request.time - reported_at > self._max_age:
            return *self._fall_back(), Reason.STALE_REPORT
        if self._envelope is not None and self._envelope.outside(self.observation)[0]:
            return *self._fall_back(), Reason.OUTSIDE_TRAINING
        action = self._ask(self._policy)
        if action is None:
            learned = isinstance(self._policy, GraphPolicy)
            reason = Reason.GRAPH_FAILED if learned else Reason.RULE_FAILED
            return *self._fall_back(), reason
        if self._slack(action) < 0.0:
            other = self._ask(self._fallback)
            if other is not None and predicted_to_miss(self._slack(action), self._slack(other)):
                return other, self.bundle.manifest.fallback.name, Reason.PREDICTED_MISS
        return action, self.bundle.manifest.name, Reason.POLICY

    def _within_bounds(self) -> bool:
        row = self.observation[0]
        return bool(((row >= self._low) & (row <= self._high)).all())

    def _fall_back(self) -> tuple[int, str]:
        action = self._ask(self._fallback)
        if action is None:
            return self._all_cloud(), ALL_CLOUD
        return action, self.bundle.manifest.fallback.name

    def _ask(self, policy: Decider) -> int | None:
        """Ask a policy; None if it fails or decides what cannot be done."""
        try:
            action = int(policy.act(self.observation, self.mask)[0])
        except Exception:
            log.exception("a policy failed")
            return None
        if not 0 <= action < self.mask.shape[1] or not self.mask[0, action]:
            log.error("a policy chose action %d, which cannot be done", action)
            return None
        return action

    def _slack(self, action: int) -> float:
        """Read the predicted slack of an action, normalised; negative for a miss."""
        placement = self.tracker.tables.action_placement[action]
        return float(self.observation[0, placement])

    def _all_cloud(self) -> int:
        """Find the last placement of the model asked for, without a hold."""
        tables = self.tracker.tables
        placement = tables.placements[self.tracker.belief.clock[0].model] - 1
        actions = range(self.mask.shape[1])
        return next(action for action in actions if tables.action_placement[action] == placement)
