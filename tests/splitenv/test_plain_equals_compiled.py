"""The functions that kernel and runtime share give equal bytes, compiled and as they stand.

On 10,000 states drawn from running simulations.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from splitenv import actions, dispatch, features, physics
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
    tables, plain = simulator.tables, plain_tables(simulator.tables)
    random = np.random.default_rng(0)
    observation, mask = np.zeros_like(simulator.observation[:1]), np.zeros_like(simulator.mask[:1])
    seen = 0
    while seen < STATES[name]:
        for _ in range(APART):
            draws = np.where(simulator.mask, random.random(simulator.mask.shape), -1.0)
            simulator.step(draws.argmax(axis=1))
        for env in range(ENVS):
            belief = copy_of(simulator.belief, env)
            features.observe(plain, belief, 0, observation)
            actions.write_mask(plain, belief, 0, mask)
            assert observation.tobytes() == simulator.observation[env].tobytes()
            assert mask.tobytes() == simulator.mask[env].tobytes()
            one = Belief(*(array[env : env + 1].copy() for array in simulator.belief))
            assert outcome(plain, belief, as_they_stand) == outcome(tables, one, compiled)
        seen += ENVS


class as_they_stand:  # noqa: N801 - stands beside the name space of compiled functions
    """The plain functions under their names."""

    congestion = staticmethod(physics.congestion)
    company = staticmethod(physics.company)
    consequence = staticmethod(physics.consequence)
    ready_time = staticmethod(physics.ready_time)
    idle_gpu = staticmethod(dispatch.idle_gpu)
    form_batch = staticmethod(dispatch.form_batch)
    time_line = staticmethod(dispatch.time_line)
    launch_time = staticmethod(dispatch.launch_time)
    due_model = staticmethod(dispatch.due_model)


def outcome(tables: Tables, belief: Belief, functions: Any) -> bytes:
    """Everything that physics and dispatch say of a state, as bytes."""
    clock = belief.clock[0]
    now, model = float(clock["now"] if hasattr(clock, "dtype") else clock.now), 0
    gpu_at = functions.congestion(tables, belief, 0, model)
    others = functions.company(tables, belief, 0, model)
    last = int(tables.placements[model]) - 1
    said: list[float] = [gpu_at, others, functions.idle_gpu(tables, belief, 0, now)]
    if int(clock["model"] if hasattr(clock, "dtype") else clock.model) == model:
        said += functions.consequence(tables, belief, 0, last, gpu_at, others)
        said += [functions.ready_time(tables, belief, 0, last)]
    for each in range(belief.queue.shape[1]):
        members = functions.form_batch(tables, belief, 0, each, 0, now)
        functions.time_line(tables, belief, 0, each, 0)
        said += [members, functions.launch_time(tables, belief, 0, each, 0, now)]
        said += [belief.members[0, member] for member in range(members)]
        said += [belief.elapsed[0, k] for k in range(int(tables.segments[each]))]
    said += [functions.due_model(belief, 0, now)]
    return struct.pack(f"{len(said)}d", *said)


def copy_of(belief: Belief, env: int) -> Belief:
    return Belief(*(grid(array[env : env + 1]) for array in belief))
