"""What who knows the world could do for each request alone: the floor under every schedule.

For each placement: the earliest time at which the request can be ready for a GPU, and the latest
time at which it may leave the GPU and still be in time, with the device times and the links that
will be realised. Where what others do matters, the best is taken: the device is free, cold and
undisturbed. So no schedule has a request ready sooner, or in time after a later leave.

Plain functions that the kernel compiles.
"""

from __future__ import annotations

from splitenv.disciplines import NEVER
from splitenv.state import Array, Belief, Tables
from splitenv.truth import Settings, Truth
from splitenv.world import (
    link_rate,
    realised_rtt,
    realised_slowness,
    throttled,
    transfer,
    transfer_finish,
)

LEEWAY = 1e-6
"""Seconds by which limits are relaxed, so that rounding cuts nothing off."""


def foresee(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    ready: Array,
    leave: Array,
) -> None:
    """Write the limits of every environment's pending request, by placement, shape (E, s).

    For all-device they are when the device can start, and when it must have started at the latest.
    A placement that is impossible has ``ready`` at :data:`~splitenv.disciplines.NEVER` and
    ``leave`` at minus that.
    """
    for env in range(truth.world.shape[0]):
        clock = belief.clock[env]
        for placement in range(tables.enter.shape[1]):
            ready[env, placement] = NEVER
            leave[env, placement] = -NEVER
            if tables.can[clock.device, clock.model, placement]:
                ready[env, placement] = earliest_ready(
                    tables, settings, belief, truth, env, placement
                )
                leave[env, placement] = latest_leave(
                    tables, settings, belief, truth, env, placement
                )


def earliest_ready(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, placement: int
) -> float:
    """When the pending request is ready for a GPU, if its device is free at once."""
    clock = belief.clock[env]
    start = clock.arrival + tables.control_delay
    if placement == 0:
        return start - LEEWAY
    head = tables.head[clock.device, clock.model, placement]
    size = tables.up[clock.model, placement]
    rtt = realised_rtt(settings, truth, env, clock.client)
    if head > 0.0:
        # With start-up, to begin an upload later may be to end it sooner: so it is left out.
        start += fastest_run(settings, belief, truth, env, head)
        end = transfer_finish(settings, truth, env, clock.client, 0, start, size) + 0.5 * rtt
    else:
        end = transfer(tables, settings, truth, env, clock.client, 0, start, size, rtt)
    return end - LEEWAY


def latest_leave(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, placement: int
) -> float:
    """Latest time at which the pending request may leave the GPU and be in time.

    The start-up of the download is left out. Minus :data:`~splitenv.disciplines.NEVER` if there is
    no such time.
    """
    clock = belief.clock[env]
    if placement == 0:
        work = tables.head[clock.device, clock.model, 0]
        return clock.deadline - fastest_run(settings, belief, truth, env, work) + LEEWAY
    back = clock.deadline
    tail = tables.tail[clock.device, clock.model, placement]
    if tail > 0.0:
        back -= fastest_run(settings, belief, truth, env, tail)
        also = tables.also[clock.device, clock.model, placement]
        encoded = clock.arrival + tables.control_delay
        encoded += realised_slowness(settings, truth, env) * also
        if encoded > back + LEEWAY:
            return -NEVER
    end = back - 0.5 * realised_rtt(settings, truth, env, clock.client)
    size = tables.down[clock.model, placement]
    return latest_start(settings, truth, env, clock.client, 1, end, size, clock.arrival) + LEEWAY


def fastest_run(settings: Settings, belief: Belief, truth: Truth, env: int, work: float) -> float:
    """Seconds of device work of the pending request, if the device is cold and undisturbed."""
    work *= realised_slowness(settings, truth, env)
    best = settings.background[0]
    for level in range(settings.background.shape[0]):
        best = min(best, settings.background[level])
    work *= best
    slowdown = settings.throttle[belief.clock[env].device]
    if settings.throttles and slowdown > 1.0:
        work = throttled(work, 0.0, slowdown, settings.throttle_time[belief.clock[env].device])
    return work


def latest_start(
    settings: Settings,
    truth: Truth,
    env: int,
    index: int,
    way: int,
    end: float,
    size: float,
    floor: float,
) -> float:
    """Latest time from which the integral of the rate reaches ``size`` by ``end``.

    The inverse of :func:`splitenv.world.transfer_finish`. Minus
    :data:`~splitenv.disciplines.NEVER` if that is before ``floor``.
    """
    if end < floor:
        return -NEVER
    client = truth.client[env, index]
    hold = settings.block[client.network, way]
    block = int(end / hold + client.phase)
    time = end
    left = size
    while time > floor:
        rate = link_rate(settings, truth, env, index, way, block)
        begin = min((block - client.phase) * hold, time)
        if left <= rate * (time - begin):
            start = time - left / rate if rate > 0.0 else time
            return start if start >= floor else -NEVER
        left -= rate * (time - begin)
        time = begin
        block -= 1
    return time if left <= 0.0 and time >= floor else -NEVER
