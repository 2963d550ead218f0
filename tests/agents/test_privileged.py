"""What the critic is shown of the world, and the actor is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.learned import SB3Policy
from agents.ppo import PPOSettings, build_model, load_hyperparameters, training_env
from agents.pressure import PRICES, STRATA
from agents.privileged import FACTORS, PRIVILEGED
from splitenv.context import Context
from splitenv.scenario import Scenario, load_scenario

LOAD, RATE, LINKS, DEVICES, FASTER, COMPANY = range(FACTORS)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("flash-crowd", {"decisions": 140, "randomise.bandwidth": [0.5, 2.0]})


@pytest.fixture(scope="module")
def settings() -> PPOSettings:
    small = {"environments": 16, "other_gpus": ((2.0, 0.5),), "layers": (16,), "width": 8}
    return load_hyperparameters("flash-crowd").model_copy(update=small)


def unbent(columns: Any) -> Any:
    return columns / (1.0 - np.abs(columns))


def test_columns_are_the_episodes_own_load_rate_links_devices_and_gpus(
    scenario: Scenario, settings: PPOSettings
) -> None:
    env = training_env(scenario, settings, 0, preferences=True, privileged=True)
    seen = env.reset()
    own, other = env.parts
    crowds = 0
    for _ in range(200):
        factors = unbent(seen[:, -PRIVILEGED:-STRATA].astype(float))
        for part, rows in ((own, slice(0, 8)), (other, slice(8, 16))):
            world, nominal = part.simulator.truth.world, part.simulator.scenario.load
            gpus = part.simulator.belief.clock["gpus"]
            expected = [
                np.log(world["load"] / gpus / nominal),
                np.log(world["rate"] / world["load"]),
                np.log(world["bandwidth"]),
                np.log(world["device_speed"]),
            ]
            np.testing.assert_allclose(factors[rows, : DEVICES + 1].T, expected, atol=1e-5)
            crowds += np.sum(world["rate"] > 1.5 * world["load"])
        np.testing.assert_allclose(factors[:8, FASTER:], 0.0)
        np.testing.assert_allclose(factors[8:, FASTER:], [[np.log(2.0), -0.5]] * 8, rtol=1e-5)
        load, price = np.divmod(seen[:, -STRATA:].argmax(1), PRICES)
        assert np.array_equal(load, np.concatenate([part.bands() for part in env.parts]))
        drawn = (1.0 + seen[:, -PRIVILEGED - 1]) / 2.0 * PRICES  # the knob is shown before these
        assert np.array_equal(price, drawn.astype(int))
        seen = env.step(np.zeros(16, int))[0]
    assert crowds > 0


def test_an_ended_row_still_tells_of_the_episode_that_ended(
    scenario: Scenario, settings: PPOSettings
) -> None:
    env = training_env(scenario, settings, 0, preferences=True, privileged=True)
    before = env.reset()
    ended = 0
    for _ in range(320):
        seen, _, done, infos = env.step(np.zeros(16, int))
        for row in np.flatnonzero(done):
            last = infos[row]["terminal_observation"]
            assert last.shape == seen[row].shape
            columns = [LOAD, LINKS, DEVICES, *range(FACTORS, PRIVILEGED)]
            told = [each[-PRIVILEGED:][columns] for each in (last, before[row], seen[row])]
            assert np.array_equal(told[0], told[1])
            ended += not np.array_equal(told[0], told[2])
        before = seen
    assert ended > 16


def test_the_actor_does_not_see_them_and_the_critic_does(
    scenario: Scenario, settings: PPOSettings
) -> None:
    env = training_env(scenario, settings, 0, preferences=True, privileged=True)
    model = build_model("maskable-ppo", env, settings, seed=0)
    seen = torch.from_numpy(env.reset())
    other = seen.clone()
    other[:, -PRIVILEGED:] *= -1.0
    with torch.no_grad():
        assert torch.equal(model.policy.log_odds(seen, None), model.policy.log_odds(other, None))
        assert not torch.equal(
            model.policy.predict_values(seen), model.policy.predict_values(other)
        )

    own = env.parts[0].simulator
    policy = SB3Policy.of(model, scenario)
    policy.bind(Context(own.tables))  # what is deployed takes the observation alone
    assert policy.act(own.observation, own.mask).shape == (8,)


def test_recorded_arrivals_have_the_rate_of_their_load(tmp_path: Path) -> None:
    recorded = tmp_path / "arrivals.csv"
    recorded.write_text("t_s\n0\n1\n1.5\n4\n")
    scenario = load_scenario("sd-mobile", {"arrivals": str(recorded)})
    settings = load_hyperparameters("sd-mobile").model_copy(update={"environments": 4})
    env = training_env(scenario, settings, 0, privileged=True)
    assert np.all(env.reset()[:, -PRIVILEGED + RATE] == 0.0)
