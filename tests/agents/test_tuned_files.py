"""Tuned files are policies: by path or by name, for make_policy and for export."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import export, tuned_files
from agents.policy import Policy
from agents.registry import PolicyError, make_policy
from agents.tuned_files import FOLDER, load_tuned, read_tuned, tuned_path, write_tuned
from splitenv.runtime.bundle import read_bundle
from splitenv.scenario import load_scenario
from tests.agents.tuned import tuned_for


def test_a_tuned_file_gives_back_what_was_written(tmp_path: Path) -> None:
    tuned = tuned_for(load_scenario("sd-mobile"))
    path = tmp_path / "new" / "mine.yaml"

    write_tuned(path, tuned)

    assert read_tuned(path) == tuned
    policy = load_tuned(path)
    assert isinstance(policy, Policy)
    assert policy.describe() == {"name": "latency-bound", "parameters": {"margin": 0.12}}


def test_a_shipped_one_is_named_by_scenario_and_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_files, "FOLDER", tmp_path)
    tuned = tuned_for(load_scenario("sd-mobile"))
    write_tuned(tmp_path / "sd-mobile" / "latency-bound.yaml", tuned)

    policy = make_policy("tuned:sd-mobile/latency-bound")

    assert policy.describe()["parameters"] == {"margin": 0.12}
    with pytest.raises(PolicyError, match="did you mean 'sd-mobile/latency-bound'"):
        make_policy("tuned:sd-mobile/latency-bond")


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_policy_in_its_place(path: Path) -> None:
    tuned = read_tuned(path)

    assert tuned_path(f"{tuned.scenario}/{tuned.policy}") == path
    assert load_tuned(path).describe()["parameters"] == tuned.parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "mine.yaml: cannot be read: No such file"),
        ("{", "mine.yaml: is not valid YAML"),
        ("{policy: latency-bound}", "mine.yaml: parameters: Field required"),
        ("{policy: tuned:x.yaml}", "mine.yaml: policy: String should match"),
    ],
)
def test_a_file_that_is_no_tuned_policy_is_refused_in_one_sentence(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(PolicyError) as refused:
        make_policy(f"tuned:{path}")

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "latency"}, "unknown policy 'latency'"),
        ({"parameters": {"margin": 7.0}}, "margin must lie between"),
    ],
)
def test_a_tuned_file_of_a_rule_that_changed_is_refused_by_its_name(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = tmp_path / "mine.yaml"
    write_tuned(path, tuned_for(load_scenario("sd-mobile"), **changes))

    with pytest.raises(PolicyError, match=message) as refused:
        make_policy(f"tuned:{path}")

    assert str(refused.value).startswith(f"{path}: ")


def test_an_exported_tuned_policy_says_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    tuned = tuned_for(load_scenario("regnet-camera"))
    write_tuned(path, tuned)

    export.main([f"tuned:{path}", str(tmp_path / "bundle")])

    manifest = read_bundle(tmp_path / "bundle").manifest
    assert manifest.scenario.name == "regnet-camera"
    assert manifest.rule is not None
    assert manifest.rule.parameters == {"margin": 0.12}
    assert manifest.training["study"] == tuned.study
    assert manifest.training["provenance"] == tuned.provenance
    assert manifest.evaluation["attainment"] == tuned.attainment


def test_learning_starts_from_the_rule_that_drops_the_late_and_costs_least() -> None:
    spec = tuned_files.starting_rule("sd-mobile")
    price = load_scenario("sd-mobile").violation_price

    assert spec == "tuned:sd-mobile/joint-greedy+symphony-drop"
    dropping = [read_tuned(path) for path in (FOLDER / "sd-mobile").glob("*-drop.yaml")]
    costs = {each.policy: each.gpu_cost + price * (1 - each.attainment) for each in dropping}
    assert len(costs) == 3
    assert min(costs, key=lambda name: costs[name]) == "joint-greedy+symphony-drop"
    assert tuned_files.starting_rule("nowhere") is None
