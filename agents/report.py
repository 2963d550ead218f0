"""Show evaluations: a table, CSV, JSON, and a plot of GPU seconds against violations."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from rich.table import Table

from agents.evaluation import Evaluation
from agents.figures import FIGURES
from agents.statistics import Interval
from splitenv.provenance import provenance
from splitenv.scenario import Scenario
from splitenv.tables import profile_digest


def table(evaluations: list[Evaluation], scenario: Scenario, episodes: int) -> Table:
    """Lay out what matters most, one row a policy, for a terminal."""
    view = Table(
        title=f"{scenario.title}, {scenario.load:g} requests/s",
        caption=f"{episodes} episodes of {scenario.decisions} requests, the same for every policy; "
        "± half a 95% interval",
        header_style="bold",
    )
    view.add_column("policy", no_wrap=True)
    for heading in ("in time %", "GPU s/request", "saved %", "p50 s", "p95 s", "p99 s", "batch"):
        view.add_column(heading, justify="right", no_wrap=True)
    for heading in ("device %", "split", "GPU busy %", "dropped %"):
        view.add_column(heading, justify="right")
    most = max(evaluation.figures["gpu_seconds"].value for evaluation in evaluations)
    digits = 3 - math.floor(math.log10(most)) if most > 0 else 3
    for evaluation in evaluations:
        view.add_row(evaluation.label, *_cells(evaluation.figures, digits))
    return view


def _cells(figures: dict[str, Interval], digits: int) -> list[str]:
    latencies = (figures[f"latency_p{level}"].value for level in (50, 95, 99))
    return [
        _with_interval(figures["attainment"], 100, 2),
        _with_interval(figures["gpu_seconds"], 1, digits),
        _with_interval(figures["saving"], 100, 1),
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
    return "-" if value != value else f"{value:.{digits}f}"


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
    evaluations: list[Evaluation], scenario: Scenario, episodes: int, seed: int
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
        "meaning": FIGURES,
        "policies": [evaluation.as_dict() for evaluation in evaluations],
        "provenance": provenance(),
    }


def target(scenario: Scenario) -> float:
    """Return the attainment that the scenario promises: that of its strictest SLA class."""
    return max(sla.target for sla in scenario.sla.values())


def finding(evaluations: list[Evaluation], scenario: Scenario) -> str:
    """Say in one line who is best: least GPU time among those that keep the promise."""
    goal = target(scenario)
    keeps = [e for e in evaluations if e.figures["attainment"].value >= goal]
    if not keeps:
        best = max(evaluations, key=lambda e: e.figures["attainment"].value)
        reached = 100 * best.figures["attainment"].value
        return (
            f"No policy serves {100 * goal:g}% in time; {best.label} comes closest with "
            f"{reached:.1f}%"
        )
    best = min(keeps, key=lambda e: e.figures["gpu_seconds"].value)
    saving = 100 * best.figures["saving"].value
    if saving <= 0:
        return f"Nobody serves {100 * goal:g}% in time with less GPU time than all-cloud"
    return (
        f"{best.label} serves {100 * best.figures['attainment'].value:.1f}% in time with "
        f"{saving:.0f}% less GPU time than all-cloud"
    )
