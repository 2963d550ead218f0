"""Training runs of a second or two, for what starts them by the dozen."""

from __future__ import annotations

import pytest

from agents import ppo, training

SMALL = ["--set", "decisions=200", "--set", "load=0.8", "--workers", "1"]
"""Options of a command that trains."""

STEPS = "1024"
_TINY = {
    "environments": 8,
    "steps": 32,
    "minibatch": 64,
    "epochs": 2,
    "layers": (16,),
    "width": 8,
    "imitation": 2000,
}


def make_runs_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate seldom and on little, and take tiny settings for those of every scenario."""
    monkeypatch.setattr(training, "HELD_OUT_EPISODES", 2)
    monkeypatch.setattr(training, "EVALUATION_PARTS", 2)
    monkeypatch.setattr(training, "CHECKPOINT_ROLLOUTS", 1)
    load = ppo.load_hyperparameters
    monkeypatch.setattr(
        ppo, "load_hyperparameters", lambda name: load(name).model_copy(update=_TINY)
    )
