"""Play episodes under a setting of a rule and sum up what tuning and prices are about.

Work is cut into picklable tasks, so that it may run here or in a pool of processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from agents.evaluation import play
from agents.items import compile_kernel
from agents.registry import PolicyError, make_rule
from agents.runner import start_worker
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

Floats = npt.NDArray[np.float64]

CHUNK = 128
"""Most episodes of a task, side by side: a row costs a third of what it costs among 16."""

NORMAL_95 = 1.96


@dataclass(frozen=True)
class Setting:
    """A rule by name, with values of some or all of its parameters."""

    policy: str
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class Task:
    """Episodes of a scenario under a setting, with the seeds from ``first`` on."""

    setting: Setting
    scenario: Scenario
    first: int
    episodes: int


@dataclass(frozen=True)
class Measured:
    """Sums over the counted requests of each episode, all of shape (episodes,).

    Attributes
    ----------
    requests, violations
        How many.
    weighted
        Violations, each times the price of its SLA class.
    gpu_seconds
        GPU seconds attributed.
    gpu_cost
        The GPU's part of the cost, in all-cloud requests.
    """

    requests: Floats
    violations: Floats
    weighted: Floats
    gpu_seconds: Floats
    gpu_cost: Floats

    @property
    def attainment(self) -> float:
        """Share of requests in time."""
        return float(1.0 - self.violations.sum() / self.requests.sum())

    @property
    def within(self) -> float:
        """Half the 95% interval of the attainment, from the spread between episodes."""
        shares = self.violations / self.requests
        return float(NORMAL_95 * shares.std(ddof=1) / np.sqrt(len(shares)))

    @property
    def cost(self) -> float:
        """GPU cost of a request, in all-cloud requests."""
        return float(self.gpu_cost.sum() / self.requests.sum())

    @property
    def seconds(self) -> float:
        """GPU seconds of a request."""
        return float(self.gpu_seconds.sum() / self.requests.sum())


Run = Callable[[Sequence[Task]], Sequence[Measured]]
"""Carries tasks out, in whatever order, and gives their outcomes in the order of the tasks."""


def measure(task: Task) -> Measured:
    """Carry out a task in this process."""
    policy = make_rule(task.setting.policy, task.setting.parameters)
    scenario = policy.under(task.scenario)
    simulator = Simulator(scenario, task.episodes)
    play(policy, simulator, task.first + np.arange(task.episodes))
    ledger, tables = simulator.ledger, simulator.tables
    weighted = (ledger["violations"] * tables.weight).sum(axis=(1, 2))
    return Measured(
        requests=ledger["requests"].sum(axis=(1, 2)),
        violations=ledger["violations"].sum(axis=(1, 2)),
        weighted=weighted,
        gpu_seconds=ledger["gpu_seconds"].sum(axis=(1, 2)),
        gpu_cost=ledger["cost"].sum(axis=(1, 2)) - tables.violation_price * weighted,
    )


def here(tasks: Sequence[Task]) -> list[Measured]:
    """Carry tasks out in this process, one after the other."""
    return [measure(task) for task in tasks]


def measure_all(
    settings: Sequence[Setting], scenario: Scenario, first: int, episodes: int, run: Run = here
) -> list[Measured]:
    """Measure settings on the same ``episodes`` seeds from ``first`` on."""
    starts = range(0, episodes, CHUNK)
    done = run(
        [
            Task(setting, scenario, first + start, min(CHUNK, episodes - start))
            for setting in settings
            for start in starts
        ]
    )
    pieces = len(starts)
    return [join(done[at : at + pieces]) for at in range(0, len(done), pieces)]


def join(parts: Sequence[Measured]) -> Measured:
    """Put episodes that follow each other into one."""
    names = [field.name for field in fields(Measured)]
    return Measured(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


@contextmanager
def processes(count: int) -> Iterator[Run]:
    """Start ``count`` processes that carry tasks out; one is this process alone.

    They leave Ctrl-C to this one, and find the kernel in the cache.

    Raises
    ------
    PolicyError
        If one of them dies.
    """
    if count == 1:
        yield here
        return
    compile_kernel(load_scenario("sd-mobile"))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=start_worker)

    def carry_out(tasks: Sequence[Task]) -> list[Measured]:
        try:
            return list(pool.map(measure, tasks))
        except BrokenProcessPool as error:
            raise PolicyError(
                "a process died, perhaps for want of memory; the same command goes on"
            ) from error

    try:
        yield carry_out
    finally:
        pool.shutdown(cancel_futures=True)
