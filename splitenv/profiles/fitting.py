"""Fits a network or arrival model to measured series, by plain statistics.

Rates are fitted by moments and not by the mean and deviation of the log: measured rates lean to low
values, so a fit of the log overstates the upper tail (T-Mobile US downlinks: a 95th percentile of
1,427 Mbit/s against 804 measured; by moments 785). The price is a lower tail that is thinner than
measured; the outage share carries part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

OUTAGE_BELOW = 0.05
"""A rate below this share of the session's mean counts as an outage."""

MAX_LAG1 = 0.99
P95_MINUS_P5 = 3.2897072539029435
MIN_SESSIONS_FOR_CORRELATION = 8


@dataclass(frozen=True)
class RateSession:
    """What one session says about a rate: outage share, mean and CV outside outages, lag-1."""

    mean_mbps: float
    cv: float
    outage: float
    log_lag1: float


@dataclass(frozen=True)
class RateFit:
    """Fitted numbers of one direction, named as in the profile."""

    session_log_mean: float
    session_log_sd: float
    within_log_sd: float
    hold: float
    outage: float


@dataclass(frozen=True)
class RttFit:
    """Fitted numbers of the round-trip time, named as in the profile."""

    session_log_mean: float
    session_log_sd: float
    within_log_sd: float


@dataclass(frozen=True)
class NetworkFit:
    """Fit of a set of sessions.

    ``correlation`` holds uplink-downlink, uplink-RTT and downlink-RTT, or None when there are fewer
    than eight sessions.
    """

    uplink: RateFit
    downlink: RateFit
    rtt: RttFit
    correlation: tuple[float, float, float] | None


def summarise_rate(rate_mbps: FloatArray) -> RateSession:
    """Summarise one session's evenly spaced rates; NaN where nothing was measured.

    The lag-1 autocorrelation r is that of pairs without an outage. Two seconds of one hold share
    its outage, so such pairs are more often of one hold than others: with an outage share o the
    autocorrelation of the holds is ``r (1 - o) / (1 - r o)``.

    Raises
    ------
    ValueError
        If no rate is above zero.
    """
    known = np.isfinite(rate_mbps)
    if not np.any(rate_mbps[known] > 0):
        raise ValueError("no rate is above zero")
    up = known & (rate_mbps >= OUTAGE_BELOW * rate_mbps[known].mean())
    good = rate_mbps[up]
    logs = np.full(len(rate_mbps), np.nan)
    logs[up] = np.log(good)
    outage = 1.0 - len(good) / int(known.sum())
    r = lag1(logs)
    return RateSession(
        mean_mbps=float(good.mean()),
        cv=float(good.std() / good.mean()),
        outage=outage,
        log_lag1=r * (1.0 - outage) / (1.0 - r * outage),
    )


def lag1(values: FloatArray) -> float:
    """Autocorrelation at lag 1 over the pairs without NaN; NaN if there is nothing to say."""
    centred = values - np.nanmean(values)
    pairs = centred[1:] * centred[:-1]
    variance = float(np.nanmean(centred**2))
    if variance == 0 or np.all(np.isnan(pairs)):
        return math.nan
    return float(np.nanmean(pairs)) / variance


def fit_rate(sessions: Sequence[RateSession], step_s: float = 1.0) -> RateFit:
    """Fit one direction to the summaries of its sessions.

    With c the CV within and m the mean of a session, M and C mean and CV of m over sessions::

        within_log_sd^2  = median of ln(1 + c^2)
        session_log_sd^2 = ln(1 + C^2)
        session_log_mean = ln M - session_log_sd^2 / 2 - within_log_sd^2 / 2
        hold             = step / (1 - median lag-1 of the log rate)
        outage           = mean outage share, at most one half
    """
    means = np.array([s.mean_mbps for s in sessions])
    within_var = float(np.median([math.log1p(s.cv**2) for s in sessions]))
    between_var = math.log1p((means.std() / means.mean()) ** 2)
    lags = np.array([s.log_lag1 for s in sessions])
    lag = float(np.nanmedian(lags)) if np.any(np.isfinite(lags)) else 0.0
    return RateFit(
        session_log_mean=math.log(means.mean()) - between_var / 2 - within_var / 2,
        session_log_sd=math.sqrt(between_var),
        within_log_sd=math.sqrt(within_var),
        hold=step_s / (1.0 - min(max(lag, 0.0), MAX_LAG1)),
        outage=min(float(np.mean([s.outage for s in sessions])), 0.5),
    )


def fit_rtt(quantiles_ms: Sequence[tuple[float, float, float]]) -> RttFit:
    """Fit the round-trip time to the 5th, 50th and 95th percentile of each session.

    Mean and standard deviation over sessions of the log median; within a session the median of
    ``ln(p95 / p5) / 3.29``, which stray pings of seconds do not move.
    """
    p5, p50, p95 = np.log(np.array(quantiles_ms, dtype=np.float64)).T
    return RttFit(
        session_log_mean=float(p50.mean()),
        session_log_sd=float(p50.std()),
        within_log_sd=float(np.median((p95 - p5) / P95_MINUS_P5)),
    )


def fit_network(
    sessions: Sequence[tuple[FloatArray, FloatArray, FloatArray]], step_s: float = 1.0
) -> NetworkFit:
    """Fit a network to sessions of (uplink Mbit/s, downlink Mbit/s, RTT ms), evenly spaced.

    Raises
    ------
    ValueError
        If a session has no rate above zero in one direction.
    """
    uplinks = [summarise_rate(up) for up, _, _ in sessions]
    downlinks = [summarise_rate(down) for _, down, _ in sessions]
    quantiles = [_rtt_quantiles(rtt) for _, _, rtt in sessions]
    correlation = None
    if len(sessions) >= MIN_SESSIONS_FOR_CORRELATION:
        levels = [
            [math.log(u.mean_mbps), math.log(d.mean_mbps), math.log(q[1])]
            for u, d, q in zip(uplinks, downlinks, quantiles, strict=True)
        ]
        matrix = np.corrcoef(np.array(levels).T)
        correlation = (float(matrix[0, 1]), float(matrix[0, 2]), float(matrix[1, 2]))
    return NetworkFit(
        fit_rate(uplinks, step_s), fit_rate(downlinks, step_s), fit_rtt(quantiles), correlation
    )


@dataclass(frozen=True)
class ArrivalFit:
    """Rate and inter-arrival statistics, and the renewal shapes that have the same CV."""

    requests: int
    rate_rps: float
    cv: float
    gamma_shape: float
    weibull_shape: float


def fit_arrivals(times_s: FloatArray) -> ArrivalFit:
    """Fit renewal processes to arrival times by the CV of the inter-arrival times.

    Raises
    ------
    ValueError
        If fewer than three arrivals are given, or all inter-arrival times are equal.
    """
    if len(times_s) < 3:
        raise ValueError(f"a fit needs at least 3 arrivals, got {len(times_s)}")
    gaps = np.diff(times_s)
    cv = float(gaps.std() / gaps.mean()) if gaps.mean() > 0 else 0.0
    if cv < 1e-9:
        raise ValueError("all inter-arrival times are equal: no renewal shape fits them")
    return ArrivalFit(
        requests=len(times_s),
        rate_rps=float(1.0 / gaps.mean()),
        cv=cv,
        gamma_shape=cv**-2,
        weibull_shape=weibull_shape(cv),
    )


def weibull_shape(cv: float) -> float:
    """Shape k of the Weibull distribution with this CV, by bisection on k in [0.1, 50]."""

    def log_second_moment_ratio(k: float) -> float:
        return math.lgamma(1 + 2 / k) - 2 * math.lgamma(1 + 1 / k)

    target = math.log1p(cv**2)
    low, high = 0.1, 50.0
    for _ in range(80):
        middle = math.sqrt(low * high)
        if log_second_moment_ratio(middle) > target:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


@dataclass(frozen=True)
class BurstFit:
    """Two states of a Markov-modulated process: multipliers of the mean rate, and dwell times."""

    quiet_multiplier: float
    burst_multiplier: float
    quiet_dwell_s: float
    burst_dwell_s: float


def fano_growth(x: float) -> float:
    """Share of a two-state process's final excess Fano factor reached at window x relaxations."""
    return 1.0 + math.expm1(-x) / x


def fit_bursts(
    rate_rps: float, fano: tuple[float, float], windows_s: tuple[float, float], peak: float
) -> BurstFit:
    r"""Two-state process with these Fano factors at two windows and this burst-to-mean ratio.

    The Fano factor of counts in windows of t seconds is ``1 + 2 v r / k * g(k t)`` with r the mean
    rate, v the variance of the multiplier, k the sum of the two switching rates and
    ``g(x) = 1 - (1 - exp(-x)) / x``. The two windows give k (by bisection) and v; the burst
    multiplier then gives the share of time in the burst, ``v / (v + (peak - 1)^2)``.

    Raises
    ------
    ValueError
        If no two-state process has these values.
    """
    short, long = fano[0] - 1.0, fano[1] - 1.0
    ratio = short / long
    if not windows_s[0] / windows_s[1] < ratio < 1.0:
        raise ValueError(f"no two-state process has Fano factors {fano} at windows {windows_s}")
    low, high = 1e-9, 1e9
    for _ in range(200):
        k = math.sqrt(low * high)
        if fano_growth(k * windows_s[0]) / fano_growth(k * windows_s[1]) < ratio:
            low = k
        else:
            high = k
    variance = long * k / (2.0 * rate_rps * fano_growth(k * windows_s[1]))
    share = variance / (variance + (peak - 1.0) ** 2)
    quiet = (1.0 - share * peak) / (1.0 - share)
    if quiet < 0:
        raise ValueError(f"bursts of {peak:g} times the mean leave a negative quiet rate")
    return BurstFit(quiet, peak, 1.0 / (k * share), 1.0 / (k * (1.0 - share)))


def _rtt_quantiles(rtt_ms: FloatArray) -> tuple[float, float, float]:
    p5, p50, p95 = np.percentile(rtt_ms, [5, 50, 95])
    return float(p5), float(p50), float(p95)
