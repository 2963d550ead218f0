"""Deadline first, then least cloud, by predictions that know no queue.

Source: after Li, Zhou and Chen, *Edge Intelligence: On-Demand Deep Learning Model Co-Inference with
Device-Edge Synergy* (Edgent), arXiv 1806.07840. From layer times predicted offline and the
bandwidth of the moment it picks an early exit and a partition that meet a deadline, with the best
accuracy that the deadline allows. Models here have no early exits: what is made least of in their
place is the cloud, which is ours, and so is the margin; the published rule keeps none.

Rule. With a(p) the time left under placement p if a GPU were idle and nobody else there (the
observation's slack with the wait for a GPU and the company in the batch taken out, see
:mod:`agents.heuristics.forecast`; the device's own earlier work stays in), in relative deadlines:

    the smallest split ratio with a(p) >= margin, else the greatest a(p); no hold

So it differs from ``latency-bound`` exactly where queues and company are what costs the deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agents.heuristics.choice import fastest
from agents.heuristics.forecast import Forecast
from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.context import Context


class Edgent(Policy):
    """The smallest cloud share that would meet the deadline were there no queue."""

    name = "edgent"
    parameters: Mapping[str, Parameter] = {
        "margin": Parameter(
            0.0, 0.0, 0.5, "slack to keep, queues not counted, as a share of the deadline"
        ),
    }
    aggressiveness = "margin"
    margin: float

    def bind(self, context: Context) -> None:
        """Learn the tables."""
        super().bind(context)
        self._forecast = Forecast(context)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring."""
        possible = self.context.possible(masks)
        deadline = self.context.deadline(observations)[:, None]
        alone = self._forecast.slack_alone(observations) / deadline
        enough = possible & (alone >= self.margin)
        placement = np.where(enough.any(axis=1), enough.argmax(axis=1), fastest(alone, possible))
        return self.context.encode(placement, np.zeros_like(placement))
