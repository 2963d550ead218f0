"""What a violation costs the learner: multipliers by load and tier, or a price drawn per episode.

Two ways to say how much attainment is wanted, both by way of ``truth.stake``, the premium that
rewards put on the scenario's violation price, and without a word to the accounting:

:class:`Constraint`
    a Lagrangian: a multiplier for every band of load and device tier, raised while fewer than
    promised are in time and lowered while more are. So no tier is given up for the average, and no
    load for another.
:class:`Preferences`
    lambda, the violation price, is drawn anew for every episode and shown to the policy, which so
    learns the whole trade-off; at run time it is a knob.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv.attainable import play_alone
from splitenv.simulator import Simulator
from splitenv.tables import fleet

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ATTAINABLE = 3 << 60
"""First seed by which what is attainable is known: no training's, no evaluation's."""
BANDS = 6
"""Bands of load, equally wide in its logarithm."""
PRICES = 3
"""Bands of price, likewise, where one is drawn for every episode."""
STRATA = BANDS * PRICES
"""Bands of load and, within each, of price."""
SHORT = 0.005
"""How far under what is attainable a target is put that cannot be had."""
CAP = 10.0
"""Largest multiplier: a violation never costs more than ten times its price."""


class LoadBands:
    """Which band of load each environment's episode is in, per GPU of its pool."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        low, high = simulator.settings.load
        fewest, most = simulator.settings.gpus
        self._edges = np.geomspace(low / most, high / fewest * (1 + 1e-9), BANDS + 1)[1:-1]

    def __call__(self) -> Ints:
        """Bands of the running episodes, shape (E,)."""
        world, clock = self._simulator.truth.world, self._simulator.belief.clock
        load = world["load"] / np.maximum(clock["gpus"], 1)
        return np.asarray(np.searchsorted(self._edges, load, side="right"), np.int64)


class RewardScale:
    """Divides rewards by the running standard deviation of the discounted return, in each stratum.

    A stratum is a band of load and of price, see :meth:`SplitVecEnv.strata`. Learning then depends
    neither on the unit of cost nor on how dear a hopeless load or a high price is: every stratum
    pulls at the weights alike. The mean is left alone, so that sign and zero of a reward keep their
    meaning. Old returns are forgotten over some 2,000 steps.

    Parameters
    ----------
    envs
        Rows of the batch.
    discount
        The agent's.
    """

    KEPT = 0.9995

    def __init__(self, envs: int, discount: float) -> None:
        self.discount = discount
        self.returns = np.zeros(envs)
        self.moments = np.zeros((STRATA, 3))
        """Weight, mean and weighted sum of squared deviations of returns, of every stratum."""

    def __call__(self, reward: Array, ended: Array, stratum: Ints) -> npt.NDArray[np.float32]:
        """Take in one step's rewards, shape (E,), and return them scaled."""
        self.returns = self.returns * self.discount + reward
        for row in range(STRATA):
            values = self.returns[stratum == row]
            if len(values):
                self._merge(self.moments[row], values)
        self.returns[ended] = 0.0
        weight, _, squares = self.moments.T
        deviation = np.sqrt(squares / np.maximum(weight, 1.0) + 1e-8)
        return np.asarray(reward / deviation[stratum], np.float32)

    def _merge(self, moments: Floats, values: Array) -> None:
        """Chan's parallel update of count, mean and sum of squared deviations."""
        moments[[0, 2]] *= self.KEPT
        count, mean, squares = moments
        added = len(values)
        total = count + added
        shift = values.mean() - mean
        moments[:] = (
            total,
            mean + shift * added / total,
            squares + values.var() * added + shift * shift * count * added / total,
        )


class Constraint:
    """Multipliers on the violation price that hold an attainment in every band and tier.

    After every rollout, a multiplier moves by ``rate`` per point that the violations of its band
    and tier are over what is allowed, in its logarithm; within [1 / CAP, CAP], beyond which nothing
    is stored up. Violations are averaged over some rollouts, as one alone says little.

    Parameters
    ----------
    simulator
        Whose stakes are set.
    allowed
        Share of violations that each tier may have, shape (tiers,).
    """

    RATE = 0.05
    KEPT = 0.8
    FEWEST = 200.0
    """Requests under which a band and tier say nothing."""

    def __init__(self, simulator: Simulator, bands: LoadBands, allowed: Floats) -> None:
        self._simulator = simulator
        self._bands = bands
        self.allowed = allowed
        self._tier = tier_of_device(simulator)
        shape = (BANDS, len(allowed))
        self.multiplier = np.ones(shape)
        self.requests = np.zeros(shape)
        self.violations = np.zeros(shape)
        self.band = np.zeros(simulator.envs, np.int64)
        self._counted()

    def reset(self) -> None:
        """Take note of new episodes everywhere."""
        self.band[:] = self._bands()
        self._apply(np.arange(self._simulator.envs))
        self._counted()

    def ended(self, rows: Array) -> None:
        """Book what ended episodes counted, and charge the next ones what their band has."""
        self._book(rows)
        self.band[rows] = self._bands()[rows]
        self._apply(rows)

    def update(self) -> None:
        """Move the multipliers by what has been counted since the last time."""
        self._book(np.arange(self._simulator.envs))
        known = self.requests >= self.FEWEST
        share = self.violations / np.maximum(self.requests, 1.0)
        points = np.clip(100.0 * (share - self.allowed), -2.0, 2.0)
        moved = self.multiplier * np.exp(self.RATE * points * known)
        self.multiplier[:] = np.clip(moved, 1.0 / CAP, CAP)
        self.requests *= self.KEPT
        self.violations *= self.KEPT
        self._apply(np.arange(self._simulator.envs))

    def attainment(self) -> Floats:
        """By band and tier, over the last rollouts; NaN where little was seen."""
        known = self.requests >= self.FEWEST
        share = self.violations / np.maximum(self.requests, 1.0)
        return np.where(known, 1.0 - share, np.nan)

    def figures(self) -> dict[str, float]:
        """Every multiplier, and the attainment it answers to, by load band and tier, for logs."""
        found = {}
        attained = self.attainment()
        for band, row in enumerate(self.multiplier):
            for tier, name in enumerate(tiers(self._simulator)):
                found[f"multiplier/load {band + 1}, {name}"] = float(row[tier])
                found[f"attainment/load {band + 1}, {name}"] = float(attained[band, tier])
        return found

    def _apply(self, rows: Array) -> None:
        premium = self.multiplier[self.band[rows]][:, self._tier]
        self._simulator.truth.stake["premium"][rows] = premium

    def _book(self, rows: Array) -> None:
        stake = self._simulator.truth.stake
        cells = (self.band[rows][:, None], self._tier[None, :])
        np.add.at(self.requests, cells, stake["requests"][rows])
        np.add.at(self.violations, cells, stake["violations"][rows])
        stake["requests"][rows] = 0.0
        stake["violations"][rows] = 0.0

    def _counted(self) -> None:
        self._simulator.truth.stake["requests"] = 0.0
        self._simulator.truth.stake["violations"] = 0.0


class Preferences:
    """Draws every episode's violation price, log-uniform, and shows it to the policy.

    Parameters
    ----------
    simulator
        Whose stakes are set.
    seed
        Draws are a function of it, the environment and the number of its episode.
    limits
        Lowest and highest violation price, as a multiple of the scenario's.
    """

    def __init__(
        self, simulator: Simulator, seed: tuple[int, ...], limits: tuple[float, float]
    ) -> None:
        self.limits = limits
        self._simulator = simulator
        self._seed = seed
        self.knob = np.zeros((simulator.envs, 1), np.float32)
        self._price = float(simulator.tables.violation_price)

    def draw(self, rows: Array) -> None:
        """Draw for the episodes that have just begun in these rows."""
        low, high = np.log(self.limits)
        episode = self._simulator.truth.world["episode"]
        for row in rows.tolist():
            drawn = np.random.default_rng([*self._seed, row, int(episode[row])]).random()
            factor = float(np.exp(low + (high - low) * drawn))
            self.knob[row] = knob_of(factor, self.limits)
            self._simulator.truth.stake["premium"][row] = factor

    def bands(self) -> Ints:
        """Which band of prices each running episode is in, shape (E,)."""
        share = (self.knob[:, 0] + 1.0) / 2.0
        return np.minimum((share * PRICES).astype(np.int64), PRICES - 1)

    def weigh(self, reward: Array) -> Array:
        """Divide rewards by 1 + lambda, so that the dear episodes do not drown the others."""
        premium = self._simulator.truth.stake["premium"][:, 0]
        return np.asarray(reward / (1.0 + self._price * premium))


def knob_of(preference: float, limits: tuple[float, float]) -> float:
    """What the policy is shown of a violation price, as a multiple of the scenario's: [-1, 1]."""
    low, high = limits
    return float(2.0 * np.log(preference / low) / np.log(high / low) - 1.0)


def tiers(simulator: Simulator) -> list[str]:
    """Names of the device tiers, in the order of their first device."""
    return list(dict.fromkeys(device.tier for device in fleet(simulator.scenario)))


def tier_of_device(simulator: Simulator) -> Ints:
    """Index of every device's tier, shape (d,)."""
    names = tiers(simulator)
    return np.array([names.index(device.tier) for device in fleet(simulator.scenario)], np.int64)


def allowed_violations(simulator: Simulator, target: float, episodes: int = 64) -> Floats:
    """Share of violations that each tier may have: none is asked for what it cannot have.

    ``1 - min(target, attainable - SHORT)``, with what is attainable taken from requests alone on an
    idle pool, in worlds drawn as the simulator draws them.
    """
    seeds = ATTAINABLE + np.arange(episodes)
    alone = play_alone(simulator.scenario, seeds, randomise=True)
    tier = tier_of_device(simulator)[alone.device]
    could = np.array([alone.in_time[tier == each].mean() for each in range(tier.max() + 1)])
    return np.asarray(1.0 - np.minimum(target, could - SHORT), np.float64)
