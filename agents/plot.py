"""The picture of an evaluation: GPU seconds per request against violation rate."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox, BboxBase

from agents.evaluation import Evaluation
from agents.report import finding, target
from splitenv.scenario import Scenario

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

OTHER_COLOUR = "#5e3c99"
NEAREST = 8
INK, FAINT = "#222222", "#8a8a8a"
LINEAR_BELOW = 0.1
TICKS = (0, 0.1, 1, 10, 100)


def png(evaluations: list[Evaluation], scenario: Scenario, episodes: int) -> bytes:
    """Draw the evaluations; return the PNG."""
    figure = Figure(figsize=(8.2, 5.2), dpi=150)
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.09, right=0.97, top=0.83, bottom=0.12)
    axes = figure.add_subplot()
    unit = 1.0 if _most_gpu_seconds(evaluations) >= 0.1 else 1e-3
    _axes(axes, evaluations, unit)
    _promise(axes, target(scenario))
    for evaluation in evaluations:
        _point(axes, evaluation, unit)
    _heading(canvas, finding(evaluations, scenario), 0.945, size=13, weight="bold", color=INK)
    about = (
        f"{scenario.title}, {scenario.load:g} requests/s. "
        f"{episodes} episodes, bars: 95% intervals. Lower left is better."
    )
    _heading(canvas, about, 0.895, size=9.5, color="#555555")
    _label(canvas, axes, evaluations, unit)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _heading(canvas: FigureCanvasAgg, words: str, y: float, *, size: float, **style: Any) -> None:
    """Write a line over the plot, smaller where it would not fit."""
    text = canvas.figure.text(0.02, y, words, size=size, **style)
    room = 0.96 * canvas.figure.bbox.width
    while size > 6 and text.get_window_extent(_renderer(canvas)).width > room:
        size -= 0.25
        text.set_fontsize(size)


def _renderer(canvas: Any) -> Any:
    return canvas.get_renderer()


def colour(name: str) -> str:
    """Return a policy's colour."""
    return COLOURS.get(name, OTHER_COLOUR)


def _most_gpu_seconds(evaluations: list[Evaluation]) -> float:
    return max(evaluation.figures["gpu_seconds"].value for evaluation in evaluations)


def _axes(axes: Axes, evaluations: list[Evaluation], unit: float) -> None:
    """Set scales: violations linear up to 0.1%, then logarithmic, so that 0 has a place."""
    axes.set_xscale("symlog", linthresh=LINEAR_BELOW, linscale=0.6)
    most = max(_bars(evaluation, unit)[0][2] for evaluation in evaluations)
    right = min(100.0, max(2.0, 1.8 * most))
    axes.set_xlim(-0.02, right if right < 100 else 112)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(
        FixedLocator([m * 10.0**e for e in (-1, 0, 1) for m in range(2, 10)])
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}%"))
    axes.yaxis.set_minor_locator(NullLocator())
    top = _most_gpu_seconds(evaluations) / unit or 1.0
    axes.set_ylim(-0.04 * top, 1.15 * top)
    axes.set_xlabel("requests answered late or never (log scale above 0.1%)", color=INK)
    measure = "seconds" if unit == 1.0 else "milliseconds"
    axes.set_ylabel(f"GPU {measure} per request", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors="#555555", which="both")
    axes.grid(axis="y", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def _promise(axes: Axes, goal: float) -> None:
    """Mark the violations that the SLA allows."""
    allowed = 100 * (1 - goal)
    axes.axvspan(axes.get_xlim()[0], allowed, color="#f3f7f3", zorder=0, linewidth=0)
    axes.axvline(allowed, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"promised: {100 * goal:g}% in time",
        (allowed, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-5, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        size=8.5,
        color="#666666",
    )


def _bars(evaluation: Evaluation, unit: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Violations in percent and GPU time in ``unit``: value, then the ends of the interval."""
    met, used = evaluation.figures["attainment"], evaluation.figures["gpu_seconds"]
    late = [100 * (1 - v) for v in (met.value, met.high, met.low)]
    time = [v / unit for v in (used.value, used.low, used.high)]
    return _known(late), _known(time)


def _known(figure: list[float]) -> tuple[float, ...]:
    """Put the value where the ends of an interval are not known."""
    return tuple(figure[0] if end != end else end for end in figure)


def _point(axes: Axes, evaluation: Evaluation, unit: float) -> None:
    late, time = _bars(evaluation, unit)
    axes.errorbar(
        late[0],
        time[0],
        xerr=[[max(late[0] - late[1], 0.0)], [max(late[2] - late[0], 0.0)]],
        yerr=[[max(time[0] - time[1], 0.0)], [max(time[2] - time[0], 0.0)]],
        fmt="o",
        markersize=7,
        color=colour(evaluation.policy["name"]),
        elinewidth=1.6,
        markeredgecolor="white",
        markeredgewidth=0.8,
        zorder=3,
        clip_on=False,
    )


def _label(canvas: Any, axes: Axes, evaluations: list[Evaluation], unit: float) -> None:
    """Write each policy's label beside its point, where it covers no point, bar or label."""
    canvas.draw()
    renderer = _renderer(canvas)
    bars = [_bars(evaluation, unit) for evaluation in evaluations]
    taken = [text.get_window_extent(renderer) for text in axes.texts]
    for late, time in bars:
        x, y = axes.transData.transform((late[0], time[0]))
        ends = axes.transData.transform([(late[1], time[1]), (late[2], time[2])])
        taken.append(Bbox.from_bounds(x - 9, y - 9, 18, 18))
        taken.append(Bbox.from_extents(ends[0][0] - 2, y - 3, ends[1][0] + 2, y + 3))
        taken.append(Bbox.from_extents(x - 3, ends[0][1] - 2, x + 3, ends[1][1] + 2))
    inside = axes.get_window_extent(renderer).padded(2)
    line = axes.lines[0].get_window_extent(renderer).padded(1)
    for evaluation, (late, time) in zip(evaluations, bars, strict=True):
        text = axes.annotate(
            evaluation.label,
            (late[0], time[0]),
            xytext=(0, 0),
            textcoords="offset points",
            size=9.5,
            color=_dark(colour(evaluation.policy["name"])),
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=4,
        )
        taken.append(_find_place(text, [*taken, line], taken, inside, renderer))
        if max(abs(offset) for offset in text.get_position()) > NEAREST:
            _leader(axes, text, (late[0], time[0]))


def _find_place(
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


def _leader(axes: Axes, text: Any, point: tuple[float, float]) -> None:
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


def _dark(name: str) -> Any:
    """Return a colour dark enough for text on white."""
    rgb = np.array([int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    luminance = float(rgb @ [0.299, 0.587, 0.114])
    return tuple(rgb * min(1.0, 0.45 / max(luminance, 1e-6)))
