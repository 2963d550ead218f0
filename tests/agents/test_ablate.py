"""Ablations train variants side by side, keep what is done, and say what each part is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents import ablate, ablation
from agents.ablation import summarise
from agents.studies import open_run
from agents.variants import VARIANTS
from tests.agents.small_runs import SMALL, STEPS, make_runs_small


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs_small(monkeypatch)
    monkeypatch.setattr(ablation, "EPISODES", 2)


def run(folder: Path, *arguments: str, scenario: str = "sd-mobile") -> int:
    folders = ["--out", str(folder), "--record", str(folder / "record"), "--steps", STEPS]
    with pytest.raises(SystemExit) as ended:
        ablate.main(["--scenario", scenario, *SMALL, *folders, *arguments])
    return int(ended.value.code or 0)


def test_every_variant_trains_and_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--seeds", "1") == 0

    said = capsys.readouterr()
    trained = [name for name in VARIANTS if name != "no-masks"]
    assert said.err == "sd-mobile masks nothing: no-masks is left out\n"
    study = json.loads((tmp_path / "record" / "ablations-sd-mobile.json").read_text())
    assert [each["variant"] for each in study["runs"]] == trained
    assert all(name in said.out for name in trained)
    for each in study["runs"]:
        assert each["base"] == study["base"]
        costs = [each["cost"][load] / cost for load, cost in study["base"]["cost"].items()]
        assert each["score"] == pytest.approx(sum(costs) / 3)
    assert study["provenance"]["python"]
    assert (tmp_path / "sd-mobile.png").read_bytes().startswith(b"\x89PNG")


def test_masks_are_left_out_where_there_are_any(tmp_path: Path) -> None:
    asked = ["--seeds", "1", "--variants", "no-masks"]
    assert run(tmp_path, *asked, scenario="mixed-tenants") == 0
    study = json.loads((tmp_path / "record" / "ablations-mixed-tenants.json").read_text())
    shipped, unmasked = study["variants"]
    assert (shipped["variant"], unmasked["variant"]) == ("shipped", "no-masks")
    assert shipped["scores"] != unmasked["scores"]


def test_finished_runs_are_kept_and_stopped_ones_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, int]] = []

    def opening(folder: Path, *rest: Any) -> Any:
        found = open_run(folder, *rest)
        opened.append((folder.name, found.steps))
        return found

    monkeypatch.setattr(ablation, "open_run", opening)
    judge = ablation.judged
    monkeypatch.setattr(ablation, "judged", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(tmp_path, "--seeds", "1", "--variants", "one-scale") == 130
    monkeypatch.setattr(ablation, "judged", judge)
    assert run(tmp_path, "--seeds", "1", "--variants", "one-scale") == 0
    assert run(tmp_path, "--seeds", "2", "--variants", "one-scale") == 0

    steps = int(STEPS)
    assert opened == [
        ("shipped-0", 0),
        ("shipped-0", steps),
        ("one-scale-0", 0),
        ("shipped-1", 0),
        ("one-scale-1", 0),
    ]


def test_differences_are_paired_by_seed() -> None:
    def result(variant: str, seed: int, score: float) -> dict[str, Any]:
        others = {"attainment": 0.99, "gpu_seconds": 1.0, "violations_in_overload": 0.2}
        return {"variant": variant, "seed": seed, "score": score, **others}

    shipped, other = summarise(
        [result("shipped", 0, 0.90), result("shipped", 1, 0.94), result("one-scale", 0, 0.91),
         result("one-scale", 1, 0.95), result("one-scale", 2, 0.99)]
    )  # fmt: skip
    assert shipped["against_shipped"] is None
    assert shipped["score"]["value"] == pytest.approx(0.92)
    assert shipped["score"]["high"] - 0.92 == pytest.approx(12.706 * 0.02, rel=1e-3)
    assert other["against_shipped"]["value"] == pytest.approx(0.01)
    assert other["against_shipped"]["high"] == pytest.approx(0.01)


def test_an_unknown_variant_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--variants", "no-such") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: unknown variant 'no-such'; accepted: shipped, cold-start")
    assert error.count("\n") == 1
