"""A figure of the page: its finding, drawings for narrow and wide screens, itself in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from agents.html.svg import Picture

NARROW, WIDE, GAP = 336.0, 1040.0, 16.0
"""Widths that pictures are drawn for, a phone's column and a whole page's, and between panels."""

Draw = Callable[[float], Picture]


@dataclass(frozen=True)
class Figure:
    """A finished figure.

    Attributes
    ----------
    finding
        Its title: what it shows.
    explanation
        How to read it.
    alternative
        What it shows, for those who do not see it.
    panels
        Draw each panel to a width; on narrow screens they stand below each other.
    legend
        HTML between title and picture.
    only
        Width of its only drawing, if it does not have one for narrow and one for wide screens; it
        scrolls where it is wider than the screen.
    """

    finding: str
    explanation: str
    alternative: str
    panels: tuple[Draw, ...]
    legend: str = ""
    only: float | None = None

    def html(self) -> str:
        """Return the figure as HTML."""
        return (
            f"<figure><figcaption><h3>{escape(self.finding)}</h3>"
            f"<p>{escape(self.explanation)}</p></figcaption>{self.legend}{self._drawn()}</figure>"
        )

    def _drawn(self) -> str:
        """Draw each panel for narrow and wide screens; the style sheet shows the one that fits."""
        count = len(self.panels)
        columns = count if count in (1, 3) else 2
        wide = round((WIDE - GAP * (columns - 1)) / columns)
        if self.only is None and wide != NARROW:
            narrow, other = self._panels("narrow", NARROW), self._panels(f"wide of-{columns}", wide)
            return narrow + other
        width = self.only or NARROW
        drawn = self._panels("four" if count == 4 else "", width)
        if width <= NARROW:
            return drawn
        return f'<div class="scroll bare" tabindex="0" role="region">{drawn}</div>'

    def _panels(self, style: str, width: float) -> str:
        drawn = "".join(draw(width).render() for draw in self.panels)
        words = escape(self.alternative)
        return f'<div class="panels {style}" role="img" aria-label="{words}">{drawn}</div>'
