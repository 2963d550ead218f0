"""Policies become bundles: one graph that decides as torch does, or a rule by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from agents.export import OPSET, actor_graph, export, main
from agents.registry import make_policy
from agents.replay import measure_skew
from splitenv.runtime import BundleError
from splitenv.runtime.bundle import read_bundle
from splitenv.runtime.policies import GraphPolicy
from splitenv.scenario import load_scenario

FEATURES, ACTIONS = 46, 56


@pytest.fixture(scope="module")
def actor() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(FEATURES, 64), torch.nn.Tanh(), torch.nn.Linear(64, ACTIONS)
    )


@pytest.fixture(scope="module")
def graph(actor: torch.nn.Module) -> bytes:
    return actor_graph(actor, FEATURES, ACTIONS)


@pytest.mark.parametrize("rows", [1, 2, 333])
def test_the_graph_decides_as_torch_does(actor: torch.nn.Module, graph: bytes, rows: int) -> None:
    random = np.random.default_rng(rows)
    observations = random.normal(size=(rows, FEATURES)).astype(np.float32)
    masks = random.random((rows, ACTIONS)) < 0.5
    masks[:, 1] = True
    with torch.no_grad():
        logits = actor(torch.from_numpy(observations)).numpy()
    policy = GraphPolicy(graph)
    assert np.allclose(policy.logits(observations, masks)[masks], logits[masks], atol=1e-5)
    expected = np.where(masks, logits, -np.inf).argmax(axis=1)
    assert np.array_equal(policy.act(observations, masks), expected)


def test_the_graph_is_one_file_of_the_stated_opset_without_traces(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model)
    assert [entry.version for entry in model.opset_import] == [OPSET]
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    assert str(Path(__file__).resolve().parents[2]).encode() not in graph
    assert b".py" not in graph


def test_a_learned_bundle_states_where_it_comes_from(learned_bundle: Path) -> None:
    manifest = read_bundle(learned_bundle).manifest
    assert (manifest.kind, manifest.fallback.name) == ("learned", "latency-bound")
    assert manifest.graph is not None
    assert manifest.graph.opset == OPSET
    assert manifest.scenario.name == "sd-mobile"
    assert manifest.training["provenance"]["libraries"]["torch"]


def test_a_rule_is_exported_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = "latency-bound-batching:hold=0.25"
    main([spec, str(tmp_path / "b"), "--scenario", "sd-mobile", "--set", "load=0.5"])
    manifest = read_bundle(tmp_path / "b").manifest
    assert manifest.rule is not None
    assert manifest.rule.name == "latency-bound-batching"
    assert manifest.rule.parameters["hold"] == 0.25
    assert manifest.scenario.content["load"] == 0.5
    assert "rule policy latency-bound-batching for sd-mobile" in capsys.readouterr().out


def test_a_rule_is_bound_to_the_main_scenario_unless_told_otherwise(tmp_path: Path) -> None:
    main(["latency-bound", str(tmp_path / "b")])
    assert read_bundle(tmp_path / "b").manifest.scenario.name == "sd-mobile"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["latency-bond", "--scenario", "sd-mobile"], "did you mean 'latency-bound'?"),
        (["latency-bound", "--scenario", "sd-mobil"], "did you mean 'sd-mobile'?"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    spec, *rest = arguments
    with pytest.raises(SystemExit) as caught:
        main([spec, str(tmp_path / "b"), *rest])
    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_a_run_is_exported_with_its_provenance_and_evaluations(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    main([str(run), str(tmp_path / "b")])
    manifest = read_bundle(tmp_path / "b").manifest
    assert manifest.name == "ppo:run"
    assert manifest.graph is not None
    assert manifest.graph.algorithm == "maskable-ppo"
    assert manifest.training["seed"] == 7
    assert manifest.evaluation == {"best": {"cost": 0.5}}


def write_run(folder: Path) -> Path:
    """Make the folder of a run that has not learned anything yet."""
    from agents.learned import save_best
    from agents.ppo import build_model, load_hyperparameters, training_env
    from splitenv.scenario import load_scenario

    scenario = load_scenario("sd-mobile")
    settings = load_hyperparameters("sd-mobile").model_copy(update={"environments": 1})
    model = build_model("maskable-ppo", training_env(scenario, settings, 0), settings, 0)
    config: dict[str, Any] = {
        "scenario": scenario.model_dump(mode="json"),
        "algorithm": "maskable-ppo",
        "seed": 7,
        "settings": settings.model_dump(mode="json"),
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evaluations.json").write_text(json.dumps({"best": {"cost": 0.5}}))
    save_best(model, folder)
    return folder


def test_a_bundle_is_made_for_batch_serving_only(tmp_path: Path) -> None:
    scenario = load_scenario("sd-mobile", {"serving": "continuous"})
    with pytest.raises(BundleError, match="serving is continuous"):
        export(make_policy("all-cloud"), scenario, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_pair_is_exported_as_its_split_for_the_discipline_that_it_names(tmp_path: Path) -> None:
    main(["latency-bound+symphony:margin=0.1,spare=1", str(tmp_path / "b")])

    manifest = read_bundle(tmp_path / "b").manifest
    assert manifest.name == "latency-bound+symphony"
    assert manifest.rule is not None
    assert (manifest.rule.name, manifest.rule.parameters) == ("latency-bound", {"margin": 0.1})
    assert manifest.discipline == "deferred"
    assert manifest.scenario.content["dispatch"]["spare"] == 1


@pytest.mark.parametrize("name", ["window", "aimd", "nexus", "symphony"])
def test_the_runtime_decides_as_a_pair_did_in_its_simulation(tmp_path: Path, name: str) -> None:
    policy = make_policy(f"latency-bound+{name}")
    export(policy, load_scenario("sd-mobile", {"load": 3.0}), tmp_path / "b")

    skew = measure_skew(tmp_path / "b", decisions=300)

    assert skew.decisions == 300
    assert skew.equal


def test_a_bundle_of_a_policy_with_a_knob_is_set_by_its_calibration(tmp_path: Path) -> None:
    from agents.learned import SB3Policy
    from agents.ppo import build_model, load_hyperparameters, training_env
    from agents.pressure import knob_of

    scenario = load_scenario("sd-mobile")
    settings = load_hyperparameters("sd-mobile").model_copy(update={"environments": 1})
    env = training_env(scenario, settings, 0, preferences=True)
    model = build_model("maskable-ppo", env, settings, 0)
    with torch.no_grad():
        model.policy.actor.own.weight *= 300.0
    low, high = settings.preferences
    policy = SB3Policy.of(model, scenario).at(low)
    calibration = {"targets": {"0.95": 0.5, "0.99": high, "0.999": None}}

    export(policy, scenario, tmp_path / "b", training={"calibration": calibration})

    bundle = read_bundle(tmp_path / "b")
    assert bundle.manifest.graph is not None
    knob = bundle.manifest.graph.knob
    assert knob is not None
    assert (knob.value, knob.targets) == (
        -1.0,
        {"0.95": pytest.approx(knob_of(0.5, settings.preferences)), "0.99": 1.0, "0.999": None},
    )
    seen, masks = bundle.goldens.observations, bundle.goldens.masks
    assert np.array_equal(bundle.policy().act(seen, masks), policy.act(seen, masks))
    strict = policy.at(high)
    strict.bind(bundle.context)
    assert np.array_equal(bundle.policy(0.99).act(seen, masks), strict.act(seen, masks))
    assert (bundle.policy(0.99).act(seen, masks) != policy.act(seen, masks)).any()
    with pytest.raises(BundleError, match=r"target 0.999 is none that it was measured to meet"):
        bundle.policy(0.999)
    with pytest.raises(BundleError, match="has no knob"):
        read_bundle(export_rule_bundle(tmp_path)).policy(0.99)


def export_rule_bundle(folder: Path) -> Path:
    export(make_policy("all-cloud"), load_scenario("sd-mobile"), folder / "rule")
    return folder / "rule"


def test_the_winner_of_an_evaluation_is_exported(tmp_path: Path) -> None:
    from evaluate import main as evaluate

    settings = ["--set", "decisions=512", "--episodes", "2", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        evaluate(["--scenario", "sd-mobile", "--policies", "all-device,latency-bound", *settings])
    assert ended.value.code == 0
    main([str(tmp_path / "evaluation.json"), str(tmp_path / "b")])

    manifest = read_bundle(tmp_path / "b").manifest
    assert manifest.name == "latency-bound"
    assert manifest.evaluation["won"]["figures"]["attainment"]["value"] > 0.9
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "other.json"), str(tmp_path / "c")])
