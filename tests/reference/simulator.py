"""Events, decisions and what they cost: all that both ways of serving have in common."""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from splitenv.disciplines import DISCIPLINES
from splitenv.state import Tables
from tests.reference.disciplines import RULES, by_deadline
from tests.reference.world import LEAST_REPORT, Request, World, start_up

IN_TIME, LATE, DROPPED = 1, 2, 3
GPU_EVENT, READY, DISPATCH, ARRIVAL = range(4)


@dataclass
class Gpu:
    """One GPU, and in continuous serving what it is about."""

    number: int
    type: int
    idle: bool = True
    aboard: list[Aboard] = field(default_factory=list)
    launch: int = -1
    starting: bool = False  # the overhead of a start runs
    boundary: float = math.nan  # the last one
    next_boundary: float = math.nan
    look: bool = False  # whether to take in at the first boundary from now on


@dataclass
class Aboard:
    """A member, or one who might become one, and the unit that it needs next."""

    request: Request
    unit: int


@dataclass
class Plan:
    """When a model is to launch on a GPU of some type."""

    time: float
    gpu_type: int


class Reference(ABC):
    """One environment; how it serves is for its subclasses to say."""

    def __init__(self, tables: Tables, world: World, actions: list[int]) -> None:
        self.tables = tables
        self.world = world
        self.actions = actions
        names = {number: name for name, number in DISCIPLINES.items()}
        self.rule = RULES[names[int(tables.discipline)]]()
        self.drops_late = self.rule.always_drops_late or bool(tables.drop_late)
        self.events: list[tuple[float, int, int]] = []
        self.gpus = [Gpu(number, int(tables.pool[number])) for number in range(world.gpus)]
        self.queues: list[list[Request]] = [[] for _ in tables.placements]
        self.plans: list[Plan | None] = [None for _ in tables.placements]
        self.in_cloud = 0  # on their way, ready or, in continuous serving, aboard
        self.overflow = 0
        self.launches = 0
        self.busy_seconds = 0.0

    @property
    def requests(self) -> list[Request]:
        return self.world.requests

    def run(self) -> None:
        for request in self.requests:
            self.at(request.arrival, ARRIVAL, request.index)
        while self.events:
            now, kind, index = heapq.heappop(self.events)
            if kind == GPU_EVENT:
                self.gpu_event(self.gpus[index], now)
            elif kind == READY:
                self.become_ready(self.requests[index], now)
                self.at(now, DISPATCH)
            elif kind == DISPATCH:
                self.dispatch(now)
            else:
                self.decide(self.requests[index], self.actions[index])

    def at(self, time: float, kind: int, index: int = 0) -> None:
        heapq.heappush(self.events, (time, kind, index))

    # --- The decision, and what the client's device does about it.

    def decide(self, request: Request, action: int) -> None:
        tables = self.tables
        client = self.world.clients[request.client]
        self.report(request)
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
            self.end(request, client.device.work(begin, head, request.z))
            request.begin = client.device.started
            return
        if self.in_cloud == self.world.room:
            self.overflow += 1
            self.drop(request, request.arrival)
            return
        self.in_cloud += 1
        request.first = int(tables.enter[model, placement])
        request.last = int(tables.exit[model, placement])
        size = float(tables.down[model, placement])
        start = start_up(size, request.downlink, request.rtt, tables.initial_window)
        download = request.rtt / 2 + start + size / request.downlink
        request.promised_download = download
        request.gpu_deadline = request.deadline - download - tail * request.speed
        request.sent = begin
        if head > 0.0:
            request.sent = client.device.work(begin, head, request.z)
            request.begin = client.device.started
        size = float(tables.up[model, placement])
        window = tables.initial_window
        request.ready = client.uplink.transfer(request.sent, size, request.true_rtt, window)
        request.encoded = begin + also * client.device.speed * request.z
        self.at(request.ready, READY, request.index)

    def report(self, request: Request) -> None:
        """What the client measured last."""
        client = self.world.clients[request.client]
        measured_at = max(0.0, request.arrival - self.world.report_lag)
        uplink = client.uplink.rate_at(measured_at) * request.uplink_error
        downlink = client.downlink.rate_at(measured_at) * request.downlink_error
        request.uplink, request.downlink = max(uplink, LEAST_REPORT), max(downlink, LEAST_REPORT)
        request.speed = client.device.report(request.arrival)

    def become_ready(self, request: Request, now: float) -> None:
        """Join the queue; the hold is a share of the slack alone, on the first type."""
        slack = request.gpu_deadline - now - self.alone(request, 0)
        request.expires = now + request.hold * max(0.0, slack)
        self.queues[request.model].append(request)
        self.plans[request.model] = None

    # --- Batches.

    def time_line(self, batch: list[Request], gpu_type: int, spare: int = 0) -> list[float]:
        """Seconds from launch to the end of each segment, after a first one: the overhead.

        ``spare`` more members are present wherever the first member is.
        """
        tables, model = self.tables, batch[0].model
        ends = [float(tables.overhead[gpu_type])]
        for segment in range(int(tables.segments[model])):
            present = sum(request.first <= segment < request.last for request in batch)
            if batch[0].first <= segment < batch[0].last:
                present += spare
            time = float(tables.segment_time[gpu_type, model, segment, present])
            ends.append(ends[-1] + (time if present else 0.0))
        return ends

    def alone(self, request: Request, gpu_type: int) -> float:
        return self.time_line([request], gpu_type)[request.last]

    def can_meet(self, request: Request, gpu_type: int, now: float) -> bool:
        return now + self.alone(request, gpu_type) <= request.gpu_deadline

    def late(self, request: Request, now: float) -> bool:
        """Whether it can't meet D on any type of the pool."""
        return not any(self.can_meet(request, gpu.type, now) for gpu in self.gpus)

    def hopeless(self, request: Request, now: float) -> bool:
        """Whether it can't even leave any of them in time for an answer that travels at once."""
        last = request.gpu_deadline + request.promised_download
        return all(now + self.alone(request, gpu.type) > last for gpu in self.gpus)

    def candidates(self, queue: list[Request], gpu_type: int, now: float) -> list[Request]:
        """Who may join a batch, first those who can meet D on this type, then on another."""

        def group(request: Request) -> int:
            if self.can_meet(request, gpu_type, now):
                return 0
            return 2 if self.late(request, now) else 1

        ordered = [
            request
            for request in by_deadline(queue)
            if not (self.drops_late and self.hopeless(request, now))
        ]
        return sorted(ordered, key=group)

    # --- Dispatch.

    def dispatch(self, now: float) -> None:
        """Busy GPUs take members in, then idle ones launch until nothing more is due."""
        self.take_in_at_boundaries(now)
        while any(self.queues):
            gpu = self.fastest_idle()
            if gpu is None:
                return  # the next one to fall idle dispatches
            times = {model: self.plan(model, gpu, now) for model, _ in self.waiting()}
            if min(times.values()) > now:
                self.at(min(times.values()), DISPATCH)
                return
            due = [model for model, time in times.items() if time <= now]
            urgency = {model: self.rule.urgency(self, model, now) for model in due}
            self.launch(min(due, key=lambda model: (urgency[model], model)), gpu, now)

    def waiting(self) -> list[tuple[int, list[Request]]]:
        return [(model, queue) for model, queue in enumerate(self.queues) if queue]

    def fastest_idle(self) -> Gpu | None:
        tables = self.tables

        def slowness(gpu: Gpu) -> tuple[float, int]:
            return float(tables.alone[gpu.type, 0, tables.placements[0] - 1, 1]), gpu.number

        return min((gpu for gpu in self.gpus if gpu.idle), key=slowness, default=None)

    def plan(self, model: int, gpu: Gpu, now: float) -> float:
        """When the model is to launch on this GPU; what was planned stands until it is undone."""
        plan = self.plans[model]
        if plan is None or plan.gpu_type != gpu.type:
            time = self.rule.launch_time(self, model, gpu.type, now)
            plan = self.plans[model] = Plan(time, gpu.type)
        return plan.time

    def fall_idle(self, gpu: Gpu) -> None:
        gpu.idle = True
        self.plans = [None for _ in self.plans]

    def leave_queue(self, request: Request) -> None:
        self.queues[request.model].remove(request)
        self.plans[request.model] = None

    @abstractmethod
    def gpu_event(self, gpu: Gpu, now: float) -> None:
        """A batch ends, or an iteration."""

    @abstractmethod
    def take_in_at_boundaries(self, now: float) -> None: ...

    @abstractmethod
    def would_take(self, model: int, gpu_type: int, now: float) -> list[tuple[Request, float]]:
        """Whom a launch of this model now would take; seconds from launch until each leaves."""

    @abstractmethod
    def launch(self, model: int, gpu: Gpu, now: float) -> None: ...

    # --- Ends.

    def pay(self, request: Request, gpu_type: int) -> None:
        tables = self.tables
        request.cost += request.gpu_seconds * float(tables.price[gpu_type]) / tables.norm

    def bring_home(self, request: Request) -> None:
        """Download, then the tail on the device."""
        tables, client = self.tables, self.world.clients[request.client]
        self.in_cloud -= 1
        size = float(tables.down[request.model, request.placement])
        tail = float(tables.tail[request.device, request.model, request.placement])
        window = tables.initial_window
        finish, rtt = request.finish, request.true_rtt
        request.download = client.downlink.transfer(finish, size, rtt, window)
        if tail == 0.0:
            self.end(request, request.download)
            return
        begin = max(request.download, request.encoded)
        self.end(request, client.device.work(begin, tail, request.z))
        request.resume = client.device.started

    def end(self, request: Request, complete: float) -> None:
        request.complete = complete
        request.outcome = IN_TIME
        if complete > request.deadline:
            request.outcome = LATE
            request.cost += self.tables.violation_price * float(self.tables.weight[request.sla])

    def drop_from_queue(self, request: Request, now: float) -> None:
        self.leave_queue(request)
        self.in_cloud -= 1
        self.drop(request, now)

    def drop(self, request: Request, now: float) -> None:
        request.finish = now
        request.complete = math.inf
        request.outcome = DROPPED
        request.cost = self.tables.violation_price * float(self.tables.weight[request.sla])
