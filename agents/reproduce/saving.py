"""Claim: up to 60% of cloud GPU time is saved; on each GPU, as a curve over the latency target."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from agents.drawing import FAINT
from agents.reproduce.claim import MARKS, Claim, Finding, seconds, short, table
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
    Played,
    Saved,
    Study,
    crossing,
    reaches,
    settings,
)
from agents.reproduce.worlds import BASE, as_loaded, base_share, half_busy, under_load, with_target
from agents.statistics import Floats, Interval
from splitenv.profiles.catalogue import load_gpu, load_model, names
from splitenv.scenario import Scenario, load_scenario

TARGETS = (4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0)
FINE = np.geomspace(2.0, TARGETS[-1], 160)
LEVEL = 0.6
COLUMNS = 3
LOADS = {"light": half_busy, "full": as_loaded}

Key = tuple[str, str, str]
"""GPU, load, rule."""


@cache
def gpus() -> tuple[str, ...]:
    """Every shipped GPU with figures for the base scenario's model, the fastest first."""
    workload = load_scenario(BASE).models[0]
    chain = load_model(workload.model).chain(workload.steps)
    alone = {name: load_gpu(name).unit_times(chain) for name in names("gpus")}
    known = {name: float(times[1][:, 0].sum()) for name, times in alone.items() if times}
    return tuple(sorted(known, key=known.__getitem__))


@cache
def worlds(gpu: str, load: str) -> tuple[Scenario, ...]:
    """Two GPUs of a type under a load, with each target."""
    pool = {"pool": {"gpu": gpu, "count": 2}}
    rate = LOADS[load](load_scenario(BASE, pool))
    return tuple(under_load(with_target(target, pool), rate) for target in TARGETS)


def played() -> list[Played]:
    """Both rules, on every GPU, under both loads, with every target."""
    specs = [spec for rule in RULES for spec in settings(rule, BASE)]
    return [(world, specs) for gpu in gpus() for load in LOADS for world in worlds(gpu, load)]


def find(study: Study) -> Finding:
    """Compare everywhere, and say where 60% is reached."""
    alone = {gpu: study.alone(worlds(gpu, "light")[0], FINE) for gpu in gpus()}
    saved = {
        (gpu, load, rule): [
            study.compare(world, settings(rule, BASE)) for world in worlds(gpu, load)
        ]
        for gpu in gpus()
        for load in LOADS
        for rule in RULES
    }
    at = {key: study.interval(reaches(TARGETS, row, LEVEL)) for key, row in saved.items()}
    single = {
        key: study.interval(reaches(TARGETS, row, LEVEL, single=True)) for key, row in saved.items()
    }
    at_alone = {
        gpu: study.interval(crossing(FINE, values[0], LEVEL)) for gpu, values in alone.items()
    }
    return Finding(
        ours=_sentence(at, at_alone),
        tables=(_points(at, single, at_alone), _curves(saved)),
        data=_data(saved, at, single, alone, at_alone),
        draw=lambda: _draw(saved, at, alone),
    )


def _sentence(at: dict[Key, Interval], at_alone: dict[str, Interval]) -> str:
    single = [each.value for each in at_alone.values()]
    light = [at[gpu, "light", REFERENCE] for gpu in gpus()]
    full = {gpu: at[gpu, "full", REFERENCE].value for gpu in gpus()}
    never = [gpu for gpu, value in full.items() if not np.isfinite(value)]
    words = (
        f"60% is saved on every GPU: by splitting alone at {_range(single)} s, by "
        f"{REFERENCE} under light load at {_range([each.value for each in light])} s"
    )
    if never:
        words += (
            f"; under full load, not by {TARGETS[-1]:g} s on {' and '.join(never)}, where "
            "all-cloud itself fills batches"
        )
    return words + "."


def _range(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


def _points(
    at: dict[Key, Interval], single: dict[Key, Interval], at_alone: dict[str, Interval]
) -> Table:
    view = table(
        "Latency target at which 60% of all-cloud's GPU time is saved, s",
        "alone: splitting only, no queue, no batch; light: half busy if all-cloud served requests "
        "one by one; full: sd-mobile's share of what the pool can serve in its largest batches. "
        "All at 99% in time: where a shorter target saves as much at less, the first that has 99%",
        ("GPU", "all-cloud"),
        ("alone", *(_head(load, rule) for load in LOADS for rule in RULES)),
    )
    most = TARGETS[-1]
    for baseline, points in (("as served", at), ("one by one", single)):
        for gpu in gpus():
            row = [at_alone[gpu], *(points[gpu, load, rule] for load in LOADS for rule in RULES)]
            view.add_row(gpu, baseline, *(seconds(each, most) for each in row))
        view.add_section()
    return view


def _head(load: str, rule: str) -> str:
    """Head a column, in three lines."""
    return f"{load},\n{rule}".replace("+", "\n+")


def _curves(saved: dict[Key, list[Saved]]) -> Table:
    view = table(
        "GPU time saved against all-cloud at equal attainment, %, by latency target",
        MARKS,
        ("GPU", "load", "policy"),
        ("1/s", *(f"{target:g} s" for target in TARGETS)),
    )
    for (gpu, load, rule), row in saved.items():
        rate = worlds(gpu, load)[0].load
        cells = [short(each) for each in row]
        view.add_row(gpu, load, rule, f"{rate:.2f}", *cells)
    return view


def _data(
    saved: dict[Key, list[Saved]],
    at: dict[Key, Interval],
    single: dict[Key, Interval],
    alone: dict[str, tuple[Floats, Floats]],
    at_alone: dict[str, Interval],
) -> dict[str, Any]:
    return {
        "level": LEVEL,
        "targets_s": TARGETS,
        "alone": [
            {
                "gpu": gpu,
                "reached_at_s": vars(at_alone[gpu]),
                "targets_s": FINE,
                "saving": values[0][0],
                "attainable": values[1][0],
            }
            for gpu, values in alone.items()
        ],
        "loaded": [
            {
                "gpu": gpu,
                "load": load,
                "requests_per_s": worlds(gpu, load)[0].load,
                "rule": rule,
                "reached_at_s": vars(at[gpu, load, rule]),
                "of_single_reached_at_s": vars(single[gpu, load, rule]),
                "points": [each.as_dict() for each in row],
            }
            for (gpu, load, rule), row in saved.items()
        ],
    }


def _draw(
    saved: dict[Key, list[Saved]],
    at: dict[Key, Interval],
    alone: dict[str, tuple[Floats, Floats]],
) -> Figure:
    values = [at[gpu, "light", rule].value for gpu in gpus() for rule in RULES]
    figure, axes = sheet(
        f"60% of cloud GPU time is saved on every GPU, at latency targets of {min(values):.0f} to "
        f"{max(values):.0f} s under light load",
        "Saved against all-cloud at equal attainment: Stable Diffusion 2.1-base, 50 steps, two "
        "GPUs. Solid: light load, half busy if served one by one.\n"
        f"Dashed: full load, {100 * base_share():.0f}% of what the pool serves in its largest "
        f"batches. Dotted: one request alone, no queue, no batch. Bars: 95%.\n{HOW}",
        (10.4, 7.6),
        math.ceil(len(gpus()) / COLUMNS),
        COLUMNS,
        dpi=84,
        sharex=True,
        sharey=True,
    )
    figure.subplots_adjust(left=0.075, right=0.98, top=0.83, bottom=0.07, hspace=0.16, wspace=0.07)
    for ax in axes[len(gpus()) :]:
        ax.set_visible(False)
    for place, (gpu, ax) in enumerate(zip(gpus(), axes, strict=False)):
        ax.axhline(100 * LEVEL, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        ax.set_title(
            load_gpu(gpu).title.removeprefix("NVIDIA "), size=9, loc="left", color="#333333"
        )
        curve, could = alone[gpu][0][0], alone[gpu][1][0]
        ax.plot(FINE[could >= 0.99], 100 * curve[could >= 0.99], ":", color=TONES[ALONE], lw=1.8)
        for rule in RULES:
            for load, line in (("full", "--"), ("light", "-")):
                draw_saving(ax, TARGETS, saved[gpu, load, rule], TONES[rule], line=line)
        for rule, height in zip(RULES, (7, 0), strict=True):
            point = at[gpu, "light", rule].value
            label(
                ax, f"{rule}: 60% at {point:.1f} s", (3.6, 91 + height), TONES[rule], xytext=(0, 0)
            )
        if place + COLUMNS >= len(gpus()):
            ax.set_xlabel("latency target, s (log scale)")
        if place % COLUMNS == 0:
            ax.set_ylabel("GPU time saved against all-cloud")
    axes[0].set_xscale("log")
    axes[0].set_xlim(3.4, 43)
    axes[0].set_ylim(0, 104)
    for ax in axes:
        log_axis(ax.xaxis, (4, 6, 10, 15, 20, 30, 40))
        percent_axis(ax.yaxis)
    return figure


CLAIM = Claim(
    title="Cloud GPU time saved",
    theirs="Against sending everything to the cloud, the scheduler saves up to 60% of cloud GPU "
    "time; on which GPU, under which load and at which latency target could not be read.",
    assumed="The fleet, links and model of sd-mobile, two GPUs of each type, one latency target "
    "for all requests. All-cloud batches what has waited, as every policy here does.",
    played=played,
    find=find,
)
