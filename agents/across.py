"""Policies over all the scenarios of a load, in interquartile means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.judge import Cell
from agents.statistics import Interval, interquartile_mean, interval


@dataclass(frozen=True)
class Across:
    """One policy over the scenarios of a load.

    Attributes
    ----------
    cost_saving
        Interquartile mean over scenarios of the cost saved against all-cloud, at its own setting.
    saving
        Interquartile mean of the GPU cost saved at the first target, over the scenarios in which
        anybody gets there; nothing saved where this policy does not.
    reached
        In how many of those it gets there.
    """

    label: str
    cost_saving: Interval
    saving: Interval
    reached: int
    of: int


def across(cells: list[Cell], target: float) -> dict[str, tuple[Across, ...]]:
    """Put the scenarios of each load together, for the policies that played in all of them."""
    loads: dict[str, list[Cell]] = {}
    for cell in cells:
        loads.setdefault(cell.point.load, []).append(cell)
    return {load: _across(of, target) for load, of in loads.items() if len(of) > 1}


def _across(cells: list[Cell], target: float) -> tuple[Across, ...]:
    by_label = [{each.label: each for each in cell.standings} for cell in cells]
    can = [place for place, cell in enumerate(cells) if cell.best(target)]
    rows = []
    for label in by_label[0]:
        if not all(label in standings for standings in by_label):
            continue
        mine = [standings[label] for standings in by_label]
        reached = [place for place in can if np.isfinite(mine[place].saving[target].value)]
        saved = [np.where(np.isfinite(s), s, 0.0) for s in (m.savings[target] for m in mine)]
        none = np.full(len(mine[0].cost_savings), np.nan)
        together = interquartile_mean(np.column_stack([saved[p] for p in can])) if can else none
        cost = interquartile_mean(np.column_stack([each.cost_savings for each in mine]))
        fewest = min(cell.episodes for cell in cells)
        rows.append(
            Across(
                label, interval(cost, fewest), interval(together, fewest), len(reached), len(can)
            )
        )
    return tuple(rows)
