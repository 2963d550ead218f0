"""Dispatch: when an idle GPU launches, and whom it takes, under each discipline.

Docs/physics.md says what each does. Plain scalar functions, see :mod:`splitenv.physics`.
"""

from __future__ import annotations

from splitenv.disciplines import AIMD, DEFERRED, EARLY, FITTED, NEVER, WINDOW_DROP
from splitenv.iterations import gather
from splitenv.queues import end_holds, hopeless, rank, retire
from splitenv.state import Belief, Tables

FITS, TOO_LATE, BLOCKED = 0, 1, 2


def idle_gpu(tables: Tables, belief: Belief, env: int, now: float) -> int:
    """Index of the fastest idle GPU, the lowest of equals, or -1.

    Fastest by all-cloud time of the first model, alone.
    """
    best = -1
    for gpu in range(belief.clock[env].gpus):
        state = belief.gpu[env, gpu]
        idle = state.free_at <= now and state.members == 0
        if idle and (best < 0 or tables.speed_rank[gpu] < tables.speed_rank[best]):
            best = gpu
    return best


def fits(
    tables: Tables, belief: Belief, kind: int, model: int, placement: int, by: float, now: float
) -> int:
    """Whether one more member lets everyone who can still meet D meet it.

    :data:`TOO_LATE` if it would not itself leave by ``by``, :data:`BLOCKED` if another one would
    miss D.
    """
    enter = tables.enter[model, placement]
    leave = tables.exit[model, placement] - 1
    times = tables.segment_time[kind, model]
    present, until = belief.present, belief.until
    time = now + tables.overhead[kind]
    verdict = FITS
    for segment in range(max(belief.span[0], leave + 1)):
        members = present[segment]
        if enter <= segment <= leave:
            members += 1
        time += times[segment, members]
        if time > until[segment]:
            return BLOCKED
        if segment == leave and time > by:
            verdict = TOO_LATE
    return verdict


def form_batch(tables: Tables, belief: Belief, env: int, model: int, kind: int, now: float) -> int:
    """Choose the batch that would launch now on a GPU of type ``kind``, by slack.

    Members join by D, ties by arrival; one whose joining would make a member that can still meet D
    miss it is passed over; those that can no longer meet D come last (with ``late: drop``, unless
    they are hopeless). Fills ``belief.members``, ``present`` and ``until``; returns the number of
    members.
    """
    retire(tables, belief, env, model, now)
    _nobody(belief)
    for placement in range(tables.placements[model]):
        belief.blocked[placement] = 0
    members = _join_from(tables, belief, env, 2 * model, kind, now, 0, True, False)
    if tables.alone.shape[0] > 1:
        members = _join_from(tables, belief, env, 2 * model, kind, now, members, False, True)
    return _join_from(tables, belief, env, 2 * model + 1, kind, now, members, False, False)


def _join_from(
    tables: Tables,
    belief: Belief,
    env: int,
    row: int,
    kind: int,
    now: float,
    members: int,
    on_time: bool,
    late_here: bool,
) -> int:
    """Let those of a line join that fit; return how many members there are then.

    ``on_time``: only those that can meet D on this type of GPU, and they must. ``late_here``: only
    those that can't.
    """
    line = belief.line[env, row]
    if line.size == 0:
        return members
    model = row // 2
    limit = tables.limit[kind, model]
    # A placement that would make another member late still would when more have joined.
    open_placements = line.varieties
    if members > 0:
        for placement in range(tables.placements[model]):
            if belief.blocked[placement] == 1 and belief.variety[env, row, placement] > 0:
                open_placements -= 1
    for position in range(line.first, line.first + line.size):
        if members == limit or open_placements == 0:
            return members
        slot = belief.waiting[env, row, position]
        request = belief.request[slot, env]
        placement = request.placement
        if belief.blocked[placement] == 1:
            continue
        by = NEVER
        if on_time or late_here:
            meets = now + tables.alone[kind, model, placement, 1] <= request.gpu_deadline
            if meets != on_time:
                continue
            if on_time:
                by = request.gpu_deadline
        elif tables.drop_late and hopeless(tables, request, now):
            continue
        verdict = FITS
        if members > 0:
            verdict = fits(tables, belief, kind, model, placement, by, now)
        if verdict == FITS:
            _join(tables, belief, model, placement, slot, members)
            members += 1
            if on_time:
                leave = tables.exit[model, placement] - 1
                belief.until[leave] = min(belief.until[leave], by)
        elif verdict == BLOCKED:
            belief.blocked[placement] = 1
            open_placements -= 1
    return members


def _join(
    tables: Tables, belief: Belief, model: int, placement: int, slot: int, members: int
) -> None:
    belief.members[members] = slot
    present = belief.present
    leave = tables.exit[model, placement]
    for segment in range(tables.enter[model, placement], leave):
        present[segment] += 1
    belief.span[0] = max(belief.span[0], leave)


def _nobody(belief: Belief) -> None:
    """Start a batch without members."""
    present, until = belief.present, belief.until
    for segment in range(belief.span[0]):
        present[segment] = 0
        until[segment] = NEVER
    belief.span[0] = 0


def count_members(tables: Tables, belief: Belief, env: int, model: int, members: int) -> None:
    """Fill ``belief.present`` for a batch that was not formed by :func:`form_batch`."""
    _nobody(belief)
    for member in range(members):
        slot = belief.members[member]
        _join(tables, belief, model, belief.request[slot, env].placement, slot, member)


def first_members(tables: Tables, belief: Belief, env: int, model: int, members: int) -> None:
    """Let the first of the queue be the batch."""
    line = belief.line[env, 2 * model]
    for member in range(members):
        belief.members[member] = belief.waiting[env, 2 * model, line.first + member]
    count_members(tables, belief, env, model, members)


def time_line(tables: Tables, belief: Belief, model: int, kind: int) -> None:
    """Fill ``belief.elapsed``: seconds from launch to the end of each segment that somebody needs.

    ``launch overhead + sum over segments of t_k(members present)``.
    """
    times = tables.segment_time[kind, model]
    present, elapsed = belief.present, belief.elapsed
    time = tables.overhead[kind]
    for segment in range(belief.span[0]):
        time += times[segment, present[segment]]
        elapsed[segment] = time


def target_size(
    tables: Tables, belief: Belief, env: int, kind: int, model: int, waiting: int
) -> int:
    """Size of the batch that ``waiting`` requests give: the largest preferred one, or all."""
    limit = tables.limit[kind, model]
    if tables.discipline == AIMD:
        return min(waiting, least_size(tables, belief, env, model, kind))
    best = 0
    for choice in range(tables.preferred.shape[0]):
        size = min(tables.preferred[choice], limit)
        if size <= waiting:
            best = size
    return best if best > 0 else min(waiting, limit)


def least_size(tables: Tables, belief: Belief, env: int, model: int, kind: int) -> int:
    """How many must wait for a launch at once, first come, first served."""
    limit = tables.limit[kind, model]
    if tables.discipline == AIMD:
        return min(int(belief.largest[env, model]), limit)
    if tables.discipline == FITTED:
        return limit
    return min(tables.preferred[0], limit)


def launch_time(
    tables: Tables, belief: Belief, env: int, model: int, kind: int, now: float
) -> float:
    """When an idle GPU of type ``kind`` is to launch ``model``, if nothing else happens.

    ``NEVER`` for an empty queue.
    """
    queue = belief.queue[env, model]
    if queue.size == 0:
        return NEVER
    if tables.discipline == WINDOW_DROP:
        return now
    if tables.by_deadline == 0:
        if queue.size >= least_size(tables, belief, env, model, kind):
            return now
        line = belief.line[env, 2 * model]
        first = belief.request[belief.waiting[env, 2 * model, line.first], env]
        if tables.discipline != FITTED:
            return max(now, first.ready + tables.window)
        last = belief.request[belief.waiting[env, 2 * model, line.first + line.size - 1], env]
        return max(now, last.ready + tables.window / queue.size - tables.fit_slope[kind, model])
    at = NEVER
    if tables.discipline != DEFERRED:
        end_holds(belief, env, model, now)
        if queue.size > queue.held:
            return now
        at = belief.held[0, model, env].time
        if queue.size == 1 and tables.limit[kind, model] > 1 and tables.alone.shape[0] == 1:
            # Alone, no slack ends before its hold, which is a share of it.
            return at
    if tables.continuous:
        return _latest_start_of_crew(tables, belief, env, model, kind, now, at)
    return _latest_start(tables, belief, env, model, kind, now, at)


def _latest_start(
    tables: Tables, belief: Belief, env: int, model: int, kind: int, now: float, at: float
) -> float:
    """``at``, or earlier if then a member of the batch that would launch now runs out of slack.

    Under ``deferred`` the batch counts so many more members as it is to leave room for, and is to
    be done by so much earlier as it is to keep.
    """
    members = form_batch(tables, belief, env, model, kind, now)
    if members == tables.limit[kind, model]:
        return now
    if tables.discipline == DEFERRED and members > 0 and tables.spare > 0:
        placement = belief.request[belief.members[0], env].placement
        for segment in range(tables.enter[model, placement], tables.exit[model, placement]):
            belief.present[segment] += tables.spare
    time_line(tables, belief, model, kind)
    in_time = 0
    for member in range(members):
        request = belief.request[belief.members[member], env]
        leave = tables.exit[model, request.placement] - 1
        if now + tables.alone[kind, model, request.placement, 1] <= request.gpu_deadline:
            at = min(at, request.gpu_deadline - tables.guard - belief.elapsed[leave] - EARLY)
            in_time += 1
    if in_time == 0 and tables.discipline == DEFERRED:
        return now
    return max(at, now)


def _latest_start_of_crew(
    tables: Tables, belief: Belief, env: int, model: int, kind: int, now: float, at: float
) -> float:
    """The same for continuous serving."""
    members = gather(tables, belief, env, model, model + 1, kind, now, 0, True)
    if members == tables.limit[kind, model]:
        return now
    for member in range(members):
        request = belief.request[belief.crew[member], env]
        if now + tables.alone[kind, model, request.placement, 1] <= request.gpu_deadline:
            at = min(at, request.gpu_deadline - (belief.ends[member] - now) - EARLY)
    return max(at, now)


def plan(tables: Tables, belief: Belief, env: int, gpu: int, now: float) -> float:
    """Renew the launch times that don't hold for the idle ``gpu``; return the earliest."""
    earliest = NEVER
    kind = tables.pool[gpu]
    for model in range(belief.queue.shape[1]):
        queue = belief.queue[env, model]
        if queue.planned_for != kind:
            queue.launch_at = launch_time(tables, belief, env, model, kind, now)
            queue.planned_for = kind
        earliest = min(earliest, queue.launch_at)
    return earliest


def wait_for_gpu(belief: Belief, env: int) -> float:
    """No GPU is idle: return when the next one will be; what is planned is stale until then."""
    for model in range(belief.queue.shape[1]):
        belief.queue[env, model].planned_for = -1
    return next_idle(belief, env, belief.clock[env].now)


def next_idle(belief: Belief, env: int, now: float) -> float:
    """When the next busy GPU falls idle, or ``NEVER``."""
    next_at = NEVER
    for gpu in range(belief.clock[env].gpus):
        free_at = belief.gpu[env, gpu].free_at
        if free_at > now:
            next_at = min(next_at, free_at)
    return next_at


def due_model(tables: Tables, belief: Belief, env: int, now: float) -> int:
    """The model to launch now: of those that are due the one with the least urgency."""
    best = -1
    least = NEVER
    for model in range(belief.queue.shape[1]):
        queue = belief.queue[env, model]
        if queue.size > 0 and queue.launch_at <= now:
            urgent = urgency(tables, belief, env, model, now) if belief.queue.shape[1] > 1 else 0.0
            if best < 0 or urgent < least:
                best = model
                least = urgent
    return best


def urgency(tables: Tables, belief: Belief, env: int, model: int, now: float) -> float:
    """Least rank of the requests whose hold has ended, or of all if none has."""
    end_holds(belief, env, model, now)
    queue = belief.queue[env, model]
    least = NEVER
    for row in range(2 * model, 2 * model + 2):
        line = belief.line[env, row]
        for position in range(line.first, line.first + line.size):
            request = belief.request[belief.waiting[env, row, position], env]
            if request.place < 0 or queue.held == queue.size:
                least = min(least, rank(tables, request))
                break
    return least
