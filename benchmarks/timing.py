"""How the benchmarks take time: of simulators, of vectorised environments, of the first use."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np

from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

TURNS = 64
"""Rows of random actions that a measurement goes through again and again."""

_FIRST_USE = """
import json, sys, time
start = time.perf_counter()
import numpy as np
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator
imported = time.perf_counter()
simulator = Simulator(load_scenario(sys.argv[1]), 1)
simulator.seed([0])
simulator.reset()
simulator.step(np.zeros(1, np.int64))
print(json.dumps({"import_s": imported - start, "step_s": time.perf_counter() - imported}))
"""


@dataclass(frozen=True)
class Pace:
    """How long to measure: the median of ``runs`` runs of ``seconds``, warmed up for two of them.

    A call that takes longer than that is a run of its own. ``thread_time`` is this thread's CPU
    time, which other work on the machine disturbs less than the wall clock.
    """

    runs: int = 7
    seconds: float = 0.5
    clock: Literal["perf_counter", "thread_time"] = "perf_counter"

    def measure(self, step: Callable[[int], Any]) -> float:
        """Median calls per second of ``step``, which is given the number of its call in a run."""
        self._run(step, 2 * self.seconds)
        return statistics.median(self._run(step, self.seconds) for _ in range(self.runs))

    def _run(self, step: Callable[[int], Any], seconds: float) -> float:
        clock: Callable[[], float] = getattr(time, self.clock)
        start = clock()
        calls = 0
        while (now := clock()) - start < seconds:
            step(calls)
            calls += 1
        return calls / (now - start)


THOROUGH = Pace()
QUICK = Pace(runs=3, seconds=0.1)


def kernel_rate(scenario: str | Scenario, envs: int, threads: int, pace: Pace = THOROUGH) -> float:
    """Decisions per second of the kernel alone."""
    simulator = Simulator(load_scenario(scenario), envs, stagger=True, threads=threads)
    return pace.measure(stepper(simulator)) * envs


def stepper(simulator: Simulator, actions: range | None = None) -> Callable[[int], None]:
    """Seed and reset ``simulator``; return what steps it with random actions, of all or of some."""
    drawn = random_actions(simulator.envs, actions or range(simulator.actions))
    simulator.seed(range(simulator.envs))
    simulator.reset()
    return lambda call: simulator.step(drawn[call % TURNS])


def gymnasium_rate(scenario: str, envs: int, pace: Pace = THOROUGH) -> float:
    """Decisions per second of the vectorised Gymnasium environment."""
    env: Any = gymnasium.make_vec(
        "splitenv:splitenv/SplitInference-v0",
        num_envs=envs,
        vectorization_mode="vector_entry_point",
        scenario=scenario,
        stagger=True,
    )
    env.reset(seed=0)
    return vector_rate(env, env.single_action_space.n, pace)


def vector_rate(env: Any, actions: int, pace: Pace = THOROUGH) -> float:
    """Decisions per second of a vectorised environment, Gymnasium's or SB3's, that has been reset.

    It is closed afterwards.
    """
    envs = int(env.num_envs)
    drawn = random_actions(envs, range(actions))
    try:
        return pace.measure(lambda call: env.step(drawn[call % TURNS])) * envs
    finally:
        env.close()


def random_actions(envs: int, actions: range) -> np.ndarray[Any, Any]:
    """Rows of uniform actions, shape (TURNS, envs)."""
    return np.random.default_rng(0).integers(actions.start, actions.stop, (TURNS, envs))


def first_use(scenario: str) -> dict[str, dict[str, float]]:
    """Seconds to import and to make the first step in a fresh process, compiling and cached."""
    with tempfile.TemporaryDirectory() as cache:
        return {name: _first_use(scenario, cache) for name in ("compiling", "cached")}


def _first_use(scenario: str, cache: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_USE, scenario],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))
