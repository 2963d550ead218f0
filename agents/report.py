"""Show evaluations: a table, CSV, JSON, and a plot of GPU seconds against violations."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from agents.bound_report import MEANING, TARGETS, Best, bound_dict, bound_words, gap_cell, unit_of
from agents.bounds.gaps import Floors
from agents.crossings import INPUT, INSIDE, NOTHING, OUTPUT, boundaries, share_of
from agents.crossings import MEANING as CROSSINGS
from agents.evaluation import Evaluation
from agents.figures import FIGURES
from agents.statistics import Interval
from splitenv.provenance import provenance
from splitenv.scenario import Scenario
from splitenv.tables import profile_digest


def table(
    evaluations: list[Evaluation], scenario: Scenario, episodes: int, floors: Floors | None = None
) -> Table:
    """Lay out what matters most, one row a policy, for a terminal."""
    view = Table(
        title=f"{scenario.title}, {scenario.load:g} requests/s",
        caption=f"{episodes} episodes of {scenario.decisions} requests, the same for every policy; "
        f"± half a 95% interval{_bound_caption(evaluations, scenario, floors)}",
        header_style="bold",
    )
    view.add_column("policy", no_wrap=True)
    for heading in ("in time %", "GPU s/request", "saved %"):
        view.add_column(heading, justify="right", no_wrap=True)
    if floors:
        view.add_column("above bound %", justify="right")
    for heading in ("p50 s", "p95 s", "p99 s", "batch"):
        view.add_column(heading, justify="right", no_wrap=True)
    for heading in ("device %", "split", "GPU busy %", "dropped %"):
        view.add_column(heading, justify="right")
    most = max(evaluation.figures["gpu_seconds"].value for evaluation in evaluations)
    digits = 3 - math.floor(math.log10(most)) if most > 0 else 3
    for evaluation in evaluations:
        view.add_row(evaluation.label, *_cells(evaluation.figures, digits, floors is not None))
    return view


def _bound_caption(evaluations: list[Evaluation], scenario: Scenario, floors: Floors | None) -> str:
    if floors is None:
        return ""
    goal = target(scenario)
    goals = list(dict.fromkeys([goal, *TARGETS]))
    words = bound_words(floors, goals, best_rule(evaluations, goal), unit_of(scenario))
    return (
        f". {words}. Above bound: at each policy's own attainment, in the first "
        f"{floors.episodes} episodes"
    )


def best_rule(evaluations: list[Evaluation], goal: float) -> Best | None:
    """The rule that keeps a target at the least GPU cost; None if none does."""
    able = [
        each
        for each in evaluations
        if not each.learned and each.figures["attainment"].value >= goal
    ]
    best = min(able, key=lambda each: each.figures["gpu_cost"].value, default=None)
    return None if best is None else Best(best.label, best.figures["above_bound"])


def objectives_table(evaluations: list[Evaluation]) -> Table:
    """Lay out latency, money and what crosses the network, one row a policy, for a terminal."""
    view = Table(
        title="three objectives: latency, money, what crosses the network",
        caption="$: rent of the busy GPU time of 1,000 requests; kB a request; shares of requests "
        "for which nothing crosses, of which the input or a tensor inside the model goes up, and "
        "for which a tensor inside the model or the output comes down",
        header_style="bold",
    )
    view.add_column("policy", no_wrap=True)
    heads = ("mean s", "p95 s", "$/1000", "kB up", "kB down")
    shares = ("nothing %", "input up %", "inside up %", "inside down %", "output down %")
    for heading in (*heads, *shares):
        view.add_column(heading, justify="right")
    for each in evaluations:
        figures, tally = each.figures, each.outcomes.tally
        requests = tally.by("tenant", "requests")
        mix = {name: sums.sum() / tally.of("requests").sum() for name, sums in requests.items()}
        crossed = (
            share_of(each.crossings, way, kind, mix)
            for way, kind in (
                ("up", NOTHING), ("up", INPUT), ("up", INSIDE), ("down", INSIDE), ("down", OUTPUT)
            )
        )  # fmt: skip
        view.add_row(
            each.label,
            _three_digits(figures["latency_mean"].value),
            _three_digits(figures["latency_p95"].value),
            _three_digits(figures["dollars"].value),
            _three_digits(figures["bytes_up"].value / 1e3),
            _three_digits(figures["bytes_down"].value / 1e3),
            *(_number(100 * share, 1) for share in crossed),
        )
    return view


def _cells(figures: dict[str, Interval], digits: int, bounded: bool) -> list[str]:
    latencies = (figures[f"latency_p{level}"].value for level in (50, 95, 99))
    return [
        _with_interval(figures["attainment"], 100, 2),
        _with_interval(figures["gpu_seconds"], 1, digits),
        _with_interval(figures["saving"], 100, 1),
        *([gap_cell(figures["above_bound"], 1)] if bounded else []),
        *(_three_digits(latency) for latency in latencies),
        _number(figures["batch"].value, 2),
        _number(100 * figures["device_share"].value, 1),
        _number(figures["split_ratio"].value, 2),
        _number(100 * figures["utilisation"].value, 1),
        _number(100 * figures["dropped"].value, 2),
    ]


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _with_interval(figure: Interval, factor: float, digits: int) -> str:
    half = factor * (figure.high - figure.low) / 2
    spread = "" if half != half else f" ± {half:.{digits}f}"
    return f"{_number(factor * figure.value, digits)}{spread}"


def as_csv(evaluations: list[Evaluation]) -> str:
    """Write every figure with its interval, one row a policy."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tiers = list(evaluations[0].tiers)
    names = [*FIGURES, *(f"attainment_{tier}" for tier in tiers)]
    writer.writerow(
        ["policy", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    )
    for evaluation in evaluations:
        figures = [*evaluation.figures.values(), *(evaluation.tiers[tier] for tier in tiers)]
        values = [value for each in figures for value in (each.value, each.low, each.high)]
        writer.writerow([evaluation.label, *("" if v != v else repr(v) for v in values)])
    return text.getvalue()


def as_dict(
    evaluations: list[Evaluation],
    scenario: Scenario,
    episodes: int,
    seed: int,
    floors: Floors | None = None,
) -> dict[str, Any]:
    """Collect the results and all that is needed to have them again, as plain data."""
    return {
        "scenario": scenario.model_dump(mode="json"),
        "scenario_digest": scenario.digest(),
        "profile_digest": profile_digest(scenario),
        "episodes": episodes,
        "seeds": [seed, seed + episodes - 1],
        "uncounted_requests_at_each_end": scenario.warmup,
        "intervals": "95%, bootstrap over episodes, paired across policies",
        "meaning": {**FIGURES, **_MEANING, "crossings": CROSSINGS},
        "bound": _bound(evaluations, scenario, floors, seed) if floors else None,
        "boundaries": boundaries(scenario),
        "policies": [evaluation.as_dict() for evaluation in evaluations],
        "provenance": provenance(),
    }


_MEANING = {
    "bound.gpu_cost_at": MEANING["bound.gpu_cost_at"],
    "bound.room": "of the rule that keeps a target at the least GPU cost, at its own setting: "
    "above_bound, and what can still be saved of its GPU cost at most, 1 - bound / cost",
}


def _bound(
    evaluations: list[Evaluation], scenario: Scenario, floors: Floors, seed: int
) -> dict[str, Any]:
    goals = dict.fromkeys([target(scenario), *TARGETS])
    best = {goal: best_rule(evaluations, goal) for goal in goals}
    return bound_dict(floors, best, scenario, seed)


def target(scenario: Scenario) -> float:
    """Return the attainment that the scenario promises: that of its strictest SLA class."""
    return max(sla.target for sla in scenario.sla.values())


def winner(figures: Mapping[str, tuple[float, float]], goal: float) -> tuple[str, bool]:
    """Choose a policy: least GPU time among those that attain the goal, else the nearest to it.

    Parameters
    ----------
    figures
        Attainment and GPU seconds per request, by label.

    Returns
    -------
    str, bool
        Its label, and whether it attains the goal.
    """
    able = [label for label, (attained, _) in figures.items() if attained >= goal]
    if able:
        return min(able, key=lambda label: figures[label][1]), True
    return max(figures, key=lambda label: figures[label][0]), False


def finding(evaluations: list[Evaluation], scenario: Scenario) -> str:
    """Say in one line who is best: least GPU time among those that keep the promise."""
    goal = target(scenario)
    by_label = {each.label: each for each in evaluations}
    label, keeps = winner(
        {
            label: (each.figures["attainment"].value, each.figures["gpu_seconds"].value)
            for label, each in by_label.items()
        },
        goal,
    )
    best = by_label[label]
    if not keeps:
        reached = 100 * best.figures["attainment"].value
        return (
            f"No policy serves {100 * goal:g}% in time; {best.label} comes closest with "
            f"{reached:.1f}%"
        )
    saving = 100 * best.figures["saving"].value
    if saving <= 0:
        return f"Nobody serves {100 * goal:g}% in time with less GPU time than all-cloud"
    return (
        f"{best.label} serves {100 * best.figures['attainment'].value:.1f}% in time with "
        f"{saving:.0f}% less GPU time than all-cloud"
    )
