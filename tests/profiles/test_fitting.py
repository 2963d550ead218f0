from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitenv.profiles.fitting import (
    RateSession,
    fano_growth,
    fit_arrivals,
    fit_bursts,
    fit_network,
    fit_rate,
    lag1,
    summarise_rate,
    weibull_shape,
)

FloatArray = npt.NDArray[np.float64]


def held_rate(
    rng: np.random.Generator, level: float, within: float, hold: float, outage: float, seconds: int
) -> FloatArray:
    blocks = int(seconds / hold) + 2
    values = np.exp(level + within * rng.standard_normal(blocks))
    values[rng.random(blocks) < outage] = 0.0
    rates: FloatArray = values[((np.arange(seconds) + rng.uniform(0, hold)) // hold).astype(int)]
    return rates


def test_the_fit_recovers_the_parameters_that_made_the_sessions() -> None:
    rng = np.random.default_rng(3)
    factor = np.linalg.cholesky([[1, 0.5, -0.3], [0.5, 1, -0.2], [-0.3, -0.2, 1]])
    sessions = []
    for _ in range(600):
        z = factor @ rng.standard_normal(3)
        uplink = held_rate(rng, 2.0 + 0.4 * z[0], 0.5, 3.0, 0.05, 1000)
        downlink = held_rate(rng, 4.0 + 0.3 * z[1], 0.3, 6.0, 0.0, 1000)
        rtt = np.exp(3.5 + 0.2 * z[2] + 0.1 * rng.standard_normal(200))
        sessions.append((uplink, downlink, rtt))

    fit = fit_network(sessions)

    assert fit.uplink.session_log_mean == pytest.approx(2.0, abs=0.06)
    assert fit.uplink.session_log_sd == pytest.approx(0.4, abs=0.05)
    assert fit.uplink.within_log_sd == pytest.approx(0.5, abs=0.03)
    assert fit.uplink.hold == pytest.approx(3.0, rel=0.05)
    assert fit.uplink.outage == pytest.approx(0.05, abs=0.01)
    assert fit.downlink.hold == pytest.approx(6.0, rel=0.08)
    assert fit.downlink.outage == 0
    assert fit.rtt.session_log_mean == pytest.approx(3.5, abs=0.03)
    assert fit.rtt.session_log_sd == pytest.approx(0.2, abs=0.02)
    assert fit.rtt.within_log_sd == pytest.approx(0.1, abs=0.01)
    assert fit.correlation == pytest.approx((0.5, -0.3, -0.2), abs=0.12)


def test_few_sessions_say_nothing_about_correlation() -> None:
    steady = np.full(10, 5.0)

    fit = fit_network([(steady, steady, steady)] * 3)

    assert fit.correlation is None
    assert fit.uplink.session_log_sd == 0
    assert fit.uplink.within_log_sd == pytest.approx(0, abs=1e-6)
    assert fit.uplink.hold == 1.0


@given(
    st.lists(
        st.builds(
            RateSession,
            mean_mbps=st.floats(0.1, 1000),
            cv=st.floats(0, 2),
            outage=st.floats(0, 1),
            log_lag1=st.floats(-1, 1) | st.just(math.nan),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_the_fitted_mean_rate_is_that_of_the_sessions(sessions: list[RateSession]) -> None:
    fit = fit_rate(sessions)

    mean = math.exp(fit.session_log_mean + fit.session_log_sd**2 / 2 + fit.within_log_sd**2 / 2)
    assert mean == pytest.approx(np.mean([s.mean_mbps for s in sessions]))
    assert 0 <= fit.outage <= 0.5
    assert 1.0 <= fit.hold <= 100.0 * (1 + 1e-9)


def test_a_rate_below_a_twentieth_of_the_mean_is_an_outage() -> None:
    session = summarise_rate(np.array([10.0, 10.0, 10.0, 0.1, 0.0]))

    assert session.outage == pytest.approx(0.4)
    assert session.mean_mbps == 10.0


def test_a_second_that_was_not_measured_counts_for_nothing() -> None:
    session = summarise_rate(np.array([10.0, np.nan, 20.0, np.nan, 0.0, 10.0, 20.0]))

    assert session.outage == pytest.approx(0.2)
    assert session.mean_mbps == 15.0


def test_a_dead_direction_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="no rate is above zero"):
        summarise_rate(np.zeros(5))


def test_lag_1_leaves_out_pairs_with_a_hole() -> None:
    assert lag1(np.array([1.0, 1.0, np.nan, -1.0, -1.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [0.4, 0.65, 1.0, 2.0, 5.0])
def test_the_weibull_shape_has_the_cv_it_was_asked_for(shape: float) -> None:
    mean = math.gamma(1 + 1 / shape)
    cv = math.sqrt(math.gamma(1 + 2 / shape) / mean**2 - 1)

    assert weibull_shape(cv) == pytest.approx(shape, rel=1e-6)


def test_renewal_shapes_are_recovered_from_their_arrivals() -> None:
    rng = np.random.default_rng(5)
    gamma = np.cumsum(rng.gamma(0.65, 2.0 / 0.65, 200_000))
    weibull = np.cumsum(rng.weibull(0.8, 200_000))

    assert fit_arrivals(gamma).gamma_shape == pytest.approx(0.65, rel=0.03)
    assert fit_arrivals(gamma).rate_rps == pytest.approx(0.5, rel=0.01)
    assert fit_arrivals(weibull).weibull_shape == pytest.approx(0.8, rel=0.03)


@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
def test_arrivals_without_variation_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 3|equal"):
        fit_arrivals(np.array(times))


@given(st.floats(0.02, 0.3), st.floats(2.0, 3.0), st.floats(5.0, 60.0), st.floats(0.5, 20.0))
def test_bursts_are_recovered_from_the_fano_factors_they_cause(
    share: float, peak: float, burst_dwell: float, rate: float
) -> None:
    quiet = (1 - share * peak) / (1 - share)
    k = 1 / (burst_dwell * (1 - share))
    variance = share / (1 - share) * (peak - 1) ** 2
    fano = [1 + 2 * variance * rate / k * fano_growth(k * t) for t in (10.0, 60.0)]

    fit = fit_bursts(rate, (fano[0], fano[1]), (10.0, 60.0), peak)

    assert fit.quiet_multiplier == pytest.approx(quiet, rel=1e-3)
    assert fit.burst_dwell_s == pytest.approx(burst_dwell, rel=1e-3)
    assert fit.quiet_dwell_s == pytest.approx(burst_dwell * (1 - share) / share, rel=1e-3)


@pytest.mark.parametrize(
    ("fano", "peak", "message"),
    [
        ((2.0, 20.0), 2.0, "no two-state process"),
        ((5.0, 4.0), 2.0, "no two-state process"),
        ((70.0, 160.0), 2.0, "negative quiet rate"),
    ],
)
def test_impossible_bursts_are_refused(
    fano: tuple[float, float], peak: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_bursts(2.5, fano, (10.0, 60.0), peak)
