"""Learned policies over all cells, each with the same weight, against the best single rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.judge import Cell
from agents.statistics import Floats, Interval, interval


@dataclass(frozen=True)
class Overall:
    """Learned policies over all cells, against the one rule that is best over them.

    Attributes
    ----------
    rule
        Of those that play every cell, tuned for each scenario, the one whose cost over all-cloud's
        is least in the mean over cells.
    cost
        That mean of the learned policies', seeds averaged, over the rule's, minus 1; all at their
        own settings.
    cells
        How many, each with the same weight.
    """

    rule: str
    cost: Interval
    cells: int


def overall(judged: list[tuple[Cell, list[str]]]) -> Overall:
    """Put cells together, each with the labels of its learned policies."""
    ours = []
    rules: dict[str, list[Floats]] = {}
    for cell, learned in judged:
        costs = {each.label: 1.0 - each.cost_savings for each in cell.standings}
        ours.append(mean_of([costs[label] for label in learned]))
        for each in cell.standings:
            if each.label not in learned and not each.learned:
                rules.setdefault(each.label, []).append(costs[each.label])
    means = {name: mean_of(rows) for name, rows in rules.items() if len(rows) == len(judged)}
    best = min(means, key=lambda name: float(means[name][0]))
    fewest = min(cell.episodes for cell, _ in judged)
    return Overall(best, interval(mean_of(ours) / means[best] - 1.0, fewest), len(judged))


def said(found: Overall) -> str:
    """The same as a sentence."""
    return (
        f"Over {found.cells} cells with equal weights, a request costs {percent(found.cost)}% "
        f"beside the best single rule, {found.rule}."
    )


def percent(value: Interval) -> str:
    """A relative difference and its interval, in %."""
    if value.value != value.value:
        return "-"
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"


def mean_of(rows: list[Floats]) -> Floats:
    """Mean over policies or cells, by resample."""
    return np.asarray(np.mean(rows, axis=0), np.float64)
