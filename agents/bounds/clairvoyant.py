"""The clairvoyant bound: less GPU time at a target attainment nobody can do.

What it bounds and why stands in docs/bounds.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agents.bounds.prices import cheapest, moments, repair, room
from agents.bounds.shares import Shares, least_shares
from splitenv.foresight import Foresight, foresee
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator
from splitenv.state import Tables

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Progress = Callable[[int], None]

CHUNK = 8
ROUNDS, FIRST_STEP, SHRINK, PASSES = 16, 0.05, 0.8, 4
"""Of the search for prices: rounds, its first step as a share of the mean price, by what each step
is shorter than the one before, and passes that use up the room left at the end."""
FEES, FEE_ROUNDS = (0.0, 0.02, 0.05, 0.1, 0.2), 4
"""Prices of company from the warm-up to choose from, in all-cloud requests alone, and the rounds of
the search that chooses."""


@dataclass(frozen=True)
class Floor:
    """Prices that prove a bound: no schedule pays less for those that it serves in time.

    Attributes
    ----------
    prices
        Of every counted request, ascending, in seconds of the pool's first type of GPU; infinite
        for one that nobody can serve in time.
    fees
        What the company of requests that don't count is worth at most, in all.
    """

    prices: Floats = field(repr=False)
    fees: float

    def at(self, target: float) -> float:
        """Least priced GPU seconds a request at an attainment of ``target``; infinite if above all.

        The largest of ``sum of min(price, mu) - mu (1 - target) n`` over all mu: the sum of the
        lowest ``target n`` prices.
        """
        n = len(self.prices)
        whole, part = divmod(target * n, 1.0)
        if part < 1e-6 or part > 1.0 - 1e-6:  # target * n is whole but for rounding
            whole, part = float(round(target * n)), 0.0
        total = self.prices[: int(whole)].sum()
        if part > 0.0:
            total += part * self.prices[int(whole)]
        return max(0.0, float(total - self.fees)) / n

    def weighed(self, mu: float) -> float:
        """Least of priced GPU seconds + mu x violations, over all requests."""
        return float(np.minimum(self.prices, mu).sum() - self.fees)


@dataclass(frozen=True)
class ClairvoyantBound:
    """The bound for some episodes of a scenario.

    Attributes
    ----------
    requests
        Counted requests.
    attainable
        Share of them that could be in time alone: no schedule attains more.
    single
        The floor that takes each request by itself.
    together
        The floor that considers batches, whose members share one launch. In continuous serving the
        same as ``single``.
    fee
        Price of company from the warm-up in it.
    norm
        GPU seconds of a mean all-cloud request alone: figures divided by it are in cost units.
    """

    requests: int
    attainable: float
    single: Floor
    together: Floor
    fee: float
    norm: float

    def at(self, target: float) -> float:
        """Least priced GPU seconds a request at an attainment of ``target``: the better floor's."""
        return max(self.single.at(target), self.together.at(target))

    def gap(self, gpu_seconds: float, attainment: float) -> float:
        """How far above the bound at its own attainment a policy is, as a share of the bound."""
        least = self.at(attainment)
        return gpu_seconds / least - 1.0 if least > 0.0 else np.inf


@dataclass(frozen=True)
class Priced:
    """Prices that prove a bound, by episode: pieces of a :class:`ClairvoyantBound`.

    Attributes
    ----------
    alone, together
        Of every counted request, ascending, taking each by itself and considering batches, in
        seconds of the pool's first type of GPU, (episodes, counted).
    fees
        To be taken off the sum of the latter, by episode.
    attainable
        Requests that could be in time alone, by episode.
    fee, norm
        As in :class:`ClairvoyantBound`.
    """

    alone: Floats
    together: Floats
    fees: Floats
    attainable: Floats
    fee: float
    norm: float

    def to_arrays(self) -> dict[str, Array]:
        """Arrays to be kept in a file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Make it of what :meth:`to_arrays` gave."""
        return cls(
            arrays["alone"],
            arrays["together"],
            arrays["fees"],
            arrays["attainable"],
            float(arrays["fee"]),
            float(arrays["norm"]),
        )


def price_episodes(
    scenario: Scenario, seeds: npt.ArrayLike, *, progress: Progress | None = None
) -> Priced:
    """Price the counted requests of some episodes, each from its own seed.

    The fee for company from the warm-up is chosen in the first of them; any is valid.
    """
    seeds = np.asarray(seeds)
    single, coupled, attainable, fees = [], [], [], []
    fee, shares = -1.0, None
    for first in range(0, len(seeds), CHUNK):
        chunk = seeds[first : first + CHUNK]
        simulator = Simulator(scenario, len(chunk))
        tables, settings = simulator.tables, simulator.settings
        known = foresee(simulator, chunk)
        shares = shares or least_shares(tables, float(tables.deadline.max()))
        counts = counted(settings.length, settings.warmup)
        attainable += list(known.attainable(tables.soonest)[:, counts == 1].sum(axis=1))
        for episode in range(len(chunk)):
            if fee < 0.0:
                fee = _best_fee(known, episode, counts, tables, shares)
            alone, together, paid = episode_prices(known, episode, counts, tables, shares, fee)
            single.append(np.sort(alone))
            coupled.append(np.sort(together))
            fees.append(paid)
            if progress is not None:
                progress(1)
    return Priced(
        np.array(single),
        np.array(coupled),
        np.array(fees),
        np.array(attainable, np.float64),
        fee,
        tables.norm,
    )


def clairvoyant_bound(
    scenario: Scenario, episodes: int, seed: int = 0, *, progress: Progress | None = None
) -> ClairvoyantBound:
    """Bound what any scheduler can do in episodes ``seed`` to ``seed + episodes - 1``.

    Valid for every policy under every dispatch discipline of the scenario's serving mode.

    Parameters
    ----------
    progress
        Called with the number of episodes that are done since its last call.
    """
    priced = price_episodes(scenario, seed + np.arange(episodes), progress=progress)
    return ClairvoyantBound(
        requests=priced.alone.size,
        attainable=float(priced.attainable.sum() / priced.alone.size),
        single=Floor(np.sort(priced.alone, axis=None), 0.0),
        together=Floor(np.sort(priced.together, axis=None), float(priced.fees.sum())),
        fee=priced.fee,
        norm=priced.norm,
    )


def counted(length: int, warmup: int) -> Integers:
    """1 for each request that counts, 0 for those of the warm-up, -1 for those of the cool-down."""
    counts = np.ones(length, np.int64)
    counts[:warmup] = 0
    counts[length - warmup :] = -1
    return counts


def _best_fee(
    known: Foresight, episode: int, counts: Integers, tables: Tables, shares: Shares
) -> float:
    """Fee of the best bound in one episode: any is valid."""
    if tables.continuous:
        return 0.0
    bounds = {}
    for factor in FEES:
        fee = factor * tables.norm
        _, together, paid = episode_prices(
            known, episode, counts, tables, shares, fee, rounds=FEE_ROUNDS
        )
        bounds[fee] = together[np.isfinite(together)].sum() - paid
    return max(bounds, key=lambda fee: bounds[fee])


def episode_prices(
    known: Foresight,
    episode: int,
    counts: Integers,
    tables: Tables,
    shares: Shares,
    fee: float,
    rounds: int = ROUNDS,
) -> tuple[Floats, Floats, float]:
    """Price the counted requests of an episode, searching for so many rounds.

    Returns
    -------
    alone, together : numpy.ndarray
        Prices that take each by itself, and that consider batches, (counted,).
    fees : float
        To be taken off the sum of the latter.
    """
    alone = np.full(len(counts), np.inf)
    together = np.full(len(counts), np.inf)
    fees = 0.0
    for model in range(tables.enter.shape[0]):
        rows = np.flatnonzero(known.model[episode] == model)
        ready, leave = known.ready[episode, rows], known.leave[episode, rows]
        if tables.continuous:
            alone[rows] = together[rows] = _by_units(ready, leave, counts[rows], shares, model)
            continue
        each, coupled = _by_batches(ready, leave, counts[rows], shares, model, fee, rounds)
        paid = fee * int((counts[rows] == 0).sum())
        own = (counts[rows] == 1) & np.isfinite(each)
        if coupled[own].sum() - paid < each[own].sum():  # batches are of one model: so may fees be
            coupled, paid = each, 0.0
        alone[rows], together[rows] = each, coupled
        fees += paid
    return alone[counts == 1], together[counts == 1], fees


def _by_batches(
    ready: Floats,
    leave: Floats,
    counts: Integers,
    shares: Shares,
    model: int,
    fee: float,
    rounds: int,
) -> tuple[Floats, Floats]:
    """Prices of one model's requests in batch serving: by themselves, and considering batches."""
    on_device = ready[:, 0] <= leave[:, 0]
    if on_device[counts == 1].all():
        return np.zeros(len(ready)), np.zeros(len(ready))  # nobody needs a GPU
    found = moments(
        ready, leave, counts, shares.least[:, model], shares.shortest[:, model], shares.step
    )
    alone = np.full(len(ready), np.inf)
    cheapest(*found, alone)
    alone[on_device] = 0.0
    price, rise = alone.copy(), np.empty(len(ready))
    free = np.isfinite(price) & ~on_device
    if not free.any():
        return alone, price
    # A subgradient search: all prices a little up, and down again where a batch is overcharged.
    for number in range(rounds):
        price[free] += FIRST_STEP * SHRINK**number * price[free].mean()
        repair(*found, fee, price, ~free, number % 2 == 1)
    for _ in range(PASSES):
        room(*found, fee, price, rise)
        price[free] += np.maximum(rise[free], 0.0)
    # What rounding may have overcharged a batch by is given back by each of its members.
    return alone, price - max(0.0, room(*found, fee, price, rise))


def _by_units(ready: Floats, leave: Floats, counts: Integers, shares: Shares, model: int) -> Floats:
    """Prices of one model's requests in continuous serving: unit by unit, each by itself."""
    time = leave - ready
    possible = time[:, None, :] >= shares.shortest[None, :, model]
    possible[:, :, 0] = False
    some = possible.any(axis=1)
    begin = np.where(some, ready, np.inf).min(axis=1)
    end = np.where(some, leave, -np.inf).max(axis=1)
    end[np.isinf(begin)] = np.inf
    # Those that don't count may stay as long as they like.
    begin = np.where(counts == 1, begin, ready[:, 1:].min(axis=1))
    end = np.where(counts == 1, end, np.inf)
    before = np.searchsorted(np.sort(begin), end, side="right")
    gone = np.searchsorted(np.sort(end), begin, side="left")
    company = np.clip(before - gone, 1, shares.limit[:, model].max())
    cell = np.clip(time / shares.step, 0, shares.least.shape[-1] - 1).astype(np.int64)
    price = np.full(len(ready), np.inf)
    for g in range(shares.least.shape[0]):
        for s in range(1, ready.shape[1]):
            members = np.minimum(company, shares.limit[g, model])
            share = shares.least[g, model, s, members, cell[:, s]]
            price = np.minimum(price, np.where(possible[:, g, s], share, np.inf))
    price[ready[:, 0] <= leave[:, 0]] = 0.0
    return price
