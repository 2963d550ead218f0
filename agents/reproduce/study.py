"""What the claims are measured with: worlds played in pieces, savings at equal attainment.

A saving is GPU time against all-cloud in the same episodes, where both answer as many requests in
time: 99%, or as many as all-cloud does where that is fewer. A rule is swept over its knob to get
there, as in every evaluation (docs/evaluation.md). All is computed in every resample at once, the
same ones for all worlds, so that intervals of differences and crossings are paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.curves import cost_at, curve
from agents.evaluation import CHUNK
from agents.items import ATTAINABLE, Item
from agents.judge import ALL_CLOUD
from agents.measures import Tally, join
from agents.runner import Runner
from agents.statistics import Floats, Interval, interval, ratio, resamples
from agents.suite import settings_of, tuned_spec
from splitenv.attainable import play_alone
from splitenv.scenario import Scenario
from splitenv.tables import build_tables

REFERENCE = "latency-bound+slack"
"""Closest to the reference's scheduler: the cloud share that just meets the latency target, and
batches only while every member still meets its own."""
STRONGEST = "joint-greedy+symphony"
"""The strongest rule that is shipped."""
RULES = (REFERENCE, STRONGEST)
TARGET = 0.99
POINTS = 7

Played = tuple[Scenario, Sequence[str]]


def settings(rule: str, tuned_for: str) -> list[str]:
    """Specs of a rule swept over its knob, about what it was tuned to for a scenario."""
    return settings_of(tuned_spec(rule, tuned_for), POINTS)[0]


@dataclass(frozen=True)
class Saved:
    """What a rule saves in a world.

    Attributes
    ----------
    asked
        Attainment that it is compared at.
    reached
        Whether it gets there; where not, the figures are those of the setting that comes closest.
    attainment
        Of what it is judged by.
    all_cloud, attainable
        All-cloud's attainment, and what could be had by anybody.
    saving
        Share of all-cloud's GPU time.
    saving_of_single
        Share of the GPU time of all-cloud if it served every request alone.
    samples, samples_of_single
        Those two by resample.
    """

    asked: float
    reached: bool
    attainment: Interval
    all_cloud: Interval
    attainable: Interval
    saving: Interval
    saving_of_single: Interval
    samples: Floats = field(repr=False)
    samples_of_single: Floats = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            key: vars(value) if isinstance(value, Interval) else value
            for key, value in vars(self).items()
            if not key.startswith("samples")
        }


class Study:
    """Plays and compares.

    Parameters
    ----------
    runner
        Plays pieces, or has them from the cache.
    episodes, seed
        Of every setting in every world; episode k has seed ``seed + k``.
    """

    def __init__(self, runner: Runner, episodes: int, seed: int) -> None:
        self.runner = runner
        self.episodes = episodes
        self.seed = seed
        self.weights = resamples(episodes, seed)

    def items(self, played: Iterable[Played]) -> list[Item]:
        """The pieces of settings in worlds, with all-cloud and what can be had in each."""
        return [
            item
            for world, specs in played
            for spec in dict.fromkeys((ATTAINABLE, ALL_CLOUD, *specs))
            for item in self._pieces(world, spec)
        ]

    def tally(self, world: Scenario, spec: str) -> Tally:
        """What became of a policy's requests in all episodes."""
        return join([self.runner.load(item) for item in self._pieces(world, spec)])

    def _pieces(self, world: Scenario, spec: str) -> list[Item]:
        last = self.seed + self.episodes
        return [
            Item(world, spec, first, min(CHUNK, last - first))
            for first in range(self.seed, last, CHUNK)
        ]

    def compare(self, world: Scenario, specs: Sequence[str]) -> Saved:
        """Say what a rule's settings save in a world at equal attainment."""
        could = self.tally(world, ATTAINABLE)
        cloud = curve([self.tally(world, ALL_CLOUD)], self.weights)
        swept = curve([self.tally(world, spec) for spec in specs], self.weights)
        missed = np.maximum(1.0 - TARGET, cloud.violations[:, 0])
        cost = cost_at(swept, missed)
        reached = bool(np.isfinite(cost[0]))
        asked = float(1.0 - missed[0])
        if not reached:
            best = np.lexsort((swept.cost[0], swept.violations[0]))[0]
            cost, missed = swept.cost[:, best], swept.violations[:, best]
        saved = 1.0 - cost / cloud.cost[:, 0]
        single = 1.0 - cost / float(build_tables(world).norm)
        return Saved(
            asked=asked,
            reached=reached,
            attainment=self.interval(1.0 - missed),
            all_cloud=self.interval(1.0 - cloud.violations[:, 0]),
            attainable=ratio(could.of("in_time"), could.of("requests"), self.weights),
            saving=self.interval(saved),
            saving_of_single=self.interval(single),
            samples=saved,
            samples_of_single=single,
        )

    def interval(self, values: Floats) -> Interval:
        """A figure in each resample, with its interval."""
        return interval(values, self.episodes)

    def alone(self, world: Scenario, targets: Floats) -> tuple[Floats, Floats]:
        """What the least cloud share that meets a latency target saves, without queue or batch.

        Every request runs alone, with its link and device as they are in its episode, under the
        placement with the least cloud that is in time; under all-cloud where none is.

        Returns
        -------
        saving, attainable : numpy.ndarray
            Share of all-cloud's GPU time that is saved, and of requests that are in time, by
            resample and target, shape (1 + resamples, targets).
        """
        seeds = self.seed + np.arange(self.episodes)
        latency = play_alone(world, seeds).latency
        ratios = build_tables(world).ratio[0]
        used, met = np.empty((2, self.episodes, len(targets)))
        for column, target in enumerate(targets):
            in_time = latency <= target
            some = in_time.any(axis=2)
            placement = np.where(some, in_time.argmax(axis=2), len(ratios) - 1)
            used[:, column] = ratios[placement].mean(axis=1)
            met[:, column] = some.mean(axis=1)
        return 1.0 - self._mean(used), self._mean(met)

    def _mean(self, values: Floats) -> Floats:
        return np.asarray(self.weights @ values / self.episodes)


def crossing(places: Sequence[float] | Floats, values: Floats, level: float) -> Floats:
    """Where a figure first reaches a level, straight between two places.

    Parameters
    ----------
    places
        Ascending.
    values
        By resample and place; minus infinity where there is none.

    Returns
    -------
    numpy.ndarray
        Shape (resamples,); the first place if it is reached there, infinite where it never is.
    """
    found = np.full(len(values), np.inf)
    for row, curve_of in enumerate(values):
        above = np.flatnonzero(curve_of >= level)
        if len(above) == 0:
            continue
        last = above[0]
        if last == 0 or not np.isfinite(curve_of[last - 1]):
            found[row] = places[last]
            continue
        low, high = curve_of[last - 1], curve_of[last]
        share = (level - low) / (high - low)
        found[row] = places[last - 1] + share * (places[last] - places[last - 1])
    return found


def reaches(
    places: Sequence[float], row: Sequence[Saved], level: float, *, single: bool = False
) -> Floats:
    """Where a rule first saves so much with 99% in time, by resample.

    Parameters
    ----------
    places
        Of the worlds in ``row``, ascending.
    single
        Whether to save it of all-cloud serving every request alone.
    """
    values = [each.samples_of_single if single else each.samples for each in row]
    counts = [each.reached and each.asked >= TARGET for each in row]
    points = [
        samples if count else np.full_like(samples, -np.inf)
        for samples, count in zip(values, counts, strict=True)
    ]
    return crossing(places, np.column_stack(points), level)
