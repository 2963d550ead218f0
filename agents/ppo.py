"""PPO: its settings, the training environments and the model."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import AfterValidator, Field, ValidationError
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from torch import nn

from agents.capacity import capacity
from agents.mixed_env import MixedVecEnv
from agents.network import Layout, SplitPolicy
from agents.pressure import Constraint, LoadBands, Preferences, RewardScale, allowed_violations
from agents.privileged import PRIVILEGED
from agents.registry import PolicyError
from agents.suite import Load, with_load
from agents.vec_env import SplitVecEnv
from splitenv.context import Context
from splitenv.profiles.figures import Frozen, describe_validation
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator

HYPERPARAMETERS = Path(__file__).resolve().parent / "hyperparameters"
BEST = "best.zip"
CONFIG = "config.json"

Algorithm = Literal["maskable-ppo", "ppo", "a2c", "dqn"]
Model = MaskablePPO | PPO | A2C | DQN

CLASSES: dict[str, type[Model]] = {
    "maskable-ppo": MaskablePPO,
    "ppo": PPO,
    "a2c": A2C,
    "dqn": DQN,
}
CONTINUED = ("maskable-ppo", "ppo")
"""Algorithms whose runs can be continued; of the others only the best model is kept."""
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
_Count = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Factor = Annotated[float, Field(gt=0)]


class RunError(PolicyError):
    """A run that can't be started, continued or loaded; the message says why in one sentence."""


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 < limits[0] < limits[1]:
        raise ValueError(f"must go from above 0 to something higher, got {list(limits)}")
    return limits


class PPOSettings(Frozen):
    """What PPO is run with; ``agents/hyperparameters/default.yaml`` holds the values and why.

    Attributes
    ----------
    least_load, most_load
        Loads of the training: from a share of the scenario's own to a share of the pool's capacity
        (:func:`agents.capacity.capacity`), log-uniform.
    other_gpus
        Half of the environments have other GPUs than the scenario's, to learn what GPUs differ in:
        (faster, company) of each, see :class:`splitenv.parts.Pool`.
    preferences
        Lowest and highest violation price, as multiples of the scenario's, that a
        preference-conditioned run draws from, log-uniform.
    environments, steps
        A rollout is so many environments times so many steps.
    minibatch, epochs
        How a rollout is gone through.
    learning_rate
        At the start; it falls linearly to 0.
    entropy, value
        Weights of the entropy bonus and of the value loss.
    clip
        Range within which the probability ratio counts.
    gae_lambda, discount
        Of the advantage estimate. The objective is mean cost, the discount a variance tool.
    gradient_norm
        Gradients are clipped to it.
    layers
        Widths of the hidden tanh layers, of actor and critic each.
    width
        Of the part of the actor that placements share.
    imitation
        Decisions of the rule that a run starts from, learned before its own; 0 for none.
    """

    least_load: Annotated[float, Field(gt=0, le=1)]
    most_load: Annotated[float, Field(gt=0)]
    other_gpus: tuple[tuple[_Factor, _Factor], ...]
    preferences: Annotated[tuple[float, float], AfterValidator(_ascending)]
    environments: _Count
    steps: _Count
    minibatch: _Count
    epochs: _Count
    learning_rate: Annotated[float, Field(gt=0)]
    entropy: Annotated[float, Field(ge=0)]
    value: Annotated[float, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)]
    gae_lambda: _Share
    discount: _Share
    gradient_norm: Annotated[float, Field(gt=0)]
    layers: Annotated[tuple[_Count, ...], Field(min_length=1)]
    width: _Count
    imitation: Annotated[int, Field(ge=0)]

    @property
    def rollout(self) -> int:
        """Decisions of a rollout."""
        return self.environments * self.steps


def load_hyperparameters(scenario: str) -> PPOSettings:
    """Read ``default.yaml``, and over it the scenario's own file if there is one."""
    values: dict[str, Any] = {}
    for name in ("default", scenario):
        path = HYPERPARAMETERS / f"{name}.yaml"
        if path.is_file():
            values |= yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return PPOSettings.model_validate(values)
    except ValidationError as error:
        raise RunError(describe_validation(f"hyperparameters of {scenario}", error)) from error


class Falling:
    """A learning rate that falls linearly to 0 over the run."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, remaining: float) -> float:
        """Give the rate at this share of the run still to go."""
        return self.start * max(remaining, 0.0)


def training_worlds(scenario: Scenario, settings: PPOSettings) -> list[Scenario]:
    """The scenario under the loads of the training, then with each of the other GPUs.

    Loads go from a share of the scenario's own to beyond capacity; with other GPUs, they are the
    same shares of what the pool can serve.
    """
    can = capacity(scenario)
    low, high = settings.least_load, settings.most_load * can / scenario.load
    worlds = [scenario.with_overrides({"randomise.load": [low, max(high, 1.0)]})]
    for faster, company in settings.other_gpus:
        other = worlds[0].with_overrides({"pool.faster": faster, "pool.company": company})
        worlds.append(with_load(other, Load(nominal=capacity(other) / can)))
    return worlds


def training_env(
    scenario: Scenario,
    settings: PPOSettings,
    seed: int,
    *,
    target: float | None = None,
    preferences: bool = False,
    privileged: bool = False,
    kind: type[SplitVecEnv] = SplitVecEnv,
) -> MixedVecEnv:
    """Make the environments of a run, rewards scaled: half of them with the scenario's own GPUs.

    Parameters
    ----------
    target
        Attainment to hold in every band of load and tier; None leaves the violation price as it is.
    preferences
        Draw that price for every episode, and show it.
    privileged
        Add what only a critic may see.
    kind
        Of the environments of one world.
    """
    parts = []
    worlds = training_worlds(scenario, settings)
    for place, (world, envs) in enumerate(zip(worlds, _shares(settings), strict=True)):
        if envs == 0:
            continue
        simulator = Simulator(world, envs, randomise=True, stagger=True)
        scale = RewardScale(envs, settings.discount)
        constraint = None
        if target is not None:
            allowed = allowed_violations(simulator, target)
            constraint = Constraint(simulator, LoadBands(simulator), allowed)
        drawn = Preferences(simulator, (seed, place), settings.preferences) if preferences else None
        parts.append(
            kind(simulator, scale, constraint=constraint, preferences=drawn, privileged=privileged)
        )
    return MixedVecEnv(parts)


def _shares(settings: PPOSettings) -> list[int]:
    """How many environments have the scenario's own GPUs, and each of the others."""
    others = len(settings.other_gpus)
    each = settings.environments // (2 * others) if others else 0
    return [settings.environments - others * each, *[each] * others]


def build_model(
    algorithm: Algorithm,
    env: MixedVecEnv,
    settings: PPOSettings,
    seed: int,
    policy: type[SplitPolicy] = SplitPolicy,
) -> Model:
    """Make an untrained model; torch is set to one thread, which is faster beside the kernel.

    ``policy`` is what maskable PPO learns; the other algorithms have Stable-Baselines3's own.
    """
    torch.set_num_threads(1)
    common: dict[str, Any] = {
        "learning_rate": Falling(settings.learning_rate),
        "gamma": settings.discount,
        "seed": seed,
        "device": "cpu",
    }
    if algorithm in ("a2c", "dqn"):
        return _other(algorithm, env, settings, common)
    kind: Any = "MlpPolicy"
    network: dict[str, Any] = _plain_network(settings)
    if algorithm == "maskable-ppo":
        own = env.parts[0]
        limits = None if own.preferences is None else own.preferences.limits
        columns = 0 if own.privileged is None else PRIVILEGED
        layout = Layout.of(Context(own.simulator.tables), own.choices, limits, columns)
        kind = policy
        network = {"layout": layout, "trunk": settings.layers, "width": settings.width}
    return (MaskablePPO if algorithm == "maskable-ppo" else PPO)(
        kind,
        env,
        n_steps=settings.steps,
        batch_size=settings.minibatch,
        n_epochs=settings.epochs,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        vf_coef=settings.value,
        max_grad_norm=settings.gradient_norm,
        policy_kwargs=network,
        **common,
    )


def _plain_network(settings: PPOSettings) -> dict[str, Any]:
    layers = list(settings.layers)
    return {"net_arch": {"pi": layers, "vf": layers}, "activation_fn": nn.Tanh}


def _other(
    algorithm: Algorithm, env: MixedVecEnv, settings: PPOSettings, common: dict[str, Any]
) -> Model:
    """A2C or DQN, thinly: their own defaults but for what many environments at once ask for."""
    if algorithm == "a2c":
        network = _plain_network(settings)
        return A2C("MlpPolicy", env, n_steps=16, policy_kwargs=network, **common)
    return DQN(
        "MlpPolicy",
        env,
        buffer_size=1_000_000,
        learning_starts=settings.rollout,
        batch_size=settings.minibatch,
        train_freq=8,
        gradient_steps=8,
        target_update_interval=settings.rollout,
        exploration_fraction=0.3,
        policy_kwargs={"net_arch": list(settings.layers), "activation_fn": nn.Tanh},
        **common,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's ``config.json``."""
    path = folder / CONFIG
    if not path.is_file():
        raise RunError(f"{folder} is not a run folder: it has no {CONFIG}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        Scenario.model_validate(config["scenario"])
        PPOSettings.model_validate(config["settings"])
        CLASSES[config["algorithm"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} can't be used: it is damaged or of another version") from error
    return dict(config)
