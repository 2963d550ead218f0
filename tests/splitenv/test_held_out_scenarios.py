"""Held-out scenarios: what nothing was trained or tuned on, and yet the same decision problem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from splitenv.features import describe
from splitenv.scenario import (
    Scenario,
    ScenarioError,
    held_out_names,
    load_scenario,
    scenario_names,
)
from splitenv.tables import build_tables, fleet

ROOT = Path(__file__).parents[2]
MAIN = ("sd-mobile", "mixed-tenants", "flash-crowd", "regnet-camera")
CHANGED = ("devices", "networks", "arrivals", "everything")


def origin(name: str) -> Scenario:
    """The scenario that a held-out one derives from."""
    return load_scenario(next(main for main in MAIN if name.startswith(f"heldout/{main}-")))


def devices(scenario: Scenario) -> set[str]:
    return {device.name for device in fleet(scenario)}


@pytest.mark.parametrize("name", held_out_names())
def test_a_held_out_scenario_poses_the_problem_that_it_derives_from(name: str) -> None:
    scenario, main = load_scenario(name), origin(name)
    tables, its = build_tables(scenario), build_tables(main)

    assert scenario.name == name
    for field in ("models", "sla", "violation_price", "dispatch", "serving", "decisions"):
        assert getattr(scenario, field) == getattr(main, field), field
    assert np.array_equal(tables.action_placement, its.action_placement)
    assert np.array_equal(tables.action_hold, its.action_hold)
    assert describe(tables.enter.shape[1]) == describe(its.enter.shape[1])


@pytest.mark.parametrize("name", held_out_names())
def test_what_a_held_out_scenario_changes_was_not_there_in_training(name: str) -> None:
    scenario, main = load_scenario(name), origin(name)
    trained = [load_scenario(each) for each in scenario_names()]
    changed = name.removeprefix(f"heldout/{main.name}-")

    if changed not in ("devices", "networks", "arrivals"):
        assert scenario.pool.gpu != main.pool.gpu
    if changed in ("devices", "everything"):
        assert not devices(scenario) & set().union(*map(devices, trained))
    if changed in ("networks", "everything"):
        known = set().union(*(each.network.shares for each in trained))
        assert not set(scenario.network.shares) & known
    if changed in ("arrivals", "everything"):
        assert scenario.arrivals not in {each.arrivals for each in trained}


@pytest.mark.parametrize("main", MAIN)
def test_every_main_scenario_has_a_variant_of_each_kind(main: str) -> None:
    variants = [name for name in held_out_names() if name.startswith(f"heldout/{main}-")]

    assert len(variants) == len(CHANGED) + 1
    assert {f"heldout/{main}-{changed}" for changed in CHANGED} < set(variants)


def test_held_out_scenarios_are_listed_apart() -> None:
    assert not [name for name in scenario_names() if "/" in name]
    assert all(name.startswith("heldout/") for name in held_out_names())


def test_nothing_that_trains_or_tunes_names_a_held_out_scenario() -> None:
    agents = ROOT / "agents"
    files = [
        *(agents / "hyperparameters").rglob("*"),
        *(agents / "tuned").rglob("*"),
        agents / "suites" / "standard.yaml",
    ]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.is_file()}

    assert len(texts) > 50
    for path, text in texts.items():
        for name in held_out_names():
            assert name not in text, path
            assert name.removeprefix("heldout/") not in [*path.parts, path.stem]


def test_a_mistyped_held_out_name_is_one_sentence() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'heldout/sd-mobile-h100'"):
        load_scenario("heldout/sd-mobile-h10")
    with pytest.raises(ScenarioError, match="; held out: heldout/flash-crowd-arrivals"):
        load_scenario("zzz")
