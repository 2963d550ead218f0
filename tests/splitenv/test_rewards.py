"""What is paid is what is accounted: requests, GPU seconds, cost, and causes before effects."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitenv.env import SplitInferenceEnv
from splitenv.scenario import load_scenario
from splitenv.simulator import NO_RESET, Simulator

DECISIONS = 400
IN_TIME, LATE, DROPPED = 1, 2, 3


@st.composite
def scenarios(draw):
    """Toys from idle to hopeless, of both kinds of model."""
    name = draw(st.sampled_from(["sd-mobile", "regnet-camera", "mixed-tenants"]))
    scale = draw(st.sampled_from([0.25, 1.0, 4.0]))
    toy = load_scenario(name)
    deadlines = {
        f"sla.{sla}.deadline_s": promise.deadline_s * draw(st.sampled_from([0.2, 1.0, 1.5]))
        for sla, promise in toy.sla.items()
    }
    longest = max(deadlines.values())
    return toy.with_overrides(
        {
            **deadlines,
            "load": min(scale * toy.load, 0.09 * DECISIONS / longest),
            "decisions": DECISIONS,
            "pool.count": draw(st.integers(1, 4)),
            "pool.batch_limit": draw(st.sampled_from([None, 1, 3])),
            "dispatch.late": draw(st.sampled_from(["serve", "drop"])),
            "queue": draw(st.sampled_from([3, 64])),
        }
    )


def run(scenario, seed=0, action=None):
    """One episode under random actions, or one action throughout."""
    simulator = Simulator(scenario, 1, record=True)
    simulator.seed([seed])
    simulator.reset()
    draws = np.random.default_rng(seed).integers(0, simulator.actions, scenario.decisions)
    paid = np.zeros(2)
    rewards = 0.0
    for drawn in draws:
        simulator.step(np.array([drawn if action is None else action]), NO_RESET)
        paid += simulator.terms[0]
        rewards += float(simulator.reward[0])
    return simulator.record[0], simulator.finished[0], paid, rewards


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_rewards_over_an_episode_and_its_drain_equal_the_accounting(scenario, seed):
    record, sums, paid, rewards = run(scenario, seed)
    assert sums["total_cost"] == pytest.approx(-(sums["total_reward"] + sums["drain_reward"]))
    assert sums["total_cost"] == pytest.approx(record["cost"].sum())
    assert sums["total_reward"] == pytest.approx(-paid.sum())
    assert rewards == pytest.approx(-paid.sum(), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_every_request_ends_in_exactly_one_way(scenario, seed):
    record, sums, _, _ = run(scenario, seed)
    outcome = record["outcome"]
    assert sums["total_requests"] == scenario.decisions
    assert np.isin(outcome, (IN_TIME, LATE, DROPPED)).all()
    assert (record["complete"][outcome == IN_TIME] <= record["deadline"][outcome == IN_TIME]).all()
    assert (record["complete"][outcome == LATE] > record["deadline"][outcome == LATE]).all()
    assert np.isinf(record["complete"][outcome == DROPPED]).all()
    counted = outcome[scenario.warmup : -scenario.warmup]
    assert sums["requests"] == len(counted)
    assert sums["violations"] == (counted != IN_TIME).sum()
    assert sums["dropped"] == (counted == DROPPED).sum()


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_attributed_gpu_seconds_are_busy_seconds(scenario, seed):
    record, sums, _, _ = run(scenario, seed)
    ran = record[record["gpu"] >= 0]
    assert sums["busy_seconds"] == pytest.approx(sums["attributed_seconds"])
    assert sums["attributed_seconds"] == pytest.approx(ran["gpu_seconds"].sum())
    assert sums["launches"] == len(np.unique(ran["launch"]))
    assert (record["gpu_seconds"][record["gpu"] < 0] == 0).all()


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_no_event_comes_before_its_cause(scenario, seed):
    record, _, _, _ = run(scenario, seed)
    assert (np.diff(record["arrival"]) >= 0).all()
    ran = record[record["gpu"] >= 0]
    life = [ran[name] for name in ("arrival", "ready", "start", "finish", "download", "complete")]
    for cause, effect in pairwise(life):
        assert (cause <= effect).all()
    on_device = record[record["placement"] == 0]
    assert (on_device["complete"] > on_device["arrival"]).all()
    assert np.isnan(on_device["ready"]).all()


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_a_gpu_runs_one_batch_at_a_time_within_its_limit(scenario, seed):
    record, _, _, _ = run(scenario, seed)
    ran = record[record["gpu"] >= 0]
    for gpu in range(scenario.pool.count):
        here = ran[ran["gpu"] == gpu]
        batches = [here[here["launch"] == launch] for launch in np.unique(here["launch"])]
        for batch in batches:
            assert (batch["batch"] == len(batch)).all()
            assert len(set(batch["start"])) == len(set(batch["model"])) == 1
            assert len(batch) <= (scenario.pool.batch_limit or 64)
        ends = [batch["finish"].max() for batch in batches]
        starts = [batch["start"][0] for batch in batches]
        assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))


def test_late_requests_are_dropped_without_a_launch_of_their_own():
    # More late requests than a batch holds: they go in several lots, and none starts a GPU.
    scenario = load_scenario(
        "sd-mobile", {"load": 5.0, "decisions": 600, "dispatch.late": "drop", "pool.batch_limit": 2}
    )
    record, sums, _, _ = run(scenario, action=51)
    assert (record["outcome"] == DROPPED).sum() > 100
    assert sums["launches"] == len(np.unique(record["launch"][record["gpu"] >= 0]))


def test_a_decision_pays_its_predicted_cost_at_once():
    # All-cloud with the longest hold; a step in which no batch starts pays nothing else.
    env = SplitInferenceEnv("sd-mobile", {"decisions": 140, "load": 0.8})
    observation, _ = env.reset(seed=0)
    cloud, steps = env.context.placements - 1, 0
    for _ in range(140):
        predicted = env.context.gpu_share(observation[None])[0, cloud]
        launches = env.simulator.truth.metrics[0]["launches"]
        observation, _, _, truncated, info = env.step(env.simulator.actions - 1)
        if not truncated and env.simulator.truth.metrics[0]["launches"] == launches:
            assert info["cost/gpu"] == pytest.approx(predicted, rel=1e-6)
            steps += 1
    assert steps > 10


def test_all_device_pays_the_truth_at_once_and_no_gpu_seconds():
    env = SplitInferenceEnv(overrides={"decisions": 140, "load": 0.8}, render_mode="ansi")
    env.reset(seed=0)
    price = env.scenario.violation_price
    paid = [env.step(0)[4] for _ in range(140)]
    late = env.simulator.record[0]["outcome"] == LATE
    assert [info["cost/gpu"] for info in paid] == [0.0] * 140
    np.testing.assert_array_equal([info["cost/violations"] for info in paid], price * late)
