"""What the scheduler can't know: who asks when, how fast links and devices really are.

Compiled by the kernel, see :mod:`splitenv.draws` for why nothing here depends on actions.
"""

from __future__ import annotations

import numpy as np

from splitenv import draws
from splitenv.draws import (
    bits,
    choose,
    exponential,
    log_uniform,
    mix,
    pair,
    quantile,
    stream,
    uniform,
)
from splitenv.physics import start_up
from splitenv.state import Belief, Tables
from splitenv.truth import Settings, Truth

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LOW_21, _SHIFT_21 = np.uint64(2**21 - 1), np.uint64(21)
_HOUR = 3600.0
REPORT_FLOOR = 1e3
"""Least rate that a client reports, bytes/s: during an outage it still reports something."""
_MOST_BLOCKS = 100_000


def new_episode(settings: Settings, truth: Truth, env: int, stagger: bool) -> int:
    """Draw what defines an episode; return the number of GPUs in its pool."""
    world = truth.world[env]
    world.episode += 1
    key = mix(world.seed + _GOLDEN * np.uint64(world.episode))
    world.index = 0
    world.decisions = 0
    world.length = settings.length
    if stagger:
        world.length = 1 + int(uniform(stream(key, draws.AGE), 0) * settings.length)
    world.load = log_uniform(settings.load, stream(key, draws.LOAD))
    world.bandwidth = log_uniform(settings.bandwidth, stream(key, draws.BANDWIDTH))
    world.device_speed = log_uniform(settings.device_speed, stream(key, draws.DEVICE_SPEED))
    world.start = uniform(stream(key, draws.START), 0) * 24 * _HOUR
    world.phase = int(uniform(stream(key, draws.PHASE), 0) * settings.phase_rate.shape[0])
    world.phases = 0
    world.phase_end = settings.phase_dwell[world.phase] * exponential(stream(key, draws.DWELL), 0)
    world.rate_until = 0.0
    world.replay_from = int(uniform(stream(key, draws.REPLAY), 0) * settings.replay.shape[0])
    open_streams(truth, env, key)
    world.next_client = who_asks(settings, truth, env, 0)
    world.done = 0
    world.overflow = 0
    world.paid_gpu = 0.0
    world.paid_violation = 0.0
    spread = settings.gpus[1] - settings.gpus[0] + 1
    return settings.gpus[0] + int(uniform(stream(key, draws.GPUS), 0) * spread)


def open_streams(truth: Truth, env: int, key: np.uint64) -> None:
    """Draw from now on with this key."""
    world = truth.world[env]
    world.key = key
    world.gaps = stream(key, draws.GAP)
    world.clients = stream(key, draws.CLIENT)
    world.jobs = stream(key, draws.JOB)
    world.slownesses = stream(key, draws.SLOWNESS)
    world.rtts = stream(key, draws.RTT)
    world.rtt_reports = stream(key, draws.RTT_REPORT)
    world.rate_reports = stream(key, draws.RATE_REPORT)
    world.uplinks = stream(key, draws.UPLINK)
    world.downlinks = stream(key, draws.DOWNLINK)


def next_arrival(settings: Settings, truth: Truth, env: int, now: float) -> float:
    """Time of the next arrival after ``now``.

    The renewal gap, of mean 1, is spent at the rate load x phase x hour x step: a renewal process
    in operational time, which for exponential gaps is a Markov-modulated Poisson process. Recorded
    gaps are spent at the load alone: they have their own ups and downs.
    """
    world = truth.world[env]
    recorded = settings.replay.shape[0]
    if recorded > 0:
        return now + settings.replay[(world.replay_from + world.index) % recorded] / world.load
    if settings.gap.shape[0] > 0:
        gap = quantile(settings.gap, world.gaps, world.index)
    else:
        gap = exponential(world.gaps, world.index)
    time = now
    while True:
        if time >= world.rate_until:
            _change_rate(settings, truth, env, time)
        work = world.rate * (world.rate_until - time)
        if gap <= work:
            return time + gap / world.rate
        gap -= work
        time = world.rate_until


def _change_rate(settings: Settings, truth: Truth, env: int, time: float) -> None:
    """Find the rate of arrivals from ``time`` on, and until when it holds."""
    world = truth.world[env]
    if time >= world.phase_end:
        world.phase = (world.phase + 1) % settings.phase_rate.shape[0]
        world.phases += 1
        dwell = exponential(stream(world.key, draws.DWELL), world.phases)
        world.phase_end = time + settings.phase_dwell[world.phase] * dwell
    hours = int((world.start + time) / _HOUR)
    end = min(world.phase_end, (hours + 1) * _HOUR - world.start)
    step = 0
    while step + 1 < settings.step_at.shape[0] and settings.step_at[step + 1] <= time:
        step += 1
    if step + 1 < settings.step_at.shape[0]:
        end = min(end, settings.step_at[step + 1])
    rate = world.load * settings.phase_rate[world.phase] * settings.hour_rate[hours % 24]
    world.rate = rate * settings.step_rate[step]
    world.rate_until = end


def draw_client(settings: Settings, truth: Truth, env: int, index: int) -> None:
    """Draw a client's device and network session, at its first request in an episode."""
    world = truth.world[env]
    client = truth.client[env, index]
    if client.episode == world.episode:
        return
    key = world.key
    client.episode = world.episode
    client.device_free = 0.0
    client.device = choose(settings.device_share, stream(key, draws.DEVICE), index)
    if settings.throttles:
        truth.heat[env, index].heat = 0.0
        truth.heat[env, index].reported = 1.0
    network = choose(settings.network_share, stream(key, draws.NETWORK), index)
    client.network = network
    if settings.series_span[network, 1] > 0:
        client.phase = 0.0
        client.uplink = world.bandwidth
        client.downlink = world.bandwidth
        client.rtt = settings.series[_series_row(settings, truth, env, index, 0), 2]
        return
    client.phase = uniform(stream(key, draws.BLOCK_PHASE), index)
    a = quantile(settings.normal, stream(key, draws.SESSION_A), index)
    b = quantile(settings.normal, stream(key, draws.SESSION_B), index)
    c = quantile(settings.normal, stream(key, draws.SESSION_C), index)
    client.uplink = world.bandwidth * np.exp(_session(settings, network, 0, a, b, c))
    client.downlink = world.bandwidth * np.exp(_session(settings, network, 1, a, b, c))
    client.rtt = np.exp(_session(settings, network, 2, a, b, c))


def _session(settings: Settings, network: int, row: int, a: float, b: float, c: float) -> float:
    """One of three jointly normal logs, from three independent normals (Cholesky)."""
    factors = settings.session[network, row]
    return factors[0] + factors[1] * a + factors[2] * b + factors[3] * c


def link_rate(
    settings: Settings, truth: Truth, env: int, index: int, way: int, block: int
) -> float:
    """Rate of a client's link in one block of time, bytes/s; ``way`` 0 is up, 1 is down."""
    client = truth.client[env, index]
    median = client.uplink if way == 0 else client.downlink
    if settings.series_span[client.network, 1] > 0:
        return median * settings.series[_series_row(settings, truth, env, index, block), way]
    world = truth.world[env]
    rates = world.uplinks if way == 0 else world.downlinks
    return median * quantile(settings.rate[client.network, way], rates, pair(index, block))


def _series_row(settings: Settings, truth: Truth, env: int, index: int, block: int) -> int:
    """Row of a client's recorded network in one block of time."""
    span = settings.series_span[truth.client[env, index].network]
    offset = int(uniform(stream(truth.world[env].key, draws.SERIES), index) * span[1])
    return span[0] + (offset + block) % span[1]


def transfer(
    tables: Tables,
    settings: Settings,
    truth: Truth,
    env: int,
    index: int,
    way: int,
    start: float,
    size: float,
    rtt: float,
) -> float:
    """When a client's transfer that starts at ``start`` is through, its half RTT included."""
    if tables.initial_window > 0.0:
        client = truth.client[env, index]
        block = int(start / settings.block[client.network, way] + client.phase)
        rate = link_rate(settings, truth, env, index, way, block)
        start += start_up(tables.initial_window, rate, rtt, size)
    return transfer_finish(settings, truth, env, index, way, start, size) + 0.5 * rtt


def transfer_finish(
    settings: Settings, truth: Truth, env: int, index: int, way: int, start: float, size: float
) -> float:
    """When ``size`` bytes that start at ``start`` are through, by the integral of the rate."""
    client = truth.client[env, index]
    hold = settings.block[client.network, way]
    block = int(start / settings.block[client.network, way] + client.phase)
    time = start
    left = size
    for _ in range(_MOST_BLOCKS):
        rate = link_rate(settings, truth, env, index, way, block)
        end = max((block + 1 - client.phase) * hold, time)
        if left <= rate * (end - time):
            return time + left / rate if rate > 0.0 else time
        left -= rate * (end - time)
        time = end
        block += 1
    return time


def _reported_rate(
    settings: Settings, truth: Truth, env: int, index: int, way: int, now: float
) -> float:
    world = truth.world[env]
    client = truth.client[env, index]
    measured_at = max(0.0, now - settings.report_lag)
    block = int(measured_at / settings.block[client.network, way] + client.phase)
    rate = link_rate(settings, truth, env, index, way, block)
    error = quantile(settings.report, world.rate_reports, pair(way, world.index))
    return max(rate * error, REPORT_FLOOR)


def report_request(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> None:
    """A request arrives: its client says who it is and what it measured last."""
    world = truth.world[env]
    clock = belief.clock[env]
    index = world.next_client
    world.next_client = who_asks(settings, truth, env, world.index + 1)
    draw_client(settings, truth, env, index)
    client = truth.client[env, index]
    job = choose(settings.job_share, world.jobs, world.index)
    clock.arrival = now
    clock.client = index
    clock.device = client.device
    clock.model = settings.job_model[job]
    clock.sla = settings.job_sla[job]
    clock.deadline = now + tables.deadline[clock.sla]
    clock.speed = world.device_speed
    if settings.throttles:
        clock.speed *= _reported_slowdown(settings, truth, env, index, now)
    clock.uplink = _reported_rate(settings, truth, env, index, 0, now)
    clock.downlink = _reported_rate(settings, truth, env, index, 1, now)
    clock.up_pace = 1.0 / clock.uplink
    clock.down_pace = 1.0 / clock.downlink
    measured = quantile(settings.rtt[client.network], world.rtt_reports, world.index)
    clock.rtt = client.rtt * measured


def _reported_slowdown(settings: Settings, truth: Truth, env: int, index: int, now: float) -> float:
    """What a client last measured of its device's throttling: now if it is idle, else before."""
    client = truth.client[env, index]
    heat = truth.heat[env, index]
    slowdown = settings.throttle[client.device]
    if slowdown > 1.0 and client.device_free <= now:
        cooled = heat.heat * np.exp(
            (client.device_free - now) / settings.throttle_time[client.device]
        )
        heat.reported = 1.0 / (1.0 - (1.0 - 1.0 / slowdown) * cooled)
    return heat.reported


def run_on_device(
    settings: Settings, truth: Truth, env: int, index: int, begin: float, work: float
) -> tuple[float, float]:
    """Run ``work`` (seconds on a cold device at rest) on a client's device: start and end."""
    client = truth.client[env, index]
    start = max(begin, client.device_free)
    if settings.background.shape[0] > 1:
        block = int(start / settings.background_block + client.phase)
        key = truth.world[env].key
        work *= quantile(settings.background, stream(key, draws.BACKGROUND), pair(index, block))
    time = work
    if settings.throttles:
        slowdown = settings.throttle[client.device]
        if slowdown > 1.0:
            span = settings.throttle_time[client.device]
            heat = truth.heat[env, index]
            warm = heat.heat * np.exp((client.device_free - start) / span)
            time = throttled(work, warm, slowdown, span)
            heat.heat = 1.0 - (1.0 - warm) * np.exp(-time / span)
    client.device_free = start + time
    return start, client.device_free


def throttled(work: float, warm: float, slowdown: float, span: float) -> float:
    """Seconds that ``work`` takes on a device that starts with heat ``warm``.

    Solves ``work = t - c (t - (1 - warm) span (1 - exp(-t / span)))`` with ``c = 1 - 1 / slowdown``
    by Newton's method: the work done is concave in time, so from below it only ever comes closer.
    """
    lost = 1.0 - 1.0 / slowdown
    time = work
    for _ in range(50):
        left = np.exp(-time / span)
        done = time - lost * (time - (1.0 - warm) * span * (1.0 - left))
        more = (work - done) / (1.0 - lost * (1.0 - (1.0 - warm) * left))
        time += more
        if more <= 1e-12 * time:
            break
    return time


def who_asks(settings: Settings, truth: Truth, env: int, request: int | np.int64) -> int:
    """Client of a request: any, or that of one of the sessions that are on.

    Each lane changes its client every ``lanes x requests`` requests, at a moment of its own.
    """
    world = truth.world[env]
    if settings.lanes == 0:
        return int(uniform(world.clients, request) * settings.clients)
    lane = int(uniform(stream(world.key, draws.LANE), request) * settings.lanes)
    phase = uniform(stream(world.key, draws.LANE_PHASE), lane)
    epoch = int(request / (settings.lanes * settings.session_requests) + phase)
    return int(uniform(world.clients, pair(lane, epoch)) * settings.clients)


def realised_slowness(settings: Settings, truth: Truth, env: int) -> float:
    """Factor on the pending request's device times: the episode's, times z.

    z lies within 1 +- jitter, a bounded sum of three uniforms.
    """
    world = truth.world[env]
    random = bits(world.slownesses, world.index)
    total = 0.0
    for _ in range(3):
        total += (np.float64(random & _LOW_21) + 0.5) * 2.0**-21
        random = random >> _SHIFT_21
    return world.device_speed * (1.0 + settings.jitter * (total / 1.5 - 1.0))


def realised_rtt(settings: Settings, truth: Truth, env: int, index: int) -> float:
    """RTT of the pending request's transfers, s."""
    world = truth.world[env]
    client = truth.client[env, index]
    return client.rtt * quantile(settings.rtt[client.network], world.rtts, world.index)
