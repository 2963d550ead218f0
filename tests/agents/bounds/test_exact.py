"""Toys whose optimum is known, and that the kernel plays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agents.bounds import holding, slotted
from agents.bounds.holding import BatchQueue
from agents.bounds.slotted import Slotted
from tests.toy import action, run, toy_simulator

TOYS = [
    Slotted((2, 3, 4), 6, 10.0),
    Slotted((1, 1, 1), 3, 4.0),
    Slotted((2, 2, 3), 5, 6.0),
    Slotted((1, 2, 2), 2, 3.0),
]
WARMUP = 200
ACTIONS = [0, *(action(1, hold) for hold in (0.0, 0.125, 0.25, 0.5, 0.75))]


def kernel_cost(toy: Slotted, actions: int | list[int], **changes: int) -> tuple[float, float]:
    """Mean cost of a request in the kernel, and four standard errors."""
    tables, settings_ = slotted.kernel_world(toy, 4000, WARMUP)
    simulator = toy_simulator(tables._replace(**changes), settings_, envs=16, clients=64)
    record = run(simulator, actions)[:, WARMUP:-WARMUP]
    cost = (record["gpu_seconds"] + toy.price * (record["outcome"] != 1)).mean(axis=1)
    return float(cost.mean()), float(cost.std(ddof=1))


@pytest.mark.parametrize("toy", TOYS, ids=str)
def test_the_kernel_and_the_toys_chain_agree_on_all_cloud_without_a_hold(toy: Slotted) -> None:
    cost, half_width = kernel_cost(toy, action(1))

    assert abs(cost - slotted.prompt_cost(toy)) <= half_width + 1e-9
    assert half_width < 0.03 * cost


@pytest.mark.parametrize("toy", TOYS, ids=str)
def test_the_optimal_policy_played_costs_what_was_computed(toy: Slotted) -> None:
    optimum, policy = slotted.optimum(toy)

    mean, error = slotted.play(toy, policy, 200_000, seed=0)

    assert abs(mean - optimum) <= 4 * error + 1e-3


@pytest.mark.parametrize("toy", TOYS, ids=str)
def test_no_policy_in_the_kernel_beats_the_optimum(toy: Slotted) -> None:
    optimum, _ = slotted.optimum(toy)

    mixed = [ACTIONS, [0, ACTIONS[-1], ACTIONS[-1]]]
    for actions in [*ACTIONS, *mixed]:
        cost, half_width = kernel_cost(toy, actions)
        assert cost >= optimum - half_width - 1e-9


def test_an_optimum_worked_out_by_hand() -> None:
    # A request a slot, every one served in a slot; two of them together if one waits for a slot.
    toy = Slotted((1, 1), 2, 10.0, chance=1.0)

    assert slotted.optimum(toy)[0] == pytest.approx(0.5)


def test_giving_up_is_optimal_where_a_violation_is_cheap() -> None:
    toy = Slotted((3,), 3, 0.5)

    assert slotted.optimum(toy)[0] == pytest.approx(0.5)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    load=st.floats(0.1, 0.7),
    services=st.floats(0.5, 2.0),
    largest=st.integers(1, 6),
    fixed=st.floats(0.05, 10.0),
    holding_=st.floats(0.1, 1.0),
)
def test_value_iteration_finds_a_control_limit_and_the_best_one(
    load: float, services: float, largest: int, fixed: float, holding_: float
) -> None:
    queue = BatchQueue(load * services * largest, services, largest, fixed, holding_, room=60)
    costs = sorted(holding.control_limit_cost(queue, m) for m in range(1, largest + 1))
    assume(len(costs) == 1 or costs[1] > costs[0] * (1 + 1e-6))  # else two limits are as good

    cost, serve = holding.optimum(queue)
    best, limit = holding.best_control_limit(queue)

    assert cost == pytest.approx(best, rel=1e-6)
    assert int(np.argmax(serve)) == limit
    assert serve[limit:].all()


def test_a_single_server_without_choice_has_the_cost_of_m_m_1() -> None:
    queue = BatchQueue(0.5, 1.0, 1, fixed=2.0, holding=3.0)

    waiting = 0.5**2 / (1 - 0.5)
    assert holding.control_limit_cost(queue, 1) == pytest.approx(2.0 * 0.5 + 3.0 * waiting)
