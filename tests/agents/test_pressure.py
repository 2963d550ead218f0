"""What violations cost a learner."""

import numpy as np
import pytest

from agents.pressure import (
    BANDS,
    CAP,
    PRICES,
    SHORT,
    Constraint,
    LoadBands,
    Preferences,
    RewardScale,
    allowed_violations,
    knob_of,
    tier_of_device,
    tiers,
)
from agents.vec_env import SplitVecEnv
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

ENVS = 12
LIMITS = (0.25, 16.0)


class Unforgetting(RewardScale):
    """Whose deviation is that of all returns so far."""

    KEPT = 1.0


class Attentive(Constraint):
    """To whom few requests say something, and who keeps them."""

    FEWEST = 20.0
    KEPT = 1.0


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(
        "sd-mobile", {"decisions": 131, "load": 0.8, "randomise.load": [0.25, 2.0]}
    )


def build(scenario: Scenario) -> Simulator:
    simulator = Simulator(scenario, ENVS, randomise=True)
    simulator.seed(range(ENVS))
    return simulator


def test_each_stratum_is_scaled_by_the_deviation_of_its_own_returns() -> None:
    rng = np.random.default_rng(1)
    scale = Unforgetting(2, discount=0.9)
    running, seen = np.zeros(2), []
    for step in range(50):
        reward = rng.normal((-3.0, -30.0), (2.0, 20.0))
        ended = np.full(2, step % 7 == 0)
        running = running * 0.9 + reward
        seen.append(running)
        running = np.where(ended, 0.0, running)
        scaled = scale(reward, ended, np.array([0, 4]))
        if step > 5:
            np.testing.assert_allclose(scaled, reward / np.std(seen, axis=0), rtol=1e-5)


def test_bands_are_equally_wide_in_the_logarithm_of_load_per_gpu(scenario: Scenario) -> None:
    simulator = build(scenario)
    simulator.reset()
    bands = LoadBands(simulator)
    low, high = simulator.settings.load
    simulator.truth.world["load"] = np.geomspace(low, high, ENVS)
    assert bands().tolist() == sorted(np.tile(np.arange(BANDS), ENVS // BANDS).tolist())


def test_strata_are_bands_of_load_times_bands_of_price(scenario: Scenario) -> None:
    simulator = build(scenario)
    env = SplitVecEnv(simulator, preferences=Preferences(simulator, (5,), LIMITS))
    env.reset()
    low, high = np.log(LIMITS)
    dear = (np.log(simulator.truth.stake["premium"][:, 0]) - low) / (high - low)
    assert env.strata().tolist() == (env.bands() * PRICES + np.floor(PRICES * dear)).tolist()
    assert len(set(env.strata() % PRICES)) == PRICES
    plain = SplitVecEnv(build(scenario))
    plain.reset()
    assert plain.strata().tolist() == (plain.bands() * PRICES).tolist()


def constrained(scenario: Scenario, allowed: float) -> tuple[SplitVecEnv, Constraint]:
    simulator = build(scenario)
    wanted = np.full(len(tiers(simulator)), allowed)
    constraint = Attentive(simulator, LoadBands(simulator), wanted)
    return SplitVecEnv(simulator, constraint=constraint), constraint


def play(env: SplitVecEnv, steps: int, action: int) -> float:
    env.reset()
    return float(
        sum(env.step(np.full(ENVS, action))[1].sum() for _ in range(steps))
    )  # fmt: skip


def test_too_many_violations_make_them_dearer_and_too_few_cheaper(scenario: Scenario) -> None:
    env, strict = constrained(scenario, allowed=0.0)
    play(env, 260, action=0)  # all-device: slow phones are late
    strict.update()
    late = strict.attainment() < 0.9
    assert late.any()
    assert (strict.multiplier[late] > 1.0).all()

    env, lax = constrained(scenario, allowed=1.0)
    play(env, 260, action=0)
    lax.update()
    some = lax.attainment() > 0.0
    assert some.any()
    assert (lax.multiplier[some] < 1.0).all()
    assert (lax.multiplier[np.isnan(lax.attainment())] == 1.0).all()


def test_multipliers_stay_within_the_cap_and_leave_it_at_once(scenario: Scenario) -> None:
    env, constraint = constrained(scenario, allowed=0.0)
    play(env, 260, action=0)
    for _ in range(200):
        constraint.requests[:] = 1000.0
        constraint.violations[:] = 900.0
        constraint.update()
    assert (constraint.multiplier == CAP).all()
    constraint.allowed[:] = 1.0
    constraint.requests[:] = 1000.0
    constraint.update()
    assert (constraint.multiplier < CAP).all()


def test_each_episode_is_charged_what_its_band_and_tiers_have(scenario: Scenario) -> None:
    env, constraint = constrained(scenario, allowed=0.1)
    env.reset()
    constraint.multiplier[:] = 1.0 + np.arange(constraint.multiplier.size).reshape(BANDS, -1)
    constraint.reset()
    premium = env.simulator.truth.stake["premium"]
    tier = tier_of_device(env.simulator)
    expected = constraint.multiplier[env.bands()][:, tier]
    np.testing.assert_array_equal(premium, np.minimum(expected, premium.max()))


def test_every_request_that_ended_is_counted_once(scenario: Scenario) -> None:
    env, constraint = constrained(scenario, allowed=0.1)
    env.reset()
    for _ in range(131):  # one whole episode in every row, the drain included
        env.step(np.full(ENVS, env.simulator.actions - 1))
    constraint.update()
    assert constraint.requests.sum() == ENVS * 131


def test_premiums_weigh_rewards_and_not_the_accounting(scenario: Scenario) -> None:
    plain, dear = build(scenario), build(scenario)
    for simulator in (plain, dear):
        simulator.reset()
    dear.truth.stake["premium"] = 3.0
    actions = np.zeros(ENVS, np.int64)
    for _ in range(scenario.decisions):
        plain.step(actions)
        dear.step(actions)
        np.testing.assert_array_equal(dear.terms[:, 1], 3.0 * plain.terms[:, 1])
        np.testing.assert_array_equal(dear.terms[:, 0], plain.terms[:, 0])
    np.testing.assert_array_equal(dear.finished["total_cost"], plain.finished["total_cost"])


def test_what_cannot_be_had_is_not_asked_for(scenario: Scenario) -> None:
    simulator = build(scenario)
    easy = allowed_violations(simulator, 0.5, episodes=4)
    np.testing.assert_allclose(easy, 0.5)
    hard = allowed_violations(simulator, 1.0, episodes=4)
    assert (hard >= SHORT).all()


def test_preferences_are_drawn_anew_for_every_episode_and_shown(scenario: Scenario) -> None:
    simulator = build(scenario)
    preferences = Preferences(simulator, (5,), LIMITS)
    env = SplitVecEnv(simulator, preferences=preferences)
    first = env.reset()
    premium = simulator.truth.stake["premium"].copy()
    low, high = LIMITS
    assert ((premium >= low) & (premium <= high)).all()
    assert len(np.unique(premium[:, 0])) == ENVS
    expected = [knob_of(value, LIMITS) for value in premium[:, 0]]
    np.testing.assert_allclose(first[:, -1], expected, atol=1e-6)
    for _ in range(131):
        observation, _, ended, infos = env.step(np.zeros(ENVS, int))
    assert ended.all()
    for row in range(ENVS):
        assert infos[row]["terminal_observation"][-1] == first[row, -1]
    assert (observation[:, -1] != first[:, -1]).all()

    again = SplitVecEnv(build(scenario), preferences=Preferences(simulator, (5,), LIMITS))
    again.simulator.reset()
    assert (knob_of(low, LIMITS), knob_of(high, LIMITS)) == (-1.0, 1.0)


def test_rewards_are_divided_by_one_plus_lambda(scenario: Scenario) -> None:
    simulator = build(scenario)
    env = SplitVecEnv(simulator, preferences=Preferences(simulator, (5,), LIMITS))
    env.reset()
    price = simulator.tables.violation_price
    for _ in range(20):
        _, reward, _, _ = env.step(np.zeros(ENVS, int))
        lambdas = price * simulator.truth.stake["premium"][:, 0]
        expected = -simulator.terms.sum(axis=1) / (1.0 + lambdas)
        np.testing.assert_allclose(reward, expected, rtol=1e-5)
