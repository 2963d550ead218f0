"""The simulator against theory: worlds that a formula holds for, run until the interval is narrow.

Every world has hold 0 and equal relative deadlines, so that order by D is order of arrival, and
transfers that take no time. Its rows are independent runs from an empty system; of each, the
requests at both ends are left out, at the start until that is forgotten (:func:`warmup`). No
variance reduction: what is printed is the mean over rows and its t interval.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from splitenv import theory
from splitenv.actions import HOLD_LEVELS
from splitenv.simulator import NO_RESET, Simulator
from splitenv.state import Tables
from splitenv.toys import toy_scenario, toy_settings, toy_tables
from splitenv.truth import Settings

Array = npt.NDArray[Any]

CONFIDENCE = 0.999
HALF_WIDTH = 0.01
"""Relative half-width of the interval that a line must reach."""
EXACT = 1e-12
"""Relative error that a hand-worked case may show: rounding."""
TIGHT_FROM, TIGHT = 0.7, 0.02
"""From this load on, a bound must lie within this share of the interval."""

ROWS = 256
LOOKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""After how many times ROWS rows the interval is looked at; after the last, the line is a miss."""

PK = "Pollaczek 1930, Khinchine 1932"

SLOTS = 2048
PLENTY = 1e6
"""A deadline that nobody misses, and a device time that nobody chooses, s."""


class Claim(NamedTuple):
    """What theory says about a world's mean: equal to ``value``, or (``bound``) not above it."""

    value: float
    source: str
    bound: bool = False


@dataclass(frozen=True)
class Case:
    """A world and what theory says about it.

    Attributes
    ----------
    service
        What to take off the mean latency to get the quantity: the constant service time for a
        mean wait, 0 for a mean latency, None for a wait behind each request's own GPU seconds.
    shares
        How often each placement after all-device is chosen, independently of all else.
    spread
        E[S^2] / E[S]^2 of the service times: the start is forgotten that much more slowly.
    exact
        One request, without chance.
    """

    model: str
    load: float
    quantity: str
    claims: tuple[Claim, ...]
    tables: Tables
    rate: float
    service: float | None = 0.0
    shares: tuple[float, ...] = (1.0,)
    spread: float = 1.0
    exact: Settings | None = None


@dataclass(frozen=True)
class Line:
    """One claim beside what the simulator gave."""

    model: str
    load: float
    quantity: str
    source: str
    bound: bool
    theory: float
    simulation: float
    half_width: float
    decisions: int
    ok: bool = field(default=False)

    @property
    def error(self) -> float:
        """Simulation against theory, relative."""
        return self.simulation / self.theory - 1.0


def cases(load_max: float = 0.9) -> Iterator[Case]:
    """All worlds with a load up to ``load_max``, lightest theory first."""
    makers: tuple[tuple[Callable[..., Case], tuple[Any, ...], tuple[float, ...]], ...] = (
        (_md1, (), (0.3, 0.5, 0.7, 0.8, 0.9)),
        (_mg1, (), (0.3, 0.5, 0.7, 0.9)),
        (_mdc, (2,), (0.5, 0.7, 0.9)),
        (_mdc, (4,), (0.5, 0.7, 0.9)),
        (_mdc, (8,), (0.7, 0.8, 0.9)),
        (_bulk, (4,), (0.5, 0.7, 0.9)),
        (_bulk, (8,), (0.5, 0.7, 0.9)),
        (_linear, (0.1,), (0.3, 0.5, 0.7, 0.9)),
        (_linear, (1.0,), (0.3, 0.5, 0.7, 0.9)),
    )
    yield _single()
    for make, arguments, loads in makers:
        for load in loads:
            if load <= load_max + 1e-9:
                yield make(load, *arguments)


def warmup(load: float, spread: float = 1.0) -> int:
    """Requests after which a run has forgotten that it started empty.

    12 relaxation times, see :func:`splitenv.theory.decay`: what is left is e^-12 of the distance.
    """
    return max(64, int(12.0 * spread / theory.decay(load)) + 1)


def run(case: Case, seed: int = 0, progress: Callable[[float], None] | None = None) -> list[Line]:
    """Simulate a world until its interval is narrow enough, or the last look; one line per claim.

    Parameters
    ----------
    progress
        Called with the share of the work that is probably done.
    """
    if case.exact is not None:
        return [_compare(case, case.claims[0], _latency_of_one(case, case.exact), 0.0, 1)]
    warm = warmup(case.load, case.spread)
    length = 2 * warm + max(4000, 10 * warm)
    settings = toy_settings(load=case.rate, gpus=len(case.tables.pool), length=length, warmup=warm)
    simulator = Simulator(toy_scenario(1, SLOTS), ROWS, tables=case.tables, settings=settings)
    random = np.random.default_rng([seed, 1])
    means = np.zeros(0)
    mean = half = float("inf")
    for look in LOOKS:
        while len(means) < look * ROWS:
            means = np.append(means, _batch(case, simulator, seed, len(means), random))
        mean = float(means.mean())
        spread = float(means.std(ddof=1)) / math.sqrt(len(means))
        half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, len(means) - 1)) * spread
        if progress is not None:
            progress(min(1.0, (HALF_WIDTH * mean / half) ** 2))
        if half < HALF_WIDTH * mean:
            break
    decisions = len(means) * length
    return [_compare(case, claim, mean, half, decisions) for claim in case.claims]


def _batch(
    case: Case, simulator: Simulator, seed: int, first: int, random: np.random.Generator
) -> Array:
    """Run ROWS rows, numbered from ``first``, to their end; return the mean of each."""
    rows = np.arange(first, first + ROWS, dtype=np.uint64)
    simulator.seed(rows + _first_seed(case, seed))
    simulator.reset()
    actions = np.ones(ROWS, np.int64)
    edges = np.cumsum(case.shares)[:-1]
    while not simulator.truncated.all():
        if len(edges):
            actions = 1 + np.searchsorted(edges, random.random(ROWS)) * len(HOLD_LEVELS)
        simulator.step(actions, NO_RESET)
    sums = simulator.finished
    if sums["overflow"].any() or sums["dropped"].any():
        raise RuntimeError(f"{case.model} at load {case.load}: requests were lost")
    served = case.service if case.service is not None else sums["gpu_seconds"] / sums["requests"]
    return np.asarray(sums["latency"] / sums["requests"] - served)


def _first_seed(case: Case, seed: int) -> Array:
    """Every world has its own arrivals: no two lines agree or miss for the same dice."""
    world = zlib.crc32(f"{case.model} {case.load:g}".encode())
    return np.random.SeedSequence([seed, world]).generate_state(1, np.uint64)


def _latency_of_one(case: Case, settings: Settings) -> float:
    simulator = Simulator(toy_scenario(1, SLOTS), 1, tables=case.tables, settings=settings)
    simulator.seed([0])
    simulator.reset()
    simulator.step(np.ones(1, np.int64), NO_RESET)
    return float(simulator.finished["latency"][0])


def _compare(case: Case, claim: Claim, mean: float, half: float, decisions: int) -> Line:
    low, high = mean - half, mean + half
    if case.exact is not None:
        ok = abs(mean - claim.value) <= EXACT * claim.value
    elif claim.bound:
        ok = low <= claim.value and half < HALF_WIDTH * mean
        if case.load >= TIGHT_FROM:
            ok = ok and claim.value <= (1.0 + TIGHT) * high
    else:
        ok = low <= claim.value <= high and half < HALF_WIDTH * mean
    return Line(
        case.model, case.load, case.quantity, claim.source, claim.bound, claim.value, mean, half,
        decisions, ok,
    )  # fmt: skip


def _cloud(curve: list[float], gpus: int = 1) -> Tables:
    """All-cloud, in ``curve[b - 1]`` seconds with b members."""
    return toy_tables([curve], [PLENTY], [(0, 1)], gpus=gpus, deadline=PLENTY)


def _md1(load: float) -> Case:
    claim = Claim(theory.md1_wait(load, 1.0), PK)
    return Case("M/D/1", load, "wait", (claim,), _cloud([1.0]), load, 1.0)


def _mg1(load: float) -> Case:
    """Two placements, of 0.5 s (4 in 5) and of 2 s; the device does nothing in either."""
    times, shares = np.array([0.5, 2.0]), np.array([0.8, 0.2])
    mean, second = float(shares @ times), float(shares @ times**2)
    tables = toy_tables([[0.5], [1.5]], [0.0, 0.0], [(0, 1), (0, 2)], deadline=PLENTY)
    rate = load / mean
    claim = Claim(theory.mg1_wait(rate, mean, second), PK)
    return Case(
        "M/G/1, 2 placements", load, "wait", (claim,), tables, rate, None, tuple(shares.tolist()),
        second / mean**2,
    )  # fmt: skip


def _mdc(load: float, servers: int) -> Case:
    rate = load * servers
    claim = Claim(theory.mdc_wait(rate, 1.0, servers), "Crommelin 1932, Spitzer 1956")
    return Case(f"M/D/{servers}", load, "wait", (claim,), _cloud([1.0], servers), rate, 1.0)


def _bulk(load: float, limit: int) -> Case:
    rate = load * limit
    claim = Claim(theory.bulk_wait(rate, 1.0, limit), "Neuts 1967")
    return Case(f"bulk (1, {limit})", load, "wait", (claim,), _cloud([1.0] * limit), rate, 1.0)


def _linear(load: float, each: float) -> Case:
    """Batches without limit of 1 + each x b seconds."""
    rate = load / each
    claims = (
        Claim(theory.linear_batch_latency(rate, 1.0, each), "Inoue 2021, chain"),
        Claim(theory.linear_batch_bound(rate, 1.0, each), "Inoue 2021, bound", True),
    )
    sizes = np.arange(1, theory.largest_batch(rate, 1.0, each) + 1)
    tables = _cloud((1.0 + each * sizes).tolist())
    return Case(f"batch of 1 + {each:g} b", load, "latency", claims, tables, rate)


def _single() -> Case:
    """Unit 1 of three on the device, 2 in the cloud, 3 on the device again, over a slow link.

    Link and times are powers of two: links are kept in single precision.
    """
    tables = toy_tables(
        [[1.0], [2.0], [3.0]], [0.25, 0.5, 0.75], [(1, 2)], up=[5e3], down=[2e3], overhead=0.125
    )
    claim = Claim(
        theory.single_latency(
            device=1.0, cloud=2.0, sent=5e3, returned=2e3, rate=8192.0, rtt=0.125, overhead=0.125,
            control_delay=0.0,
        ),
        "by hand",
    )  # fmt: skip
    settings = toy_settings(gap=[1.0], load=1e-2, rate=8192.0, rtt=0.125, length=1)
    return Case("one request", 0.0, "latency", (claim,), tables, 1e-2, exact=settings)
