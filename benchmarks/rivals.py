"""Decisions per second beside what one would otherwise use, in one run; and the first use.

    python -m benchmarks.rivals [--quick] [--scenario sd-mobile] [--out results.json] [--save]

The kernel runs on one thread. Rivals are the usual ways to run many environments: SB3's
``make_vec_env``, a ``DummyVecEnv`` of what ``gymnasium.make`` gives, its checks and SB3's monitor
included; then, over the single environment without any wrapper, SB3's ``DummyVecEnv`` and
``SubprocVecEnv``, Gymnasium's
``SyncVectorEnv`` and ``AsyncVectorEnv`` (those in processes use every core); Gymnasium's own
vectorised CartPole, a much smaller world; and a SimPy model of the same queue
(:mod:`benchmarks.simpy_model`), which makes no observations. That it is the same queue is tested:
under random actions, attainment and GPU seconds of its episodes and of the kernel's must have the
same means, within three standard errors of their difference.

First use: a fresh process imports the simulator and makes a step, with an empty cache and again.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from benchmarks.history import keep, output_options
from benchmarks.simpy_model import Model, Plant
from benchmarks.timing import (
    QUICK,
    THOROUGH,
    Pace,
    first_use,
    gymnasium_rate,
    kernel_rate,
    vector_rate,
)
from splitenv.env import SplitInferenceEnv
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

Floats = npt.NDArray[np.float64]
Row = tuple[str, int, float]

KERNEL, DUMMY, SIMPY = "kernel", "SB3 DummyVecEnv", "SimPy model"
MADE = "SB3 make_vec_env (DummyVecEnv)"
BARS = {MADE: 25.0, DUMMY: 25.0, SIMPY: 25.0}
"""How many times faster the kernel has to be."""
ENVIRONMENT = "splitenv:splitenv/SplitInference-v0"
START = "forkserver"
KERNEL_EPISODES = 512


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--scenario", default="sd-mobile")
    parser.add_argument("--quick", action="store_true", help="shorter runs, rougher figures")
    output_options(parser)
    options = parser.parse_args()
    pace = QUICK if options.quick else THOROUGH
    try:
        plant = Plant(load_scenario(options.scenario))
    except ValueError as error:
        sys.exit(f"error: {error}")
    rows = measure(options.scenario, plant, pace)
    fastest = {what: max(rate for name, _, rate in rows if name == what) for what in BARS}
    ratios = {what: rows[0][2] / rate for what, rate in fastest.items()}
    same = agreement(plant, episodes=16 if options.quick else 128)
    use = first_use(options.scenario)
    show(rows, same, use)
    figures = {
        "scenario": options.scenario,
        "pace": asdict(pace),
        "speed": [dict(zip(("what", "envs", "decisions_per_s"), row, strict=True)) for row in rows],
        "bars": {what: {"asked": bar, "found": ratios[what]} for what, bar in BARS.items()},
        "agreement": same,
        "first_use": use,
    }
    keep("rivals", headline(ratios, use), figures, options)


def measure(scenario: str, plant: Plant, pace: Pace) -> list[Row]:
    """Time everything, the kernel first: (what, environments, decisions per second)."""
    single = partial(SplitInferenceEnv, scenario)
    actions = single().simulator.actions
    rows = [
        (KERNEL, 1024, kernel_rate(scenario, 1024, 1, pace)),
        ("our Gymnasium vector", 1024, gymnasium_rate(scenario, 1024, pace)),
    ]
    made = partial(make_vec_env, ENVIRONMENT, env_kwargs={"scenario": scenario})
    rivals: list[tuple[str, Callable[[], Any]]] = [
        (MADE, lambda: made(n_envs=64)),
        (MADE, lambda: made(n_envs=8)),
        (DUMMY, lambda: DummyVecEnv([single] * 64)),
        (DUMMY, lambda: DummyVecEnv([single] * 8)),
        ("SB3 SubprocVecEnv", lambda: SubprocVecEnv([single] * 8, start_method=START)),
        ("Gymnasium SyncVectorEnv", lambda: SyncVectorEnv([single] * 8)),
        ("Gymnasium AsyncVectorEnv", lambda: AsyncVectorEnv([single] * 8, context=START)),
    ]
    for what, make in rivals:
        env = _reset(make())
        rows.append((what, env.num_envs, vector_rate(env, actions, pace)))
    cart_pole = gymnasium.make_vec(
        "CartPole-v1", num_envs=1024, vectorization_mode="vector_entry_point"
    )
    rows.append(("Gymnasium CartPole", 1024, vector_rate(_reset(cart_pole), 2, pace)))
    episodes = pace.measure(lambda call: Model(plant, call).run())
    rows.append((SIMPY, 1, episodes * plant.length))
    return rows


def _reset(env: Any) -> Any:
    if isinstance(env, VecEnv):
        env.seed(0)
        env.reset()
    else:
        env.reset(seed=0)
    return env


def agreement(plant: Plant, episodes: int) -> list[dict[str, Any]]:
    """Compare means over episodes, with their standard errors, of kernel and SimPy model."""
    sums = [Model(plant, seed).run() for seed in range(episodes)]
    attainment = [episode.in_time / episode.requests for episode in sums]
    seconds = [episode.gpu_seconds / episode.requests for episode in sums]
    kernel = kernel_episodes(plant.scenario)
    return [
        compare("attainment", kernel[0], np.array(attainment)),
        compare("GPU seconds a request", kernel[1], np.array(seconds)),
    ]


def kernel_episodes(scenario: Scenario) -> tuple[Floats, Floats]:
    """Attainment and GPU seconds a request of each of the kernel's episodes."""
    simulator = Simulator(scenario, KERNEL_EPISODES)
    simulator.seed(range(KERNEL_EPISODES))
    simulator.reset()
    dice = np.random.default_rng(0)
    for _ in range(simulator.settings.length):
        simulator.step(dice.integers(0, simulator.actions, KERNEL_EPISODES))
    episodes = simulator.finished
    requests = episodes["requests"]
    return 1.0 - episodes["violations"] / requests, episodes["gpu_seconds"] / requests


def compare(what: str, kernel: Floats, model: Floats) -> dict[str, Any]:
    errors = [float(sample.std(ddof=1) / np.sqrt(len(sample))) for sample in (kernel, model)]
    difference = float(model.mean() - kernel.mean())
    return {
        "what": what,
        "kernel": float(kernel.mean()),
        "kernel_error": errors[0],
        "simpy": float(model.mean()),
        "simpy_error": errors[1],
        "agree": abs(difference) < 3.0 * math.hypot(*errors),
    }


def headline(ratios: dict[str, float], use: dict[str, dict[str, float]]) -> str:
    seconds = sum(use["compiling"].values())
    faster = ", ".join(f"{ratios[what]:.0f}x {what}" for what in BARS)
    return f"{faster}; first use {seconds:.0f} s"


def show(rows: list[Row], same: list[dict[str, Any]], use: dict[str, dict[str, float]]) -> None:
    table = Table(title="Decisions per second, random actions")
    for column in ("what", "envs", "decisions/s", "kernel is", "asked"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for what, envs, rate in rows:
        ratio = rows[0][2] / rate
        verdict = ""
        if bar := BARS.get(what):
            verdict = f"{bar:.0f}x: {'met' if ratio >= bar else 'missed'}"
        table.add_row(what, f"{envs:,}", f"{rate:,.0f}", f"{ratio:.1f}x", verdict)
    evidence = Table(title="The same queue: means over episodes, with standard errors")
    for column in ("", "kernel", "SimPy model", "agree"):
        evidence.add_column(column, justify="right")
    for row in same:
        pairs = (f"{row[name]:.4f} +- {row[f'{name}_error']:.4f}" for name in ("kernel", "simpy"))
        evidence.add_row(row["what"], *pairs, "yes" if row["agree"] else "NO")
    console = Console()
    console.print(table)
    console.print(evidence)
    for state, seconds in use.items():
        console.print(
            f"First use, {state}: {seconds['import_s']:.1f} s to import, "
            f"{seconds['step_s']:.1f} s to the end of the first step"
        )


if __name__ == "__main__":
    main()
