"""Cost per decision against what a world has more of: which grow, and how.

    python -m benchmarks.scaling [--quick] [--axis NAME] [--out results.json] [--save]

CPU time of one thread; 64 environments where their number is not the axis, 8 where queues are long,
which so stay in the cache. Two fits tell how the cost grows with n:

- a power law n^p, by least squares on the logarithms of both, and the ratio of last to first;
- ``a + b log2(n) + c n`` with a, b and c not negative, by least squares on relative errors, told as
  the share of each part in the cost at the largest n.

A queue counts as no worse than logarithmic if the linear part of the second fit is at most 10% of
the cost at the longest queue: a cost that keeps below some ``a + b log2(n)`` needs no linear part,
and one that grows faster gets one. With errors of 6% in every figure a flat and a logarithmic cost
pass at least nine times in ten, a cost half of which is a square root fails, and so does one that
the linear part makes one and a half times as large.

What a call costs is shared by its environments, so along that axis the cost falls first: fits there
start at the cheapest number.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from benchmarks import worlds
from benchmarks.history import keep, output_options
from benchmarks.timing import QUICK, THOROUGH, Pace
from benchmarks.worlds import World

LINEAR_PART = 0.1
"""Largest linear part in the cost at the longest queue that still counts as logarithmic."""

LENGTHS = (1, 3, 10, 30, 100, 300, 1000)


@dataclass(frozen=True)
class Axis:
    """What grows: its values, the world that has so many, and whether they share a call's cost."""

    name: str
    values: tuple[int, ...]
    world: Callable[[int], World]
    shared: bool = False


AXES = (
    Axis("environments", tuple(4**power for power in range(8)), worlds.with_environments, True),
    Axis("GPUs", tuple(2**power for power in range(7)), worlds.with_gpus),
    Axis("queue, in time", LENGTHS, partial(worlds.with_backlog, kind="in time")),
    Axis("queue, late", LENGTHS, partial(worlds.with_backlog, kind="late")),
    Axis("queue, held", LENGTHS, partial(worlds.with_backlog, kind="held")),
    Axis("placements", (2, 3, 4, 6, 8, 12, 16), worlds.with_placements),
    Axis("models", (1, 2, 3, 4, 5, 6, 7, 8), worlds.with_models),
)


@dataclass(frozen=True)
class Growth:
    """How a cost grows along an axis.

    Attributes
    ----------
    first, last
        Where the fits start and end.
    exponent
        Of the power law.
    ratio
        Cost at the last over cost at the first.
    constant, logarithmic, linear
        Share of each part in the cost at the last.
    """

    first: int
    last: int
    exponent: float
    ratio: float
    constant: float
    logarithmic: float
    linear: float

    @property
    def no_worse_than_logarithmic(self) -> bool:
        """By the criterion of this module."""
        return self.linear <= LINEAR_PART

    def describe(self) -> str:
        """In a line."""
        return (
            f"{self.first:,} to {self.last:,}: n^{self.exponent:.2f}, x{self.ratio:.2f}; there "
            f"{self.constant:.0%} constant, {self.logarithmic:.0%} logarithmic, "
            f"{self.linear:.0%} linear"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs, rougher figures")
    parser.add_argument("--axis", default="", help="only axes whose name starts so")
    output_options(parser)
    options = parser.parse_args()
    pace = replace(QUICK if options.quick else THOROUGH, clock="thread_time")
    results = [measure(axis, pace) for axis in AXES if axis.name.startswith(options.axis)]
    figures = {"pace": asdict(pace), "axes": results}
    keep("scaling", headline(results), figures, options)


def measure(axis: Axis, pace: Pace) -> dict[str, Any]:
    """Measure the cost along an axis, and show it."""
    costs, waiting = [], []
    for value in axis.values:
        world = axis.world(value)
        calls = pace.measure(world.step)
        costs.append(1e9 / (calls * world.simulator.envs))
        waiting.append(world.waiting())
    start = min(int(np.argmin(costs)), len(costs) - 2) if axis.shared else 0
    growth = fit(axis.values[start:], np.array(costs[start:]))
    show(axis, costs, waiting, growth)
    return {
        "axis": axis.name,
        "values": axis.values,
        "ns_per_decision": costs,
        "waiting": waiting,
        **asdict(growth),
        "no_worse_than_logarithmic": growth.no_worse_than_logarithmic,
    }


def fit(sizes: tuple[int, ...], costs: npt.NDArray[np.float64]) -> Growth:
    """Fit both forms of growth, see the head of this module."""
    n = np.array(sizes, np.float64)
    exponent = np.polyfit(np.log(n), np.log(costs), 1)[0]
    parts = np.stack([np.ones_like(n), np.log2(n), n], axis=1)
    factors, _ = nnls(parts / costs[:, None], np.ones_like(costs))
    shares = factors * parts[-1] / (factors @ parts[-1])
    ratio = float(costs[-1] / costs[0])
    return Growth(sizes[0], sizes[-1], float(exponent), ratio, *shares.tolist())


def show(axis: Axis, costs: list[float], waiting: list[float], growth: Growth) -> None:
    table = Table(title=f"Cost against {axis.name}")
    for column in (axis.name.partition(",")[0], "ns/decision", "to first", "requests waiting"):
        table.add_column(column, justify="right")
    for value, cost, queue in zip(axis.values, costs, waiting, strict=True):
        table.add_row(f"{value:,}", f"{cost:,.0f}", f"{cost / costs[0]:.2f}", f"{queue:,.1f}")
    console = Console()
    console.print(table)
    console.print(growth.describe(), highlight=False)
    if axis.name.startswith("queue"):
        verdict = "yes" if growth.no_worse_than_logarithmic else "no"
        console.print(f"no worse than logarithmic: {verdict}")
    console.print()


def headline(results: list[dict[str, Any]]) -> str:
    return "; ".join(f"{result['axis']} x{result['ratio']:.1f}" for result in results)


if __name__ == "__main__":
    main()
