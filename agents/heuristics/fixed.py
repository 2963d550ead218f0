"""Placements that ask nothing: all-cloud, all-device, and one split for everybody.

Source: the baselines of the reference system (arXiv 2402.04880), which compares with sending
everything to the cloud and with running everything on the device.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.heuristics.choice import Ints
from agents.policy import Actions, Masks, Observations, Parameter, Policy


class AllCloud(Policy):
    """The cloud runs the whole model, without a hold."""

    name = "all-cloud"

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the last placement of each request's model."""
        return self.context.encode(self._cloud(observations), np.zeros(len(masks), np.int64))

    def _cloud(self, observations: Observations) -> Ints:
        counts = np.asarray(self.context.tables.placements, np.int64)
        return np.asarray(counts[self.context.model(observations)] - 1, np.int64)


class AllDevice(AllCloud):
    """The device runs the whole model; the cloud does where the device cannot."""

    name = "all-device"

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take placement 0 where it is possible, else the last."""
        placement = np.where(masks[:, 0], 0, self._cloud(observations))
        return self.context.encode(placement, np.zeros(len(masks), np.int64))


class FixedSplit(Policy):
    """Every request at the possible placement whose split ratio is nearest, without a hold.

    Of two placements as near, the one with less cloud.
    """

    name = "fixed"
    parameters: Mapping[str, Parameter] = {
        "ratio": Parameter(0.5, 0.0, 1.0, "split ratio: the cloud's share of the model's compute"),
    }
    aggressiveness = "ratio"
    ratio: float

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the placement nearest to the ratio."""
        ratios = np.asarray(self.context.tables.ratio)[self.context.model(observations)]
        distance = np.where(self.context.possible(masks), np.abs(ratios - self.ratio), np.inf)
        return self.context.encode(distance.argmin(axis=1), np.zeros(len(masks), np.int64))
