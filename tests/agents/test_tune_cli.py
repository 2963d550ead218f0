"""Tuning from the command line writes policies, skips what is up to date, and can be stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evaluate
from agents import tune, tuning
from agents.registry import NAMED_PAIRS
from agents.tuned_files import read_tuned

QUICK = ["--set", "decisions=200", "--set", "load=0.8", "--workers", "1"]


@pytest.fixture(autouse=True)
def _few_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FIRST", 2)
    monkeypatch.setattr(tuning, "LAST", 4)
    monkeypatch.setattr(tuning, "VALIDATION", (4, 8))
    monkeypatch.setattr(tuning, "FINALISTS", 2)


def run(folder: Path, *arguments: str) -> int:
    folders = ["--out", str(folder / "tuned"), "--journals", str(folder / "journals")]
    with pytest.raises(SystemExit) as ended:
        tune.main([*QUICK, *folders, *arguments])
    return int(ended.value.code or 0)


def test_it_writes_a_policy_that_evaluate_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "latency-bound", "--scenario", "sd-mobile", "--trials", "3") == 0

    printed = capsys.readouterr().out
    path = tmp_path / "tuned" / "sd-mobile" / "latency-bound.yaml"
    tuned = read_tuned(path)
    assert "latency-bound" in printed
    assert (tuned.trials, tuned.target, tuned.policy) == (3, 0.99, "latency-bound")
    with pytest.raises(SystemExit) as ended:
        evaluate.main([
            "--scenario", "sd-mobile", "--set", "decisions=200", "--set", "load=0.8", "--json", "-",
            "--episodes", "2", "--out", str(tmp_path), "--policies", f"tuned:{path}",
        ])  # fmt: skip
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)["policies"][0]["policy"]
    assert said["parameters"] == pytest.approx(tuned.parameters)


def test_json_holds_what_the_files_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = ["latency-bound+window", "--scenario", "sd-mobile", "--trials", "2"]
    assert run(tmp_path, *specs, "--json", "--target-attainment", "0.5") == 0

    printed = json.loads(capsys.readouterr().out)
    tuned = read_tuned(tmp_path / "tuned" / "sd-mobile" / "latency-bound+window.yaml")
    assert printed["tuned"] == [tuned.model_dump(mode="json")]
    assert tuned.target == 0.5
    assert tuned.reached
    assert tuned.parameters["size"] == int(tuned.parameters["size"])


def test_a_file_that_is_up_to_date_stays(tmp_path: Path) -> None:
    asked = ["latency-bound", "--scenario", "sd-mobile", "--trials"]
    path = tmp_path / "tuned" / "sd-mobile" / "latency-bound.yaml"
    run(tmp_path, *asked, "3")
    first = path.read_bytes()
    path.touch()

    run(tmp_path, *asked, "3")
    assert path.read_bytes() == first
    run(tmp_path, *asked, "2")
    assert path.read_bytes() == first
    run(tmp_path, *asked, "4")
    assert read_tuned(path).trials == 4


def test_all_tunes_every_named_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = {name: NAMED_PAIRS[name] for name in ("all-cloud+window", "joint-greedy+slack")}
    monkeypatch.setattr(tune, "NAMED_PAIRS", pairs)

    code = run(tmp_path, "--all", "--scenario", "sd-mobile", "--trials", "1", "--workers", "1")

    written = sorted(path.stem for path in (tmp_path / "tuned" / "sd-mobile").iterdir())
    assert code == 0
    assert written == sorted(pairs)
    assert capsys.readouterr().out.count("*") <= 1


def test_a_rule_without_parameters_gets_a_file_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "all-cloud", "--scenario", "sd-mobile") == 0

    assert "all-cloud has no parameters: it is measured as it is" in capsys.readouterr().err
    assert read_tuned(tmp_path / "tuned" / "sd-mobile" / "all-cloud.yaml").parameters == {}


def test_an_interrupted_run_says_so_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["latency-bound", "--scenario", "sd-mobile", "--trials", "8"]
    told = tuning._tell
    numbers: list[int] = []

    def interrupted(study, trial, *rest):
        numbers.append(trial.number)
        if trial.number == 5:
            raise KeyboardInterrupt
        return told(study, trial, *rest)

    monkeypatch.setattr(tuning, "_tell", interrupted)
    assert run(tmp_path, *asked) == 130
    assert "stopped; the same command goes on from" in capsys.readouterr().err
    assert not (tmp_path / "tuned").exists()

    monkeypatch.setattr(tuning, "_tell", told)
    assert run(tmp_path, *asked) == 0
    assert numbers == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["latency-bond", "--scenario", "sd-mobile"], "did you mean 'latency-bound'?"),
        (["latency-bound", "--scenario", "sd-mobil"], "did you mean 'sd-mobile'?"),
        (["latency-bound:margin=0.1", "--scenario", "sd-mobile"], "tuned by its name alone"),
        (["latency-bound", *["--scenario", "sd-mobile"] * 2], "names one scenario twice"),
        (["ppo:runs/x", "--scenario", "sd-mobile"], "tuned by its name alone"),
        (["latency-bound", "--scenario", "sd-mobile", "--journals", __file__], "cannot keep"),
        (["latency-bound", "--scenario", "sd-mobile", "--out", __file__], "cannot write"),
    ],
)
def test_what_cannot_be_tuned_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code = run(tmp_path, *arguments, "--trials", "1")

    error = capsys.readouterr().err
    assert code == 1
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["latency-bound"], ["latency-bound", "--all", "--scenario", "sd-mobile"]]
)
def test_a_rule_and_a_scenario_or_all_are_needed(tmp_path: Path, arguments: list[str]) -> None:
    assert run(tmp_path, *arguments) == 2
