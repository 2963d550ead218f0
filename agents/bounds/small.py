"""Systems small enough to solve: the clairvoyant bound against the truth.

A case has the simulator's batch physics for a handful of requests whose limits are given: GPUs of
one type, batches that members enter and leave at different segments. It is solved as a
mixed-integer program, by trying everything, and by rules; the relaxation must be below them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents.bounds.clairvoyant import Floor, episode_prices
from agents.bounds.shares import least_shares
from splitenv.disciplines import NEVER
from splitenv.foresight import Foresight
from splitenv.state import Tables
from splitenv.toys import toy_tables

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Pairs = tuple[tuple[int, int], ...]

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Case:
    """A small system.

    Attributes
    ----------
    curve
        Seconds of each segment by members, (k, b).
    spans
        Segments (first, one past last) of each placement after all-device.
    overhead
        Of a launch, s.
    ready, leave
        Limits of each request and placement, all-device first, (n, s).
    counts
        As :func:`agents.bounds.clairvoyant.counted` gives them, (n,).
    gpus
        How many.
    mu
        Price of a violation.
    """

    curve: tuple[tuple[float, ...], ...]
    spans: tuple[tuple[int, int], ...]
    overhead: float
    ready: Floats
    leave: Floats
    counts: Integers
    gpus: int
    mu: float

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return len(self.ready)

    @property
    def limit(self) -> int:
        """Largest batch."""
        return len(self.curve[0])

    @property
    def on_device(self) -> npt.NDArray[np.bool_]:
        """Whether each request's device could do it all in time, (n,)."""
        return np.asarray(self.ready[:, 0] <= self.leave[:, 0])

    @cached_property
    def tables(self) -> Tables:
        """The case's times as the simulator has them."""
        curve = [list(times) for times in self.curve]
        device = [1.0] * len(curve)
        return toy_tables(curve, device, list(self.spans), overhead=self.overhead)


def random_case(seed: int, largest: int = 5) -> Case:
    """Draw a case of up to so many requests."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, largest + 1))
    segments, limit = int(random.integers(1, 4)), int(random.integers(2, 5))
    first = random.uniform(0.3, 1.0, segments)
    growth = np.cumsum(random.uniform(0.0, 1.0, (segments, limit)), axis=1)
    curve = first[:, None] * (1.0 + growth - growth[:, :1])
    if random.random() < 0.2:  # measured curves may fall here and there
        curve *= random.uniform(0.8, 1.2, curve.shape)
    cuts = sorted({int(c) for c in random.integers(1, segments + 1, 2)} | {segments})
    cloud_first = random.random() < 0.5
    spans = [(0, c) if cloud_first else (segments - c, segments) for c in cuts]
    arrival = np.sort(random.uniform(0.0, random.uniform(0.5, 6.0), n))
    ready, leave = np.zeros((2, n, len(spans) + 1))
    for i in range(n):
        slack = random.uniform(1.0, 6.0)
        for s, (enter, left) in enumerate(spans, start=1):
            ready[i, s] = arrival[i] + (enter > 0) * random.uniform(0.0, 1.0)
            leave[i, s] = arrival[i] + slack - (left < segments) * random.uniform(0.0, 2.0)
            if random.random() < 0.05:
                ready[i, s], leave[i, s] = NEVER, -NEVER
        leave[i, 0] = 1.0 if random.random() < 0.1 else -1.0
    counts = np.ones(n, np.int64)
    if random.random() < 0.4:
        counts[0] = 0
    if random.random() < 0.3:
        counts[-1] = -1
    return Case(
        curve=tuple(map(tuple, curve.tolist())),
        spans=tuple(spans),
        overhead=float(random.choice([0.0, 0.2])),
        ready=ready,
        leave=leave,
        counts=counts,
        gpus=int(random.integers(1, 3)),
        mu=float(random.uniform(0.2, 3.0)),
    )


def relaxation(case: Case, fee: float, *, together: bool = True) -> float:
    """The clairvoyant bound on GPU seconds + mu x violations of a case."""
    zeros = np.zeros((1, case.requests), np.int32)
    arrival = np.zeros(zeros.shape)
    known = Foresight(case.ready[None], case.leave[None], arrival, zeros, zeros, zeros)
    longest = float(np.maximum(case.leave - case.ready, 0.0).max()) + 1.0
    shares = least_shares(case.tables, longest)
    alone, coupled, fees = episode_prices(known, 0, case.counts, case.tables, shares, fee)
    floor = Floor(np.sort(coupled), fees) if together else Floor(np.sort(alone), 0.0)
    return floor.weighed(case.mu)


class Batch(NamedTuple):
    """Requests with their placements, as they could be launched.

    Attributes
    ----------
    members
        Bits of those requests.
    ready, latest
        When they are ready, and when they must be launched for those to be in time that are to be.
    seconds
        For which the GPU is busy.
    cost
        What those of them pay that count, violations included.
    """

    members: int
    ready: float
    latest: float
    seconds: float
    cost: float


def ends_and_shares(case: Case, members: Pairs) -> tuple[Floats, Floats, float]:
    """When each of (request, placement) pairs leaves its batch after the launch, what it pays.

    And the seconds for which the GPU is busy.
    """
    spans = [case.spans[s - 1] for _, s in members]
    present = [sum(enter <= k < left for enter, left in spans) for k in range(len(case.curve))]
    times = [t[b - 1] if b else 0.0 for t, b in zip(case.curve, present, strict=True)]
    ends = case.overhead + np.cumsum(times)
    parts = [time / max(b, 1) for time, b in zip(times, present, strict=True)]
    shares = [case.overhead / len(members) + sum(parts[enter:left]) for enter, left in spans]
    own = np.array([ends[left - 1] for _, left in spans])
    return own, np.array(shares), float(own.max())


def make_batch(case: Case, members: Pairs, late: frozenset[int]) -> Batch:
    """Form the batch of (request, placement) pairs; those in ``late`` are violated."""
    ends, shares, seconds = ends_and_shares(case, members)
    cost, latest = 0.0, np.inf
    for (i, s), end, share in zip(members, ends, shares, strict=True):
        if case.counts[i] == 1:
            cost += share + (case.mu if i in late else 0.0)
            if i not in late:
                latest = min(latest, case.leave[i, s] - end)
    return Batch(
        sum(1 << i for i, _ in members),
        max(case.ready[i, s] for i, s in members),
        latest + TOLERANCE,
        seconds,
        cost,
    )


def all_batches(case: Case) -> Iterator[Batch]:
    """Every batch that can start in time; violated requests as company are among them."""
    placements = range(1, len(case.spans) + 1)
    for size in range(1, case.limit + 1):
        for group in combinations(range(case.requests), size):
            for chosen in product(placements, repeat=size):
                pairs = tuple(zip(group, chosen, strict=True))
                if max(case.ready[i, s] for i, s in pairs) >= NEVER:
                    continue
                own = [i for i in group if case.counts[i] == 1]
                for number in range(len(own) + 1):
                    for late in combinations(own, number):
                        batch = make_batch(case, pairs, frozenset(late))
                        if batch.ready <= batch.latest:
                            yield batch


def brute_force(case: Case) -> float:
    """Least GPU seconds + mu x violations, by trying every sequence of batches.

    Batches go, in the order of their launches, each to the GPU that is free first, as early as they
    can: no schedule gains by waiting, and each can be had in this way.
    """
    batches = sorted(all_batches(case), key=lambda batch: batch.cost)
    counted = case.counts == 1
    rest = np.where(counted, np.where(case.on_device, 0.0, case.mu), 0.0)
    alone = [
        sum(rest[i] for i in range(case.requests) if not left >> i & 1)
        for left in range(1 << case.requests)
    ]
    best = [alone[0]]

    def go_on(used: int, free: tuple[float, ...], paid: float) -> None:
        best[0] = min(best[0], paid + alone[used])
        for batch in batches:
            if paid + batch.cost >= best[0]:
                return
            start = max(batch.ready, free[0])
            if not batch.members & used and start <= batch.latest:
                later = tuple(sorted((start + batch.seconds, *free[1:])))
                go_on(used | batch.members, later, paid + batch.cost)

    go_on(0, (0.0,) * case.gpus, 0.0)
    return float(best[0])


def play_rule(case: Case, placement: int, size: int, patience: float) -> float:
    """GPU seconds + mu x violations of a rule that knows nothing of the future.

    Everybody takes one placement; a batch starts when so many are ready, or the first of them has
    waited for ``patience``; late ones are served too.
    """
    at = case.ready[:, placement]
    queue = sorted((i for i in range(case.requests) if at[i] < NEVER), key=lambda i: at[i])
    free = [0.0] * case.gpus
    paid = case.mu * int(((case.counts == 1) & (at >= NEVER)).sum())
    size = min(size, case.limit)
    while queue:
        full = at[queue[size - 1]] if len(queue) >= size else np.inf
        start = max(min(free), min(full, at[queue[0]] + patience))
        members = [i for i in queue[:size] if at[i] <= start]
        queue = queue[len(members) :]
        pairs = tuple((i, placement) for i in members)
        ends, shares, seconds = ends_and_shares(case, pairs)
        free[free.index(min(free))] = start + seconds
        for i, end, share in zip(members, ends, shares, strict=True):
            if case.counts[i] == 1:
                paid += share + case.mu * (start + end > case.leave[i, placement] + TOLERANCE)
    return float(paid)
