"""Show a judged suite: verdicts in words, tables for a terminal, JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
from rich.table import Table

from agents.across import Across, across
from agents.bound_report import MEANING, Best, bound_dict, bound_words, gap_cell, percent, unit_of
from agents.capacity import capacity
from agents.crossings import MEANING as CROSSINGS
from agents.crossings import boundaries
from agents.curves import ROOM, WIDEST
from agents.figures import FIGURES
from agents.judge import ALL_CLOUD, MOST_EPISODES, Cell, Standing, within
from agents.statistics import Interval
from agents.suite import Suite
from agents.zero_shot import zero_shot
from splitenv.provenance import provenance
from splitenv.tables import profile_digest


def verdict(cell: Cell, target: float) -> str:
    """Say in a sentence who is cheapest at a target, or that nobody gets there."""
    best = cell.best(target)
    if best is not None:
        return f"{_saves(best, target)}{_level(cell, best, target)}"
    top = max(cell.standings, key=lambda each: each.figures["attainment"].value)
    reached = percent(round(top.figures["attainment"].value, 3))
    words = f"Nobody serves {percent(target)} in time; {top.label} comes closest with {reached}"
    asked = cell.effective[target]
    if asked < target:
        words += f", and no more than {percent(round(cell.attainable.value, 3))} is attainable"
        instead = cell.best(asked)
        if instead is not None:
            words += f". Of what can be asked for, {_saves(instead, asked)}"
    return words + _goodput(cell)


def _saves(best: Standing, target: float) -> str:
    saving = best.saving[target]
    at = percent(round(target, 3))
    if not saving.value > 0.0:
        return f"{best.label} serves {at} in time, and nobody does so with less GPU time"
    return (
        f"{best.label} serves {at} in time with {100 * saving.value:.0f}%{_range(saving)} "
        "less GPU time than all-cloud"
    )


def _range(saving: Interval) -> str:
    if not (math.isfinite(saving.low) and math.isfinite(saving.high)):
        return ""
    return f" ({100 * saving.low:.0f} to {100 * saving.high:.0f})"


def _level(cell: Cell, best: Standing, target: float) -> str:
    level = cell.level_with(best, target)
    return f"; level with it: {', '.join(level)}" if level else ""


def _goodput(cell: Cell) -> str:
    """What matters where nobody keeps the promise: who brings most requests home in time."""
    most = max(cell.standings, key=lambda each: each.figures["goodput"].value)
    cloud = next(each for each in cell.standings if each.label == ALL_CLOUD)
    words = f". In time per second: {most.label} {most.figures['goodput'].value:.3g}"
    if most is not cloud:
        words += f", all-cloud {cloud.figures['goodput'].value:.3g}"
    return words


def best_rule(cell: Cell, target: float) -> Best | None:
    """The best rule at a target, and how far above the bound it is; None if none gets there."""
    best = cell.best_rule(target)
    return None if best is None else Best(best.label, best.above[target])


def ranked(cell: Cell, target: float) -> list[Standing]:
    """Order the policies of a cell: who saves most at the target, then who attains most."""
    return sorted(
        cell.standings,
        key=lambda each: (each.saving[target].value, each.figures["attainment"].value),
        reverse=True,
    )


def cell_table(cell: Cell, targets: tuple[float, ...]) -> Table:
    """Lay out a cell, one row a policy, the best at the first target first."""
    world, target = cell.point.world, targets[0]
    goal = asked(cell, target)
    view = Table(
        title=f"{cell.point.scenario}, {cell.point.load}: {world.load:.3g} requests/s, "
        f"{percent(round(cell.attainable.value, 4))} attainable",
        caption=f"{verdict(cell, target)}. {_bound_caption(cell, targets)}{cell.episodes} "
        "episodes; in time to batch: each policy's own setting; saved: the best setting at the "
        "target; ± half a 95% interval",
        header_style="bold",
    )
    view.add_column("policy", no_wrap=True)
    tiers = list(cell.standings[0].tiers)
    heads = ["in time %", "GPU s", f"saved at {percent(target)}"]
    for head in heads:
        view.add_column(head, justify="right", no_wrap=True)
    if cell.floors:
        view.add_column("above bound %", justify="right", max_width=7)
        view.add_column(f"at {percent(round(goal, 3))}", justify="right", max_width=6)
    heads = [*(f"{tier} %" for tier in tiers), "spread", "p95 s", "good/s", "$/1000", "batch"]
    for head in heads:
        view.add_column(head, justify="right", no_wrap=True)
    for each in ranked(cell, target):
        figures = each.figures
        gaps = (figures["above_bound"], each.above[goal]) if cell.floors else ()
        view.add_row(
            each.label,
            _with_half(figures["attainment"], 100, 2),
            f"{figures['gpu_seconds'].value:.3g}",
            _with_half(each.saving[target], 100, 1, "%"),
            *(gap_cell(gap, 0) for gap in gaps),
            *(_plain(100 * each.tiers[tier].value, 1) for tier in tiers),
            _plain(100 * figures["spread"].value, 1),
            _seconds(figures["latency_p95"].value),
            f"{figures['goodput'].value:.3g}",
            _plain(figures["dollars"].value, 2),
            _plain(figures["batch"].value, 1),
        )
    return view


def asked(cell: Cell, target: float) -> float:
    """The target, or what can be asked for in its place where no rule gets there."""
    return target if cell.best_rule(target) else cell.effective[target]


def _bound_caption(cell: Cell, targets: tuple[float, ...]) -> str:
    if cell.floors is None:
        return ""
    goal = asked(cell, targets[0])
    words = bound_words(
        cell.floors, [goal, *targets[1:]], best_rule(cell, goal), unit_of(cell.point.world)
    )
    return (
        f"{words}. Above the bound: each policy's own setting, and the best one at "
        f"{percent(round(goal, 3))}, in the first {cell.floors.episodes} episodes. "
    )


def across_table(rows: tuple[Across, ...], load: str, target: float) -> Table:
    """Lay out what the scenarios of a load come to together."""
    view = Table(
        title=f"all scenarios, {load}",
        caption="interquartile means over scenarios; cost: own settings, violations priced; GPU: "
        "at equal attainment, nothing saved where a policy does not get there",
        header_style="bold",
    )
    view.add_column("policy", no_wrap=True)
    for head in ("cost saved", f"GPU saved at {percent(target)}", "gets there"):
        view.add_column(head, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: row.cost_saving.value, reverse=True):
        view.add_row(
            row.label,
            _with_half(row.cost_saving, 100, 1, "%"),
            _with_half(row.saving, 100, 1, "%"),
            f"{row.reached} of {row.of}",
        )
    return view


def _with_half(figure: Interval, factor: float, digits: int, unit: str = "") -> str:
    if not math.isfinite(figure.value):
        return "-"
    half = f" ± {factor * figure.half:.{digits}f}" if math.isfinite(figure.half) else ""
    return f"{factor * figure.value:.{digits}f}{half}{unit}"


def _seconds(value: float) -> str:
    """Three digits; a quantile is infinite where so many were dropped."""
    if math.isinf(value):
        return "never"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _plain(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def as_dict(
    cells: list[Cell],
    suite: Suite,
    overrides: dict[str, object],
    seed: int,
    precision: float | None,
) -> dict[str, Any]:
    """Collect the results and all that is needed to have them again, as plain data."""
    return {
        "suite": suite.model_dump(mode="json"),
        "overrides": overrides,
        "precision": precision,
        "most_episodes": MOST_EPISODES,
        "meaning": {
            **FIGURES,
            "attainable": "share of requests that some placement alone on an idle pool would meet",
            "effective_targets": f"what can be asked for: the target, at most attainable - {ROOM}",
            "saving_at": "GPU cost saved against all-cloud by the cheapest mixture of two "
            "neighbouring settings that attains the target; null where none does",
            "area": f"area between its curve and {suite.reference}'s, over the latter's area, "
            f"where both have a curve, up to {percent(WIDEST)} violations",
            **MEANING,
            "crossings": CROSSINGS,
            "capacity": "requests/s that the pool serves all-cloud in its largest batches",
        },
        "intervals": "95%, bootstrap over episodes, paired across policies and settings",
        "cells": [_cell(cell, suite, seed, precision) for cell in cells],
        "across": {
            load: [
                {
                    "policy": row.label,
                    "cost_saving": vars(row.cost_saving),
                    "saving": vars(row.saving),
                    "reached": row.reached,
                    "of": row.of,
                }
                for row in rows
            ]
            for load, rows in across(cells, suite.targets[0]).items()
        },
        "zero_shot": [
            {**vars(row), "more": {label: vars(more) for label, more in row.more.items()}}
            for row in zero_shot(cells, suite)
        ],
        "provenance": provenance(),
    }


def _cell(cell: Cell, suite: Suite, seed: int, precision: float | None) -> dict[str, Any]:
    world = cell.point.world
    best = {target: cell.best(target) for target in suite.targets}
    return {
        "scenario": cell.point.scenario,
        "load": cell.point.load,
        "requests_per_second": world.load,
        "capacity": capacity(world),
        "config": world.model_dump(mode="json"),
        "scenario_digest": world.digest(),
        "profile_digest": profile_digest(world),
        "episodes": cell.episodes,
        "seeds": [seed, seed + cell.episodes - 1],
        "precise_enough": None if precision is None else within(cell, precision),
        "uncounted_requests_at_each_end": world.warmup,
        "attainable": vars(cell.attainable),
        "attainable_by": {
            kind: {name: vars(figure) for name, figure in figures.items()}
            for kind, figures in cell.attainable_by.items()
        },
        "effective_targets": {f"{target:g}": cell.effective[target] for target in suite.targets},
        "verdicts": {f"{target:g}": verdict(cell, target) for target in suite.targets},
        "best": {f"{target:g}": each.label if each else None for target, each in best.items()},
        "bound": _bound(cell, suite, seed),
        "boundaries": boundaries(world),
        "policies": [_standing(each, suite) for each in cell.standings],
    }


def _bound(cell: Cell, suite: Suite, seed: int) -> dict[str, Any] | None:
    if cell.floors is None:
        return None
    best = {target: best_rule(cell, target) for target in suite.targets}
    return bound_dict(cell.floors, best, cell.point.world, seed)


def _standing(each: Standing, suite: Suite) -> dict[str, Any]:
    return {
        "label": each.label,
        "policy": each.policy,
        "figures": {name: vars(figure) for name, figure in each.figures.items()},
        "groups": each.groups,
        "crossings": each.crossings,
        "learned": each.learned,
        "curve": [
            {
                "policy": setting["policy"],
                "violations": vars(setting["violations"]),
                "gpu_cost": vars(setting["gpu_cost"]),
            }
            for setting in each.settings
        ],
        "gpu_cost_at": {f"{target:g}": vars(each.cost[target]) for target in suite.targets},
        "saving_at": {f"{target:g}": vars(each.saving[target]) for target in suite.targets},
        "above_bound_at": {
            f"{target:g}": vars(each.above[target]) for target in suite.targets if each.above
        },
        "area": vars(each.area),
    }


def as_csv(cells: list[Cell], suite: Suite) -> str:
    """Write every figure with its interval, one row a cell and policy."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [*FIGURES, *(f"saving_at_{target:g}" for target in suite.targets), "area"]
    if cells[0].floors:
        names += [f"above_bound_at_{target:g}" for target in suite.targets]
    ends = ("", "_low", "_high")
    heads = [f"{name}{end}" for name in names for end in ends]
    writer.writerow(["scenario", "load", "requests_per_second", "policy", *heads])
    for cell in cells:
        for each in cell.standings:
            figures = [*(each.figures[name] for name in FIGURES)]
            figures += [*(each.saving[target] for target in suite.targets), each.area]
            figures += [each.above[target] for target in suite.targets if each.above]
            values = [end for figure in figures for end in (figure.value, figure.low, figure.high)]
            about = [cell.point.scenario, cell.point.load, repr(cell.point.world.load), each.label]
            writer.writerow([*about, *(repr(v) if np.isfinite(v) else "" for v in values)])
    return text.getvalue()
