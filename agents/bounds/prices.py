"""Prices of requests that no batch can undercut, for one episode and model. Compiled.

See :mod:`agents.bounds` for what they prove. A *moment* is a time at which a request can become
ready; a batch that is launched between two of them could as well be launched at the earlier one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_jit: Any = numba.njit(cache=True, error_model="numpy", nogil=True)


class Moments(NamedTuple):
    """Who could be launched when, at what least cost.

    Attributes
    ----------
    first
        Where each moment's requests start in ``who``, (moments + 1,).
    who
        Counted requests that could be launched then and be in time.
    cost
        Their least share by type and members, (len(who), g, b).
    late, early
        Requests that don't count, are ready then and so can join: those of the warm-up, which may
        have been kept back for it, and those of the cool-down, (moments,).
    """

    first: Integers
    who: Integers
    cost: Floats
    late: Integers
    early: Integers


def moments(
    ready: Floats, leave: Floats, counts: Integers, least: Floats, shortest: Floats, step: float
) -> Moments:
    """List the moments of one model's requests in one episode.

    Parameters
    ----------
    ready, leave
        Of each request and placement, (n, s); placement 0 is not used.
    counts
        1 for requests that count, 0 and -1 for those of the warm-up and of the cool-down, (n,).
    least, shortest, step
        That model's part of :class:`agents.bounds.shares.Shares`.
    """
    soonest = shortest.min(axis=0)
    possible = ready + soonest <= leave
    possible[:, 0] = False
    counted = counts == 1
    # Those that don't count may be as late as they like.
    others = np.where(counted, np.inf, ready[:, 1:].min(axis=1, initial=np.inf))
    at = np.unique(np.concatenate([ready[counted][possible[counted]], others[others < 1e299]]))
    opens = np.where(possible, ready, np.inf).min(axis=1)
    closes = np.where(possible, leave - soonest, -np.inf).max(axis=1)
    rows = np.flatnonzero(counted & possible.any(axis=1))
    start = np.searchsorted(at, opens[rows])
    stop = np.searchsorted(at, closes[rows], side="right")
    spans = np.maximum(stop - start, 0)
    first = np.zeros(len(at) + 1, np.int64)
    np.add.at(first, start + 1, 1)
    np.add.at(first, np.minimum(stop, len(at) - 1) + 1, np.where(stop < len(at), -1, 0))
    present = np.cumsum(first[1:])
    first = np.concatenate([[0], np.cumsum(present)]).astype(np.int64)
    who = np.empty(int(spans.sum()), np.int64)
    _place(rows, start, stop, first[:-1].copy(), who)
    cost = np.full((len(who), least.shape[0], least.shape[2]), np.inf)
    _price(at, first, who, ready, leave, least, step, cost)
    return Moments(
        first,
        who,
        cost,
        np.searchsorted(np.sort(others[counts == 0]), at, side="right"),
        np.searchsorted(np.sort(others[counts == -1]), at, side="right"),
    )


@_jit
def _place(rows: Any, start: Any, stop: Any, at: Any, who: Any) -> None:
    for i in range(len(rows)):
        for moment in range(start[i], stop[i]):
            who[at[moment]] = rows[i]
            at[moment] += 1


@_jit
def _price(
    at: Any, first: Any, who: Any, ready: Any, leave: Any, least: Any, step: float, cost: Any
) -> None:
    """Least share of everybody at every moment, over the placements that are ready then."""
    cells = least.shape[3]
    for moment in range(len(at)):
        for i in range(first[moment], first[moment + 1]):
            for s in range(1, ready.shape[1]):
                time = leave[who[i], s] - at[moment]
                if ready[who[i], s] > at[moment] or time <= 0.0:
                    continue
                cell = min(int(time / step), cells - 1)
                for g in range(least.shape[0]):
                    for b in range(1, least.shape[2]):
                        cost[i, g, b] = min(cost[i, g, b], least[g, s, b, cell])


@_jit
def cheapest(first: Any, who: Any, cost: Any, late: Any, early: Any, price: Any) -> None:
    """Lower each price to the least share of any batch that there are enough requests for."""
    for moment in range(len(first) - 1):
        there = first[moment + 1] - first[moment] + late[moment] + early[moment]
        for i in range(first[moment], first[moment + 1]):
            for g in range(cost.shape[1]):
                for b in range(1, min(there, cost.shape[2] - 1) + 1):
                    price[who[i]] = min(price[who[i]], cost[i, g, b])


@_jit
def rank(
    moment: int,
    g: int,
    b: int,
    first: Any,
    who: Any,
    cost: Any,
    late: Any,
    early: Any,
    fee: float,
    price: Any,
    value: Any,
    order: Any,
) -> tuple[int, int, float, float]:
    """Find the batch of b at a moment that is charged most beyond what it shares.

    Parameters
    ----------
    fee
        Price at which a request of the warm-up joins: the batch is charged that much less.
    value, order
        Written: who could be a member, by price minus share from the highest on, and those.

    Returns
    -------
    able : int
        How many those are; 0 if there are not enough for a batch of b.
    inside : int
        How many of them, the first ones, are in that batch. Others are company.
    total, before : float
        By how much that batch, and the best b - 1 of it, are charged beyond what they share.
    """
    able = 0
    for i in range(first[moment], first[moment + 1]):
        share = cost[i, g, b]
        if share == np.inf:
            continue
        gain = price[who[i]] - share
        place = able
        while place > 0 and value[place - 1] < gain:
            value[place] = value[place - 1]
            order[place] = order[place - 1]
            place -= 1
        value[place] = gain
        order[place] = who[i]
        able += 1
    if able + late[moment] + early[moment] < b:
        return 0, 0, 0.0, 0.0
    total = 0.0
    before = 0.0
    inside = 0
    free = early[moment]
    for member in range(b):
        before = total
        company = -np.inf
        if free > 0:
            company = 0.0
        elif member - inside - early[moment] < late[moment]:
            company = -fee
        if inside < able and value[inside] >= company:
            total += value[inside]
            inside += 1
        else:
            total += company
            free -= 1
    return able, inside, total, before


@_jit
def room(
    first: Any, who: Any, cost: Any, late: Any, early: Any, fee: float, price: Any, rise: Any
) -> float:
    """How far each price can be raised, all at a time, and the most any batch is overcharged.

    Of a batch of b with total price P and total share C, each member may rise by (C - P) / b; by
    the least of that over all batches that it could be in. Then no batch is overcharged: its room
    is at least the room that each member was granted b times over. ``rise`` is written, (n,);
    infinite for who is in no batch.
    """
    most = np.diff(first).max()
    value, order = np.empty(most), np.empty(most, np.int64)
    worst = -np.inf
    rise[:] = np.inf
    for moment in range(len(first) - 1):
        for g in range(cost.shape[1]):
            for b in range(1, cost.shape[2]):
                able, inside, total, before = rank(
                    moment, g, b, first, who, cost, late, early, fee, price, value, order
                )
                if able == 0:
                    break  # nor are there enough for a larger one
                charged = min(b, able)
                for i in range(able):
                    over = total if i < inside else before + value[i]
                    worst = max(worst, over)
                    rise[order[i]] = min(rise[order[i]], -over / charged)
    return worst


@_jit
def repair(
    first: Any,
    who: Any,
    cost: Any,
    late: Any,
    early: Any,
    fee: float,
    price: Any,
    fixed: Any,
    backwards: bool,
) -> None:
    """Lower prices until no batch is overcharged, batch by batch, equally for all its members.

    Lowering a price overcharges nobody, so that one round is enough, but for rounding. Prices in
    ``fixed`` are not lowered.
    """
    most = np.diff(first).max()
    value, order = np.empty(most), np.empty(most, np.int64)
    moments_ = len(first) - 1
    for number in range(moments_):
        moment = moments_ - 1 - number if backwards else number
        for g in range(cost.shape[1]):
            for b in range(1, cost.shape[2]):
                for _ in range(100):
                    able, inside, total, _ = rank(
                        moment, g, b, first, who, cost, late, early, fee, price, value, order
                    )
                    movable = 0
                    for i in range(inside):
                        movable += not fixed[order[i]]
                    if total <= 1e-12 or movable == 0:
                        break
                    for i in range(inside):
                        if not fixed[order[i]]:
                            price[order[i]] -= total / movable
                if able == 0:
                    break
