"""The queues: two lines a model, of those that can still meet D on some GPU and of the late ones.

A line is a sorted stretch of one row of ``Belief.waiting``. Requests come near its end and leave
near its front, so that little is moved; a place is found by halving. Plain scalar functions, see
:mod:`splitenv.physics`.
"""

from __future__ import annotations

from splitenv.disciplines import WINDOW_DROP
from splitenv.heap import remove
from splitenv.state import Belief, Row, Tables

_FEW = 16


def rank(tables: Tables, request: Row) -> float:
    """What a line is ordered by: D, or when a request became ready."""
    return request.gpu_deadline if tables.by_deadline else request.ready


def late_apart(tables: Tables) -> bool:
    """Whether late requests stand in a line of their own: where the discipline looks at D first."""
    return tables.by_deadline == 1 and tables.discipline != WINDOW_DROP


def insert(tables: Tables, belief: Belief, env: int, row: int, slot: int) -> None:
    """Put a request into a line, by rank, ties by arrival."""
    line = belief.line[env, row]
    request = belief.request[slot, env]
    request.line = row
    own = rank(tables, request)
    if line.first + line.size == belief.waiting.shape[2]:
        for position in range(line.size):
            belief.waiting[env, row, position] = belief.waiting[env, row, line.first + position]
        line.first = 0
    low = line.first
    end = line.first + line.size
    high = end
    # Most come last.
    middle = end - 1
    while low < high:
        other = belief.request[belief.waiting[env, row, middle], env]
        others = rank(tables, other)
        if others < own or (others == own and other.index < request.index):
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    if line.first > 0 and low - line.first < end - low:
        line.first -= 1
        low -= 1
        for position in range(line.first, low):
            belief.waiting[env, row, position] = belief.waiting[env, row, position + 1]
    else:
        for position in range(end, low, -1):
            belief.waiting[env, row, position] = belief.waiting[env, row, position - 1]
    belief.waiting[env, row, low] = slot
    line.size += 1
    if belief.variety[env, row, request.placement] == 0:
        line.varieties += 1
    belief.variety[env, row, request.placement] += 1


def leave_line(belief: Belief, env: int, row: int, leavers: int) -> None:
    """Take ``leavers`` requests out of a line; their own ``line`` says -1."""
    line = belief.line[env, row]
    position = line.first
    kept = line.first
    found = 0
    while found < leavers:
        slot = belief.waiting[env, row, position]
        request = belief.request[slot, env]
        if request.line < 0:
            found += 1
            belief.variety[env, row, request.placement] -= 1
            if belief.variety[env, row, request.placement] == 0:
                line.varieties -= 1
        else:
            belief.waiting[env, row, kept] = slot
            kept += 1
        position += 1
    rest = line.first + line.size - position
    if rest <= max(_FEW, kept - line.first):
        for moved in range(rest):
            belief.waiting[env, row, kept + moved] = belief.waiting[env, row, position + moved]
    else:
        while kept > line.first:
            kept -= 1
            position -= 1
            belief.waiting[env, row, position] = belief.waiting[env, row, kept]
        line.first += leavers
    line.size -= leavers
    if line.size == 0:
        line.first = 0


def leave_queue(belief: Belief, env: int, members: int) -> None:
    """Take ``belief.members[:members]``, ready requests of any models, out of their queues."""
    for member in range(members):
        request = belief.request[belief.members[member], env]
        queue = belief.queue[env, request.model]
        if request.place >= 0:
            remove(belief.held, belief, env, request.model, queue.held, request.place)
            queue.held -= 1
        queue.size -= 1
        queue.planned_for = -1
    belief.clock[env].waiting -= members
    left = members
    row = 0
    while left > 0:
        leavers = 0
        for member in range(members):
            request = belief.request[belief.members[member], env]
            if request.line == row:
                request.line = -1
                leavers += 1
        if leavers > 0:
            leave_line(belief, env, row, leavers)
            left -= leavers
        row += 1


def end_holds(belief: Belief, env: int, model: int, now: float) -> None:
    """Let the holds end that end by ``now``: their requests are held no more."""
    queue = belief.queue[env, model]
    while queue.held > 0 and belief.held[0, model, env].time <= now:
        remove(belief.held, belief, env, model, queue.held, 0)
        queue.held -= 1


def hopeless(tables: Tables, request: Row, now: float) -> bool:
    """Whether it can't be in time on any GPU, even if its answer took no time to travel.

    How long that takes is the client's guess, and who is given up on a guess might have made it.
    """
    soonest = tables.soonest[request.model, request.placement]
    return bool(now + soonest > request.gpu_deadline + request.download)


def retire(tables: Tables, belief: Belief, env: int, model: int, now: float) -> None:
    """Move those that can no longer meet D on any GPU into the line of the late ones."""
    line = belief.line[env, 2 * model]
    if late_apart(tables) and line.size > 0:
        # Nothing takes longer than all-cloud: only whose D is before this can be late.
        last = now + tables.soonest[model, tables.placements[model] - 1]
        first = belief.request[belief.waiting[env, 2 * model, line.first], env]
        if first.gpu_deadline < last:
            _retire_before(tables, belief, env, model, now, last)


def _retire_before(
    tables: Tables, belief: Belief, env: int, model: int, now: float, last: float
) -> None:
    row = 2 * model
    line = belief.line[env, row]
    position = 0
    while position < line.size:
        slot = belief.waiting[env, row, line.first + position]
        request = belief.request[slot, env]
        if request.gpu_deadline >= last:
            return
        if now + tables.soonest[model, request.placement] > request.gpu_deadline:
            request.line = -1
            leave_line(belief, env, row, 1)
            insert(tables, belief, env, row + 1, slot)
        else:
            position += 1
