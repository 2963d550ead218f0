import numpy as np
import pytest
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from agents.vec_env import SplitVecEnv, training_seeds
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

ENVS = 5


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile", {"decisions": 131, "load": 0.8})


def build(scenario: Scenario, stagger: bool = True) -> SplitVecEnv:
    env = SplitVecEnv(Simulator(scenario, ENVS, randomise=True, stagger=stagger))
    env.seed(3)
    return env


def random_actions(env: SplitVecEnv, steps: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, env.simulator.actions, (steps, ENVS))


def test_rows_are_the_simulators_own(scenario: Scenario) -> None:
    env = build(scenario)
    alone = Simulator(scenario, ENVS, randomise=True, stagger=True)
    alone.seed(training_seeds(3, ENVS))
    alone.reset()
    assert np.array_equal(env.reset(), alone.observation)
    for actions in random_actions(env, 300):
        observation, reward, done, _ = env.step(actions)
        alone.step(actions)
        assert np.array_equal(observation, alone.observation)
        assert np.array_equal(reward, alone.reward)
        assert np.array_equal(done, alone.truncated)


def test_an_ended_row_tells_its_last_observation_and_that_time_ran_out(scenario: Scenario) -> None:
    env = build(scenario)
    env.reset()
    ended = 0
    for actions in random_actions(env, 300):
        _, _, done, infos = env.step(actions)
        for row, info in enumerate(infos):
            if done[row]:
                ended += 1
                assert info["TimeLimit.truncated"] is True
                last = env.simulator.final_observation[row]
                assert np.array_equal(info["terminal_observation"], last)
            else:
                assert info == {}
    assert ended >= 2 * ENVS


def test_an_episodes_return_and_length_are_those_of_its_steps(scenario: Scenario) -> None:
    env = build(scenario)
    env.reset()
    returns, lengths = np.zeros(ENVS), np.zeros(ENVS, int)
    for actions in random_actions(env, 300):
        _, reward, done, infos = env.step(actions)
        returns += reward
        lengths += 1
        for row in np.flatnonzero(done):
            assert infos[row]["episode"]["r"] == pytest.approx(returns[row], rel=1e-5)
            assert infos[row]["episode"]["l"] == lengths[row]
            assert infos[row]["episode"]["total_requests"] == lengths[row]
            returns[row], lengths[row] = 0, 0


def test_what_is_handed_out_is_not_overwritten_by_the_next_step(scenario: Scenario) -> None:
    env = build(scenario, stagger=False)
    first = env.reset()
    kept = first.copy()
    masks = env.action_masks()
    kept_masks = masks.copy()
    _, reward, _, _ = env.step(np.zeros(ENVS, int))
    kept_reward = reward.copy()
    env.step(np.ones(ENVS, int))
    assert np.array_equal(first, kept)
    assert np.array_equal(masks, kept_masks)
    assert np.array_equal(reward, kept_reward)


def test_sb3_contrib_gets_the_masks(scenario: Scenario) -> None:
    env = build(scenario)
    env.reset()
    assert is_masking_supported(env)
    masks = get_action_masks(env)
    assert masks.dtype == np.bool_
    assert np.array_equal(masks, env.simulator.mask)
    assert np.array_equal(env.env_method("action_masks", indices=[3, 1]), masks[[3, 1]])


def test_steps_in_which_nothing_ends_share_their_infos(scenario: Scenario) -> None:
    env = build(scenario, stagger=False)
    env.reset()
    _, _, _, infos = env.step(np.zeros(ENVS, int))
    _, _, _, again = env.step(np.zeros(ENVS, int))
    assert infos is again
    assert infos == [{}] * ENVS


def test_training_seeds_differ_by_seed_and_leave_small_ones_to_evaluation() -> None:
    seeds = training_seeds(0, 512)
    assert len(np.unique(seeds)) == 512
    assert seeds.min() >= 1 << 63
    assert not np.isin(training_seeds(1, 512), seeds).any()


def test_where_holds_do_not_count_only_placements_are_offered(scenario: Scenario) -> None:
    deferred = scenario.with_overrides({"dispatch.discipline": "deferred"})
    env = build(deferred)
    env.reset()

    assert env.action_space.n == len(env.simulator.tables.enter[0])
    assert (env.simulator.tables.action_hold[env.choices] == 0.0).all()
    placements = env.simulator.tables.action_placement[env.choices]
    assert placements.tolist() == list(range(env.action_space.n))
    assert np.array_equal(env.action_masks(), env.simulator.mask[:, env.choices])
    assert len(build(scenario).choices) == env.simulator.actions
