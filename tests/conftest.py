"""What tests of exported policies share: rules found by name, and bundles to play with."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernel before the workers start, who would each do it at the same time."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        from splitenv.scenario import load_scenario
        from splitenv.simulator import Simulator

        simulator = Simulator(load_scenario("sd-mobile"), 1)
        simulator.seed([0])
        simulator.reset()
        simulator.step(np.zeros(1, np.int64))


def declared_rules(group: str) -> EntryPoints:
    """The entry points of pyproject.toml: a checkout that is not installed can be tested too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rules = project["entry-points"][group]
    return EntryPoints(EntryPoint(name, value, group) for name, value in rules.items())


@pytest.fixture(scope="session", autouse=True)
def _rules_of_this_checkout() -> Any:
    from splitenv.runtime import policies

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "entry_points", declared_rules)
        yield


@pytest.fixture(scope="session")
def export_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Export a ``learned`` or ``rule`` policy for a scenario, once: not to be written to."""

    @cache
    def export(kind: str, scenario: str) -> Path:
        folder = tmp_path_factory.mktemp(kind) / "bundle"
        write = {"learned": export_untrained, "rule": export_rule}[kind]
        return write(scenario, folder)

    return export


@pytest.fixture(scope="session")
def learned_bundle(export_bundle: Callable[[str, str], Path]) -> Path:
    """An untrained PPO actor with opinions, for sd-mobile."""
    return export_bundle("learned", "sd-mobile")


@pytest.fixture(scope="session")
def rule_bundle(export_bundle: Callable[[str, str], Path]) -> Path:
    """The rule latency-bound-batching, for sd-mobile."""
    return export_bundle("rule", "sd-mobile")


def export_rule(name: str, folder: Path) -> Path:
    from agents.export import export
    from agents.registry import make_policy
    from splitenv.scenario import load_scenario

    export(make_policy("latency-bound-batching"), load_scenario(name), folder)
    return folder


def export_untrained(name: str, folder: Path) -> Path:
    from agents.export import export
    from splitenv.scenario import load_scenario

    scenario = load_scenario(name)
    export(untrained(scenario), scenario, folder)
    return folder


def untrained(scenario: Any) -> Any:
    """A MaskablePPO policy, its last layer blown up: else it would hardly tell actions apart."""
    import torch

    from agents.learned import SB3Policy
    from agents.ppo import build_model, load_hyperparameters, training_env

    settings = load_hyperparameters(scenario.name).model_copy(update={"environments": 1})
    model = build_model("maskable-ppo", training_env(scenario, settings, 0), settings, seed=0)
    with torch.no_grad():
        model.policy.actor.own.weight *= 100.0
    return SB3Policy.of(model, scenario, "ppo:untrained")
