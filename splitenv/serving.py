"""What dispatch leads to in the world: launches, completions and drops, and what they cost.

Plain functions that the kernel compiles.
"""

from __future__ import annotations

from splitenv.accounting import DROPPED, IN_TIME, LATE, account, settle
from splitenv.belief import release, start_batch
from splitenv.disciplines import DEFERRED, EDF_DROP, FITTED, NEVER, SLACK, WINDOW_DROP
from splitenv.dispatch import (
    due_model,
    first_members,
    form_batch,
    idle_gpu,
    next_idle,
    plan,
    target_size,
    time_line,
    wait_for_gpu,
)
from splitenv.queues import hopeless, leave_queue, retire
from splitenv.state import Belief, Tables
from splitenv.truth import Settings, Truth
from splitenv.world import run_on_device, transfer


def launch_due(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> float:
    """Launch all batches that are due; return when dispatch is next to be looked at."""
    while belief.clock[env].waiting > 0:
        gpu = idle_gpu(tables, belief, env, now)
        if gpu < 0:
            return wait_for_gpu(belief, env)
        earliest = plan(tables, belief, env, gpu, now)
        if earliest > now:
            if tables.alone.shape[0] > 1:
                # A faster GPU may fall idle before, for which the plan would be another.
                return min(earliest, next_idle(belief, env, now))
            return earliest
        model = due_model(tables, belief, env, now)
        _launch(tables, settings, belief, truth, env, model, gpu, now)
    return NEVER


def _launch(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    model: int,
    gpu: int,
    now: float,
) -> None:
    """Start a batch: physics fixes its members' completions, so the truth is paid."""
    kind = tables.pool[gpu]
    members = _choose_members(tables, settings, belief, truth, env, model, kind, now)
    if members == 0:
        return
    metrics = truth.metrics[env]
    launch = int(metrics.launches)
    shares = tables.segment_share[kind, model]
    present = belief.present
    for member in range(members):
        slot = belief.members[member]
        placement = belief.request[slot, env].placement
        leave = tables.exit[model, placement]
        seconds = tables.overhead[kind] / members
        for segment in range(tables.enter[model, placement], leave):
            seconds += shares[segment, present[segment]]
        finish = now + belief.elapsed[leave - 1]
        complete(
            tables, settings, belief, truth, env, slot, gpu, now, finish, seconds, members, launch
        )
    start_batch(tables, belief, env, model, gpu, members, now)
    metrics.launches += 1.0
    metrics.busy_seconds += belief.gpu[env, gpu].free_at - now


def _choose_members(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    model: int,
    kind: int,
    now: float,
) -> int:
    """Form the batch of the discipline, after its drops, with its time line; return its size."""
    if tables.discipline == SLACK or tables.discipline == DEFERRED or tables.discipline == EDF_DROP:
        if tables.drop_late:
            drop_hopeless(tables, settings, belief, truth, env, model, now)
            if belief.queue[env, model].size == 0:
                return 0
        members = form_batch(tables, belief, env, model, kind, now)
        time_line(tables, belief, model, kind)
        return members
    queue = belief.queue[env, model]
    if tables.discipline == FITTED and _drop_from_front(
        tables, settings, belief, truth, env, model, kind, now
    ):
        return 0
    while queue.size > 0:
        members = target_size(tables, belief, env, kind, model, queue.size)
        first_members(tables, belief, env, model, members)
        time_line(tables, belief, model, kind)
        head = belief.request[belief.members[0], env]
        end = now + belief.elapsed[tables.exit[model, head.placement] - 1]
        if tables.discipline != WINDOW_DROP or end <= head.gpu_deadline:
            return members
        drop(tables, settings, belief, truth, env, 1, now)
    return 0


def _drop_from_front(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    model: int,
    kind: int,
    now: float,
) -> bool:
    """Drop from the front who misses D if all go together, by the fitted line; but not the last.

    Returns whether anybody was dropped.
    """
    queue = belief.queue[env, model]
    dropped = False
    slope, base = tables.fit_slope[kind, model], tables.fit_base[kind, model]
    while queue.size > 1:
        first_members(tables, belief, env, model, 1)
        head = belief.request[belief.members[0], env]
        if now + slope * queue.size + base <= head.gpu_deadline:
            break
        drop(tables, settings, belief, truth, env, 1, now)
        dropped = True
    return dropped


def complete(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    slot: int,
    gpu: int,
    start: float,
    finish: float,
    seconds: float,
    members: int,
    launch: int,
) -> None:
    """A request leaves its GPU at ``finish``: fix when it completes, and account for it."""
    world = truth.world[env]
    known = belief.request[slot, env]
    request = truth.request[slot, env]
    kind = tables.pool[gpu]
    model = known.model
    placement = known.placement
    size = tables.down[model, placement]
    back = transfer(
        tables, settings, truth, env, known.client, 1, finish, size, request.rtt
    )  # fmt: skip
    end = back
    recorded = known.index < truth.record.shape[1]
    tail = request.slowness * tables.tail[request.device, model, placement]
    if tail > 0.0:
        resume, end = run_on_device(
            settings, truth, env, known.client, max(back, request.encoded), tail
        )
        if recorded:
            truth.record[env, known.index].resume = resume
    gpu_cost = seconds * tables.price[kind] / tables.norm
    late = end > request.deadline
    price = tables.violation_price * tables.weight[request.sla] if late else 0.0
    outcome = LATE if late else IN_TIME
    world.paid_gpu += gpu_cost - request.promised_gpu
    promised = request.promised_violation
    settle(tables, truth, env, request.device, request.sla, 1 if late else 0, promised)
    if recorded:
        record = truth.record[env, known.index]
        record.ready = known.ready
        record.start = start
        record.finish = finish
        record.download = back
        record.gpu_deadline = known.gpu_deadline
        record.gpu = gpu
        record.launch = launch
    account(
        tables, settings, truth, env, known.index, model, request.sla, seconds, gpu_cost + price,
        end, request.arrival, outcome, members,
    )  # fmt: skip


def drop_hopeless(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    model: int,
    now: float,
) -> None:
    """Drop a model's requests that are hopeless."""
    retire(tables, belief, env, model, now)
    row = 2 * model + 1
    line = belief.line[env, row]
    most = belief.members.shape[0]
    members = most
    while members == most:
        members = 0
        for position in range(line.first, line.first + line.size):
            slot = belief.waiting[env, row, position]
            if members < most and hopeless(tables, belief.request[slot, env], now):
                belief.members[members] = slot
                members += 1
        drop(tables, settings, belief, truth, env, members, now)


def drop(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    members: int,
    now: float,
) -> None:
    """Drop ``belief.members[:members]``, who are ready."""
    world = truth.world[env]
    for member in range(members):
        slot = belief.members[member]
        known = belief.request[slot, env]
        request = truth.request[slot, env]
        price = tables.violation_price * tables.weight[request.sla]
        world.paid_gpu -= request.promised_gpu
        promised = request.promised_violation
        settle(tables, truth, env, request.device, request.sla, 1, promised)
        if known.index < truth.record.shape[1]:
            record = truth.record[env, known.index]
            record.ready = known.ready
            record.finish = now
            record.gpu_deadline = known.gpu_deadline
        account(
            tables, settings, truth, env, known.index, known.model, request.sla, 0.0, price, NEVER,
            request.arrival, DROPPED, 0,
        )  # fmt: skip
        release(belief, env, slot)
    leave_queue(belief, env, members)
