"""Timelines worked by hand hold in both simulators: the compiled one and the reference."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from splitenv import draws
from splitenv.kernel import compiled
from splitenv.state import Tables
from splitenv.truth import Settings
from tests import reference
from tests.reference import Client, Device, Link, Request, World
from tests.reference.drawn import stream
from tests.toy import run, toy_settings, toy_simulator

Records = np.ndarray[Any, Any]
Simulate = Callable[..., Records]


@pytest.fixture(params=["reference", "kernel"])
def simulate(request: pytest.FixtureRequest) -> Simulate:
    """``simulate(tables, arrivals, actions)``: the records of requests that arrive at those times.

    Each comes from a client of its own, or all from one with ``clients=1``. ``models`` says which
    model each asks for, the first if not given; ``settings`` what the world is like, which must be
    without chance (a recorded link starts with its first block).
    """
    play = {"reference": play_reference, "kernel": play_kernel}[request.param]

    def simulate(
        tables: Tables,
        arrivals: list[float],
        actions: list[int],
        *,
        settings: Settings | None = None,
        clients: int = 4096,
        models: list[int] | None = None,
    ) -> Records:
        kinds = len(tables.placements)
        gpus = len(tables.pool)
        settings = (settings or toy_settings())._replace(
            job_share=np.linspace(0, 1, kinds + 1)[1:],
            job_model=np.arange(kinds, dtype=np.int32),
            job_sla=np.zeros(kinds, np.int32),
            replay=np.diff(arrivals, prepend=0.0),
            gpus=np.full(2, gpus, np.int64),
            length=len(actions),
        )
        return play(tables, settings, actions, clients, models or [0] * len(actions))

    return simulate


def play_kernel(
    tables: Tables, settings: Settings, actions: list[int], clients: int, models: list[int]
) -> Records:
    simulator = toy_simulator(tables, settings, clients=clients)
    for seed in itertools.count():
        simulator.seed([seed])
        simulator.reset()
        if as_wanted(simulator.truth.world["key"][0], settings, models):
            return run(simulator, actions, seed)[0]
    raise AssertionError


def as_wanted(key: Any, settings: Settings, models: list[int]) -> bool:
    """Whether recordings start with their first entry, and requests ask for these models."""

    def first(count: int, purpose: int) -> bool:
        return count == 0 or int(compiled.uniform(stream(key, purpose), 0) * count) == 0

    return (
        first(len(settings.replay), draws.REPLAY)
        and first(len(settings.series), draws.SERIES)
        and all(
            int(compiled.uniform(stream(key, draws.JOB), index) * len(settings.job_share)) == model
            for index, model in enumerate(models)
        )
    )


def play_reference(
    tables: Tables, settings: Settings, actions: list[int], clients: int, models: list[int]
) -> Records:
    up, down, rtt = np.exp(settings.session[0, :, 0])
    rates = np.array([[up, down]])
    if len(settings.series):
        rates, rtt = settings.series[:, :2], settings.series[0, 2]
    arrivals = np.cumsum(settings.replay)
    requests = [
        Request(
            index=index,
            arrival=float(arrival),
            deadline=float(arrival + tables.deadline[0]),
            client=0 if clients == 1 else index,
            device=0,
            model=model,
            sla=0,
            z=1.0,
            true_rtt=float(rtt),
            rtt=float(rtt),
        )
        for index, (arrival, model) in enumerate(zip(arrivals, models, strict=True))
    ]
    everyone = {
        request.client: Client(
            *(link(float(settings.block[0, way]), rates[:, way]) for way in (0, 1)),
            device=Device(
                warm=float(settings.throttle[0]),
                warms_in=float(settings.throttle_time[0]),
                background=lambda block: float(settings.background[0]),
            ),
        )
        for request in requests
    }
    world = World(requests, everyone, len(tables.pool), report_lag=settings.report_lag)
    return reference.as_records(reference.play(tables, world, actions).requests)


def link(block: float, rates: Any) -> Link:
    return Link(block, 0.0, lambda number: float(rates[number % len(rates)]))
