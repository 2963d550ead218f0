"""Other views of the action: two levels, or two shares; for one environment or a batch of them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete, Space
from gymnasium.vector import VectorActionWrapper
from gymnasium.vector.utils import batch_space

from splitenv.actions import HOLD_LEVELS, encode
from splitenv.env import SplitInferenceEnv
from splitenv.state import Array
from splitenv.vector_env import SplitInferenceVectorEnv

__all__ = ["Levels", "Shares", "VectorLevels", "VectorShares"]

Bools = npt.NDArray[np.bool_]


class Levels(gymnasium.ActionWrapper[Array, Array, Any]):
    """Actions as ``MultiDiscrete``: (split level, hold level).

    The split level is the placement's place in the order of split ratios, 0 all-device and the last
    all-cloud; the hold level an index into :data:`splitenv.actions.HOLD_LEVELS`, which all-device
    ignores.
    """

    def __init__(self, env: gymnasium.Env[Array, Any]) -> None:
        super().__init__(env)
        self.action_space = _levels(_single(env))

    def action(self, action: Array) -> Any:
        """Look up a (split level, hold level) in the action table."""
        _check(self.action_space, action)
        return int(_encode_levels(np.asarray(action)))

    def action_masks(self) -> Bools:
        """Masks of the split levels, then of the hold levels (always all), one vector."""
        return _level_masks(_single(self.env).action_masks()[None]).ravel()


class VectorLevels(VectorActionWrapper[Array, Array, Array, Array]):
    """:class:`Levels` for a batch: actions of shape (N, 2)."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.single_action_space = _levels(_batch(env))
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def actions(self, actions: Array) -> Array:
        """Numbers in the action table, shape (N,)."""
        _check(self.action_space, actions)
        return _encode_levels(np.asarray(actions))

    def action_masks(self) -> Bools:
        """Masks of the split levels, then of the hold levels (always all), one row each."""
        return _level_masks(_batch(self.env).action_masks())


class Shares(gymnasium.ActionWrapper[Array, Array, Any]):
    """Actions as ``Box``: (split ratio, hold share), each in [0, 1].

    Taken as the placement of the requested model with the nearest split ratio and as the nearest
    hold level, the lower one of two that are equally near.
    """

    def __init__(self, env: gymnasium.Env[Array, Any]) -> None:
        super().__init__(env)
        self.action_space = _shares()

    def action(self, action: Array) -> Any:
        """Look up the nearest (split ratio, hold share) in the action table."""
        _check(self.action_space, action)
        return int(_encode_shares(_single(self.env), np.asarray(action)[None])[0])


class VectorShares(VectorActionWrapper[Array, Array, Array, Array]):
    """:class:`Shares` for a batch: actions of shape (N, 2)."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.single_action_space = _shares()
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def actions(self, actions: Array) -> Array:
        """Numbers in the action table, shape (N,)."""
        _check(self.action_space, actions)
        return _encode_shares(_batch(self.env), np.asarray(actions))


def _single(env: gymnasium.Env[Any, Any]) -> SplitInferenceEnv:
    inner = env.unwrapped
    if not isinstance(inner, SplitInferenceEnv):
        raise TypeError(f"expected a SplitInferenceEnv, got {type(inner).__name__}")
    return inner


def _batch(env: Any) -> SplitInferenceVectorEnv:
    inner = env.unwrapped
    if not isinstance(inner, SplitInferenceVectorEnv):
        raise TypeError(f"expected a SplitInferenceVectorEnv, got {type(inner).__name__}")
    return inner


def _levels(env: SplitInferenceEnv | SplitInferenceVectorEnv) -> MultiDiscrete:
    return MultiDiscrete([env.context.placements, len(HOLD_LEVELS)])


def _shares() -> Box:
    return Box(0.0, 1.0, (2,), np.float32)


def _check(space: Space[Any], action: Array) -> None:
    if not space.contains(action):
        raise ValueError(f"action {action!r} is outside the space {space}")


def _encode_levels(action: Array) -> Array:
    return encode(action[..., 0], action[..., 1])


def _level_masks(masks: Bools) -> Bools:
    rows = len(masks)
    placements = np.concatenate([masks[:, :1], masks[:, 1 :: len(HOLD_LEVELS)]], axis=1)
    return np.concatenate([placements, np.ones((rows, len(HOLD_LEVELS)), np.bool_)], axis=1)


def _encode_shares(env: SplitInferenceEnv | SplitInferenceVectorEnv, action: Array) -> Array:
    tables = env.context.tables
    model = env.simulator.belief.clock["model"]
    offered = np.arange(env.context.placements) < tables.placements[model][:, None]
    distance = np.where(offered, np.abs(tables.ratio[model] - action[:, :1]), np.inf)
    hold = np.abs(np.asarray(HOLD_LEVELS) - action[:, 1:])
    return encode(distance.argmin(axis=1), hold.argmin(axis=1))
