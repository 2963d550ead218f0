"""One played episode as it happened: the phases of every request and the batches on every GPU.

What ``python -m splitenv simulate`` draws and writes is made of a :class:`Timeline`. A request's
phases follow each other without a gap, from its arrival to its completion; what took no time is
left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from splitenv.context import Context
from splitenv.names import names_of
from splitenv.runtime.policies import load_rule
from splitenv.scenario import Scenario
from splitenv.simulation import NO_RESET

if TYPE_CHECKING:
    from splitenv.simulator import Simulator

Array = npt.NDArray[Any]
Progress = Callable[[float], None]

OUTCOMES = ("under way", "in time", "late", "dropped")
IN_TIME, LATE, DROPPED = 1, 2, 3

PHASES = {
    "control": "control delay",
    "device busy": "waits for its device",
    "device": "device computes",
    "upload": "upload",
    "hold": "holds for companions",
    "queue": "waits for a GPU",
    "GPU": "GPU computes",
    "download": "download",
}
"""The kinds of phase in the order of a life, and what they are called."""

MOST_REQUESTS = 200_000
"""Requests that are kept at most: a page or a trace of more could not be opened."""

_SPARE = 1.5
_LEAST = 64


class SimulateError(ValueError):
    """An episode that cannot be played or written; the message is one sentence."""


class Phase(NamedTuple):
    """A stretch of a request's life, s; ``kind`` is one of :data:`PHASES`."""

    kind: str
    start: float
    end: float


@dataclass(frozen=True)
class Request:
    """The life of one request.

    Attributes
    ----------
    number
        1 for the first of the episode.
    arrival, deadline, end
        In seconds since the start; ``end`` is the completion, or when it was dropped.
    outcome
        Index into :data:`OUTCOMES`.
    phases
        Without gaps from ``arrival`` to ``end``.
    batch
        Number of the batch that it was served in, 0 if none.
    gpu_seconds
        Its share of that batch.
    ratio, hold
        What was decided: the cloud's share of the model, and the share of its slack that the
        request might wait for companions.
    client, device, model, sla
        Number of the client; indices into the names that the timeline holds.
    """

    number: int
    arrival: float
    deadline: float
    end: float
    outcome: int
    phases: tuple[Phase, ...]
    batch: int
    gpu_seconds: float
    ratio: float
    hold: float
    client: int
    device: int
    model: int
    sla: int


@dataclass(frozen=True)
class Batch:
    """One batch on a GPU: when, and the numbers of its members.

    ``gpu`` and ``model`` are indices into the names that the timeline holds.
    """

    number: int
    gpu: int
    model: int
    start: float
    end: float
    members: tuple[int, ...]


@dataclass(frozen=True)
class Timeline:
    """One episode under one policy.

    Attributes
    ----------
    scenario, policy, seed, seconds
        What was played: ``policy`` as it was asked for; arrivals stop after ``seconds``.
    requests, batches
        In the order of arrival and of launch.
    gpus, devices, models, classes
        What the indices stand for; a device is its name and its tier.
    record
        What the simulator kept of the requests, shape (1, requests).
    """

    scenario: Scenario
    policy: str
    seed: int
    seconds: float
    requests: tuple[Request, ...]
    batches: tuple[Batch, ...]
    gpus: tuple[str, ...]
    devices: tuple[tuple[str, str], ...]
    models: tuple[str, ...]
    classes: tuple[str, ...]
    record: Array = field(repr=False, compare=False)

    def summary(self) -> dict[str, float]:
        """What came of it, over all requests and without a warm-up."""
        outcome = [request.outcome for request in self.requests]
        served = sum(len(batch.members) for batch in self.batches)
        batches = len(self.batches)
        return {
            "requests": len(outcome),
            "in_time": outcome.count(IN_TIME),
            "late": outcome.count(LATE),
            "dropped": outcome.count(DROPPED),
            "on_device": sum(request.ratio == 0.0 for request in self.requests),
            "gpu_seconds": math.fsum(request.gpu_seconds for request in self.requests),
            "batches": batches,
            "mean_batch": served / batches if batches else 0.0,
        }


def simulate(
    scenario: Scenario,
    policy: str,
    seed: int = 0,
    seconds: float = 120.0,
    progress: Progress | None = None,
) -> Timeline:
    """Play one episode until arrivals pass ``seconds`` and what is in flight has ended.

    Parameters
    ----------
    scenario
        Its ``decisions`` give way to what ``seconds`` need.
    policy
        ``NAME`` or ``NAME:PARAMETER=VALUE,...``: a rule offered as an entry point.
    progress
        Called now and then with the simulated time, s.

    Raises
    ------
    SimulateError, ProfileError, BundleError
        If seconds, scenario or policy cannot be used.
    """
    # Not at the top: numba takes a second to import, and the command line is more than this.
    from splitenv.simulator import Simulator

    if not (math.isfinite(seconds) and seconds > 0.0):
        raise SimulateError(f"seconds must be a finite number above 0, got {seconds:g}")
    decisions = max(_LEAST, math.ceil(scenario.load * seconds * _SPARE))
    while True:
        if decisions > _SPARE * MOST_REQUESTS:
            raise SimulateError(
                f"{seconds:g} s at {scenario.load:g} requests/s are more than the {MOST_REQUESTS} "
                "requests that a timeline can hold"
            )
        length = max(decisions, 2 * scenario.warmup + 1)
        simulator = Simulator(scenario.with_overrides({"decisions": length}), 1, record=True)
        rule = load_rule(*parse_policy(policy), Context(simulator.tables))
        played = _play(simulator, rule, seed, seconds, progress)
        if played is not None:
            break
        decisions = 2 * length  # a burst: more requests came than the mean load says
    record = simulator.record[:, :played]
    requests = tuple(lives(simulator, record[0]))
    names = names_of(scenario)
    gpus = int(simulator.belief.clock["gpus"][0])
    return Timeline(
        scenario=scenario,
        policy=policy,
        seed=seed,
        seconds=seconds,
        requests=requests,
        batches=tuple(batches_of(record[0])),
        gpus=tuple(
            f"{names.gpu_types[kind]} {number}"
            for number, kind in enumerate(simulator.tables.pool[:gpus], start=1)
        ),
        devices=tuple(zip(names.devices, names.tiers, strict=True)),
        models=names.models,
        classes=names.classes,
        record=record,
    )


def parse_policy(spec: str) -> tuple[str, dict[str, float]]:
    """Split ``NAME:PARAMETER=VALUE,...`` into name and parameters."""
    name, _, rest = spec.strip().partition(":")
    parameters = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, _, value = part.partition("=")
        try:
            parameters[key.strip()] = float(value)
        except ValueError:
            raise SimulateError(
                f"policy {spec!r}: expected PARAMETER=NUMBER after the colon, got {part!r}"
            ) from None
    return name, parameters


def _play(
    simulator: Simulator, rule: Any, seed: int, seconds: float, progress: Progress | None
) -> int | None:
    """Play one episode and return its requests; None if it was too short for ``seconds``."""
    simulator.seed([seed])
    simulator.reset()
    clock, world = simulator.belief.clock[0], simulator.truth.world[0]
    if clock["arrival"] > seconds:
        raise SimulateError(
            f"no request arrives within {seconds:g} s under seed {seed}; the first comes at "
            f"{clock['arrival']:.3g} s"
        )
    for decided in range(simulator.settings.length):
        if world["next_arrival"] > seconds:
            world["length"] = decided + 1  # the last: the step runs what is in flight to its end
        simulator.step(rule.act(simulator.observation, simulator.mask), NO_RESET)
        if progress is not None and decided % 100 == 0:
            progress(float(clock["arrival"]))
        if world["length"] == decided + 1 and clock["arrival"] > seconds:
            return decided + 1
    return None


def lives(simulator: Simulator, episode: Array) -> Iterator[Request]:
    """Turn the records of an episode's requests, from the first on, into lives."""
    tables = simulator.tables
    for index, record in enumerate(episode):
        model, placement = int(record["model"]), int(record["placement"])
        phases = tuple(_phases(simulator, record))
        yield Request(
            number=index + 1,
            arrival=float(record["arrival"]),
            deadline=float(record["deadline"]),
            end=phases[-1].end if phases else float(record["arrival"]),
            outcome=int(record["outcome"]),
            phases=phases,
            batch=int(record["launch"]) + 1,
            gpu_seconds=float(record["gpu_seconds"]),
            ratio=float(tables.ratio[model, placement]),
            hold=float(tables.action_hold[record["action"]]),
            client=int(record["client"]),
            device=int(record["device"]),
            model=model,
            sla=int(record["sla"]),
        )


def _phases(simulator: Simulator, record: Any) -> Iterator[Phase]:
    """Phases that took time, in causal order; for a dropped request those that it came to."""
    moments = list(_moments(simulator, record))
    for (_, start), (kind, end) in pairwise([("", float(record["arrival"])), *moments]):
        if end > start:
            yield Phase(kind, start, end)


def _moments(simulator: Simulator, record: Any) -> Iterator[tuple[str, float]]:
    """Kind and end of each phase, whether it took time or not."""
    begun = float(record["arrival"]) + simulator.tables.control_delay
    begin, resume = float(record["begin"]), float(record["resume"])
    ready, start = float(record["ready"]), float(record["start"])
    if record["placement"] == 0:
        yield "control", begun
        yield "device busy", begin
        yield "device", float(record["complete"])
        return
    if not math.isfinite(ready):  # dropped on arrival: the queue was full
        return
    yield "control", begun
    if math.isfinite(begin):
        yield "device busy", begin
        yield "device", float(record["sent"])
    yield "upload", ready
    launched = start if math.isfinite(start) else float(record["finish"])
    yield "hold", min(_hold_end(simulator, record), launched)
    yield "queue", launched
    if not math.isfinite(start):
        return
    yield "GPU", float(record["finish"])
    yield "download", float(record["download"])
    if math.isfinite(resume):
        yield "device busy", resume
    yield "device", float(record["complete"])


def _hold_end(simulator: Simulator, record: Any) -> float:
    """``ready + h max(0, slack(1))``, as the queue reckons it."""
    tables = simulator.tables
    ready = float(record["ready"])
    alone = float(tables.alone[tables.pool[0], record["model"], record["placement"], 1])
    slack = max(0.0, float(record["gpu_deadline"]) - ready - alone)
    return ready + float(tables.action_hold[record["action"]]) * slack


def batches_of(record: Array) -> Iterator[Batch]:
    """Batches of an episode in the order of launch, their members in the order of arrival."""
    served = np.flatnonzero(record["gpu"] >= 0)
    order = served[np.argsort(record["launch"][served], kind="stable")]
    cuts = np.flatnonzero(np.diff(record["launch"][order])) + 1
    for members in np.split(order, cuts):
        if len(members):
            first = record[members[0]]
            yield Batch(
                number=int(first["launch"]) + 1,
                gpu=int(first["gpu"]),
                model=int(first["model"]),
                start=float(first["start"]),
                end=float(record["finish"][members].max()),
                members=tuple((members + 1).tolist()),
            )
