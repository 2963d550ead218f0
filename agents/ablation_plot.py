"""The picture of an ablation: what each part of learning is worth, seed by seed."""

from __future__ import annotations

import io
import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agents.drawing import FAINT, INK, colour, heading
from agents.variants import SHIPPED

OWN, OTHER = colour("ppo"), "#4d6a86"


def ablation_png(study: dict[str, Any]) -> bytes:
    """Draw a study as :mod:`agents.ablate` makes it; return the PNG."""
    rows = sorted(study["variants"], key=lambda row: -float(row["score"]["value"]))
    figure = Figure(figsize=(9.6, 1.9 + 0.38 * len(rows)), dpi=130)
    canvas = FigureCanvasAgg(figure)
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(
        left=0.26, right=0.97, top=1 - 0.95 / height, bottom=0.62 / height, wspace=0.08
    )
    score, overload = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw(score, study, rows, "score", 1.0)
    _draw(overload, study, rows, "violations_in_overload", 100.0)
    score.set_yticks(range(len(rows)), [row["change"] for row in rows])
    for label, row in zip(score.get_yticklabels(), rows, strict=True):
        label.set_color(OWN if row["variant"] == SHIPPED else INK)
        label.set_fontweight("bold" if row["variant"] == SHIPPED else "normal")
    score.set_xlabel("mean cost over three loads, the rule's = 1", color=INK)
    overload.set_xlabel("late or never at 1.1 of capacity, %", color=INK)
    heading(canvas, _finding(study), 1 - 0.36 / height, size=13, weight="bold", color=INK)
    heading(canvas, _about(study), 1 - 0.62 / height, size=9.5, color="#555555")
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _draw(
    axes: Axes, study: dict[str, Any], rows: list[dict[str, Any]], measure: str, unit: float
) -> None:
    axes.axvline(unit * study["base"][measure], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        "the rule", (unit * study["base"][measure], 1.0), xycoords=("data", "axes fraction"),
        xytext=(-4, -3), textcoords="offset points", ha="right", va="top", size=8.5, color=INK,
    )  # fmt: skip
    for height, row in enumerate(rows):
        shade = OWN if row["variant"] == SHIPPED else OTHER
        figure = row[measure]
        if not math.isnan(figure["low"]):
            ends = [unit * figure["low"], unit * figure["high"]]
            axes.plot(ends, [height, height], color=shade, linewidth=1.6, alpha=0.6)
        seeds = [
            unit * each[measure] for each in study["runs"] if each["variant"] == row["variant"]
        ]
        axes.plot(seeds, [height] * len(seeds), "o", color=shade, markersize=4.5, alpha=0.6)
        axes.plot(unit * figure["value"], height, "|", color=shade, markersize=15, mew=2)
        if row["variant"] == SHIPPED:
            axes.axvline(unit * figure["value"], color=OWN, linewidth=0.8, alpha=0.5, zorder=0)
    shown = [unit * each[measure] for each in (*study["runs"], study["base"])]
    room = 0.08 * (max(shown) - min(shown) or 1.0)
    axes.set_xlim(min(shown) - room, max(shown) + room)
    axes.set_ylim(-0.7, len(rows) - 0.1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors="#555555", length=0, axis="y")
    axes.tick_params(colors="#555555", axis="x")
    axes.grid(axis="y", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def _finding(study: dict[str, Any]) -> str:
    """What the picture says: the part that costs most to do without."""
    others = [row for row in study["variants"] if row["variant"] != SHIPPED]
    own = next(row["score"]["value"] for row in study["variants"] if row["variant"] == SHIPPED)
    if not others:
        return f"As shipped: {own:.3f} of the rule's cost"
    worst = max(others, key=lambda row: float(row["score"]["value"]))
    lost = worst["score"]["value"] / own - 1
    return f"{worst['change'].capitalize()}: {100 * lost:+.1f}% cost against the shipped way"


def _about(study: dict[str, Any]) -> str:
    seeds = max(len(row["seeds"]) for row in study["variants"])
    many = "one training seed" if seeds == 1 else f"{seeds} training seeds, bars: 95% intervals"
    return (
        f"{study['scenario']}, {study['steps']:,} decisions, {many}; "
        f"{study['judged']['episodes']} episodes a load. A dot a seed. Left is better."
    )
