"""What a training run is watched by: episode figures, held-out evaluation, and its logs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter
from torch.utils.tensorboard.writer import SummaryWriter

from agents.closeups import Closeup, latency_at, spread
from agents.evaluation import play
from agents.heuristics.fixed import AllCloud
from agents.policy import Policy
from agents.run_plot import run_picture
from agents.suite import Load, with_load
from splitenv.files import write_text
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator

HELD_OUT = 1 << 62
"""First seed of the periodic evaluation: above any that a user types, below any of training."""

COLUMNS = (
    "sla/attainment",
    "gpu/seconds_per_request",
    "gpu/saving_vs_all_cloud_alone",
    "batch/mean_size",
    "rollout/ep_rew_mean",
    "train/learning_rate",
    "train/entropy_loss",
    "train/value_loss",
    "train/approx_kl",
    "train/clip_fraction",
    "train/explained_variance",
)
"""Columns of ``progress.csv`` after the number of steps."""


@dataclass(frozen=True)
class Outcome:
    """What episodes came to, over the requests that count.

    Attributes
    ----------
    cost
        Mean cost of a request: the scenario's objective.
    attainment
        Share of requests that are no violation.
    gpu_seconds
        Mean GPU seconds of a request.
    saving_vs_alone
        Share of GPU seconds saved against all-cloud with every request alone on its GPU, which is
        more than all-cloud costs where its requests are batched.
    batch
        Mean, over requests, of the size of the batch that they were in; 0 if none was.
    """

    cost: float
    attainment: float
    gpu_seconds: float
    saving_vs_alone: float
    batch: float


_SUMMED = (
    "requests",
    "violations",
    "cost",
    "gpu_seconds",
    "reference_gpu_seconds",
    "batch_members",
    "cloud_requests",
)


def outcome(episodes: Iterable[Mapping[str, Any]]) -> Outcome | None:
    """Summarise the simulator's sums over episodes; None if no request counted."""
    rows = [[float(episode[name]) for name in _SUMMED] for episode in episodes]
    sums = np.sum(rows, axis=0) if rows else np.zeros(len(_SUMMED))
    requests, violations, cost, seconds, reference, members, cloud = sums.tolist()
    if requests == 0:
        return None
    return Outcome(
        cost=cost / requests,
        attainment=1.0 - violations / requests,
        gpu_seconds=seconds / requests,
        saving_vs_alone=1.0 - seconds / reference,
        batch=members / max(cloud, 1.0),
    )


LOADS: dict[str, Load] = {
    "half": Load(nominal=0.5),
    "nominal": Load(nominal=1.0),
    "overload-1.1": Load(capacity=1.1),
}
"""Under which a run is evaluated: the standard suite's, without the last, which is much like it."""
OWN = "nominal"
"""The scenario's own load among them."""


class HeldOut:
    """The scenario, not randomised, under :data:`LOADS`, on seeds that training never draws.

    Parameters
    ----------
    episodes
        At each load.
    rule
        What the policy is to beat; all-cloud if None.
    first
        First of the seeds.
    """

    def __init__(
        self, scenario: Scenario, episodes: int, rule: Policy | None = None, first: int = HELD_OUT
    ) -> None:
        self.episodes = episodes
        self._seeds = first + np.arange(episodes)
        self._simulators = {
            name: Simulator(with_load(scenario, load), episodes, record=name == OWN)
            for name, load in LOADS.items()
        }
        self.all_cloud = self(AllCloud())
        self.rule = self(rule) if rule is not None else None
        self.base = "all-cloud" if rule is None else "the rule"

    def __call__(self, policy: Policy) -> dict[str, Outcome]:
        """Run one episode on every seed at each load; all policies meet the same worlds."""
        outcomes = {}
        for load, simulator in self._simulators.items():
            play(policy, simulator, self._seeds)
            result = outcome(simulator.finished)
            assert result is not None, "a scenario's episodes are longer than what they leave out"
            outcomes[load] = result
        return outcomes

    def compare(self, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
        """What it came to at the scenario's own load, and the score that is to be small.

        ``score`` is the mean over loads of its cost over the rule's, or over all-cloud's.
        """
        nominal = outcomes[OWN]
        base = self.rule or self.all_cloud
        ratios = [each.cost / max(base[load].cost, 1e-9) for load, each in outcomes.items()]
        return {
            **asdict(nominal),
            "saving_vs_all_cloud": _saving(nominal, self.all_cloud[OWN]),
            "score": float(np.mean(ratios)),
            "loads": {load: asdict(each) for load, each in outcomes.items()},
        }

    def spread(self) -> Closeup:
        """How the requests of the episodes that it last ran at the own load are spread."""
        return spread(self._simulators[OWN])


def _saving(outcome: Outcome, reference: Outcome) -> float:
    spent = max(reference.gpu_seconds, 1e-12)
    return 1.0 - outcome.gpu_seconds / spent


class TensorBoard(KVWriter):
    """Scalars for TensorBoard; what an abandoned continuation wrote after ``steps`` is hidden."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=steps + 1 if steps else None)

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Write the numbers that are not excluded."""
        for key, value in key_values.items():
            if "tensorboard" not in (key_excluded.get(key) or ()):
                self._writer.add_scalar(key, float(value), step)
        self._writer.flush()

    def show(
        self, evaluations: Sequence[Mapping[str, Any]], all_cloud: Outcome, seen: Closeup, step: int
    ) -> None:
        """Write what the last evaluation looked like: latencies by tier, and the run's figures.

        Parameters
        ----------
        evaluations, all_cloud
            Of the run so far, and what all-cloud comes to in the same episodes.
        seen
            From the last one, see :meth:`HeldOut.spread`.
        """
        for tier, quantiles in seen["latency"].items():
            for level in (50, 95):
                value = latency_at(quantiles, level)
                self._writer.add_scalar(f"latency/{tier}_p{level}", value, step)
        picture = run_picture(evaluations, all_cloud.attainment, all_cloud.gpu_seconds, seen)
        self._writer.add_image("evaluation/figures", picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class ProgressTable(KVWriter):
    """``progress.csv``: a row for each rollout, up to where the run is; no more after a resume."""

    def __init__(self, path: Path, steps: int) -> None:
        self._path = path
        kept: list[list[str]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                kept = [
                    row for row in csv.reader(file) if row[0].isdigit() and int(row[0]) <= steps
                ]
        write_text(path, _lines([["steps", *COLUMNS], *kept]))

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Append a row."""
        values = [key_values.get(column) for column in COLUMNS]
        row = [step, *("" if value is None else f"{value:.6g}" for value in values)]
        with self._path.open("a", newline="", encoding="utf-8") as file:
            file.write(_lines([row]))

    def close(self) -> None:
        """Nothing is kept open."""


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
