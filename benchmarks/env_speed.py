"""Decisions per second: the kernel, the Gymnasium API, and the environment's share of training.

    python -m benchmarks.env_speed [--scenario sd-mobile] [--out results.json] [--save]

Random actions, episodes restarted as they end. Each figure is the median of seven runs of half a
second, after a second of warming up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table

from agents.ppo import build_model, load_hyperparameters, training_env
from benchmarks.history import keep, output_options
from benchmarks.timing import THOROUGH, gymnasium_rate, kernel_rate
from splitenv.scenario import load_scenario

EVERYTHING_ON: dict[str, dict[str, Any]] = {
    "everything on": {},
    "everything on, continuous": {"serving": "continuous"},
}
"""Of ``sd-mobile-rough``: throttling, background load, sessions, TCP start-up, two types of GPU,
bursts and load steps; in both serving modes."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_speed", description=__doc__)
    parser.add_argument("--scenario", default="sd-mobile")
    output_options(parser)
    options = parser.parse_args()
    rows: list[tuple[str, int, int, float]] = []
    for threads in (1, 2):
        for envs in (1, 64, 1024, 4096):
            if envs >= threads:
                speed = kernel_rate(options.scenario, envs, threads)
                rows.append(("kernel", envs, threads, speed))
    for what, changes in EVERYTHING_ON.items():
        rough = load_scenario("sd-mobile-rough", changes)
        rows.append((f"kernel, {what}", 1024, 1, kernel_rate(rough, 1024, 1)))
    rows.append(("gymnasium vector", 1024, 1, gymnasium_rate(options.scenario, 1024)))
    rows.append(("gymnasium env", 1, 1, single_speed(options.scenario)))
    share = training_share(options.scenario)
    show(rows, share)
    names = ("what", "envs", "threads", "decisions_per_s")
    figures = {
        "scenario": options.scenario,
        "speed": [dict(zip(names, row, strict=True)) for row in rows],
        "training": share,
    }
    keep("env_speed", headline(rows), figures, options)


def single_speed(scenario: str) -> float:
    env = gymnasium.make("splitenv:splitenv/SplitInference-v0", scenario=scenario).unwrapped
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 4096)
    env.reset(seed=0)

    def step(call: int) -> None:
        if env.step(actions[call % 4096])[3]:
            env.reset()

    return THOROUGH.measure(step)


def training_share(scenario: str) -> dict[str, Any]:
    """Train MaskablePPO for ten rollouts; time the environment, its adapter and masks included."""
    settings = load_hyperparameters(scenario)
    env: Any = training_env(load_scenario(scenario), settings, seed=0)
    spent = [0.0]
    env.step_wait = _timed(env.step_wait, spent)
    env.env_method = _timed(env.env_method, spent)
    model = build_model("maskable-ppo", env, settings, seed=0)
    model.learn(settings.rollout)
    spent[0] = 0.0
    start = time.perf_counter()
    model.learn(10 * settings.rollout)
    total = time.perf_counter() - start
    return {"decisions_per_s": model.num_timesteps / total, "environment_share": spent[0] / total}


def _timed(method: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        result = method(*arguments, **keywords)
        spent[0] += time.perf_counter() - start
        return result

    return timed


def headline(rows: list[tuple[str, int, int, float]]) -> str:
    speeds = {row[:3]: row[3] for row in rows}
    return f"{speeds['kernel', 1024, 1]:,.0f} decisions/s at 1,024 environments, one thread"


def show(rows: list[tuple[str, int, int, float]], share: dict[str, Any]) -> None:
    table = Table(title="Decisions per second, random actions")
    for column in ("what", "environments", "threads", "decisions/s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, envs, threads, speed in rows:
        table.add_row(what, f"{envs:,}", str(threads), f"{speed:,.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"MaskablePPO: {share['decisions_per_s']:,.0f} decisions/s, "
        f"{share['environment_share']:.1%} of the time in the environment"
    )


if __name__ == "__main__":
    main()
