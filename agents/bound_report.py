"""Say how far policies are from the bound, and what room it leaves: words and plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from agents.bounds.gaps import Floors, room
from agents.statistics import Interval, interval

TARGETS = (0.99, 0.95, 0.999)
"""Attainments at which a bound is reported if nothing else is said."""
MEANING = {
    "bound": "least GPU cost per request at which anybody could attain so much in the episodes "
    "that it covers, the first ones; see docs/bounds.md",
    "above_bound_at": "GPU cost of the cheapest mixture of two neighbouring settings that attains "
    "the target, above the bound there, as a share of the bound; in the episodes that it covers",
    "room": "of the best rule at a target: above_bound, and what can still be saved of its GPU "
    "cost at most, 1 - bound / cost",
}


class Best(NamedTuple):
    """The best rule at a target, and how far above the bound it is."""

    label: str
    above: Interval


def percent(share: float) -> str:
    """Write a share as percent, with as many digits as it takes: 99%, 99.9%."""
    return f"{100 * share:.4g}%"


def bound_words(floors: Floors, target: float, best: Best | None) -> str:
    """Say in a sentence what the bound is at a target, and what room the best rule leaves."""
    least = float(floors.at(1.0 - target)[0])
    at = percent(round(target, 3))
    if math.isinf(least):
        return f"The bound: nobody can serve {at} in time"
    if least <= 0.0:
        return f"The bound is nothing at {at}: devices alone could serve as many"
    words = f"The bound at {at} is {least:.3g} GPU s a request"
    if best is None:
        return f"{words}, and no rule gets there"
    if not math.isfinite(best.above.value):
        return f"{words}; {best.label} does not get there in its episodes"
    most = room(best.above)
    return (
        f"{words}; the best rule, {best.label}, is {100 * best.above.value:.0f}%"
        f"{_range(best.above)} above it, so that at most {100 * most.value:.0f}% of its GPU time "
        "can still be saved"
    )


def _range(figure: Interval) -> str:
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return ""
    return f" ({100 * figure.low:.0f} to {100 * figure.high:.0f})"


def bound_dict(floors: Floors, best: Mapping[float, Best | None], seed: int) -> dict[str, Any]:
    """Plain data of the bound, and of the best rule at each target."""
    return {
        "episodes": floors.episodes,
        "seeds": [seed, seed + floors.episodes - 1],
        "requests": floors.requests,
        "attainable": floors.attainable,
        "gpu_cost_at": {
            f"{target:g}": vars(interval(floors.at(1.0 - target), floors.episodes))
            for target in best
        },
        "room": {
            f"{target:g}": None
            if rule is None
            else {
                "policy": rule.label,
                "above_bound": vars(rule.above),
                "room": vars(room(rule.above)),
            }
            for target, rule in best.items()
        },
        "words": {
            f"{target:g}": bound_words(floors, target, rule) for target, rule in best.items()
        },
        "curve": [
            {"violations": missed, "gpu_cost": cost}
            for missed, cost in floors.curve()
            if np.isfinite(cost)
        ],
    }
