"""The verdict in words: who is best, by how much, how certain that is, how far from the bound."""

from __future__ import annotations

import math

import numpy as np

from agents.bound_report import Best, bound_words, unit_of
from agents.bounds.gaps import Floors
from agents.evaluation import Evaluation
from agents.html.words import percent, points
from agents.judge import Cell
from agents.statistics import Interval, interval, ratios, resamples
from agents.suite_report import asked, best_rule
from agents.suite_report import verdict as sentence


def cell_verdict(cell: Cell, target: float) -> list[str]:
    """Say who is best in a cell, how certain that is, and how far from the bound."""
    best = cell.best(target)
    if best is None:
        said = [f"{part}." for part in sentence(cell, target).rstrip(".").split(". ")]
        return [*said, *_bound(cell, target)]
    saving = best.saving[target]
    said = [_saves(best.label, target, saving)]
    said += _certainty(saving, cell.episodes)
    level = cell.level_with(best, target)
    if level:
        said.append(_level(level))
    else:
        rest = [s for s in cell.standings if s is not best and np.isfinite(s.saving[target].value)]
        after = max(rest, key=lambda each: each.saving[target].value, default=None)
        if after is not None:
            with np.errstate(invalid="ignore"):
                more = interval(best.savings[target] - after.savings[target], cell.episodes)
            said.append(_next(after.label, after.saving[target], more))
    return [*said, *_bound(cell, target)]


def _bound(cell: Cell, target: float) -> list[str]:
    """The bound at the target, or where no rule gets there at what can be asked for."""
    if cell.floors is None:
        return []
    goal = asked(cell, target)
    return bound_sentence(cell.floors, goal, best_rule(cell, goal), unit_of(cell.point.world))


def bound_sentence(floors: Floors, goal: float, rule: Best | None, unit: str) -> list[str]:
    """Say how far the best rule at a target is from the bound."""
    words = bound_words(floors, [goal], rule, unit)
    return [f"{words} (over the first {_episodes(floors.episodes)})."]


def _episodes(count: int) -> str:
    return "episode" if count == 1 else f"{count} episodes"


def _saves(label: str, target: float, saving: Interval) -> str:
    if not saving.value > 0.0:
        return f"Nobody serves {percent(target)} in time with less GPU time than {label}."
    return (
        f"{label} serves {percent(target)} in time with {100 * saving.value:.0f}% less GPU time "
        "than all-cloud."
    )


def _certainty(saving: Interval, episodes: int) -> list[str]:
    if not saving.value > 0.0:
        return []
    if not math.isfinite(saving.high):
        return ["How certain that is, a single episode cannot say."]
    if not math.isfinite(saving.low):
        return [
            "In some resamples of the episodes it just misses the target, so that it is certain "
            f"only that the saving is at most {100 * saving.high:.0f}%."
        ]
    return [
        f"With 95% confidence it saves {100 * saving.low:.0f} to {100 * saving.high:.0f}%, from "
        f"{episodes} episodes that were the same for every policy."
    ]


def _level(level: list[str]) -> str:
    return f"Level with it, so that these episodes cannot tell them apart: {', '.join(level)}."


def _next(label: str, saving: Interval, more: Interval) -> str:
    ends = f"{points(more.low)} to {points(more.high)}"
    if math.isinf(more.high):
        ends = f"at least {points(more.low)}"
    return (
        f"Next comes {label} with {points(saving.value)}%: {points(more.value)} percentage points "
        f"less ({ends}), so that the order is certain."
    )


def evaluations_verdict(evaluations: list[Evaluation], goal: float, seed: int) -> list[str]:
    """Say who keeps the promise with the least GPU time, at single settings."""
    keeps = [each for each in evaluations if each.figures["attainment"].value >= goal]
    best = min(keeps, key=lambda each: each.figures["gpu_cost"].value, default=None)
    episodes = len(evaluations[0].outcomes.tally.sums)
    if best is None:
        return _nobody(evaluations, goal, episodes)
    met, saving = best.figures["attainment"], best.figures["saving"]
    said = [_saves(best.label, met.value, saving), *_certainty(saving, episodes)]
    if math.isnan(met.low):
        said.append(f"Whether it keeps the promised {percent(goal)}, one episode cannot say.")
    elif met.low < goal:
        said.append(
            f"Whether it keeps the promised {percent(goal)} is not certain: "
            f"{100 * met.low:.2f} to {100 * met.high:.2f}%."
        )
    return [*said, *_others(best, [each for each in keeps if each is not best], seed)]


def _others(best: Evaluation, others: list[Evaluation], seed: int) -> list[str]:
    """Who is level with the best, or else who comes next."""
    mine = best.outcomes.tally.of("gpu_cost")
    weights = resamples(len(mine), seed)

    def less_than(other: Evaluation) -> Interval:
        theirs = other.outcomes.tally.of("gpu_cost")
        return interval(ratios(theirs - mine, theirs, weights), len(mine))

    apart = {other.label: less_than(other) for other in others}
    level = [label for label, less in apart.items() if not less.low > 0.0]
    if level:
        return [_level(level)]
    if not apart:
        return []
    label, less = min(apart.items(), key=lambda pair: pair[1].value)
    return [
        f"Next comes {label}, than which it needs {points(less.value)}% less GPU time "
        f"({points(less.low)} to {points(less.high)}): the order is certain."
    ]


def _nobody(evaluations: list[Evaluation], goal: float, episodes: int) -> list[str]:
    top = max(evaluations, key=lambda each: each.figures["attainment"].value)
    met = top.figures["attainment"]
    sure = "" if math.isnan(met.low) else f" ({100 * met.low:.2f} to {100 * met.high:.2f})"
    return [
        f"Nobody serves the promised {percent(goal)} in time.",
        f"{top.label} comes closest with {100 * met.value:.2f}%{sure}, in {_episodes(episodes)}.",
    ]
