"""Policies at equal attainment: what each costs where it serves as many in time as was promised.

A policy swept over its aggressiveness is a *curve*: one point a setting, GPU cost against
violations, in the order of the settings. Between neighbouring points it is linear: playing one
setting in some episodes, drawn by lot, and its neighbour in the others, attains every point of the
line. A policy without a knob is a curve of one point.

All is computed in every resample at once, row 0 being all episodes: so that an interval belongs to
the whole comparison, the choice of the setting included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.measures import Tally
from agents.statistics import Floats, ratios

WIDEST = 0.1
"""Violations up to which the area between two curves is taken: beyond, nobody would look."""


@dataclass(frozen=True)
class Curve:
    """A policy's settings, in the order of its knob.

    Attributes
    ----------
    violations
        Share of requests late or dropped, shape (1 + resamples, settings).
    cost
        GPU cost per request, seconds of the pool's first type, of the same shape.
    """

    violations: Floats
    cost: Floats


def curve(tallies: list[Tally], weights: Floats) -> Curve:
    """Make the curve of the tallies of a policy's settings, all of the same episodes.

    Of those, as many as the weights are for count, from the first on.
    """
    first = slice(weights.shape[1])
    requests, met, spent = (
        np.column_stack([tally.of(name)[first] for tally in tallies])
        for name in ("requests", "in_time", "gpu_cost")
    )
    missed = requests - met
    return Curve(ratios(missed, requests, weights), ratios(spent, requests, weights))


def cost_at(of: Curve, allowed: Floats | float) -> Floats:
    """Least GPU cost at which at most ``allowed`` of the requests are violations.

    Parameters
    ----------
    of
        A curve.
    allowed
        Share of requests, one for all resamples or one for each.

    Returns
    -------
    numpy.ndarray
        Shape (1 + resamples,); infinite where the curve does not get there.
    """
    limit = np.broadcast_to(np.asarray(allowed, np.float64), of.cost.shape[:1])[:, None]
    points = np.where(of.violations <= limit, of.cost, np.inf).min(axis=1)
    if of.cost.shape[1] == 1:
        return np.asarray(points, np.float64)
    (v0, v1), (c0, c1) = ((values[:, :-1], values[:, 1:]) for values in (of.violations, of.cost))
    crosses = (np.minimum(v0, v1) <= limit) & (limit < np.maximum(v0, v1))
    share = np.zeros(v0.shape)
    np.divide(limit - v0, v1 - v0, out=share, where=crosses)
    lines = np.where(crosses, c0 + share * (c1 - c0), np.inf).min(axis=1)
    return np.asarray(np.minimum(points, lines), np.float64)


def saving_at(of: Curve, reference: Floats, allowed: Floats | float) -> Floats:
    """GPU cost saved against ``reference`` at equal attainment, as a share.

    Shape (1 + resamples,); minus infinity where the curve does not get there.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(1.0 - cost_at(of, allowed) / reference, np.float64)


def area_between(of: Curve, other: Curve) -> Floats:
    """Mean saving of one curve against another over the violations that both can have.

    That is the area between them, over the area under the other: both as :func:`cost_at` sees them,
    from the least violations that both reach to the least of their most, at most
    :data:`WIDEST`.

    Straight pieces are taken exactly (but where two lines of one curve cross between two settings).

    Returns
    -------
    numpy.ndarray
        Shape (1 + resamples,), above 0 where the first is cheaper; NaN where no range is common.
    """
    first = np.maximum(of.violations.min(axis=1), other.violations.min(axis=1))
    last = np.minimum(of.violations.max(axis=1), other.violations.max(axis=1))
    last = np.maximum(np.minimum(last, WIDEST), first)
    bends = np.column_stack([of.violations, other.violations, first, last])
    bends = np.sort(np.clip(bends, first[:, None], last[:, None]), axis=1)
    mine, theirs = np.zeros((2, len(first)))
    # Straight between two bends, so that the middle stands for the piece; jumps are at bends.
    for left, right in zip(bends.T[:-1], bends.T[1:], strict=True):
        middle = (left + right) / 2
        mine += (right - left) * cost_at(of, middle)
        theirs += (right - left) * cost_at(other, middle)
    saved = np.full(len(first), np.nan)
    np.divide(theirs - mine, theirs, out=saved, where=(last > first) & (theirs > 0))
    return saved


ROOM = 0.005
"""How much less than what is attainable can be asked for."""


def effective_target(target: float, attainable: float) -> float:
    """What can be asked for: the target, or half a point under what is attainable.

    What is attainable takes an idle pool for every request, which nobody has.
    """
    return min(target, attainable - ROOM)
