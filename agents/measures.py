"""What is measured of played episodes: sums by episode and group, and latencies in bins.

A *group* is the requests of one device tier, SLA class and tenant (an entry of the scenario's
``models``). All that is reported follows from the sums of a :class:`Tally`, so that tallies can be
kept, joined and resampled without the records that they were made from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from splitenv.accounting import DROPPED, IN_TIME
from splitenv.attainable import play_alone
from splitenv.profiles.catalogue import load_gpu
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator
from splitenv.tables import fleet

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

QUANTITIES = (
    "requests",
    "in_time",
    "dropped",
    "on_device",
    "cloud_requests",
    "batch_members",
    "split_ratio",
    "gpu_seconds",
    "gpu_cost",  # GPU seconds x price of the GPU's type, in seconds of the pool's first type
    "dollars",
    "cost",  # DESIGN: GPU cost in all-cloud requests alone + violation price x violations
    "device_seconds",
    "bytes_up",
    "bytes_down",
    "latency",  # seconds, of those that were answered
)
"""Summed over the requests of an episode and group, in this order."""

PER_EPISODE = (
    "gpu_busy",  # GPU seconds of the whole episode
    "gpu_time",  # seconds x GPUs of the whole episode
    "seconds",  # in which the counted requests arrived
)

SHORTEST, STEP, BINS = 1e-4, 0.01, 1900
"""Latency bins: the first starts at 0.1 ms, each is 1% wide; the last is for what never ended."""

WAYS = ("up", "down")

KINDS = ("tier", "sla", "tenant")


class Group(NamedTuple):
    """Requests of one device tier, SLA class and tenant."""

    tier: str
    sla: str
    tenant: str


@dataclass(frozen=True)
class Tally:
    """What became of the counted requests of some episodes.

    Attributes
    ----------
    groups
        What the second axis of ``sums`` and the first of ``latency`` stand for.
    sums
        Of :data:`QUANTITIES`, shape (episodes, groups, quantities).
    episodes
        Of :data:`PER_EPISODE`, shape (episodes, those).
    latency
        Requests by latency bin, shape (groups, BINS), all episodes together.
    crossed
        Requests that sent something up, and down, by the placement that says what, shape
        (episodes, groups, :data:`WAYS`, placements).
    """

    groups: tuple[Group, ...]
    sums: Floats
    episodes: Floats
    latency: Counts
    crossed: Floats

    def of(self, quantity: str) -> Floats:
        """Sums of a quantity by episode, all groups together."""
        if quantity in PER_EPISODE:
            return self.episodes[:, PER_EPISODE.index(quantity)]
        return np.asarray(self.sums[:, :, QUANTITIES.index(quantity)].sum(axis=1), np.float64)

    def by(self, kind: str, quantity: str) -> dict[str, Floats]:
        """Sums of a quantity by episode, for each tier, SLA class or tenant."""
        values = self.sums[:, :, QUANTITIES.index(quantity)]
        return {
            name: values[:, rows].sum(axis=1) for name, rows in rows_by(self.groups, kind).items()
        }

    def to_arrays(self) -> dict[str, Array]:
        """Arrays to be kept in a file."""
        bins = np.flatnonzero(self.latency)
        return {
            "groups": np.frombuffer(json.dumps(self.groups).encode(), np.uint8),
            "sums": self.sums,
            "episodes": self.episodes,
            "shape": np.array(self.latency.shape),
            "bins": bins.astype(np.int32),
            "counts": self.latency.ravel()[bins].astype(np.int32),
            "crossed": self.crossed.astype(np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Make a tally of what :meth:`to_arrays` gave."""
        latency = np.zeros(arrays["shape"], np.int64)
        latency.ravel()[arrays["bins"]] = arrays["counts"]
        return cls(
            tuple(Group(*group) for group in json.loads(arrays["groups"].tobytes())),
            arrays["sums"],
            arrays["episodes"],
            latency,
            arrays["crossed"].astype(np.float64),
        )

    def latency_quantile(self, level: float, rows: Sequence[int] | None = None) -> float:
        """Quantile of latency, s, to the half percent of a bin; infinite if that was dropped."""
        counts = self.latency[list(rows) if rows is not None else slice(None)].sum(axis=0)
        total = np.cumsum(counts)
        if total[-1] == 0:
            return float("nan")
        at = int(np.searchsorted(total, level * total[-1]))
        return float("inf") if at == BINS - 1 else float(SHORTEST * (1.0 + STEP) ** (at + 0.5))


def rows_by(groups: tuple[Group, ...], kind: str) -> dict[str, list[int]]:
    """Rows of the groups of each tier, SLA class or tenant, in their order."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(getattr(group, kind), []).append(row)
    return rows


def join(tallies: Sequence[Tally]) -> Tally:
    """Put episodes of one scenario together."""
    return Tally(
        groups=tallies[0].groups,
        sums=np.concatenate([tally.sums for tally in tallies]),
        episodes=np.concatenate([tally.episodes for tally in tallies]),
        latency=np.sum([tally.latency for tally in tallies], axis=0),
        crossed=np.concatenate([tally.crossed for tally in tallies]),
    )


def tenants(scenario: Scenario) -> list[str]:
    """Name the entries of a scenario's models; a model's second one is numbered."""
    names: list[str] = []
    for workload in scenario.models:
        same = sum(name.split(" #")[0] == workload.model for name in names)
        names.append(f"{workload.model} #{same + 1}" if same else workload.model)
    return names


def groups_of(scenario: Scenario) -> tuple[tuple[Group, ...], Counts]:
    """List a scenario's groups, and the row of each (device type, model, SLA class); -1 if none."""
    devices, classes = fleet(scenario), list(scenario.sla)
    tiers = list(dict.fromkeys(device.tier for device in devices))
    names = tenants(scenario)
    groups = tuple(
        Group(tier, sla, tenant)
        for tier in tiers
        for tenant, workload in zip(names, scenario.models, strict=True)
        for sla in workload.sla
    )
    row = np.full((len(devices), len(names), len(classes)), -1, np.int64)
    for d, device in enumerate(devices):
        for m, (tenant, workload) in enumerate(zip(names, scenario.models, strict=True)):
            for sla in workload.sla:
                row[d, m, classes.index(sla)] = groups.index(Group(device.tier, sla, tenant))
    return groups, row


def counted(simulator: Simulator) -> Array:
    """Return the records that count, shape (E, requests): no warm-up, no cool-down."""
    settings = simulator.settings
    return simulator.record[:, settings.warmup : settings.length - settings.warmup]


def tally(simulator: Simulator) -> Tally:
    """Measure the episodes that have just ended in every row of a simulator."""
    record, tables = counted(simulator), simulator.tables
    groups, row = groups_of(simulator.scenario)
    group = row[record["device"], record["model"], record["sla"]]
    sums = _by_group(group, len(groups), _values(simulator, record))
    ends = simulator.record["arrival"][:, [simulator.settings.warmup, -simulator.settings.warmup]]
    gpus = simulator.belief.clock["gpus"]
    metrics = simulator.finished
    per_episode = [metrics["busy_seconds"], metrics["span"] * gpus, ends[:, 1] - ends[:, 0]]
    latency = np.where(record["outcome"] == DROPPED, np.inf, record["complete"] - record["arrival"])
    assert len(tables.price) == len(simulator.scenario.pool.types)
    return Tally(
        groups,
        sums,
        np.column_stack(per_episode),
        _binned(group, len(groups), latency),
        _crossed(simulator, record, group, len(groups)),
    )


def _values(simulator: Simulator, record: Array) -> dict[str, Array]:
    """Each quantity of each request."""
    tables = simulator.tables
    model, placement = record["model"], record["placement"]
    sent, cloud = _sent(record)
    answered = record["outcome"] != DROPPED
    kind = np.where(record["gpu"] >= 0, tables.pool[record["gpu"]], 0)
    seconds = record["gpu_seconds"]
    hourly = np.array([load_gpu(name).price.amount for name in simulator.scenario.pool.types])
    return {
        "requests": np.ones(record.shape),
        "in_time": record["outcome"] == IN_TIME,
        "dropped": record["outcome"] == DROPPED,
        "on_device": placement == 0,
        "cloud_requests": cloud,
        "batch_members": record["batch"],
        "split_ratio": tables.ratio[model, placement],
        "gpu_seconds": seconds,
        "gpu_cost": seconds * tables.price[kind],
        "dollars": seconds * hourly[kind] / 3600.0,
        "cost": record["cost"],
        "device_seconds": _device_seconds(simulator, record),
        "bytes_up": np.where(sent, tables.up[model, placement], 0.0),
        "bytes_down": np.where(cloud, tables.down[model, placement], 0.0),
        "latency": np.where(answered, record["complete"] - record["arrival"], 0.0),
    }


def _sent(record: Array) -> tuple[Array, Array]:
    """Which requests sent something up, and which were served in the cloud and so sent down."""
    return ~np.isnan(record["sent"]), record["batch"] > 0


def _crossed(simulator: Simulator, record: Array, group: Counts, groups: int) -> Floats:
    """Requests by episode, group, way and placement whose boundary crossed the network."""
    placements = simulator.tables.enter.shape[1]
    shape = (len(record), groups, len(WAYS), placements)
    counts = np.zeros(shape)
    episode = np.broadcast_to(np.arange(len(record))[:, None], record.shape)
    for way, crosses in enumerate(_sent(record)):
        at = (episode[crosses], group[crosses], way, record["placement"][crosses])
        np.add.at(counts, at, 1.0)
    return counts


def _device_seconds(simulator: Simulator, record: Array) -> Array:
    """Seconds for which the device works on each request.

    Head, tail and all-device runs as they turned out; what runs beside the cloud as predicted, as
    it takes the device from nobody and records have no time of it.
    """
    tables = simulator.tables
    head_end = np.where(record["placement"] == 0, record["complete"], record["sent"])
    head = np.nan_to_num(head_end - record["begin"])
    tail = np.nan_to_num(record["complete"] - record["resume"])
    also = tables.also[record["device"], record["model"], record["placement"]] * record["speed"]
    return np.asarray(head + tail + also)


def _by_group(group: Counts, groups: int, values: dict[str, Array]) -> Floats:
    """Sum each value over the requests of an episode and group."""
    episodes = len(group)
    code = (np.arange(episodes)[:, None] * groups + group).ravel()
    columns = [
        np.bincount(code, np.asarray(values[name], np.float64).ravel(), episodes * groups)
        for name in QUANTITIES
    ]
    sums = np.stack(columns, axis=-1).reshape(episodes, groups, len(QUANTITIES))
    return np.asarray(sums, np.float64)


def _binned(group: Counts, groups: int, latency: Array) -> Counts:
    with np.errstate(divide="ignore"):
        place = np.log(latency / SHORTEST) / np.log1p(STEP)
    bins = np.clip(np.nan_to_num(place, posinf=BINS - 1), 0, BINS - 1).astype(np.int64)
    return np.bincount((group * BINS + bins).ravel(), minlength=groups * BINS).reshape(groups, BINS)


def attainable(scenario: Scenario, seeds: npt.ArrayLike) -> Tally:
    """Tally what could be had: a request is in time if some placement, alone, would meet it.

    Of its quantities only requests and those in time mean something; latency is the least.
    """
    alone = play_alone(scenario, seeds)
    counts = slice(scenario.warmup, scenario.decisions - scenario.warmup)
    groups, row = groups_of(scenario)
    group = row[alone.device, alone.model, alone.sla][:, counts]
    values: dict[str, Array] = dict.fromkeys(QUANTITIES, np.zeros(group.shape))
    values |= {"requests": np.ones(group.shape), "in_time": alone.in_time[:, counts]}
    return Tally(
        groups,
        _by_group(group, len(groups), values),
        np.zeros((len(group), len(PER_EPISODE))),
        _binned(group, len(groups), alone.latency.min(axis=2)[:, counts]),
        np.zeros((len(group), len(groups), len(WAYS), alone.latency.shape[2])),
    )
