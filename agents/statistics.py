"""How sure a figure is: bootstrap over episodes, paired across policies, and means over scenarios.

Every policy plays the same episodes, so an episode is what is resampled: a resample draws episodes
with replacement, the same ones for every policy and setting, and a figure is computed anew from
each. Differences are taken within a resample, which is what makes them paired. An interval is the
middle 95%.

Means over scenarios are interquartile means (Agarwal et al., *Deep Reinforcement Learning at the
Edge of the Statistical Precipice*, NeurIPS 2021): the mean of the middle half, which one odd
scenario cannot carry away, as it can a mean, and which uses more of the data than a median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% bootstrap interval; NaN where a single episode gives none."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def resamples(episodes: int, seed: int, stream: int = 0) -> Floats:
    """How often each resample draws each episode, shape (1 + resamples, episodes); row 0 is all.

    ``stream`` makes the resamples of different scenarios independent of each other.
    """
    generator = np.random.default_rng([seed, episodes, stream] if stream else [seed, episodes])
    counts = generator.multinomial(episodes, np.full(episodes, 1.0 / episodes), RESAMPLES)
    return np.vstack([np.ones(episodes), counts])


def ratios(numerator: Floats, denominator: Floats, weights: Floats) -> Floats:
    """Sum over sum in each resample; NaN where there is nothing to divide by.

    Parameters
    ----------
    numerator, denominator
        Sums per episode, shape (episodes, ...), of the same shape.
    weights
        From :func:`resamples`.

    Returns
    -------
    numpy.ndarray
        Shape (1 + resamples, ...).
    """
    above = np.tensordot(weights, numerator, 1)
    below = np.tensordot(weights, denominator, 1)
    known = np.full(above.shape, np.nan)
    np.divide(above, below, out=known, where=below > 0)
    return known


def ratio(numerator: Floats, denominator: Floats, weights: Floats) -> Interval:
    """Sum over sum, with its interval."""
    return interval(ratios(numerator, denominator, weights), weights.shape[1])


def interval(values: Floats, episodes: int) -> Interval:
    """Return the first of ``values`` with the middle 95% of the others, NaN among them left out."""
    known = values[1:][~np.isnan(values[1:])]
    if episodes < 2 or len(known) == 0:
        return Interval(float(values[0]), np.nan, np.nan)
    low, high = np.quantile(known, [0.025, 0.975], method="nearest")
    return Interval(float(values[0]), float(low), float(high))


def interquartile_mean(values: Floats) -> Floats:
    """Mean of the middle half of the last axis, the two at its edges counted in part.

    Of n values sorted, the weight of the k-th is what the quarter from n/4 to 3n/4 covers of the
    stretch from k to k + 1: so it is defined for any n, and of one value is that value.
    """
    ordered = np.sort(values, axis=-1)
    count = ordered.shape[-1]
    place = np.arange(count)
    weight = np.clip(np.minimum(place + 1, 0.75 * count) - np.maximum(place, 0.25 * count), 0, None)
    return np.asarray((ordered * weight).sum(axis=-1) / weight.sum(), np.float64)


def over_seeds(values: Sequence[float] | Floats) -> Interval:
    """Mean over training seeds, with the 95% interval of Student's t; NaN for one seed."""
    from scipy import stats  # here: it takes a second, which no evaluation needs

    known = np.asarray(values, np.float64)
    mean, count = float(known.mean()), len(known)
    if count < 2:
        return Interval(mean, np.nan, np.nan)
    half = float(stats.t.ppf(0.975, count - 1) * known.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half)
