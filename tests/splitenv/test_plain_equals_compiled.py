"""The functions that kernel and runtime share give equal bytes, compiled and as they stand.

On 10,000 states drawn from running simulations.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from splitenv import actions, dispatch, features
from splitenv.handles import describe
from splitenv.kernel import compiled
from splitenv.runtime.containers import grid, plain_tables
from splitenv.scenario import load_scenario
from splitenv.simulator import Simulator
from splitenv.state import Belief, Tables

STATES = {"sd-mobile": 4000, "regnet-camera": 3000, "mixed-tenants": 3000}
ENVS, APART = 50, 3


@pytest.mark.parametrize("name", STATES)
def test_plain_and_compiled_functions_give_equal_bytes(name: str) -> None:
    simulator = Simulator(load_scenario(name, {"clients.count": 8, "queue": 64}), ENVS)
    simulator.seed(range(ENVS))
    simulator.reset()
    plain = plain_tables(simulator.tables)
    random = np.random.default_rng(0)
    observation, mask = np.zeros_like(simulator.observation[:1]), np.zeros_like(simulator.mask[:1])
    seen = 0
    while seen < STATES[name]:
        for _ in range(APART):
            draws = np.where(simulator.mask, random.random(simulator.mask.shape), -1.0)
            simulator.step(draws.argmax(axis=1))
        for env in range(ENVS):
            one = one_row(simulator.belief, env)
            belief = Belief(*map(grid, one))
            features.observe(plain, belief, 0, observation)
            actions.write_mask(plain, belief, 0, mask)
            assert observation.tobytes() == simulator.observation[env].tobytes()
            assert mask.tobytes() == simulator.mask[env].tobytes()
            assert said_plainly(plain, belief) == said_by_compiled(simulator, one)
        seen += ENVS


def said_plainly(tables: Tables, belief: Belief) -> bytes:
    """Everything that dispatch says of a state, as bytes."""
    now = float(belief.clock[0].now)
    said: list[float] = [dispatch.idle_gpu(tables, belief, 0, now)]
    for model in range(belief.queue.shape[1]):
        members = dispatch.form_batch(tables, belief, 0, model, 0, now)
        dispatch.time_line(tables, belief, model, 0)
        said += scratch(belief, members)
        said += [members, dispatch.launch_time(tables, belief, 0, model, 0, now)]
    said += [dispatch.due_model(tables, belief, 0, now)]
    return struct.pack(f"{len(said)}d", *said)


def said_by_compiled(simulator: Simulator, belief: Belief) -> bytes:
    """The same by the compiled functions."""
    shared = {
        "tables": simulator.tables,
        "settings": simulator.settings,
        "belief": belief,
        "truth": simulator.truth,
        "out": simulator.out,
    }
    description = describe(shared)
    address = description.ctypes.data
    now = float(belief.clock["now"][0])
    said: list[float] = [compiled.idle_gpu(address, 0, now)]
    for model in range(belief.queue.shape[1]):
        members = compiled.form_batch(address, 0, model, 0, now)
        compiled.time_line(address, model, 0)
        said += scratch(belief, members)
        said += [members, compiled.launch_time(address, 0, model, 0, now)]
    said += [compiled.due_model(address, 0, now)]
    return struct.pack(f"{len(said)}d", *said)


def scratch(belief: Belief, members: int) -> list[float]:
    """Members of the batch that was formed, and its time line."""
    return [
        *(belief.members[member] for member in range(members)),
        *(belief.elapsed[segment] for segment in range(belief.span[0])),
    ]


def one_row(belief: Belief, env: int) -> Belief:
    """A copy of one environment's belief, with room of its own to work in."""
    scratch = Belief._fields.index("members")
    rows = [
        (array[..., env : env + 1] if name in ("request", "held") else array[env : env + 1]).copy()
        for name, array in zip(belief._fields[:scratch], belief, strict=False)
    ]
    return Belief(*rows, *(array.copy() for array in belief[scratch:]))
