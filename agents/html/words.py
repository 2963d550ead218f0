"""How numbers are written on a page."""

from __future__ import annotations

import math

from agents.statistics import Interval

MISSING = "\u2013"


def percent(share: float) -> str:
    """A share as percent, to a tenth of a point where that matters."""
    return f"{100 * round(share, 4):.4g}%"


def points(share: float) -> str:
    """A share in percentage points: with a digit more where it is small."""
    value = 100 * share
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"


def plain(value: float, digits: int = 3) -> str:
    """A number with so many digits, without an exponent."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    after = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{after}f}"


def seconds(value: float) -> str:
    """A latency, s; a quantile is infinite where so many were dropped."""
    return "never" if math.isinf(value) else plain(value)


def size(value: float) -> str:
    """Bytes, in the unit that suits."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{plain(value / scale)} {unit}"
    return f"{plain(value)} B" if value else "0"


def between(figure: Interval, factor: float = 1.0, digits: int = 1) -> str:
    """The ends of an interval; empty if it has none."""
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return ""
    return f"{factor * figure.low:.{digits}f} to {factor * figure.high:.{digits}f}"
