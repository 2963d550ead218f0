"""What studies of learning share: training runs as jobs that can be stopped and gone on with.

A job is a plain record that a process of its own can carry out. It trains in a folder of its own,
and writes ``result.json`` there once it is through: what has that file is not done again, what has
a checkpoint goes on from it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agents.command_line import InterruptedRunError
from agents.items import compile_kernel
from agents.ppo import CONFIG, PPOSettings, RunError, read_config
from agents.registry import PolicyError
from agents.runner import start_worker
from agents.training import CHECKPOINT, Kind, Run, StoppedError, begin, reopen, train
from agents.tuned_files import world_digest
from splitenv.provenance import write_json
from splitenv.scenario import Scenario, load_scenario
from splitenv.tables import profile_digest

RESULT = "result.json"

Result = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a run of a study is begun with; see :func:`agents.training.begin`."""

    scenario: Scenario
    steps: int
    seed: int
    settings: PPOSettings
    rule: str | None
    preference_conditioned: bool = True

    def digest(self) -> str:
        """SHA-256 of all that such a run depends on, but for the code."""
        content = {
            "scenario": world_digest(self.scenario),
            "violation_price": self.scenario.violation_price,
            "profiles": profile_digest(self.scenario),
            "run": [self.steps, self.seed, self.rule, self.preference_conditioned],
            "settings": self.settings.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Job(Protocol):
    """One training run of a study; picklable."""

    @property
    def folder(self) -> Path:
        """Where it trains and leaves its result."""

    def __call__(self) -> Result:
        """Train, and say what came of it, as plain data."""


Work = Callable[[Sequence[Job], Callable[[], None]], list[Result]]
"""Does jobs, calls back after each, and gives their results in the order of the jobs."""


class StudyRun(Run):
    """A run that is judged by its study: its knob stays where the scenario's price is."""

    def finish(self) -> None:
        """Leave the calibration out: no study asks for it."""


def open_run(folder: Path, asked: Asked, kind: Kind) -> Run:
    """Begin a run, or open it where it was stopped.

    Raises
    ------
    RunError
        If the folder holds another run.
    """
    if not (folder / CHECKPOINT).is_file():
        if (folder / CONFIG).is_file():
            shutil.rmtree(folder)  # stopped before its first checkpoint
        return begin(
            folder,
            asked.scenario,
            steps=asked.steps,
            seed=asked.seed,
            settings=asked.settings,
            rule=asked.rule,
            preference_conditioned=asked.preference_conditioned,
            kind=kind,
        )
    config = read_config(folder)
    same = (config["steps"], config["seed"]) == (asked.steps, asked.seed)
    if not same or config["settings"] != asked.settings.model_dump(mode="json"):
        raise RunError(f"{folder} holds another run than this study's: move it away")
    return reopen(folder, kind)


def train_quietly(run: Run) -> None:
    """Train a run to its end, if it is not there yet."""
    if run.steps < run.total:
        train(run, Console(quiet=True))


def carry_out(job: Job) -> Result:
    """Do a job unless it is done.

    ``seconds`` in its result is the CPU time that it took since it was last begun or gone on with.
    """
    path = job.folder / RESULT
    if path.is_file():
        known: Result = json.loads(path.read_text(encoding="utf-8"))
        return known
    began = time.process_time()
    result = job()
    result = {**result, "seconds": round(time.process_time() - began, 1)}
    write_json(path, result)
    return result


@contextmanager
def processes(count: int) -> Iterator[Work]:
    """Start ``count`` processes that do jobs; with one, jobs are done in this process.

    Raises
    ------
    InterruptedRunError
        After Ctrl-C; what was training has saved itself.
    PolicyError
        If a process dies.
    """
    try:
        if count == 1:
            yield _here
            return
        compile_kernel(load_scenario("sd-mobile"))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, context, initializer=start_worker) as pool:
            yield lambda jobs, advance: _there(pool, count, jobs, advance)
    except (KeyboardInterrupt, StoppedError):
        raise InterruptedRunError("stopped; the same command goes on from there") from None
    except BrokenProcessPool as error:
        raise PolicyError(
            "a process died, perhaps for want of memory; the same command goes on"
        ) from error


def _here(jobs: Sequence[Job], advance: Callable[[], None]) -> list[Result]:
    results = []
    for job in jobs:
        results.append(carry_out(job))
        advance()
    return results


def _there(
    pool: Executor, count: int, jobs: Sequence[Job], advance: Callable[[], None]
) -> list[Result]:
    results: dict[int, Result] = {}
    running: dict[Future[Result], int] = {}
    todo = list(enumerate(jobs))
    while todo or running:
        # No job waits within the pool, where it could not be called back.
        while todo and len(running) < count:
            place, job = todo.pop(0)
            running[pool.submit(_interruptible, job)] = place
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            results[running.pop(future)] = future.result()
            advance()
    return [results[place] for place in range(len(jobs))]


def _interruptible(job: Job) -> Result:
    """Do a job in a worker, which else leaves Ctrl-C to its parent."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return carry_out(job)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show on stderr how many of the jobs are done; gives what is to be called after each."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
