"""Worlds in which one thing is as long, or as many, as the scaling benchmark wants it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from benchmarks.timing import stepper
from splitenv.scenario import load_scenario
from splitenv.simulator import Simulator
from splitenv.toys import toy_scenario, toy_settings, toy_tables

ENVS = 64
"""Environments where their number is not what grows."""
BACKLOG_ENVS = 8
"""Where queues are long: so all that waits in the longest still lies in the processor's second
cache, and what is seen is how the work grows, not where memory ends."""
ENDLESS = 1 << 30
"""Decisions of an episode that does not end while it is measured."""
LIMIT = 8
"""Largest batch of the toys."""
OVERLOAD = 1.25
"""Requests that come, to those that can be served, where a backlog is wanted."""

Backlog = Literal["in time", "late", "held"]


class World:
    """A simulator, and what steps it with random actions, some of which it has had.

    Parameters
    ----------
    actions
        Those to draw from; all of them if not given.
    steps
        Taken before anything is measured: queues are then as long as they get.
    """

    def __init__(
        self, simulator: Simulator, actions: range | None = None, steps: int = 512
    ) -> None:
        self.simulator = simulator
        self.step = stepper(simulator, actions)
        for call in range(steps):
            self.step(call)

    def waiting(self) -> float:
        """Mean number of ready requests just now."""
        return float(self.simulator.belief.clock["waiting"].mean())


def with_environments(count: int) -> World:
    """So many environments of sd-mobile, in one call."""
    simulator = Simulator(load_scenario("sd-mobile"), count, stagger=True)
    return World(simulator)


def with_models(count: int) -> World:
    """Let sd-mobile's requests be for ``count`` models that are alike."""
    scenario = load_scenario("sd-mobile")
    model = scenario.model_dump(mode="json")["models"][0]
    models = [{**model, "share": 1.0 / count}] * count
    simulator = Simulator(scenario.with_overrides({"models": models}), ENVS, stagger=True)
    return World(simulator)


def with_gpus(count: int) -> World:
    """So many GPUs, each with the same load."""
    return _toy(gpus=count, segments=8)


def with_placements(count: int) -> World:
    """All-device and ``count - 1`` other placements, which takes as many segments."""
    return _toy(gpus=2, segments=count - 1)


def _toy(gpus: int, segments: int) -> World:
    """Random actions on a model that takes 1 s of GPU alone, and 0.5 s more for each companion."""
    curve = 1.0 + 0.5 * np.arange(LIMIT)
    tables = toy_tables(
        [(curve / segments).tolist()] * segments,
        [4.0 / segments] * segments,
        [(0, last + 1) for last in range(segments)],
        gpus=gpus,
        deadline=10.0,
    )
    settings = toy_settings(load=0.6 * gpus, gpus=gpus, length=2048)
    simulator = Simulator(toy_scenario(512), ENVS, stagger=True, tables=tables, settings=settings)
    return World(simulator)


def with_backlog(length: int, kind: Backlog) -> World:
    """One overloaded GPU, before which about ``length`` requests wait: there is no room for more.

    A quarter more all-cloud requests come than the GPU can serve, so that the queue stays full; the
    excess is dropped. A batch takes the sum of its members' times, so that the load does not depend
    on the batches. There are two SLA classes: a request may have to be queued before others.

    Parameters
    ----------
    kind
        ``in time``: deadlines are so long that nobody is late. ``late``: so short that nearly all
        who wait are. ``held``: holds of all levels end after times like those spent in the queue.
    """
    deadlines = {
        "in time": (4.0 * length + 100.0, 4.5 * length + 100.0),
        "late": (3.0, 5.0),
        "held": (1.0 * length + 10.0, 2.0 * length + 10.0),
    }
    alone = [[0.25 * members for members in range(1, LIMIT + 1)]] * 4
    tables = toy_tables(alone, [1.0] * 4, [(0, 4)])._replace(
        deadline=np.array(deadlines[kind]), weight=np.ones(2)
    )
    settings = toy_settings(load=OVERLOAD, length=ENDLESS)._replace(
        job_share=np.array([0.5, 1.0]),
        job_model=np.zeros(2, np.int32),
        job_sla=np.arange(2, dtype=np.int32),
    )
    simulator = Simulator(toy_scenario(512, length), BACKLOG_ENVS, tables=tables, settings=settings)
    actions = range(1, simulator.actions if kind == "held" else 2)
    # Of five arrivals one stays in the queue.
    return World(simulator, actions, steps=8 * length + 1000)
