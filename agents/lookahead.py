"""Look before each decision at what every action would lead to under a base rule.

Source: the rollout algorithm (Tesauro and Galperin, On-line policy improvement using Monte-Carlo
search, NIPS 1996; Bertsekas, Tsitsiklis and Wu, Rollout algorithms for combinatorial optimization,
Journal of Heuristics 3, 1997). With exact expectations it is never worse than its base.

Rule. For every action that the mask allows, copy the simulation K times, each copy with a future of
its own, take the action there, then follow the base rule for H - 1 further decisions, and run what
is in flight to its end. Take the action of the least mean cost, violation price included, of all
requests that had not ended; if the base rule's action costs no more, take that. All actions meet
the same K futures (common random numbers).

It plays with the model that the judge plays with, so it is an upper rival for comparisons in
simulation, slow, and nothing to export. It knows what the scheduler knows, besides the episode's
load, time of day and factor on links, the scenario's distributions, and what little more
:class:`splitenv.branches.Branches` keeps. It may look past the end of an episode. Where holds mean
nothing (all disciplines but ``slack``), only actions without one are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from agents.heuristics.joint_greedy import JointGreedy
from agents.policy import Actions, Masks, Observations, Parameter, Policy

if TYPE_CHECKING:
    from splitenv.branches import Branches
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
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "futures": Parameter(16, 1, 256, "K: futures that every action is tried in"),
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
        """Make room for copies of one row: K for each action."""
        from splitenv.branches import Branches

        self._branches = Branches(simulator, int(self.futures) * self.context.actions)

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
            actions = np.union1d(np.flatnonzero(masks[row] & self._useful), usual)
            if len(actions) > 1:
                cost = self.look_ahead(row, actions).mean(axis=1)
                if cost.min() < cost[actions == usual][0] - _EQUAL:
                    chosen[row] = actions[cost.argmin()]
        return chosen

    def look_ahead(self, row: int, actions: Actions) -> npt.NDArray[np.float64]:
        """Cost that each action leads to in each future, shape (actions, futures)."""
        branches = self._branches
        assert branches is not None
        count, horizon = int(self.futures), int(self.horizon)
        index = int(branches.original.truth.world["index"][row])
        keys = branches.draw_keys(row, count, TRIES, [int(self.seed), index])
        branches.start(row, np.tile(keys, len(actions)), horizon)
        branches.decide(np.repeat(actions, count))
        rows = branches.used
        for _ in range(horizon - 1):
            branches.decide(self.base.act(branches.observation[:rows], branches.mask[:rows]))
        return branches.costs().reshape(len(actions), count)

    def describe(self) -> dict[str, Any]:
        """Say what decides: the parameters, and the base rule."""
        return {**super().describe(), "base": self.base.describe()}
