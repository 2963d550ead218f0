"""What the pictures of the claims share: sheets, axes, and how savings are drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from agents.drawing import FAINT, INK, OTHER_COLOUR, colour, dark, heading
from agents.reproduce.study import REFERENCE, STRONGEST, TARGET, Saved

ALONE = "alone"
TONES = {ALONE: OTHER_COLOUR, REFERENCE: colour(REFERENCE), STRONGEST: colour(STRONGEST)}
HALO = [withStroke(linewidth=2.5, foreground="white")]
HOW = (
    "Filled: at 99% in time. Hollow: all-cloud has less, the rule as much as it. "
    "Cross: the rule has less than that."
)


def sheet(
    title: str,
    about: str,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    *,
    dpi: int = 110,
    **grid: Any,
) -> tuple[Figure, list[Axes]]:
    """Start a picture: the finding, what it shows, and empty axes below, row by row."""
    figure = Figure(figsize=size, dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    height = size[1]
    heading(canvas, title, 1 - 0.28 / height, size=13, weight="bold", color=INK)
    for line, words in enumerate(about.split("\n")):
        heading(canvas, words, 1 - (0.53 + 0.2 * line) / height, size=9.5, color="#555555")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    return figure, [tidied(each) for each in axes.flat]


def tidied(axes: Axes) -> Axes:
    """Take off what a plot does not need."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors="#555555", which="both")
    axes.grid(axis="y", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def log_axis(axis: Any, ticks: Sequence[float], unit: str = "") -> None:
    """Mark these places, and no others, of a logarithmic axis."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}{unit}"))


def percent_axis(axis: Any) -> None:
    """Write percent signs."""
    axis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}%"))


def draw_saving(
    axes: Axes,
    places: Sequence[float],
    savings: Sequence[Saved],
    tone: str,
    *,
    line: str = "-",
    single: bool = False,
) -> None:
    """Draw a rule's savings, percent, with intervals; the marks are those of :data:`HOW`."""
    figures = [each.saving_of_single if single else each.saving for each in savings]
    values = [100 * each.value for each in figures]
    axes.plot(places, values, line, color=tone, linewidth=1.5, zorder=2)
    for place, each, figure, value in zip(places, savings, figures, values, strict=True):
        if np.isfinite(figure.low) and np.isfinite(figure.high):
            ends = [100 * figure.low, 100 * figure.high]
            axes.plot([place, place], ends, color=tone, linewidth=1.1, zorder=2)
        hollow = each.asked < TARGET
        axes.plot(
            [place],
            [value],
            "o" if each.reached else "x",
            color=tone,
            markersize=5 if each.reached else 6.5,
            markerfacecolor="white" if hollow else tone,
            zorder=3,
        )


def label(axes: Axes, words: str, place: tuple[float, float], tone: str, **where: Any) -> None:
    """Write a label in a line's colour at a place in the data."""
    style: dict[str, Any] = {"size": 8.5, "ha": "left", "va": "center", "xytext": (6, 0)} | where
    axes.annotate(
        words, place, textcoords="offset points", color=dark(tone), path_effects=HALO, zorder=5,
        annotation_clip=False, **style,
    )  # fmt: skip


def as_image(figure: Figure, kind: str) -> bytes:
    """Render a picture as ``png`` or ``svg``, the same bytes each time."""
    out = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with rc_context({"svg.hashsalt": "splitenv"}):
        figure.savefig(out, format=kind, metadata=metadata)
    return out.getvalue()
