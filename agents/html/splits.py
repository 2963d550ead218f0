"""Which part the cloud runs: against the reported bandwidth, and against the device's speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from agents.drawing import marker
from agents.html.figure import Figure
from agents.html.section import Section
from agents.html.svg import Box, Frame, Labels, Picture, Scale, axes, marker_path, number
from agents.html.tones import style_of
from agents.html.words import plain

MEGABIT = 1e6 / 8
STRENGTHS = 5
_PERCENT = [(tick, f"{tick}%") for tick in (0, 25, 50, 75, 100)]
FLAT = 0.1
"""Change of the mean split ratio from end to end below which it is said to hardly matter."""


def splits(section: Section) -> Figure:
    """Draw two panels: split ratio against bandwidth and against device speed."""
    label = section.leader
    each = section.closeups[label]
    by_rate, by_device = each["bandwidth"], _by_speed(each["devices"])
    about = f" of {each['model']}" if len(section.scenario.models) > 1 else ""
    return Figure(
        finding=_finding(label, by_rate, by_device),
        explanation=f"Share{about} that the cloud runs: 100% is all-cloud, 0% all-device. By "
        f"bandwidth: requests in {len(by_rate)} groups of equal size; the darker a field, the more "
        f"of a group {label} split so; lines are means. By device: means, a mark a device type, "
        "larger with more requests.",
        alternative=f"Split ratio under {label}. By {each['direction']}: "
        + ", ".join(f"{_rate(row)} Mbit/s {100 * row['mean']:.0f}%" for row in by_rate)
        + ". By device: "
        + ", ".join(f"{row['name']} ({plain(row['seconds'])} s) {100 * row['mean']:.0f}%"
                    for row in by_device),
        panels=(partial(_bandwidth, section, label), partial(_speed, section)),
    )  # fmt: skip


def _by_speed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Devices that can run the whole model, the fastest first."""
    return sorted((row for row in rows if row["seconds"]), key=lambda row: row["seconds"])


def _rate(row: dict[str, float]) -> str:
    return plain(row["rate"] / MEGABIT, 2)


def _finding(label: str, by_rate: list[dict[str, Any]], by_device: list[dict[str, Any]]) -> str:
    link = by_rate[-1]["mean"] - by_rate[0]["mean"]
    speed = by_device[-1]["mean"] - by_device[0]["mean"] if len(by_device) > 1 else 0.0
    slow_fast = (
        f"the cloud runs {100 * by_device[-1]['mean']:.0f}% for the slowest device and "
        f"{100 * by_device[0]['mean']:.0f}% for the fastest"
        if len(by_device) > 1
        else f"the cloud runs {100 * by_rate[0]['mean']:.0f}%"
    )
    if abs(speed) < FLAT and abs(link) < FLAT:
        return f"Under {label} neither link nor device changes the split much"
    if abs(link) < FLAT:
        return f"Under {label} {slow_fast}; the link hardly matters"
    more = "more" if link > 0 else "less"
    return f"Under {label} {slow_fast}, and {more} on fast links"


def _bandwidth(section: Section, label: str, width: float) -> Picture:
    """Draw groups of equal size beside each other, whatever their bandwidths."""
    groups = section.closeups[label]["bandwidth"]
    picture, frame, y, labels = _panel(width)
    x = Scale(-0.5, len(groups) - 0.5, frame.left, frame.right)
    wide = x(1) - x(0)
    direction = section.closeups[label]["direction"]
    axes(
        picture, frame, x, y,
        x_ticks=[(place, _rate(row)) for place, row in enumerate(groups)],
        y_ticks=_PERCENT,
        x_title=f"reported {direction}, Mbit/s, median of each group",
        y_title="cloud's share, by bandwidth",
    )  # fmt: skip
    with picture.group(style_of(section.row(label).name)):
        for strength in range(1, STRENGTHS + 1):
            fields = "".join(
                f"M{number(x(place) - 0.46 * wide)} {number(y(5 * level))}h{number(0.92 * wide)}"
                for place, row in enumerate(groups)
                for level, share in enumerate(row["shares"])
                if share > 0 and math.ceil(STRENGTHS * math.sqrt(share)) == strength
            )
            if fields:
                picture.path(fields, f"field of-{strength}", thick=8)
    lines = []
    for name, each in section.closeups.items():
        means = [100 * row["mean"] for row in each["bandwidth"]]
        lines.append((name, [(x(place), y(mean)) for place, mean in enumerate(means)]))
        for at in lines[-1][1]:
            labels.avoid(at, 5)
    for place, (name, points) in enumerate(lines):
        row = section.row(name)
        with picture.group(style_of(row.name)):
            picture.lines(points, f"line dash-{place}")
            picture.path("".join(marker_path("o", at, 2.2) for at in points), "mark")
            any(labels.place(picture, at, name) for at in points[len(points) // 2 :])
    return picture


def _speed(section: Section, width: float) -> Picture:
    every = [row for each in section.closeups.values() for row in _by_speed(each["devices"])]
    times = [row["seconds"] for row in every] or [1.0]
    unit, name = (1.0, "s") if max(times) >= 2.0 else (1e-3, "ms")
    picture, frame, y, labels = _panel(width)
    low, high = 0.8 * min(times) / unit, 1.25 * max(times) / unit
    x = Scale(low, high, frame.left + 4, frame.right - 4, "log")
    axes(
        picture, frame, x, y,
        x_ticks=[(tick, f"{tick:g}") for tick in x.ticks()],
        y_ticks=_PERCENT,
        x_title=f"whole model on the device, {name} (log scale)",
        y_title="cloud's share, by device",
    )  # fmt: skip
    most = max((row["requests"] for row in every), default=1)
    ends = []
    for label, each in section.closeups.items():
        row = section.row(label)
        with picture.group(style_of(row.name)):
            for device in _by_speed(each["devices"]):
                at = x(device["seconds"] / unit), y(100 * device["mean"])
                radius = 2.5 + 4.0 * (device["requests"] / most) ** 0.5
                tip = f"{label}, {device['name']} ({device['tier']}): {100 * device['mean']:.0f}%"
                picture.mark(marker(row.name), at, radius, "mark ghost", tip)
                labels.avoid(at, radius)
                ends.append((label, at))
    for label in section.closeups:
        spots = [at for name, at in ends if name == label]
        with picture.group(style_of(section.row(label).name)):
            any(labels.place(picture, at, label) for at in spots)
    return picture


def _panel(width: float) -> tuple[Picture, Frame, Scale, Labels]:
    picture = Picture(width, 260)
    frame = Frame(left=40, right=width - 8, top=38, bottom=216)
    y = Scale(0.0, 100.0, frame.bottom - 6, frame.top)
    labels = Labels(Box(frame.left + 2, frame.top - 6, frame.right + 6, frame.bottom - 2))
    return picture, frame, y, labels
