"""The picture of a cell: each policy's curve of GPU cost against violations, and the targets."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from agents.bound_report import percent
from agents.bounds.gaps import Floors
from agents.drawing import (
    INK,
    NEAREST,
    colour,
    dark,
    find_place,
    heading,
    leader,
    mark_target,
    marker,
    renderer,
    trade_off_axes,
)
from agents.judge import Cell, Standing
from agents.suite_report import verdict

BOUND = "#b2182b"

Spots = list[tuple[float, float]]

FEW = 5.0
"""Violations, in percent, above which nothing is near a target and a logarithm only crowds."""


def curve_png(cell: Cell, targets: tuple[float, ...]) -> bytes:
    """Draw a cell; return the PNG."""
    figure = Figure(figsize=(9.6, 6.0), dpi=130)
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.08, right=0.97, top=0.85, bottom=0.1)
    axes = figure.add_subplot()
    most = max(y for each in cell.standings for _, y in _spots(each, 1.0))
    unit = 1.0 if most >= 0.1 else 1e-3
    violations = [x for each in cell.standings for x, _ in _spots(each, unit)]
    linear = min(violations) > FEW
    trade_off_axes(
        axes,
        most_violations=max(violations),
        most_seconds=most / unit,
        unit=unit,
        measure="priced GPU" if len(cell.point.world.pool.types) > 1 else "GPU",
        linear=linear,
    )
    mark_target(axes, targets[0])
    if not linear:
        _mark_targets(axes, targets[1:])
    if cell.floors:
        _draw_bound(axes, cell.floors, unit)
    for each in cell.standings:
        _draw(axes, each, unit)
    words = verdict(cell, targets[0]).partition("; level")[0].partition(". ")[0]
    heading(canvas, words, 0.95, size=13, weight="bold", color=INK)
    about = (
        f"{cell.point.world.title}, {cell.point.world.load:.3g} requests/s ({cell.point.load}), "
        f"{percent(round(cell.attainable.value, 4))} attainable, {cell.episodes} episodes"
    )
    heading(canvas, about, 0.91, size=9.5, color="#555555")
    how = "A line is a policy swept over its knob; large: its own setting. Lower left is better."
    heading(canvas, how, 0.88, size=9.5, color="#555555")
    _label(canvas, axes, cell, unit)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _spots(each: Standing, unit: float) -> Spots:
    """Each setting of a policy: violations in percent, GPU time in ``unit``."""
    return [
        (100 * setting["violations"].value, setting["gpu_cost"].value / unit)
        for setting in each.settings
    ]


def _own(each: Standing, unit: float) -> tuple[float, float]:
    figures = each.figures
    return 100 * (1 - figures["attainment"].value), figures["gpu_cost"].value / unit


def _mark_targets(axes: Axes, targets: tuple[float, ...]) -> None:
    """Draw a line for each further target."""
    for target in targets:
        allowed = 100 * (1 - target)
        axes.axvline(allowed, color="#c4c4c4", linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
        axes.annotate(
            percent(target), (allowed, 1.0), xycoords=("data", "axes fraction"),
            xytext=(-3, -4), textcoords="offset points", ha="right", va="top", size=8,
            color="#8a8a8a",
        )  # fmt: skip


def _draw_bound(axes: Axes, floors: Floors, unit: float) -> None:
    """Draw what nobody can undercut; the axes stay as the policies made them."""
    left, right = sorted(axes.get_xlim())
    points = [(100 * missed, cost / unit) for missed, cost in floors.curve() if np.isfinite(cost)]
    inside = [(x, y) for x, y in points if left <= x <= right]
    if max((y for _, y in inside), default=0.0) <= 0.0:
        return
    xs, ys = zip(*inside, strict=True)
    axes.plot(xs, ys, color=BOUND, linewidth=1.6, zorder=1)
    axes.fill_between(xs, 0.0, ys, color=BOUND, alpha=0.07, linewidth=0, zorder=0)
    axes.annotate(
        f"nobody can do less ({floors.episodes} episodes)", inside[0],
        xytext=(6, -6), textcoords="offset points", ha="left", va="top", size=8.5, color=BOUND,
        path_effects=[withStroke(linewidth=2.5, foreground="white")], zorder=4,
    )  # fmt: skip


def _draw(axes: Axes, each: Standing, unit: float) -> None:
    name = each.policy["name"]
    tone, sign = colour(name), marker(name)
    spots = _spots(each, unit)
    xs, ys = zip(*spots, strict=True)
    # A mixture of two settings is straight in violations, so bent on their logarithmic scale.
    place = np.arange(len(spots))
    fine = np.linspace(0, len(spots) - 1, 16 * len(spots))
    line = np.interp(fine, place, xs), np.interp(fine, place, ys)
    axes.plot(*line, color=tone, linewidth=1.3, alpha=0.75, zorder=2, clip_on=False)
    axes.plot(xs, ys, sign, color=tone, markersize=3.5, zorder=2, clip_on=False)
    x, y = _own(each, unit)
    axes.plot(
        [x], [y], sign, color=tone, markersize=8.5, markeredgecolor="white", markeredgewidth=0.8,
        zorder=3, clip_on=False,
    )  # fmt: skip


def _label(canvas: Any, axes: Axes, cell: Cell, unit: float) -> None:
    """Write each policy's label beside its own setting, where it covers no point or label."""
    canvas.figure.draw_without_rendering()
    measure = renderer(canvas)
    taken = [text.get_window_extent(measure) for text in axes.texts]
    for each in cell.standings:
        for spot in _spots(each, unit):
            x, y = axes.transData.transform(spot)
            taken.append(Bbox.from_bounds(x - 4, y - 4, 8, 8))
        x, y = axes.transData.transform(_own(each, unit))
        taken.append(Bbox.from_bounds(x - 9, y - 9, 18, 18))
    inside = axes.get_window_extent(measure).padded(2)
    for each in cell.standings:
        text = axes.annotate(
            each.label, _own(each, unit), xytext=(0, 0), textcoords="offset points", size=8.5,
            color=dark(colour(each.policy["name"])),
            path_effects=[withStroke(linewidth=2.5, foreground="white")], zorder=4,
        )  # fmt: skip
        taken.append(find_place(text, taken, taken, inside, measure))
        if max(abs(offset) for offset in text.get_position()) > NEAREST:
            leader(axes, text, _own(each, unit))
