"""The bound in every resample of some episodes, and how far above it policies are.

A bound over episodes is one over any multiset of them, as it is made of prices by episode. So it is
resampled with the policies that played them, and a gap has an interval of its own.

For weight mu the bound is ``sum of min(price, mu) - fees - mu x violations``, and the best mu is
sought on a grid of prices: any mu gives a bound, and between two neighbours little is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from agents.bounds.clairvoyant import Priced
from agents.curves import cost_at, curve
from agents.measures import Tally
from agents.statistics import Floats, Interval, interval, ratios, resamples

GRID = 384
"""Weights on either half of the grid: evenly over all requests, and ever closer to the dearest."""
DRAWN = (0.0, *np.geomspace(1e-4, 1.0, 80).tolist())
"""Violations at which the bound is reported as a curve."""


@dataclass(frozen=True)
class Floors:
    """The bound at any attainment, in each resample.

    Attributes
    ----------
    episodes, requests
        That it covers; the first ones that the policies played.
    attainable
        Share of the requests that could be in time alone.
    weights
        Resamples of those episodes, from :func:`agents.statistics.resamples`.
    """

    episodes: int
    requests: int
    attainable: float
    weights: Floats = field(repr=False)
    _mu: tuple[Floats, ...] = field(repr=False)
    _least: tuple[Floats, ...] = field(repr=False)
    _possible: Floats = field(repr=False)

    def at(self, violations: Floats | float) -> Floats:
        """Least GPU cost of a request if that share of them are violations, (1 + resamples,).

        Infinite where nobody gets there.
        """
        missed = np.broadcast_to(np.asarray(violations, np.float64), self._possible.shape)
        best = np.zeros(len(missed))
        for mu, least in zip(self._mu, self._least, strict=True):
            np.maximum(best, (least - missed[:, None] * mu).max(axis=1), out=best)
        return np.where(1.0 - missed > self._possible + 1e-9, np.inf, best)

    def of(self, tally: Tally) -> tuple[Interval, Interval]:
        """The bound at a policy's own attainment, and how far it is above, as a share."""
        first = slice(self.episodes)
        requests, met, paid = (
            tally.of(name)[first] for name in ("requests", "in_time", "gpu_cost")
        )
        missed = ratios(requests - met, requests, self.weights)
        spent = ratios(paid, requests, self.weights)
        least = self.at(missed)
        return interval(least, self.episodes), interval(above(spent, least), self.episodes)

    def curve(self) -> list[tuple[float, float]]:
        """The bound over all episodes, for a figure: violations, and least GPU cost."""
        return [(missed, float(self.at(missed)[0])) for missed in DRAWN]


def bound_figures(tally: Tally, of: Floors | None) -> dict[str, Interval]:
    """A policy's figures ``bound`` and ``above_bound``; unknown without a bound."""
    unknown = Interval(np.nan, np.nan, np.nan)
    least, gap = of.of(tally) if of else (unknown, unknown)
    return {"bound": least, "above_bound": gap}


def floors(pieces: Sequence[Priced], seed: int, stream: int = 0) -> Floors:
    """Put the prices of episodes together, and resample them as the policies' are."""
    joined = [np.concatenate([getattr(p, name) for p in pieces]) for name in ("alone", "together")]
    fees = np.concatenate([piece.fees for piece in pieces])
    attainable = np.concatenate([piece.attainable for piece in pieces])
    episodes, counted = joined[0].shape
    weights = resamples(episodes, seed, stream)
    requests = counted * weights.sum(axis=1)
    grids, sums = [], []
    for prices, paid in zip(joined, (np.zeros(episodes), fees), strict=True):
        mu = _grid(prices)
        total = np.array([_below(row, mu) for row in prices]) - paid[:, None]
        grids.append(mu)
        sums.append((weights @ total) / requests[:, None])
    possible = np.isfinite(joined[0]).sum(axis=1)
    return Floors(
        episodes=episodes,
        requests=episodes * counted,
        attainable=float(attainable.sum() / (episodes * counted)),
        weights=weights,
        _mu=tuple(grids),
        _least=tuple(sums),
        _possible=(weights @ possible) / requests,
    )


def above(spent: Floats, least: Floats) -> Floats:
    """How far above the bound a cost is, as a share of the bound.

    0 where neither is anything; infinite where only the bound is nothing, or the cost is infinite:
    the policy does not get there; NaN where nobody does.
    """
    known = np.full(len(spent), np.nan)
    np.divide(spent, least, out=known, where=np.isfinite(least) & (least > 0.0))
    nothing = least <= 0.0
    known[nothing] = np.where(spent[nothing] > 0.0, np.inf, 1.0)
    return known - 1.0


def above_at(tallies: list[Tally], targets: Iterable[float], of: Floors) -> dict[float, Interval]:
    """How far a policy's cheapest setting at each target is above the bound there.

    Parameters
    ----------
    tallies
        Of its settings; of their episodes, those count that the bound covers.
    """
    swept = curve(tallies, of.weights)
    return {
        target: interval(above(cost_at(swept, 1.0 - target), of.at(1.0 - target)), of.episodes)
        for target in targets
    }


def room(gap: Interval) -> Interval:
    """What can still be saved at most of a cost that is so far above the bound, as a share."""
    return Interval(*(1.0 - 1.0 / (1.0 + end) for end in (gap.value, gap.low, gap.high)))


def _grid(prices: Floats) -> Floats:
    """Prices of some requests by rank: evenly, and closer together towards the dearest."""
    known = np.sort(prices[np.isfinite(prices)])
    if not len(known):
        return np.zeros(1)
    last = len(known) - 1
    ranks = np.concatenate(
        [np.linspace(0, last, GRID), last - np.geomspace(1.0, max(last, 1), GRID)]
    )
    return np.unique(known[np.clip(np.rint(ranks), 0, last).astype(np.int64)])


def _below(prices: Floats, mu: Floats) -> Floats:
    """Sum of min(price, mu) over ascending prices, for each mu."""
    known = prices[np.isfinite(prices)]
    lower = np.searchsorted(known, mu)
    total = np.concatenate([[0.0], np.cumsum(known)])
    return np.asarray(total[lower] + mu * (len(prices) - lower), np.float64)
