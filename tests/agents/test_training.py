import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.recfunctions import repack_fields
from numpy.random.mtrand import get_bit_generator
from rich.console import Console

from agents import training
from agents.learned import load_policy
from agents.ppo import PPOSettings, RunError, load_hyperparameters
from agents.training import Run, begin, resume, train
from splitenv.context import Context
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator
from splitenv.tables import build_tables
from train import main as command_line

ROOT = Path(__file__).resolve().parents[2]
ROLLOUTS = 6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "HELD_OUT_EPISODES", 2)
    monkeypatch.setattr(training, "EVALUATION_PARTS", 3)
    monkeypatch.setattr(training, "CHECKPOINT_ROLLOUTS", 2)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile", {"decisions": 160, "load": 0.8})


@pytest.fixture(scope="module")
def settings() -> PPOSettings:
    small = {"environments": 8, "steps": 32, "minibatch": 64, "epochs": 2, "layers": (16, 16)}
    return load_hyperparameters("sd-mobile").model_copy(update={**small, "imitation": 3000})


def start(folder: Path, scenario: Scenario, settings: PPOSettings, **others: Any) -> Run:
    steps = ROLLOUTS * settings.rollout
    return begin(folder, scenario, steps=steps, seed=1, settings=settings, **others)


def silent() -> Console:
    return Console(quiet=True)


def stop_within(run: Run, rollout: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the process receive a SIGTERM in the middle of the run's rollout of this number."""
    step_wait = run.model.env.step_wait

    def step_and_signal() -> Any:
        if run.steps == int((rollout - 0.5) * run.settings.rollout):
            os.kill(os.getpid(), signal.SIGTERM)
        return step_wait()

    monkeypatch.setattr(run.model.env, "step_wait", step_and_signal)


def everything(run: Run) -> dict[str, bytes]:
    with np.load(run.folder / "checkpoint.npz") as file:
        # What fills records up to whole cache lines means nothing.
        return {name: repack_fields(file[name]).tobytes() for name in file.files}


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"algorithm": "ppo"},
        {"rule": "latency-bound+symphony", "target_attainment": 0.99},
        {"rule": "joint-greedy", "preference_conditioned": True},
    ],
    ids=["maskable", "stock", "constrained", "conditioned"],
)
def test_a_stopped_and_resumed_run_ends_as_one_that_was_not_stopped(
    tmp_path: Path,
    scenario: Scenario,
    settings: PPOSettings,
    others: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    straight = start(tmp_path / "straight", scenario, settings, **others)
    train(straight, silent())

    stopped = start(tmp_path / "stopped", scenario, settings, **others)
    stop_within(stopped, ROLLOUTS // 2, monkeypatch)
    with pytest.raises(training.StoppedError) as stop:
        train(stopped, silent())
    assert stop.value.exit_code == 143
    get_bit_generator().random_raw(17)  # what else the process draws must not matter
    torch.rand(17)
    continued = resume(tmp_path / "stopped")
    assert continued.steps == ROLLOUTS // 2 * settings.rollout
    train(continued, silent())

    assert everything(continued) == everything(straight)
    assert continued.evaluations == straight.evaluations
    for name in ("progress.csv", "evaluations.json"):
        after, expected = (each.folder / name for each in (continued, straight))
        if name == "evaluations.json":
            assert after.read_text() == expected.read_text()
        assert [line.split(",")[0] for line in after.read_text().splitlines()] == [
            line.split(",")[0] for line in expected.read_text().splitlines()
        ]


def test_the_best_model_is_that_of_the_best_score(
    tmp_path: Path, scenario: Scenario, settings: PPOSettings
) -> None:
    run = start(tmp_path / "run", scenario, settings)
    train(run, silent())
    told = json.loads((tmp_path / "run" / "evaluations.json").read_text())
    assert [each["steps"] for each in told["evaluations"]] == [
        share * ROLLOUTS * settings.rollout // 3 for share in range(4)
    ]
    best = min(told["evaluations"], key=lambda each: each["score"])
    assert told["best"] == best

    policy = load_policy(tmp_path / "run")
    assert policy.name == "ppo:run"
    again = training.HeldOut(scenario, 2)(policy)
    assert again["nominal"].cost == best["cost"]


def test_a_loaded_policy_takes_only_possible_actions(
    tmp_path: Path, scenario: Scenario, settings: PPOSettings
) -> None:
    run = start(tmp_path / "run", scenario, settings)
    train(run, silent())
    policy = load_policy(tmp_path / "run")
    simulator = Simulator(scenario, 3)
    policy.bind(Context(simulator.tables))
    simulator.seed([1, 2, 3])
    simulator.reset()
    masks = np.zeros_like(simulator.mask)
    masks[:, [4, 9]] = True
    actions = policy.act(simulator.observation, masks)
    assert actions.dtype == np.int64
    assert set(actions.tolist()) <= {4, 9}
    other = Context(build_tables(load_scenario("regnet-camera")))
    with pytest.raises(RunError, match="was trained on"):
        policy.bind(other)


def test_the_learning_rate_falls_to_nothing_and_not_below(settings: PPOSettings) -> None:
    from agents.ppo import Falling

    rate = Falling(settings.learning_rate)
    assert rate(1.0) == settings.learning_rate
    assert rate(0.5) == pytest.approx(settings.learning_rate / 2)
    assert rate(0.0) == 0.0
    assert rate(-0.01) == 0.0


def test_a_finished_run_says_so(tmp_path: Path, scenario: Scenario, settings: PPOSettings) -> None:
    train(start(tmp_path / "run", scenario, settings), silent())
    with pytest.raises(RunError, match=r"is finished: 1,536 steps"):
        resume(tmp_path / "run")


def test_a_new_run_does_not_overwrite(
    tmp_path: Path, scenario: Scenario, settings: PPOSettings
) -> None:
    start(tmp_path / "run", scenario, settings)
    with pytest.raises(RunError, match="already holds a run"):
        start(tmp_path / "run", scenario, settings)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        start(tmp_path / "other", scenario, settings)


@pytest.mark.parametrize("cut", [0, 100, -200])
def test_a_damaged_checkpoint_is_one_sentence(
    tmp_path: Path, scenario: Scenario, settings: PPOSettings, cut: int
) -> None:
    run = start(tmp_path / "run", scenario, settings)
    run.model.learn(settings.rollout)
    run.save()
    path = tmp_path / "run" / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RunError, match="damaged or of another version"):
        resume(tmp_path / "run")


def test_command_line_errors_are_one_sentence(
    tmp_path: Path,
    scenario: Scenario,
    settings: PPOSettings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as exit:
            command_line([str(argument) for argument in arguments])
        assert exit.value.code in (1, 2)
        return " ".join(capsys.readouterr().err.replace("│", " ").split())

    run = start(tmp_path / "run", scenario, settings).folder
    out = tmp_path / "new"
    new = ("--steps", "1e5", "--out", out)
    assert "did you mean 'sd-mobile'?" in fail("--scenario", "sd-mobil", *new)
    assert "there is no field 'laod'" in fail("--scenario", "sd-mobile", "--set", "laod=1", *new)
    assert "needs --scenario, --steps and --out" in fail("--steps", "1e5")
    assert "expected a whole number" in fail("--steps", "many")
    assert "has no config.json" in fail("--resume", tmp_path)
    assert "has no checkpoint.npz" in fail("--resume", run)
    assert "was begun with --steps 1536, not 99" in fail("--resume", run, "--steps", "99")
    assert "another scenario" in fail("--resume", run, "--scenario", "regnet-camera")
    assert not out.exists()


def test_sigterm_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["--scenario", "sd-mobile", "--steps", "1e8", "--seed", "3", "--out", str(folder)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        rows = 0
        for _ in range(1200):
            if process.poll() is not None or rows >= 2:
                break
            time.sleep(0.1)
            progress = folder / "progress.csv"
            rows = len(progress.read_text().splitlines()) if progress.is_file() else 0
        process.terminate()
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143, errors
    assert f"python train.py --resume {folder}" in output
    assert "Traceback" not in errors
    assert not list(folder.glob(".*"))
    run = resume(folder)
    assert run.steps >= run.settings.rollout
    assert run.steps % run.settings.rollout == 0


@pytest.mark.parametrize("algorithm", ["a2c", "dqn"])
def test_other_algorithms_run_to_their_end_and_leave_their_best(
    tmp_path: Path, scenario: Scenario, settings: PPOSettings, algorithm: Any
) -> None:
    run = start(tmp_path / "run", scenario, settings, algorithm=algorithm)
    train(run, silent())

    assert run.steps >= ROLLOUTS * settings.rollout
    simulator = Simulator(scenario, 3)
    policy = load_policy(tmp_path / "run")
    policy.bind(Context(simulator.tables))
    simulator.seed([1, 2, 3])
    simulator.reset()
    actions = policy.act(simulator.observation, simulator.mask)
    assert simulator.mask[np.arange(3), actions].all()
    with pytest.raises(RunError, match=f"can't be continued: it is a run of {algorithm}"):
        resume(tmp_path / "run")
    with pytest.raises(RunError, match="learns from nothing"):
        start(tmp_path / "b", scenario, settings, algorithm=algorithm, rule="joint-greedy")
