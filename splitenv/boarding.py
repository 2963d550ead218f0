"""Continuous serving in the world: who is aboard, who leaves, and what is attributed to whom.

Plain functions that the kernel compiles; see :mod:`splitenv.iterations` for what they decide by.
"""

from __future__ import annotations

from splitenv.belief import expect_back, release
from splitenv.disciplines import NEVER
from splitenv.dispatch import idle_gpu, plan
from splitenv.iterations import come_aboard, crew_of, gather, start_phase
from splitenv.queues import leave_queue
from splitenv.serving import complete, drop_hopeless
from splitenv.state import Belief, Tables
from splitenv.truth import Settings, Truth


def leave_all(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> None:
    """Let those leave whose last unit is done by ``now``."""
    for gpu in range(belief.clock[env].gpus):
        state = belief.gpu[env, gpu]
        if state.members > 0 and state.free_at <= now:
            phase = belief.phase[env, gpu]
            finish = state.free_at
            _go_on(tables, belief, truth, env, gpu, phase.left)
            if _leave(tables, settings, belief, truth, env, gpu, finish):
                phase.look = 0
                phase.look_at = finish
            if state.members > 0:
                start_phase(tables, belief, env, gpu, finish)


def _go_on(
    tables: Tables, belief: Belief, truth: Truth, env: int, gpu: int, iterations: int
) -> None:
    """Advance a GPU by so many iterations of its phase, and attribute them."""
    kind = tables.pool[gpu]
    state = belief.gpu[env, gpu]
    phase = belief.phase[env, gpu]
    for member in range(state.members):
        request = belief.request[belief.aboard[env, gpu, member], env]
        belief.tally[tables.unit_kind[request.model, request.unit]] += 1
    for member in range(state.members):
        slot = belief.aboard[env, gpu, member]
        request = belief.request[slot, env]
        unit_kind = tables.unit_kind[request.model, request.unit]
        share = tables.kind_share[kind, unit_kind, belief.tally[unit_kind]]
        truth.aboard[slot, env].seconds += iterations * share
    for member in range(state.members):
        request = belief.request[belief.aboard[env, gpu, member], env]
        belief.tally[tables.unit_kind[request.model, request.unit]] = 0
        request.unit += iterations
    truth.metrics[env].busy_seconds += iterations * phase.pace
    phase.since += iterations * phase.pace
    phase.left -= iterations
    phase.look -= iterations


def _leave(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    gpu: int,
    finish: float,
) -> bool:
    """Let those leave a GPU who are done; return whether there were any."""
    state = belief.gpu[env, gpu]
    stay = 0
    for member in range(state.members):
        slot = belief.aboard[env, gpu, member]
        known = belief.request[slot, env]
        if known.unit < tables.unit_exit[known.model, known.placement]:
            belief.aboard[env, gpu, stay] = slot
            stay += 1
            continue
        life = truth.aboard[slot, env]
        complete(
            tables, settings, belief, truth, env, slot, gpu, life.start, finish,
            life.seconds, life.batch, life.launch,
        )  # fmt: skip
        expect_back(belief, env, slot, finish)
        release(belief, env, slot)
    left = stay < state.members
    state.members = stay
    return left


def board_due(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> float:
    """Take in at boundaries, start what is due; return when dispatch is next to be looked at."""
    clock = belief.clock[env]
    for gpu in range(clock.gpus):
        phase = belief.phase[env, gpu]
        if phase.look_at <= now:
            _go_on(tables, belief, truth, env, gpu, phase.look)
            _take_in(tables, settings, belief, truth, env, gpu, now, False)
    at = NEVER
    while clock.waiting > 0:
        gpu = idle_gpu(tables, belief, env, now)
        if gpu < 0:
            break
        at = plan(tables, belief, env, gpu, now)
        if at > now:
            break
        at = NEVER
        _take_in(tables, settings, belief, truth, env, gpu, now, True)
    for gpu in range(clock.gpus):
        state = belief.gpu[env, gpu]
        if state.members > 0:
            at = min(at, min(state.free_at, belief.phase[env, gpu].look_at))
    return at


def _take_in(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    gpu: int,
    now: float,
    start: bool,
) -> None:
    """Take in who fits, at a boundary or at a start from idle, and go on."""
    kind = tables.pool[gpu]
    models = belief.queue.shape[1]
    state = belief.gpu[env, gpu]
    phase = belief.phase[env, gpu]
    phase.look_at = NEVER
    if tables.drop_late:
        for model in range(models):
            drop_hopeless(tables, settings, belief, truth, env, model, now)
    known = crew_of(belief, env, gpu)
    members = known
    if belief.clock[env].waiting > 0:
        members = gather(tables, belief, env, 0, models, kind, now, known, start)
    if members == 0:
        state.free_at = now
        return
    if members == known:
        state.free_at = phase.since + phase.left * phase.pace
        return
    metrics = truth.metrics[env]
    come_aboard(tables, belief, env, gpu, known, members)
    overhead = 0.0
    if start:
        metrics.launches += 1.0
        overhead = tables.overhead[kind]
        metrics.busy_seconds += overhead
        state.starts = int(metrics.launches) - 1
    for member in range(known, members):
        life = truth.aboard[belief.crew[member], env]
        life.seconds = overhead / members
        life.start = now
        life.batch = members
        life.launch = state.starts
    leave_queue(belief, env, members - known)
    start_phase(tables, belief, env, gpu, now + overhead)
