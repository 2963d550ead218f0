"""Decisions per second: the kernel, the Gymnasium API, and the environment's share of training.

    python -m benchmarks.env_speed [--scenario sd-mobile] [--out results.json]

Random actions, episodes restarted as they end. Each figure is the median of seven runs of half a
second, after a second of warming up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table

from agents.ppo import build_model, load_hyperparameters, training_env
from benchmarks.machine import machine_facts
from splitenv.provenance import provenance, write_json
from splitenv.scenario import load_scenario
from splitenv.simulator import Simulator

RUNS, SECONDS = 7, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_speed", description=__doc__)
    parser.add_argument("--scenario", default="sd-mobile")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    rows: list[tuple[str, int, int, float]] = []
    for threads in (1, 2):
        for envs in (1, 64, 1024, 4096):
            if envs >= threads:
                speed = kernel_speed(options.scenario, envs, threads)
                rows.append(("kernel", envs, threads, speed))
    rows.append(("gymnasium vector", 1024, 1, vector_speed(options.scenario, 1024)))
    rows.append(("gymnasium env", 1, 1, single_speed(options.scenario)))
    share = training_share(options.scenario)
    show(rows, share)
    if options.out:
        names = ("what", "envs", "threads", "decisions_per_s")
        figures = {
            "scenario": options.scenario,
            "speed": [dict(zip(names, row, strict=True)) for row in rows],
            "training": share,
        }
        write_json(options.out, {**figures, "machine": machine_facts(), "provenance": provenance()})


def per_second(step: Callable[[int], None], decisions: int) -> float:
    """Median decisions per second of ``step``, which makes ``decisions`` at a time."""
    _run(step, 2 * SECONDS)
    return statistics.median(_run(step, SECONDS) * decisions for _ in range(RUNS))


def _run(step: Callable[[int], None], seconds: float) -> float:
    start = time.perf_counter()
    calls = 0
    while (now := time.perf_counter()) - start < seconds:
        step(calls)
        calls += 1
    return calls / (now - start)


def kernel_speed(scenario: str, envs: int, threads: int) -> float:
    simulator = Simulator(load_scenario(scenario), envs, stagger=True, threads=threads)
    actions = np.random.default_rng(0).integers(0, simulator.actions, (64, envs))
    simulator.seed(range(envs))
    simulator.reset()
    return per_second(lambda call: simulator.step(actions[call % 64]), envs)


def vector_speed(scenario: str, envs: int) -> float:
    env = gymnasium.make_vec(
        "splitenv:splitenv/SplitInference-v0",
        num_envs=envs,
        vectorization_mode="vector_entry_point",
        scenario=scenario,
        stagger=True,
    )
    actions = np.random.default_rng(0).integers(0, env.single_action_space.n, (64, envs))
    env.reset(seed=0)
    return per_second(lambda call: env.step(actions[call % 64]), envs)


def single_speed(scenario: str) -> float:
    env = gymnasium.make("splitenv:splitenv/SplitInference-v0", scenario=scenario).unwrapped
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 4096)
    env.reset(seed=0)

    def step(call: int) -> None:
        if env.step(actions[call % 4096])[3]:
            env.reset()

    return per_second(step, 1)


def training_share(scenario: str) -> dict[str, Any]:
    """Train MaskablePPO for ten rollouts; time the environment, its adapter and masks included."""
    settings = load_hyperparameters(scenario)
    simulator = Simulator(
        load_scenario(scenario), settings.environments, randomise=True, stagger=True
    )
    env: Any = training_env(simulator, settings)
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
