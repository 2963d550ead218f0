"""Learning curves put runs together that differ in their seed alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents import learning_curves

CONFIG = {
    "scenario": {"name": "sd-mobile"},
    "scenario_sha256": "0" * 64,
    "steps": 300,
    "algorithm": "maskable-ppo",
    "rule": "tuned:sd-mobile/joint-greedy+symphony",
    "target_attainment": None,
    "preference_conditioned": True,
    "settings": {"discount": 0.9},
}


def write(folder: Path, seed: int, scores: dict[int, float], **others: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, "seed": seed, **others}))
    nominal = {"attainment": 0.99, "gpu_seconds": 0.76}
    evaluations = [
        {"steps": steps, "score": score, "attainment": 0.98, "gpu_seconds": 0.75}
        for steps, score in scores.items()
    ]
    told = {"all_cloud": {"nominal": nominal}, "rule": {"nominal": nominal}}
    (folder / "evaluations.json").write_text(json.dumps({**told, "evaluations": evaluations}))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as ended:
        learning_curves.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0), capsys.readouterr()


def test_means_and_intervals_are_over_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "a", 0, {0: 1.0, 100: 0.90, 200: 0.86})
    second = write(tmp_path / "b", 1, {0: 1.0, 100: 0.94})
    out = tmp_path / "curves.png"
    code, said = run(capsys, first, second, "--out", out, "--json")

    assert code == 0
    told = json.loads(said.out)
    assert told["seeds"] == [0, 1]
    assert [each["steps"] for each in told["curve"]] == [0, 100]
    score = told["curve"][1]["score"]
    assert score["value"] == pytest.approx(0.92)
    assert score["high"] == pytest.approx(0.92 + 12.706 * 0.02, rel=1e-3)
    assert told["base"] == {"score": 1.0, "attainment": 0.99, "gpu_seconds": 0.76}
    assert out.read_bytes().startswith(b"\x89PNG")


def test_one_seed_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = write(tmp_path / "a", 0, {0: 1.0, 100: 0.90})
    code, said = run(capsys, alone, "--out", tmp_path / "curves.png")
    assert code == 0
    assert "±" not in said.out
    assert "0.9000" in said.out


def test_runs_that_differ_in_more_than_the_seed_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "a", 0, {0: 1.0})
    out = ("--out", tmp_path / "curves.png")
    other = write(tmp_path / "b", 1, {0: 1.0}, settings={"discount": 0.99})
    same = write(tmp_path / "c", 0, {0: 1.0})
    for runs, message in [
        ((first, other), "differs from"),
        ((first, same), "two of the runs have the same seed: 0, 0"),
        ((first, tmp_path), "is no run with evaluations"),
    ]:
        code, said = run(capsys, *runs, *out)
        assert code == 1
        assert message in said.err
        assert said.err.count("\n") == 1
    assert not (tmp_path / "curves.png").exists()
