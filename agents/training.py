"""Training runs: begun, watched, stopped, and continued as if they had never been stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from agents.calibration import calibrate
from agents.checkpoint import checkpoint, restore
from agents.imitation import imitate
from agents.learned import SB3Policy, save_best
from agents.mixed_env import MixedVecEnv
from agents.monitor import (
    HELD_OUT,
    LOADS,
    OWN,
    HeldOut,
    Outcome,
    ProgressTable,
    TensorBoard,
    outcome,
)
from agents.ppo import (
    BEST,
    CONFIG,
    CONTINUED,
    Algorithm,
    Model,
    PPOSettings,
    RunError,
    build_model,
    load_hyperparameters,
    read_config,
    training_env,
)
from agents.registry import make_policy
from agents.signals import noted_signals
from agents.vec_env import SplitVecEnv
from splitenv.provenance import provenance, write_json
from splitenv.scenario import Scenario
from splitenv.tables import profile_digest

CHECKPOINT = "checkpoint.npz"
EVALUATIONS = "evaluations.json"
PROGRESS = "progress.csv"
TENSORBOARD = "tensorboard"

HELD_OUT_EPISODES = 32
"""Episodes of one evaluation, at each load."""
EVALUATION_PARTS = 15
"""A run is evaluated at its start and after each of so many equal parts."""
CHECKPOINT_ROLLOUTS = 16
"""Rollouts between checkpoints: some 20 s."""


class StoppedError(Exception):
    """The run was asked to stop, and has saved itself.

    Attributes
    ----------
    exit_code
        What a shell expects of a process that this signal ended.
    """

    def __init__(self, received: int) -> None:
        super().__init__(received)
        self.exit_code = 128 + received


class Run:
    """One training run, in one folder.

    Parameters
    ----------
    folder
        Holds ``config.json``, ``checkpoint.npz``, ``best.zip``, ``evaluations.json``,
        ``progress.csv`` and ``tensorboard/``.
    config
        As :func:`begin` makes it and ``config.json`` keeps it.

    Attributes
    ----------
    evaluations
        Of this run so far, oldest first.
    """

    environment: ClassVar[type[SplitVecEnv]] = SplitVecEnv
    privileged: ClassVar[bool] = True
    """Whether the critic is shown the world; only maskable PPO's can be."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.scenario = Scenario.model_validate(config["scenario"])
        self.settings = PPOSettings.model_validate(config["settings"])
        self.rule = make_policy(config["rule"]) if config["rule"] else None
        self.env = self.make_env()
        self.model = self.make_model()
        self.evaluations: list[dict[str, Any]] = []

    def make_env(self) -> MixedVecEnv:
        """Make the training environments."""
        return training_env(
            self.scenario,
            self.settings,
            self.config["seed"],
            target=self.config["target_attainment"],
            preferences=self.config["preference_conditioned"],
            privileged=self.privileged and self.config["algorithm"] == "maskable-ppo",
            kind=self.environment,
        )

    def make_model(self) -> Model:
        """Make the untrained model."""
        config = self.config
        return build_model(config["algorithm"], self.env, self.settings, config["seed"])

    @property
    def steps(self) -> int:
        """Decisions made so far."""
        return self.model.num_timesteps

    @property
    def total(self) -> int:
        """Decisions of the whole run: those asked for, rounded up to whole rollouts."""
        rollout = self.settings.rollout
        return math.ceil(int(self.config["steps"]) / rollout) * rollout

    @property
    def best(self) -> dict[str, Any] | None:
        """The evaluation of the model that ``best.zip`` holds."""
        return min(self.evaluations, key=lambda each: each["score"], default=None)

    def policy(self) -> SB3Policy:
        """The policy as it is now; it goes on learning."""
        return SB3Policy.of(self.model, self.scenario)

    def save(self) -> None:
        """Write the checkpoint, if the algorithm's runs can be continued."""
        if self.config["algorithm"] not in CONTINUED:
            return
        checkpoint(self.model, self.folder / CHECKPOINT, {"evaluations": self.evaluations})

    def evaluate(self, held_out: HeldOut) -> dict[str, Any]:
        """Evaluate on the held-out seeds; keep the model if it is the best so far."""
        result = held_out(self.policy())
        entry = {"steps": self.steps, **held_out.compare(result)}
        self.evaluations.append(entry)
        if self.best is entry:
            save_best(self.model, self.folder)
        write_json(
            self.folder / EVALUATIONS,
            {
                "seeds": {"first": HELD_OUT, "episodes": held_out.episodes},
                "all_cloud": _plain(held_out.all_cloud),
                "rule": held_out.rule and _plain(held_out.rule),
                "best": self.best,
                "evaluations": self.evaluations,
            },
        )
        return entry

    def finish(self) -> None:
        """Do what is left once training has ended: a policy with a knob is calibrated."""
        if self.config["preference_conditioned"]:
            calibrate(self.folder, self.scenario)


Kind = Callable[[Path, dict[str, Any]], Run]


def _plain(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {load: asdict(each) for load, each in outcomes.items()}


def begin(
    folder: Path,
    scenario: Scenario,
    *,
    steps: int,
    seed: int,
    algorithm: Algorithm = "maskable-ppo",
    settings: PPOSettings | None = None,
    rule: str | None = None,
    target_attainment: float | None = None,
    preference_conditioned: bool = False,
    kind: Kind = Run,
) -> Run:
    """Make a new run; its folder is written once everything else could be made.

    Parameters
    ----------
    rule
        Spec of the rule that is imitated first, and whose dispatch discipline the policy runs
        under; None starts from nothing, under the scenario's own.
    target_attainment
        To be held in every band of load and tier; None keeps the violation price.
    preference_conditioned
        Whether the policy learns for every violation price at once.
    kind
        Makes the run of its folder and config.

    Raises
    ------
    RunError
        If the folder already holds something.
    """
    if (folder / CONFIG).is_file():
        raise RunError(f"{folder} already holds a run: continue it with --resume {folder}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is there already and is not empty: choose another --out")
    if algorithm != "maskable-ppo" and (rule or target_attainment or preference_conditioned):
        raise RunError(f"--algorithm {algorithm} learns from nothing and by the violation price")
    if target_attainment is not None and preference_conditioned:
        raise RunError("--target-attainment and --preference-conditioned exclude each other")
    if rule is not None:
        scenario = make_policy(rule).under(scenario)
    config = {
        "scenario": scenario.model_dump(mode="json"),
        "scenario_sha256": scenario.digest(),
        "profiles_sha256": profile_digest(scenario),
        "algorithm": algorithm,
        "steps": steps,
        "seed": seed,
        "rule": rule,
        "target_attainment": target_attainment,
        "preference_conditioned": preference_conditioned,
        "settings": (settings or load_hyperparameters(scenario.name)).model_dump(mode="json"),
        "provenance": provenance(),
    }
    run = kind(folder, config)
    write_json(folder / CONFIG, config)
    return run


def resume(folder: Path) -> Run:
    """Open a run at its last checkpoint, to go on.

    Raises
    ------
    RunError
        If there is none, it is finished, or the profiles have changed since it began.
    """
    run = reopen(folder)
    if run.steps >= run.total:
        raise RunError(f"{folder} is finished: {run.steps:,} steps, best model in {BEST}")
    return run


def reopen(folder: Path, kind: Kind = Run) -> Run:
    """Open a run at its last checkpoint, be it finished or not; otherwise as :func:`resume`."""
    config = read_config(folder)
    if config["algorithm"] not in CONTINUED:
        raise RunError(f"{folder} can't be continued: it is a run of {config['algorithm']}")
    if profile_digest(Scenario.model_validate(config["scenario"])) != config["profiles_sha256"]:
        raise RunError(f"{folder} can't be continued: the profiles have changed since it began")
    run = kind(folder, config)
    run.evaluations = restore(run.model, folder / CHECKPOINT)["evaluations"]
    return run


def train(run: Run, console: Console) -> None:
    """Train a run to its end, with a progress bar.

    Raises
    ------
    StoppedError
        After SIGINT or SIGTERM: the run finishes its rollout and update, a second or two, and
        saves itself. A second signal ends it at once and leaves the last checkpoint.
    """
    logs = TensorBoard(run.folder / TENSORBOARD, run.steps)
    table = ProgressTable(run.folder / PROGRESS, run.steps)
    logger = Logger(None, [logs, table])
    run.model.set_logger(logger)
    with noted_signals() as received, _bar(console) as bar:
        watch = _Watch(run, bar, logs, received)
        try:
            if run.rule is not None and run.settings.imitation and run.steps == 0:
                watch.imitate()
            run.model.learn(run.total - run.steps, callback=watch, reset_num_timesteps=False)
        finally:
            logger.close()


class _Watch(BaseCallback):
    """Acts between rollouts: evaluates, saves, stops; shows and logs what episodes came to."""

    def __init__(self, run: Run, bar: Progress, logs: TensorBoard, received: list[int]) -> None:
        super().__init__()
        self.run = run
        self.bar = bar
        self.logs = logs
        self.received = received
        self.task = bar.add_task("", total=run.total, completed=run.steps, figures="compiling")
        self.held_out = HeldOut(run.scenario, HELD_OUT_EPISODES, run.rule)

    def imitate(self) -> None:
        """Start from the rule."""
        run = self.run
        assert run.rule is not None
        learned = imitate(run.model, run.rule, run.settings.imitation, self._imitating)
        self.bar.console.print(
            f"imitated {run.config['rule']}: agrees in {learned['agreement']:.1%}", highlight=False
        )

    def _imitating(self, done: float) -> None:
        self.bar.update(self.task, figures=f"imitating the rule, {done:.0%}")

    def _on_rollout_start(self) -> None:
        self._between_rollouts()

    def _on_training_end(self) -> None:
        self._between_rollouts()
        self.run.finish()

    def _between_rollouts(self) -> None:
        run = self.run
        if self._is_due(EVALUATION_PARTS):
            self._evaluate()
        rollouts = run.steps // run.settings.rollout
        if self.received or rollouts % CHECKPOINT_ROLLOUTS == 0 or run.steps >= run.total:
            run.save()
        if self.received and run.steps < run.total:
            raise StoppedError(self.received[0])

    def _is_due(self, parts: int) -> bool:
        """Whether the last rollout crossed into a new part; never twice at the same step."""
        run = self.run
        if run.evaluations and run.evaluations[-1]["steps"] == run.steps:
            return False
        before = max(run.steps - run.settings.rollout, -1)
        return run.steps * parts // run.total > before * parts // run.total

    def _evaluate(self) -> None:
        run = self.run
        result = run.evaluate(self.held_out)
        scalars = {
            "gpu/saving_vs_all_cloud": result["saving_vs_all_cloud"],
            "evaluation/score": result["score"],
            "evaluation/cost": result["cost"],
            "evaluation/attainment": result["attainment"],
            "evaluation/gpu_seconds_per_request": result["gpu_seconds"],
            "evaluation/mean_batch_size": result["batch"],
        }
        self.logs.write(scalars, {}, run.steps)
        self.logs.show(
            run.evaluations, self.held_out.all_cloud[OWN], self.held_out.spread(), run.steps
        )
        self.bar.console.print(
            f"{run.steps:>11,} steps: cost {result['cost']:.4f} "
            f"({result['score']:.3f} of {self.held_out.base}'s over {len(LOADS)} loads), "
            f"attainment {result['attainment']:.2%}, "
            f"GPU {result['gpu_seconds']:.3f} s per request, "
            f"{result['saving_vs_all_cloud']:.1%} saved against all-cloud"
            f"{' (best so far)' if run.best is result else ''}",
            highlight=False,
            soft_wrap=True,
        )

    def _on_step(self) -> bool:
        if self.received:
            self.bar.update(self.task, figures="stopping after this rollout")
        return True

    def _on_rollout_end(self) -> None:
        for place, part in enumerate(self.run.env.parts):
            if part.constraint is not None:
                part.constraint.update()
                for name, value in part.constraint.figures().items():
                    self.logger.record(f"{name}{f', GPU {place + 1}' if place else ''}", value)
        seen = outcome(self.model.ep_info_buffer or ())
        figures = ""
        if seen is not None:
            self.logger.record("sla/attainment", seen.attainment)
            self.logger.record("gpu/seconds_per_request", seen.gpu_seconds)
            self.logger.record("gpu/saving_vs_all_cloud_alone", seen.saving_vs_alone)
            self.logger.record("batch/mean_size", seen.batch)
            figures = f"attainment {seen.attainment:.1%}, GPU {seen.gpu_seconds:.2f} s/request"
        self.bar.update(self.task, completed=self.run.steps, figures=figures)


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
        speed_estimate_period=120.0,
        disable=not console.is_terminal,
    )
