"""The envelope: what a learned policy was trained on, and how far an observation lies outside.

For each kind of request, a model asked for under an SLA class, every feature has a range: between
two quantiles of its values in a training sample. An observation's distance is how far its strangest
feature lies outside its range, in widths of that range, so that all features count alike. It is
outside if that is farther than the training sample reached, but for the stated share of it.

``docs/generalisation.md`` says what this finds, beside Mahalanobis distances, which find less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from splitenv.context import Context

if TYPE_CHECKING:
    from splitenv.runtime.manifest import EnvelopeEntry

NARROWEST = 0.01
"""Least width of a range, normalised: what training held constant has no width of its own."""

Observations = npt.NDArray[np.float32]


class Envelope:
    """Says which observations lie outside what a policy was trained on.

    Parameters
    ----------
    entry
        What the bundle's manifest says of it.
    context
        Of the scenario that the policy was made for.
    """

    def __init__(self, entry: EnvelopeEntry, context: Context) -> None:
        models, classes = len(context.tables.placements), len(context.tables.deadline)
        # Of a kind that training never saw, everything is infinitely far outside.
        self._low = np.full((models, classes, len(context.features)), np.inf)
        self._high = np.full_like(self._low, -np.inf)
        for kind in entry.kinds:
            self._low[kind.model, kind.sla] = kind.low
            self._high[kind.model, kind.sla] = kind.high
        self._per_width = 1.0 / np.maximum(self._high - self._low, NARROWEST)
        self._reach = entry.reach
        self._context = context

    def distances(self, observations: Observations) -> npt.NDArray[np.float64]:
        """How far each feature lies outside its range, in its widths; 0 inside; shape (N, F)."""
        kind = self._context.model(observations), self._context.sla(observations)
        over = np.maximum(self._low[kind] - observations, observations - self._high[kind])
        return np.asarray(np.maximum(over * self._per_width[kind], 0.0))

    def outside(self, observations: Observations) -> npt.NDArray[np.bool_]:
        """Whether an observation lies farther outside than training reached, shape (N,)."""
        return np.asarray(self.distances(observations).max(axis=1) > self._reach)
