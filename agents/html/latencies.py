"""Latencies by device tier: which share of requests was answered by when."""

from __future__ import annotations

from functools import partial

from agents.closeups import LEVELS, latency_at
from agents.html.figure import Figure
from agents.html.section import Section
from agents.html.svg import Box, Frame, Labels, Picture, Scale, axes, nice_step
from agents.html.tones import style_of

_ORDER = ("low", "mid", "high")


def latencies(section: Section) -> Figure:
    """Draw a panel a tier, a line a policy."""
    tiers = list(
        dict.fromkeys(tier for each in section.closeups.values() for tier in each["latency"])
    )
    tiers.sort(key=lambda tier: _ORDER.index(tier) if tier in _ORDER else len(_ORDER))
    unit, name = (1.0, "s") if max(_deadlines(section)) >= 2.0 else (1e-3, "ms")
    return Figure(
        finding=_finding(section, tiers),
        explanation="Share of requests answered within so long, by tier of device; dotted: the "
        f"deadlines. {_sample(section)}",
        alternative="Latency by device tier. "
        + "; ".join(
            f"{label}, {tier}: {_level(each['latency'][tier], 50, unit)} for half, "
            f"{_level(each['latency'][tier], 95, unit)} {name} for 95%"
            for label, each in section.closeups.items()
            for tier in tiers
            if tier in each["latency"]
        ),
        panels=tuple(partial(_draw, section, tier, unit, name) for tier in tiers),
    )


def _level(quantiles: list[float | None], level: float, unit: float) -> str:
    return f"{latency_at(quantiles, level) / unit:.3g}"


def _deadlines(section: Section) -> list[float]:
    return sorted({sla.deadline_s for sla in section.scenario.sla.values()})


def _sample(section: Section) -> str:
    episodes = section.config["closeup_episodes"]
    return f"{episodes} episodes." if episodes > 1 else "One episode."


def _finding(section: Section, tiers: list[str]) -> str:
    label = section.leader
    row = section.row(label)
    known = {tier: row.tiers[tier].value for tier in tiers if tier in row.tiers}
    if len(known) < 2:
        return f"When {label} answers"
    worst, best = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    gap = 100 * (known[best] - known[worst])
    if gap < 1.0:
        return f"Under {label} all tiers are served alike: {gap:.1f} points apart"
    return (
        f"Under {label} {worst}-tier devices get {100 * known[worst]:.1f}% in time, "
        f"{best}-tier {100 * known[best]:.1f}%"
    )


def _draw(section: Section, tier: str, unit: float, name: str, width: float) -> Picture:
    picture = Picture(width, 236)
    frame = Frame(left=40, right=width - 8, top=40, bottom=194)
    deadlines = _deadlines(section)
    most = max(
        (latency_at(each["latency"][tier], 99) for each in section.closeups.values()
         if tier in each["latency"]), default=0.0,
    )  # fmt: skip
    end = min(max(1.15 * deadlines[-1], 1.05 * most), 2.0 * deadlines[-1]) / unit
    x = Scale(0.0, end, frame.left, frame.right)
    y = Scale(0.0, 100.0, frame.bottom, frame.top)
    step = nice_step(end / 6)
    axes(
        picture, frame, x, y,
        x_ticks=[(k * step, f"{k * step:g}") for k in range(int(end / step) + 1)],
        y_ticks=[(tick, f"{tick}%") for tick in (0, 25, 50, 75, 100)],
        x_title=f"latency, {name}", y_title="answered",
    )  # fmt: skip
    picture.text((0, 12), f"{tier} tier", "head")
    for deadline in deadlines:
        at = x(deadline / unit)
        if at <= frame.right:
            picture.line((at, frame.top), (at, frame.bottom), "target")
    labels = Labels(Box(frame.left + 2, frame.top, frame.right + 6, frame.bottom - 1))
    lines = []
    for label, each in section.closeups.items():
        quantiles = each["latency"].get(tier)
        if quantiles is None:
            continue
        spots = [(v / unit, level) for v, level in zip(quantiles, LEVELS, strict=True)
                 if v is not None and v / unit <= end]  # fmt: skip
        points = [(x(latency), y(level)) for latency, level in spots]
        lines.append((label, points))
        for spot in points:
            labels.avoid(spot, 4)
    for place, (label, points) in enumerate(lines):
        with picture.group(style_of(section.row(label).name)):
            if len(points) > 1:
                picture.lines(points, f"line dash-{place}")
                middle = len(points) * (place + 2) // (len(lines) + 3)
                any(labels.place(picture, spot, label) for spot in points[middle:])
    if not lines:
        picture.text((frame.left + 8, frame.top + 20), "no requests", "tick")
    return picture
