"""Pictures as inline SVG: scales, axes, marks and labels.

Colours are those of the page's style sheet (``static/report.css``), so that a picture follows the
reader's light or dark. Lengths are CSS pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

SMALL, NORMAL = 11.0, 12.0
WIDTH_OF_CHARACTER = 0.63
"""Of the font's size, on average; a little more than usual fonts take."""

RARE = 0.1
"""Percent of violations up to which their scale is linear: so 0 has a place; then logarithmic."""

CLOSE = 0.25
"""Pixels that a point may be off a line and be left out of it."""

Point = tuple[float, float]


def number(value: float) -> str:
    """Write a coordinate to a tenth of a pixel."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def text_width(words: str, size: float = SMALL) -> float:
    """Estimate how wide a text is."""
    return WIDTH_OF_CHARACTER * size * len(words)


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` to pixels from ``start`` to ``end``.

    ``kind`` is ``linear``, ``log``, or ``rare`` for violations in percent, see :data:`RARE`.
    """

    low: float
    high: float
    start: float
    end: float
    kind: str = "linear"

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = (self._bent(v) for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def _bent(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(value)
        if self.kind == "rare":
            return value / RARE * 0.6 if value <= RARE else 0.6 + math.log10(value / RARE)
        return value

    def ticks(self, most: int = 5) -> list[float]:
        """Round values along the scale, about ``most`` of them."""
        if self.kind == "rare":
            return [tick for tick in (0, 0.1, 1, 10, 100) if tick <= self.high]
        if self.kind == "log":
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if last - first <= 3 else (1,)
            found = [step * 10.0**e for e in range(first, last + 1) for step in steps]
            return [tick for tick in found if self.low <= tick <= self.high * (1 + 1e-9)]
        step = nice_step((self.high - self.low) / most)
        count = math.floor((self.high - self.low) / step + 1e-9)
        first = math.ceil(self.low / step - 1e-9)
        return [(first + k) * step for k in range(count + 1) if (first + k) * step <= self.high]


def nice_step(rough: float) -> float:
    """Return the least of 1, 2, 5 times a power of ten that is no less than ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))


class Picture:
    """An SVG that is drawn element by element."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._parts: list[str] = []

    def line(self, start: Point, end: Point, style: str) -> None:
        """Draw a straight line."""
        (x0, y0), (x1, y1) = start, end
        self.path(f"M{number(x0)} {number(y0)}L{number(x1)} {number(y1)}", style)

    def lines(self, points: Sequence[Point], style: str) -> None:
        """Draw a line through points; those that make no difference to the eye are left out."""
        self.path(f"M{_spots(_needed(points))}", style)

    def area(self, points: Sequence[Point], style: str) -> None:
        """Fill what points go around."""
        self.path(f"M{_spots(points)}Z", style)

    def path(self, data: str, style: str, tip: str = "", *, thick: float | None = None) -> None:
        """Draw a path of SVG's own commands; ``tip`` is shown on hover and touch."""
        width = "" if thick is None else f' stroke-width="{number(thick)}"'
        self._parts.append(f'<path class="{style}" d="{data}"{width}{_tip(tip)}/>')

    def rect(
        self, x: float, y: float, width: float, height: float, style: str, tip: str = ""
    ) -> None:
        """Fill a rectangle."""
        self._parts.append(
            f'<rect class="{style}" x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}"{_tip(tip)}/>'
        )

    def text(self, at: Point, words: str, style: str = "", anchor: str = "start") -> None:
        """Write words, whose baseline begins, is centred or ends at a point."""
        x, y = at
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        kind = f' class="{style}"' if style else ""
        self._parts.append(
            f'<text{kind} x="{number(x)}" y="{number(y)}"{place}>'
            f"{escape(words, quote=False)}</text>"
        )

    def mark(self, kind: str, at: Point, radius: float, style: str, tip: str = "") -> None:
        """Draw the marker of a batching rule."""
        if kind == "o":
            x, y, r = (number(value) for value in (*at, radius))
            self._parts.append(f'<circle class="{style}" cx="{x}" cy="{y}" r="{r}"{_tip(tip)}/>')
        else:
            self.path(marker_path(kind, at, radius), style, tip)

    @contextmanager
    def group(self, style: str) -> Iterator[None]:
        """Give what is drawn within a class in common: that of a policy, for its colour."""
        self._parts.append(f'<g class="{style}">')
        yield
        self._parts.append("</g>")

    def render(self) -> str:
        """Return the SVG."""
        size = f"{number(self.width)} {number(self.height)}"
        return f'<svg viewBox="0 0 {size}" aria-hidden="true">{"".join(self._parts)}</svg>'


def _needed(points: Sequence[Point]) -> list[Point]:
    """Drop points that lie within :data:`CLOSE` of the line between their neighbours."""
    kept = list(points[:1])
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        (x0, y0), (x1, y1), (x, y) = kept[-1], after, here
        length = math.hypot(x1 - x0, y1 - y0)
        off = abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / length if length else 0.0
        if off > CLOSE or length == 0.0 or not _between(kept[-1], here, after) or here == before:
            kept.append(here)
    return [*kept, *points[1:][-1:]]


def _between(start: Point, here: Point, end: Point) -> bool:
    """Whether a point lies ahead of the first and short of the last: no turning back."""
    (x0, y0), (x, y), (x1, y1) = start, here, end
    ahead = (x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)
    return 0.0 <= ahead <= (x1 - x0) ** 2 + (y1 - y0) ** 2


def _spots(points: Iterable[Point]) -> str:
    return "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _tip(words: str) -> str:
    return f' data-tip="{escape(words)}"' if words else ""


def marker_path(kind: str, at: Point, radius: float) -> str:
    """Trace a marker, by its letter in :data:`agents.drawing.MARKERS`."""
    x, y = at
    if kind == "o":
        r, d = number(radius), number(2 * radius)
        return f"M{number(x - radius)} {number(y)}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0"
    corners = {"s": (4, 45), "D": (4, 0), "p": (5, -90), "h": (6, -90), "v": (3, 90), "^": (3, -90)}
    if kind in corners:
        count, first = corners[kind]
        turns = [math.radians(first + 360 * k / count) for k in range(count)]
        size = 1.15 * radius
        spots = [(x + size * math.cos(turn), y + size * math.sin(turn)) for turn in turns]
    else:
        arm = 0.36 * radius
        spots = [(-arm, -radius), (arm, -radius), (arm, -arm), (radius, -arm), (radius, arm),
                 (arm, arm), (arm, radius), (-arm, radius), (-arm, arm), (-radius, arm),
                 (-radius, -arm), (-arm, -arm)]  # fmt: skip
        turn = math.sqrt(0.5) if kind == "X" else 0.0
        spots = [(a * turn - b * turn, a * turn + b * turn) if turn else (a, b) for a, b in spots]
        spots = [(x + 1.1 * a, y + 1.1 * b) for a, b in spots]
    return f"M{_spots(spots)}Z"


@dataclass(frozen=True)
class Frame:
    """The area that data are drawn in, within a picture."""

    left: float
    right: float
    top: float
    bottom: float


def axes(
    picture: Picture,
    frame: Frame,
    x: Scale,
    y: Scale,
    *,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    x_title: str,
    y_title: str,
) -> None:
    """Draw grid and ticks, and write what is counted above the one axis and below the other."""
    for value, words in y_ticks:
        picture.line((frame.left, y(value)), (frame.right, y(value)), "grid")
        picture.text((frame.left - 5, y(value) + 4), words, "tick", "end")
    picture.line((frame.left, frame.bottom), (frame.right, frame.bottom), "axis")
    last = -math.inf
    for value, words in x_ticks:
        half = text_width(words) / 2
        picture.line((x(value), frame.bottom), (x(value), frame.bottom + 4), "axis")
        if x(value) - half > last + 4:
            end = x(value) + half > picture.width
            at = picture.width if end else x(value)
            picture.text((at, frame.bottom + 16), words, "tick", "end" if end else "middle")
            last = x(value) + half
    picture.text((max(frame.left - 34, 0), frame.top - 9), y_title, "what")
    picture.text(((frame.left + frame.right) / 2, frame.bottom + 32), x_title, "what", "middle")


@dataclass(frozen=True)
class Box:
    """A rectangle that a label must not cover, or may not leave."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether both have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Labels:
    """Finds places for direct labels that cover neither marks nor each other."""

    def __init__(self, inside: Box) -> None:
        self.inside = inside
        self.taken: list[Box] = []

    def avoid(self, at: Point, radius: float) -> None:
        """Keep labels off a mark."""
        x, y = at
        self.taken.append(Box(x - radius, y - radius, x + radius, y + radius))

    def place(self, picture: Picture, at: Point, words: str, style: str = "label") -> bool:
        """Write words near a point, with a leader if not beside it; False if there is no room.

        Of a path, its last part alone if there is no room for all of it.
        """
        last = words.rpartition("/")[2]
        return self._place(picture, at, words, style) or (
            last != words and self._place(picture, at, last, style)
        )

    def _place(self, picture: Picture, at: Point, words: str, style: str) -> bool:
        width, height = text_width(words, SMALL), 12.0
        for dx, dy in _OFFSETS:
            left = at[0] + dx if dx > 0 else at[0] + dx - width if dx < 0 else at[0] - width / 2
            box = Box(left, at[1] + dy - height / 2, left + width, at[1] + dy + height / 2)
            room = self.inside
            fits = room.left <= box.left and box.right <= room.right
            fits = fits and room.top <= box.top and box.bottom <= room.bottom
            if fits and not any(box.meets(other) for other in self.taken):
                self.taken.append(box)
                if math.hypot(dx, dy) > 20:
                    near = (min(max(at[0], box.left), box.right), at[1] + dy)
                    edge = box.bottom if near[1] < at[1] else box.top
                    near = (near[0], edge) if box.left < at[0] < box.right else near
                    picture.line(at, near, "leader")
                anchor, edge = ("start", box.left) if dx > 0 else ("end", box.right)
                if dx == 0:
                    anchor, edge = "middle", at[0]
                picture.text((edge, at[1] + dy + 4), words, style, anchor)
                return True
        return False


_OFFSETS = [
    (side * distance, rise * distance)
    for distance in (9.0, 13.0, 18.0, 25.0, 34.0, 45.0, 58.0, 74.0)
    for side, rise in (
        (1, 0), (-1, 0), (0.8, -0.8), (0.8, 0.8), (-0.8, -0.8), (-0.8, 0.8), (0, -1.3), (0, 1.3),
        (0.5, -1.2), (0.5, 1.2), (-0.5, -1.2), (-0.5, 1.2),
    )
]  # fmt: skip
"""Where a label may stand, the nearest first."""
