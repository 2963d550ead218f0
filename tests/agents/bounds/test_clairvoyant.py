"""No scheduler undercuts the clairvoyant bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.bounds import clairvoyant_bound, small
from agents.bounds.check import check_case
from agents.bounds.clairvoyant import Floor
from agents.bounds.program import solve
from agents.bounds.shares import least_within
from agents.evaluation import run_episodes
from agents.registry import BATCHINGS, RULES, make_policy
from splitenv.scenario import load_scenario


def case(**changes: Any) -> small.Case:
    """Two requests, ready at 0 and 1 s; 2 s on the GPU alone, 3 s together; leave by 5 s."""
    given_ = {
        "curve": ((2.0, 3.0),),
        "spans": ((0, 1),),
        "overhead": 0.0,
        "ready": np.array([[9.0, 0.0], [9.0, 1.0]]),
        "leave": np.array([[0.0, 5.0], [0.0, 5.0]]),
        "counts": np.ones(2, np.int64),
        "gpus": 1,
        "mu": 10.0,
    }
    return small.Case(**(given_ | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3.0),
        ({"mu": 1.0}, 2.0),  # cheaper not to serve them
        ({"leave": np.array([[0.0, 3.5], [0.0, 5.0]])}, 4.0),  # no time for the two together
        ({"leave": np.array([[0.0, 2.0], [0.0, 3.0]])}, 12.0),  # one GPU has time for one of them
        ({"leave": np.array([[9.0, 5.0], [0.0, 5.0]])}, 2.0),  # one runs on its device
        ({"counts": np.array([0, 1])}, 1.5),  # the other half is paid by one that doesn't count
    ],
)
def test_two_requests_cost_what_they_do_by_hand(changes: dict[str, Any], expected: float) -> None:
    two = case(**changes)

    assert solve(two) == pytest.approx(expected)
    assert small.brute_force(two) == pytest.approx(expected)
    assert small.relaxation(two, 0.0) <= expected + 1e-9


def test_a_request_that_must_go_alone_is_not_priced_as_if_it_had_company() -> None:
    three = case(
        ready=np.array([[9.0, 0.0], [9.0, 4.0], [9.0, 4.5]]),
        leave=np.array([[0.0, 2.5], [0.0, 9.0], [0.0, 9.0]]),
        counts=np.ones(3, np.int64),
    )

    assert small.relaxation(three, 0.1, together=False) == pytest.approx(5.0, abs=0.01)


def test_members_that_share_a_launch_are_bound_tighter_than_each_by_itself() -> None:
    # Both could have had company, but the early one not that of the late one.
    chain = case(
        ready=np.array([[9.0, 0.0], [9.0, 1.9], [9.0, 3.8]]),
        leave=np.array([[0.0, 5.0], [0.0, 6.9], [0.0, 8.8]]),
        counts=np.ones(3, np.int64),
        gpus=2,
    )

    single, together = (small.relaxation(chain, 0.1, together=t) for t in (False, True))

    assert single == pytest.approx(4.5, abs=0.01)
    assert 4.6 < together <= solve(chain) == pytest.approx(5.0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_relaxation_program_brute_force_and_rules_are_in_order(seed: int) -> None:
    assert check_case(seed, 4).faults == []


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_they_are_in_order_in_many_cases(seed: int) -> None:
    assert check_case(seed).faults == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_they_are_in_order_in_larger_systems(seed: int) -> None:
    assert check_case(seed, 12).faults == []


def test_the_bound_at_a_target_is_the_best_over_all_weights() -> None:
    prices = np.sort(np.random.default_rng(0).random(50))
    floor = Floor(prices, 1.0)

    for target in (0.5, 0.95, 0.99, 0.995, 1.0):
        best = max(floor.weighed(mu) - mu * (1.0 - target) * 50 for mu in prices)
        assert floor.at(target) == pytest.approx(best / 50)


def test_an_attainment_that_nobody_can_reach_has_no_price() -> None:
    floor = Floor(np.array([1.0, 1.0, 1.0, np.inf]), 0.0)

    assert floor.at(0.75) == 0.75
    assert floor.at(0.8) == np.inf


def test_the_least_share_within_a_time_is_that_of_the_members_there_is_time_for() -> None:
    times = np.array([[1.0, 1.5, 2.1]])

    share = least_within(times, np.array([False]), 0.0, 0.5, 6)

    # Cell i has i / 2 to (i + 1) / 2 seconds, and no less than its end is looked up.
    assert share[0] == np.inf
    assert share[1] == pytest.approx(1.0, abs=0.01)
    assert share[2] == pytest.approx(0.75, abs=0.01)
    assert share[3] == pytest.approx(0.75 - 0.05 * 0.5 / 0.6, abs=0.01)  # between two and three
    assert share[4] == pytest.approx(0.7, abs=0.01)
    together = least_within(times, np.array([True]), 0.0, 0.5, 6)
    assert together[3] == np.inf  # all three are present
    assert together[4] == pytest.approx(0.7, abs=0.01)


def pooled(name: str, overrides: dict[str, Any], policy: str, episodes: int) -> tuple[float, float]:
    """Attainment and GPU seconds a request over episodes; all GPUs are of one type."""
    sums = run_episodes(make_policy(policy), load_scenario(name, overrides), episodes).sums
    requests = sums["requests"].sum()
    return sums["in_time"].sum() / requests, sums["gpu_seconds"].sum() / requests


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("sd-mobile", {}),
        ("sd-mobile", {"serving": "continuous"}),
        ("regnet-camera", {"decisions": 1024}),
        ("regnet-camera", {"decisions": 1024, "serving": "continuous", "load": 20.0}),
        ("mixed-tenants", {"decisions": 1024, "load": 4.0}),
    ],
)
def test_no_rule_undercuts_the_bound_at_its_own_attainment(
    name: str, overrides: dict[str, Any]
) -> None:
    bound = clairvoyant_bound(load_scenario(name, overrides), 2)

    for rule in RULES:
        attainment, seconds = pooled(name, overrides, rule, 2)
        assert attainment <= bound.attainable
        assert seconds >= bound.at(attainment), rule
    assert bound.at(0.9) > 0.0


def test_no_batching_rule_undercuts_it() -> None:
    overrides = {"load": 2.2, "decisions": 1024}
    bound = clairvoyant_bound(load_scenario("sd-mobile", overrides), 2)

    for batching in BATCHINGS:
        attainment, seconds = pooled("sd-mobile", overrides, f"latency-bound+{batching}", 2)
        assert seconds >= bound.at(attainment), batching
    assert bound.at(0.9) > 0.0


def test_the_bound_rises_with_the_target_and_falls_with_faster_devices() -> None:
    bound = clairvoyant_bound(load_scenario("sd-mobile", {"decisions": 512}), 2)
    faster = clairvoyant_bound(load_scenario("future-phones", {"decisions": 512}), 2)

    levels = [bound.at(target) for target in (0.5, 0.9, 0.95, 0.99)]
    assert levels == sorted(levels)
    assert bound.at(0.99) > bound.single.at(0.99)
    assert faster.at(0.99) < bound.at(0.99)
