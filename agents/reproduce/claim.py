"""What a claim is, what is found of it, and how figures are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from agents.reproduce.study import TARGET, Played, Saved, Study
from agents.statistics import Interval


@dataclass(frozen=True)
class Finding:
    """What became of a claim here.

    Attributes
    ----------
    ours
        In words.
    tables
        The figures, for a terminal.
    data
        The figures as plain data.
    draw
        Makes the picture.
    """

    ours: str
    tables: tuple[Table, ...]
    data: dict[str, Any]
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Claim:
    """Something that the reference says.

    Attributes
    ----------
    title
        What it is about.
    theirs
        What the reference says, as far as it could be read.
    assumed
        What is assumed here.
    played
        Lists what has to be played.
    find
        Says what is found, once that is played.
    """

    title: str
    theirs: str
    assumed: str
    played: Callable[[], list[Played]]
    find: Callable[[Study], Finding]


def table(title: str, caption: str, first: tuple[str, ...], others: tuple[str, ...]) -> Table:
    """Start a table: columns of words, then columns of figures."""
    view = Table(title=title, caption=caption, header_style="bold")
    for name in first:
        view.add_column(name, no_wrap=True)
    for name in others:
        view.add_column(name, justify="right", no_wrap=True)
    return view


MARKS = "* all-cloud itself has less than 99% in time there; x the rule has less than that"


def mark(saved: Saved) -> str:
    """Say whether a saving is at 99% (nothing), at all-cloud's attainment, or at less."""
    return "x" if not saved.reached else "" if saved.asked >= TARGET else "*"


def short(saved: Saved, *, single: bool = False) -> str:
    """Write a saving as percent with half its interval, and its mark."""
    return plus_minus(saved.saving_of_single if single else saved.saving) + mark(saved)


def plus_minus(figure: Interval, digits: int = 0) -> str:
    """Write a share as percent with half its interval."""
    half = 100 * figure.half
    spread = f"±{half:.{digits if half >= 1 else 1}f}" if math.isfinite(half) else ""
    return f"{100 * figure.value:.{digits}f}{spread}"


def percent(figure: Interval, digits: int = 0) -> str:
    """Write a share as percent with its interval."""
    return f"{100 * figure.value:.{digits}f}{_ends(figure, digits)}"


def seconds(figure: Interval, most: float) -> str:
    """Write a latency target with its interval; infinite ones lie beyond ``most``."""
    if not math.isfinite(figure.value):
        return f"beyond {most:g}"
    if math.isnan(figure.low) or figure.low == figure.high:
        return f"{figure.value:.1f}"
    high = f"{figure.high:.1f}" if math.isfinite(figure.high) else f"beyond {most:g}"
    return f"{figure.value:.1f} ({figure.low:.1f} to {high})"


def _ends(figure: Interval, digits: int) -> str:
    if math.isnan(figure.low):
        return ""
    high = f"{100 * figure.high:.{digits}f}"
    if not math.isfinite(figure.low):
        return f" (at most {high})"
    return f" ({100 * figure.low:.{digits}f} to {high})"
