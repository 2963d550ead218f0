"""The simulator as Stable-Baselines3 sees it: a ``VecEnv`` without a Gymnasium layer in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from agents.pressure import PRICES, Constraint, LoadBands, Preferences, RewardScale
from agents.privileged import PRIVILEGED, Privileged
from splitenv.disciplines import HOLDING
from splitenv.features import bounds
from splitenv.parts import Dispatch
from splitenv.simulator import SAME_STEP, Simulator
from splitenv.state import Tables
from splitenv.truth import METRICS

Array = npt.NDArray[Any]
Infos = list[dict[str, Any]]

_TRAINING = np.uint64(1 << 63)


def training_seeds(seed: int, envs: int) -> npt.NDArray[np.uint64]:
    """Environment seeds of a training run: the top bit is set, which no evaluation's seed has."""
    drawn = np.random.SeedSequence(seed).generate_state(envs, np.uint64)
    return np.asarray(drawn | _TRAINING, np.uint64)


class SplitVecEnv(VecEnv):
    """Environments of one scenario, stepped together, as Stable-Baselines3 wants them.

    A truncated episode is followed at once by the next one's first observation; its last goes to
    ``infos[k]["terminal_observation"]``, beside ``TimeLimit.truncated``, ``episode`` (return,
    length and what the simulator counted, the drain included). When nothing ended, all rows share
    one empty dictionary.

    Parameters
    ----------
    simulator
        Staggered and randomised as the training wants it.
    scale
        Scales the rewards that are handed out; episode returns stay in units of cost.
    constraint, preferences
        What a violation costs, at most one of them; preferences add a column to observations.
    privileged
        Whether columns for the critic alone follow.

    Attributes
    ----------
    choices
        The actions that are offered, by their index in the action table: those without a hold where
        the discipline counts none.
    """

    def __init__(
        self,
        simulator: Simulator,
        scale: RewardScale | None = None,
        *,
        constraint: Constraint | None = None,
        preferences: Preferences | None = None,
        privileged: bool = False,
    ) -> None:
        self.simulator = simulator
        self.scale = scale
        self.constraint = constraint
        self.preferences = preferences
        self.choices = choices_of(simulator.tables, simulator.scenario.dispatch)
        self.bands = LoadBands(simulator)
        self.privileged = Privileged(simulator, self.strata) if privileged else None
        low, high = bounds(simulator.tables.enter.shape[1])
        more = np.ones((preferences is not None) + PRIVILEGED * privileged, np.float32)
        low, high = np.append(low, -more), np.append(high, more)
        offered = spaces.Discrete(len(self.choices))
        super().__init__(simulator.envs, spaces.Box(low, high), offered)
        self._actions: Array = np.zeros(self.num_envs, np.int64)
        self._nothing_ended: Infos = [{}] * self.num_envs
        self._behind: list[Array] = []

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed every environment; the next reset starts episode 1 of its seed."""
        if seed is None:
            seed = int(np.random.default_rng().integers(2**32))
        seeds = training_seeds(seed, self.num_envs)
        self.simulator.seed(seeds)
        return [int(value) for value in seeds]

    def reset(self) -> npt.NDArray[np.float32]:
        """Start the next episode everywhere and return the first observations."""
        self.simulator.reset()
        if self.scale is not None:
            self.scale.returns[:] = 0.0
        if self.constraint is not None:
            self.constraint.reset()
        if self.preferences is not None:
            self.preferences.draw(np.arange(self.num_envs))
        return self.observation()

    def observation(self) -> npt.NDArray[np.float32]:
        """A copy of what the last reset or step gave: Stable-Baselines3 keeps a reference."""
        knob = [] if self.preferences is None else [np.array(self.preferences.knob)]
        self._behind = knob if self.privileged is None else [*knob, self.privileged()]
        return np.concatenate([self.simulator.observation, *self._behind], axis=1)

    def step_async(self, actions: Array) -> None:
        """Take in the choices, shape (E,)."""
        self._actions = self.choices[np.asarray(actions, np.int64)]

    def step_wait(self) -> tuple[Array, Array, Array, Infos]:
        """Step, and return observations, rewards, dones and infos."""
        simulator = self.simulator
        stratum = self.strata()
        simulator.step(self._actions, SAME_STEP)
        ended = np.array(simulator.truncated)
        reward = self.paid()
        if self.preferences is not None:
            reward = self.preferences.weigh(reward)
        if self.scale is not None:
            reward = self.scale(reward, ended, stratum)
        infos = self._nothing_ended
        if ended.any():
            rows = np.flatnonzero(ended)
            infos = self._infos(rows)
            if self.constraint is not None:
                self.constraint.ended(rows)
            if self.preferences is not None:
                self.preferences.draw(rows)
        return self.observation(), reward, ended, infos

    def strata(self) -> npt.NDArray[np.int64]:
        """Which band of load, and within it of price, each running episode is in, shape (E,)."""
        price = 0 if self.preferences is None else self.preferences.bands()
        return self.bands() * PRICES + price

    def paid(self) -> Array:
        """What the step just made pays, shape (E,), before it is weighed and scaled."""
        return np.array(self.simulator.reward)

    def _infos(self, rows: Array) -> Infos:
        infos = list(self._nothing_ended)
        for row in rows.tolist():
            finished = self.simulator.finished[row]
            last = self.simulator.final_observation[row]
            counted = {name: float(finished[name]) for name in METRICS.names or ()}
            infos[row] = {
                "terminal_observation": np.concatenate(
                    [last, *(each[row] for each in self._behind)]
                ),
                "TimeLimit.truncated": True,
                "episode": {
                    "r": counted["total_reward"],
                    "l": int(counted["total_requests"]),
                    **counted,
                },
            }
        return infos

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Answer ``action_masks``, which sb3-contrib asks for before every step, one row each."""
        if method_name != "action_masks":
            raise AttributeError(f"SplitVecEnv has no method {method_name!r}; only 'action_masks'")
        return list(
            self.action_masks() if indices is None else self.action_masks()[self._rows(indices)]
        )

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which choices each pending request has, shape (E, C)."""
        return np.asarray(self.simulator.mask[:, self.choices])

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """One value for each environment of an attribute that all share."""
        if attr_name not in ("action_masks", "render_mode", "spec", "metadata"):
            raise AttributeError(f"SplitVecEnv has no attribute {attr_name!r}")
        shared = {"action_masks": self.action_masks, "metadata": {"render_modes": []}}
        return [shared.get(attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not there: environments share everything but their state."""
        raise AttributeError(f"SplitVecEnv has no attribute {attr_name!r} to set")

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Nothing is wrapped."""
        return [False] * len(self._rows(indices))

    def close(self) -> None:
        """Nothing to release."""

    def _rows(self, indices: VecEnvIndices) -> Array:
        return np.array(list(self._get_indices(indices)), np.int64)


def choices_of(tables: Tables, dispatch: Dispatch) -> npt.NDArray[np.int64]:
    """The actions that differ under a discipline, by index in the action table."""
    if dispatch.discipline in HOLDING:
        return np.arange(len(tables.action_placement))
    return np.flatnonzero(np.asarray(tables.action_hold) == 0.0)
