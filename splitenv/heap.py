"""Binary heaps of requests by time, ties by arrival: uploads under way, holds that have not ended.

A request stands in one heap at most and knows its place there, so that it can leave from anywhere.
Plain scalar functions, see :mod:`splitenv.physics`. The caller keeps the number of entries.
"""

from __future__ import annotations

from splitenv.state import Array, Belief, Row


def push(
    heap: Array, belief: Belief, env: int, lane: int, size: int, time: float, slot: int
) -> None:
    """Add a request to a heap of ``size`` entries."""
    _rise(heap, belief, env, lane, size, time, belief.request[slot, env].index, slot)


def remove(heap: Array, belief: Belief, env: int, lane: int, size: int, position: int) -> None:
    """Take the entry at ``position`` out of a heap of ``size`` entries."""
    belief.request[heap[position, lane, env].slot, env].place = -1
    last = heap[size - 1, lane, env]
    if position == size - 1:
        return
    time, index, slot = last.time, last.index, last.slot
    if position > 0 and _precedes(time, index, heap[(position - 1) // 2, lane, env]):
        _rise(heap, belief, env, lane, position, time, index, slot)
    else:
        _sink(heap, belief, env, lane, size - 1, position, time, index, slot)


def _precedes(time: float, index: int, other: Row) -> bool:
    return time < other.time or (time == other.time and index < other.index)


def _rise(
    heap: Array,
    belief: Belief,
    env: int,
    lane: int,
    position: int,
    time: float,
    index: int,
    slot: int,
) -> None:
    while position > 0:
        parent = (position - 1) // 2
        above = heap[parent, lane, env]
        if not _precedes(time, index, above):
            break
        _put(heap, belief, env, lane, position, above.time, above.index, above.slot)
        position = parent
    _put(heap, belief, env, lane, position, time, index, slot)


def _sink(
    heap: Array,
    belief: Belief,
    env: int,
    lane: int,
    size: int,
    position: int,
    time: float,
    index: int,
    slot: int,
) -> None:
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        below = heap[child, lane, env]
        if child + 1 < size:
            right = heap[child + 1, lane, env]
            if _precedes(right.time, right.index, below):
                child += 1
                below = right
        if _precedes(time, index, below):
            break
        _put(heap, belief, env, lane, position, below.time, below.index, below.slot)
        position = child
    _put(heap, belief, env, lane, position, time, index, slot)


def _put(
    heap: Array,
    belief: Belief,
    env: int,
    lane: int,
    position: int,
    time: float,
    index: int,
    slot: int,
) -> None:
    entry = heap[position, lane, env]
    entry.time = time
    entry.index = index
    entry.slot = slot
    belief.request[slot, env].place = position
