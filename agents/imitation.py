"""Warm start: the network learns what a rule decides, and what that earns, before it learns more.

The actor takes over the rule's choices in the worlds of the training; the critic regresses the
discounted rewards that the rule collects there, so that the first advantages already mean a thing.
Choices are smoothed: a policy sure of itself would never find out what a rule does not do, such as
giving a hopeless request up (docs/learning.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from agents.mixed_env import MixedVecEnv
from agents.network import SplitPolicy
from agents.policy import Policy
from agents.vec_env import SplitVecEnv
from splitenv.context import Context

if TYPE_CHECKING:
    from agents.ppo import Model

Array = npt.NDArray[Any]

SMOOTHING = 0.1
"""Share of the target spread evenly over what is possible."""
EPOCHS = 5
MINIBATCH = 2048
LEARNING_RATE = 2e-3
SCALED = 64
"""Steps until rewards are scaled as they stay."""
CUT = 0.1
"""Share of a return's weight that may be missing, since what was shown ends there."""
LONGEST = 0.995
"""Discount from which on more than that is missing: nobody is shown an episode without end."""


@dataclass(frozen=True)
class Shown:
    """What a rule did, first axis decisions in order of time, then of environment.

    Attributes
    ----------
    observations, masks, choices
        Shapes (N, F), (N, C) and (N,).
    returns
        Discounted rewards from there on, shape (N,); NaN where they are not known.
    """

    observations: Array
    masks: Array
    choices: Array
    returns: Array


def imitate(
    model: Model, rule: Policy, decisions: int, progress: Callable[[float], None]
) -> dict[str, float]:
    """Teach a fresh model what a rule does; its environments go on from where the rule left them.

    Parameters
    ----------
    decisions
        How many of the rule's to learn from, rounded up to whole steps.
    progress
        Called with the share done.

    Returns
    -------
    dict
        ``agreement``: share of the last decisions shown in which the greedy actor agrees;
        ``explained_variance``: of their returns, by the critic; 0 if episodes are too short for any
        return to be known.
    """
    env = model.env
    assert isinstance(env, MixedVecEnv)
    steps = max(-(-decisions // env.num_envs), 3 * _settling(model.gamma))
    shown = together(
        [
            show(part, rule, steps, model.gamma, lambda done: progress(0.3 * done))
            for part in env.parts
        ]
    )
    policy = model.policy
    assert isinstance(policy, SplitPolicy)
    learned = _learn(policy, shown, lambda done: progress(0.3 + 0.7 * done))
    model._last_obs = env.observation()
    model._last_episode_starts = np.ones(env.num_envs, np.bool_)
    return learned


def show(
    env: SplitVecEnv, rule: Policy, steps: int, discount: float, progress: Callable[[float], None]
) -> Shown:
    """Let a rule decide in every environment for so many steps."""
    simulator = env.simulator
    rule.bind(Context(simulator.tables))
    choice = choice_of_action(env)
    first = env.reset()
    envs, features = first.shape
    observations = np.empty((steps, envs, features), np.float32)
    masks = np.empty((steps, envs, len(env.choices)), np.bool_)
    choices = np.empty((steps, envs), np.int64)
    rewards = np.empty((steps, envs))
    ends = np.empty((steps, envs), np.bool_)
    observations[0] = first
    for step in range(steps):
        masks[step] = env.action_masks()
        choices[step] = choice[rule.act(simulator.observation, simulator.mask)]
        env.step_async(choices[step])
        after, rewards[step], ends[step], _ = env.step_wait()
        if step + 1 < steps:
            observations[step + 1] = after
        progress((step + 1) / steps)
    return Shown(
        observations.reshape(-1, features),
        masks.reshape(steps * envs, -1),
        choices.ravel(),
        _returns(rewards, ends, discount).ravel(),
    )


def together(parts: list[Shown]) -> Shown:
    """What was shown in several environments as one."""
    return Shown(
        *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Shown))
    )


def choice_of_action(env: SplitVecEnv) -> Array:
    """Which choice stands for each action: its own, or the same placement without a hold."""
    placement = np.asarray(env.simulator.tables.action_placement)
    of_placement = {int(placement[action]): row for row, action in reversed(
        list(enumerate(env.choices.tolist()))
    )}  # fmt: skip
    exact = {action: row for row, action in enumerate(env.choices.tolist())}
    return np.array([exact.get(a, of_placement[int(p)]) for a, p in enumerate(placement)], np.int64)


def _settling(discount: float) -> int:
    """Steps at either end whose returns are not learned: not yet scaled, or cut short."""
    return max(SCALED, math.ceil(math.log(CUT) / math.log(min(max(discount, CUT), LONGEST))))


def _returns(rewards: Array, ends: Array, discount: float) -> Array:
    """Discounted sums; NaN where they are not known."""
    steps, settling = len(rewards), _settling(discount)
    returns = np.full(rewards.shape, np.nan)
    total = np.zeros(rewards.shape[1])
    age = np.zeros(rewards.shape[1])
    for step in reversed(range(steps)):
        total = np.where(ends[step], 0.0, total) * discount + rewards[step]
        age = np.where(ends[step], 0, age) + 1
        if step >= settling:
            returns[step] = np.where(age > settling, total, np.nan)
    return returns


def _learn(
    policy: SplitPolicy, shown: Shown, progress: Callable[[float], None]
) -> dict[str, float]:
    observations, masks = torch.from_numpy(shown.observations), torch.from_numpy(shown.masks)
    choices = torch.from_numpy(shown.choices)
    known = torch.from_numpy(~np.isnan(shown.returns))
    returns = torch.from_numpy(np.nan_to_num(shown.returns).astype(np.float32))
    policy.set_training_mode(True)
    optimizer = torch.optim.Adam(policy.parameters(), LEARNING_RATE, fused=True)
    batches = len(choices) // MINIBATCH
    for batch in range(EPOCHS * batches):
        if batch % batches == 0:
            order = torch.randperm(len(choices))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1.0 - batch / (EPOCHS * batches))
        rows = order[batch % batches * MINIBATCH :][:MINIBATCH]
        odds = policy.log_odds(observations[rows], masks[rows])
        allowed = masks[rows].float()
        even = (odds * allowed).sum(1) / allowed.sum(1)
        own = odds.gather(1, choices[rows][:, None])[:, 0]
        values = policy.predict_values(observations[rows])[:, 0]
        error = functional.mse_loss(values * known[rows], returns[rows] * known[rows])
        loss = error - ((1.0 - SMOOTHING) * own + SMOOTHING * even).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        progress((batch + 1) / (EPOCHS * batches))
    return _judge(policy, shown)


def _judge(policy: SplitPolicy, shown: Shown) -> dict[str, float]:
    last = slice(-50_000, None)
    with torch.no_grad():
        observations = torch.from_numpy(shown.observations[last])
        odds = policy.log_odds(observations, torch.from_numpy(shown.masks[last])).numpy()
        values = policy.predict_values(observations)[:, 0].numpy()
    returns = shown.returns[last]
    known = ~np.isnan(returns)
    left = 1.0
    if known.any():
        left = np.var((returns - values)[known]) / max(np.var(returns[known]), 1e-12)
    agreement = np.mean(odds.argmax(axis=1) == shown.choices[last])
    return {"agreement": float(agreement), "explained_variance": float(1.0 - left)}
