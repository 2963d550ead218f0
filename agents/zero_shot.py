"""How policies do in worlds that they were not made for, beside the world that they were made for.

The yardstick is the rule that was cheapest, at its own setting, in the scenario that a held-out one
derives from; it keeps that setting, and nobody chooses anew in hindsight.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from agents.items import policy_of
from agents.judge import Cell, Standing
from agents.statistics import Interval, interval
from agents.suite import Suite


@dataclass(frozen=True)
class ZeroShot:
    """One scenario under a load, against the rule that was cheapest where it was tuned.

    Attributes
    ----------
    scenario, load
        The operating point.
    derives_from
        The scenario in which the rule was chosen; the same one in distribution.
    rule
        Label of that rule.
    more
        By policy, its cost over the rule's, less 1, both at their own settings and violations
        priced: below 0 is cheaper than the rule.
    """

    scenario: str
    load: str
    derives_from: str
    rule: str
    more: dict[str, Interval]


def zero_shot(cells: list[Cell], suite: Suite) -> list[ZeroShot]:
    """Compare every held-out scenario of a suite, and those that they derive from.

    A held-out scenario whose own origin is not in the suite under that load is left out.
    """
    made_for = {(cell.point.scenario, cell.point.load): cell for cell in cells}
    origins = set(suite.tuned_as.values())
    rows = []
    for cell in cells:
        name, load = cell.point.scenario, cell.point.load
        origin = suite.tuned_as.get(name, name)
        base = made_for.get((origin, load))
        if base is not None and origin in origins:
            rows.append(ZeroShot(name, load, origin, *_against(_best_rule(base), cell)))
    return rows


def _against(rule: str, cell: Cell) -> tuple[str, dict[str, Interval]]:
    by_label = {each.label: each for each in cell.standings}
    cost = 1.0 - by_label[rule].cost_savings
    more = {
        label: interval((1.0 - each.cost_savings) / cost - 1.0, cell.episodes)
        for label, each in by_label.items()
    }
    return rule, more


def _best_rule(cell: Cell) -> str:
    """Label of the rule that costs least at its own setting."""
    rules = {
        sweep.label for sweep in cell.point.sweeps if not policy_of(sweep.specs[0]).fingerprint()
    }

    def cost(each: Standing) -> float:
        return each.figures["cost"].value

    return min((each for each in cell.standings if each.label in rules), key=cost).label


def zero_shot_table(rows: list[ZeroShot], load: str) -> Table:
    """Lay a load's comparison out, each origin with its held-out scenarios beneath it."""
    rows = [row for row in rows if row.load == load]
    labels = list(dict.fromkeys(label for row in rows for label in row.more))
    view = Table(
        title=f"zero-shot, {load}: cost in % against the best rule of where a scenario comes from",
        caption="own settings, violations priced; ± half a 95% interval; = that rule; - does not "
        "fit",
        header_style="bold",
    )
    view.add_column("scenario", no_wrap=True)
    for label in labels:
        view.add_column(label, justify="right", overflow="fold")
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        cells = ["=" if label == row.rule else _signed(row.more.get(label)) for label in labels]
        last = after is not None and after.derives_from != row.derives_from
        view.add_row(row.scenario, *cells, end_section=last)
    return view


def _signed(more: Interval | None) -> str:
    return "-" if more is None else f"{100 * more.value:+.1f} ± {100 * more.half:.1f}"
