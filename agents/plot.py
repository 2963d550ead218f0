"""The picture of an evaluation: GPU seconds per request against violation rate."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from agents.drawing import (
    INK,
    NEAREST,
    colour,
    dark,
    find_place,
    heading,
    leader,
    mark_target,
    renderer,
    trade_off_axes,
)
from agents.evaluation import Evaluation
from agents.report import finding, target
from splitenv.scenario import Scenario


def png(evaluations: list[Evaluation], scenario: Scenario, episodes: int) -> bytes:
    """Draw the evaluations; return the PNG."""
    figure = Figure(figsize=(8.2, 5.2), dpi=150)
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.09, right=0.97, top=0.83, bottom=0.12)
    axes = figure.add_subplot()
    unit = 1.0 if _most_gpu_seconds(evaluations) >= 0.1 else 1e-3
    trade_off_axes(
        axes,
        most_violations=max(_bars(evaluation, unit)[0][2] for evaluation in evaluations),
        most_seconds=_most_gpu_seconds(evaluations) / unit,
        unit=unit,
    )
    mark_target(axes, target(scenario))
    for evaluation in evaluations:
        _point(axes, evaluation, unit)
    heading(canvas, finding(evaluations, scenario), 0.945, size=13, weight="bold", color=INK)
    about = (
        f"{scenario.title}, {scenario.load:g} requests/s. "
        f"{episodes} episodes, bars: 95% intervals. Lower left is better."
    )
    heading(canvas, about, 0.895, size=9.5, color="#555555")
    _label(canvas, axes, evaluations, unit)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _most_gpu_seconds(evaluations: list[Evaluation]) -> float:
    return max(evaluation.figures["gpu_seconds"].value for evaluation in evaluations)


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
    measure = renderer(canvas)
    bars = [_bars(evaluation, unit) for evaluation in evaluations]
    taken = [text.get_window_extent(measure) for text in axes.texts]
    for late, time in bars:
        x, y = axes.transData.transform((late[0], time[0]))
        ends = axes.transData.transform([(late[1], time[1]), (late[2], time[2])])
        taken.append(Bbox.from_bounds(x - 9, y - 9, 18, 18))
        taken.append(Bbox.from_extents(ends[0][0] - 2, y - 3, ends[1][0] + 2, y + 3))
        taken.append(Bbox.from_extents(x - 3, ends[0][1] - 2, x + 3, ends[1][1] + 2))
    inside = axes.get_window_extent(measure).padded(2)
    line = axes.lines[0].get_window_extent(measure).padded(1)
    for evaluation, (late, time) in zip(evaluations, bars, strict=True):
        text = axes.annotate(
            evaluation.label,
            (late[0], time[0]),
            xytext=(0, 0),
            textcoords="offset points",
            size=9.5,
            color=dark(colour(evaluation.policy["name"])),
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=4,
        )
        taken.append(find_place(text, [*taken, line], taken, inside, measure))
        if max(abs(offset) for offset in text.get_position()) > NEAREST:
            leader(axes, text, (late[0], time[0]))
