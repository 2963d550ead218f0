"""PPO learns what a problem with a known answer asks for."""

import numpy as np
import pytest

from agents.learned import SB3Policy
from agents.mixed_env import MixedVecEnv
from agents.network import SplitPolicy
from agents.policy import Policy
from agents.ppo import build_model, load_hyperparameters
from agents.pressure import RewardScale
from agents.variants import PlainPolicy
from agents.vec_env import SplitVecEnv
from splitenv.context import Context
from splitenv.scenario import load_scenario
from splitenv.simulator import Simulator
from splitenv.state import Tables
from splitenv.tables import build_tables

REDUCED = {
    "decisions": 512,
    "load": 0.8,
    "sla.standard.deadline_s": 4.0,
    "sla.fast.deadline_s": 4.0,
    "network.shares": {"wifi": 1.0},
}
"""Deadlines so short that a wait is felt."""


def without_gain(tables: Tables) -> Tables:
    """Batch curves t(b) = b t(1), overhead included: company saves nothing."""
    members = np.arange(tables.alone.shape[-1])
    return tables._replace(
        segment_time=members * tables.segment_time[..., 1:2],
        alone=members * tables.alone[..., 1:2],
        overhead=np.zeros_like(tables.overhead),
    )


def learn(tables: Tables, network: type[SplitPolicy], decisions: int) -> Policy:
    """PPO from nothing, with the shipped settings but for smaller networks and a short horizon."""
    scenario = load_scenario("sd-mobile", REDUCED)
    small = {"environments": 128, "minibatch": 2048, "epochs": 4, "layers": (64, 64)}
    quick = {"discount": 0.9, "gae_lambda": 0.95, "learning_rate": 1e-3}
    settings = load_hyperparameters("sd-mobile").model_copy(update=small | quick)
    simulator = Simulator(scenario, settings.environments, stagger=True, tables=tables)
    env = MixedVecEnv([SplitVecEnv(simulator, RewardScale(simulator.envs, settings.discount))])
    model = build_model("maskable-ppo", env, settings, seed=0, policy=network)
    model.learn(decisions)
    policy = SB3Policy.of(model, scenario, tables=tables)
    policy.bind(Context(tables))
    return policy


def played(policy: Policy, tables: Tables, hold: int | None = None) -> tuple[float, float]:
    """Cost of a request and share held, with its own holds or with one hold for all."""
    scenario, context = load_scenario("sd-mobile", REDUCED), Context(tables)
    held_out = Simulator(scenario, 32, tables=tables)
    held_out.seed(range(32))
    held_out.reset()
    held = []
    for _ in range(scenario.decisions):
        actions = policy.act(held_out.observation, held_out.mask)
        if hold is not None:
            placement = np.asarray(tables.action_placement)[actions]
            actions = context.encode(placement, np.full(len(actions), hold))
        held.append(tables.action_hold[actions] > 0.0)
        held_out.step(actions)
    finished = held_out.finished
    return float(finished["cost"].sum() / finished["requests"].sum()), float(np.mean(held))


@pytest.fixture(scope="module")
def tables() -> Tables:
    return without_gain(build_tables(load_scenario("sd-mobile", REDUCED)))


@pytest.mark.slow
def test_where_company_saves_nothing_no_request_is_held(tables: Tables) -> None:
    _, held = played(learn(tables, PlainPolicy, 1_200_000), tables)
    assert held < 0.01


@pytest.mark.slow
def test_who_looks_closely_at_slack_takes_no_hold_that_does_harm(tables: Tables) -> None:
    policy = learn(tables, SplitPolicy, 400_000)
    own, none, shortest = (played(policy, tables, hold)[0] for hold in (None, 0, 1))
    assert shortest > 1.02 * none  # a hold does harm, where there is not plenty of time
    assert own < 1.001 * none
