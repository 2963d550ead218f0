"""The scheduler's knowledge, kept from the events that a serving system reports.

The knowledge is a :class:`~splitenv.state.Belief` of one row, changed by the functions that the
simulator's kernel compiles. Events may be late, doubled, lost or wrong: those that cannot be true
are counted by kind in :attr:`Tracker.anomalies` and change nothing, or as little as they must.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from splitenv import belief as knowledge
from splitenv.actions import write_mask
from splitenv.dispatch import count_members, time_line
from splitenv.features import observe
from splitenv.physics import consequence, prospect
from splitenv.queues import leave_queue
from splitenv.runtime.containers import add_client, plain_belief, plain_tables
from splitenv.runtime.events import Arrival, ClientReport, Dropped, Event, Finish, Launch, Ready
from splitenv.runtime.manifest import Manifest
from splitenv.state import Array, Tables

_SWEEP = 1024
"""Clients beyond which those that have nothing to remember are forgotten."""


@dataclass(slots=True)
class _Client:
    """A client's row, and its last report; only all-cloud is ever decided on the defaults."""

    row: int
    device: int = -1
    heard: float = -math.inf
    credible: bool = True
    uplink: float = 1e6
    downlink: float = 1e6
    rtt: float = 0.1
    speed: float = 1.0


@dataclass(slots=True)
class _Live:
    """A request on its way to a GPU: its slot, and whether it is ready."""

    slot: int
    ready: bool = False


class Tracker:
    """One scheduler's belief, and the names behind its rows.

    Parameters
    ----------
    tables
        The bundle's tables.
    manifest
        Names, size of pool and queue, and what a credible report is.

    Attributes
    ----------
    anomalies
        How many events of each kind could not be true.
    now
        Time of the last event, s.
    """

    def __init__(self, tables: Tables, manifest: Manifest) -> None:
        self.anomalies: Counter[str] = Counter()
        self.now = 0.0
        self.tables = plain_tables(tables)
        self.belief = plain_belief(tables, manifest.queue)
        knowledge.clear(self.tables, self.belief, 0, manifest.gpus)
        self._guard = manifest.guard
        self._devices = {name: row for row, name in enumerate(manifest.names.devices)}
        self._models = {model.name: row for row, model in enumerate(manifest.names.models)}
        self._sla = {name: row for row, name in enumerate(manifest.names.sla)}
        self._clients: dict[Hashable, _Client] = {}
        self._free_rows: list[int] = []
        self._live: dict[Hashable, _Live] = {}
        self._running: dict[int, float] = {}
        self._arrivals = 0
        self._sweep_at = _SWEEP
        self._pending: Hashable = None
        self._waits = False
        self._placed = False
        self._device_free = 0.0

    def observe(self, event: Event) -> None:
        """Learn of an event; one that cannot be true is counted and left aside."""
        match event:
            case ClientReport():
                self._report(event)
            case Arrival():
                self.arrive(event)
            case Ready():
                self._ready(event)
            case Launch():
                self._launch(event)
            case Finish():
                self._finish(event)
            case Dropped():
                self._drop(event)

    @property
    def full(self) -> bool:
        """Whether no more requests can be on their way to a GPU."""
        if self.belief.clock[0].free_slots == 0:
            self._forget_lost()
        return bool(self.belief.clock[0].free_slots == 0)

    def pending(self, request: Hashable) -> bool:
        """Whether this is the request that arrived last and waits for its decision."""
        return self._waits and self._pending == request

    def report_of(self, client: Hashable) -> tuple[float, bool] | None:
        """When a client reported last and whether that was credible, or None if it never did."""
        known = self._clients.get(client)
        if known is None or known.heard == -math.inf:
            return None
        return known.heard, known.credible

    def device_known(self, client: Hashable) -> bool:
        """Whether the bundle's tables have the device that a client reported."""
        known = self._clients.get(client)
        return known is not None and known.device >= 0

    def arrive(self, event: Arrival) -> None:
        """Make a request the pending one.

        Raises
        ------
        ValueError
            If the bundle knows no such model or SLA class, or the time is no number.
        """
        model = _index(self._models, event.model, "model")
        sla = _index(self._sla, event.sla, "SLA class")
        if not math.isfinite(event.time):
            raise ValueError(f"request {event.request!r}: its time of arrival is {event.time}")
        if event.request in self._live:
            self._count("request arrived again")
            self._forget(event.request)
        now = self._clock(event.time)
        client = self._client(event.client)
        clock = self.belief.clock[0]
        clock.arrival = float(event.time)
        clock.client = client.row
        clock.device = max(client.device, 0)
        clock.model = model
        clock.sla = sla
        clock.deadline = clock.arrival + self.tables.deadline[sla]
        clock.speed, clock.rtt = client.speed, client.rtt
        clock.uplink, clock.downlink = client.uplink, client.downlink
        clock.up_pace, clock.down_pace = 1.0 / client.uplink, 1.0 / client.downlink
        knowledge.arrive(self.tables, self.belief, 0, model, now)
        self._pending = event.request
        self._waits, self._placed = True, False
        self._arrivals += 1

    def look(self, observation: Array, mask: Array) -> None:
        """Write observation and mask of the pending request into row 0."""
        observe(self.tables, self.belief, 0, observation)
        write_mask(self.tables, self.belief, 0, mask)

    def predict(self, placement: int) -> tuple[float, float]:
        """Slack (s) and GPU seconds that a placement of the pending request is to lead to."""
        clock = self.belief.clock[0]
        view = prospect(self.tables, self.belief, 0)
        complete, seconds, members = consequence(view, placement)
        return clock.deadline - complete, seconds / members

    def place(self, action: int) -> None:
        """Let the pending request take an action; one that finds no free slot is not tracked."""
        tables, belief, clock = self.tables, self.belief, self.belief.clock[0]
        self._device_free = belief.client[0, clock.client].device_free
        self._waits, self._placed = False, True
        if tables.action_placement[action] == 0:
            knowledge.send_to_device(tables, belief, 0)
        elif clock.free_slots == 0:
            self._count("queue full")
        else:
            view = prospect(tables, belief, 0)
            index = self._arrivals - 1
            slot = knowledge.send_to_cloud(tables, belief, 0, view, action, index)
            self._live[self._pending] = _Live(slot)

    def revise(self, request: Hashable, action: int) -> None:
        """Let the request placed last take another action than was decided.

        Raises
        ------
        ValueError
            If another event than a client's report came in between, or the action is none.
        """
        if not self._placed or request != self._pending:
            raise ValueError(f"request {request!r} is not the one that was decided last")
        if action not in self.tables.action_placement:
            raise ValueError(
                f"action {action!r} is none of 0 to {len(self.tables.action_hold) - 1}"
            )
        self.belief.client[0, self.belief.clock[0].client].device_free = self._device_free
        self._forget(request)
        self.place(action)

    def _report(self, event: ClientReport) -> None:
        client = self._client(event.client)
        if not math.isfinite(event.time) or event.time < client.heard:
            self._count("report older than the last")
            return
        client.heard = float(event.time)
        client.device = self._devices.get(event.device, -1)
        client.credible = client.device >= 0
        for name in ("uplink", "downlink", "rtt", "speed"):
            value = float(getattr(event, name))
            low, high = getattr(self._guard, name)
            # A comparison with NaN is false, so that NaN becomes the low bound.
            credible = min(max(low, value), high)
            client.credible &= credible == value
            setattr(client, name, credible)
        if not client.credible:
            self._count("report out of range")

    def _ready(self, event: Ready) -> None:
        live = self._live.get(event.request)
        if live is None or live.ready or not math.isfinite(event.time):
            self._count("ready, but not on its way")
            return
        self._become_ready(live, self._clock(event.time))

    def _become_ready(self, live: _Live, now: float) -> None:
        knowledge.become_ready(self.tables, self.belief, 0, live.slot, now)
        live.ready = True
        self._placed = False

    def _launch(self, event: Launch) -> None:
        tables, belief = self.tables, self.belief
        known = [request for request in dict.fromkeys(event.requests) if request in self._live]
        if len(known) < len(event.requests) or not known:
            self._count("launch of a request that is not known")
        if not known or not math.isfinite(event.time):
            return
        now = self._clock(event.time)
        for request in known:
            if not self._live[request].ready:
                self._count("launch without ready")
                self._become_ready(self._live[request], now)
        if not 0 <= event.gpu < belief.clock[0].gpus:
            self._count("launch on a GPU that is not known")
            self._forget_all(known)
            return
        batch = self._members(event.gpu, known)
        model = belief.request[self._live[batch[0]].slot, 0].model
        for member, request in enumerate(batch):
            belief.members[member] = self._live.pop(request).slot
        count_members(tables, belief, 0, model, len(batch))
        time_line(tables, belief, model, tables.pool[event.gpu])
        knowledge.start_batch(tables, belief, 0, model, event.gpu, len(batch), now)
        self._running[event.gpu] = now
        self._placed = False
        self._forget_all(known)

    def _members(self, gpu: int, known: Sequence[Hashable]) -> list[Hashable]:
        """Those of a launch that can be one batch: of the first one's model, up to the limit."""
        model = self.belief.request[self._live[known[0]].slot, 0].model
        limit = self.tables.limit[self.tables.pool[gpu], model]
        alike = [r for r in known if self.belief.request[self._live[r].slot, 0].model == model]
        if len(alike) < len(known) or len(alike) > limit:
            self._count("launch of a batch that cannot be")
        return alike[:limit]

    def _finish(self, event: Finish) -> None:
        started = self._running.get(event.gpu, math.inf)
        if not started < event.time < math.inf:
            self._count("finish of a GPU that does not run")
            return
        del self._running[event.gpu]
        self.belief.gpu[0, event.gpu].free_at = self._clock(event.time)

    def _drop(self, event: Dropped) -> None:
        if event.request not in self._live:
            self._count("drop of a request that is not known")
            return
        if math.isfinite(event.time):
            self._clock(event.time)
        self._forget(event.request)
        self._placed = False

    def _forget_all(self, requests: Sequence[Hashable]) -> None:
        for request in requests:
            self._forget(request)

    def _forget(self, request: Hashable) -> None:
        """Take a request out of uploads or queue and free its slot."""
        live = self._live.pop(request, None)
        if live is None:
            return
        belief, clock = self.belief, self.belief.clock[0]
        model = belief.request[live.slot, 0].model
        if live.ready:
            belief.members[0] = live.slot
            leave_queue(belief, 0, 1)
        else:
            clock.uploading -= 1
            belief.queue[0, model].uploading -= 1
        knowledge.release(belief, 0, live.slot)

    def _forget_lost(self) -> None:
        """Free the slots of uploads that can no longer be in time: their end was never reported."""
        requests = self.belief.request
        lost = [
            request
            for request, live in self._live.items()
            if not live.ready and requests[live.slot, 0].gpu_deadline < self.now
        ]
        for request in lost:
            self._count("upload never reported ready")
            self._forget(request)

    def _client(self, name: Hashable) -> _Client:
        known = self._clients.get(name)
        if known is not None:
            return known
        if len(self._clients) >= self._sweep_at:
            self._forget_clients()
        row = self._free_rows.pop() if self._free_rows else self.belief.client.shape[1]
        add_client(self.belief, row)
        known = self._clients[name] = _Client(row)
        return known

    def _forget_clients(self) -> None:
        """Forget clients with a stale report, an idle device and nothing on its way.

        Nothing is lost: for all the features know, they are as good as new.
        """
        requests, clients = self.belief.request, self.belief.client
        busy = {requests[live.slot, 0].client for live in self._live.values()}
        busy.add(self.belief.clock[0].client)
        oldest = self.now - self._guard.max_report_age_s
        for name, known in list(self._clients.items()):
            idle = clients[0, known.row].device_free <= self.now and known.row not in busy
            if idle and known.heard < oldest:
                self._free_rows.append(known.row)
                del self._clients[name]
        self._sweep_at = max(_SWEEP, 2 * len(self._clients))

    def _clock(self, time: float) -> float:
        """Move time on to that of an event; it never runs backwards."""
        if time < self.now:
            self._count("time ran backwards")
        self.now = max(self.now, float(time))
        return self.now

    def _count(self, anomaly: str) -> None:
        self.anomalies[anomaly] += 1


def _index(rows: dict[str, int], name: str, what: str) -> int:
    if name not in rows:
        raise ValueError(f"unknown {what} {name!r}; the bundle knows {', '.join(rows)}")
    return rows[name]
