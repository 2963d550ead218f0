"""The picture of a training run at one evaluation: the figures of a report, for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents.closeups import LEVELS, Closeup, latency_at
from agents.drawing import COLOURS, FAINT, INK

AGENT, CLOUD = COLOURS["maskable-ppo"], COLOURS["all-cloud"]
TIERS = {"low": "#d55e00", "mid": "#e69f00", "high": "#0072b2"}
MEGABIT = 1e6 / 8


def run_picture(
    evaluations: Sequence[Mapping[str, Any]],
    attainment: float,
    gpu_seconds: float,
    seen: Closeup,
) -> npt.NDArray[np.uint8]:
    """Draw trade-off, latencies by tier, batch sizes, and splits by bandwidth.

    Parameters
    ----------
    evaluations
        Of the run so far, oldest first: ``attainment``, ``gpu_seconds`` and
        ``saving_vs_all_cloud`` of each.
    attainment, gpu_seconds
        All-cloud's, in the same episodes.
    seen
        How requests were spread in the last evaluation.

    Returns
    -------
    numpy.ndarray
        Red, green, blue: shape (height, width, 3).
    """
    figure = Figure(figsize=(10.4, 7.2), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(0.07, 0.08, 0.98, 0.92, wspace=0.2, hspace=0.28)
    panels = figure.subplots(2, 2)
    last = evaluations[-1]
    saving = last["saving_vs_all_cloud"]
    less = "less" if saving >= 0 else "more"
    figure.suptitle(
        f"{last['attainment']:.2%} in time with {abs(saving):.1%} {less} "
        f"GPU time than all-cloud after {last['steps']:,} steps",
        size=13, weight="bold", color=INK,
    )  # fmt: skip
    _trade_off(panels[0, 0], evaluations, attainment, gpu_seconds)
    _latencies(panels[0, 1], seen)
    _batches(panels[1, 0], seen)
    _splits(panels[1, 1], seen)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(FAINT)
        panel.grid(axis="y", color="#ebebeb", linewidth=0.8)
        panel.set_axisbelow(True)
    drawn: Any = canvas  # which has no types
    drawn.draw()
    return np.array(drawn.buffer_rgba())[:, :, :3]


def _trade_off(
    panel: Axes, evaluations: Sequence[Mapping[str, Any]], attainment: float, gpu_seconds: float
) -> None:
    late = [100 * (1 - each["attainment"]) for each in evaluations]
    spent = [each["gpu_seconds"] for each in evaluations]
    panel.plot(late, spent, "o-", color=AGENT, alpha=0.4, markersize=4, linewidth=1)
    panel.plot(late[-1:], spent[-1:], "o", color=AGENT, markersize=9)
    panel.plot([100 * (1 - attainment)], [gpu_seconds], "o", color=CLOUD, markersize=7)
    where: dict[str, Any] = {"xytext": (8, 0), "textcoords": "offset points", "va": "center"}
    panel.annotate("this run", (late[-1], spent[-1]), color=AGENT, **where)
    panel.annotate("all-cloud", (100 * (1 - attainment), gpu_seconds), color=CLOUD, **where)
    panel.set_xscale("symlog", linthresh=0.1)
    panel.set_xlim(-0.02, 150)
    panel.set_xticks([0, 0.1, 1, 10, 100], ["0%", "0.1%", "1%", "10%", "100%"])
    panel.set_ylim(0, 1.15 * max([*spent, gpu_seconds]))
    panel.set_xlabel("requests answered late or never")
    panel.set_ylabel("GPU seconds per request")


def _latencies(panel: Axes, seen: Closeup) -> None:
    for place, (tier, quantiles) in enumerate(seen["latency"].items()):
        known = [(t, level) for t, level in zip(quantiles, LEVELS, strict=True) if t is not None]
        if known:
            tone = TIERS.get(tier, INK)
            panel.plot(*zip(*known, strict=True), color=tone, linewidth=1.6)
            panel.text(0.98, 0.05 + 0.08 * place, f"{tier} tier", color=tone, ha="right",
                       transform=panel.transAxes)  # fmt: skip
    ends = [latency_at(quantiles, 99) for quantiles in seen["latency"].values()]
    finite = [value for value in ends if np.isfinite(value)]
    if finite:
        panel.set_xlim(0, 1.1 * max(finite))
    panel.set_ylim(0, 100)
    panel.set_xlabel("latency, s")
    panel.set_ylabel("requests answered, %")


def _batches(panel: Axes, seen: Closeup) -> None:
    counts = np.asarray(seen["batches"], float)[1:]
    if counts.sum():
        panel.bar(np.arange(1, len(counts) + 1), 100 * counts / counts.sum(), color=AGENT)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("requests in the batch")
    panel.set_ylabel("cloud requests, %")


def _splits(panel: Axes, seen: Closeup) -> None:
    bands = seen["bandwidth"]
    shares = np.array([band["shares"] for band in bands]).T
    levels = shares.shape[0]
    panel.imshow(
        100 * shares, origin="lower", aspect="auto", cmap="Purples", norm=PowerNorm(0.5, 0, 150),
        extent=(-0.5, len(bands) - 0.5, -50 / (levels - 1), 100 + 50 / (levels - 1)),
    )  # fmt: skip
    panel.plot([100 * band["mean"] for band in bands], "o-", color=INK, markersize=3, linewidth=1.2)
    rates = [band["rate"] / MEGABIT for band in bands]
    names = [f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}" for rate in rates]
    panel.set_xticks(range(len(bands)), names, size=8)
    panel.set_xlabel(f"reported {seen['direction']}, Mbit/s: median of each group")
    panel.set_ylabel("cloud's share, %; line: mean")
