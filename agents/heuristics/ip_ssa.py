"""Plan each request alone, then align it to the batch that is forming.

Source: after Shi, Zhou, Niu, Jiang and Geng, *Multi-user Co-inference with Batch Processing Capable
Edge Server*, arXiv 2206.06304. Where all users share one deadline and a batch takes a constant
time, letting each choose its split independently and aggregating equal work in one batch is
optimal (IP-SSA); where deadlines differ, users are grouped (OG). The paper minimises the phones'
energy and knows all requests beforehand. What becomes of it online, with least GPU seconds as the
aim, is ours:

Rule. With s(p) the predicted slack of placement p in relative deadlines, r(p) the predicted time
until it is ready and t_p(b) the GPU time of a batch of b:

1.  Alone: p*, the smallest split ratio with s(p) >= margin, else the fastest; its cost is t_p*(1),
    or 0 for all-device. It opens a batch, so it holds for the longest h <= ``hold`` with
    (1 - h) s(p*) >= margin, that later requests may align to it.
2.  The batch that is forming has the q ready requests that no full batch will take. It leaves at L:
    when a GPU can take it up, but under the ``slack`` discipline not before the first hold ends.
3.  Aligned: of the placements with r(p) <= L that keep the margin when they leave with that batch,
    s(p) - (L - r(p) - what s(p) counts of it as the wait for a GPU) >= margin, the one that
    lengthens the batch least, by t_p(q + 1) - t_p(q); of equals, less cloud.
4.  If that is less than the cost alone it joins, and holds for the shortest h that lasts until L
    (the longest there is, if none does), else it goes as planned alone.

A hold lasts for h times the slack that it has alone, see :mod:`agents.heuristics.forecast`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agents.heuristics.choice import Bools, Floats, Ints, fastest, nearest_level
from agents.heuristics.forecast import Forecast
from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.context import Context


class IpSsa(Policy):
    """The split of a request by itself, or a cheaper one in the batch that is forming."""

    name = "ip-ssa"
    parameters: Mapping[str, Parameter] = {
        "margin": Parameter(0.2, 0.0, 0.5, "predicted slack to keep, as a share of the deadline"),
        "hold": Parameter(
            0.5, 0.0, 0.75, "longest hold of who opens a batch, as a share of slack; nearest level"
        ),
    }
    aggressiveness = "margin"
    margin: float
    hold: float

    def bind(self, context: Context) -> None:
        """Learn the tables."""
        super().bind(context)
        # Not at the top: a rule is imported without the environment.
        from splitenv.disciplines import SLACK

        self._forecast = Forecast(context)
        self._holds = context.tables.discipline == SLACK

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring."""
        context, forecast = self.context, self._forecast
        possible = context.possible(masks)
        slack = context.slack(observations)
        model = context.model(observations)
        rows = np.arange(len(model))

        alone = self._alone(slack, possible)
        leave = self._leave(observations)
        ready = forecast.ready(observations)
        counted = forecast.wait(observations)
        longer = np.maximum(leave - ready - counted, 0.0)
        left = slack - longer / context.deadline(observations)[:, None]
        joins = possible & (ready <= leave) & (left >= self.margin)
        joins[:, 0] = False
        queued = forecast.queued(observations)
        added = forecast.batch_time(model, np.broadcast_to(queued + 1.0, slack.shape))
        added = added - forecast.batch_time(model, np.broadcast_to(queued, slack.shape))
        added = np.where(joins, added, np.inf)
        aligned = added.argmin(axis=1)
        better = added[rows, aligned] < forecast.curve[model, alone, 1]

        held = np.maximum(forecast.slack_alone(observations)[rows, aligned], 0.0)
        until = leave[:, 0] - ready[rows, aligned]
        level = np.where(better, self._lasting(held, until), self._opening(slack[rows, alone]))
        return context.encode(np.where(better, aligned, alone), level)

    def _alone(self, slack: Floats, possible: Bools) -> Ints:
        """Placement of each request by itself, shape (N,)."""
        enough = possible & (slack >= self.margin)
        return np.where(enough.any(axis=1), enough.argmax(axis=1), fastest(slack, possible))

    def _leave(self, observations: Observations) -> Floats:
        """Seconds until the batch that is forming leaves, shape (N, 1)."""
        gpu = self._forecast.seconds(observations, "gpu_wait")
        if not self._holds:
            return gpu
        hold = self._forecast.seconds(observations, "hold_left")
        waits = self.context.value(observations, "waiting")[:, None] > 0
        return np.maximum(gpu, np.where(waits, hold, 0.0))

    def _opening(self, slack: Floats) -> Ints:
        """Longest hold level that keeps the margin, shape (N,)."""
        levels = np.asarray(self.context.hold_levels)
        longest = nearest_level(self.context.hold_levels, self.hold)
        keeps = (1.0 - levels[: longest + 1]) * slack[:, None] >= self.margin
        return np.asarray(np.maximum(keeps.sum(axis=1) - 1, 0), np.int64)

    def _lasting(self, slack: Floats, until: Floats) -> Ints:
        """Shortest hold level that lasts for ``until`` seconds, else the longest, shape (N,)."""
        levels = np.asarray(self.context.hold_levels)
        lasts = levels * slack[:, None] >= until[:, None]
        return np.where(lasts.any(axis=1), lasts.argmax(axis=1), len(levels) - 1)
