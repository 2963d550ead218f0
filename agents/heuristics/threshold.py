"""Cloud share by bandwidth: the better the link, the more the cloud runs.

Source: ours; the rule of thumb that latency-predicting splits are held against. It knows neither
deadlines nor queues nor devices.

Rule. The link's effective rate is what a speed test with this request's own data would show,

    x = bytes of the model's input and output / predicted time of an RTT and both transfers

The cloud's share is 0 up to ``floor`` x ``rate``, 1 from ``rate`` on, and linear between; with
``floor`` 1 it is a plain threshold. Of the possible placements the one whose split ratio is nearest
to that share, of two as near the one with less cloud; no hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.context import Context

MBIT = 1e6 / 8


class Threshold(Policy):
    """The split ratio that the link's effective rate stands for."""

    name = "threshold"
    parameters: Mapping[str, Parameter] = {
        "rate": Parameter(
            2.0, 0.1, 50.0, "effective rate from which the cloud runs the whole model, Mbit/s"
        ),
        "floor": Parameter(0.5, 0.0, 1.0, "share of that rate up to which the cloud runs nothing"),
    }
    aggressiveness = "rate"
    rate: float
    floor: float

    def bind(self, context: Context) -> None:
        """Learn the tables, and what a request of each model sends and gets, in bytes."""
        super().bind(context)
        tables = context.tables
        cloud = (np.arange(len(tables.placements)), tables.placements - 1)
        self._bytes = np.asarray(tables.up[cloud] + tables.down[cloud], np.float64)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring."""
        context = self.context
        model = context.model(observations)
        seconds = context.value(observations, "network_time") * context.deadline(observations)
        effective = self._bytes[model] / np.maximum(seconds, 1e-9)
        share = np.interp(effective / (self.rate * MBIT), [min(self.floor, 1 - 1e-9), 1], [0, 1])
        ratios = np.asarray(context.tables.ratio)[model]
        distance = np.where(context.possible(masks), np.abs(ratios - share[:, None]), np.inf)
        return context.encode(distance.argmin(axis=1), np.zeros(len(model), np.int64))
