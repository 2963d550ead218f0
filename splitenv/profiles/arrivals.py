"""Arrival profiles: how requests are spread in time; how many they are, the scenario says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from splitenv.profiles.figures import Figure, Frozen, _Traced

FloatArray = npt.NDArray[np.float64]

RENEWAL_CODES: dict[str, int] = {"exponential": 0, "gamma": 1, "weibull": 2}
"""Code of each renewal law in :attr:`ArrivalParams.renewal`."""

HOURS = 24


class HourRates(_Traced):
    """Relative request rate of each hour of the day, 24 values from one source."""

    rate: tuple[float, ...]

    @model_validator(mode="after")
    def _a_day(self) -> Self:
        if len(self.rate) != HOURS:
            raise ValueError(f"a day has {HOURS} relative rates, got {len(self.rate)}")
        if min(self.rate) < 0 or max(self.rate) <= 0:
            raise ValueError("relative rates must be 0 or above, and one of them above 0")
        return self


class ModulationState(Frozen):
    """One state of a Markov-modulated process: rate multiplier and mean dwell time."""

    multiplier: Figure
    mean_dwell_s: Figure

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.multiplier.amount < 0:
            raise ValueError(f"multiplier must be 0 or above, got {self.multiplier.amount:g}")
        if self.mean_dwell_s.unit != "s" or self.mean_dwell_s.amount <= 0:
            raise ValueError(
                "mean_dwell_s must be above 0 and in 's', got "
                f"{self.mean_dwell_s.amount:g} {self.mean_dwell_s.unit!r}"
            )
        return self


@dataclass(frozen=True)
class ArrivalParams:
    """What the simulator needs.

    Attributes
    ----------
    renewal : int
        Law of the unit-mean increments, see ``RENEWAL_CODES``.
    shape : float
        Its shape; 1 for the exponential law.
    multipliers : ndarray, shape (S,)
        Rate multiplier of each state; their average over time is 1.
    mean_dwells : ndarray, shape (S,)
        Mean seconds in each state.
    hours : ndarray, shape (24,)
        Rate multiplier of each hour of the day; their mean is 1.
    """

    renewal: int
    shape: float
    multipliers: FloatArray
    mean_dwells: FloatArray
    hours: FloatArray


class ArrivalProfile(Frozen):
    """A renewal process on a clock that runs at the momentary rate.

    With the scenario's mean rate r, the momentary rate is ``r(t) = r * multiplier(state at t) *
    hours[hour of day at t]``. Arrival n happens when the integral of r(t) reaches the sum of n
    increments, independent and of mean 1:

    - ``exponential``: a (Markov-modulated) Poisson process;
    - ``gamma``: Gamma(shape, scale 1/shape), CV ``shape ** -0.5``;
    - ``weibull``: Weibull(shape, scale 1/Gamma(1 + 1/shape)).

    The states are visited in order, the first after the last, each for an exponential time of its
    own mean; a stationary process has one state or none. Multipliers and hours are normalised at
    load, so that only their ratios count.

    Attributes
    ----------
    name : str
        What scenarios call it; the file's stem.
    title : str
        One line for tables.
    note : str
        What a user must know before trusting it.
    renewal : {"exponential", "gamma", "weibull"}
        Law of the increments.
    shape : Figure
        Shape of the law; 1 for exponential.
    states : tuple of ModulationState
        States of the modulation.
    hours : HourRates or None
        Hour-of-day profile.
    """

    name: str
    title: str
    note: str = ""
    renewal: Literal["exponential", "gamma", "weibull"]
    shape: Figure
    states: tuple[ModulationState, ...] = ()
    hours: HourRates | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shape.amount <= 0:
            raise ValueError(f"shape must be above 0, got {self.shape.amount:g}")
        if self.renewal == "exponential" and self.shape.amount != 1:
            raise ValueError(f"shape of an exponential law is 1, got {self.shape.amount:g}")
        if self.states and not any(s.multiplier.amount > 0 for s in self.states):
            raise ValueError("states: one multiplier at least must be above 0")
        return self

    def params(self) -> ArrivalParams:
        """Return plain numbers, normalised."""
        multipliers = np.array([s.multiplier.amount for s in self.states] or [1.0])
        dwells = np.array([s.mean_dwell_s.amount for s in self.states] or [1.0])
        hours = np.array(self.hours.rate) if self.hours else np.ones(HOURS)
        return ArrivalParams(
            renewal=RENEWAL_CODES[self.renewal],
            shape=self.shape.amount,
            multipliers=multipliers * dwells.sum() / (multipliers @ dwells),
            mean_dwells=dwells,
            hours=hours / hours.mean(),
        )
