"""Network profiles: stochastic models of a client's uplink, downlink and round-trip time."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from splitenv.profiles.figures import Figure, Frozen

FloatArray = npt.NDArray[np.float64]

LOG_BYTES_PER_MEGABIT = math.log(1e6 / 8.0)
LOG_SECONDS_PER_MS = math.log(1e-3)
MAX_OUTAGE = 0.5

NETWORK_FIELDS: tuple[str, ...] = (
    "uplink_log_mean",
    "uplink_session_sd",
    "uplink_within_sd",
    "uplink_hold",
    "uplink_outage",
    "uplink_outage_level",
    "downlink_log_mean",
    "downlink_session_sd",
    "downlink_within_sd",
    "downlink_hold",
    "downlink_outage",
    "downlink_outage_level",
    "rtt_log_mean",
    "rtt_session_sd",
    "rtt_within_sd",
    "downlink_on_z1",
    "downlink_on_z2",
    "rtt_on_z1",
    "rtt_on_z2",
    "rtt_on_z3",
)
"""Order of :meth:`NetworkProfile.params`: log means in ln bytes/s and ln s, holds in s, standard
deviations of natural logs, outages as shares; the last five are the lower Cholesky factor of the
correlation of (uplink, downlink, RTT), row by row without its constant first row (1, 0, 0)."""


OUTAGE_LEVEL = Figure(
    source=(),
    value=0.02,
    unit="1",
    kind="assumed",
    rule="outages are fitted as rates below 5% of the session's mean; within that, 2% is left",
)


class RateModel(Frozen):
    """One direction of a link.

    Attributes
    ----------
    session_log_mean : Figure
        Mean over sessions of the session's log rate, ln Mbit/s.
    session_log_sd : Figure
        Standard deviation of that between sessions.
    within_log_sd : Figure
        Standard deviation of the log rate within a session.
    hold : Figure
        Seconds for which the rate stays at one value before it is drawn again.
    outage : Figure
        Share of holds with (near) zero rate, 0 to 0.5.
    outage_level : Figure
        What an outage leaves, as a share of the session's median rate.
    """

    session_log_mean: Figure
    session_log_sd: Figure
    within_log_sd: Figure
    hold: Figure
    outage: Figure
    outage_level: Figure = OUTAGE_LEVEL

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        _expect_unit("session_log_mean", self.session_log_mean, "ln Mbit/s")
        _expect_unit("hold", self.hold, "s")
        for field in ("session_log_sd", "within_log_sd"):
            _expect_spread(field, getattr(self, field))
        if self.hold.amount <= 0:
            raise ValueError(f"hold must be above 0 s, got {self.hold.amount:g}")
        if not 0 <= self.outage.amount <= MAX_OUTAGE:
            raise ValueError(f"outage must be 0 to {MAX_OUTAGE}, got {self.outage.amount:g}")
        if not 0 <= self.outage_level.amount < 1:
            raise ValueError(f"outage_level must be 0 to 1, got {self.outage_level.amount:g}")
        return self

    @property
    def median_mbps(self) -> float:
        """Median rate outside outages, Mbit/s."""
        return math.exp(self.session_log_mean.amount)

    def params(self) -> list[float]:
        """Six numbers in the order of ``NETWORK_FIELDS``, the mean in ln bytes/s."""
        return [
            self.session_log_mean.amount + LOG_BYTES_PER_MEGABIT,
            self.session_log_sd.amount,
            self.within_log_sd.amount,
            self.hold.amount,
            self.outage.amount,
            self.outage_level.amount,
        ]


class RttModel(Frozen):
    """Round-trip time of the idle path: one draw per request, without memory inside a session.

    Attributes
    ----------
    session_log_mean : Figure
        Mean over sessions of the log of the session's median RTT, ln ms.
    session_log_sd : Figure
        Standard deviation of that between sessions.
    within_log_sd : Figure
        Standard deviation of the log RTT within a session.
    """

    session_log_mean: Figure
    session_log_sd: Figure
    within_log_sd: Figure

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        _expect_unit("session_log_mean", self.session_log_mean, "ln ms")
        for field in ("session_log_sd", "within_log_sd"):
            _expect_spread(field, getattr(self, field))
        return self

    @property
    def median_ms(self) -> float:
        """Median round-trip time, ms."""
        return math.exp(self.session_log_mean.amount)

    def params(self) -> list[float]:
        """Three numbers in the order of ``NETWORK_FIELDS``, the mean in ln s."""
        return [
            self.session_log_mean.amount + LOG_SECONDS_PER_MS,
            self.session_log_sd.amount,
            self.within_log_sd.amount,
        ]


class Correlation(Frozen):
    """Correlations, between sessions, of the three session means."""

    uplink_downlink: Figure
    uplink_rtt: Figure
    downlink_rtt: Figure

    @model_validator(mode="after")
    def _positive_definite(self) -> Self:
        for field in ("uplink_downlink", "uplink_rtt", "downlink_rtt"):
            value = getattr(self, field).amount
            if not -1 <= value <= 1:
                raise ValueError(f"{field} must be -1 to 1, got {value:g}")
        if np.linalg.eigvalsh(self.matrix()).min() < 1e-9:
            raise ValueError("the three correlations do not form a positive definite matrix")
        return self

    def matrix(self) -> FloatArray:
        """Return the 3x3 matrix, order uplink, downlink, RTT."""
        ud, ur = self.uplink_downlink.amount, self.uplink_rtt.amount
        dr = self.downlink_rtt.amount
        return np.array([[1.0, ud, ur], [ud, 1.0, dr], [ur, dr, 1.0]])

    def params(self) -> list[float]:
        """Return the Cholesky factor's second and third row (see ``NETWORK_FIELDS``)."""
        factor = np.linalg.cholesky(self.matrix())
        return [float(factor[r, c]) for r, c in ((1, 0), (1, 1), (2, 0), (2, 1), (2, 2))]


class NetworkProfile(Frozen):
    r"""A client's network as a fitted stochastic model, not as a recorded trace.

    A client's **session** draws its three levels jointly, with L the Cholesky factor of
    ``correlation`` and z1, z2, z3 independent standard normals::

        mu_uplink   = uplink.session_log_mean   + uplink.session_log_sd   * z1
        mu_downlink = downlink.session_log_mean + downlink.session_log_sd * (L21 z1 + L22 z2)
        mu_rtt      = rtt.session_log_mean      + rtt.session_log_sd * (L31 z1 + L32 z2 + L33 z3)

    **Rates.** Within the session, time is cut into blocks of length ``hold``, the first at a
    uniformly random phase. In block k the rate is::

        outage_level * exp(mu)                     with probability outage
        exp(mu + within_log_sd * N_k),  N_k ~ N(0, 1) independent   otherwise

    So outside outages the marginal is exactly lognormal, and the log rate's autocorrelation at
    lag t is ``max(0, 1 - t / hold)``: fitted by ``hold = step / (1 - r)`` to the autocorrelation
    r that a trace has at its own step.

    **RTT.** Each request draws ``exp(mu_rtt + within_log_sd * N(0, 1))`` once, without a hold:
    on T-Mobile US, pings 0.2 s apart had a lag-1 autocorrelation of the log of only about 0.2.

    Attributes
    ----------
    name : str
        What scenarios call it; the file's stem.
    title : str
        One line for tables.
    technology : str
        Access technology, such as ``LTE``.
    note : str
        What a user must know before trusting it.
    uplink, downlink : RateModel
        The two directions.
    rtt : RttModel
        Round-trip time of the idle path.
    correlation : Correlation
        Joint dependence of the session levels.
    """

    name: str
    title: str
    technology: str
    note: str = ""
    uplink: RateModel
    downlink: RateModel
    rtt: RttModel
    correlation: Correlation

    def params(self) -> FloatArray:
        """Return what the simulator needs, in SI units, in the order of ``NETWORK_FIELDS``."""
        numbers = [
            *self.uplink.params(),
            *self.downlink.params(),
            *self.rtt.params(),
            *self.correlation.params(),
        ]
        return np.array(numbers, dtype=np.float64)


def _expect_unit(field: str, figure: Figure, unit: str) -> None:
    if figure.unit != unit:
        raise ValueError(f"{field} must be in {unit!r}, got {figure.unit!r}")


def _expect_spread(field: str, figure: Figure) -> None:
    if figure.amount < 0:
        raise ValueError(f"{field} must be 0 or above, got {figure.amount:g}")
