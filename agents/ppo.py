"""PPO: its settings, the model, the learned policy, and checkpoints that continue to the byte."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import yaml
from pydantic import Field, ValidationError
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from torch import nn

from agents.policy import Actions, Masks, Observations, Policy
from agents.registry import PolicyError
from agents.vec_env import RewardScale, SplitVecEnv
from splitenv.context import Context
from splitenv.files import write_bytes
from splitenv.profiles.figures import Frozen, describe_validation
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator
from splitenv.state import Array

HYPERPARAMETERS = Path(__file__).resolve().parent / "hyperparameters"
CHECKPOINT_FORMAT = 1
BEST = "best.zip"
CONFIG = "config.json"

Algorithm = Literal["maskable-ppo", "ppo"]
Model = MaskablePPO | PPO

_CLASSES: dict[str, type[Model]] = {"maskable-ppo": MaskablePPO, "ppo": PPO}
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
_Count = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class RunError(PolicyError):
    """A run that can't be started, continued or loaded; the message says why in one sentence."""


class PPOSettings(Frozen):
    """What PPO is run with; ``agents/hyperparameters/default.yaml`` holds the values and why.

    Attributes
    ----------
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
    """

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


def training_env(simulator: Simulator, settings: PPOSettings) -> SplitVecEnv:
    """Wrap a simulator for training, rewards scaled."""
    return SplitVecEnv(simulator, RewardScale(simulator.envs, settings.discount))


def build_model(algorithm: Algorithm, env: SplitVecEnv, settings: PPOSettings, seed: int) -> Model:
    """Make an untrained model; torch is set to one thread, which is faster beside the kernel."""
    torch.set_num_threads(1)
    layers = list(settings.layers)
    return _CLASSES[algorithm](
        "MlpPolicy",
        env,
        learning_rate=Falling(settings.learning_rate),
        n_steps=settings.steps,
        batch_size=settings.minibatch,
        n_epochs=settings.epochs,
        gamma=settings.discount,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        vf_coef=settings.value,
        max_grad_norm=settings.gradient_norm,
        policy_kwargs={
            "net_arch": {"pi": layers, "vf": layers},
            "activation_fn": nn.Tanh,
        },
        seed=seed,
        device="cpu",
    )


class SB3Policy(Policy):
    """The greedy policy of a trained actor: the possible action with the highest logit.

    Parameters
    ----------
    actor
        Maps observations to logits; what an export has to carry.
    name
        What reports call it.
    """

    name = "ppo"

    def __init__(self, actor: nn.Sequential, name: str) -> None:
        super().__init__()
        self.actor = actor.eval()
        self.name = name

    @classmethod
    def of(cls, model: Model, name: str = "ppo") -> SB3Policy:
        """Look at a model's actor; it stays the model's, and learns with it."""
        policy = model.policy
        return cls(nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net), name)

    def fingerprint(self) -> str:
        """SHA-256 of the actor's layers and weights."""
        digest = hashlib.sha256(repr(self.actor).encode())
        for tensor in self.actor.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def bind(self, context: Context) -> None:
        """Check that the scenario has the observations and actions of the training."""
        first, last = self.actor[0], self.actor[-1]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        learned = (first.in_features, last.out_features)
        offered = (len(context.features), context.actions)
        if learned != offered:
            raise RunError(
                f"{self.name} was trained on {learned[0]} features and {learned[1]} actions; "
                f"this scenario has {offered[0]} and {offered[1]}"
            )
        super().bind(context)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the possible action with the highest logit; among equals, the first."""
        with torch.no_grad():
            logits = self.actor(torch.from_numpy(np.asarray(observations, np.float32))).numpy()
        return np.asarray(np.where(masks, logits, -np.inf).argmax(axis=1), np.int64)


def load_policy(path: str | Path) -> SB3Policy:
    """Load the best model of a run folder.

    Raises
    ------
    RunError
        If there is none, or it can't be read.
    """
    folder = Path(path)
    config = read_config(folder)
    best = folder / BEST
    if not best.is_file():
        raise RunError(f"run {folder} has no {BEST}: its first evaluation is still to come")
    try:
        model = _CLASSES[config["algorithm"]].load(best, device="cpu")
    except _UNREADABLE as error:
        raise RunError(f"{best} can't be read: it is damaged or of another version") from error
    torch.set_num_threads(1)
    return SB3Policy.of(model, f"ppo:{folder.resolve().name}")


def save_best(model: Model, folder: Path) -> None:
    """Write ``best.zip``, atomically, without the state of the training environments."""
    content = io.BytesIO()
    model.save(content, exclude=["_last_obs", "_last_episode_starts", "ep_info_buffer"])
    write_bytes(folder / BEST, content.getvalue())


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's ``config.json``."""
    path = folder / CONFIG
    if not path.is_file():
        raise RunError(f"{folder} is not a run folder: it has no {CONFIG}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        Scenario.model_validate(config["scenario"])
        PPOSettings.model_validate(config["settings"])
        _CLASSES[config["algorithm"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} can't be used: it is damaged or of another version") from error
    return dict(config)


def checkpoint(model: Model, path: Path, notes: dict[str, Any]) -> None:
    """Write all that an exact continuation needs, atomically. Only between two rollouts.

    That is the simulator's belief and truth, what it last gave, the reward scale, parameters,
    the optimizer's moments, counters, and the states of the random generators that
    Stable-Baselines3 draws from. Plain arrays and one JSON text, no pickle.

    Parameters
    ----------
    notes
        Further plain data, handed back by :func:`restore`.
    """
    arrays = dict(_live_arrays(model))
    for name, tensor in model.policy.state_dict().items():
        arrays[f"policy/{name}"] = tensor.numpy()
    for index, moments in model.policy.optimizer.state_dict()["state"].items():
        for name, tensor in moments.items():
            arrays[f"optimizer/{index}/{name}"] = tensor.numpy()
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - Stable-Baselines3 draws from it
    assert isinstance(legacy, dict)
    numpy_state = legacy["state"]
    state = {
        "format": CHECKPOINT_FORMAT,
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": list(model.ep_info_buffer or ()),
        "position": int(numpy_state["pos"]),
        "has_gauss": int(legacy["has_gauss"]),
        "gauss": float(legacy["gauss"]),
        "notes": notes,
    }
    arrays["numpy"] = numpy_state["key"]
    arrays["torch"] = torch.get_rng_state().numpy()
    arrays["starts"] = np.asarray(model._last_episode_starts, np.bool_)
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_bytes(path, content.getvalue())


def restore(model: Model, path: Path) -> dict[str, Any]:
    """Put a freshly built model and its environments into the state of a checkpoint.

    Returns
    -------
    dict
        The notes given to :func:`checkpoint`.

    Raises
    ------
    RunError
        If the file is missing, damaged or made by another version.
    """
    if not path.is_file():
        raise RunError(f"{path.parent} has no {path.name} to continue from")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        state = json.loads(arrays["state"].tobytes())
        if state["format"] != CHECKPOINT_FORMAT:
            raise ValueError(f"format {state['format']}")
        _restore(model, arrays, state)
    except _UNREADABLE as error:
        raise RunError(f"{path} can't be used: it is damaged or of another version") from error
    return dict(state["notes"])


def _restore(model: Model, arrays: dict[str, Array], state: dict[str, Any]) -> None:
    env = model.env
    assert isinstance(env, SplitVecEnv)
    for name, array in _live_arrays(model):
        if arrays[name].dtype != array.dtype or arrays[name].shape != array.shape:
            raise ValueError(name)
        array[...] = arrays[name]
    model.policy.load_state_dict(
        {name: torch.from_numpy(arrays[f"policy/{name}"]) for name in model.policy.state_dict()}
    )
    optimizer = model.policy.optimizer.state_dict()
    for name, array in arrays.items():
        if name.startswith("optimizer/"):
            _, index, moment = name.split("/")
            optimizer["state"].setdefault(int(index), {})[moment] = torch.from_numpy(array)
    model.policy.optimizer.load_state_dict(optimizer)
    model.num_timesteps = state["steps"]
    model._n_updates = state["updates"]
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model._last_obs = env.observation()
    model._last_episode_starts = arrays["starts"]
    position, has_gauss, gauss = state["position"], state["has_gauss"], state["gauss"]
    generator = ("MT19937", arrays["numpy"], position, has_gauss, gauss)
    np.random.set_state(generator)  # noqa: NPY002 - Stable-Baselines3 draws from it
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))


def _live_arrays(model: Model) -> Iterator[tuple[str, Array]]:
    """Arrays of the environments that a checkpoint carries and a restore fills."""
    env = model.env
    assert isinstance(env, SplitVecEnv)
    assert env.scale is not None
    simulator = env.simulator
    for group in (simulator.belief, simulator.truth, simulator.out):
        for field, array in zip(group._fields, group, strict=True):
            yield f"{type(group).__name__}/{field}", array
    yield "scale/returns", env.scale.returns
    yield "scale/moments", env.scale.moments
