"""Judge policies on the same worlds.

Every policy meets the same episodes: episode k has seed ``seed + k``, and arrivals, links and
devices are functions of the seed alone. What is compared is therefore the policies, and differences
are taken pairwise, episode by episode. Intervals are 95% bootstrap intervals over episodes, drawn
with the same resamples for everybody, see :mod:`agents.statistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.bounds.gaps import Floors, bound_figures
from agents.crossings import crossings
from agents.figures import FIGURES, QUANTILES, attainment_by, breakdown, figures
from agents.heuristics.fixed import AllCloud
from agents.measures import PER_EPISODE, QUANTITIES, Tally, counted, join, tally
from agents.policy import Policy
from agents.statistics import Floats, Interval, interval, resamples
from splitenv.accounting import DROPPED
from splitenv.context import Context
from splitenv.scenario import Scenario
from splitenv.simulator import NO_RESET, Simulator

Array = npt.NDArray[Any]
Progress = Callable[[int], None]
Keep = Callable[[Array], None]

CHUNK = 32


@dataclass(frozen=True)
class Outcomes:
    """What became of the counted requests of some episodes under one policy.

    Attributes
    ----------
    tally
        Sums by episode and group.
    latency
        Latency of each counted request in ascending order, s; infinite if dropped.
    episode
        The episode that each of those belongs to.
    """

    tally: Tally
    latency: Floats
    episode: npt.NDArray[np.int64]

    @property
    def sums(self) -> dict[str, Floats]:
        """Sum of each quantity per episode, shape (episodes,), by name."""
        return {name: self.tally.of(name) for name in (*QUANTITIES, *PER_EPISODE)}


@dataclass(frozen=True)
class Evaluation:
    """How one policy did.

    Attributes
    ----------
    label
        What reports call it: the spec that it was made from, or its name.
    policy
        The policy's own description, and the dispatch discipline that it ran under.
    figures
        Everything in :data:`agents.figures.FIGURES`.
    tiers
        Attainment by device tier.
    groups
        Attainment and latency quantiles by tier, SLA class and tenant, as plain data.
    crossings
        What crossed the network, see :func:`agents.crossings.crossings`.
    learned
        Whether it is a learned policy, and no rule.
    outcomes
        What the figures were computed from.
    """

    label: str
    policy: dict[str, Any]
    figures: dict[str, Interval]
    tiers: dict[str, Interval]
    groups: dict[str, dict[str, Any]]
    crossings: list[dict[str, Any]]
    learned: bool
    outcomes: Outcomes = field(repr=False)

    def within(self, precision: float) -> bool:
        """Whether saving and attainment are known to plus or minus ``precision``."""
        return all(self.figures[name].half <= precision for name in ("saving", "attainment"))

    def against(self, floors: Floors) -> Evaluation:
        """The same with the figures of how far it is above the bound."""
        return replace(self, figures=self.figures | bound_figures(self.outcomes.tally, floors))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, sums per episode included."""
        return {
            "label": self.label,
            "policy": self.policy,
            "figures": {name: vars(figure) for name, figure in self.figures.items()},
            "groups": self.groups,
            "crossings": self.crossings,
            "learned": self.learned,
            "episodes": self.outcomes.sums,
        }


def evaluate(
    policy: Policy,
    scenario: Scenario,
    episodes: int,
    seed: int = 0,
    envs: int = CHUNK,
    *,
    label: str | None = None,
    reference: Outcomes | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Evaluation:
    """Run a policy through episodes of a scenario and measure it.

    Parameters
    ----------
    policy
        Bound to the scenario here.
    episodes, seed
        Episode k has seed ``seed + k``.
    envs
        How many episodes run side by side; bounds the memory.
    reference
        All-cloud's outcomes in the same episodes; run here if not given.
    progress
        Called with the number of episodes that have ended since its last call.
    keep
        Called with the policy's records of those episodes, shape (E, decisions).
    """
    outcomes = run_episodes(policy, scenario, episodes, seed, envs, progress=progress, keep=keep)
    if reference is None:
        reference = run_episodes(AllCloud(), scenario, episodes, seed, envs)
    return judge(policy, scenario, outcomes, reference, seed, label)


def judge(
    policy: Policy,
    scenario: Scenario,
    outcomes: Outcomes,
    reference: Outcomes,
    seed: int,
    label: str | None = None,
) -> Evaluation:
    """Measure what became of a policy's requests, against all-cloud in the same episodes."""
    weights = resamples(len(outcomes.tally.sums), seed)
    computed = figures(outcomes.tally, reference.tally, weights) | _latencies(outcomes, weights)
    computed |= bound_figures(outcomes.tally, None)
    return Evaluation(
        label=label or policy.name,
        policy=description(policy, scenario),
        figures={name: computed[name] for name in FIGURES},
        tiers=attainment_by("tier", outcomes.tally, weights),
        groups=breakdown(outcomes.tally, weights),
        crossings=crossings(outcomes.tally, scenario, weights),
        learned=bool(policy.fingerprint()),
        outcomes=outcomes,
    )


def description(policy: Policy, scenario: Scenario) -> dict[str, Any]:
    """Say what decides and under which dispatch discipline, as plain data."""
    return {**policy.describe(), "dispatch": policy.dispatch(scenario).model_dump(mode="json")}


def run_episodes(
    policy: Policy,
    scenario: Scenario,
    episodes: int,
    seed: int = 0,
    envs: int = CHUNK,
    *,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Outcomes:
    """Run a policy through episodes ``seed`` to ``seed + episodes - 1``, in chunks of ``envs``.

    The first is number 0 in what is returned.
    """
    chunks = []
    scenario = policy.under(scenario)
    for first in range(0, episodes, envs):
        rows = min(envs, episodes - first)
        simulator = Simulator(scenario, rows, record=True)
        play(policy, simulator, seed + first + np.arange(rows))
        chunks.append(_outcomes(simulator))
        if keep is not None:
            keep(simulator.record)
        if progress is not None:
            progress(rows)
    return join_outcomes(chunks)


def play(policy: Policy, simulator: Simulator, seeds: Array) -> None:
    """Run one whole episode in every row of ``simulator``, each from its own seed."""
    policy.bind(Context(simulator.tables))
    policy.attach(simulator)
    simulator.seed(seeds)
    simulator.reset()
    for _ in range(simulator.settings.length):
        simulator.step(policy.act(simulator.observation, simulator.mask), NO_RESET)


def _outcomes(simulator: Simulator) -> Outcomes:
    """Summarise the episodes that have just ended."""
    record = counted(simulator)
    latency = np.where(record["outcome"] == DROPPED, np.inf, record["complete"] - record["arrival"])
    episode = np.broadcast_to(np.arange(len(record))[:, None], record.shape)
    return Outcomes(tally(simulator), latency.ravel(), episode.ravel())


def join_outcomes(parts: list[Outcomes]) -> Outcomes:
    """Put episodes together, one part after the other."""
    latency = np.concatenate([part.latency for part in parts])
    before = np.cumsum([0, *(len(part.tally.sums) for part in parts)])
    episode = [part.episode + count for part, count in zip(parts, before, strict=False)]
    order = np.argsort(latency, kind="stable")
    return Outcomes(
        tally=join([part.tally for part in parts]),
        latency=latency[order],
        episode=np.concatenate(episode)[order],
    )


def _latencies(outcomes: Outcomes, weights: Floats) -> dict[str, Interval]:
    """Quantiles of latency over all requests."""
    values = quantiles(outcomes.latency, outcomes.episode, weights, QUANTILES)
    return {
        f"latency_p{100 * level:.0f}": interval(values[:, column], weights.shape[1])
        for column, level in enumerate(QUANTILES)
    }


def quantiles(
    values: Floats, episode: npt.NDArray[np.int64], weights: Floats, levels: Sequence[float]
) -> Floats:
    """Quantiles in each resample, where each episode's values weigh as often as it is drawn.

    Parameters
    ----------
    values
        Ascending.
    episode
        The episode that each of them belongs to.
    weights
        From :func:`agents.statistics.resamples`.

    Returns
    -------
    numpy.ndarray
        Shape (1 + resamples, levels).
    """
    found = np.empty((len(weights), len(levels)))
    for row, weight in enumerate(weights):
        total = np.cumsum(weight[episode])
        at = np.searchsorted(total, np.asarray(levels) * total[-1])
        found[row] = values[np.minimum(at, len(total) - 1)]
    return found
