"""Another future for a running episode: what lies ahead is drawn anew, what is hidden is forgotten.

For planners that roll the simulator forward from the present. What they may know is what the
scheduler knows, so everything that the truth keeps of the future or in secret is replaced. Plain
functions that the kernel compiles.
"""

from __future__ import annotations

import numpy as np

from splitenv import draws
from splitenv.belief import FAST_MEMORY
from splitenv.draws import exponential, stream, uniform
from splitenv.heap import push
from splitenv.state import Array, Belief, Tables
from splitenv.truth import Settings, Truth
from splitenv.world import (
    REPORT_FLOOR,
    link_rate,
    next_arrival,
    open_streams,
    realised_rtt,
    realised_slowness,
    who_asks,
)


def imagine(tables: Tables, settings: Settings, belief: Belief, truth: Truth, keys: Array) -> None:
    """Give row k, which waits for a decision, the future of ``keys[k]``.

    - Drawn anew: gaps, who asks for what, reports, z, RTTs, rates of links in all blocks of time,
      background load; the state of the arrival process, by its chance given the latest gaps.
    - As predicted: when uploads under way end, and when devices will be free.
    """
    for env in range(keys.shape[0]):
        open_streams(truth, env, keys[env])
        for client in range(settings.clients):
            truth.client[env, client].device_free = belief.client[env, client].device_free
        _forget_uploads(tables, settings, belief, truth, env)
        for row in range(belief.line.shape[1]):
            line = belief.line[env, row]
            for position in range(line.first, line.first + line.size):
                _forget(tables, settings, belief, truth, env, belief.waiting[env, row, position])
        for gpu in range(belief.clock[env].gpus):
            for member in range(belief.gpu[env, gpu].members):
                _forget(tables, settings, belief, truth, env, belief.aboard[env, gpu, member])
        _redraw_arrivals(settings, belief, truth, env)


def disagreement(
    settings: Settings, belief: Belief, truth: Truth, env: int, keys: Array, distance: Array
) -> None:
    """How far the pending client's links under each key are from what it reported.

    Sum over both ways of the squared log of the rate, in the block in which it was measured, over
    the reported one.
    """
    clock = belief.clock[env]
    client = truth.client[env, clock.client]
    measured_at = max(0.0, clock.arrival - settings.report_lag)
    own = truth.world[env].key
    for candidate in range(keys.shape[0]):
        open_streams(truth, env, keys[candidate])
        distance[candidate] = 0.0
        for way in range(2):
            reported = clock.uplink if way == 0 else clock.downlink
            block = int(measured_at / settings.block[client.network, way] + client.phase)
            rate = link_rate(settings, truth, env, clock.client, way, block)
            distance[candidate] += np.log(max(rate, REPORT_FLOOR) / reported) ** 2
    open_streams(truth, env, own)


def _forget_uploads(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int
) -> None:
    """Let uploads under way end when they are predicted to, or now if that has passed."""
    clock = belief.clock[env]
    for position in range(clock.uploads):
        slot = truth.heap[position, 0, env].slot
        ready = max(clock.now, belief.request[slot, env].ready)
        push(truth.heap, belief, env, 0, position, ready, slot)
        _forget(tables, settings, belief, truth, env, slot)


def _forget(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, slot: int
) -> None:
    """Draw anew what is hidden of a request in the cloud's hands."""
    world = truth.world[env]
    known = belief.request[slot, env]
    request = truth.request[slot, env]
    pending = world.index
    world.index = known.index
    request.slowness = realised_slowness(settings, truth, env)
    request.rtt = realised_rtt(settings, truth, env, known.client)
    world.index = pending
    beside = request.slowness * tables.also[request.device, known.model, known.placement]
    request.encoded = request.arrival + tables.control_delay + beside


def _redraw_arrivals(settings: Settings, belief: Belief, truth: Truth, env: int) -> None:
    """Draw who comes next and when, from now on."""
    world = truth.world[env]
    now = belief.clock[env].now
    world.phase = _likely_phase(settings, belief, truth, env, now)
    world.phases = 0
    dwell = exponential(stream(world.key, draws.DWELL), 0)
    world.phase_end = now + settings.phase_dwell[world.phase] * dwell
    world.rate_until = 0.0
    start = uniform(stream(world.key, draws.REPLAY), 0)
    world.replay_from = int(start * settings.replay.shape[0])
    world.next_client = who_asks(settings, truth, env, world.index + 1)
    world.index += 1
    world.next_arrival = next_arrival(settings, truth, env, now)
    world.index -= 1


def _likely_phase(settings: Settings, belief: Belief, truth: Truth, env: int, now: float) -> int:
    """Draw the arrival process's state: dwell x chance of the latest gaps, were they Poisson.

    With n gaps of mean g, state p of rate r has the weight ``dwell (r g)^n exp(-n r g)``.
    """
    states = settings.phase_rate.shape[0]
    if states == 1:
        return 0
    world = truth.world[env]
    rate = 0.0
    seen = 0
    for model in range(belief.queue.shape[1]):
        queue = belief.queue[env, model]
        if queue.arrivals > 1:
            rate += queue.rate_fast
            seen += queue.arrivals - 1
    seen = min(seen, FAST_MEMORY)
    stepped = 1.0
    for step in range(settings.step_at.shape[0]):
        if settings.step_at[step] <= now:
            stepped = settings.step_rate[step]
    hour = int((world.start + now) / 3600.0) % 24
    usual = world.load * settings.hour_rate[hour] * stepped
    best = -np.inf
    choice = 0
    for state in range(states):
        weight = np.log(settings.phase_dwell[state])
        if seen > 0:
            expected = usual * settings.phase_rate[state] / rate
            weight += seen * (np.log(expected) - expected)
        # The greatest of log weights with Gumbel noise is a draw by the weights.
        noise = -np.log(exponential(stream(world.key, draws.PHASE), state))
        if weight + noise > best:
            best = weight + noise
            choice = state
    return choice
