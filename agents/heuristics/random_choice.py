"""A random action: the floor that anything sensible must beat, and a load for tests.

Source: none; uniform over the actions that the mask allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.context import Context


class RandomChoice(Policy):
    """Uniform over the allowed (placement, hold) pairs; ``bind`` starts its generator anew."""

    name = "random"
    parameters: Mapping[str, Parameter] = {
        "seed": Parameter(0, 0, 2**31 - 1, "seed of its generator; nothing to tune"),
    }
    seed: float

    def bind(self, context: Context) -> None:
        """Learn the tables and start the generator anew."""
        super().bind(context)
        self._generator = np.random.default_rng(int(self.seed))

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the allowed action with the largest of independent uniform draws."""
        draws = self._generator.random(masks.shape)
        return np.asarray(np.where(masks, draws, -1.0).argmax(axis=1), np.int64)
