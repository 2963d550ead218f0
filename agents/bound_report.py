"""Say how far policies are from the bound, and what room it leaves: words and plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agents.bounds.gaps import Floors, room
from agents.statistics import Interval, interval
from splitenv.scenario import Scenario

TARGETS = (0.99, 0.95, 0.999)
"""Attainments at which a bound is reported if nothing else is said."""
MEANING = {
    "bound.gpu_cost_at": "least GPU cost per request at which anybody could attain the target in "
    "bound.episodes episodes, the first ones; see docs/bounds.md",
    "above_bound_at": "GPU cost of the cheapest mixture of two neighbouring settings that attains "
    "the target, above the bound there, as a share of the bound; in the episodes that it covers",
    "bound.room": "of the best rule at a target: above_bound, and what can still be saved of its "
    "GPU cost at most, 1 - bound / cost",
}


class Best(NamedTuple):
    """The best rule at a target, and how far above the bound it is."""

    label: str
    above: Interval


def percent(share: float) -> str:
    """Write a share as percent, with as many digits as it takes: 99%, 99.9%."""
    return f"{100 * share:.4g}%"


def bound_words(
    floors: Floors, targets: Sequence[float], best: Best | None, unit: str = "GPU s"
) -> str:
    """Say what the bound is at some targets, and what room the best rule leaves at the first."""
    least = {percent(round(goal, 3)): float(floors.at(1.0 - goal)[0]) for goal in targets}
    at, first = next(iter(least.items()))
    if math.isinf(first):
        return f"The bound: nobody can serve {at} in time"
    if first <= 0.0:
        return f"The bound at {at} is nothing: devices alone could serve as many"
    more = [f"{cost:.3g} at {goal}" for goal, cost in least.items() if math.isfinite(cost)][1:]
    aside = f" ({', '.join(more)})" if more else ""
    words = f"The bound at {at} is {first:.3g} {unit} a request{aside}"
    if best is None:
        return f"{words}, and no rule gets there"
    if not math.isfinite(best.above.value):
        return f"{words}; {best.label} does not get there in its episodes"
    return (
        f"{words}; the best rule, {best.label}, is {100 * best.above.value:.0f}%"
        f"{_range(best.above)} above it, so that at most {100 * room(best.above).value:.0f}% of "
        "its GPU time can still be saved"
    )


def gap_cell(gap: Interval, digits: int) -> str:
    """Write how far above the bound somebody is, in percent; beyond some it says nothing more."""
    if not math.isfinite(gap.value):
        return "-"
    return ">999" if gap.value >= 9.995 else f"{100 * gap.value:.{digits}f}"


def unit_of(scenario: Scenario) -> str:
    """What GPU cost is counted in."""
    return "priced GPU s" if len(scenario.pool.types) > 1 else "GPU s"


def _range(figure: Interval) -> str:
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return ""
    return f" ({100 * figure.low:.0f} to {100 * figure.high:.0f})"


def bound_dict(
    floors: Floors, best: Mapping[float, Best | None], scenario: Scenario, seed: int
) -> dict[str, Any]:
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
        "room": {f"{target:g}": _room(rule) for target, rule in best.items()},
        "words": {
            f"{target:g}": bound_words(floors, [target], rule, unit_of(scenario))
            for target, rule in best.items()
        },
        "curve": [
            {"violations": missed, "gpu_cost": cost}
            for missed, cost in floors.curve()
            if math.isfinite(cost)
        ],
    }


def _room(rule: Best | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    left = room(rule.above)
    return {"policy": rule.label, "above_bound": vars(rule.above), "room": vars(left)}
