"""Environments of several worlds side by side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from agents.capacity import capacity
from agents.mixed_env import MixedVecEnv
from agents.ppo import PPOSettings, load_hyperparameters, training_env, training_worlds
from agents.vec_env import SplitVecEnv
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile", {"decisions": 131, "load": 0.8})


@pytest.fixture(scope="module")
def settings() -> PPOSettings:
    small = {"environments": 8, "other_gpus": ((2.0, 0.5), (0.5, 1.5))}
    return load_hyperparameters("sd-mobile").model_copy(update=small)


def test_half_have_the_scenarios_own_gpus(scenario: Scenario, settings: PPOSettings) -> None:
    env = training_env(scenario, settings, 0)
    pools = [part.simulator.scenario.pool for part in env.parts]
    assert [part.num_envs for part in env.parts] == [4, 2, 2]
    assert all(np.array_equal(env.choices, part.choices) for part in env.parts)
    assert [(pool.faster, pool.company) for pool in pools] == [(1, 1), (2.0, 0.5), (0.5, 1.5)]
    alone = settings.model_copy(update={"other_gpus": ()})
    assert [part.num_envs for part in training_env(scenario, alone, 0).parts] == [8]


def test_other_gpus_are_as_busy(scenario: Scenario, settings: PPOSettings) -> None:
    busy = [world.load / capacity(world) for world in training_worlds(scenario, settings)]
    np.testing.assert_allclose(busy, busy[0])
    own = training_worlds(scenario, settings)[0]
    assert own.load == scenario.load
    assert own.load * own.randomise.load[1] == pytest.approx(
        settings.most_load * capacity(scenario)
    )


def test_every_row_is_as_in_its_part_alone(scenario: Scenario, settings: PPOSettings) -> None:
    env = training_env(scenario, settings, 3, preferences=True)
    env.seed(3)
    parts = training_env(scenario, settings, 3, preferences=True).parts
    seeds = np.array(env.seed(3), np.uint64)
    ends = np.cumsum([0, *(part.num_envs for part in parts)])
    rows = [slice(a, b) for a, b in pairwise(ends.tolist())]
    for part, own in zip(parts, rows, strict=True):
        part.simulator.seed(seeds[own])
    assert np.array_equal(env.reset(), np.concatenate([part.reset() for part in parts]))
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(160):
        choices = rng.integers(0, env.action_space.n, env.num_envs)
        seen, reward, done, infos = env.step(choices)
        masks = np.array(env.env_method("action_masks"))
        for part, own in zip(parts, rows, strict=True):
            theirs = part.step(choices[own])
            assert np.array_equal(seen[own], theirs[0])
            assert np.array_equal(reward[own], theirs[1])
            assert np.array_equal(done[own], theirs[2])
            assert [len(info) for info in infos[own]] == [len(info) for info in theirs[3]]
            assert np.array_equal(masks[own], part.action_masks())
        ended += int(done.sum())
    assert ended >= env.num_envs


def test_parts_with_other_choices_cannot_be_mixed(scenario: Scenario) -> None:
    deferred = scenario.with_overrides({"dispatch.discipline": "deferred"})
    with pytest.raises(ValueError, match="need the same spaces"):
        MixedVecEnv([SplitVecEnv(Simulator(each, 2)) for each in (scenario, deferred)])
