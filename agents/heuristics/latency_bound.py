"""The smallest cloud share that is predicted to meet the deadline, without and with holding.

Source: *Combining Cloud and Mobile Computing for Machine Learning* (arXiv 2402.04880). Its
scheduler collects network quality, device capability and the job's requirements, picks the cloud
share that just meets the latency target, and batches requests only while every member still meets
its SLA. Its formulas could not be obtained: those here are ours.

Rule. With s(p) the predicted slack of placement p, in relative deadlines, transfers, device, the
queue and expected companions included, and h the hold as a share of slack:

    latency-bound            the smallest split ratio with s(p) >= margin, h = 0
    latency-bound-batching   the smallest split ratio with (1 - h) s(p) >= margin

as a hold spends at most the share h of the slack (the ``slack`` discipline ends it earlier where a
member of the batch would run out of slack). Where no placement leaves the margin after the hold,
the next shorter hold is tried; where none does without a hold, the fastest placement is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.heuristics.choice import fastest, nearest_level
from agents.policy import Actions, Masks, Observations, Parameter, Policy

MARGIN = Parameter(0.2, 0.0, 0.5, "predicted slack to keep, as a share of the deadline")


class LatencyBound(Policy):
    """The smallest cloud share predicted to meet the deadline with a margin, no hold."""

    name = "latency-bound"
    parameters: Mapping[str, Parameter] = {"margin": MARGIN}
    aggressiveness = "margin"
    margin: float

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring."""
        possible = self.context.possible(masks)
        slack = self.context.slack(observations)
        levels = self.context.hold_levels
        placement = fastest(slack, possible)
        level = np.zeros(len(placement), np.int64)
        for longer in range(self._longest() + 1):
            enough = possible & ((1.0 - levels[longer]) * slack >= self.margin)
            found = enough.any(axis=1)
            placement = np.where(found, enough.argmax(axis=1), placement)
            level = np.where(found, longer, level)
        return self.context.encode(placement, level)

    def _longest(self) -> int:
        """Index of the longest hold level that may be taken."""
        return 0


class LatencyBoundBatching(LatencyBound):
    """The smallest cloud share that meets the deadline with a margin even after its hold."""

    name = "latency-bound-batching"
    parameters: Mapping[str, Parameter] = {
        "margin": MARGIN,
        "hold": Parameter(0.125, 0.0, 0.75, "longest hold, as a share of slack; nearest level"),
    }
    hold: float

    def _longest(self) -> int:
        return nearest_level(self.context.hold_levels, self.hold)
