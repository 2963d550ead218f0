"""Look before each decision at what every action would lead to under a base rule.

Source: the rollout algorithm (Tesauro and Galperin, On-line policy improvement using Monte-Carlo
search, NIPS 1996; Bertsekas, Tsitsiklis and Wu, Rollout algorithms for combinatorial optimization,
Journal of Heuristics 3, 1997). With exact expectations it is never worse than its base.

Rule. An action is tried in a future like this: copy the simulation, give the copy a future of its
own, take the action there, follow the base rule for H - 1 further decisions, and run what is in
flight to its end; what it costs is the cost, violation price included, of all requests that had not
ended. Every action that the mask allows is tried in the same K futures (common random numbers);
then the better half of those that are not the base rule's goes on, with it, to as many more, and so
on until one is left (sequential halving: Karnin, Koren and Somekh, ICML 2013), as violations are
rare and dear. That one is taken if its mean cost is below that of the base rule's action.

It plays with the model that the judge plays with, so it is an upper rival for comparisons in
simulation, slow, and nothing to export. It knows what the scheduler knows, besides the episode's
load, time of day and factor on links, the scenario's distributions, and what little more
:class:`splitenv.branches.Branches` keeps. It may look past the end of an episode. Where holds mean
nothing (all disciplines but ``slack``), only actions without one are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.heuristics.joint_greedy import JointGreedy
from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.branches import Branches, Keys
    from splitenv.context import Context
    from splitenv.parts import Dispatch
    from splitenv.scenario import Scenario
    from splitenv.simulator import Simulator

TRIES = 32
"""Futures that are drawn for each one that is kept."""
_EQUAL = 1e-9


class Lookahead(Policy):
    """The action whose imagined consequences cost least.

    Parameters
    ----------
    base
        The rule that the imagined future follows; ``joint-greedy`` if not given.
    **values
        As for every policy.
    """

    name = "lookahead"
    parameters: Mapping[str, Parameter] = {
        "futures": Parameter(8, 1, 256, "K: futures that every action is tried in"),
        "horizon": Parameter(32, 1, 1024, "H: decisions that are looked ahead, this one included"),
        "seed": Parameter(0, 0, 2**31, "seed of the futures"),
    }
    futures: float
    horizon: float
    seed: float

    def __init__(self, base: Policy | None = None, **values: float) -> None:
        super().__init__(**values)
        self.base = base or JointGreedy()
        self._branches: Branches | None = None

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Name the discipline of the base rule."""
        return self.base.dispatch(scenario)

    def bind(self, context: Context) -> None:
        """Learn the tables; it then needs a simulator to look ahead in."""
        from splitenv.disciplines import SLACK

        super().bind(context)
        self.base.bind(context)
        self._branches = None
        tables = context.tables
        self._useful = (tables.action_hold == 0.0) | (tables.discipline == SLACK)

    def attach(self, simulator: Simulator) -> None:
        """Make room for the copies of one row that a round needs."""
        from splitenv.branches import Branches

        rounds = schedule(self.context.actions - 1, int(self.futures))
        self._branches = Branches(simulator, max((1 + left) * count for left, count in rounds))

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Apply the rule of the module's docstring.

        Raises
        ------
        ValueError
            If it was attached to no simulator.
        """
        if self._branches is None:
            raise ValueError(
                "lookahead rolls the simulator forward that it plays in, and was given none: it "
                "can be evaluated, not exported"
            )
        chosen = self.base.act(observations, masks)
        for row, usual in enumerate(chosen.tolist()):
            actions = np.flatnonzero(masks[row] & self._useful)
            rivals = actions[actions != usual]
            if len(rivals) > 0:
                chosen[row] = self._best(row, usual, rivals)
        return chosen

    def _best(self, row: int, usual: int, rivals: Actions) -> int:
        """Halve the rivals until one is left, and take it if it costs less than the usual."""
        rounds = schedule(len(rivals), int(self.futures))
        keys = self._futures_of(row, sum(count for _, count in rounds))
        total = np.zeros(1 + len(rivals))
        actions = np.concatenate([[usual], rivals])
        seen = 0
        for left, count in rounds:
            better = 1 + np.argsort(total[1:], kind="stable")[:left]
            kept = np.concatenate([[0], np.sort(better)])
            actions, total = actions[kept], total[kept]
            total += self.look_ahead(row, actions, keys[seen : seen + count]).sum(axis=1)
            seen += count
        return int(actions[1] if total[1] < total[0] - _EQUAL * seen else usual)

    def _futures_of(self, row: int, count: int) -> Keys:
        """Draw futures of a row; they depend on the number of the request, not on the row."""
        assert self._branches is not None
        index = int(self._branches.original.truth.world["index"][row])
        return self._branches.draw_keys(row, count, TRIES, [int(self.seed), index])

    def look_ahead(self, row: int, actions: Actions, keys: Keys) -> npt.NDArray[np.float64]:
        """Cost that each action leads to in each future, shape (actions, futures)."""
        branches = self._branches
        assert branches is not None
        horizon = int(self.horizon)
        branches.start(row, np.tile(keys, len(actions)), horizon)
        branches.decide(np.repeat(actions, len(keys)))
        rows = branches.used
        for _ in range(horizon - 1):
            branches.decide(self.base.act(branches.observation[:rows], branches.mask[:rows]))
        return branches.costs().reshape(len(actions), len(keys))

    def describe(self) -> dict[str, Any]:
        """Say what decides: the parameters, and the base rule."""
        return {**super().describe(), "base": self.base.describe()}


def schedule(rivals: int, futures: int) -> list[tuple[int, int]]:
    """How many rivals each round has, and how many futures it adds: as many as there were."""
    rounds = [(rivals, futures)]
    while rivals > 1:
        rivals = (rivals + 1) // 2
        rounds.append((rivals, sum(count for _, count in rounds)))
    return rounds
