"""Training speed: Stable-Baselines3 as it is used here, beside a bare PyTorch PPO loop.

    python -m benchmarks.ppo_speed [--scenario sd-mobile] [--save]

Both play the same environments with masks, the same networks, minibatches and epochs, in turns, in
one process and on one thread. The bare loop has nothing that PPO does not need: no callbacks, no
buffer class, no logging. The yardstick: SB3 takes at most 1.3 times as long.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from agents.network import SplitPolicy
from agents.ppo import PPOSettings, build_model, load_hyperparameters, training_env
from agents.registry import make_policy
from agents.tuned_files import starting_rule
from agents.vec_env import SplitVecEnv
from benchmarks.history import keep, output_options
from splitenv.scenario import Scenario, load_scenario

ROUNDS = 5
"""Rollouts and updates of each, after one that is not counted."""


class Bare:
    """PPO in a loop."""

    def __init__(self, env: SplitVecEnv, settings: PPOSettings, policy: SplitPolicy) -> None:
        self.env = env
        self.settings = settings
        self.policy = policy
        self.optimizer = torch.optim.Adam(
            policy.parameters(), settings.learning_rate, eps=1e-5, fused=True
        )
        self.seen = torch.from_numpy(env.reset())

    def __call__(self) -> None:
        """One rollout and its update."""
        with torch.no_grad():
            batch = self._rollout()
        rows = self.settings.rollout
        for _ in range(self.settings.epochs):
            order = torch.randperm(rows)
            for first in range(0, rows, self.settings.minibatch):
                self._update(batch, order[first : first + self.settings.minibatch])

    def _rollout(self) -> dict[str, Tensor]:
        env, settings = self.env, self.settings
        kept: dict[str, list[Tensor]] = {name: [] for name in ("seen", "mask", "choice", "odds")}
        values, rewards, ends = [], [], []
        for _ in range(settings.steps):
            mask = torch.from_numpy(env.action_masks())
            choice, value, odds = self.policy(self.seen, action_masks=mask)
            for name, tensor in zip(kept, (self.seen, mask, choice, odds), strict=True):
                kept[name].append(tensor)
            env.step_async(choice.numpy())
            seen, reward, ended, infos = env.step_wait()
            rows = np.flatnonzero(ended)
            if len(rows):
                last = np.stack([infos[row]["terminal_observation"] for row in rows])
                after = self.policy.predict_values(torch.from_numpy(last))[:, 0].numpy()
                reward[rows] += settings.discount * after
            self.seen = torch.from_numpy(seen)
            values.append(value[:, 0].numpy())
            rewards.append(reward)
            ends.append(ended)
        values.append(self.policy.predict_values(self.seen)[:, 0].numpy())
        advantages = self._advantages(np.array(values), np.array(rewards), np.array(ends))
        batch = {name: torch.cat(parts) for name, parts in kept.items()}
        batch["advantage"] = torch.from_numpy(advantages.ravel())
        batch["return"] = torch.from_numpy((advantages + np.array(values[:-1])).ravel())
        return batch

    def _advantages(self, values: Any, rewards: Any, ends: Any) -> Any:
        discount, decay = self.settings.discount, self.settings.gae_lambda
        advantages = np.zeros(rewards.shape, np.float32)
        running = np.zeros(rewards.shape[1], np.float32)
        for step in reversed(range(len(rewards))):
            on = 1.0 - ends[step]
            error = rewards[step] + discount * on * values[step + 1] - values[step]
            running = error + discount * decay * on * running
            advantages[step] = running
        return advantages

    def _update(self, batch: dict[str, Tensor], rows: Tensor) -> None:
        settings = self.settings
        odds = self.policy.log_odds(batch["seen"][rows], batch["mask"][rows])
        ratio = (odds.gather(1, batch["choice"][rows][:, None])[:, 0] - batch["odds"][rows]).exp()
        gain = batch["advantage"][rows]
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        entropy = -(odds.exp() * odds).sum(1).mean()
        values = self.policy.predict_values(batch["seen"][rows])[:, 0]
        loss = (
            -torch.min(gain * ratio, gain * clipped).mean()
            - settings.entropy * entropy
            + settings.value * functional.mse_loss(values, batch["return"][rows])
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.policy.parameters(), settings.gradient_norm)
        self.optimizer.step()


def stock(env: SplitVecEnv, settings: PPOSettings) -> tuple[Callable[[], None], SplitPolicy]:
    """SB3's rollout and update, as training runs them; and its network."""
    model = build_model("maskable-ppo", env, settings, seed=0)
    assert isinstance(model.policy, SplitPolicy)

    def one_round() -> None:
        model.learn(settings.rollout, reset_num_timesteps=False)

    return one_round, model.policy


def measure(scenario: Scenario, settings: PPOSettings) -> dict[str, Any]:
    """Median decisions per second of each, and how much longer SB3 takes."""
    ours, policy = stock(training_env(scenario, settings, 0), settings)
    bare = Bare(training_env(scenario, settings, 1), settings, policy)
    contenders = {"Stable-Baselines3": ours, "bare loop": bare}
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(1 + ROUNDS):
        for name, one_round in contenders.items():
            start = time.thread_time()
            one_round()
            if turn:
                spent[name].append(time.thread_time() - start)
    seconds = {name: statistics.median(times) for name, times in spent.items()}
    ratios = [a / b for a, b in zip(*spent.values(), strict=True)]
    return {
        "decisions_per_s": {name: settings.rollout / each for name, each in seconds.items()},
        "times_as_long": statistics.median(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ppo_speed", description=__doc__)
    parser.add_argument("--scenario", default="sd-mobile")
    output_options(parser)
    options = parser.parse_args()
    scenario = load_scenario(options.scenario)
    rule = starting_rule(scenario.name)
    if rule is not None:
        scenario = make_policy(rule).under(scenario)
    settings = load_hyperparameters(scenario.name)
    found = measure(scenario, settings)
    about = f"{settings.environments} environments, minibatch {settings.minibatch}"
    table = Table("", "decisions/s", title=f"PPO on {scenario.name}, one thread, {about}")
    for name, rate in found["decisions_per_s"].items():
        table.add_row(name, f"{rate:,.0f}")
    Console().print(table)
    headline = f"SB3 takes {found['times_as_long']:.2f} times as long as a bare loop (bar: 1.3)"
    print(headline)
    keep("ppo_speed", headline, {"scenario": scenario.name, **found}, options)


if __name__ == "__main__":
    main()
