"""The features that matter: what a policy costs when it no longer knows them.

A group of features is *scrambled*: in each decision the policy sees, in their place, those of
another request, drawn from the states that it met itself, of a request for the same model that may
do the same. All else it sees as it is. What the world does is untouched, so that the cost of
playing on like this is what the policy draws from these features (permutation importance: Breiman,
*Random Forests*, Machine Learning 45, 2001; Fisher, Rudin and Dominici, JMLR 20, 2019).

Features that tell the same can stand in for each other: then each matters little by itself, which
is why families are scrambled together too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.evaluation import Outcomes, run_episodes
from agents.explain.played import States
from agents.policy import Actions, Masks, Observations, Policy
from agents.statistics import Interval, interval, ratios, resamples
from splitenv.context import Context
from splitenv.disciplines import HOLDING
from splitenv.scenario import Scenario
from splitenv.state import Array
from splitenv.tables import build_tables

BY_PLACEMENT = {"slack": "all slacks", "gpu": "all GPU shares"}
"""What features that there are one of for each placement are called together."""

FAMILIES = {
    "the request": ("device_time", "device_wait", "network_time", "gpu_time", "sla"),
    "queues and GPUs": (
        "gpu_wait", "waiting", "waiting_others", "uploading", "idle_gpus", "hold_left",
        "slack_left",
    ),
    "the load": ("load_fast", "load_slow", "rate_fast"),
}  # fmt: skip
"""Global features that say much the same."""


@dataclass(frozen=True)
class Group:
    """Features that are scrambled together: a name, and their columns."""

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Importance:
    """What scrambling a group does.

    Attributes
    ----------
    group
        Its name.
    changed
        Share of the decisions that change, in the states that the policy met itself.
    moved
        Mean change of the split ratio in them.
    cost, gpu, violations
        By how much cost and GPU cost a request, in all-cloud requests, and the share of violations
        exceed those of the policy that knows.
    """

    group: str
    changed: float
    moved: float
    cost: Interval
    gpu: Interval
    violations: Interval


class Scrambled(Policy):
    """A policy that sees some features of other requests.

    Parameters
    ----------
    policy
        Who decides.
    group
        What is scrambled.
    states
        Where the others are drawn from.
    seed
        Of the draws.
    """

    def __init__(self, policy: Policy, group: Group, states: States, seed: int) -> None:
        super().__init__()
        self.name = f"{policy.name} without {group.name}"
        self._policy, self._columns, self._seed = policy, np.array(group.columns), seed
        self._states = states

    def bind(self, context: Context) -> None:
        """Bind the policy; draws start anew."""
        super().bind(context)
        self._policy.bind(context)
        self._random = np.random.default_rng(self._seed)
        seen = self._states
        kinds = _kinds(context, seen.observations, seen.masks)
        self._alike = {kind: np.flatnonzero(kinds == kind) for kind in np.unique(kinds)}

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide on scrambled observations."""
        return self._policy.act(self.scramble(observations, masks), masks)

    def scramble(self, observations: Observations, masks: Masks) -> Observations:
        """Put other requests' features in the group's columns; where nobody is alike, none."""
        scrambled = observations.copy()
        kinds = _kinds(self.context, observations, masks)
        for kind in np.unique(kinds):
            alike = self._alike.get(kind)
            if alike is None:
                continue
            rows = np.flatnonzero(kinds == kind)
            drawn = alike[self._random.integers(len(alike), size=len(rows))]
            pairs = np.ix_(rows, self._columns), np.ix_(drawn, self._columns)
            scrambled[pairs[0]] = self._states.observations[pairs[1]]
        return scrambled


def _kinds(context: Context, observations: Observations, masks: Masks) -> Array:
    """A number for each request's model and possible placements, equal where both are."""
    possible = context.possible(masks).astype(np.int64)
    bits = possible @ (1 << np.arange(possible.shape[1], dtype=np.int64))
    return np.asarray(bits * len(context.tables.placements) + context.model(observations))


def groups(context: Context, observations: Observations) -> tuple[list[Group], list[str]]:
    """List the groups whose features vary, and the names of global features that never do."""
    names = [feature.name for feature in context.features]
    varies = np.ptp(observations, axis=0) > 0
    each = dict.fromkeys(name.partition("[")[0] for name in names if "[" in name)
    found = [
        Group(
            BY_PLACEMENT.get(stem, f"all {stem}"),
            tuple(k for k, name in enumerate(names) if name.startswith(f"{stem}[")),
        )
        for stem in each
    ]
    for family, members in FAMILIES.items():
        columns = [k for k, name in enumerate(names) if name in members and varies[k]]
        if len(columns) > 1:
            found.append(Group(family, tuple(columns)))
    single = [k for k, name in enumerate(names) if "[" not in name and name != "model"]
    found += [Group(names[k], (k,)) for k in single if varies[k]]
    return found, [names[k] for k in single if not varies[k]]


def importances(
    policy: Policy,
    scenario: Scenario,
    states: States,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[list[Importance], list[str]]:
    """Scramble each group, and play the episodes that ``states`` are of, from ``seed`` on.

    Parameters
    ----------
    progress
        Called with the name of the group that comes next.

    Returns
    -------
    tuple
        Importances, most costly first; and names of features that never vary in this scenario.
    """
    context = Context(build_tables(scenario))
    found, constant = groups(context, states.observations)
    episodes = len(states.outcomes.tally.sums)
    measured = []
    for group in found:
        progress(group.name)
        scrambled = Scrambled(policy, group, states, seed)
        outcomes = run_episodes(scrambled, scenario, episodes, seed)
        scrambled.bind(context)
        actions = scrambled.act(states.observations, states.masks)
        changed, moved = _changes(context, scenario, states, actions)
        differences = _differences(outcomes, states.outcomes, context.tables.norm, seed)
        measured.append(Importance(group.name, changed, moved, *differences))
    return sorted(measured, key=lambda each: -each.cost.value), constant


def _changes(
    context: Context, scenario: Scenario, states: States, actions: Array
) -> tuple[float, float]:
    """Share of decisions that differ, and the mean difference of their split ratios."""
    tables = context.tables
    model = context.model(states.observations)
    before, after = (tables.action_placement[each] for each in (states.actions, actions))
    other = before != after
    if scenario.dispatch.discipline in HOLDING:
        other = states.actions != actions
    moved = np.abs(tables.ratio[model, before] - tables.ratio[model, after])
    return float(other.mean()), float(moved.mean())


def _differences(of: Outcomes, other: Outcomes, norm: float, seed: int) -> list[Interval]:
    """Cost, GPU cost and violations a request beyond the other's, in the same episodes."""
    weights = resamples(len(of.tally.sums), seed)
    found = []
    for name, unit in (("cost", 1.0), ("gpu_cost", norm), ("in_time", -1.0)):
        mine, theirs = (
            ratios(each.sums[name], each.sums["requests"], weights) for each in (of, other)
        )
        found.append(interval((mine - theirs) / unit, weights.shape[1]))
    return found


def as_dict(of: Importance) -> dict[str, Any]:
    """Plain data for JSON."""
    plain = {name: vars(getattr(of, name)) for name in ("cost", "gpu", "violations")}
    return {"group": of.group, "changed": of.changed, "moved": of.moved, **plain}
