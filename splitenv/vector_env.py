"""Thousands of independent environments in one call, over the kernel that runs one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from splitenv.context import Context
from splitenv.env import Info, reject_options, spaces, valid_seed
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import NEXT_STEP, SAME_STEP, Simulator
from splitenv.state import Array
from splitenv.truth import METRICS

__all__ = ["SplitInferenceVectorEnv"]

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_MODES = {AutoresetMode.SAME_STEP: SAME_STEP, AutoresetMode.NEXT_STEP: NEXT_STEP}


class SplitInferenceVectorEnv(VectorEnv[Floats, npt.NDArray[np.int64], Array]):
    """``num_envs`` times :class:`~splitenv.env.SplitInferenceEnv`, which is the specification.

    Row k of ``reset(seed=s)`` is the single environment under seed s + k, byte for byte, whatever
    the other rows do. Arrays that are returned are the caller's to keep.

    Info is laid out as by gymnasium's ``SyncVectorEnv``: ``cost/gpu`` with the mask ``_cost/gpu``,
    and so on; in ``SAME_STEP`` mode a row that ended has its last observation in ``final_obs`` and
    its last info in ``final_info``; in ``NEXT_STEP`` mode ``episode_metrics`` comes with the last
    step, and the following one resets, ignores its action and pays nothing.

    Parameters
    ----------
    num_envs
        Number of environments.
    scenario, overrides, randomise
        As for the single environment.
    autoreset_mode
        ``SAME_STEP`` or ``NEXT_STEP``, as the enum or its value.
    stagger
        Let first episodes end at a random age, so that a training batch does not truncate all at
        once. A row then differs from the environment alone.
    threads
        Threads that share the rows; the outcome does not depend on it. More than one pays on an
        idle machine only.
    max_episode_steps
        Accepted as long as it is the scenario's own ``decisions``.

    Attributes
    ----------
    scenario
        What an episode is.
    simulator
        The simulation below.
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Scenario = "sd-mobile",
        overrides: Mapping[str, Any] | None = None,
        randomise: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        stagger: bool = False,
        threads: int = 1,
        max_episode_steps: int | None = None,
    ) -> None:
        for name, count in (("num_envs", num_envs), ("threads", threads)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        self._mode = _accepted_mode(autoreset_mode)
        self.scenario = load_scenario(scenario, overrides)
        if max_episode_steps not in (None, self.scenario.decisions):
            raise ValueError(
                f"max_episode_steps={max_episode_steps} is not the scenario's length: override "
                f"decisions, which is {self.scenario.decisions}"
            )
        self.simulator = Simulator(
            self.scenario, num_envs, randomise=randomise, stagger=stagger, threads=threads
        )
        self.num_envs = num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": self._mode}
        self.single_observation_space, self.single_action_space = spaces(self.simulator)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._actions = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)
        self._seeded = False
        self._running = False

    @cached_property
    def context(self) -> Context:
        """What a policy is bound to: the scenario's public tables."""
        return Context(self.simulator.tables)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Floats, Info]:
        """Start episode 1 of seeds ``seed + k`` (or of one seed a row), or each row's next episode.

        Raises
        ------
        ValueError
            If a seed is not in 0 to 2^64 - 1, their number is not ``num_envs``, or ``options`` are
            given: there are none.
        """
        reject_options(options)
        seeds = None if seed is None else self._seeds(seed)
        super().reset(seed=None if seeds is None else seeds[0])
        if seeds is None and not self._seeded:
            seeds = self._seeds(int(self.np_random.integers(2**63)))
        if seeds is not None:
            self.simulator.seed(seeds)
            self._seeded = True
        self.simulator.reset()
        self._running = True
        self._ended[:] = False
        return self.simulator.observation.copy(), {}

    def step(self, actions: Array | Sequence[int]) -> tuple[Floats, Floats, Bools, Bools, Info]:
        """Decide the pending request of every row and move to the next ones.

        Raises
        ------
        ResetNeeded
            Before the first reset.
        ValueError
            If the actions are not ``num_envs`` integers of the table.
        """
        if not self._running:
            raise ResetNeeded("there are no requests to decide: call reset() first")
        self._actions[:] = self._accepted(actions)
        simulator = self.simulator
        simulator.step(self._actions, _MODES[self._mode])
        truncated = simulator.truncated.copy()
        info = self._info(truncated)
        self._ended = truncated
        return (
            simulator.observation.copy(),
            simulator.reward.copy(),
            np.zeros(self.num_envs, np.bool_),
            truncated.copy(),
            info,
        )

    def action_masks(self) -> Bools:
        """Which actions each row's pending request can take, shape (N, A)."""
        return self.simulator.mask.copy()

    def _seeds(self, seed: int | Sequence[int]) -> list[int]:
        if isinstance(seed, (int, np.integer)):
            return [valid_seed(int(seed) + row) for row in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, one a row, got {len(seed)}")
        return [valid_seed(one) for one in seed]

    def _accepted(self, actions: Array | Sequence[int]) -> Array:
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be {self.num_envs} integers, one a row, got {actions.dtype} of "
                f"shape {actions.shape}"
            )
        last = self.simulator.actions - 1
        if actions.min() < 0 or actions.max() > last:
            row = int(np.argmax((actions < 0) | (actions > last)))
            raise ValueError(
                f"action {actions[row]} of row {row} is outside the space: integers from 0 to "
                f"{last}"
            )
        return actions

    def _info(self, ended: Bools) -> Info:
        gpu, violations = self.simulator.terms.T
        terms = {"cost/gpu": gpu, "cost/violations": violations}
        if self._mode is AutoresetMode.NEXT_STEP:
            info = _masked(terms, ~self._ended)
            return {**info, **self._metrics(ended)} if ended.any() else info
        if not ended.any():
            return _masked(terms, ~ended)
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended):
            final[row] = self.simulator.final_observation[row].copy()
        return {
            **_masked(terms, ~ended),
            "final_obs": final,
            "_final_obs": ended.copy(),
            "final_info": {**_masked(terms, ended), **self._metrics(ended)},
            "_final_info": ended.copy(),
        }

    def _metrics(self, ended: Bools) -> Info:
        finished = self.simulator.finished
        sums = {name: finished[name] for name in METRICS.names or ()}
        return {"episode_metrics": _masked(sums, ended), "_episode_metrics": ended.copy()}


def _masked(values: Mapping[str, Array], rows: Bools) -> Info:
    """Values of some rows, zero in the others, each with its mask; nothing if there are no rows."""
    if not rows.any():
        return {}
    info: Info = {}
    for name, value in values.items():
        info[name] = np.where(rows, value, 0.0)
        info[f"_{name}"] = rows.copy()
    return info


def _accepted_mode(mode: AutoresetMode | str) -> AutoresetMode:
    for accepted in _MODES:
        if mode in (accepted, accepted.value, accepted.name):
            return accepted
    names = " or ".join(repr(accepted.value) for accepted in _MODES)
    raise ValueError(f"autoreset_mode must be {names}, got {mode!r}")
