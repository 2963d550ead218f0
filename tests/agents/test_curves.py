from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.curves import Curve, area_between, cost_at, effective_target, saving_at
from agents.statistics import interquartile_mean, interval, ratio, resamples


def made(*points: tuple[float, float]) -> Curve:
    """A curve of (violations, cost), without resamples."""
    violations, cost = np.array(points, float).T
    return Curve(violations[None], cost[None])


def at(curve: Curve, target: float) -> float:
    return float(cost_at(curve, 1.0 - target)[0])


def test_between_two_settings_the_cost_is_linear() -> None:
    curve = made((0.0, 10.0), (0.02, 6.0))

    assert at(curve, 0.99) == pytest.approx(8.0)
    assert at(curve, 0.995) == pytest.approx(9.0)


def test_beyond_the_last_setting_nothing_more_is_saved() -> None:
    assert at(made((0.0, 10.0), (0.02, 6.0)), 0.5) == 6.0


def test_a_target_that_no_setting_reaches_costs_infinitely_much() -> None:
    assert at(made((0.02, 6.0), (0.05, 4.0)), 0.99) == np.inf


def test_a_policy_without_a_knob_is_a_point() -> None:
    point = made((0.01, 7.0))

    assert at(point, 0.95) == 7.0
    assert at(point, 0.999) == np.inf


def test_settings_are_mixed_with_their_neighbours_only() -> None:
    bent = made((0.0, 10.0), (0.04, 9.0), (0.02, 2.0))

    assert at(bent, 0.97) == 2.0
    assert at(bent, 0.99) == pytest.approx(9.75)


def test_the_saving_is_relative_to_the_reference() -> None:
    curve = made((0.0, 10.0), (0.02, 6.0))

    assert saving_at(curve, np.array([16.0]), 0.01)[0] == pytest.approx(0.5)
    assert saving_at(made((0.5, 1.0)), np.array([16.0]), 0.01)[0] == -np.inf


def test_the_area_between_two_lines_is_that_of_the_trapezoid() -> None:
    dear, cheap = made((0.0, 10.0), (0.04, 8.0)), made((0.0, 8.0), (0.04, 4.0))

    assert area_between(cheap, dear)[0] == pytest.approx(1.0 - 6.0 / 9.0)
    assert area_between(dear, cheap)[0] == pytest.approx(1.0 - 9.0 / 6.0)
    assert area_between(dear, dear)[0] == 0.0


def test_the_area_counts_what_both_curves_reach_and_no_more_than_a_tenth_of_violations() -> None:
    short, long = made((0.02, 6.0), (0.04, 6.0)), made((0.0, 12.0), (0.5, 12.0))

    assert area_between(short, long)[0] == pytest.approx(0.5)
    steps = made((0.0, 10.0), (0.1, 10.0), (0.1001, 1.0), (0.5, 1.0))
    assert area_between(steps, long)[0] == pytest.approx(1.0 - 10.0 / 12.0)


def test_curves_that_share_no_violations_have_no_area_between_them() -> None:
    assert np.isnan(area_between(made((0.0, 3.0), (0.01, 2.0)), made((0.02, 3.0), (0.03, 2.0))))
    assert np.isnan(area_between(made((0.01, 3.0)), made((0.0, 3.0), (0.03, 2.0))))


def test_nothing_above_what_is_attainable_can_be_asked_for() -> None:
    assert effective_target(0.99, 1.0) == 0.99
    assert effective_target(0.99, 0.97) == pytest.approx(0.965)


shares = st.floats(0.0, 0.2)
costs = st.floats(0.1, 10.0)
curves = st.lists(st.tuples(shares, costs), min_size=1, max_size=6).map(lambda p: made(*p))


@given(curves, st.floats(0.8, 1.0), st.floats(0.8, 1.0))
def test_a_higher_target_never_costs_less(curve: Curve, one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert at(curve, high) >= at(curve, low) - 1e-9


@given(
    st.lists(
        st.tuples(shares, costs, st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=6
    ),
    st.floats(0.8, 1.0),
)
def test_a_policy_better_in_both_at_every_setting_never_loses(
    points: list[tuple[float, float, float, float]], target: float
) -> None:
    worse = made(*((v, c) for v, c, _, _ in points))
    better = made(*((v * less, c * cheaper) for v, c, less, cheaper in points))

    assert at(better, target) <= at(worse, target) + 1e-9


@given(curves, st.floats(0.8, 1.0))
def test_a_further_setting_never_makes_a_policy_dearer(curve: Curve, target: float) -> None:
    fewer = Curve(curve.violations[:, :-1], curve.cost[:, :-1])

    if fewer.cost.size:
        assert at(curve, target) <= at(fewer, target) + 1e-9


def test_every_resample_is_a_comparison_of_its_own() -> None:
    both = Curve(np.array([[0.0, 0.02], [0.02, 0.02]]), np.array([[10.0, 6.0], [5.0, 5.0]]))

    assert cost_at(both, 0.01).tolist() == [pytest.approx(8.0), np.inf]
    assert cost_at(both, np.array([0.0, 0.02])).tolist() == [10.0, 5.0]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.5),
        ([0.0, 1.0, 2.0, 100.0], 1.5),
        ([1.0, 2.0, 3.0, 4.0, 100.0, -50.0, 5.0, 6.0], 3.5),
        ([0.0, 1.0, 2.0, 3.0, 50.0], (0.75 * 1 + 2 + 0.75 * 3) / 2.5),
    ],
)
def test_the_interquartile_mean_is_that_of_the_middle_half(
    values: list[float], mean: float
) -> None:
    assert interquartile_mean(np.array(values)) == pytest.approx(mean)


def test_the_interquartile_mean_equals_a_trimmed_mean_where_quarters_are_whole() -> None:
    from scipy.stats import trim_mean

    values = np.random.default_rng(0).normal(size=(5, 16))

    np.testing.assert_allclose(interquartile_mean(values), trim_mean(values, 0.25, axis=1))


def test_an_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        ones = generator.binomial(50, 0.1, size=100).astype(float)
        found = ratio(ones, np.full(100, 50.0), resamples(100, trial))
        covered += found.low <= 0.1 <= found.high

    assert 180 <= covered <= 198


def test_what_never_ends_may_end_an_interval() -> None:
    values = np.concatenate([[1.0], np.full(900, 1.0), np.full(100, np.inf)])

    assert interval(values, 10).high == np.inf
