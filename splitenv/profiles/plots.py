"""Plots of profiles: a GPU's batch curves, a device's time by component."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from splitenv.profiles.compute import DeviceProfile, GpuProfile
from splitenv.profiles.figures import ProfileError
from splitenv.profiles.summary import BatchCurve, Components, batch_curves, components, duration

# Okabe and Ito's palette, told apart by the colour-blind.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
KIND_COLOURS = {
    "encode": "#E69F00",
    "denoise": "#0072B2",
    "decode": "#009E73",
    "stem": "#E69F00",
    "block": "#0072B2",
    "head": "#009E73",
}
OTHER = "#999999"


def batch_curve(gpu: GpuProfile) -> Figure:
    """Draw time per request and time of the whole batch against batch size."""
    curves = batch_curves(gpu)
    if not curves:
        raise ProfileError(f"{gpu.name}: no curve to plot")
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    each, whole = figure.subplots(1, 2)
    for colour, curve in zip(COLOURS, curves, strict=False):
        each.plot(curve.batch, curve.per_image, "o-", color=colour, label=curve.label)
        whole.plot(curve.batch, curve.total, "o-", color=colour, label=curve.label)
    _finish(each, curves, "GPU time per request")
    _finish(whole, curves, "time of the whole batch")
    handles, labels = each.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"{gpu.title}\n{curves[0].finding}", fontsize=12)
    return figure


def device_components(device: DeviceProfile) -> Figure:
    """Draw the time of each model with a figure of its own, by component."""
    parts = components(device)
    if not parts:
        raise ProfileError(f"{device.name}: no time to plot")
    families = [[p for p in parts if p.stepped == stepped] for stepped in (True, False)]
    groups = [family for family in families if family]
    rows = [len(group) for group in groups]
    figure = Figure(figsize=(10, 1.0 + 1.2 * len(groups) + 0.4 * sum(rows)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axis, group in zip(axes, groups, strict=True):
        _bars(axis, group)
    figure.suptitle(f"{device.title}, {device.compute_unit}\n{parts[0].finding}", fontsize=12)
    return figure


def _finish(axis: Axes, curves: list[BatchCurve], title: str) -> None:
    sizes = sorted({int(batch) for curve in curves for batch in curve.batch})
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("batch size (requests)")
    axis.set_ylabel(title)
    axis.grid(True, which="major", color="#dddddd")
    axis.spines[["top", "right"]].set_visible(False)


def _bars(axis: Axes, group: list[Components]) -> None:
    """Stack the components of each model into one horizontal bar, the first model on top."""
    scale, unit = (1.0, "s") if max(parts.total for parts in group) >= 1 else (1e3, "ms")
    kinds = list(dict.fromkeys(kind for parts in group for kind in parts.seconds))
    starts = [0.0] * len(group)
    for kind in kinds:
        widths = [parts.seconds.get(kind, 0.0) * scale for parts in group]
        colour = KIND_COLOURS.get(kind, OTHER)
        axis.barh(range(len(group)), widths, left=starts, color=colour, label=kind, height=0.7)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    for row, end in enumerate(starts):
        axis.annotate(f" {duration(end / scale)}", (end, row), va="center", fontsize=9)
    axis.set_yticks(range(len(group)), [parts.label for parts in group])
    axis.set_xlim(0, max(starts) * 1.1)
    axis.invert_yaxis()
    axis.set_xlabel(f"time of one request on the device ({unit})")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(kinds), frameon=False)
