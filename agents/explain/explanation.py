"""Everything that is found out about a bundle's policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.evaluation import Evaluation, Outcomes, judge, run_episodes
from agents.explain.imitation import Saving, Search, as_policy, plainest_tree, saving
from agents.explain.importance import Importance, importances
from agents.explain.maps import LOADS, Map, at_load, maps
from agents.explain.played import Exported, scenario_of, visit
from agents.heuristics.fixed import AllCloud
from agents.policy import Policy
from agents.statistics import resamples
from agents.tree import Tree
from splitenv.disciplines import HOLDING
from splitenv.parts import Dispatch
from splitenv.runtime.bundle import Bundle
from splitenv.scenario import Scenario

GROWN = 1 << 62
"""First seed of the episodes that trees are grown in; no evaluation uses them."""

LEAST_SAVING = 0.01
"""Share of all-cloud's GPU cost that a policy must save for a tree to have something to keep."""


@dataclass(frozen=True)
class Explained:
    """A tree that stands for the policy.

    Attributes
    ----------
    search
        The trees that were tried where it was grown.
    policy
        The one taken.
    saving
        What it keeps in the episodes that everybody is judged in, which it was not grown in.
    """

    search: Search
    policy: Tree
    saving: Saving


@dataclass(frozen=True)
class Explanation:
    """What there is to say about a policy.

    Attributes
    ----------
    policy, rules
        Its name, and those of the rules that it is compared with.
    scenario
        What the bundle was made for, with the discipline that the policy runs under.
    episodes, seed
        What everybody was judged in; maps of other loads have as many.
    maps
        One for each model.
    evaluations
        All-cloud, the rules, the policy, and the tree where there is one.
    importance, constant
        Of each group of features, most costly first; and features that never vary here.
    tree
        None if the policy saves too little for a tree to keep.
    """

    policy: str
    rules: tuple[str, ...]
    scenario: Scenario
    episodes: int
    seed: int
    maps: list[Map]
    evaluations: list[Evaluation]
    importance: list[Importance]
    constant: list[str]
    tree: Explained | None

    @property
    def holds(self) -> bool:
        """Whether holds count under the policy's discipline."""
        return self.scenario.dispatch.discipline in HOLDING

    @property
    def own(self) -> Evaluation:
        """How the policy itself did."""
        return self.evaluations[1 + len(self.rules)]


def explain(
    bundle: Bundle,
    rules: Mapping[str, Policy],
    *,
    episodes: int,
    seed: int,
    keep: float,
    tolerance: float,
    progress: Callable[[str], None],
) -> Explanation:
    """Find out what a bundle's policy decides, on what, and how plainly that can be said.

    Parameters
    ----------
    rules
        Whom to compare it with, by name.
    episodes, seed
        Episode k has seed ``seed + k``.
    keep, tolerance
        See :func:`agents.explain.imitation.plainest_tree`.
    progress
        Called with words for what comes next.
    """
    policy, scenario = Exported(bundle), scenario_of(bundle)
    visited = {}
    for load, factor in LOADS.items():
        progress(f"maps: {load} load")
        visited[load] = visit(policy, at_load(scenario, factor), episodes, seed)
    states = visited["nominal"]
    found = maps(scenario, list(visited.values()), policy.name, rules)
    progress("all-cloud and rules")
    cloud = _all_cloud(scenario, episodes, seed)
    evaluations = [judge(AllCloud(), at_once(scenario), cloud, cloud, seed)]
    for name, rule in rules.items():
        outcomes = run_episodes(rule, scenario, episodes, seed)
        evaluations.append(judge(rule, scenario, outcomes, cloud, seed, name))
    evaluations.append(judge(policy, scenario, states.outcomes, cloud, seed))
    measured, constant = importances(
        policy, scenario, states, seed, lambda group: progress(f"without {group}")
    )
    tree = None
    if evaluations[-1].figures["saving"].value >= LEAST_SAVING:
        search = _search(policy, scenario, episodes, keep, tolerance, progress)
        chosen = as_policy(search.root, scenario, policy.name)
        outcomes = run_episodes(chosen, scenario, episodes, seed)
        weights = resamples(episodes, seed)
        tree = Explained(search, chosen, saving(outcomes, states.outcomes, cloud, weights))
        evaluations.append(judge(chosen, scenario, outcomes, cloud, seed))
    return Explanation(
        policy=policy.name,
        rules=tuple(rules),
        scenario=scenario,
        episodes=episodes,
        seed=seed,
        maps=found,
        evaluations=evaluations,
        importance=measured,
        constant=constant,
        tree=tree,
    )


def _search(
    policy: Policy,
    scenario: Scenario,
    episodes: int,
    keep: float,
    tolerance: float,
    progress: Callable[[str], None],
) -> Search:
    """Grow trees in episodes of their own."""
    return plainest_tree(
        policy,
        scenario,
        visit(policy, scenario, episodes, GROWN),
        _all_cloud(scenario, episodes, GROWN),
        keep=keep,
        tolerance=tolerance,
        seed=GROWN,
        progress=lambda leaves: progress(f"a tree of {leaves} leaves"),
    )


def at_once(scenario: Scenario) -> Scenario:
    """The scenario under the default discipline: who has no hold is launched at once.

    All-cloud is the reference of savings; under a discipline that defers it would be another one.
    """
    return scenario.with_overrides({"dispatch": Dispatch().model_dump(mode="json")})


def _all_cloud(scenario: Scenario, episodes: int, seed: int) -> Outcomes:
    return run_episodes(AllCloud(), at_once(scenario), episodes, seed)
