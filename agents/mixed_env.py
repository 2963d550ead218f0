"""Environments of several scenarios side by side, as one: what a policy for any GPU is trained in.

All parts have the same observations and choices. What differs is the world behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from agents.vec_env import Infos, SplitVecEnv, training_seeds

Array = npt.NDArray[Any]


class MixedVecEnv(VecEnv):
    """The rows of all parts, one part after the other.

    Parameters
    ----------
    parts
        At least one; all with the observations and choices of the first.

    Attributes
    ----------
    choices
        The actions that are offered, by their index in the action table.

    Raises
    ------
    ValueError
        If one has others.
    """

    def __init__(self, parts: Sequence[SplitVecEnv]) -> None:
        self.parts = list(parts)
        first = self.parts[0]
        for part in self.parts[1:]:
            same = part.observation_space == first.observation_space
            if not same or not np.array_equal(part.choices, first.choices):
                raise ValueError("parts of a mixed environment need the same spaces")
        super().__init__(
            sum(part.num_envs for part in self.parts), first.observation_space, first.action_space
        )
        self.choices = first.choices
        self._ends = np.cumsum([part.num_envs for part in self.parts])[:-1]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed every environment; the next reset starts episode 1 of its seed."""
        if seed is None:
            seed = int(np.random.default_rng().integers(2**32))
        seeds = training_seeds(seed, self.num_envs)
        for part, own in zip(self.parts, np.split(seeds, self._ends), strict=True):
            part.simulator.seed(own)
        return [int(value) for value in seeds]

    def reset(self) -> npt.NDArray[np.float32]:
        """Start the next episode everywhere and return the first observations."""
        return np.concatenate([part.reset() for part in self.parts])

    def observation(self) -> npt.NDArray[np.float32]:
        """A copy of what the last reset or step gave."""
        return np.concatenate([part.observation() for part in self.parts])

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which choices each pending request has, shape (E, C)."""
        return np.concatenate([part.action_masks() for part in self.parts])

    def step_async(self, actions: Array) -> None:
        """Take in the choices, shape (E,)."""
        for part, own in zip(self.parts, np.split(actions, self._ends), strict=True):
            part.step_async(own)

    def step_wait(self) -> tuple[Array, Array, Array, Infos]:
        """Step, and return observations, rewards, dones and infos."""
        observations, rewards, ended, infos = zip(
            *(part.step_wait() for part in self.parts), strict=True
        )
        return (
            np.concatenate(observations),
            np.concatenate(rewards),
            np.concatenate(ended),
            [info for part in infos for info in part],
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Answer ``action_masks``, which sb3-contrib asks for before every step, one row each."""
        if method_name != "action_masks":
            raise AttributeError(f"MixedVecEnv has no method {method_name!r}; only 'action_masks'")
        masks = self.action_masks()
        return list(masks if indices is None else masks[list(self._get_indices(indices))])

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """One value for each environment of an attribute that all share."""
        value = self.parts[0].get_attr(attr_name, indices=[0])[0]
        return [value] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not there: environments share everything but their state."""
        self.parts[0].set_attr(attr_name, value, indices)

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Nothing is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def close(self) -> None:
        """Nothing to release."""
