"""PPO learns what a problem with a known answer asks for."""

import numpy as np
import pytest

from agents.learned import SB3Policy
from agents.mixed_env import MixedVecEnv
from agents.ppo import build_model, load_hyperparameters
from agents.pressure import RewardScale
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


@pytest.mark.slow
def test_where_company_saves_nothing_no_hold_is_taken_that_does_harm() -> None:
    scenario = load_scenario("sd-mobile", REDUCED)
    tables = without_gain(build_tables(scenario))
    context = Context(tables)
    small = {"environments": 128, "minibatch": 2048, "epochs": 4, "layers": (64, 64)}
    quick = {"discount": 0.9, "gae_lambda": 0.95, "learning_rate": 1e-3}
    settings = load_hyperparameters("sd-mobile").model_copy(update=small | quick)
    simulator = Simulator(scenario, settings.environments, stagger=True, tables=tables)
    env = MixedVecEnv([SplitVecEnv(simulator, RewardScale(simulator.envs, settings.discount))])
    model = build_model("maskable-ppo", env, settings, seed=0)
    model.learn(400_000)
    policy = SB3Policy.of(model, scenario, tables=tables)
    policy.bind(context)

    def cost(hold: int | None) -> float:
        """Of its placements, with its own holds or with one hold for all."""
        held_out = Simulator(scenario, 32, tables=tables)
        held_out.seed(range(32))
        held_out.reset()
        for _ in range(scenario.decisions):
            actions = policy.act(held_out.observation, held_out.mask)
            if hold is not None:
                placement = np.asarray(tables.action_placement)[actions]
                actions = context.encode(placement, np.full(len(actions), hold))
            held_out.step(actions)
        return float(held_out.finished["cost"].sum() / held_out.finished["requests"].sum())

    own, none, shortest = cost(None), cost(0), cost(1)
    assert shortest > 1.02 * none  # a hold does harm, where there is not plenty of time
    assert own < 1.001 * none
