"""The world that a simulated episode meets: links, devices, who asks for what."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from splitenv.truth import HEAT

LEAST_REPORT = 1e3  # bytes/s


def kept(heat: float) -> float:
    """In the precision in which the truth keeps it."""
    return float(HEAT["heat"].type(heat))


@dataclass
class Link:
    """One way of a client's link; its k-th block ends ``(k + 1 - phase) * block`` seconds in."""

    block: float
    phase: float
    rate_in: Callable[[int], float]

    def block_at(self, time: float) -> int:
        return math.floor(time / self.block + self.phase)

    def rate_at(self, time: float) -> float:
        return self.rate_in(self.block_at(time))

    def through(self, start: float, size: float) -> float:
        """When ``size`` bytes that flow from ``start`` on are through."""
        time, left, block = start, size, self.block_at(start)
        while left > 0.0:
            rate = self.rate_in(block)
            end = max(time, (block + 1 - self.phase) * self.block)
            if left <= rate * (end - time):
                return time + left / rate
            left -= rate * (end - time)
            time = end
            block += 1
        return time

    def transfer(self, start: float, size: float, rtt: float, window: float) -> float:
        """When a transfer is done: start-up, the bytes, half a round trip."""
        flows = start + start_up(size, self.rate_at(start), rtt, window)
        return self.through(flows, size) + rtt / 2


def start_up(size: float, rate: float, rtt: float, window: float) -> float:
    """Seconds for which a TCP sender waits for answers before it fills the link; 0 if warm."""
    if window == 0.0:
        return 0.0
    wait = sent = 0.0
    while sent + window < size and window < rate * rtt:
        wait += rtt - window / rate
        sent += window
        window *= 2
    return wait


@dataclass
class Device:
    """A client's device, which does one piece of work after the other."""

    speed: float = 1.0  # of the episode
    warm: float = 1.0  # slowdown once it is warm through
    warms_in: float = 1.0  # time constant, s
    background: Callable[[int], float] = lambda block: 1.0
    block: float = math.inf
    phase: float = 0.0
    free: float = 0.0
    started: float = math.nan  # the last piece of work
    heat: float = 0.0  # when it last fell idle
    reported: float = 1.0  # slowdown that it measured when it last was idle

    def heat_at(self, time: float) -> float:
        return self.heat * math.exp(-(time - self.free) / self.warms_in)

    def report(self, now: float) -> float:
        """Its speed as its client knows it."""
        if self.free <= now:
            self.reported = kept(1.0 / (1.0 - (1.0 - 1.0 / self.warm) * self.heat_at(now)))
        return self.speed * self.reported

    def work(self, begin: float, seconds: float, z: float) -> float:
        """Do after all else what takes so long at the profile's speed; return when it is done."""
        self.started = start = max(begin, self.free)
        beside = self.background(math.floor(start / self.block + self.phase))
        heat = self.heat_at(start)
        busy = self.busy_for(seconds * self.speed * z * beside, heat)
        self.heat = kept(1.0 - (1.0 - heat) * math.exp(-busy / self.warms_in))
        self.free = start + busy
        return self.free

    def busy_for(self, cold_seconds: float, heat: float) -> float:
        """Seconds in which it does what would take so long if it stayed cold."""
        lost, constant = 1.0 - 1.0 / self.warm, self.warms_in
        if lost == 0.0:
            return cold_seconds

        def done_in(time: float) -> float:
            warm_time = time - (1.0 - heat) * constant * -math.expm1(-time / constant)
            return time - lost * warm_time

        too_short, enough = cold_seconds, cold_seconds * self.warm
        while too_short < (middle := (too_short + enough) / 2) < enough:
            if done_in(middle) < cold_seconds:
                too_short = middle
            else:
                enough = middle
        return enough


@dataclass
class Client:
    uplink: Link
    downlink: Link
    device: Device = field(default_factory=Device)


@dataclass(eq=False)
class Request:
    """What is asked, by whom, how far reports are off, what is true; then what becomes of it."""

    index: int
    arrival: float
    deadline: float
    client: int
    device: int
    model: int
    sla: int
    z: float
    true_rtt: float
    rtt: float  # as reported
    uplink_error: float = 1.0
    downlink_error: float = 1.0
    uplink: float = math.nan  # as reported
    downlink: float = math.nan
    speed: float = math.nan
    placement: int = 0
    hold: float = 0.0
    first: int = 0  # segments on the GPU
    last: int = 0
    gpu_deadline: float = math.nan
    promised_download: float = math.nan
    expires: float = math.nan
    encoded: float = math.nan
    begin: float = math.nan
    sent: float = math.nan
    ready: float = math.nan
    start: float = math.nan
    finish: float = math.nan
    download: float = math.nan
    resume: float = math.nan
    complete: float = math.nan
    gpu_seconds: float = 0.0
    cost: float = 0.0
    gpu: int = -1
    batch: int = 0
    launch: int = -1
    outcome: int = 0


@dataclass
class World:
    """What was drawn for one episode, and what its scenario says of the system around it."""

    requests: list[Request]
    clients: dict[int, Client]
    gpus: int
    room: int = 4096
    report_lag: float = 0.0
