"""The dispatch disciplines: when an idle GPU launches, and whom it takes.

So far ``slack`` (DESIGN: 'batch only while every member still meets its SLA'). Plain scalar
functions, see :mod:`splitenv.physics`.
"""

from __future__ import annotations

from splitenv.state import Belief, Tables

NEVER = 1e300
EARLY = 1e-9
"""Seconds by which a launch precedes the end of a slack, so that it does not fail by rounding."""


def idle_gpu(tables: Tables, belief: Belief, env: int, now: float) -> int:
    """Index of the fastest idle GPU, the lowest of equals, or -1.

    Fastest by all-cloud time of the first model, alone.
    """
    best = -1
    for gpu in range(belief.clock[env].gpus):
        if belief.gpu[env, gpu].free_at <= now and (best < 0 or _faster(tables, gpu, best)):
            best = gpu
    return best


def _faster(tables: Tables, gpu: int, other: int) -> bool:
    cloud = tables.placements[0] - 1
    mine = tables.alone[tables.pool[gpu], 0, cloud, 1]
    return mine < tables.alone[tables.pool[other], 0, cloud, 1]


def fits(
    tables: Tables,
    belief: Belief,
    env: int,
    kind: int,
    model: int,
    placement: int,
    leave_by: float,
    now: float,
) -> bool:
    """Whether one more member lets everyone who can still meet D meet it, itself included."""
    enter = tables.enter[model, placement]
    leave = tables.exit[model, placement] - 1
    time = now + tables.overhead[kind]
    for segment in range(tables.segments[model]):
        present = belief.present[env, segment]
        if enter <= segment <= leave:
            present += 1
        time += tables.segment_time[kind, model, segment, present]
        if time > belief.until[env, segment] or (segment == leave and time > leave_by):
            return False
    return True


def form_batch(tables: Tables, belief: Belief, env: int, model: int, kind: int, now: float) -> int:
    """Choose the batch that would launch now on a GPU of type ``kind``.

    Members join by D, ties by arrival; one whose joining would make a member that can still meet D
    miss it is passed over; those that can no longer meet D come last (or, with ``late: drop``,
    never). Fills ``belief.members``, ``present`` and ``until``; returns the number of members.
    """
    for segment in range(tables.segments[model]):
        belief.present[env, segment] = 0
        belief.until[env, segment] = NEVER
    size = belief.queue[env, model].size
    limit = tables.limit[kind, model]
    members = 0
    late = 0
    for position in range(size):
        if members == limit:
            return members
        slot = belief.waiting[env, model, position]
        request = belief.request[env, slot]
        placement = request.placement
        if now + tables.alone[kind, model, placement, 1] > request.gpu_deadline:
            late += 1
            continue
        if members == 0 or fits(
            tables, belief, env, kind, model, placement, request.gpu_deadline, now
        ):
            _join(tables, belief, env, model, placement, slot, members)
            leave = tables.exit[model, placement] - 1
            belief.until[env, leave] = min(belief.until[env, leave], request.gpu_deadline)
            members += 1
    if late == 0 or tables.drop_late:
        return members
    for position in range(size):
        if members == limit:
            return members
        slot = belief.waiting[env, model, position]
        request = belief.request[env, slot]
        placement = request.placement
        if now + tables.alone[kind, model, placement, 1] <= request.gpu_deadline:
            continue
        if members == 0 or fits(tables, belief, env, kind, model, placement, NEVER, now):
            _join(tables, belief, env, model, placement, slot, members)
            members += 1
    return members


def _join(
    tables: Tables, belief: Belief, env: int, model: int, placement: int, slot: int, members: int
) -> None:
    belief.members[env, members] = slot
    for segment in range(tables.enter[model, placement], tables.exit[model, placement]):
        belief.present[env, segment] += 1


def count_members(tables: Tables, belief: Belief, env: int, model: int, members: int) -> None:
    """Fill ``belief.present`` for a batch that somebody else formed."""
    for segment in range(tables.segments[model]):
        belief.present[env, segment] = 0
    for member in range(members):
        slot = belief.members[env, member]
        placement = belief.request[env, slot].placement
        _join(tables, belief, env, model, placement, slot, member)


def time_line(tables: Tables, belief: Belief, env: int, model: int, kind: int) -> None:
    """Fill ``belief.elapsed``: seconds from launch to the end of each segment.

    ``launch overhead + sum over segments of t_k(members present)``.
    """
    time = tables.overhead[kind]
    for segment in range(tables.segments[model]):
        time += tables.segment_time[kind, model, segment, belief.present[env, segment]]
        belief.elapsed[env, segment] = time


def launch_time(
    tables: Tables, belief: Belief, env: int, model: int, kind: int, now: float
) -> float:
    """When an idle GPU of type ``kind`` is to launch ``model``, if nothing else happens.

    The earliest end of a hold; earlier if waiting longer would make a member's slack negative in
    the batch that would launch now; at once if that batch is full. Alone, no slack ends before its
    hold, which is a share of it. ``NEVER`` for an empty queue.
    """
    size = belief.queue[env, model].size
    if size == 0:
        return NEVER
    at = NEVER
    for position in range(size):
        at = min(at, belief.request[env, belief.waiting[env, model, position]].expires)
    if at <= now:
        return now
    members = form_batch(tables, belief, env, model, kind, now)
    if members == tables.limit[kind, model]:
        return now
    time_line(tables, belief, env, model, kind)
    for member in range(members):
        request = belief.request[env, belief.members[env, member]]
        leave = tables.exit[model, request.placement] - 1
        if now + tables.alone[kind, model, request.placement, 1] <= request.gpu_deadline:
            at = min(at, request.gpu_deadline - belief.elapsed[env, leave] - EARLY)
    return max(at, now)


def plan(tables: Tables, belief: Belief, env: int, gpu: int, now: float) -> float:
    """Renew the stale launch times for the idle ``gpu``; return the earliest time to launch."""
    earliest = NEVER
    for model in range(belief.queue.shape[1]):
        queue = belief.queue[env, model]
        if queue.stale == 1:
            queue.launch_at = launch_time(tables, belief, env, model, tables.pool[gpu], now)
            queue.stale = 0
        earliest = min(earliest, queue.launch_at)
    return earliest


def wait_for_gpu(belief: Belief, env: int) -> float:
    """No GPU is idle: return when the next one will be; what is planned is stale until then."""
    for model in range(belief.queue.shape[1]):
        belief.queue[env, model].stale = 1
    free_at = NEVER
    for gpu in range(belief.clock[env].gpus):
        free_at = min(free_at, belief.gpu[env, gpu].free_at)
    return free_at


def due_model(belief: Belief, env: int, now: float) -> int:
    """The model to launch now: that of the expired request with the earliest D, or -1.

    A queue that is due since its batch is full, or since a slack runs out, counts by its first D.
    """
    best = -1
    best_deadline = NEVER
    for model in range(belief.queue.shape[1]):
        queue = belief.queue[env, model]
        if queue.size == 0 or queue.launch_at > now:
            continue
        deadline = belief.request[env, belief.waiting[env, model, 0]].gpu_deadline
        for position in range(queue.size):
            request = belief.request[env, belief.waiting[env, model, position]]
            if request.expires <= now:
                deadline = request.gpu_deadline
                break
        if best < 0 or deadline < best_deadline:
            best = model
            best_deadline = deadline
    return best
