"""Claim: models grow. What is left to save as they do, on the same devices."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.drawing import FAINT
from agents.reproduce.claim import MARKS, Claim, Finding, seconds, short, table
from agents.reproduce.pictures import (
    HOW,
    draw_saving,
    label,
    log_axis,
    percent_axis,
    sheet,
)
from agents.reproduce.study import REFERENCE, Played, Saved, Study, crossing, settings
from agents.reproduce.worlds import BASE, standard
from agents.statistics import Floats, Interval
from splitenv.profiles.catalogue import load_model
from splitenv.scenario import Scenario

Size = tuple[str, int]
"""Model and denoising steps."""

TONES: dict[Size, str] = {
    ("stable-diffusion-2.1-base", 25): "#56b4e9",
    ("stable-diffusion-2.1-base", 50): "#0072b2",
    ("sdxl-1.0", 25): "#e69f00",
    ("sdxl-1.0", 50): "#d55e00",
}
TARGETS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
FINE = np.geomspace(2.0, TARGETS[-1], 200)
LEVEL = 0.6
SETTING = {"clients.mix": "apple-sdxl", "pool": {"gpu": "h100", "count": 2}}


@cache
def worlds(size: Size) -> tuple[Scenario, ...]:
    """A world for each target."""
    model, steps = size
    more = {**SETTING, "models.0.model": model, "models.0.steps": steps}
    return tuple(standard(target, more) for target in TARGETS)


def played() -> list[Played]:
    """The reference's rule on every size with every target."""
    return [(world, settings(REFERENCE, BASE)) for size in TONES for world in worlds(size)]


def find(study: Study) -> Finding:
    """Compare sizes, each request alone and under light load."""
    alone = {size: study.alone(worlds(size)[0], FINE) for size in TONES}
    saved = {
        size: [study.compare(world, settings(REFERENCE, BASE)) for world in worlds(size)]
        for size in TONES
    }
    at = {size: study.interval(crossing(FINE, values[0], LEVEL)) for size, values in alone.items()}
    view = table(
        "Bigger models: latency target at which 60% is saved, each request alone, s; and GPU time "
        f"saved by {REFERENCE}, light load, %",
        MARKS,
        ("model",),
        ("TMACs", "60% at", *(f"{target:g} s" for target in TARGETS)),
    )
    for size, row in saved.items():
        cells = [short(each) for each in row]
        view.add_row(_name(size), f"{_macs(size):.0f}", seconds(at[size], TARGETS[-1]), *cells)
    return Finding(
        ours=_sentence(at),
        tables=(view,),
        data={
            "targets_s": TARGETS,
            "sizes": [
                {
                    "model": size[0],
                    "steps": size[1],
                    "tmacs": _macs(size),
                    "alone_reaches_60_percent_at_s": vars(at[size]),
                    "alone": {
                        "targets_s": FINE,
                        "saving": alone[size][0][0],
                        "attainable": alone[size][1][0],
                    },
                    "points": [each.as_dict() for each in row],
                }
                for size, row in saved.items()
            ],
        },
        draw=lambda: _draw(saved, alone, at),
    )


def _macs(size: Size) -> float:
    model, steps = size
    return float(load_model(model).chain(steps).macs.sum() / 1e12)


def _name(size: Size) -> str:
    names = {"stable-diffusion-2.1-base": "SD 2.1-base", "sdxl-1.0": "SDXL"}
    return f"{names[size[0]]}, {size[1]} steps"


def _sentence(at: dict[Size, Interval]) -> str:
    first, *_, last = at
    return (
        f"the 60% point moves out as the model grows: from {at[first].value:.1f} s "
        f"({_name(first)}) to {at[last].value:.0f} s ({_name(last)}), "
        f"{at[last].value / at[first].value:.0f} times as late for "
        f"{_macs(last) / _macs(first):.0f} times the work."
    )


def _draw(
    saved: dict[Size, list[Saved]],
    alone: dict[Size, tuple[Floats, Floats]],
    at: dict[Size, Interval],
) -> Figure:
    first, *_, last = at
    figure, (ax,) = sheet(
        f"Bigger models need later targets: 60% is saved at {at[first].value:.0f} s for "
        f"{_macs(first):.0f} TMACs, at {at[last].value:.0f} s for {_macs(last):.0f}",
        "Saved against all-cloud at equal attainment. Four Apple devices in equal parts, two "
        f"H100s.\nDotted: one request alone, whose 60% points are named. Solid: {REFERENCE}, light "
        f"load.\n{HOW}",
        (9.6, 5.8),
    )
    figure.subplots_adjust(left=0.08, right=0.9, top=0.8, bottom=0.1)
    ax.axhline(100 * LEVEL, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for size, tone in TONES.items():
        curve, could = alone[size][0][0], alone[size][1][0]
        ax.plot(FINE[could >= 0.99], 100 * curve[could >= 0.99], ":", color=tone, linewidth=1.8)
        draw_saving(ax, TARGETS, saved[size], tone)
        words = f"{_name(size)}: {at[size].value:.0f} s"
        left = size[1] == min(steps for model, steps in TONES if model == size[0])
        where: dict[str, Any] = {"xytext": (-6, 7), "ha": "right"} if left else {"xytext": (7, -8)}
        label(ax, words, (at[size].value, 100 * LEVEL), tone, **where)
    ax.set_xscale("log")
    ax.set_ylim(0, 104)
    ax.set_xlim(2, 180)
    log_axis(ax.xaxis, (2, 5, 10, 20, 40, 80, 160))
    percent_axis(ax.yaxis)
    ax.set_xlabel("latency target, s (log scale)")
    ax.set_ylabel("GPU time saved against all-cloud")
    return figure


CLAIM = Claim(
    title="Bigger models",
    theirs="Models grow, which is why they are divided (its motivation); no figure could be read.",
    assumed="The four devices measured with both models, in equal parts; SDXL's device times are "
    "derived from 768x768 by pixels, which is a lower bound. Two H100s, sd-mobile's links.",
    played=played,
    find=find,
)
