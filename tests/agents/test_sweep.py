"""A sweep tries settings by training, gives up on bad ones, and goes on where it was stopped."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution

from agents import ppo, search, sweep
from agents.ppo import PPOSettings, load_hyperparameters
from agents.search import Question, bars_of, present, with_values
from agents.studies import Asked, Job, Result, carry_out
from splitenv.scenario import load_scenario
from tests.agents.small_runs import SMALL, STEPS, make_runs_small

ASKED = Asked(load_scenario("sd-mobile"), 1000, 0, load_hyperparameters("sd-mobile"), None)


def score_of(settings: PPOSettings) -> float:
    """A made-up score: best at discount 0.9 and a learning rate of 1e-3."""
    return (
        0.9 + (settings.discount - 0.9) ** 2 + 0.05 * math.log10(settings.learning_rate / 1e-3) ** 2
    )


def made_up(jobs: list[Any], advance: Any) -> list[Result]:
    """Do the jobs of a sweep without training."""
    results = []
    for job in jobs:
        score = score_of(job.asked.settings)
        results.append({"score": score, "pruned": False, "best_so_far": [1.0, score]})
        advance()
    return results


def ask(folder: Path, trials: int, work: Any = made_up) -> list[tuple[Any, ...]]:
    found = search.search(Question(ASKED, trials), folder, work, lambda: None)
    return [(t.number, t.user_attrs["settings"], t.user_attrs["result"]["score"]) for t in found]


def test_the_present_settings_come_first_and_better_ones_are_found(tmp_path: Path) -> None:
    asked = ASKED.settings.model_copy(update={"discount": 0.82, "learning_rate": 3e-4})
    question = Question(Asked(ASKED.scenario, 1000, 0, asked, None), 24)
    found = search.search(question, tmp_path, made_up, lambda: None)

    first = found[0].user_attrs
    assert first["settings"]["discount"] == 0.82
    assert first["settings"]["layers"] == list(asked.layers)
    best = min(trial.user_attrs["result"]["score"] for trial in found)
    assert best - 0.9 < 0.2 * (first["result"]["score"] - 0.9)


@pytest.mark.parametrize("until", [4, 5, 7])
def test_a_study_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path, until: int) -> None:
    whole = ask(tmp_path / "whole", 10)
    asked: list[int] = []

    def counting(jobs: list[Any], advance: Any) -> list[Result]:
        asked.extend(int(job.folder.name.removeprefix("trial-")) for job in jobs)
        return made_up(jobs, advance)

    ask(tmp_path / "stopped", until, counting)
    assert ask(tmp_path / "stopped", 10, counting) == whole
    assert asked == list(range(10))


def test_a_trial_that_is_done_is_not_trained_again(tmp_path: Path) -> None:
    class Once:
        folder = tmp_path / "trial-0"
        calls = 0

        def __call__(self) -> Result:
            self.calls += 1
            return {"score": 1.0}

    job = Once()
    typed: Job = job
    first = carry_out(typed)
    assert carry_out(typed) == first
    assert job.calls == 1
    assert first["seconds"] >= 0.0


def test_every_range_holds_the_present_settings() -> None:
    values = present(ASKED.settings)
    assert values.keys() == search.RANGES.keys()
    for name, value in values.items():
        each = search.RANGES[name]
        if isinstance(each, CategoricalDistribution):
            assert value in each.choices
        else:
            assert each.low <= value <= each.high
    assert with_values(ASKED.settings, values) == ASKED.settings


def test_a_run_is_given_up_where_half_of_those_before_it_were_better() -> None:
    def result(*best_so_far: float) -> Result:
        return {"best_so_far": [1.0] * search.SPARED_EVALUATIONS + list(best_so_far)}

    early = [result(0.8, 0.7), result(1.0, 0.9)]
    more = [*early, result(0.9), result(0.9, 0.85)]
    assert bars_of(early) == ()
    bars = bars_of(more)
    assert bars[: search.SPARED_EVALUATIONS] == (math.inf,) * search.SPARED_EVALUATIONS
    assert bars[search.SPARED_EVALUATIONS :] == (0.9, 0.85)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs_small(monkeypatch)
    ranges = {"learning_rate": FloatDistribution(1e-4, 1e-2), "discount": FloatDistribution(0.7, 1)}
    monkeypatch.setattr(search, "RANGES", ranges)
    monkeypatch.setattr(search, "BATCH", 2)


def run(folder: Path, *arguments: str) -> int:
    folders = [
        "--out", str(folder / "best"), "--record", str(folder / "record"),
        "--journals", str(folder / "journals"), "--steps", STEPS,
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        sweep.main(["--scenario", "sd-mobile", *SMALL, *folders, *arguments])
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("small")
def test_it_writes_the_study_and_settings_that_training_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, "--trials", "2") == 0
    assert "sd-mobile: runs of 1,024 decisions" in capsys.readouterr().out
    assert run(tmp_path, "--trials", "3", "--json") == 0

    study = json.loads((tmp_path / "record" / "sweep-sd-mobile.json").read_text())
    assert json.loads(capsys.readouterr().out)["trials"] == study["trials"]
    assert [trial["number"] for trial in study["trials"]] == [0, 1, 2]
    best = study["trials"][study["best"]]
    assert best["score"] == min(trial["score"] for trial in study["trials"])
    assert best["cost"].keys() == {"half", "nominal", "overload-1.1"}
    assert study["provenance"]["python"]
    assert study["rule"].startswith("tuned:sd-mobile/")

    written = (tmp_path / "best" / "sd-mobile.yaml").read_text()
    assert yaml.safe_load(written) == best["settings"]
    shutil.copy(ppo.HYPERPARAMETERS / "default.yaml", tmp_path / "best")
    monkeypatch.setattr(ppo, "HYPERPARAMETERS", tmp_path / "best")
    assert load_hyperparameters("sd-mobile").discount == best["settings"]["discount"]


@pytest.mark.usefixtures("small")
def test_a_hopeless_run_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs_small(monkeypatch)
    asked = Asked(
        load_scenario("sd-mobile", {"decisions": 200, "load": 0.8}), int(STEPS), 0,
        ppo.load_hyperparameters("sd-mobile"), None,
    )  # fmt: skip
    result = search.Trial(tmp_path / "run", asked, (math.inf, 0.0, 0.0))()
    assert result["pruned"]
    assert len(result["best_so_far"]) == 2
    assert (tmp_path / "run" / "best.zip").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "sd-mobil"], "did you mean 'sd-mobile'?"),
        (["--scenario", "sd-mobile", "--journals", __file__], "cannot keep"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        sweep.main([*arguments, "--trials", "1", "--workers", "1"])
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert message in error
    assert error.count("\n") == 1
