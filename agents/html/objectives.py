"""The survey's three objectives side by side: latency, money, and what crosses the network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from agents.crossings import INPUT, INSIDE, NOTHING, OUTPUT
from agents.html.figure import Figure
from agents.html.section import Row, Section
from agents.html.svg import Picture, Scale, nice_step, number
from agents.html.tones import style_of
from agents.html.words import plain, seconds, size
from agents.measures import WAYS

WORDS = {
    NOTHING: "nothing",
    INPUT: "the input",
    INSIDE: "a tensor inside the model",
    OUTPUT: "the output",
}
"""What can cross the network."""

HIGH = 30.0
TOP = 20.0


def objectives(section: Section) -> Figure:
    """Draw a panel an objective, a bar a policy."""
    rows = section.rows
    return Figure(
        finding=_finding(rows),
        explanation="The three objectives of the survey of split inference (arXiv 2510.22909), "
        "each policy at its own setting; shorter is better in all three. Latency: the mark is the "
        "median, the bar ends where 95% are answered. Money: rent of busy GPU time, 1,000 "
        "requests. Network: bytes of a request, full colour up, pale down; and the share of "
        "requests by what crosses, upwards above and downwards below.",
        legend=_legend(),
        alternative="; ".join(
            f"{row.label}: 95% within {seconds(row.figures['latency_p95'].value)} s, "
            f"{plain(row.figures['dollars'].value)} dollars per 1,000 requests, "
            f"{size(_up(row))} up and {size(_down(row))} down per request"
            for row in rows
        ),
        panels=(
            partial(_latency, rows),
            partial(_money, rows),
            partial(_network, rows),
            partial(_boundaries, rows),
        ),
    )


def _up(row: Row) -> float:
    return row.figures["bytes_up"].value


def _down(row: Row) -> float:
    return row.figures["bytes_down"].value


def _finding(rows: tuple[Row, ...]) -> str:
    quick = min(rows, key=lambda row: row.figures["latency_p95"].value)
    cheap = min(rows, key=lambda row: row.figures["dollars"].value)
    quiet = min(rows, key=lambda row: _up(row) + _down(row))
    if quick is cheap is quiet:
        return f"{quick.label} is first in latency, money and traffic"
    if cheap is quiet:
        return f"{quick.label} is quickest; {cheap.label} costs least and sends least"
    if quick is cheap:
        return f"{quick.label} is quickest and cheapest; {quiet.label} sends least"
    if quick is quiet:
        return f"{quick.label} is quickest and sends least; {cheap.label} costs least"
    return f"{quick.label} is quickest, {cheap.label} cheapest, {quiet.label} sends least"


def _panel(rows: tuple[Row, ...], width: float, most: float, head: str) -> tuple[Picture, Scale]:
    picture = Picture(width, TOP + HIGH * len(rows) + 22)
    x = Scale(0.0, most, 0, width - 54)
    picture.text((0, 12), head, "head")
    step = nice_step(most / 4)
    bottom = TOP + HIGH * len(rows)
    for k in range(int(most / step + 1e-9) + 1):
        picture.line((x(k * step), TOP), (x(k * step), bottom), "grid")
        picture.text(
            (x(k * step), bottom + 14), f"{k * step:,g}", "tick", "middle" if k else "start"
        )
    return picture, x


@contextmanager
def _row(picture: Picture, place: int, row: Row) -> Iterator[None]:
    """A policy's row: its label, and room for its bar below."""
    with picture.group(style_of(row.name)):
        picture.text((2, TOP + HIGH * place + 13), row.label, "label")
        yield


def _latency(rows: tuple[Row, ...], width: float) -> Picture:
    values = [row.figures["latency_p95"].value for row in rows]
    finite = [value for value in values if math.isfinite(value)]
    most = max(finite, default=1.0)
    typical = sorted(finite)[len(finite) // 2] if finite else 1.0
    most = min(most, 4.0 * typical)
    unit, name = (1.0, "s") if most >= 2.0 else (1e-3, "ms")
    picture, x = _panel(rows, width, most / unit, f"latency, {name}")
    for place, row in enumerate(rows):
        y = TOP + HIGH * place + 18
        median, slow = (row.figures[f"latency_p{level}"].value for level in (50, 95))
        end = x(min(slow, most) / unit)
        with _row(picture, place, row):
            picture.rect(0, y, end, 8, "mark pale")
            if median <= most:
                picture.rect(x(median / unit) - 1.5, y - 1, 3, 10, "mark")
        words = "never" if math.isinf(slow) else plain(slow / unit)
        picture.text((end + 4, y + 8), words if slow <= most else f"{words} →", "tick")
    return picture


def _money(rows: tuple[Row, ...], width: float) -> Picture:
    most = max(row.figures["dollars"].value for row in rows) or 1.0
    picture, x = _panel(rows, width, most, "money, US$ per 1,000 requests")
    for place, row in enumerate(rows):
        y, value = TOP + HIGH * place + 18, row.figures["dollars"].value
        with _row(picture, place, row):
            picture.rect(0, y, x(value), 8, "mark")
        picture.text((x(value) + 4, y + 8), plain(value), "tick")
    return picture


def _network(rows: tuple[Row, ...], width: float) -> Picture:
    most = max(_up(row) + _down(row) for row in rows) or 1.0
    unit, name = next(
        (u, n) for u, n in ((1e6, "MB"), (1e3, "kB"), (1.0, "B")) if most >= u or u == 1
    )
    picture, x = _panel(rows, width, most / unit, f"network, {name} per request")
    for place, row in enumerate(rows):
        y, up, down = TOP + HIGH * place + 18, _up(row), _down(row)
        with _row(picture, place, row):
            picture.rect(0, y, x(up / unit), 8, "mark")
            picture.rect(x(up / unit), y, x((up + down) / unit) - x(up / unit), 8, "mark pale")
        picture.text((x((up + down) / unit) + 4, y + 8), plain((up + down) / unit), "tick")
    return picture


def _legend() -> str:
    entries = "".join(
        f'<li><i class="cross-{kind}"></i>{words}</li>' for kind, words in WORDS.items()
    )
    return f'<ul class="legend">{entries}</ul>'


def _boundaries(rows: tuple[Row, ...], width: float) -> Picture:
    picture, x = _panel(rows, width, 100.0, "what crosses the network, % of requests")
    bars: dict[str, list[str]] = {}
    for place, row in enumerate(rows):
        with _row(picture, place, row):
            pass
        for lane, way in enumerate(WAYS):
            share, y = 0.0, number(TOP + HIGH * place + 19 + 5 * lane)
            for kind in WORDS:
                start, share = share, share + 100 * row.crossed[way, kind]
                if share > start:
                    bar = f"M{number(x(start))} {y}h{number(x(share) - x(start))}"
                    bars.setdefault(kind, []).append(bar)
    for kind, paths in bars.items():
        picture.path("".join(paths), f"cross-{kind}", thick=4)
    return picture
