from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.registry import RULES
from splitenv.context import Context
from splitenv.features import bounds
from splitenv.scenario import load_scenario
from splitenv.tables import build_tables
from tests.agents.rules import bound, decide

Observe = Callable[..., np.ndarray[Any, np.dtype[np.float32]]]
DEVICE, HALF, CLOUD = 0, 1, 2
NOT_ON_DEVICE = np.array([[False] * 6 + [True] * 5])
REAL = Context(build_tables(load_scenario("sd-mobile")))


def test_all_cloud_takes_the_last_placement(toy: Context, observe: Observe) -> None:
    assert decide("all-cloud", toy, observe(toy, [0.9, 0.9, -3.0])) == (CLOUD, 0.0)


def test_all_device_takes_the_device(toy: Context, observe: Observe) -> None:
    assert decide("all-device", toy, observe(toy, [-3.0, 0.9, 0.9])) == (DEVICE, 0.0)


def test_all_device_takes_the_cloud_where_the_device_cannot(toy: Context, observe: Observe) -> None:
    observation = observe(toy, [-1e6, -1e6, 0.9])

    assert decide("all-device", toy, observation, NOT_ON_DEVICE) == (CLOUD, 0.0)


@pytest.mark.parametrize(
    ("ratio", "placement"), [(0.0, DEVICE), (0.2, DEVICE), (0.3, HALF), (0.75, HALF), (0.8, CLOUD)]
)
def test_fixed_takes_the_nearest_split(
    toy: Context, observe: Observe, ratio: float, placement: int
) -> None:
    observation = observe(toy, [0.5, 0.5, 0.5])

    assert decide(f"fixed:ratio={ratio}", toy, observation) == (placement, 0.0)


def test_fixed_takes_the_nearest_possible_split(toy: Context, observe: Observe) -> None:
    observation = observe(toy, [-1e6, -1e6, 0.5])

    assert decide("fixed:ratio=0", toy, observation, NOT_ON_DEVICE) == (CLOUD, 0.0)


def test_random_repeats_itself_after_it_is_bound_again(toy: Context) -> None:
    policy = bound("random:seed=7", toy)
    observations, masks = np.zeros((100, 28), np.float32), np.ones((100, 11), np.bool_)

    first = policy.act(observations, masks)
    second = policy.act(observations, masks)
    policy.bind(toy)

    assert not np.array_equal(first, second)
    assert np.array_equal(policy.act(observations, masks), first)


def test_random_is_uniform_over_what_is_allowed(toy: Context) -> None:
    masks = np.repeat(NOT_ON_DEVICE, 10_000, axis=0)

    actions = bound("random", toy).act(np.zeros((10_000, 28), np.float32), masks)

    counts = np.bincount(actions, minlength=11)
    assert counts[:6].sum() == 0
    assert np.abs(counts[6:] - 2000).max() < 5 * np.sqrt(10_000 * 0.2 * 0.8)


@pytest.mark.parametrize(
    ("slack", "placement"),
    [
        ([0.3, 0.5, 0.7], DEVICE),
        ([0.1, 0.5, 0.7], HALF),
        ([-2.0, 0.1, 0.21], CLOUD),
        ([-2.0, 0.1, 0.15], CLOUD),  # nobody keeps the margin: the fastest
        ([-2.0, -0.1, -0.3], HALF),
    ],
)
def test_latency_bound_takes_the_smallest_share_that_keeps_the_margin(
    toy: Context, observe: Observe, slack: list[float], placement: int
) -> None:
    assert decide("latency-bound:margin=0.2", toy, observe(toy, slack)) == (placement, 0.0)


@pytest.mark.parametrize(
    ("slack", "choice"),
    [
        ([0.5, 0.9, 0.9], (DEVICE, 0.0)),
        ([-1.0, 0.41, 0.9], (HALF, 0.5)),
        ([-1.0, 0.39, 0.9], (CLOUD, 0.5)),  # half would keep 0.195 after half its slack
        ([-1.0, 0.21, 0.3], (CLOUD, 0.25)),  # nobody keeps it after 1/2; all-cloud does after 1/4
        ([-1.0, 0.21, 0.21], (HALF, 0.0)),
        ([-1.0, 0.1, 0.15], (CLOUD, 0.0)),
    ],
)
def test_latency_bound_batching_keeps_the_margin_after_its_hold(
    toy: Context, observe: Observe, slack: list[float], choice: tuple[int, float]
) -> None:
    spec = "latency-bound-batching:margin=0.2,hold=0.5"

    assert decide(spec, toy, observe(toy, slack)) == choice


@pytest.mark.parametrize(
    ("slack", "placement"),
    [([0.3, 0.5, 0.7], CLOUD), ([0.3, 0.7, 0.5], HALF), ([0.5, 0.5, 0.5], DEVICE)],
)
def test_neurosurgeon_takes_the_fastest(
    toy: Context, observe: Observe, slack: list[float], placement: int
) -> None:
    assert decide("neurosurgeon", toy, observe(toy, slack)) == (placement, 0.0)


def test_joint_greedy_takes_the_cheapest_pair_in_time(toy: Context, observe: Observe) -> None:
    # One waits (a quarter of a batch of 4), one arrives each second, a GPU is idle. Half in the
    # cloud takes 5 s with b0 = 2, t = 1.5 s; alone it has 5 + 1.5 - 1 = 5.5 s to spare:
    #   hold  0     1/8     1/4     1/2    3/4
    #   s     0     0.6875  1.375   2.75   4.125
    #   b     2     2.6875  3.375   4      4        (1 + 1 + s, at most 4)
    #   t     1.5   1.844   2.188   2.5    2.5
    #   cost  0.75  0.686   0.648   0.625  0.625
    #   ends  5     6.03    7.06    8.75   10.125
    # All-cloud costs at least 5 / 4 = 1.25, the device would take 12 s.
    observation = observe(toy, [-0.2, 0.5, 0.6], waiting=0.25, rate_fast=10.0)

    assert decide("joint-greedy:margin=1", toy, observation) == (HALF, 0.5)
    assert decide("joint-greedy:margin=1.2", toy, observation) == (HALF, 0.25)
    assert decide("joint-greedy:margin=1.35", toy, observation) == (HALF, 0.25)


def test_joint_greedy_with_fewer_companions_holds_longer(toy: Context, observe: Observe) -> None:
    # 6.5 s to spare. k = 1/2: b = 2 + s / 2, which only the longest hold, 4.875 s, brings to 4; it
    # ends at 4 + 4.875 + 1 = 9.875 s. k = 2: b = 2 + 2 s, and 1/4, 1.625 s, is enough.
    observation = observe(toy, [-0.2, 0.6, 0.6], waiting=0.25, rate_fast=10.0)

    assert decide("joint-greedy:margin=1,k=0.5", toy, observation) == (HALF, 0.75)
    assert decide("joint-greedy:margin=1,k=2", toy, observation) == (HALF, 0.25)


def test_joint_greedy_with_a_slowdown_plans_for_longer_batches(
    toy: Context, observe: Observe
) -> None:
    # 4.4 s to spare. A hold of 1/2 ends at 6.1 + 2.2 + 2.5 - 1.5 = 9.3 s, at 10.05 with 1.3 x 2.5;
    # of 3/4 too late in any case.
    observation = observe(toy, [-0.2, 0.39, 0.6], waiting=0.25, rate_fast=10.0)

    assert decide("joint-greedy:margin=1", toy, observation) == (HALF, 0.5)
    assert decide("joint-greedy:margin=1,slowdown=1.3", toy, observation) == (HALF, 0.25)


def test_joint_greedy_does_not_hold_where_the_gpus_are_busy_anyway(
    toy: Context, observe: Observe
) -> None:
    # The wait of 2 s already brings b = 1 + 1 + 2 = 4: a hold adds nothing.
    observation = observe(toy, [-0.2, 0.5, 0.6], waiting=0.25, rate_fast=10.0, gpu_wait=0.2)

    assert decide("joint-greedy:margin=1", toy, observation) == (HALF, 0.0)


def test_joint_greedy_takes_the_device_where_it_is_in_time(toy: Context, observe: Observe) -> None:
    assert decide("joint-greedy", toy, observe(toy, [0.2, 0.5, 0.6])) == (DEVICE, 0.0)


def test_joint_greedy_takes_the_fastest_where_nothing_is_in_time(
    toy: Context, observe: Observe
) -> None:
    assert decide("joint-greedy", toy, observe(toy, [-0.3, -0.1, -0.2])) == (HALF, 0.0)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Any, Any]:
    """Random observations within their bounds, and masks that a device could have."""
    rows = draw(st.integers(1, 8))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = bounds(REAL.placements)
    observations = generator.uniform(low, high, (rows, len(low))).astype(np.float32)
    columns = {feature.name: column for column, feature in enumerate(REAL.features)}
    observations[:, columns["model"]] = 0.0
    observations[:, columns["sla"]] = generator.integers(0, 2, rows) / 2
    possible = generator.random((rows, REAL.placements)) < 0.5
    possible[:, -1] = True
    observations[:, : REAL.placements][~possible] = -1.0
    observations[:, REAL.placements : 2 * REAL.placements][~possible] = 2.0
    return observations, possible[:, REAL.tables.action_placement]


@settings(max_examples=100, deadline=None)
@given(situations(), st.sampled_from(sorted(set(RULES) - {"all-cloud"})))
def test_rules_take_only_what_the_mask_allows(situation: tuple[Any, Any], name: str) -> None:
    observations, masks = situation

    actions = bound(name, REAL).act(observations, masks)

    assert actions.dtype == np.int64
    assert masks[np.arange(len(masks)), actions].all()


@settings(max_examples=100, deadline=None)
@given(
    situations(),
    st.sampled_from(
        ["latency-bound", "latency-bound-batching", "neurosurgeon", "ip-ssa", "joint-greedy"]
    ),
)
def test_no_rule_takes_a_predicted_miss_where_another_placement_is_in_time(
    situation: tuple[Any, Any], name: str
) -> None:
    observations, masks = situation
    possible = REAL.possible(masks)
    in_time = possible & (REAL.slack(observations) >= 0)

    placement = REAL.tables.action_placement[bound(name, REAL).act(observations, masks)]

    chosen_in_time = in_time[np.arange(len(masks)), placement]
    assert (chosen_in_time | ~in_time.any(axis=1)).all()


@pytest.mark.parametrize("name", sorted(set(RULES) - {"random"}))
def test_a_rule_decides_a_row_as_it_would_alone(name: str) -> None:
    generator = np.random.default_rng(5)
    low, high = bounds(REAL.placements)
    observations = generator.uniform(low, high, (50, len(low))).astype(np.float32)
    observations[:, 2 * REAL.placements : 2 * REAL.placements + 2] = 0.0
    masks = np.ones((50, REAL.actions), np.bool_)
    policy = bound(name, REAL)

    together = policy.act(observations, masks)

    alone = [policy.act(observations[[row]], masks[[row]])[0] for row in range(50)]
    assert together.tolist() == alone


def test_edgent_counts_neither_the_queue_nor_company(toy: Context, observe: Observe) -> None:
    # Half in the cloud is predicted to take 12 s, 2 too many: 5 s until a GPU is free, 1.5 s in a
    # batch with the one that waits. Alone on an idle GPU it would take 12 - 5 - (1.5 - 1) = 6.5 s.
    observation = observe(toy, [-0.5, -0.2, 0.1], waiting=0.25, gpu_wait=0.5)

    assert decide("edgent", toy, observation) == (HALF, 0.0)
    assert decide("edgent:margin=0.34", toy, observation) == (HALF, 0.0)
    assert decide("edgent:margin=0.36", toy, observation) == (CLOUD, 0.0)
    assert decide("latency-bound:margin=0", toy, observation) == (CLOUD, 0.0)


def test_edgent_takes_the_fastest_alone_where_nothing_is_in_time(
    toy: Context, observe: Observe
) -> None:
    assert decide("edgent", toy, observe(toy, [-0.3, -0.1, -0.2])) == (HALF, 0.0)


@pytest.mark.parametrize(
    ("rate", "floor", "placement"),
    [(4.0, 0.5, CLOUD), (4.5, 0.5, CLOUD), (5.0, 0.5, HALF), (8.1, 0.5, DEVICE), (4.1, 1, DEVICE)],
)
def test_threshold_gives_the_cloud_what_the_link_is_good_for(
    toy: Context, observe: Observe, rate: float, floor: float, placement: int
) -> None:
    # 1 MB in 2 s are 4 Mbit/s: of a rate of 4.5, 0.889, so (0.889 - 0.5) / 0.5 = 0.78 in the cloud;
    # of 5, 0.6; of 8.1, less than half.
    megabyte = toy.tables._replace(down=1e6 * toy.tables.down)
    observation = observe(toy, [0.5, 0.5, 0.5], network_time=0.2)

    spec = f"threshold:rate={rate},floor={floor}"

    assert decide(spec, Context(megabyte), observation) == (placement, 0.0)


def test_ip_ssa_opens_a_batch_with_the_longest_hold_that_keeps_the_margin(
    toy: Context, observe: Observe
) -> None:
    observation = observe(toy, [-0.2, 0.5, 0.6], hold_left=1.0)

    assert decide("ip-ssa:margin=0.2", toy, observation) == (HALF, 0.5)
    assert decide("ip-ssa:margin=0.3", toy, observation) == (HALF, 0.25)
    assert decide("ip-ssa:margin=0.2,hold=0.125", toy, observation) == (HALF, 0.125)


def test_ip_ssa_joins_the_batch_that_is_forming(toy: Context, observe: Observe) -> None:
    # One waits and leaves in 2 s. Half joins for t(2) - t(1) = 0.5 s instead of 1 s alone, and
    # would have 0.5 - 0.2 left. Alone it has 5 + 1.5 - 1 = 5.5 s to spare: it takes a hold of 1/2,
    # 2.75 s, to be there after 2 s, 1/8 to be there after 0.6 s.
    forming = {"waiting": 0.25, "hold_left": 0.2}
    slack = [-0.2, 0.5, 0.6]

    assert decide("ip-ssa:margin=0.3", toy, observe(toy, slack, **forming)) == (HALF, 0.5)
    soon = observe(toy, slack, waiting=0.25, hold_left=0.06)
    assert decide("ip-ssa:margin=0.3", toy, soon) == (HALF, 0.125)


def test_ip_ssa_does_not_join_where_that_leaves_less_than_the_margin(
    toy: Context, observe: Observe
) -> None:
    # Half would have 0.3 left; all-cloud 0.4, but it lengthens the batch by as much as half takes
    # alone, 1 s. Alone half keeps 0.35 after a hold of 1/4.
    observation = observe(toy, [-0.2, 0.5, 0.6], waiting=0.25, hold_left=0.2)

    assert decide("ip-ssa:margin=0.35", toy, observation) == (HALF, 0.25)


def test_ip_ssa_stays_on_the_device_where_that_is_in_time(toy: Context, observe: Observe) -> None:
    observation = observe(toy, [0.3, 0.9, 0.9], waiting=0.25, hold_left=0.2)

    assert decide("ip-ssa:hold=0", toy, observation) == (DEVICE, 0.0)
