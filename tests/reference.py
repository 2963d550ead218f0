"""A second simulator, slow and obvious, to hold against the compiled one.

Written from the contract (DESIGN sections 3 and 4, docs/decisions, the docstrings of
``splitenv.state``), not from the kernel; it shares with it the public tables and the drawn world
(who arrives when, how fast links and devices really are), and no physics. Where the contract leaves
a choice open, both have made this one:

Instants
    Within an instant GPUs fall idle first, then requests become ready, then dispatch acts, then
    one arrival is decided. An arrival in the same instant as the one before it is decided after
    what that one led to: a request that is ready at once may launch before its twin is decided.
Transfers
    An upload starts when the device head is done, a download when the batch reaches the boundary;
    the rate is integrated from there, and half the realised RTT follows, even for no bytes.
    Transfers of one client don't share its link. Both ways use the same realised RTT.
Devices
    A device serves in the order of commitment: heads and all-device runs at the decision, tails
    at the launch, in the order in which members joined the batch. A head or tail of no length
    doesn't wait for the device; an all-device run always does. What runs beside the cloud
    (``also``) starts at the arrival, takes the device from nobody, and only delays a tail that is
    not empty.
Prediction
    D is fixed at the decision, with the reported rates and RTT and the calibrated device speed (not
    z), and takes no account of how busy the device will be. Slack alone, which sets a hold's end,
    is that of a batch of one on the pool's first GPU, at the true ready time.
Launch times
    A queue is launched when a hold has ended, when the batch that would launch now is full, or when
    a slack runs out: that of a member that can still meet D, in that batch. One that does not fit
    into the batch is looked after by its own hold, which ends before its slack alone does. Requests
    that can no longer meet D have no slack to run out, but their holds end like others'. A launch
    comes ``EARLY``, less than any clock can tell, before the end of a slack, so that rounding can't
    make the batch fail that it was planned for.
    This simulator asks again at every event which launch is next; asking only when a request joins
    a queue, a GPU falls idle after none was, or a batch has left, comes to the same in a pool of
    one type of GPU.
Whose turn
    A model is due by the earliest D among its requests whose hold has ended; if there is none (full
    batch, slack run out) by its earliest D. Ties go to the lower model. GPUs are compared by the
    all-cloud time of the first model, alone.
Membership
    A member joins if everyone who could meet D alone then still meets it, itself included. Late
    ones, by D, join if they make nobody else late.
Late requests, ``late: drop``
    They are dropped when their model is launched, all of them, and so also end their holds by
    launching the others. They don't count towards a full batch.
No room
    A request that is sent to the cloud when as many are under way or waiting as the scheduler can
    hold is dropped, without device work. All-device always has room.
What can't be done
    A masked action is carried out as all-cloud without a hold.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from splitenv.state import Tables

EARLY = 1e-9
IN_TIME, LATE, DROPPED = 1, 2, 3
GPU_IDLE, READY, DISPATCH, ARRIVAL = range(4)


@dataclass
class Link:
    """One way of a client's link: the rate holds in blocks."""

    block: float
    phase: float
    draw: Callable[[int], float]
    rates: dict[int, float] = field(default_factory=dict)

    def rate(self, block: int) -> float:
        if block not in self.rates:
            self.rates[block] = self.draw(block)
        return self.rates[block]

    def finish(self, start: float, size: float) -> float:
        """When ``size`` bytes are through."""
        time, left = start, size
        block = math.floor(start / self.block + self.phase)
        while left > 0.0:
            rate = self.rate(block)
            end = max(time, (block + 1 - self.phase) * self.block)
            if left <= rate * (end - time):
                return time + left / rate
            left -= rate * (end - time)
            time = end
            block += 1
        return time


@dataclass
class Client:
    uplink: Link
    downlink: Link
    device_free: float = 0.0


@dataclass(eq=False)
class Request:
    """What is asked, by whom, what was reported, what is true; then what becomes of it."""

    index: int
    arrival: float
    deadline: float
    client: int
    device: int
    model: int
    sla: int
    speed: float
    reported_downlink: float
    reported_rtt: float
    z: float
    rtt: float
    placement: int = 0
    hold: float = 0.0
    first: int = 0
    last: int = 0
    gpu_deadline: float = math.nan
    expires: float = math.nan
    encoded: float = math.nan
    ready: float = math.nan
    start: float = math.nan
    finish: float = math.nan
    download: float = math.nan
    complete: float = math.nan
    gpu_seconds: float = 0.0
    cost: float = 0.0
    gpu: int = -1
    batch: int = 0
    launch: int = -1
    outcome: int = 0


def by_deadline(queue: list[Request]) -> list[Request]:
    return sorted(queue, key=lambda request: (request.gpu_deadline, request.index))


@dataclass
class World:
    """What was drawn for one episode."""

    requests: list[Request]
    clients: dict[int, Client]
    gpus: int
    room: int


class Reference:
    """One environment, from its first arrival until nothing is in flight."""

    def __init__(self, tables: Tables, world: World, actions: list[int]) -> None:
        self.tables = tables
        self.world = world
        self.actions = actions
        self.events: list[tuple[float, int, int]] = []
        self.queues: list[list[Request]] = [[] for _ in tables.placements]
        self.idle = [True] * world.gpus
        self.in_cloud = 0  # uploading or waiting
        self.launches = 0
        self.busy_seconds = 0.0

    def run(self) -> list[Request]:
        requests = self.world.requests
        for request in requests:
            self.at(request.arrival, ARRIVAL, request.index)
        while self.events:
            now, kind, index = heapq.heappop(self.events)
            if kind == GPU_IDLE:
                self.idle[index] = True
                self.at(now, DISPATCH)
            elif kind == READY:
                self.become_ready(requests[index], now)
                self.at(now, DISPATCH)
            elif kind == DISPATCH:
                self.dispatch(now)
            else:
                self.decide(requests[index], self.actions[index])
        return requests

    def at(self, time: float, kind: int, index: int = 0) -> None:
        heapq.heappush(self.events, (time, kind, index))

    # --- The decision, and what the client's device does about it.

    def decide(self, request: Request, action: int) -> None:
        tables = self.tables
        model, device = request.model, request.device
        placement, hold = int(tables.action_placement[action]), float(tables.action_hold[action])
        if not tables.can[device, model, placement]:
            placement, hold = int(tables.placements[model]) - 1, 0.0
        request.placement, request.hold = placement, hold
        head, tail, also = (
            float(table[device, model, placement])
            for table in (tables.head, tables.tail, tables.also)
        )
        begin = request.arrival + tables.control_delay
        if placement == 0:
            self.end(request, self.on_device(request, begin, request.z * head))
            return
        if self.in_cloud == self.world.room:
            request.finish = request.arrival
            self.drop(request)
            return
        self.in_cloud += 1
        request.first = int(tables.enter[model, placement])
        request.last = int(tables.exit[model, placement])
        size = float(tables.down[model, placement])
        download = request.reported_rtt / 2 + size / request.reported_downlink
        request.gpu_deadline = request.deadline - download - tail * request.speed
        sent = self.on_device(request, begin, request.z * head)
        uplink = self.world.clients[request.client].uplink
        request.ready = uplink.finish(sent, float(tables.up[model, placement])) + request.rtt / 2
        request.encoded = begin + request.z * also
        self.at(request.ready, READY, request.index)

    def on_device(self, request: Request, begin: float, seconds: float) -> float:
        """Run something on the client's device, after what it is committed to; return the end."""
        if seconds == 0.0 and request.placement > 0:
            return begin
        client = self.world.clients[request.client]
        client.device_free = max(begin, client.device_free) + seconds
        return client.device_free

    def become_ready(self, request: Request, now: float) -> None:
        alone = self.alone(request, int(self.tables.pool[0]))
        slack = request.gpu_deadline - now - alone
        request.expires = now + request.hold * max(0.0, slack)
        self.queues[request.model].append(request)

    # --- Batches.

    def time_line(self, batch: list[Request], kind: int) -> list[float]:
        """Seconds from launch to the end of each segment, after a first one: the overhead."""
        tables, model = self.tables, batch[0].model
        ends = [float(tables.overhead[kind])]
        for segment in range(int(tables.segments[model])):
            present = sum(request.first <= segment < request.last for request in batch)
            time = float(tables.segment_time[kind, model, segment, present]) if present else 0.0
            ends.append(ends[-1] + time)
        return ends

    def alone(self, request: Request, kind: int) -> float:
        return self.time_line([request], kind)[request.last]

    def can_meet(self, request: Request, kind: int, now: float) -> bool:
        return now + self.alone(request, kind) <= request.gpu_deadline

    def all_meet(self, batch: list[Request], kind: int, now: float) -> bool:
        """Whether each member that alone could meet D meets it in this batch."""
        ends = self.time_line(batch, kind)
        return all(
            now + ends[request.last] <= request.gpu_deadline
            for request in batch
            if self.can_meet(request, kind, now)
        )

    def form_batch(self, model: int, kind: int, now: float) -> list[Request]:
        """Whom a launch now would take."""
        queue = by_deadline(self.queues[model])
        candidates = [request for request in queue if self.can_meet(request, kind, now)]
        if not self.tables.drop_late:
            candidates += [request for request in queue if request not in candidates]
        batch: list[Request] = []
        for request in candidates:
            full = len(batch) == self.tables.limit[kind, model]
            if not full and self.all_meet([*batch, request], kind, now):
                batch.append(request)
        return batch

    # --- Dispatch.

    def dispatch(self, now: float) -> None:
        while any(self.queues):
            gpu = self.fastest_idle()
            if gpu is None:
                return  # the next one to fall idle dispatches
            kind = int(self.tables.pool[gpu])
            times = {
                model: self.launch_time(model, kind, now)
                for model, queue in enumerate(self.queues)
                if queue
            }
            if min(times.values()) > now:
                self.at(min(times.values()), DISPATCH)
                return
            due = [model for model, time in times.items() if time <= now]
            self.launch(min(due, key=lambda model: (self.urgency(model, now), model)), gpu, now)

    def fastest_idle(self) -> int | None:
        tables = self.tables

        def slowness(gpu: int) -> tuple[float, int]:
            segments = tables.segment_time[tables.pool[gpu], 0, : tables.segments[0], 1]
            return float(tables.overhead[tables.pool[gpu]] + segments.sum()), gpu

        return min((gpu for gpu, idle in enumerate(self.idle) if idle), key=slowness, default=None)

    def urgency(self, model: int, now: float) -> float:
        queue = self.queues[model]
        expired = [request for request in queue if request.expires <= now]
        return min(request.gpu_deadline for request in expired or queue)

    def launch_time(self, model: int, kind: int, now: float) -> float:
        """When to launch this queue if nothing else happens."""
        queue = self.queues[model]
        time = min(request.expires for request in queue)
        batch = self.form_batch(model, kind, now)
        if len(batch) == self.tables.limit[kind, model]:
            return now
        for request in batch:
            if self.can_meet(request, kind, now):
                leaves = self.time_line(batch, kind)[request.last]
                time = min(time, request.gpu_deadline - leaves - EARLY)
        return max(time, now)

    def launch(self, model: int, gpu: int, now: float) -> None:
        tables, queue = self.tables, self.queues[model]
        kind = int(tables.pool[gpu])
        if tables.drop_late:
            for request in by_deadline(queue):
                if not self.can_meet(request, kind, now):
                    self.leave_queue(request)
                    request.finish = now
                    self.drop(request)
        batch = self.form_batch(model, kind, now)
        if not batch:
            return
        ends = self.time_line(batch, kind)
        busy = ends[max(request.last for request in batch)]
        for request in batch:
            self.leave_queue(request)
            request.gpu, request.batch, request.launch = gpu, len(batch), self.launches
            request.start = now
            request.finish = now + ends[request.last]
            request.gpu_seconds = float(tables.overhead[kind]) / len(batch)
            for segment in range(request.first, request.last):
                present = sum(other.first <= segment < other.last for other in batch)
                time = float(tables.segment_time[kind, model, segment, present])
                request.gpu_seconds += time / present
            request.cost = request.gpu_seconds * float(tables.price[kind]) / tables.norm
            self.bring_home(request)
        self.launches += 1
        self.busy_seconds += busy
        self.idle[gpu] = False
        self.at(now + busy, GPU_IDLE, gpu)

    def leave_queue(self, request: Request) -> None:
        self.queues[request.model].remove(request)
        self.in_cloud -= 1

    # --- Ends.

    def bring_home(self, request: Request) -> None:
        downlink = self.world.clients[request.client].downlink
        size = float(self.tables.down[request.model, request.placement])
        request.download = downlink.finish(request.finish, size) + request.rtt / 2
        tail = request.z * float(self.tables.tail[request.device, request.model, request.placement])
        begin = request.download
        if tail > 0.0:
            begin = max(begin, request.encoded)
        self.end(request, self.on_device(request, begin, tail))

    def end(self, request: Request, complete: float) -> None:
        request.complete = complete
        request.outcome = IN_TIME
        if complete > request.deadline:
            request.outcome = LATE
            request.cost += self.tables.violation_price * float(self.tables.weight[request.sla])

    def drop(self, request: Request) -> None:
        request.complete = math.inf
        request.outcome = DROPPED
        request.cost = self.tables.violation_price * float(self.tables.weight[request.sla])
