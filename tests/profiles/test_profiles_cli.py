"""``python -m splitenv profiles``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitenv.cli import main
from splitenv.profiles import catalogue


def run(*arguments: str) -> int:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        main(["profiles", *arguments])
    return int(exit_.value.code or 0)


def test_the_list_names_every_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    printed = capsys.readouterr().out
    for kind in ("models", "devices", "gpus"):
        for name in catalogue.names(kind):
            assert name in printed


def test_the_list_as_json_has_counts_and_main_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    rows = {(row["kind"], row["name"]): row for row in json.loads(capsys.readouterr().out)}
    aitemplate = rows["gpus", "a100-aitemplate"]
    assert aitemplate["measured"] == 9
    assert aitemplate["main_figure"].startswith("batch 1 to 16: 1.28 s alone")


def test_show_prints_figures_sources_and_the_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "a100-aitemplate") == 0
    printed = capsys.readouterr().out
    assert "1282.98 ms" in printed
    assert "https://github.com/facebookincubator/AITemplate" in printed
    assert "per request" in printed


def test_show_prints_the_components_of_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "galaxy-s24") == 0
    printed = capsys.readouterr().out
    assert "81.089 ms x 2" in printed
    assert "denoise" in printed


@pytest.mark.parametrize("name", ["a100", "t4", "galaxy-s24", "rb5-cpu"])
def test_show_draws_a_png(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    assert run("show", name, "--plot", str(path)) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "a101"), "error: unknown profile 'a101'; did you mean "),
        (("show", "sdxl-1.0", "--plot", "x.png"), "error: sdxl-1.0: only GPUs and devices"),
        (("show", "a100", "--plot", "/none/x.png"), "error: /none/x.png: the plot cannot be"),
        (("show", "nowhere/mine.yaml"), "error: nowhere/mine.yaml: its folder must say what"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1


def test_check_prints_one_line_per_fault_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = catalogue.Report(["a.yaml: x: wrong", "b.yaml: y: wrong"], {"gpus": 2}, {})
    monkeypatch.setattr(catalogue, "check", lambda: report)
    assert run("check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == ["a.yaml: x: wrong", "b.yaml: y: wrong", "2 faults"]


def test_check_without_faults_exits_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"measured": 3, "derived": 2, "assumed": 1}
    monkeypatch.setattr(
        catalogue, "check", lambda: catalogue.Report([], {"gpus": 2}, {"gpus": counts})
    )
    assert run("check", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "faults": [],
        "profiles": {"gpus": 2},
        "figures": {"gpus": counts},
    }
