"""The environment keeps the contracts of Gymnasium and SB3, and says what it refuses."""

import gymnasium
import numba
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from splitenv.actions import HOLD_LEVELS
from splitenv.env import SplitInferenceEnv
from splitenv.features import schema
from splitenv.scenario import ScenarioError, held_out_names, load_scenario, scenario_names
from splitenv.settings import build_settings
from splitenv.tables import build_tables
from splitenv.truth import METRICS
from splitenv.wrappers import Levels, Shares

SHORT = {"decisions": 160, "load": 0.8}


def test_gymnasium_s_checker_has_nothing_to_say():
    made = gymnasium.make("splitenv/SplitInference-v0", overrides=SHORT)
    check_env(made.unwrapped)


def test_stable_baselines3_s_checker_has_nothing_to_say():
    sb3_check_env(SplitInferenceEnv(overrides=SHORT))


def test_made_with_the_arguments_of_the_class():
    env = gymnasium.make("splitenv/SplitInference-v0", scenario="regnet-camera", randomise=True)
    assert env.unwrapped.scenario.name == "regnet-camera"


def test_the_observation_is_the_schema_within_finite_bounds():
    env = SplitInferenceEnv(overrides=SHORT)
    features = schema(env.context.placements)
    assert env.observation_space.shape == (len(features),)
    assert env.observation_space.is_bounded()
    observation, _ = env.reset(seed=0)
    for _ in range(SHORT["decisions"]):
        assert env.observation_space.contains(observation)
        observation, *_ = env.step(int(env.action_space.sample()))


def test_the_actions_are_all_device_and_every_placement_with_every_hold():
    env = SplitInferenceEnv(overrides=SHORT)
    assert env.action_space.n == 1 + (env.context.placements - 1) * len(HOLD_LEVELS)


def test_an_episode_is_truncated_after_its_decisions_and_never_terminated():
    env = SplitInferenceEnv(overrides=SHORT)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(SHORT["decisions"])]
    assert ends == [(False, False)] * (SHORT["decisions"] - 1) + [(False, True)]


def test_reward_is_minus_the_terms_in_info():
    env = SplitInferenceEnv(overrides=SHORT)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.simulator.actions - 1)
    assert info["cost/gpu"] > 0
    assert reward == np.float32(-(info["cost/gpu"] + info["cost/violations"]))


def test_the_last_step_s_info_sums_the_episode():
    env = SplitInferenceEnv(overrides=SHORT)
    env.reset(seed=0)
    infos = [env.step(1)[4] for _ in range(SHORT["decisions"])]
    assert all("episode_metrics" not in info for info in infos[:-1])
    metrics = infos[-1]["episode_metrics"]
    assert tuple(metrics) == METRICS.names
    assert metrics["total_requests"] == SHORT["decisions"]
    assert metrics["requests"] == SHORT["decisions"] - 2 * env.scenario.warmup


def test_the_last_observation_is_of_the_time_before_the_drain():
    # All-cloud at twice what the pool can serve: much is in flight when the episode ends.
    env = SplitInferenceEnv(overrides={"decisions": 400, "load": 3.0})
    observation, _ = env.reset(seed=0)
    truncated = False
    while not truncated:
        observation, _, _, truncated, _ = env.step(env.simulator.actions - 1)
    assert env.simulator.finished[0]["drain_reward"] != 0
    assert env.context.value(observation[None], "idle_gpus")[0] == 0


def test_a_masked_action_is_carried_out_as_all_cloud_without_a_hold():
    # Low-tier devices can't run SDXL: look for a request that may only take all-cloud.
    envs = [SplitInferenceEnv("mixed-tenants") for _ in range(2)]
    for env in envs:
        env.reset(seed=0)
        while env.action_masks()[0]:
            env.step(0)
    model = envs[0].simulator.belief.clock["model"][0]
    cloud = 1 + (envs[0].context.tables.placements[model] - 2) * len(HOLD_LEVELS)
    seen = [env.step(action)[0] for env, action in zip(envs, (0, cloud), strict=True)]
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("action", [-1, 56, 1.0, "0", None, np.array([1, 2])])
def test_an_action_outside_the_space_is_refused_in_one_sentence(action):
    env = SplitInferenceEnv(overrides=SHORT)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"outside the space: an integer from 0 to 55$"):
        env.step(action)


@pytest.mark.parametrize("action", [np.int64(3), np.int32(3), np.array(3)])
def test_numpy_integers_are_actions(action):
    env = SplitInferenceEnv(overrides=SHORT)
    env.reset(seed=0)
    env.step(action)


def test_a_step_needs_a_reset_first_and_after_the_end():
    env = SplitInferenceEnv(overrides=SHORT)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)
    env.reset(seed=0)
    for _ in range(SHORT["decisions"]):
        env.step(0)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)


def test_what_reset_and_the_constructor_refuse():
    env = SplitInferenceEnv(overrides=SHORT)
    with pytest.raises(ValueError, match="no option 'age'"):
        env.reset(options={"age": 3})
    with pytest.raises(ValueError, match="seed -1 is not"):
        env.reset(seed=-1)
    with pytest.raises(ValueError, match=r"'human' is not one of ansi, rgb_array"):
        SplitInferenceEnv(render_mode="human")
    with pytest.raises(ScenarioError, match="did you mean 'sd-mobile'"):
        SplitInferenceEnv("sd-mobil")
    with pytest.raises(ScenarioError, match="there is no field 'lod'"):
        SplitInferenceEnv(overrides={"lod": 2})


def test_ansi_says_what_the_scheduler_sees_and_did():
    env = SplitInferenceEnv(overrides=SHORT, render_mode="ansi")
    env.reset(seed=0)
    assert "nothing yet" in env.render()
    env.step(env.simulator.actions - 1)
    text = env.render()
    assert len(text.splitlines()) <= 10
    for word in ("request 2 of 160", "RTT", "slack, s", "GPUs", "queue", "100% in the cloud"):
        assert word in text


@pytest.mark.parametrize("steps", [0, 1, 40])
def test_rgb_array_is_an_image(steps):
    env = SplitInferenceEnv(overrides=SHORT, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(steps):
        env.step(int(env.action_space.sample()))
    frame = env.render()
    assert frame.dtype == np.uint8
    assert frame.shape == (720, 1000, 3)
    assert frame.std() > 0


def test_levels_are_split_and_hold():
    env = Levels(SplitInferenceEnv(overrides=SHORT))
    env.reset(seed=0)
    assert env.action_space.nvec.tolist() == [12, 5]
    assert [env.action(np.array(a)) for a in ((0, 4), (1, 0), (2, 3), (11, 4))] == [0, 1, 9, 55]
    assert env.action_masks().shape == (12 + 5,)
    with pytest.raises(ValueError, match="outside the space"):
        env.step(np.array([12, 0]))


def test_shares_mean_the_nearest_split_and_hold():
    env = Shares(SplitInferenceEnv(overrides=SHORT))
    env.reset(seed=0)
    shares = ((0.0, 1.0), (1.0, 0.0), (0.99, 0.7), (0.11, 0.05))
    assert [env.action(np.array(a, np.float32)) for a in shares] == [0, 51, 55, 1]
    with pytest.raises(ValueError, match="outside the space"):
        env.step(np.array([1.5, 0.0], np.float32))


def test_every_scenario_runs_on_the_one_compiled_kernel():
    # Another dtype or memory layout in one of them would cost a second compilation, of a minute.
    kinds = set()
    for name in [*scenario_names(), *held_out_names()]:
        scenario = load_scenario(name)
        for randomise in (False, True):
            settings = build_settings(scenario, randomise)
            kinds.add((numba.typeof(build_tables(scenario)), numba.typeof(settings)))
    assert len(kinds) == 1
