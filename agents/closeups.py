"""Some episodes of a policy from close by: what figures of an evaluation need beyond its sums.

A *closeup* says how latencies are spread in each tier, which split was chosen at which bandwidth
and on which device, how large batches were, and what happened in the worst minute. It is plain
data, kept under the key of the piece that was played, see :mod:`agents.items`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.evaluation import play
from agents.items import Item, Piece, policy_of, source_digest
from agents.measures import counted
from splitenv import timeline
from splitenv.accounting import DROPPED, IN_TIME
from splitenv.names import names_of
from splitenv.provenance import plain
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator
from splitenv.timeline import PHASES, batches_of, lives

Array = npt.NDArray[Any]


class Closeup(dict[str, Any]):
    """What :func:`describe` says, as plain data."""

    def to_arrays(self) -> dict[str, Array]:
        """Itself as JSON, to be kept in a file."""
        content = json.dumps(self, separators=(",", ":"))
        return {"json": np.frombuffer(content.encode(), np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Closeup:
        """Make it of what :meth:`to_arrays` gave."""
        return cls(json.loads(arrays["json"].tobytes()))


EPISODES = 4
"""Episodes that are looked at: the first ones of those that were judged."""

LEVELS = (*range(0, 95, 2), 95, 96, 98, 99, 99.5, 99.9, 100)
"""Percentiles of latency that are kept."""

BANDS = 12
"""Groups of equal size that reported bandwidth is cut into."""

MINUTE = 60.0
MOST_LIVES = 120
"""Requests that a picture of the worst minute has room for; where more arrive, it is shorter."""

_NICE = (60.0, 50.0, 40.0, 30.0, 20.0, 15.0, 10.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0)


@dataclass(frozen=True)
class Look(Piece[Closeup]):
    """A policy, by its spec, seen in episodes ``first`` to ``first + episodes - 1``."""

    scenario: Scenario
    spec: str
    first: int
    episodes: int

    kind = Closeup

    def key(self) -> str:
        """SHA-256 of all that it depends on."""
        return hashlib.sha256(f"{self._item.key()} {_code()}".encode()).hexdigest()

    def run(self) -> Closeup:
        """Play one episode a seed and describe what happened."""
        policy = policy_of(self.spec)
        simulator = Simulator(policy.under(self.scenario), self.episodes, record=True)
        play(policy, simulator, self.first + np.arange(self.episodes))
        return describe(simulator)

    def prepare(self) -> None:
        """Compile the kernel."""
        self._item.prepare()

    @property
    def _item(self) -> Item:
        return Item(self.scenario, self.spec, self.first, self.episodes)


@cache
def _code() -> str:
    return source_digest([Path(__file__), Path(timeline.__file__)])


def describe(simulator: Simulator) -> Closeup:
    """Describe the episodes that have just ended, with their worst minute, as plain data.

    Returns
    -------
    dict
        What :func:`spread` says, and ``minute``: see :func:`_worst_minute`.
    """
    return Closeup({**spread(simulator), "minute": _worst_minute(simulator)})


def spread(simulator: Simulator) -> Closeup:
    """Say how the requests of the episodes that have just ended are spread, as plain data.

    Returns
    -------
    dict
        ``requests``: that counted. ``latency``: by tier, seconds at each of :data:`LEVELS`, None
        where that many were never answered. ``model``: the one that the following two are about,
        the most used. ``bandwidth``, ``devices``: see :func:`_by_bandwidth`, :func:`_by_device`.
        ``direction``: the link whose bandwidth that is. ``batches``: by size, the counted cloud
        requests served in one.
    """
    record = counted(simulator).ravel()
    names, scenario = names_of(simulator.scenario), simulator.scenario
    tier = np.array(names.tiers)[record["device"]]
    latency = np.where(record["outcome"] == DROPPED, np.inf, record["complete"] - record["arrival"])
    main = int(np.argmax([workload.share for workload in scenario.models]))
    of_main = record[record["model"] == main]
    down = simulator.tables.down[main].sum() > simulator.tables.up[main].sum()
    direction = "downlink" if down else "uplink"
    found = {
        "requests": len(record),
        "latency": {
            name: np.quantile(latency[tier == name], np.array(LEVELS) / 100, method="higher")
            for name in dict.fromkeys(names.tiers)
            if (tier == name).any()
        },
        "model": names.models[main],
        "direction": direction,
        "bandwidth": _by_bandwidth(simulator, of_main, direction),
        "devices": _by_device(simulator, of_main, main),
        "batches": np.bincount(record["batch"][record["batch"] > 0]),
    }
    return Closeup(plain(found))


def latency_at(quantiles: Sequence[float | None], level: float) -> float:
    """Latency at one of :data:`LEVELS`, s; infinite where that many had no answer."""
    known = [math.inf if value is None else value for value in quantiles]
    return known[LEVELS.index(level)]


def _by_bandwidth(simulator: Simulator, record: Array, direction: str) -> list[dict[str, Any]]:
    """Split ratios by bandwidth as reported, in groups of equal size.

    ``rate`` (median, bytes/s), ``mean``, and ``shares``: of requests, by twentieths of the split
    ratio, rounded.
    """
    rate = record[direction]
    ratio = simulator.tables.ratio[record["model"], record["placement"]]
    order = np.argsort(rate, kind="stable")
    return [
        {
            "rate": float(np.median(rate[band])),
            "mean": float(ratio[band].mean()),
            "shares": np.bincount(np.rint(20 * ratio[band]).astype(int), minlength=21) / len(band),
        }
        for band in np.array_split(order, BANDS)
        if len(band)
    ]


def _by_device(simulator: Simulator, record: Array, model: int) -> list[dict[str, Any]]:
    """Split ratios by device type.

    ``name``, ``tier``, ``seconds`` (the whole model on it, as profiled; None if it cannot),
    ``mean`` of the split ratio, ``device`` (share that ran there alone) and ``requests``.
    """
    names, tables = names_of(simulator.scenario), simulator.tables
    ratio = tables.ratio[record["model"], record["placement"]]
    rows = []
    for device, name in enumerate(names.devices):
        own = record["device"] == device
        if own.any():
            able = bool(tables.can[device, model, 0])
            rows.append(
                {
                    "name": name,
                    "tier": names.tiers[device],
                    "seconds": float(tables.head[device, model, 0]) if able else None,
                    "mean": float(ratio[own].mean()),
                    "device": float((record["placement"][own] == 0).mean()),
                    "requests": int(own.sum()),
                }
            )
    return rows


def _worst_minute(simulator: Simulator) -> dict[str, Any]:
    """The minute in which most of the arrivals are late or dropped, and who was there.

    Times count in milliseconds from its start. A request: arrival, deadline, end, outcome, its
    place in ``batches`` or -1, split ratio, then kind and end of each phase. A batch: GPU, start,
    end, members.
    """
    seconds = _window(simulator.scenario.load)
    episode, start, missed, arrived = _worst(counted(simulator), seconds)
    record = simulator.record[episode]
    end = start + seconds
    batches = [each for each in batches_of(record) if each.start < end and each.end > start]
    place = {batch.number: index for index, batch in enumerate(batches)}
    kinds = {kind: code for code, kind in enumerate(PHASES)}

    def milliseconds(time: float) -> float:
        return round(1000.0 * (time - start), 1 if seconds > 5.0 else 3)

    return {
        "seconds": seconds,
        "episode": episode,
        "start": start,
        "missed": missed,
        "arrived": arrived,
        "gpus": int(simulator.belief.clock["gpus"][episode]),
        "requests": [
            [
                milliseconds(each.arrival), milliseconds(each.deadline), milliseconds(each.end),
                each.outcome, place.get(each.batch, -1), round(each.ratio, 2),
                *(v for p in each.phases for v in (kinds[p.kind], milliseconds(p.end))),
            ]
            for each in lives(simulator, record)
            if each.arrival < end and each.end > start
        ],
        "batches": [
            [each.gpu, milliseconds(each.start), milliseconds(each.end), len(each.members)]
            for each in batches
        ],
    }  # fmt: skip


def _window(load: float) -> float:
    """Seconds of a picture that is neither longer than a minute nor too full."""
    room = min(MINUTE, MOST_LIVES / load)
    scale = min(1.0, 10.0 ** math.floor(math.log10(room)))
    return next(nice * scale for nice in _NICE if nice * scale <= room * (1 + 1e-9))


def _worst(record: Array, seconds: float) -> tuple[int, float, int, int]:
    """Episode and start of the window with most violations; how many, and of how many arrivals."""
    most = (-1, 0, 0.0, 0)
    for episode, requests in enumerate(record):
        arrival = requests["arrival"]
        missed = np.concatenate([[0], np.cumsum(requests["outcome"] != IN_TIME)])
        last = np.searchsorted(arrival, arrival + seconds)
        within = missed[last] - missed[:-1]
        at = int(within.argmax())
        if int(within[at]) > most[0]:
            most = (int(within[at]), episode, float(arrival[at]), int(last[at]) - at)
    missed_most, episode, start, arrived = most
    return episode, start, missed_most, arrived
