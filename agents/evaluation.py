"""Judge policies on the same worlds.

Every policy meets the same episodes: episode k has seed ``seed + k``, and arrivals, links and
devices are functions of the seed alone. What is compared is therefore the policies, and differences
are taken pairwise, episode by episode. Intervals are 95% bootstrap intervals over episodes, drawn
with the same resamples for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.heuristics.fixed import AllCloud
from agents.policy import Policy
from splitenv.context import Context
from splitenv.scenario import Scenario
from splitenv.simulator import NO_RESET, Simulator
from splitenv.tables import fleet

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
Progress = Callable[[int], None]
Keep = Callable[[Array], None]

RESAMPLES = 1000
QUANTILES = (0.5, 0.95, 0.99)
CHUNK = 32
IN_TIME, DROPPED = 1, 3

FIGURES = {
    "attainment": "share of requests in time",
    "gpu_seconds": "GPU seconds per request",
    "saving": "GPU seconds saved against all-cloud, as a share",
    "latency_p50": "median latency, s",
    "latency_p95": "95th percentile of latency, s",
    "latency_p99": "99th percentile of latency, s",
    "batch": "mean batch that a cloud request was served in",
    "device_share": "share of requests that ran on the device alone",
    "split_ratio": "mean split ratio",
    "utilisation": "share of time a GPU is busy, over the whole episode",
    "dropped": "share of requests dropped",
    "attainment_difference": "attainment minus all-cloud's",
}
"""What is measured of a policy, over the counted requests, and what it means."""


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% bootstrap interval; NaN where a single episode gives none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcomes:
    """What became of the counted requests of some episodes under one policy.

    Attributes
    ----------
    sums
        Sum of each quantity per episode, shape (episodes,), by name.
    latency
        Latency of each counted request in ascending order, s; infinite if dropped.
    episode
        The episode that each of those belongs to.
    tiers
        ``(requests, in time)`` per episode by device tier, each of shape (episodes,).
    """

    sums: dict[str, Floats]
    latency: Floats
    episode: npt.NDArray[np.int64]
    tiers: dict[str, tuple[Floats, Floats]]


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
        Everything in :data:`FIGURES`.
    tiers
        Attainment by device tier.
    outcomes
        What the figures were computed from.
    """

    label: str
    policy: dict[str, Any]
    figures: dict[str, Interval]
    tiers: dict[str, Interval]
    outcomes: Outcomes = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, sums per episode included."""
        return {
            "label": self.label,
            "policy": self.policy,
            "figures": {name: vars(figure) for name, figure in self.figures.items()},
            "tier_attainment": {tier: vars(figure) for tier, figure in self.tiers.items()},
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
    return Evaluation(
        label=label or policy.name,
        policy={
            **policy.describe(),
            "dispatch": policy.dispatch(scenario).model_dump(mode="json"),
        },
        figures=_figures(outcomes, reference, seed),
        tiers={
            tier: _ratio(met, requests, _resamples(episodes, seed))
            for tier, (requests, met) in outcomes.tiers.items()
        },
        outcomes=outcomes,
    )


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
    """Run a policy through episodes ``seed`` to ``seed + episodes - 1``, in chunks of ``envs``."""
    chunks = []
    scenario = policy.under(scenario)
    for first in range(0, episodes, envs):
        rows = min(envs, episodes - first)
        simulator = Simulator(scenario, rows, record=True)
        play(policy, simulator, seed + first + np.arange(rows))
        chunks.append(_outcomes(simulator, first))
        if keep is not None:
            keep(simulator.record)
        if progress is not None:
            progress(rows)
    return _join(chunks)


def play(policy: Policy, simulator: Simulator, seeds: Array) -> None:
    """Run one whole episode in every row of ``simulator``, each from its own seed."""
    policy.bind(Context(simulator.tables))
    simulator.seed(seeds)
    simulator.reset()
    for _ in range(simulator.settings.length):
        simulator.step(policy.act(simulator.observation, simulator.mask), NO_RESET)


def counted(simulator: Simulator) -> Array:
    """Return the records that count, shape (E, requests): no warm-up, no cool-down."""
    settings = simulator.settings
    return simulator.record[:, settings.warmup : settings.length - settings.warmup]


def _outcomes(simulator: Simulator, first: int) -> Outcomes:
    """Summarise the episodes that have just ended; ``first`` is the number of row 0's."""
    record, tables, metrics = counted(simulator), simulator.tables, simulator.finished
    completed = record["outcome"] != DROPPED
    met = record["outcome"] == IN_TIME
    cloud = record["batch"] > 0
    ratio = tables.ratio[record["model"], record["placement"]]
    latency = np.where(completed, record["complete"] - record["arrival"], np.inf)
    gpus = simulator.belief.clock["gpus"]
    sums = {
        "requests": np.full(len(record), float(record.shape[1])),
        "in_time": met.sum(axis=1),
        "dropped": (~completed).sum(axis=1),
        "gpu_seconds": record["gpu_seconds"].sum(axis=1),
        "on_device": (record["placement"] == 0).sum(axis=1),
        "split_ratio": ratio.sum(axis=1),
        "cloud_requests": cloud.sum(axis=1),
        "batch_members": record["batch"].sum(axis=1),
        "gpu_busy": metrics["busy_seconds"],
        "gpu_time": metrics["span"] * gpus,
    }
    episode = np.broadcast_to(first + np.arange(len(record))[:, None], record.shape)
    return Outcomes(
        sums={name: np.asarray(value, np.float64) for name, value in sums.items()},
        latency=latency.ravel(),
        episode=episode.ravel(),
        tiers=_by_tier(simulator, record, met),
    )


def _by_tier(simulator: Simulator, record: Array, met: Array) -> dict[str, tuple[Floats, Floats]]:
    tier_of = np.array([device.tier for device in fleet(simulator.scenario)])
    tier = tier_of[record["device"]]
    return {
        str(name): (
            np.asarray((tier == name).sum(axis=1), np.float64),
            np.asarray((met & (tier == name)).sum(axis=1), np.float64),
        )
        for name in dict.fromkeys(tier_of.tolist())
    }


def _join(chunks: list[Outcomes]) -> Outcomes:
    latency = np.concatenate([chunk.latency for chunk in chunks])
    order = np.argsort(latency, kind="stable")
    return Outcomes(
        sums={
            name: np.concatenate([chunk.sums[name] for chunk in chunks]) for name in chunks[0].sums
        },
        latency=latency[order],
        episode=np.concatenate([chunk.episode for chunk in chunks])[order],
        tiers={
            tier: (
                np.concatenate([chunk.tiers[tier][0] for chunk in chunks]),
                np.concatenate([chunk.tiers[tier][1] for chunk in chunks]),
            )
            for tier in chunks[0].tiers
        },
    )


def _figures(outcomes: Outcomes, reference: Outcomes, seed: int) -> dict[str, Interval]:
    sums, other = outcomes.sums, reference.sums
    weights = _resamples(len(sums["requests"]), seed)
    requests = sums["requests"]
    latencies = _quantiles(outcomes, weights)
    figures = {
        "attainment": _ratio(sums["in_time"], requests, weights),
        "gpu_seconds": _ratio(sums["gpu_seconds"], requests, weights),
        "saving": _ratio(other["gpu_seconds"] - sums["gpu_seconds"], other["gpu_seconds"], weights),
        "batch": _ratio(sums["batch_members"], sums["cloud_requests"], weights),
        "device_share": _ratio(sums["on_device"], requests, weights),
        "split_ratio": _ratio(sums["split_ratio"], requests, weights),
        "utilisation": _ratio(sums["gpu_busy"], sums["gpu_time"], weights),
        "dropped": _ratio(sums["dropped"], requests, weights),
        "attainment_difference": _ratio(sums["in_time"] - other["in_time"], requests, weights),
        **{f"latency_p{100 * q:.0f}": latency for q, latency in latencies.items()},
    }
    return {name: figures[name] for name in FIGURES}


def _resamples(episodes: int, seed: int) -> Floats:
    """How often each resample draws each episode, shape (1 + resamples, episodes); row 0 is all."""
    generator = np.random.default_rng([seed, episodes])
    counts = generator.multinomial(episodes, np.full(episodes, 1.0 / episodes), RESAMPLES)
    return np.vstack([np.ones(episodes), counts])


def _ratio(numerator: Floats, denominator: Floats, weights: Floats) -> Interval:
    """Sum over sum, with its interval; NaN where there is nothing to divide by."""
    below = weights @ denominator
    values = np.divide(
        weights @ numerator, below, out=np.full(len(weights), np.nan), where=below > 0
    )
    return _interval(values, weights.shape[1])


def _quantiles(outcomes: Outcomes, weights: Floats) -> dict[float, Interval]:
    """Quantiles of latency over all requests; the resamples weigh each episode's requests."""
    levels = np.array(QUANTILES)
    values = np.empty((len(weights), len(levels)))
    for row, weight in enumerate(weights):
        total = np.cumsum(weight[outcomes.episode])
        at = np.searchsorted(total, levels * total[-1])
        values[row] = outcomes.latency[np.minimum(at, len(total) - 1)]
    return {
        level: _interval(values[:, column], weights.shape[1])
        for column, level in enumerate(QUANTILES)
    }


def _interval(values: Floats, episodes: int) -> Interval:
    """Return the first of ``values`` with the middle 95% of the others."""
    known = values[1:][~np.isnan(values[1:])]
    if episodes < 2 or len(known) == 0:
        return Interval(float(values[0]), np.nan, np.nan)
    low, high = np.quantile(known, [0.025, 0.975], method="nearest")
    return Interval(float(values[0]), float(low), float(high))
