"""Split and hold together: the cheapest pair that is predicted to be in time.

Source: ours; the strongest rule known for this problem before the published batching rules.

Rule. With q requests waiting, arrival rate l, and a hold of h seconds, expect

    b = 1 + q + k l max(h, wait)

members at launch, where wait is the time from ready to a free GPU. For every (placement, hold):

    GPU seconds   t(b) / b, launch overhead included; all-device: 0
    latency       that of the observation + max(0, h - wait) + slowdown t(b) - t(b0)

with b0 the members that the observation assumes (h = 0, k = 1). Take the cheapest pair with
margin x latency <= deadline, of equals the one with less cloud, then the shorter hold; where there
is none, the fastest. A placement predicted to miss without a hold is taken only if all are.

The observation gives the wait from now, not from ready. The time until ready is reckoned here from
the device's share of its time before the cut and from the network time by bytes; that counts the
RTT in, so a placement that uploads far more than the input is expected to find less company.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from agents.heuristics.choice import Bools, Floats, Ints, promising
from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.context import Context


class JointGreedy(Policy):
    """The cheapest (placement, hold) pair that is predicted to meet the deadline."""

    name = "joint-greedy"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "margin": Parameter(1.15, 1.0, 1.35, "factor on the predicted latency"),
        "k": Parameter(1.0, 0.5, 2.0, "factor on the companions expected to arrive"),
        "slowdown": Parameter(1.0, 1.0, 1.3, "factor on the predicted batch time"),
    }
    aggressiveness = "margin"
    margin: float
    k: float
    slowdown: float

    def bind(self, context: Context) -> None:
        """Learn the tables, and which share of a model a device runs before each cut."""
        super().bind(context)
        tables = context.tables
        self._curve = np.asarray(tables.alone[tables.pool[0]], np.float64)
        self._limit = np.asarray(tables.limit[tables.pool[0]], np.int64)
        whole = tables.head[:, :, :1]
        share = np.divide(tables.head, whole, out=np.zeros(tables.head.shape), where=whole > 0)
        able = np.maximum((whole > 0).sum(axis=0), 1)
        self._head = np.asarray(share.sum(axis=0) / able, np.float64)
        models = np.arange(len(tables.placements))
        cloud = (models, tables.placements - 1)
        both = np.maximum(tables.up[cloud] + tables.down[cloud], 1.0)
        self._upload = np.asarray(tables.up / both[:, None], np.float64)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring."""
        context = self.context
        model = context.model(observations)
        deadline = context.deadline(observations)[:, None]
        slack = context.slack(observations)
        rate = context.value(observations, "rate_fast")[:, None] / deadline
        queued = self._queued(observations, model)[:, None]
        wait = self._wait(observations, (1.0 - slack) * deadline, model)
        without = self._time(model, 1.0 + queued + rate * wait)
        alone_slack = slack * deadline + wait + without - self._curve[model, :, 1]

        levels = np.asarray(context.hold_levels)
        hold = levels * np.maximum(alone_slack, 0.0)[:, :, None]
        after = np.maximum(hold, wait[:, :, None])
        members = 1.0 + queued[:, :, None] + self.k * rate[:, :, None] * after
        limit = self._limit[model][:, None, None].astype(np.float64)
        members = np.minimum(members, limit)
        seconds = self._time(model, members)
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

    def _queued(self, observations: Observations, model: Ints) -> Floats:
        """Ready requests of the model that no full batch will take, shape (N,)."""
        limit = self._limit[model]
        waiting = np.rint(self.context.value(observations, "waiting") * limit)
        return np.asarray(waiting % limit, np.float64)

    def _wait(self, observations: Observations, latency: Floats, model: Ints) -> Floats:
        """Predicted seconds from ready to a free GPU, shape (N, P)."""
        context = self.context
        deadline = context.deadline(observations)
        seconds = {
            name: (context.value(observations, name) * deadline)[:, None]
            for name in ("gpu_wait", "device_time", "device_wait", "network_time")
        }
        head = self._head[model]
        ready = context.tables.control_delay + self._upload[model] * seconds["network_time"]
        ready = ready + head * seconds["device_time"] + (head > 0) * seconds["device_wait"]
        ready = np.minimum(ready, latency - self._curve[model, :, 1])
        return np.maximum(seconds["gpu_wait"] - ready, 0.0)

    def _time(self, model: Ints, members: Floats) -> Floats:
        """Seconds of batches of ``members``, (N, P) or (N, P, H), at most the limit."""
        shape = (-1,) + (1,) * (members.ndim - 1)
        row = model.reshape(shape)
        limit = self._limit[row]
        placement = np.arange(self._curve.shape[1]).reshape((1, -1) + (1,) * (members.ndim - 2))
        members = np.minimum(members, limit)
        below = np.minimum(members.astype(np.int64), limit - 1)
        low = self._curve[row, placement, below]
        high = self._curve[row, placement, below + 1]
        return np.asarray(low + (members - below) * (high - low), np.float64)
