"""What each placement of a request would lead to if nobody else were there.

Every request of an episode is run on its own, once under each placement: its device at rest and
cold, the GPU of the pool that is fastest at it idle, its link and device times as they are in that
episode. What no placement brings home in time then, no scheduler will: the share of requests that
some placement does bring is the *attainable* share. (Two effects can reward who waits, so the bound
is not strict under them: a busy background may end, and TCP may start up against a slower link.)

Plain functions that :mod:`splitenv.attainable` compiles, as the worlds are drawn by compiled code.
"""

from __future__ import annotations

import math

from splitenv.state import Array, Belief, Tables
from splitenv.truth import Settings, Truth
from splitenv.world import (
    new_episode,
    next_arrival,
    realised_rtt,
    realised_slowness,
    report_request,
    run_on_device,
    transfer,
)


def play_alone(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    who: Array,
    latency: Array,
) -> None:
    """Draw an episode in every row, and run each of its requests alone.

    Parameters
    ----------
    who
        Written: device type, model and SLA class of each request, shape (E, requests, 3).
    latency
        Written: seconds from arrival to completion under each placement, shape
        (E, requests, placements); infinite where the placement is impossible.
    """
    for env in range(latency.shape[0]):
        new_episode(settings, truth, env, False)
        world = truth.world[env]
        clock = belief.clock[env]
        arrival = next_arrival(settings, truth, env, 0.0)
        for request in range(latency.shape[1]):
            world.index = request
            report_request(tables, settings, belief, truth, env, arrival)
            who[env, request, 0] = clock.device
            who[env, request, 1] = clock.model
            who[env, request, 2] = clock.sla
            for placement in range(latency.shape[2]):
                latency[env, request, placement] = math.inf
                if tables.can[clock.device, clock.model, placement]:
                    end = complete_alone(tables, settings, belief, truth, env, placement)
                    latency[env, request, placement] = end - arrival
            world.index = request + 1
            arrival = next_arrival(settings, truth, env, arrival)


def complete_alone(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, placement: int
) -> float:
    """When the pending request would be done under a placement, with device and GPU to itself."""
    clock = belief.clock[env]
    client = clock.client
    model = clock.model
    _rest(settings, truth, env, client)
    slowness = realised_slowness(settings, truth, env)
    begin = clock.arrival + tables.control_delay
    head = slowness * tables.head[clock.device, model, placement]
    time = begin
    if head > 0.0 or placement == 0:
        time = run_on_device(settings, truth, env, client, begin, head)[1]
    if placement > 0:
        rtt = realised_rtt(settings, truth, env, client)
        size = tables.up[model, placement]
        time = transfer(tables, settings, truth, env, client, 0, time, size, rtt)
        time += tables.soonest[model, placement]
        size = tables.down[model, placement]
        time = transfer(tables, settings, truth, env, client, 1, time, size, rtt)
        tail = slowness * tables.tail[clock.device, model, placement]
        if tail > 0.0:
            encoded = begin + slowness * tables.also[clock.device, model, placement]
            time = run_on_device(settings, truth, env, client, max(time, encoded), tail)[1]
    _rest(settings, truth, env, client)
    return time


def _rest(settings: Settings, truth: Truth, env: int, client: int) -> None:
    """Leave a client's device idle and cold."""
    truth.client[env, client].device_free = 0.0
    if settings.throttles:
        truth.heat[env, client].heat = 0.0
