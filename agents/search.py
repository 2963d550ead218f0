"""Search the settings of PPO: what a sweep asks, tries and keeps.

**Search.** Optuna's TPE (Bergstra et al., NeurIPS 2011; multivariate) proposes settings within
:data:`RANGES`, the present ones first. A trial is a training run, judged by the best held-out score
of it: the mean, over three loads, of its cost over the best tuned rule's.

**Pruning.** After each held-out evaluation a run is given up if the best score that it has had is
worse than the median, at that evaluation, of the runs before it (the median rule of Golovin et al.,
*Google Vizier*, KDD 2017). Never among the first few runs, nor in the first half of a run: one
that has not left the rule it started from by then may still end best.

**Resuming.** As in :mod:`agents.tuning`: trials are asked and told in batches of fixed size, each a
function of the trials before it, whatever the number of processes. A study that was stopped goes on
to the result that it would have had; a run that was, from its checkpoint.

The best of many runs flatters itself, and one training seed says little: settings are worth
shipping once they have won with seeds that the study did not use (docs/learning.md).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import FrozenTrial, TrialState

from agents.monitor import HeldOut
from agents.ppo import PPOSettings
from agents.studies import Asked, Result, StudyRun, Work, open_run, train_quietly
from agents.training import EVALUATION_PARTS, HELD_OUT_EPISODES
from agents.tuning import ask, open_study

RANGES: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(3e-4, 3e-3, log=True),
    "epochs": IntDistribution(2, 8),
    "minibatch": CategoricalDistribution([2048, 4096, 8192]),
    "entropy": FloatDistribution(3e-4, 1e-2, log=True),
    "discount": FloatDistribution(0.8, 0.998),
    "gae_lambda": FloatDistribution(0.8, 1.0),
    "clip": FloatDistribution(0.1, 0.4),
    "layers": CategoricalDistribution(["64x64", "128x128", "256x256", "128x128x128"]),
    "width": CategoricalDistribution([16, 32, 64]),
    "most_load": FloatDistribution(1.1, 1.8),
    "imitation": CategoricalDistribution([200_000, 400_000, 800_000]),
}
"""What is searched, and how far. Layers are widths with an x in between."""

BATCH = 4
"""Trials that are asked before any of them is told; whatever the number of processes."""

SPARED_TRIALS = 4
SPARED_EVALUATIONS = 8
"""The first runs, and the first evaluations of every run, at which none is given up."""

DIGITS = 3
"""Significant digits of a setting."""


@dataclass(frozen=True)
class Question:
    """What a sweep is asked: the settings of PPO for training runs such as ``asked``.

    Attributes
    ----------
    asked
        A run with the present settings, which are tried first; what is not searched stays.
    trials
        Settings to try.
    """

    asked: Asked
    trials: int

    def digest(self) -> str:
        """SHA-256 of all that the answer depends on, but for the number of trials and the code."""
        content = {
            "asked": self.asked.digest(),
            "ranges": ranges(),
            "search": [BATCH, SPARED_TRIALS, SPARED_EVALUATIONS, DIGITS],
            "judged": [EVALUATION_PARTS, HELD_OUT_EPISODES],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def ranges() -> dict[str, Any]:
    """What is searched, as plain data."""
    return {name: json.loads(distribution_to_json(each)) for name, each in RANGES.items()}


class SweptRun(StudyRun):
    """A run that is given up once its best score is over the bar of an evaluation.

    Parameters
    ----------
    bars
        One for every evaluation.
    """

    def __init__(self, folder: Path, config: dict[str, Any], bars: tuple[float, ...]) -> None:
        super().__init__(folder, config)
        self._bars = bars

    def evaluate(self, held_out: HeldOut) -> dict[str, Any]:
        """Evaluate, and go on only if it is worth it."""
        entry = super().evaluate(held_out)
        best, at = self.best, len(self.evaluations) - 1
        assert best is not None
        if self.steps < self.total and at < len(self._bars) and best["score"] > self._bars[at]:
            raise optuna.TrialPruned
        return entry


@dataclass(frozen=True)
class Trial:
    """A trial's training run."""

    folder: Path
    asked: Asked
    bars: tuple[float, ...]

    def __call__(self) -> Result:
        """Train until the end, or until it is given up."""
        run = open_run(self.folder, self.asked, functools.partial(SweptRun, bars=self.bars))
        try:
            train_quietly(run)
            pruned = False
        except optuna.TrialPruned:
            pruned = True
        scores = [each["score"] for each in run.evaluations]
        best = run.best
        assert best is not None
        return {
            "score": best["score"],
            "pruned": pruned,
            "best_steps": best["steps"],
            "attainment": best["attainment"],
            "gpu_seconds": best["gpu_seconds"],
            "cost": {load: each["cost"] for load, each in best["loads"].items()},
            "best_so_far": np.minimum.accumulate(scores).tolist(),
        }


def search(
    question: Question, folder: Path, work: Work, advance: Callable[[], None]
) -> list[FrozenTrial]:
    """Carry a study out, going on from what its journal holds.

    Parameters
    ----------
    folder
        Holds the journal, and the runs of each trial.
    advance
        Called after every trial.

    Returns
    -------
    list of FrozenTrial
        All trials; what became of each is its user attribute ``result``, its settings are
        ``settings``.

    Raises
    ------
    OutputError
        If the journal cannot be written.
    """
    digest = question.digest()
    kept = open_study(folder / "journal", digest)
    told = kept.get_trials(deepcopy=False)[: question.trials]
    for _ in told:
        advance()
    # Asked and told in memory: the journal gets trials that have ended.
    study = optuna.create_study(direction="minimize")
    study.add_trials(told[: len(told) // BATCH * BATCH])
    if not study.trials:
        study.enqueue_trial(present(question.asked.settings))
    results = [trial.user_attrs["result"] for trial in told[: len(told) // BATCH * BATCH]]
    while len(results) < question.trials:
        begun, bars = len(results), bars_of(results)
        numbers = range(begun, min(begun + BATCH, question.trials))
        asked = [ask(study, RANGES, number) for number in numbers]
        settings = [with_values(question.asked.settings, trial.params) for trial in asked]
        jobs = [
            Trial(
                folder / digest[:8] / f"trial-{trial.number}",
                replace(question.asked, settings=each),
                bars,
            )
            for trial, each in zip(asked, settings, strict=True)
            if trial.number >= len(told)
        ]
        news = [trial.user_attrs["result"] for trial in told[begun:]] + work(jobs, advance)
        results += news
        for trial, each, result in zip(asked, settings, news, strict=True):
            ended = _tell(study, trial, each, result)
            if trial.number >= len(told):
                kept.add_trial(ended)
    return study.get_trials()


def present(settings: PPOSettings) -> dict[str, Any]:
    """The present values of what is searched, as a trial has them."""
    values = settings.model_dump(mode="json", include=set(RANGES))
    if "layers" in values:
        values["layers"] = "x".join(map(str, values["layers"]))
    return values


def with_values(settings: PPOSettings, values: Mapping[str, Any]) -> PPOSettings:
    """Lay what a trial proposes over the present settings, rounded."""
    rounded: dict[str, Any] = {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        for name, value in values.items()
    }
    if "layers" in rounded:
        rounded["layers"] = [int(width) for width in rounded["layers"].split("x")]
    return PPOSettings.model_validate({**settings.model_dump(), **rounded})


def bars_of(results: Sequence[Result]) -> tuple[float, ...]:
    """Best score that a run must have had at each evaluation: the median of those that got there.

    Infinite where nobody is given up yet.
    """
    if len(results) < SPARED_TRIALS:
        return ()
    most = max(len(each["best_so_far"]) for each in results)
    bars = [math.inf] * min(SPARED_EVALUATIONS, most)
    for at in range(len(bars), most):
        reached = [each["best_so_far"][at] for each in results if len(each["best_so_far"]) > at]
        bars.append(float(np.median(reached)))
    return tuple(bars)


def _tell(
    study: optuna.Study, trial: optuna.Trial, settings: PPOSettings, result: Result
) -> FrozenTrial:
    trial.set_user_attr("settings", settings.model_dump(mode="json", include=set(RANGES)))
    trial.set_user_attr("result", result)
    trial.report(result["score"], step=len(result["best_so_far"]))
    if result["pruned"]:
        return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, result["score"])
