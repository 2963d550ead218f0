"""The plainest tree that keeps a policy's saving.

Trees of more and more leaves are fitted to what the policy decides and played; the first that keeps
enough of its saving, at its attainment, is taken. A tree comes to states that the policy never let
happen, so what the policy would do in each tree's own states joins what the next is fitted to
(DAgger: Ross, Gordon and Bagnell, *A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning*, AISTATS 2011). Each size is tried twice for that reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agents.evaluation import Outcomes
from agents.explain.growing import grow, sample
from agents.explain.played import States, visit
from agents.policy import Policy
from agents.statistics import Floats, Interval, interval, ratios
from agents.tree import Node, Tree, TreeFile
from splitenv.context import Context
from splitenv.disciplines import HOLDING
from splitenv.scenario import Scenario
from splitenv.state import Array
from splitenv.tables import build_tables

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)
"""Leaves of the trees that are tried."""

TRIES = 2
MOST_STATES = 40_000
"""Most states that a tree is fitted to; of more, so many are drawn."""


@dataclass(frozen=True)
class Saving:
    """What a tree keeps of its policy's saving in GPU cost against all-cloud, and how late it is.

    Attributes
    ----------
    kept
        Share of the saving.
    attainment
        The tree's attainment minus the policy's.
    """

    kept: Interval
    attainment: Interval


@dataclass(frozen=True)
class Attempt:
    """A tree of some size, the better of those tried, and what it keeps where it was grown."""

    root: Node
    saving: Saving


@dataclass(frozen=True)
class Search:
    """The trees that were tried, by size; the last is taken.

    Attributes
    ----------
    enough
        Whether it keeps what was asked for.
    """

    attempts: tuple[Attempt, ...]
    enough: bool

    @property
    def root(self) -> Node:
        """The tree taken."""
        return self.attempts[-1].root


def plainest_tree(
    policy: Policy,
    scenario: Scenario,
    of: States,
    reference: Outcomes,
    *,
    keep: float,
    tolerance: float,
    seed: int,
    progress: Callable[[int], None],
) -> Search:
    """Find the smallest tree that keeps a share of a policy's saving.

    Parameters
    ----------
    policy
        Whom to imitate.
    scenario
        With the discipline that the policy runs under.
    of
        Whole episodes of the policy, from ``seed`` on: the tree plays the same ones.
    reference
        All-cloud's outcomes in them.
    keep
        Share of the saving to keep.
    tolerance
        By how much the tree's attainment may be lower than the policy's.
    progress
        Called with the leaves of the tree that comes next.
    """
    holds = scenario.dispatch.discipline in HOLDING
    context = Context(build_tables(scenario))
    episodes = len(reference.tally.sums)
    seen: list[tuple[Array, ...]] = [(of.observations, of.masks, of.actions)]
    random = np.random.default_rng(seed)
    attempts: list[Attempt] = []
    for leaves in SIZES:
        progress(leaves)
        tried = []
        for _ in range(TRIES):
            observations, masks, actions = _some(seen, random)
            root = grow(sample(context, observations, masks, actions, holds), leaves)
            own = visit(as_policy(root, scenario), scenario, episodes, seed)
            tried.append(Attempt(root, saving(own.outcomes, of.outcomes, reference)))
            if _enough(tried[-1].saving, keep, tolerance):
                return Search((*attempts, tried[-1]), enough=True)
            policy.bind(context)
            seen.append((own.observations, own.masks, policy.act(own.observations, own.masks)))
        attempts.append(max(tried, key=lambda each: each.saving.attainment.value))
    return Search(tuple(attempts), enough=False)


def _enough(of: Saving, keep: float, tolerance: float) -> bool:
    return of.kept.value >= keep and of.attainment.value >= -tolerance


def _some(seen: list[tuple[Array, ...]], random: np.random.Generator) -> list[Array]:
    """Put states together; of too many, draw some by lot."""
    together = [np.concatenate(parts) for parts in zip(*seen, strict=True)]
    if len(together[0]) <= MOST_STATES:
        return together
    drawn = np.sort(random.choice(len(together[0]), MOST_STATES, replace=False))
    return [part[drawn] for part in together]


def as_policy(root: Node, scenario: Scenario, of: str = "") -> Tree:
    """Make a policy of a tree, under the scenario's discipline."""
    return Tree(TreeFile(scenario=scenario.name, of=of, dispatch=scenario.dispatch, root=root))


def saving(
    of: Outcomes, policy: Outcomes, reference: Outcomes, weights: Floats | None = None
) -> Saving:
    """Compare a tree's GPU cost and attainment with its policy's, in the same episodes.

    Parameters
    ----------
    weights
        Resamples of the episodes for intervals; without them there are none.
    """
    if weights is None:
        weights = np.ones((1, len(reference.tally.sums)))
    tree, teacher, cloud = (
        {
            name: ratios(each.sums[name], each.sums["requests"], weights)
            for name in ("gpu_cost", "in_time")
        }
        for each in (of, policy, reference)
    )
    kept = (cloud["gpu_cost"] - tree["gpu_cost"]) / (cloud["gpu_cost"] - teacher["gpu_cost"])
    late = tree["in_time"] - teacher["in_time"]
    episodes = weights.shape[1]
    return Saving(_interval(kept, episodes), _interval(late, episodes))


def _interval(values: Floats, episodes: int) -> Interval:
    if len(values) == 1:
        return Interval(float(values[0]), np.nan, np.nan)
    return interval(values, episodes)
