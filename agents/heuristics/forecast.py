"""What rules reckon back from an observation: when a request is ready, and what waiting costs it.

The observation gives the wait for a GPU from now, not from ready. The time until ready is reckoned
here from the device's share of its time before the cut and from the network time by bytes; that
counts the RTT in, so a placement that uploads far more than the input is expected to be ready
later than it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.heuristics.choice import Floats, Ints
from agents.policy import Observations

if TYPE_CHECKING:
    from splitenv.context import Context


class Forecast:
    """Reckons seconds from the public tables and an observation.

    Parameters
    ----------
    context
        Whose curves of the pool's first GPU, and shares of a model before each cut, are used.
    """

    def __init__(self, context: Context) -> None:
        tables = context.tables
        self.context = context
        self.curve = np.asarray(tables.alone[tables.pool[0]], np.float64)
        self.limit = np.asarray(tables.limit[tables.pool[0]], np.int64)
        whole = tables.head[:, :, :1]
        share = np.divide(tables.head, whole, out=np.zeros(tables.head.shape), where=whole > 0)
        able = np.maximum((whole > 0).sum(axis=0), 1)
        self._head = np.asarray(share.sum(axis=0) / able, np.float64)
        models = np.arange(len(tables.placements))
        cloud = (models, tables.placements - 1)
        both = np.maximum(tables.up[cloud] + tables.down[cloud], 1.0)
        self._upload = np.asarray(tables.up / both[:, None], np.float64)

    def queued(self, observations: Observations) -> Floats:
        """Ready requests of the model that no full batch will take, shape (N, 1)."""
        limit = self.limit[self.context.model(observations)]
        waiting = np.rint(self.context.value(observations, "waiting") * limit)
        return np.asarray(waiting % limit, np.float64)[:, None]

    def ready(self, observations: Observations) -> Floats:
        """Predicted seconds from now until the request is ready, shape (N, P)."""
        context = self.context
        model = context.model(observations)
        head = self._head[model]
        device_time, device_wait, network = (
            self.seconds(observations, name)
            for name in ("device_time", "device_wait", "network_time")
        )
        ready = context.tables.control_delay + self._upload[model] * network
        ready = ready + head * device_time + (head > 0) * device_wait
        latency = (1.0 - context.slack(observations)) * context.deadline(observations)[:, None]
        return np.minimum(ready, latency - self.curve[model, :, 1])

    def wait(self, observations: Observations) -> Floats:
        """Predicted seconds from ready to a free GPU, shape (N, P)."""
        at = self.seconds(observations, "gpu_wait")
        return np.maximum(at - self.ready(observations), 0.0)

    def expected_time(self, observations: Observations, wait: Floats) -> Floats:
        """Batch time that the observation's slack counts with, s, shape (N, P).

        Of a batch of the request, those queued, and those who arrive while it waits.
        """
        deadline = self.context.deadline(observations)[:, None]
        rate = self.context.value(observations, "rate_fast")[:, None] / deadline
        members = 1.0 + self.queued(observations) + rate * wait
        return self.batch_time(self.context.model(observations), members)

    def slack_alone(self, observations: Observations) -> Floats:
        """Predicted seconds left if a GPU were idle and nobody else there, shape (N, P)."""
        model = self.context.model(observations)
        deadline = self.context.deadline(observations)[:, None]
        wait = self.wait(observations)
        queueing = wait + self.expected_time(observations, wait) - self.curve[model, :, 1]
        queueing[:, 0] = 0.0
        return np.asarray(self.context.slack(observations) * deadline + queueing, np.float64)

    def seconds(self, observations: Observations, name: str) -> Floats:
        """A feature whose unit is the deadline, in seconds, shape (N, 1)."""
        value = self.context.value(observations, name) * self.context.deadline(observations)
        return np.asarray(value[:, None], np.float64)

    def batch_time(self, model: Ints, members: Floats) -> Floats:
        """Seconds of batches of ``members``, (N, P) or (N, P, H), at most the limit."""
        shape = (-1,) + (1,) * (members.ndim - 1)
        row = model.reshape(shape)
        limit = self.limit[row]
        placement = np.arange(self.curve.shape[1]).reshape((1, -1) + (1,) * (members.ndim - 2))
        members = np.minimum(members, limit)
        below = np.minimum(members.astype(np.int64), limit - 1)
        low = self.curve[row, placement, below]
        high = self.curve[row, placement, below + 1]
        return np.asarray(low + (members - below) * (high - low), np.float64)
