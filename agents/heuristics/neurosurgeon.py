"""Least predicted latency.

Source: Kang et al., *Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge*,
ASPLOS 2017, section 5: for each point where the model may be cut, predict device time, transfer
and server time, and take the point with the least end-to-end latency. Its server load factor is
here the predicted wait for a GPU. Its other form, least energy of the
phone, needs energy profiles of the image models on phones: there are none, so it is left out.

Rule. The possible placement with the greatest predicted slack, of equals the one with least cloud;
no hold.
"""

from __future__ import annotations

import numpy as np

from agents.heuristics.choice import fastest
from agents.policy import Actions, Masks, Observations, Policy


class Neurosurgeon(Policy):
    """The placement predicted to be done first."""

    name = "neurosurgeon"

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the placement of the least predicted latency."""
        placement = fastest(self.context.slack(observations), self.context.possible(masks))
        return self.context.encode(placement, np.zeros(len(placement), np.int64))
