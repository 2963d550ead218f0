"""Simulated episodes as a serving system would have reported them, replayed to a scheduler.

A scheduler in production must see what a policy saw in training. :func:`event_log` turns the
records of a simulated episode into events; :func:`replay` hands them to a
:class:`~splitenv.runtime.scheduler.Scheduler` and compares its observations, byte for byte, and its
actions with the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.policy import Actions, Masks, Observations, Policy
from splitenv.runtime import (
    Arrival,
    ClientReport,
    Dropped,
    Event,
    Finish,
    Launch,
    Ready,
    Scheduler,
)
from splitenv.runtime.bundle import Bundle, read_bundle
from splitenv.runtime.policies import GraphPolicy
from splitenv.runtime.scheduler import predicted_to_miss
from splitenv.scenario import Scenario
from splitenv.simulator import NO_RESET, Simulator
from splitenv.state import Array, Tables

NEAR_TIE = 1e-5
"""Logits closer than this may change places between a batch and a single row."""

_FINISH, _READY, _DROP, _LAUNCH, _ARRIVE = range(5)


class Deployed(Policy):
    """A bundle's policy in a simulation, under the guard that the runtime puts over it.

    Parameters
    ----------
    bundle
        What is deployed.
    """

    name = "deployed"

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.name = bundle.manifest.name
        self.discipline = bundle.manifest.discipline
        self.policy = bundle.policy()
        self.envelope = bundle.envelope()
        self.fallback = bundle.fallback()
        self.bind(bundle.context)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide, and leave to the fallback rule what the runtime leaves to it.

        That is what lies outside the envelope, and what is predicted late and needs not be.
        """
        chosen = self.policy.act(observations, masks)
        other = self.fallback.act(observations, masks)
        rows = np.arange(len(observations))
        placement = self.context.tables.action_placement
        slack, others = observations[rows, placement[chosen]], observations[rows, placement[other]]
        left = predicted_to_miss(slack, others)
        if self.envelope is not None:
            left |= self.envelope.outside(observations)
        return np.asarray(np.where(left, other, chosen), np.int64)


@dataclass(frozen=True)
class Episodes:
    """What was seen, done and recorded in simulated episodes; first axis: environment."""

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int64]
    records: Array


@dataclass
class Skew:
    """How a scheduler's view of simulated episodes differs from the simulator's.

    Attributes
    ----------
    decisions
        Compared.
    observations, actions
        Of them, how many gave equal bytes, and equal actions.
    near_ties
        Other actions whose two best logits lie within :data:`NEAR_TIE`: they may differ.
    anomalies
        Events that the scheduler could not make sense of, by kind.
    """

    decisions: int = 0
    observations: int = 0
    actions: int = 0
    near_ties: int = 0
    anomalies: dict[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether nothing differs but for near ties."""
        same = self.actions + self.near_ties == self.decisions == self.observations
        return same and not self.anomalies


def simulate(bundle: Bundle, episodes: int, seed: int) -> Episodes:
    """Run whole episodes of a bundle's scenario under its policy, and keep everything."""
    scenario = Scenario.model_validate(bundle.manifest.scenario.content)
    simulator = Simulator(scenario, episodes, record=True, tables=bundle.tables)
    simulator.seed(range(seed, seed + episodes))
    simulator.reset()
    policy = Deployed(bundle)
    observations, actions = [], []
    for _ in range(scenario.decisions):
        observations.append(simulator.observation.copy())
        actions.append(policy.act(simulator.observation, simulator.mask))
        simulator.step(actions[-1], NO_RESET)
    return Episodes(
        np.stack(observations, axis=1), np.stack(actions, axis=1), simulator.record.copy()
    )


def event_log(records: Array, bundle: Bundle) -> Iterator[Event]:
    """Tell one episode as events, in the order in which the simulator takes them.

    By time; within an instant GPUs fall idle, then requests become ready, then late ones are
    dropped, then batches start, then the next request arrives with its client's report. Requests
    and clients are named by number.

    Parameters
    ----------
    records
        Of one whole episode, shape (decisions,), dtype RECORD.
    bundle
        Whose tables and names the episode ran on.
    """
    names = bundle.manifest.names
    cloud = ~np.isnan(records["ready"])
    timed: list[tuple[float, int, int, Event]] = []
    for index in np.flatnonzero(cloud).tolist():
        at = float(records["ready"][index])
        timed.append((at, _READY, index, Ready(at, index)))
        if records["launch"][index] < 0:
            dropped = float(records["finish"][index])
            timed.append((dropped, _DROP, index, Dropped(dropped, index)))
    for launch, members in _batches(records, bundle.tables).items():
        first = records[members[0]]
        start, gpu = float(first["start"]), int(first["gpu"])
        finish = float(records["finish"][members].max())
        timed.append((start, _LAUNCH, launch, Launch(start, gpu, tuple(members))))
        timed.append((finish, _FINISH, launch, Finish(finish, gpu)))
    for index, record in enumerate(records):
        at, client = float(record["arrival"]), int(record["client"])
        link = (float(record[name]) for name in ("uplink", "downlink", "rtt", "speed"))
        device = names.devices[record["device"]]
        report = ClientReport(at, client, device, *link)
        model, sla = names.models[record["model"]].name, names.sla[record["sla"]]
        timed.append((at, _ARRIVE, 2 * index, report))
        timed.append((at, _ARRIVE, 2 * index + 1, Arrival(at, index, client, model, sla)))
    timed.sort(key=itemgetter(0, 1, 2))
    for *_, event in timed:
        yield event


def replay(scheduler: Scheduler, episodes: Episodes, row: int, skew: Skew, decisions: int) -> None:
    """Let a fresh scheduler live through one episode, and count into ``skew`` what differs.

    Stops after so many decisions. Where an action differs, the scheduler is told what the simulator
    did, so that one difference is counted once.
    """
    observations, actions = episodes.observations[row], episodes.actions[row]
    done = 0
    for event in event_log(episodes.records[row], scheduler.bundle):
        if not isinstance(event, Arrival):
            scheduler.observe(event)
            continue
        if done == decisions:
            break
        # Arrivals come in the order of their numbers.
        index = done
        decision = scheduler.decide(event)
        done += 1
        skew.decisions += 1
        skew.observations += scheduler.observation.tobytes() == observations[index].tobytes()
        if decision.action == actions[index]:
            skew.actions += 1
            continue
        skew.near_ties += near_tie(scheduler)
        scheduler.revise(event.request, int(actions[index]))
    for kind, count in scheduler.tracker.anomalies.items():
        skew.anomalies[kind] = skew.anomalies.get(kind, 0) + count


def near_tie(scheduler: Scheduler) -> bool:
    """Whether the two best logits of the last decision are too close to tell apart."""
    policy: Any = scheduler.bundle.policy()
    if not isinstance(policy, GraphPolicy):
        return False
    logits = np.sort(policy.logits(scheduler.observation, scheduler.mask)[0])
    return bool(logits[-1] - logits[-2] < NEAR_TIE)


def measure_skew(folder: Path, decisions: int, seed: int = 0) -> Skew:
    """Simulate a bundle's scenario under its policy, replay it, and count what differs."""
    bundle = read_bundle(folder)
    length = int(bundle.manifest.scenario.content["decisions"])
    episodes = simulate(bundle, -(-decisions // length), seed)
    skew = Skew()
    for row in range(len(episodes.actions)):
        replay(Scheduler(bundle), episodes, row, skew, decisions - skew.decisions)
    return skew


def _batches(records: Array, tables: Tables) -> dict[int, list[int]]:
    """Members of every batch by its number, in the order in which they joined.

    Those that could still meet their D first, by D; the others after them, by D.
    """
    cloud = np.flatnonzero(records["launch"] >= 0)
    taken = records[cloud]
    kind = tables.pool[taken["gpu"]]
    alone = tables.alone[kind, taken["model"], taken["placement"], 1]
    late = taken["start"] + alone > taken["gpu_deadline"]
    order = np.lexsort((cloud, taken["gpu_deadline"], late, taken["launch"]))
    batches: dict[int, list[int]] = {}
    for index in cloud[order].tolist():
        batches.setdefault(int(records["launch"][index]), []).append(index)
    return batches
