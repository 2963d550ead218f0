from __future__ import annotations

import json

import pytest

from agents.bounds.__main__ import main
from agents.bounds.check import Order

QUICK = ["--episodes", "1", "--set", "decisions=256", "--set", "load=0.8"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return int(exit_.value.code or 0)


def test_it_prints_the_bound_at_three_targets_and_the_gap_of_policies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*QUICK, "--policies", "all-cloud") == 0

    printed = capsys.readouterr().out
    assert all(f" {target} " in printed for target in ("95", "99", "99.9"))
    assert "all-cloud" in printed
    assert "above %" in printed


def test_json_says_what_is_needed_to_have_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*QUICK, "--policies", "all-cloud", "--target", "0.9", "--json") == 0

    said = json.loads(capsys.readouterr().out)
    assert [bound["target"] for bound in said["bounds"]] == [0.9]
    (policy,) = said["policies"]
    assert policy["gap"] == pytest.approx(policy["gpu_seconds"] / policy["bound"] - 1)
    assert said["seeds"] == [0, 0]
    assert {"scenario", "provenance", "profile_digest"} <= said.keys()


def test_check_prints_the_order_and_the_number_of_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check", "--cases", "5") == 0

    printed = capsys.readouterr().out
    assert printed.startswith("5 random systems")
    assert "relaxation <= program = brute force <= rules: in order in every case" in printed


def test_check_fails_when_a_relaxation_is_too_high(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Order(0, 2, single=1.0, together=1.2, program=1.1, tried=1.1, rule=1.3)
    monkeypatch.setattr("agents.bounds.__main__.check_case", lambda _: wrong)

    assert run("--check", "--cases", "1") == 1
    assert "above the program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"single": 1.2}, "above the program"),
        ({"tried": 1.0}, "brute force"),
        ({"rule": 1.0}, "a rule is below"),
    ],
)
def test_every_fault_of_the_order_is_told(wrong: dict[str, float], fault: str) -> None:
    sound = {"single": 1.0, "together": 1.1, "program": 1.1, "tried": 1.1, "rule": 1.1}

    assert Order(0, 2, **sound).faults == []
    assert fault in Order(0, 2, **{**sound, **wrong}).faults[0]


def test_an_unknown_scenario_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--scenario", "sd-mobil") == 1
    assert "did you mean 'sd-mobile'" in capsys.readouterr().err
