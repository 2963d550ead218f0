"""What the pictures of evaluations share: colours, axes, headings, and where labels go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox, BboxBase

COLOURS = {
    "all-cloud": "#000000",
    "all-device": "#7f7f7f",
    "fixed": "#a6761d",
    "random": "#b3b3b3",
    "latency-bound": "#0072b2",
    "latency-bound-batching": "#56b4e9",
    "neurosurgeon": "#009e73",
    "threshold": "#999933",
    "edgent": "#882255",
    "ip-ssa": "#44aa99",
    "joint-greedy": "#e69f00",
    "ppo": "#d55e00",
    "maskable-ppo": "#cc79a7",
}
"""The colour of each policy, by name, in every plot; safe for the colour-blind (Okabe and Ito)."""

MARKERS = {
    "slack": "o",
    "slack-drop": "8",
    "none": "o",
    "window": "s",
    "preferred": "D",
    "fitted": "p",
    "aimd": "h",
    "nexus": "v",
    "clockwork": "^",
    "symphony": "X",
    "symphony-drop": "x",
    "control-limit": "P",
}
"""The marker of each batching rule, in every plot."""

OTHER_COLOUR = "#5e3c99"
NEAREST = 8
INK, FAINT = "#222222", "#8a8a8a"
LINEAR_BELOW = 0.1
TICKS = (0, 0.1, 1, 10, 100)


def heading(canvas: FigureCanvasAgg, words: str, y: float, *, size: float, **style: Any) -> None:
    """Write a line over the plot, smaller where it would not fit."""
    text = canvas.figure.text(0.02, y, words, size=size, **style)
    room = 0.96 * canvas.figure.bbox.width
    while size > 6 and text.get_window_extent(renderer(canvas)).width > room:
        size -= 0.25
        text.set_fontsize(size)


def renderer(canvas: Any) -> Any:
    """What measures text on a canvas."""
    return canvas.get_renderer()


def colour(name: str) -> str:
    """Return a policy's colour; a pair has that of its split, a trained run that of its kind."""
    return COLOURS.get(name) or COLOURS.get(re.split(r"[+:]", name)[0], OTHER_COLOUR)


def marker(name: str) -> str:
    """Return the marker of a pair's batching rule."""
    return MARKERS.get(name.partition("+")[2], "o")


def trade_off_axes(
    axes: Axes,
    *,
    most_violations: float,
    most_seconds: float,
    unit: float,
    measure: str = "GPU",
    linear: bool = False,
) -> None:
    """Set scales: violations linear up to 0.1%, then logarithmic, so that 0 has a place.

    Parameters
    ----------
    most_violations
        In percent.
    most_seconds
        GPU time per request, in ``unit``.
    unit
        Seconds that the vertical axis counts in: 1 or 1/1000.
    measure
        Words for what kind of seconds they are.
    linear
        Violations linear throughout, where all have many.
    """
    if linear:
        axes.set_xlim(0.0, 101.0)
        axes.set_xlabel("requests answered late or never", color=INK)
    else:
        axes.set_xscale("symlog", linthresh=LINEAR_BELOW, linscale=0.6)
        right = min(100.0, max(2.0, 1.8 * most_violations))
        axes.set_xlim(-0.02, right if right < 100 else 112)
        axes.xaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_minor_locator(
            FixedLocator([m * 10.0**e for e in (-1, 0, 1) for m in range(2, 10)])
        )
        axes.set_xlabel("requests answered late or never (log scale above 0.1%)", color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}%"))
    axes.yaxis.set_minor_locator(NullLocator())
    top = most_seconds or 1.0
    axes.set_ylim(-0.04 * top, 1.15 * top)
    seconds = "seconds" if unit == 1.0 else "milliseconds"
    axes.set_ylabel(f"{measure} {seconds} per request", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors="#555555", which="both")
    axes.grid(axis="y", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def mark_target(axes: Axes, goal: float) -> None:
    """Mark the violations that the SLA allows."""
    allowed = 100 * (1 - goal)
    log = axes.get_xscale() != "linear"
    axes.axvspan(axes.get_xlim()[0], allowed, color="#f3f7f3", zorder=0, linewidth=0)
    axes.axvline(allowed, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"promised: {100 * goal:g}% in time",
        (allowed, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if log else 5, -4),
        textcoords="offset points",
        ha="right" if log else "left",
        va="top",
        size=8.5,
        color="#666666",
    )


def find_place(
    text: Any, avoid: Sequence[BboxBase], taken: Sequence[BboxBase], inside: BboxBase, renderer: Any
) -> Bbox:
    """Move a label to the nearest place that is free of ``avoid``, or at least of ``taken``."""
    for obstacles, reach in ((avoid, 4 * NEAREST), (taken, np.inf)):
        for offset, ha, va in _places():
            text.set(position=offset, ha=ha, va=va)
            box = text.get_window_extent(renderer)
            fits = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0
            if max(map(abs, offset)) <= reach and fits and not box.count_overlaps(obstacles):
                return Bbox(box.get_points())
    return Bbox(text.get_window_extent(renderer).get_points())


def _places() -> list[tuple[tuple[float, float], str, str]]:
    """Offsets in points and alignments, the nearest first."""
    places: list[tuple[tuple[float, float], str, str]] = []
    for distance in (NEAREST, 14, 22, 32, 44, 58):
        diagonal = 0.75 * distance
        places += [
            ((distance, 0), "left", "center"),
            ((-distance, 0), "right", "center"),
            ((diagonal, diagonal), "left", "bottom"),
            ((diagonal, -diagonal), "left", "top"),
            ((-diagonal, diagonal), "right", "bottom"),
            ((-diagonal, -diagonal), "right", "top"),
            ((0, distance), "center", "bottom"),
            ((0, -distance), "center", "top"),
        ]
    return places


def leader(axes: Axes, text: Any, point: tuple[float, float]) -> None:
    """Draw a line from a point to its label."""
    axes.annotate(
        "",
        point,
        xytext=text.get_position(),
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "-",
            "color": FAINT,
            "linewidth": 0.7,
            "shrinkA": 0,
            "shrinkB": 5,
        },
    )


def dark(name: str) -> Any:
    """Return a colour dark enough for text on white."""
    rgb = np.array([int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    luminance = float(rgb @ [0.299, 0.587, 0.114])
    return tuple(rgb * min(1.0, 0.45 / max(luminance, 1e-6)))
