"""The pictures of an explanation."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from agents.drawing import FAINT, INK, colour, heading
from agents.explain.imitation import Search
from agents.explain.importance import Importance
from agents.explain.maps import LOADS, Map
from agents.statistics import Interval
from agents.tree import UNITS, Node, sentence
from splitenv.state import Array

SHOWN = 16
"""Groups of features in the picture of importances."""

DRAWN = 24
"""Leaves of the largest tree that is drawn; a larger one is for the file."""

COLUMNS = {"cost added": 1.22, "decisions changed": 1.46}
"""Columns of figures beside the bars of importances, and where each ends, in axes."""

SHARES, APART = "YlGnBu", "PuOr_r"


def _canvas(width: float, height: float) -> tuple[Figure, FigureCanvasAgg]:
    figure = Figure(figsize=(width, height), dpi=110)
    return figure, FigureCanvasAgg(figure)


def _png(figure: Figure) -> bytes:
    """Render with a palette of 256 colours: a third of the size, and nobody sees it."""
    drawn, out = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    Image.open(drawn).convert("RGB").quantize(256).save(out, "PNG", optimize=True)
    return out.getvalue()


def map_png(of: Map, policy: str, rule: str, title: str, *, holds: bool) -> bytes:
    """Draw what a policy and a rule decide, and the difference: rows, by load.

    Parameters
    ----------
    holds
        Whether holds are drawn, else split ratios.
    """
    values = of.hold if holds else of.share
    mine, theirs = values[policy], values[rule]
    rows = len(of.devices)
    high = 0.4 * rows + 0.5
    figure, canvas = _canvas(11.5, 1.5 + 0.62 * high * 3 / 2)
    inches = figure.get_figheight()
    grid = figure.add_gridspec(
        3, 3, left=0.17, right=0.985, top=1 - 1.15 / inches, bottom=0.62 / inches,
        wspace=0.05, hspace=0.19,
    )  # fmt: skip
    what = "hold" if holds else "cloud share"
    panels = [(policy, mine), (rule, theirs), ("difference", mine - theirs)]
    for row, (name, of_who) in enumerate(panels):
        for column, (load, rate) in enumerate(zip(LOADS, of.loads, strict=True)):
            axes = figure.add_subplot(grid[row, column])
            _cells(axes, of_who[column], apart=row == 2)
            _ticks(axes, of, labelled=column == 0, last=row == 2)
            if row == 0:
                axes.set_title(f"{load} load, {rate:.3g} requests/s", size=9.5, color=INK)
        box = grid[row, 0].get_position(figure)
        figure.text(0.02, box.y1 + 0.06 / inches, name, size=9.5, weight="bold", color=INK)
    heading(canvas, title, 1 - 0.34 / inches, size=13, weight="bold", color=INK)
    about = (
        f"Mean {what} in % ({of.model}), in the states that {policy} meets; below: "
        f"its own minus {rule}'s, in points. Grey: fewer than 20 states."
    )
    heading(canvas, about, 1 - 0.6 / inches, size=9.5, color="#555555")
    return _png(figure)


def _cells(axes: Axes, values: Array, *, apart: bool) -> None:
    """Draw one panel: a coloured cell each, its value in percent."""
    axes.set_facecolor("#ededed")
    low = -1.0 if apart else 0.0
    axes.imshow(values, cmap=APART if apart else SHARES, vmin=low, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        shown = f"{100 * value:+.0f}" if apart and round(100 * value) else f"{100 * value:.0f}"
        strong = abs(value) > (0.6 if apart else 0.55)
        axes.text(
            column, row, shown.replace("-0", "0") if shown == "-0" else shown, ha="center",
            va="center", size=7, color="white" if strong else INK,
        )  # fmt: skip
    axes.spines[:].set_visible(False)


def _ticks(axes: Axes, of: Map, *, labelled: bool, last: bool) -> None:
    axes.tick_params(length=0, colors="#555555", labelsize=7.5)
    axes.set_yticks(range(len(of.devices)))
    names = [
        f"{name}, {seconds:.{0 if seconds >= 10 else 1}f} s"
        if np.isfinite(seconds)
        else f"{name}, cannot"
        for name, seconds in zip(of.devices, of.seconds, strict=True)
    ]
    axes.set_yticklabels(names if labelled else [])
    axes.set_xticks(np.arange(len(of.edges)) + 0.5)
    axes.set_xticklabels([f"{edge:g}" for edge in of.edges] if last else [])
    if last:
        axes.set_xlabel("reported bandwidth, Mbit/s", size=8.5, color=INK)


def importance_png(measured: list[Importance], policy: str, title: str, about: str) -> bytes:
    """Draw by how much cost rises without each group of features that changes any decision."""
    shown = [each for each in measured if each.changed > 0][:SHOWN]
    figure, canvas = _canvas(9.6, 1.8 + 0.3 * len(shown))
    inches = figure.get_figheight()
    figure.subplots_adjust(left=0.17, right=0.73, top=1 - 1.1 / inches, bottom=0.6 / inches)
    axes = figure.add_subplot()
    for row, each in enumerate(shown):
        axes.barh(row, each.cost.value, height=0.62, color=colour(policy), zorder=2)
        axes.plot([each.cost.low, each.cost.high], [row, row], color=INK, linewidth=1.4, zorder=3)
        for place, words in zip(
            COLUMNS.values(), (_with_half(each.cost), f"{100 * each.changed:.0f}%"), strict=True
        ):
            axes.annotate(
                words, (place, row), xycoords=("axes fraction", "data"), ha="right", va="center",
                size=8.5, color="#555555",
            )  # fmt: skip
    for words, place in COLUMNS.items():
        axes.annotate(
            words, (place, 1.0), xycoords="axes fraction", xytext=(0, 2), ha="right", va="bottom",
            textcoords="offset points", size=8.5, color="#555555",
        )  # fmt: skip
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), [each.group for each in shown])
    axes.axvline(0, color=FAINT, linewidth=1)
    axes.set_xlabel("cost added to a request, in all-cloud requests", color=INK, size=9)
    _bare(axes, "x")
    axes.spines["left"].set_visible(False)
    heading(canvas, title, 1 - 0.34 / inches, size=13, weight="bold", color=INK)
    heading(canvas, about, 1 - 0.6 / inches, size=9.5, color="#555555")
    return _png(figure)


def _with_half(of: Interval) -> str:
    return f"{of.value:+.3f} ± {of.half:.3f}"


def _bare(axes: Axes, along: Literal["both", "x", "y"]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors="#555555", labelsize=9, length=0)
    axes.grid(axis=along, color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def leaves_png(
    search: Search, keep: float, tolerance: float, policy: str, title: str, about: str
) -> bytes:
    """Draw what trees keep of the saving, and their attainment, against their leaves."""
    figure, canvas = _canvas(9.6, 4.4)
    figure.subplots_adjust(left=0.08, right=0.97, top=0.78, bottom=0.13, wspace=0.2)
    leaves = [each.root.leaves for each in search.attempts]
    series = (
        ("share of the saving kept", [each.saving.kept.value for each in search.attempts], keep),
        (
            "attainment beside the policy's, points",
            [100 * each.saving.attainment.value for each in search.attempts],
            -100 * tolerance,
        ),
    )
    for place, (words, values, mark) in enumerate(series):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.axhline(mark, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(leaves, values, "o-", color=colour(policy), markersize=6, linewidth=1.3)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_xlim(0.9, max(leaves) * 1.12)
        axes.set_xlabel("leaves", color=INK, size=9)
        axes.set_title(words, size=9.5, color=INK, loc="left")
        if place == 0:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}%"))
        _bare(axes, "y")
    heading(canvas, title, 0.93, size=13, weight="bold", color=INK)
    heading(canvas, about, 0.875, size=9.5, color="#555555")
    return _png(figure)


def tree_png(root: Node, holds: bool, title: str, about: str) -> bytes:
    """Draw a tree from left to right, its leaves one under the other."""
    depth = max(_depths(root, 0))
    figure, canvas = _canvas(3.2 + 2.35 * depth + 1.2, 1.1 + 0.42 * root.leaves)
    inches = figure.get_figheight()
    axes = figure.add_axes((0.02, 0.02, 0.96, 1 - 0.9 / inches))
    axes.set_axis_off()
    axes.set_xlim(-0.05, depth + 1.55)
    axes.set_ylim(root.leaves - 0.5, -0.5)
    _draw(axes, root, 0, 0, depth, holds)
    heading(canvas, title, 1 - 0.34 / inches, size=13, weight="bold", color=INK)
    heading(canvas, about, 1 - 0.6 / inches, size=9.5, color="#555555")
    return _png(figure)


def _depths(node: Node, above: int) -> list[int]:
    children = [child for child in (node.then, node.otherwise) if child is not None]
    return [above] + [depth for child in children for depth in _depths(child, above + 1)]


def _draw(axes: Axes, node: Node, level: int, first: int, depth: int, holds: bool) -> float:
    """Draw a node whose leaves are in the rows from ``first`` on; return its own row."""
    if node.then is None or node.otherwise is None:
        words = f"{sentence(node, holds)}  ({100 * node.states:.0f}%)"
        axes.text(level, first, words, size=9, color=INK, va="center", weight="bold")
        return float(first)
    rows = (
        _draw(axes, node.then, level + 1, first, depth, holds),
        _draw(axes, node.otherwise, level + 1, first + node.then.leaves, depth, holds),
    )
    own = sum(rows) / 2
    unit = UNITS[str(node.feature)]
    words = f"{node.feature}\nbelow {node.below:g} {unit}?"
    for row, answer in zip(rows, ("yes", "no"), strict=True):
        axes.plot([level + 0.8, level + 0.8, level + 0.97], [own, row, row], color=FAINT, lw=1)
        axes.annotate(
            answer, (level + 0.885, row), xytext=(0, 2), textcoords="offset points", size=7.5,
            color="#777777", ha="center",
        )  # fmt: skip
    axes.text(level, own, words, size=8.5, color="#333333", va="center")
    return own
