"""The figure of the page: GPU cost against violations, each policy a curve or a point."""

from __future__ import annotations

import math

import numpy as np

from agents.bounds.gaps import Floors
from agents.drawing import marker
from agents.html.figure import Figure
from agents.html.section import Row, Section
from agents.html.svg import Box, Frame, Labels, Picture, Point, Scale, axes, text_width
from agents.html.tones import style_of
from agents.html.words import percent, plain, points

FEW = 5.0
"""Violations, in percent, above which nothing is near a target and a logarithm only crowds."""

FAR = 0.3
"""Violations, as a share, above which somebody is too far off to be drawn, if others are not."""

FINE = 5
"""Pieces that a line between two settings is drawn in: straight, it is bent by the scale."""


def trade_off(section: Section) -> Figure:
    """Draw every policy's GPU cost against its violations, and the targets."""
    unit, name = _unit(section)
    line = "A line is a policy swept over its knob, the large mark its own setting. "
    bars = "Bars are 95% intervals. "
    return Figure(
        finding=_finding(section),
        explanation=f"GPU {name} of a request against requests answered late or never"
        f"{', seconds priced by GPU type' if section.priced else ''}. "
        f"{_below(section)}{line if section.swept else bars}Further left and down is better."
        f"{_left_out(section)}",
        alternative="GPU time per request against violations. "
        + "; ".join(f"{row.label}: {_words(row, unit, name)}" for row in section.rows),
        panels=(lambda width: _draw(section, width),),
    )


def outside(section: Section) -> list[str]:
    """Labels of who is late so often that the others would be drawn onto each other."""
    least = {row.label: min(spot.violations for spot in row.settings) for row in section.rows}
    if min(least.values()) > FAR / 3:
        return []
    return [label for label, violations in least.items() if violations > FAR]


def _left_out(section: Section) -> str:
    left_out = [section.row(label) for label in outside(section)]
    if not left_out:
        return ""
    words = ", ".join(f"{row.label} ({percent(row.own.violations)} late)" for row in left_out)
    return f" Off to the right: {words}."


def _below(section: Section) -> str:
    if section.bound is None:
        return ""
    return (
        "Nobody can get below the red line, whatever they know (the bound, over the "
        f"first {section.bound.episodes} of the episodes). "
    )


def _finding(section: Section) -> str:
    nobody = f"Nobody gets as far left as {percent(section.target)} in time"
    if section.best is None and section.asked == section.target:
        return nobody
    leader = section.row(section.leader)
    goal = section.target if section.best else section.asked
    lowest = f"t {percent(goal)} in time, {leader.label} lies lowest"
    if goal == section.asked and leader.above and math.isfinite(leader.above.value):
        lowest += f", {points(leader.above.value)}% above the bound"
    return f"A{lowest}" if section.best else f"{nobody}; a{lowest}"


def _words(row: Row, unit: float, name: str) -> str:
    late = percent(row.own.violations)
    return f"{plain(row.own.cost / unit)} GPU {name}, {late} late or never"


def _unit(section: Section) -> tuple[float, str]:
    most = max(spot.cost for row in section.rows for spot in row.settings)
    return (1.0, "seconds") if most >= 0.1 else (1e-3, "milliseconds")


def _draw(section: Section, width: float) -> Picture:
    wide = width > 500
    picture = Picture(width, 470 if wide else 360)
    frame = Frame(left=42, right=width - 10, top=30, bottom=picture.height - 42)
    unit, name = _unit(section)
    rows = [row for row in section.rows if row.label not in outside(section)]
    spots = [spot for row in rows for spot in row.settings]
    late = [100 * spot.violations for spot in spots]
    top = 1.12 * max(spot.cost for spot in spots) / unit or 1.0
    linear = min(late) > FEW
    right = 100.0 if linear else min(100.0, max(2.0, 1.6 * max(late)))
    x = Scale(0.0, right, frame.left + 8, frame.right - 6, "linear" if linear else "rare")
    y = Scale(0.0, top, frame.bottom, frame.top)
    axes(
        picture, frame, x, y,
        x_ticks=[(tick, f"{tick:g}%") for tick in x.ticks()],
        y_ticks=[(tick, f"{tick:g}") for tick in y.ticks()],
        x_title="late or never" + ("" if linear else " (log scale above 0.1%)"),
        y_title=f"GPU {name} per request{', priced' if section.priced else ''}",
    )  # fmt: skip
    labels = Labels(Box(frame.left + 2, frame.top - 4, frame.right + 6, frame.bottom - 2))
    if section.bound is not None:
        _bound(picture, section.bound, x, y, unit, labels)
    _targets(picture, frame, x, section, labels)
    for row in rows[::-1]:
        _curve(picture, row, x, y, unit, labels, section.swept)
    first = {section.best, "all-cloud", *section.closeups}
    for row in sorted(rows, key=lambda row: row.label not in first):
        if wide or row.label in first or len(rows) <= 7:
            with picture.group(style_of(row.name)):
                labels.place(picture, _at(row, x, y, unit), row.label)
    return picture


def _at(row: Row, x: Scale, y: Scale, unit: float) -> Point:
    return x(100 * row.own.violations), y(row.own.cost / unit)


def _targets(picture: Picture, frame: Frame, x: Scale, section: Section, labels: Labels) -> None:
    """Draw the targets; where all have many violations, only that of the verdict."""
    few = x.kind == "linear"
    for target in section.targets[: 1 if few else None]:
        at = x(100 * (1 - target))
        if at > frame.right:
            continue
        own = target == section.target
        picture.line((at, frame.top), (at, frame.bottom), "target" if own else "target faint")
        words = f"{percent(target)} in time" if own else percent(target)
        side = -1 if at - text_width(words) > frame.left else 1
        picture.text((at + 3 * side, frame.top + 8), words, "tick", "end" if side < 0 else "start")
        half = text_width(words) / 2
        labels.avoid((at + (half + 3) * side, frame.top + 4), half)


def _curve(
    picture: Picture, row: Row, x: Scale, y: Scale, unit: float, labels: Labels, swept: bool
) -> None:
    late = np.array([100 * spot.violations for spot in row.settings])
    cost = np.array([spot.cost / unit for spot in row.settings])
    sign = marker(row.name)
    with picture.group(style_of(row.name)):
        if not swept:
            _whiskers(picture, row, x, y, unit, labels)
        if len(late) > 1:
            fine = np.linspace(0, len(late) - 1, FINE * (len(late) - 1) + 1)
            place = np.arange(len(late))
            between = zip(np.interp(fine, place, late), np.interp(fine, place, cost), strict=True)
            picture.lines([(x(v), y(c)) for v, c in between], "curve")
            for v, c in zip(late, cost, strict=True):
                labels.avoid((x(v), y(c)), 3)
        at = _at(row, x, y, unit)
        labels.avoid(at, 6)
        tip = f"{row.label}: {percent(1 - row.own.violations)} in time, {row.own.cost:.3g} GPU s"
        picture.mark(sign, at, 5.0, "mark", tip)


def _whiskers(picture: Picture, row: Row, x: Scale, y: Scale, unit: float, labels: Labels) -> None:
    """Draw the intervals of a single setting."""
    at = _at(row, x, y, unit)
    met, cost = row.figures["attainment"], row.figures["gpu_cost"]
    if met.high > met.low:
        ends = (x(min(100 * (1 - met.high), x.high)), x(min(100 * (1 - met.low), x.high)))
        picture.line((ends[0], at[1]), (ends[1], at[1]), "whisker")
        for place in range(int(ends[0]), int(ends[1]), 6):
            labels.avoid((place, at[1]), 3)
    if cost.high > cost.low:
        picture.line((at[0], y(cost.low / unit)), (at[0], y(cost.high / unit)), "whisker")


def _bound(
    picture: Picture, floors: Floors, x: Scale, y: Scale, unit: float, labels: Labels
) -> None:
    """Draw what nobody can undercut, and shade what lies below."""
    known = [(100 * missed, cost / unit) for missed, cost in floors.curve() if math.isfinite(cost)]
    line = [(x(missed), y(cost)) for missed, cost in known if missed <= x.high]
    if not any(cost > 0 for _, cost in known[: len(line)]):
        return
    if known[-1][0] > x.high:
        at = np.interp(x.high, *np.array(known).T)
        line.append((x(x.high), y(float(at))))
    picture.area([(line[0][0], y(0)), *line, (line[-1][0], y(0))], "below")
    picture.lines(line, "bound")
    for spot in line:
        labels.avoid(spot, 3)
    picture.text((line[0][0] + 6, line[0][1] + 18), "the bound", "boundlabel")
