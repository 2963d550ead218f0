"""The uploads under way, as a binary heap by the time they will be ready, ties by arrival."""

from __future__ import annotations

from splitenv.state import Belief, Truth


def _earlier(belief: Belief, truth: Truth, env: int, slot: int, other: int) -> bool:
    mine = truth.request[env, slot].ready
    theirs = truth.request[env, other].ready
    if mine == theirs:
        return belief.request[env, slot].index < belief.request[env, other].index
    return mine < theirs


def push(belief: Belief, truth: Truth, env: int, slot: int) -> None:
    """Add an upload to the heap of ready events."""
    clock = belief.clock[env]
    child = clock.uploads
    clock.uploads += 1
    while child > 0:
        parent = (child - 1) // 2
        above = truth.heap[env, parent]
        if not _earlier(belief, truth, env, slot, above):
            break
        truth.heap[env, child] = above
        child = parent
    truth.heap[env, child] = slot


def pop(belief: Belief, truth: Truth, env: int) -> int:
    """Take the next ready event off the heap; return its slot."""
    clock = belief.clock[env]
    top = truth.heap[env, 0]
    clock.uploads -= 1
    size = clock.uploads
    slot = truth.heap[env, size]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _earlier(
            belief, truth, env, truth.heap[env, right], truth.heap[env, child]
        ):
            child = right
        if not _earlier(belief, truth, env, truth.heap[env, child], slot):
            break
        truth.heap[env, parent] = truth.heap[env, child]
        parent = child
    truth.heap[env, parent] = slot
    return top
