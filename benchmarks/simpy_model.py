"""The queue of a scenario as a SimPy model: processes for arrivals, requests, dispatch and batches.

What one would write without the compiled simulator: the same physics (devices that serve in the
order of commitment, links whose rate holds in blocks, batches under the ``slack`` discipline),
random actions, dice of its own, and neither observations nor rewards. For scenarios of one model
with Poisson arrivals that serve late requests, such as ``sd-mobile``.
"""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

import simpy

from splitenv.scenario import Scenario
from splitenv.settings import build_settings
from splitenv.tables import build_tables

EARLY = 1e-9
"""Seconds by which a launch precedes the end of a slack, so that it does not fail by rounding."""

Process = Generator[simpy.Event, Any, None]


class Plant:
    """The public tables and the drawn distributions as plain numbers, which Python reads faster."""

    def __init__(self, scenario: Scenario) -> None:
        if len(scenario.models) > 1 or scenario.arrivals != "poisson" or scenario.late != "serve":
            raise ValueError(f"scenario {scenario.name} is not one that the SimPy model covers")
        tables, settings = build_tables(scenario), build_settings(scenario, randomise=False)
        self.scenario = scenario
        self.load = float(settings.load[0])
        self.length, self.warmup = settings.length, settings.warmup
        self.jitter, self.report_lag = settings.jitter, settings.report_lag
        self.device_share = settings.device_share.tolist()
        self.network_share = settings.network_share.tolist()
        self.session, self.rate = settings.session.tolist(), settings.rate.tolist()
        self.block, self.rtt = settings.block.tolist(), settings.rtt.tolist()
        self.report, self.normal = settings.report.tolist(), settings.normal.tolist()
        self.job_share, self.job_sla = settings.job_share.tolist(), settings.job_sla.tolist()
        self.deadline, self.control_delay = tables.deadline.tolist(), tables.control_delay
        self.action_placement = tables.action_placement.tolist()
        self.action_hold = tables.action_hold.tolist()
        self.mask = tables.mask[:, 0].tolist()
        self.enter, self.leave = tables.enter[0].tolist(), tables.exit[0].tolist()
        self.head, self.tail = tables.head[:, 0].tolist(), tables.tail[:, 0].tolist()
        self.also = tables.also[:, 0].tolist()
        self.up, self.down = tables.up[0].tolist(), tables.down[0].tolist()
        self.alone = tables.alone[0, 0, :, 1].tolist()
        self.overhead, self.limit = float(tables.overhead[0]), int(tables.limit[0, 0])
        self.segment_time: list[list[float]] = tables.segment_time[0, 0].tolist()


def choose(shares: list[float], dice: Random) -> int:
    """Draw an index by cumulative shares."""
    return bisect(shares, dice.random(), hi=len(shares) - 1)


class Link:
    """One way of a client's link; its rate holds in blocks of time, each drawn when first used."""

    def __init__(self, dice: Random, median: float, rates: list[float], block: float, phase: float):
        self.dice, self.median, self.rates = dice, median, rates
        self.block, self.phase = block, phase
        self.drawn: dict[int, float] = {}

    def rate(self, block: int) -> float:
        """Bytes/s in one block."""
        if block not in self.drawn:
            self.drawn[block] = self.median * self.dice.choice(self.rates)
        return self.drawn[block]

    def rate_at(self, time: float) -> float:
        """Bytes/s at a time."""
        return self.rate(int(time / self.block + self.phase))

    def seconds(self, start: float, size: float) -> float:
        """How long ``size`` bytes take from ``start`` on."""
        time = start
        block = int(start / self.block + self.phase)
        while size > (carried := self.rate(block) * (self._end(block) - time)):
            size -= carried
            time = self._end(block)
            block += 1
        return time + size / self.rate(block) - start if size > 0 else time - start

    def _end(self, block: int) -> float:
        return (block + 1 - self.phase) * self.block


class Client:
    """A member of the fleet: its device, which serves one thing at a time, and its links."""

    def __init__(self, env: simpy.Environment, plant: Plant, dice: Random) -> None:
        self.kind = choose(plant.device_share, dice)
        self.network = choose(plant.network_share, dice)
        phase = dice.random()
        normals = [1.0, *(dice.choice(plant.normal) for _ in range(3))]
        uplink, downlink, self.rtt = (
            math.exp(math.fsum(map(float.__mul__, factors, normals)))
            for factors in plant.session[self.network]
        )
        up, down = zip(plant.rate[self.network], plant.block[self.network], strict=True)
        self.uplink = Link(dice, uplink, *up, phase)
        self.downlink = Link(dice, downlink, *down, phase)
        self.device = simpy.Resource(env)


@dataclass(eq=False)
class Request:
    """A request on its way through the cloud."""

    index: int
    client: Client
    arrival: float
    deadline: float
    placement: int
    hold: float
    slowness: float
    rtt: float
    gpu_deadline: float
    left_gpu: simpy.Event
    expires: float = math.inf
    gpu_seconds: float = 0.0
    turn: Any = None

    @property
    def order(self) -> tuple[float, int]:
        """By GPU deadline, ties by arrival."""
        return self.gpu_deadline, self.index


class Batch:
    """A batch that is being formed: its members, how many each segment has, who limits its end."""

    def __init__(self, plant: Plant, start: float) -> None:
        self.plant, self.start = plant, start
        self.members: list[Request] = []
        self.present = [0] * len(plant.segment_time)
        self.until = [math.inf] * len(plant.segment_time)

    def ends(self, present: list[int]) -> list[float]:
        """When each segment ends, with so many members present."""
        seconds = map(list.__getitem__, self.plant.segment_time, present)
        return list(accumulate(seconds, initial=self.start + self.plant.overhead))[1:]

    def offer(self, request: Request, deadline: float) -> None:
        """Take a request in, unless it or a member would then miss its deadline."""
        first, last = self.plant.enter[request.placement], self.plant.leave[request.placement]
        present, until = self.present.copy(), self.until.copy()
        for segment in range(first, last):
            present[segment] += 1
        until[last - 1] = min(until[last - 1], deadline)
        if not self.members or all(map(float.__le__, self.ends(present), until)):
            self.members.append(request)
            self.present, self.until = present, until


@dataclass
class Sums:
    """What is counted of the requests between warm-up and cool-down."""

    requests: int = 0
    in_time: int = 0
    gpu_seconds: float = 0.0


class Model:
    """One episode: the processes, and what they share."""

    def __init__(self, plant: Plant, seed: int) -> None:
        self.plant = plant
        self.dice = Random(seed)
        self.env = simpy.Environment()
        count = plant.scenario.clients.count
        self.clients = [Client(self.env, plant, self.dice) for _ in range(count)]
        self.gpus = simpy.Resource(self.env, plant.scenario.pool.count)
        self.queue: list[Request] = []
        self.joined = self.env.event()
        self.in_cloud = 0
        self.sums = Sums()

    def run(self) -> Sums:
        """Run the episode until nothing is in flight."""
        self.env.process(self.arrivals())
        self.env.process(self.dispatcher())
        self.env.run()
        return self.sums

    def arrivals(self) -> Process:
        """Requests arrive, each a process of its own."""
        for index in range(self.plant.length):
            yield self.env.timeout(self.dice.expovariate(self.plant.load))
            self.env.process(self.request(index))

    def request(self, index: int) -> Process:
        """The life of a request: decision, device or cloud, end."""
        request = self.decided(index)
        dropped = request.placement > 0 and self.in_cloud == self.plant.scenario.queue
        if request.placement == 0:
            yield from self.on_the_device(request)
        elif not dropped:
            self.in_cloud += 1
            yield from self.in_the_cloud(request)
        self.count(request, dropped)

    def decided(self, index: int) -> Request:
        """Draw who asks for what, and a random action."""
        plant, dice, now = self.plant, self.dice, self.env.now
        client = dice.choice(self.clients)
        action = dice.randrange(len(plant.action_placement))
        placement, hold = plant.action_placement[action], plant.action_hold[action]
        if not plant.mask[client.kind][action]:
            placement, hold = len(plant.alone) - 1, 0.0
        deadline = now + plant.deadline[plant.job_sla[choose(plant.job_share, dice)]]
        reported_rtt = client.rtt * dice.choice(plant.rtt[client.network])
        known_rate = client.downlink.rate_at(max(0.0, now - plant.report_lag))
        reported_rate = max(known_rate * dice.choice(plant.report), 1e3)
        return Request(
            index=index,
            client=client,
            arrival=now,
            deadline=deadline,
            placement=placement,
            hold=hold,
            slowness=1 + plant.jitter * (sum(dice.random() for _ in range(3)) / 1.5 - 1),
            rtt=client.rtt * dice.choice(plant.rtt[client.network]),
            gpu_deadline=deadline
            - (0.5 * reported_rtt + plant.down[placement] / reported_rate)
            - plant.tail[client.kind][placement],
            left_gpu=self.env.event(),
        )

    def on_the_device(self, request: Request) -> Process:
        """All-device."""
        begin = request.arrival + self.plant.control_delay
        seconds = self.plant.head[request.client.kind][0]
        yield from self.use_device(request, request.client.device.request(), begin, seconds)

    def in_the_cloud(self, request: Request) -> Process:
        """Device head, upload, queue, batch, download, device tail."""
        plant, client, placement = self.plant, request.client, request.placement
        begin = request.arrival + plant.control_delay
        if head := plant.head[client.kind][placement]:
            yield from self.use_device(request, client.device.request(), begin, head)
        start = max(begin, self.env.now)
        sent = start + client.uplink.seconds(start, plant.up[placement]) + 0.5 * request.rtt
        yield self.env.timeout(sent - self.env.now)
        self.join(request)
        yield request.left_gpu
        download = client.downlink.seconds(self.env.now, plant.down[placement])
        yield self.env.timeout(download + 0.5 * request.rtt)
        if request.turn is not None:
            encoded = begin + request.slowness * plant.also[client.kind][placement]
            tail = plant.tail[client.kind][placement]
            yield from self.use_device(request, request.turn, encoded, tail)

    def use_device(self, request: Request, turn: Any, begin: float, seconds: float) -> Process:
        """Run something on the device, in its turn and not before ``begin``."""
        yield turn
        wait = max(0.0, begin - self.env.now)
        yield self.env.timeout(wait + request.slowness * seconds)
        request.client.device.release(turn)

    def join(self, request: Request) -> None:
        """A request is ready: it joins the queue and its hold starts."""
        now = self.env.now
        slack = request.gpu_deadline - now - self.plant.alone[request.placement]
        request.expires = now + request.hold * max(0.0, slack)
        insort(self.queue, request, key=lambda waiting: waiting.order)
        self.joined.succeed()
        self.joined = self.env.event()

    def dispatcher(self) -> Process:
        """Whenever requests wait and a GPU is idle: launch when it is time to."""
        while True:
            if not self.queue:
                yield self.joined
            gpu = self.gpus.request()
            yield gpu
            while (at := self.launch_time()) > self.env.now:
                yield self.joined | self.env.timeout(at - self.env.now)
            self.launch(gpu)

    def launch_time(self) -> float:
        """When to launch if nobody joins: a hold or a slack ends, or the batch is full."""
        now = self.env.now
        at = min(request.expires for request in self.queue)
        if at <= now:
            return now
        batch = self.form_batch()
        if len(batch.members) == self.plant.limit:
            return now
        ends = batch.ends(batch.present)
        for segment, until in enumerate(batch.until):
            at = min(at, now + until - ends[segment] - EARLY)
        return max(at, now)

    def form_batch(self) -> Batch:
        """Whom a launch now would take: by D who can still meet it, then who can't."""
        batch = Batch(self.plant, self.env.now)
        late = []
        for request in self.queue:
            if len(batch.members) == self.plant.limit:
                return batch
            if self.env.now + self.plant.alone[request.placement] > request.gpu_deadline:
                late.append(request)
            else:
                batch.offer(request, request.gpu_deadline)
        for request in late:
            if len(batch.members) == self.plant.limit:
                return batch
            batch.offer(request, math.inf)
        return batch

    def launch(self, gpu: Any) -> None:
        """Take a batch out of the queue; tails take their devices' turns now, in its order."""
        batch = self.form_batch()
        taken = set(map(id, batch.members))
        self.queue = [request for request in self.queue if id(request) not in taken]
        self.in_cloud -= len(taken)
        for request in batch.members:
            if self.plant.tail[request.client.kind][request.placement]:
                request.turn = request.client.device.request()
        self.env.process(self.batch(batch, gpu))

    def batch(self, batch: Batch, gpu: Any) -> Process:
        """Run a batch: members leave at their boundaries, the last one frees the GPU."""
        leaving: dict[int, list[Request]] = defaultdict(list)
        for request in batch.members:
            leaving[self.plant.leave[request.placement] - 1].append(request)
        ends = batch.ends(batch.present)
        for segment in sorted(leaving):
            yield self.env.timeout(ends[segment] - self.env.now)
            for request in leaving[segment]:
                request.gpu_seconds = self.share(batch, request)
                request.left_gpu.succeed()
        self.gpus.release(gpu)

    def share(self, batch: Batch, request: Request) -> float:
        """GPU seconds of a member: each segment's time is shared by those present."""
        first, last = self.plant.enter[request.placement], self.plant.leave[request.placement]
        return self.plant.overhead / len(batch.members) + sum(
            self.plant.segment_time[segment][batch.present[segment]] / batch.present[segment]
            for segment in range(first, last)
        )

    def count(self, request: Request, dropped: bool = False) -> None:
        """A request has come to its end."""
        if not self.plant.warmup <= request.index < self.plant.length - self.plant.warmup:
            return
        sums = self.sums
        sums.requests += 1
        sums.in_time += not dropped and self.env.now <= request.deadline
        sums.gpu_seconds += request.gpu_seconds
