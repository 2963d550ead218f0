"""Many environments in one call mean what as many single ones mean."""

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from splitenv.env import SplitInferenceEnv
from splitenv.vector_env import SplitInferenceVectorEnv
from splitenv.wrappers import VectorLevels, VectorShares

SHORT = {"decisions": 140, "load": 0.8}


def random_actions(steps, rows, count, seed=0):
    return np.random.default_rng(seed).integers(0, count, (steps, rows))


def assert_same_info(mine, theirs):
    assert mine.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, dict):
            assert_same_info(mine[key], value)
        elif value.dtype == object:
            for own, other in zip(mine[key], value, strict=True):
                np.testing.assert_array_equal(own, other)
        else:
            assert mine[key].dtype == value.dtype, key
            np.testing.assert_array_equal(mine[key], value)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_steps_and_infos_are_those_of_gymnasium_s_own_vector_of_single_environments(mode):
    rows = 3
    ours = SplitInferenceVectorEnv(rows, overrides=SHORT, autoreset_mode=mode)
    theirs = SyncVectorEnv(
        [lambda: SplitInferenceEnv(overrides=SHORT)] * rows, autoreset_mode=AutoresetMode(mode)
    )
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    for actions in random_actions(2 * SHORT["decisions"] + 3, rows, 56):
        *mine, info = ours.step(actions)
        *other, other_info = theirs.step(actions)
        for own, expected in zip(mine, other, strict=True):
            np.testing.assert_array_equal(own, expected)
        assert_same_info(info, other_info)


@pytest.mark.parametrize("randomise", [False, True])
def test_a_row_of_1024_is_the_environment_alone_byte_for_byte(randomise):
    row = 700
    many = SplitInferenceVectorEnv(1024, overrides=SHORT, randomise=randomise)
    one = SplitInferenceEnv(overrides=SHORT, randomise=randomise)
    seen = [many.reset(seed=11)[0][row].tobytes()]
    alone = [one.reset(seed=11 + row)[0].tobytes()]
    for actions in random_actions(2 * SHORT["decisions"] + 5, 1024, 56):
        observation, reward, _, truncated, info = many.step(actions)
        last, own_reward, _, own_truncated, _ = one.step(actions[row])
        if own_truncated:
            assert info["final_obs"][row].tobytes() == last.tobytes()
            last, _ = one.reset()
        seen.append((observation[row].tobytes(), float(reward[row]), bool(truncated[row])))
        alone.append((last.tobytes(), own_reward, own_truncated))
        assert many.action_masks()[row].tobytes() == one.action_masks().tobytes()
    assert seen == alone


def test_two_threads_give_the_bytes_of_one():
    one = SplitInferenceVectorEnv(9, overrides=SHORT)
    two = SplitInferenceVectorEnv(9, overrides=SHORT, threads=2)
    assert one.reset(seed=1)[0].tobytes() == two.reset(seed=1)[0].tobytes()
    for actions in random_actions(SHORT["decisions"] + 5, 9, 56):
        for mine, other in zip(one.step(actions)[:4], two.step(actions)[:4], strict=True):
            assert mine.tobytes() == other.tobytes()


def test_same_step_shows_the_next_episode_and_keeps_the_last_observation_in_info():
    env = SplitInferenceVectorEnv(2, overrides=SHORT)
    env.reset(seed=0)
    for actions in random_actions(SHORT["decisions"], 2, 56):
        observation, _, _, truncated, info = env.step(actions)
    assert truncated.all()
    assert info["_final_obs"].all()
    assert not np.array_equal(info["final_obs"][0], observation[0])
    assert info["final_info"]["episode_metrics"]["total_requests"].tolist() == [140, 140]
    assert not env.step([0, 0])[3].any()


def test_next_step_shows_the_last_observation_then_ignores_an_action_and_pays_nothing():
    env = SplitInferenceVectorEnv(2, overrides=SHORT, autoreset_mode=AutoresetMode.NEXT_STEP)
    twin = SplitInferenceVectorEnv(2, overrides=SHORT, autoreset_mode=AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    twin.reset(seed=0)
    for actions in random_actions(SHORT["decisions"], 2, 56):
        last, _, _, truncated, info = env.step(actions)
        fresh, _, _, _, twin_info = twin.step(actions)
    assert truncated.all()
    assert "final_obs" not in info
    np.testing.assert_array_equal(last, np.stack(twin_info["final_obs"]))
    first, reward, _, truncated, info = env.step([55, 55])
    np.testing.assert_array_equal(first, fresh)
    assert not reward.any()
    assert not truncated.any()
    assert info == {}


def test_staggered_environments_end_their_first_episode_at_different_ages():
    env = SplitInferenceVectorEnv(32, overrides=SHORT, stagger=True)
    env.reset(seed=0)
    ends = np.array([env.step(np.zeros(32, int))[3] for _ in range(SHORT["decisions"])])
    first = ends.argmax(axis=0)
    assert ends.any(axis=0).all()
    assert len(set(first.tolist())) > 16


def test_what_is_returned_is_the_caller_s_to_keep():
    env = SplitInferenceVectorEnv(2, overrides=SHORT)
    kept = [env.reset(seed=0)[0], env.action_masks(), *env.step([3, 4])[:4]]
    bytes_then = [array.tobytes() for array in kept]
    for actions in random_actions(20, 2, 56):
        env.step(actions)
    assert [array.tobytes() for array in kept] == bytes_then


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", AutoresetMode.NEXT_STEP])
def test_made_by_gymnasium_with_its_vector_entry_point(mode):
    env = gymnasium.make_vec(
        "splitenv/SplitInference-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        scenario="sd-mobile",
        overrides=SHORT,
        autoreset_mode=mode,
    )
    assert isinstance(env, SplitInferenceVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode(mode)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.step(env.action_space.sample())[0].shape == (3, 46)
    assert env.action_masks().shape == (3, 56)


def test_gymnasium_s_vector_wrappers_take_it_in_next_step_mode():
    env = SplitInferenceVectorEnv(2, overrides=SHORT, autoreset_mode="NextStep")
    wrapped = gymnasium.wrappers.vector.RescaleObservation(env, np.float32(0), np.float32(1))
    assert wrapped.reset(seed=0)[0].min() >= 0


def test_levels_and_shares_of_a_batch_are_those_of_each_row():
    levels = VectorLevels(SplitInferenceVectorEnv(3, overrides=SHORT))
    levels.reset(seed=0)
    assert levels.actions(np.array([[0, 4], [1, 0], [11, 4]])).tolist() == [0, 1, 55]
    assert levels.action_masks().shape == (3, 12 + 5)
    shares = VectorShares(SplitInferenceVectorEnv(3, overrides=SHORT))
    shares.reset(seed=0)
    wanted = np.array([[0.0, 1.0], [1.0, 0.0], [0.99, 0.7]], np.float32)
    assert shares.actions(wanted).tolist() == [0, 51, 55]
    shares.step(wanted)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="must be 'SameStep' or 'NextStep'"):
        SplitInferenceVectorEnv(2, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        SplitInferenceVectorEnv(0)
    with pytest.raises(ValueError, match="override decisions, which is 140"):
        SplitInferenceVectorEnv(2, overrides=SHORT, max_episode_steps=10)
    env = SplitInferenceVectorEnv(2, overrides=SHORT)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step([0, 0])
    with pytest.raises(ValueError, match="expected 2 seeds, one a row, got 3"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="no option 'reset_mask'"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action 56 of row 1 is outside the space"):
        env.step([0, 56])
    with pytest.raises(ValueError, match="must be 2 integers, one a row, got float64"):
        env.step([0.0, 1.0])
