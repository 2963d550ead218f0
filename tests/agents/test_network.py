"""The learned scheduler's network and how it starts."""

from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation import CUT, _returns, choice_of_action, imitate
from agents.learned import SB3Policy
from agents.network import MASKED, Layout, SplitPolicy, Whole
from agents.policy import Policy
from agents.ppo import PPOSettings, build_model, load_hyperparameters, training_env
from agents.registry import make_policy
from agents.vec_env import SplitVecEnv
from splitenv.context import Context
from splitenv.scenario import Scenario, load_scenario

RULE = "joint-greedy+symphony"


@pytest.fixture(scope="module")
def rule() -> Policy:
    return make_policy(RULE)


@pytest.fixture(scope="module")
def scenario(rule: Policy) -> Scenario:
    return rule.under(load_scenario("sd-mobile", {"decisions": 400}))


@pytest.fixture(scope="module")
def settings() -> PPOSettings:
    small = {"environments": 32, "other_gpus": (), "layers": (32,), "width": 16}
    return load_hyperparameters("sd-mobile").model_copy(update=small)


def build(scenario: Scenario, settings: PPOSettings, **others: Any) -> tuple[Any, SplitVecEnv]:
    env = training_env(scenario, settings, 0, **others)
    return build_model("maskable-ppo", env, settings, seed=0), env.parts[0]


def test_only_possible_choices_are_drawn_and_by_their_odds(
    scenario: Scenario, settings: PPOSettings
) -> None:
    model, env = build(scenario, settings)
    policy = model.policy
    assert isinstance(policy, SplitPolicy)
    seen = torch.from_numpy(np.repeat(env.reset()[:1], 20_000, axis=0))
    masks = np.zeros((20_000, len(env.choices)), bool)
    masks[:, [2, 5, 7]] = True
    with torch.no_grad():
        policy.actor.own.bias[5] += 1.0
        drawn, values, odds = policy(seen, action_masks=masks)
        again, same, entropy = policy.evaluate_actions(seen, drawn, torch.from_numpy(masks))
    counts = np.bincount(drawn.numpy(), minlength=len(env.choices)) / 20_000
    expected = policy.log_odds(seen[:1], masks[:1]).exp().detach().numpy()[0]
    assert set(drawn.tolist()) == {2, 5, 7}
    np.testing.assert_allclose(counts, expected, atol=0.015)
    assert values.shape == again.shape == (20_000, 1)
    torch.testing.assert_close(same, odds)
    shares = expected[expected > 1e-6]
    assert float(entropy[0]) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-4)


def test_slack_is_weighed_against_the_device_and_link_time_of_its_placement(
    scenario: Scenario, settings: PPOSettings
) -> None:
    model, _ = build(scenario, settings)
    places = model.policy.actor.placements
    slack = torch.full((1, places), 0.2)  # a quarter of a deadline
    slack[0, 1] = -1.0  # impossible
    gpu = torch.linspace(0.0, 0.8, places)[None]
    gpu[0, 1] = 2.0
    gpu[0, 5] = 0.4  # half the model
    uncertain = torch.tensor([[0.5, 0.1]])  # a deadline and a ninth of one
    safety = model.policy.actor._safety(slack, gpu, uncertain)[0]
    assert safety[0] == pytest.approx(0.25 / (1.0 + 0.02), rel=0.05)
    assert safety[-1] == pytest.approx(0.25 / (0.111 + 0.02), rel=0.05)
    assert safety[5] == pytest.approx(0.25 / (0.5 + 0.111 + 0.02), rel=0.05)
    assert safety[1] < -10


def test_placements_share_their_weights(scenario: Scenario, settings: PPOSettings) -> None:
    """Exchanging what two placements look like exchanges their scores, their own part aside."""
    model, env = build(scenario, settings)
    actor, places = model.policy.actor, env.simulator.tables.enter.shape[1]
    seen = torch.from_numpy(env.reset())
    swapped = seen.clone()
    for first in (0, places):
        swapped[:, [first + 3, first + 6]] = seen[:, [first + 6, first + 3]]
    with torch.no_grad():
        torch.nn.init.zeros_(actor.own.weight)
        torch.nn.init.zeros_(actor.trunk[0].weight[:, : 2 * places])
        before, after = actor(seen), actor(swapped)
    torch.testing.assert_close(after[:, [3, 6]], before[:, [6, 3]])


def test_the_whole_graph_names_actions_and_never_those_that_were_not_offered() -> None:
    actor = torch.nn.Linear(3, 2, bias=False)
    whole = Whole(actor, choices=[4, 1], actions=6, knobs=torch.tensor([0.5]))
    seen = torch.tensor([[1.0, 2.0]])
    logits = whole(seen)
    expected = actor(torch.tensor([[1.0, 2.0, 0.5]]))[0]
    assert logits.shape == (1, 6)
    assert logits[0, 4] == expected[0]
    assert logits[0, 1] == expected[1]
    assert (logits[0, [0, 2, 3, 5]] == MASKED).all()


def test_holds_have_choices_of_their_own_where_they_count() -> None:
    scenario = load_scenario("sd-mobile")
    settings = load_hyperparameters("sd-mobile").model_copy(update={"environments": 2})
    _, env = build(scenario, settings)
    layout = Layout.of(Context(env.simulator.tables), env.choices, None)
    assert layout.holds == 5
    assert len(layout.column) == len(set(layout.column)) == env.simulator.actions
    assert layout.column[0] == 0  # all-device, no hold
    assert layout.column[1:7] == (5, 6, 7, 8, 9, 10)


def test_a_rules_actions_are_taken_over_without_their_holds(
    scenario: Scenario, settings: PPOSettings
) -> None:
    _, env = build(scenario, settings)
    of = choice_of_action(env)
    table = env.simulator.tables
    placement = np.asarray(table.action_placement)
    assert (placement[env.choices[of]] == placement).all()


def test_imitation_decides_as_the_rule_and_knows_what_that_earns(
    scenario: Scenario, settings: PPOSettings, rule: Policy
) -> None:
    model, env = build(scenario, settings, privileged=True)
    told: list[float] = []
    learned = imitate(model, rule, 60_000, told.append)

    assert learned["agreement"] > 0.6
    assert learned["explained_variance"] > 0.1
    assert told[-1] == pytest.approx(1.0)
    assert np.array_equal(model._last_obs, env.observation())
    policy = SB3Policy.of(model, scenario)
    assert policy.dispatch(load_scenario("sd-mobile")) == rule.dispatch(scenario)


def test_the_knob_moves_what_is_decided(scenario: Scenario, settings: PPOSettings) -> None:
    model, env = build(scenario, settings, preferences=True)
    with torch.no_grad():
        for layer in (model.policy.actor.own, model.policy.actor.head):
            layer.weight *= 300.0
        model.policy.actor.trunk[0].weight[:, model.policy.layout.features] *= 30.0  # the knob
    policy = SB3Policy.of(model, scenario)
    assert policy.aggressiveness == "preference"
    env.reset()
    acted = []
    for preference in settings.preferences:
        turned = policy.at(preference)
        turned.bind(Context(env.simulator.tables))
        acted.append(turned.act(env.simulator.observation, env.simulator.mask))
    assert (acted[0] != acted[1]).any()
    assert policy.at(2.0).describe()["parameters"] == {"preference": 2.0}


@pytest.mark.parametrize("discount", [0.9, 0.99])
def test_returns_are_known_where_nine_tenths_of_them_were_seen(discount: float) -> None:
    ends = np.zeros((1500, 2), bool)
    ends[700, 1] = True
    returns = _returns(np.ones(ends.shape), ends, discount)
    known = ~np.isnan(returns)
    whole = 1.0 / (1.0 - discount)
    assert np.all(returns[known] >= (1.0 - CUT) * whole)
    assert known[:600, 0].sum() > 300
    assert not known[-20:].any()  # cut short where the showing ends
    assert not known[681:701, 1].any()  # and where an episode does
    assert known[701:1000, 1].all()
