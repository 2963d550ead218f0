"""Claim: phones get faster, so that more can be left to them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from matplotlib.figure import Figure

from agents.drawing import FAINT
from agents.reproduce.claim import MARKS, Claim, Finding, mark, percent, table
from agents.reproduce.pictures import (
    ALONE,
    HOW,
    TONES,
    draw_saving,
    label,
    log_axis,
    percent_axis,
    sheet,
)
from agents.reproduce.study import (
    REFERENCE,
    RULES,
    STRONGEST,
    Saved,
    Study,
    reaches,
    settings,
)
from agents.reproduce.worlds import BASE, standard
from agents.statistics import Interval
from splitenv.scenario import Scenario

TARGET_S = 10.0
SPEEDS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)

Rows = dict[str, list[Saved]]
"""Savings along an axis, by rule."""


def _specs() -> list[str]:
    return [spec for rule in RULES for spec in settings(rule, BASE)]


def _compare(study: Study, worlds: tuple[Scenario, ...]) -> Rows:
    return {
        rule: [study.compare(world, settings(rule, BASE)) for world in worlds] for rule in RULES
    }


def _alone(study: Study, worlds: tuple[Scenario, ...], target: float) -> list[Interval]:
    """What splitting saves in each world, each request alone."""
    targets = np.array([target])
    return [study.interval(study.alone(world, targets)[0][:, 0]) for world in worlds]


@cache
def faster() -> tuple[Scenario, ...]:
    """The fleet with all devices so many times as fast."""
    return tuple(
        standard(TARGET_S, {"clients.generations": [{"faster": speed, "share": 1.0}]})
        for speed in SPEEDS
    )


def find(study: Study) -> Finding:
    """Compare the rules as phones get faster."""
    rows = _compare(study, faster())
    alone = _alone(study, faster(), TARGET_S)
    at = {rule: study.interval(reaches(SPEEDS, row, 0.6)) for rule, row in rows.items()}
    view = table(
        f"GPU time saved against all-cloud at equal attainment and {TARGET_S:g} s, %, by speed of "
        "all devices",
        MARKS,
        ("policy",),
        tuple(f"{speed:g}x" for speed in SPEEDS),
    )
    view.add_row("one request alone", *(percent(each) for each in alone))
    for rule, row in rows.items():
        view.add_row(rule, *(f"{percent(each.saving)}{mark(each)}" for each in row))
    first, last = rows[REFERENCE][0].saving, rows[REFERENCE][-1].saving
    return Finding(
        ours=f"{REFERENCE} saves {percent(first)}% with phones as measured and {percent(last)}% "
        f"with phones {SPEEDS[-1]:g} times as fast; 60% is saved from "
        f"{_times(at[REFERENCE])} on, by {STRONGEST} from {_times(at[STRONGEST])} on.",
        tables=(view,),
        data={
            "latency_target_s": TARGET_S,
            "speeds": SPEEDS,
            "alone": [vars(each) for each in alone],
            "rules": {rule: [each.as_dict() for each in row] for rule, row in rows.items()},
            "reaches_60_percent_at": {rule: vars(each) for rule, each in at.items()},
        },
        draw=lambda: _draw(rows, alone),
    )


def _times(figure: Interval) -> str:
    if not math.isfinite(figure.value):
        return f"more than {SPEEDS[-1]:g} times"
    return f"{figure.value:.1f} times"


def _draw(rows: Rows, alone: list[Interval]) -> Figure:
    first, last = (100 * rows[REFERENCE][place].saving.value for place in (0, -1))
    figure, (ax,) = sheet(
        f"Faster phones take over: with phones {SPEEDS[-1]:g} times as fast, {last:.0f}% of GPU "
        f"time is saved instead of {first:.0f}%",
        "Saved against all-cloud at equal attainment. Stable Diffusion 2.1-base, two A100s, light "
        f"load, latency target {TARGET_S:g} s.\nDotted: one request alone, no queue, no batch. "
        f"Bars: 95%.\n{HOW}",
        (9.0, 5.6),
    )
    figure.subplots_adjust(left=0.09, right=0.8, top=0.79, bottom=0.1)
    values = [100 * each.value for each in alone]
    ax.plot(SPEEDS, values, ":", color=TONES[ALONE], linewidth=1.8)
    for rule, row in rows.items():
        draw_saving(ax, SPEEDS, row, TONES[rule])
    ends = {rule: 100 * row[-1].saving.value for rule, row in rows.items()} | {ALONE: values[-1]}
    words = {rule: rule for rule in rows} | {ALONE: "one request alone"}
    for shift, name in zip((9, 0, -9), sorted(ends, key=lambda key: -ends[key]), strict=True):
        label(ax, words[name], (SPEEDS[-1], ends[name]), TONES[name], xytext=(6, shift))
    ax.axhline(60, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    ax.set_xscale("log")
    ax.set_ylim(0, 100)
    log_axis(ax.xaxis, SPEEDS, "x")
    percent_axis(ax.yaxis)
    ax.set_xlabel("speed of all devices, measured ones = 1 (log scale)")
    ax.set_ylabel("GPU time saved against all-cloud")
    return figure


CLAIM = Claim(
    title="Faster phones",
    theirs="Phones get faster, so that more can be left to them (its motivation); no figure "
    "could be read.",
    assumed="Every device of sd-mobile's fleet so many times as fast as measured, networks and "
    f"GPUs as they are; two A100s, light load, a latency target of {TARGET_S:g} s.",
    played=lambda: [(world, _specs()) for world in faster()],
    find=find,
)
