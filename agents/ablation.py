"""Ablations: the shipped way to learn beside variants of it, each with one part changed.

Every variant trains with the same seeds and budget. Its best model, chosen by the held-out
evaluations of its run, is then judged anew on episodes that chose nothing, the same for all, with
its knob at the scenario's own price.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.monitor import HELD_OUT, HeldOut
from agents.ppo import BEST
from agents.statistics import Interval, over_seeds
from agents.studies import Asked, Result, open_run, train_quietly
from agents.training import Run
from agents.variants import VARIANTS

FIRST = HELD_OUT + 4096
"""First seed of the judgement, after those of evaluations and calibrations."""
EPISODES = 64
"""Episodes of the judgement, at each load."""

MEASURES = ("score", "attainment", "gpu_seconds", "violations_in_overload")


@dataclass(frozen=True)
class Ablation:
    """The training run of a variant with a seed."""

    folder: Path
    variant: str
    asked: Asked

    def __call__(self) -> Result:
        """Train and judge."""
        run = open_run(self.folder, self.asked, VARIANTS[self.variant].kind)
        train_quietly(run)
        best = run.best
        assert best is not None
        run.model.set_parameters(str(run.folder / BEST))
        return {
            "variant": self.variant,
            "seed": self.asked.seed,
            "best_steps": best["steps"],
            **judged(run),
        }


def judged(run: Run) -> dict[str, Any]:
    """Judge a run's policy, and the rule that it is to beat."""
    judge = HeldOut(run.scenario, EPISODES, run.rule, FIRST)
    outcomes = judge(run.policy())
    found = judge.compare(outcomes)
    base = judge.rule or judge.all_cloud
    return {
        "score": found["score"],
        "attainment": found["attainment"],
        "gpu_seconds": found["gpu_seconds"],
        "violations_in_overload": 1.0 - outcomes["overload-1.1"].attainment,
        "cost": {load: each.cost for load, each in outcomes.items()},
        "base": {
            "score": 1.0,
            "attainment": base["nominal"].attainment,
            "gpu_seconds": base["nominal"].gpu_seconds,
            "violations_in_overload": 1.0 - base["overload-1.1"].attainment,
            "cost": {load: each.cost for load, each in base.items()},
        },
    }


def jobs(asked: Asked, seeds: int, names: list[str], folder: Path) -> list[Ablation]:
    """The runs of an ablation, seed by seed, so that one that was stopped has all of the first."""
    found = []
    for seed in range(asked.seed, asked.seed + seeds):
        for name in names:
            variant = VARIANTS[name]
            one = Asked(
                asked.scenario,
                asked.steps,
                seed,
                asked.settings.model_copy(update=dict(variant.settings)),
                asked.rule,
                variant.conditioned,
            )
            found.append(Ablation(folder / f"{name}-{seed}", name, one))
    return found


def summarise(results: list[Result]) -> list[dict[str, Any]]:
    """Put the seeds of each variant together, in the order of the variants.

    Returns
    -------
    list of dict
        ``variant``, ``change``, ``seeds`` and, for each of :data:`MEASURES`, a mean with the 95%
        interval over seeds; ``against_shipped`` is the score's difference to the shipped way's,
        paired by seed, None for itself or without it.
    """
    names = list(dict.fromkeys(each["variant"] for each in results))
    by_seed = {
        name: {each["seed"]: each for each in results if each["variant"] == name} for name in names
    }
    rows = []
    for name, runs in by_seed.items():
        measured = {
            measure: vars(over_seeds([each[measure] for each in runs.values()]))
            for measure in MEASURES
        }
        rows.append(
            {
                "variant": name,
                "change": VARIANTS[name].change,
                "seeds": sorted(runs),
                "scores": [runs[seed]["score"] for seed in sorted(runs)],
                **measured,
                "against_shipped": _against(runs, by_seed.get("shipped", {}), name),
            }
        )
    return rows


def _against(
    runs: dict[int, Result], shipped: dict[int, Result], name: str
) -> dict[str, float] | None:
    both = sorted(runs.keys() & shipped.keys())
    if name == "shipped" or not both:
        return None
    found: Interval = over_seeds(
        np.array([runs[seed]["score"] - shipped[seed]["score"] for seed in both])
    )
    return vars(found)
