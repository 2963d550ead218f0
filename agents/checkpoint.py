"""Checkpoints that continue a training run to the byte."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator

from agents.mixed_env import MixedVecEnv
from agents.ppo import UNREADABLE, Model, RunError
from agents.vec_env import SplitVecEnv
from splitenv.files import write_bytes
from splitenv.state import Array

FORMAT = 3


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
    # Stable-Baselines3 draws its minibatches from numpy's global generator.
    drawn = get_bit_generator().state["state"]
    state = {
        "format": FORMAT,
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": list(model.ep_info_buffer or ()),
        "position": int(drawn["pos"]),
        "notes": notes,
    }
    arrays["numpy"] = drawn["key"]
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
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']}")
        _restore(model, arrays, state)
    except UNREADABLE as error:
        raise RunError(f"{path} can't be used: it is damaged or of another version") from error
    return dict(state["notes"])


def _restore(model: Model, arrays: dict[str, Array], state: dict[str, Any]) -> None:
    env = model.env
    assert isinstance(env, MixedVecEnv)
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
    drawn = {"key": arrays["numpy"], "pos": state["position"]}
    get_bit_generator().state = {"bit_generator": "MT19937", "state": drawn}
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))


def _live_arrays(model: Model) -> Iterator[tuple[str, Array]]:
    """Arrays of the environments that a checkpoint carries and a restore fills."""
    env = model.env
    assert isinstance(env, MixedVecEnv)
    for place, part in enumerate(env.parts):
        for name, array in _arrays_of(part):
            yield f"{place}/{name}", array


def _arrays_of(env: SplitVecEnv) -> Iterator[tuple[str, Array]]:
    assert env.scale is not None
    simulator = env.simulator
    for group in (simulator.belief, simulator.truth, simulator.out):
        for field, array in zip(group._fields, group, strict=True):
            yield f"{type(group).__name__}/{field}", array
    yield "scale/returns", env.scale.returns
    yield "scale/moments", env.scale.moments
    if env.constraint is not None:
        yield "constraint/multiplier", env.constraint.multiplier
        yield "constraint/requests", env.constraint.requests
        yield "constraint/violations", env.constraint.violations
        yield "constraint/band", env.constraint.band
    if env.preferences is not None:
        yield "preferences/knob", env.preferences.knob
