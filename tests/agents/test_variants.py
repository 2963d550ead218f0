"""Every variant of an ablation changes the one part that it names."""

from typing import Any

import numpy as np
import pytest
import torch

from agents.mixed_env import MixedVecEnv
from agents.ppo import PPOSettings, build_model, load_hyperparameters, training_env
from agents.registry import make_policy
from agents.variants import (
    QUEUE_AND_LOAD,
    BlindPolicy,
    LateRewardEnv,
    OneScale,
    PlainPolicy,
    UnmaskedEnv,
    UnmaskedPolicy,
)
from agents.vec_env import SplitVecEnv
from splitenv.accounting import IN_TIME
from splitenv.context import Context
from splitenv.features import schema
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

RULE = "joint-greedy+symphony"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return make_policy(RULE).under(load_scenario("sd-mobile", {"decisions": 300}))


@pytest.fixture(scope="module")
def settings() -> PPOSettings:
    small = {"environments": 8, "minibatch": 64, "layers": (16,), "width": 8}
    return load_hyperparameters("sd-mobile").model_copy(update=small)


def play_all_cloud(env: SplitVecEnv, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Unscaled rewards and ends of all-cloud, or what it becomes, in every row."""
    env.seed(1)
    env.reset()
    last = np.full(env.num_envs, len(env.choices) - 1)
    made = [env.step(last)[1:3] for _ in range(steps)]
    return np.array([reward for reward, _ in made]), np.array([end for _, end in made])


def test_late_rewards_are_the_cost_of_what_has_ended(scenario: Scenario) -> None:
    prompt, late = (kind(Simulator(scenario, 8)) for kind in (SplitVecEnv, LateRewardEnv))
    paid, _ = play_all_cloud(prompt, 200)
    paid_late, _ = play_all_cloud(late, 200)

    booked = late.simulator.truth.metrics["total_cost"]
    np.testing.assert_allclose(-paid_late.sum(axis=0), booked, rtol=1e-5)
    # The first requests are decided, and paid by their prediction, before any batch is launched.
    assert (paid[0] < 0).all()
    assert (paid_late[0] == 0).all()
    assert paid_late.sum() == pytest.approx(paid.sum(), rel=0.1)


def test_late_rewards_carry_the_premium_on_violations(scenario: Scenario) -> None:
    overloaded = scenario.with_overrides({"load": 6.0, "decisions": 700})
    late = LateRewardEnv(Simulator(overloaded, 8, record=True))
    late.simulator.truth.stake["premium"] = 3.0
    paid, _ = play_all_cloud(late, 250)

    tables, record = late.simulator.tables, late.simulator.record
    ended = record["outcome"] > 0
    violated = record["outcome"] > IN_TIME
    price = 3.0 * tables.violation_price * tables.weight[record["sla"]]
    cost = record["gpu_seconds"] / tables.norm + price * violated
    assert violated.sum() > 20
    np.testing.assert_allclose(-paid.sum(axis=0), (cost * ended).sum(axis=1), rtol=1e-5)


def test_without_masks_everything_is_offered_and_may_be_chosen(settings: PPOSettings) -> None:
    scenario = load_scenario("mixed-tenants")  # where devices lack models
    masked = training_env(scenario, settings, 0).parts[0]
    env = UnmaskedEnv(masked.simulator, masked.scale)
    env.reset()
    assert env.action_masks().all()
    assert not masked.action_masks().all()
    assert np.array(env.env_method("action_masks")).all()

    model = build_model("maskable-ppo", MixedVecEnv([env]), settings, seed=0)
    policy = UnmaskedPolicy.of(model, scenario)
    policy.bind(Context(env.simulator.tables))
    nothing = np.zeros_like(env.simulator.mask)
    nothing[:, 0] = True
    chosen = policy.act(env.simulator.observation, nothing)
    logits = policy.graph(torch.from_numpy(env.simulator.observation))
    assert chosen.tolist() == logits.argmax(1).tolist()


def test_hidden_features_change_nothing(scenario: Scenario, settings: PPOSettings) -> None:
    env = training_env(scenario, settings, 0, preferences=True)
    blind = build_model("maskable-ppo", env, settings, seed=0, policy=BlindPolicy).policy
    sighted = build_model("maskable-ppo", env, settings, seed=0).policy
    names = [feature.name for feature in schema(env.parts[0].simulator.tables.enter.shape[1])]
    seen = torch.from_numpy(env.reset())
    other = seen.clone()
    other[:, [names.index(name) for name in QUEUE_AND_LOAD]] += 0.3

    with torch.no_grad():
        for part in ("actor", "critic"):
            assert torch.equal(getattr(blind, part)(seen), getattr(blind, part)(other))
            assert not torch.equal(getattr(sighted, part)(seen), getattr(sighted, part)(other))


def test_the_plain_network_is_stable_baselines_own(
    scenario: Scenario, settings: PPOSettings
) -> None:
    env = training_env(scenario, settings, 0)
    plain = build_model("maskable-ppo", env, settings, seed=0, policy=PlainPolicy).policy
    theirs: Any = build_model("ppo", env, settings, seed=0).policy

    layers = [*theirs.mlp_extractor.policy_net, theirs.action_net]
    assert [
        (type(each), getattr(each, "weight", torch.empty(0)).shape) for each in plain.actor
    ] == [(type(each), getattr(each, "weight", torch.empty(0)).shape) for each in layers]
    for mine, other in zip(plain.actor, layers, strict=True):
        if hasattr(mine, "weight"):
            norms = [torch.linalg.matrix_norm(each.weight, 2).item() for each in (mine, other)]
            assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_one_scale_divides_every_load_alike() -> None:
    scale = OneScale(4, 0.9)
    rewards = np.array([-1.0, -1.0, -9.0, -9.0])
    for _ in range(50):
        scaled = scale(rewards, np.zeros(4, bool), np.array([0, 0, 5, 5]))
    np.testing.assert_allclose(scaled / scaled[0], rewards / rewards[0], rtol=1e-6)
