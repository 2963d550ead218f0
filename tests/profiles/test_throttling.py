"""What a device profile may say of its slowdown under sustained use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from splitenv.cli import main
from splitenv.profiles import catalogue
from splitenv.profiles.figures import describe_validation
from splitenv.profiles.throttling import Throttle


def sustained_run(slowdown: float = 1.5, time_constant: float = 60.0) -> dict[str, Any]:
    return {
        "slowdown": {
            "value": slowdown,
            "unit": "1",
            "kind": "derived",
            "source": "apple_coreml_sd",
            "rule": "first-window speed over last-window speed",
            "setting": {"runtime": "Core ML", "duration_s": 600},
        },
        "time_constant": {
            "value": time_constant,
            "unit": "s",
            "kind": "assumed",
            "rule": "a tenth of the run",
        },
    }


def fault(run: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Throttle.model_validate(run)
    return describe_validation("mine.yaml", caught.value)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the shipped profiles to a directory of the test's own, and look there."""
    copy = tmp_path / "profiles"
    shutil.copytree(catalogue.profiles_root(), copy)
    monkeypatch.setattr(catalogue, "profiles_root", lambda: copy)
    return copy


def throttle_the_iphone_13(root: Path, run: dict[str, Any]) -> Path:
    path = root / "devices" / "iphone-13.yaml"
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(data | {"throttle": run}, sort_keys=False))
    return path


def show(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(["profiles", "show", name])
    assert not exit_.value.code
    return capsys.readouterr().out


def test_a_device_that_holds_its_speed_in_a_sustained_run_has_slowdown_1() -> None:
    assert Throttle.model_validate(sustained_run(slowdown=1.0)).slowdown.amount == 1.0


@pytest.mark.parametrize(
    ("field", "change", "sentence"),
    [
        ("slowdown", {"value": 0.9}, "slowdown must be 1 or above and in '1', got 0.9 '1'"),
        ("slowdown", {"unit": "it/s"}, "slowdown must be 1 or above and in '1', got 1.5 'it/s'"),
        ("time_constant", {"value": 0}, "time_constant must be above 0 and in 's', got 0 's'"),
        ("time_constant", {"unit": "ms"}, "time_constant must be above 0 and in 's', got 60 'ms'"),
        ("time_constant", {"rule": ""}, "a figure that is assumed must say by which rule"),
        ("slowdown", {"source": []}, "a figure that is derived must name its source"),
    ],
)
def test_a_throttle_that_cannot_be_is_refused_in_one_sentence(
    field: str, change: dict[str, Any], sentence: str
) -> None:
    run = sustained_run()
    run[field] |= change
    assert fault(run).endswith(sentence)
    assert "\n" not in fault(run)


def test_a_throttle_needs_both_figures() -> None:
    run = sustained_run()
    del run["time_constant"]
    assert fault(run) == "mine.yaml: time_constant: Field required"


def test_the_slowdown_of_a_device_is_traced_like_every_other_figure(root: Path) -> None:
    run = sustained_run()
    run["slowdown"]["source"] = "hearsay"
    path = throttle_the_iphone_13(root, run)
    sentence = f"{path}: throttle.slowdown: source 'hearsay' is in no SOURCES file"
    assert catalogue.check().faults == [sentence]


def test_show_says_what_sustained_use_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    throttle_the_iphone_13(root, sustained_run())
    printed = show("iphone-13", capsys)
    assert "sustained use: up to 1.5x slower, with a time constant of 60 s (assumed)" in printed
    assert "throttle.slowdown" in printed
    assert "duration_s 600" in printed


def test_show_says_that_a_device_without_a_sustained_run_keeps_its_speed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "sustained use: keeps its speed" in show("galaxy-s24", capsys)
