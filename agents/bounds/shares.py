"""The least that a request can pay of a batch: GPU seconds against the time that it has.

A member of a batch of b pays ``overhead / b + sum over its segments of t_k(b_k) / b_k`` with
``b_k <= b`` members present, and the batch takes it ``overhead + sum of t_k(b_k)``. More members
cost each of them less and take them longer. The least share within a time T is a knapsack with a
choice per segment; its Lagrangian ``max over nu of sum_k min_b (t_k(b) / b + nu t_k(b)) - nu T`` is
a lower bound for every nu, and is tabulated over T so that a look-up is never above it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from splitenv.state import Tables

Floats = npt.NDArray[np.float64]

CELLS = 1024
_MULTIPLIERS = np.concatenate([[0.0], np.geomspace(1e-4, 1e3, 128)])


class Shares(NamedTuple):
    """Least shares; g GPU type, m model, s placement, b members, i cell of time.

    Attributes
    ----------
    least
        Priced GPU seconds, (g, m, s, b, i), for a request that has from ``i x step`` to
        ``(i + 1) x step`` seconds, the last cell also for all longer times. Infinite if the time is
        too short. Of all-device (s = 0) it is not used.
    shortest
        Seconds alone, (g, m, s).
    step
        Seconds of a cell.
    limit
        Largest batch, (g, m).
    """

    least: Floats
    shortest: Floats
    step: float
    limit: npt.NDArray[np.int64]


def least_shares(tables: Tables, longest: float, cells: int = CELLS) -> Shares:
    """Tabulate the least shares of every placement.

    Parameters
    ----------
    longest
        Longest time that any request can have on a GPU, s.
    """
    types = np.unique(tables.pool)
    models, slots = tables.enter.shape
    limit = tables.limit[types].astype(np.int64)
    least = np.full((len(types), models, slots, int(limit.max()) + 1, cells), np.inf)
    shortest = np.full((len(types), models, slots), np.inf)
    step = longest / (cells - 1)
    for g, kind in enumerate(types):
        for m in range(models):
            times = _times(tables, kind, m, int(limit[g, m]))
            spans = _spans(tables, m)
            common = _common(spans, len(times)) & (not tables.continuous)
            overhead = 0.0 if tables.continuous else float(tables.overhead[kind])
            for s, (first, last) in enumerate(spans, start=1):
                shortest[g, m, s] = overhead + times[first:last, 0].sum()
                for b in range(1, limit[g, m] + 1):
                    least[g, m, s, b] = tables.price[kind] * least_within(
                        times[first:last, :b], common[first:last], overhead, step, cells
                    )
    return Shares(least, shortest, step, limit)


def least_within(
    times: Floats, common: npt.NDArray[np.bool_], overhead: float, step: float, cells: int
) -> Floats:
    """Least share of a member of a batch of b, by cell of time, (i,).

    Parameters
    ----------
    times
        Seconds of each of its segments with 1 to b members, not falling in b, (k, b).
    common
        Segments that every placement runs: there all b are present, (k,).
    """
    members = times.shape[1]
    choices = np.arange(1, members + 1)
    # Where all b are present, b are present whatever the choice.
    choices = np.where(common[:, None], members, choices)
    time = np.where(common[:, None], times[:, -1:], times)
    share = time / choices
    budget = step * np.arange(1, cells + 1) - overhead
    best = np.full(cells, -np.inf)
    for multiplier in _MULTIPLIERS:
        value = (share + multiplier * time).min(axis=1).sum()
        np.maximum(best, value - multiplier * budget, out=best)
    needed = time.min(axis=1).sum()
    best[:-1][budget[:-1] < needed] = np.inf
    best[-1] = share.min(axis=1).sum()
    return np.asarray(best + overhead / members, np.float64)


def _times(tables: Tables, kind: int, model: int, limit: int) -> Floats:
    """Seconds of every step that is attributed by itself, by members, made monotone from below."""
    if tables.continuous:
        units = int(tables.unit_exit[model].max())
        times = tables.kind_time[kind, tables.unit_kind[model, :units], 1 : limit + 1]
    else:
        times = tables.segment_time[kind, model, : tables.segments[model], 1 : limit + 1]
    return np.asarray(np.minimum.accumulate(times[:, ::-1], axis=1)[:, ::-1], np.float64)


def _spans(tables: Tables, model: int) -> list[tuple[int, int]]:
    """First and one past the last of those steps, of each placement but all-device."""
    enter = tables.unit_enter if tables.continuous else tables.enter
    leave = tables.unit_exit if tables.continuous else tables.exit
    some = slice(1, int(tables.placements[model]))
    return list(zip(enter[model, some].tolist(), leave[model, some].tolist(), strict=True))


def _common(spans: list[tuple[int, int]], steps: int) -> npt.NDArray[np.bool_]:
    step = np.arange(steps)
    return np.asarray(np.all([(first <= step) & (step < last) for first, last in spans], axis=0))
