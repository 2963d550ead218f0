"""Split and hold together: the cheapest pair that is predicted to be in time.

Source: ours; the strongest rule known for this problem before the published batching rules.

Rule. With q requests waiting, arrival rate l, and a hold of h seconds, expect

    b = 1 + q + k l max(h, wait)

members at launch, where wait is the time from ready to a free GPU
(:mod:`agents.heuristics.forecast`). For every (placement, hold):

    GPU seconds   t(b) / b, launch overhead included; all-device: 0
    latency       that of the observation + max(0, h - wait) + slowdown t(b) - t(b0)

with b0 the members that the observation assumes (h = 0, k = 1). Take the cheapest pair with
margin x latency <= deadline, of equals the one with less cloud, then the shorter hold; where there
is none, the fastest. A placement predicted to miss without a hold is taken only if all are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agents.heuristics.choice import Bools, Floats, promising
from agents.heuristics.forecast import Forecast
from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.context import Context


class JointGreedy(Policy):
    """The cheapest (placement, hold) pair that is predicted to meet the deadline."""

    name = "joint-greedy"
    parameters: Mapping[str, Parameter] = {
        "margin": Parameter(1.15, 1.0, 1.35, "factor on the predicted latency"),
        "k": Parameter(1.0, 0.5, 2.0, "factor on the companions expected to arrive"),
        "slowdown": Parameter(1.0, 1.0, 1.3, "factor on the predicted batch time"),
    }
    aggressiveness = "margin"
    margin: float
    k: float
    slowdown: float

    def bind(self, context: Context) -> None:
        """Learn the tables."""
        super().bind(context)
        self._forecast = Forecast(context)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring."""
        context = self.context
        model = context.model(observations)
        deadline = context.deadline(observations)[:, None]
        slack = context.slack(observations)
        rate = context.value(observations, "rate_fast")[:, None] / deadline
        forecast = self._forecast
        wait = forecast.wait(observations)
        without = forecast.expected_time(observations, wait)
        alone_slack = slack * deadline + wait + without - forecast.curve[model, :, 1]

        levels = np.asarray(context.hold_levels)
        hold = levels * np.maximum(alone_slack, 0.0)[:, :, None]
        after = np.maximum(hold, wait[:, :, None])
        queued = forecast.queued(observations)[:, :, None]
        members = 1.0 + queued + self.k * rate[:, :, None] * after
        limit = forecast.limit[model][:, None, None].astype(np.float64)
        members = np.minimum(members, limit)
        seconds = forecast.batch_time(model, members)
        longer = after - wait[:, :, None] + self.slowdown * seconds - without[:, :, None]
        longer[:, 0] = 0.0
        latency = ((1.0 - slack) * deadline)[:, :, None] + longer
        cost = seconds / members
        cost[:, 0] = 0.0
        candidates = promising(slack, context.possible(masks))
        return self._choose(cost, latency, deadline, candidates)

    def _choose(
        self, cost: Floats, latency: Floats, deadline: Floats, candidates: Bools
    ) -> Actions:
        """Cheapest pair in time, else the fastest; arrays of shape (N, P, H), row-major ties."""
        allowed = np.broadcast_to(candidates[:, :, None], cost.shape)
        in_time = allowed & (self.margin * latency <= deadline[:, :, None])
        rows, _, holds = cost.shape
        cheapest = np.where(in_time, cost, np.inf).reshape(rows, -1).argmin(axis=1)
        fastest = np.where(allowed, latency, np.inf).reshape(rows, -1).argmin(axis=1)
        pair = np.where(in_time.any(axis=(1, 2)), cheapest, fastest)
        return self.context.encode(pair // holds, pair % holds)
