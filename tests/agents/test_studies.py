"""Jobs of a study are done side by side, once, and none waits where Ctrl-C does not reach it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents import studies
from agents.command_line import InterruptedRunError
from agents.ppo import RunError, load_hyperparameters
from agents.studies import Asked, Result, StudyRun, open_run, processes
from agents.training import StoppedError
from splitenv.scenario import load_scenario


@dataclass(frozen=True)
class Doing:
    folder: Path
    work: Callable[[], None] = lambda: None

    def __call__(self) -> Result:
        self.work()
        return {"said": self.folder.name}


class Pool(ThreadPoolExecutor):
    """Threads that remember how many jobs they had at a time."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.given: list[Future[Any]] = []
        self.most = 0

    def submit(self, *arguments: Any, **named: Any) -> Any:
        self.given.append(super().submit(*arguments, **named))
        self.most = max(self.most, sum(not future.done() for future in self.given))
        return self.given[-1]


@pytest.fixture(autouse=True)
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "_interruptible", studies.carry_out)


def test_results_come_in_the_order_of_the_jobs_and_no_job_waits_in_the_pool(tmp_path: Path) -> None:
    jobs = [Doing(tmp_path / f"job-{number}") for number in range(7)]
    ended: list[None] = []
    with Pool(2) as pool:
        results = studies._there(pool, 2, jobs, lambda: ended.append(None))
    assert [each["said"] for each in results] == [f"job-{number}" for number in range(7)]
    assert len(ended) == 7
    assert pool.most <= 2


def test_after_a_stop_nothing_more_is_begun(tmp_path: Path) -> None:
    def stop() -> None:
        raise StoppedError(2)

    jobs = [Doing(tmp_path / "stopped", stop), *(Doing(tmp_path / f"{n}") for n in range(5))]
    with Pool(1) as pool, pytest.raises(StoppedError):
        studies._there(pool, 1, jobs, lambda: None)
    assert len(pool.given) == 1
    assert not (tmp_path / "stopped" / studies.RESULT).exists()


def test_a_stop_is_one_sentence(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="the same command goes on"), processes(1) as work:
        work([Doing(tmp_path / "stopped", stop)], lambda: None)


def test_a_folder_that_holds_another_run_is_left_alone(tmp_path: Path) -> None:
    tiny = {"environments": 2, "steps": 8, "minibatch": 16, "layers": (8,), "width": 8}
    settings = load_hyperparameters("sd-mobile").model_copy(update=tiny)
    scenario = load_scenario("sd-mobile", {"decisions": 200, "load": 0.8})
    run = open_run(tmp_path / "run", Asked(scenario, 100, 0, settings, None), StudyRun)
    run.save()
    again = open_run(tmp_path / "run", Asked(scenario, 100, 0, settings, None), StudyRun)
    assert again.steps == 0
    with pytest.raises(RunError, match="holds another run"):
        open_run(tmp_path / "run", Asked(scenario, 100, 1, settings, None), StudyRun)
