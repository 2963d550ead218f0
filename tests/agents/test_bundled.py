"""Bundles as policies."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agents.bundled import FOLDER, load_bundled
from agents.export import export
from agents.learned import SB3Policy
from agents.ppo import build_model, load_hyperparameters, training_env
from agents.registry import PolicyError, make_policy
from agents.suite import settings_of
from agents.tuned_files import starting_rule
from splitenv.context import Context
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator
from splitenv.tables import build_tables


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return make_policy("joint-greedy+symphony").under(load_scenario("sd-mobile"))


@pytest.fixture(scope="module")
def policy(scenario: Scenario) -> SB3Policy:
    settings = load_hyperparameters("sd-mobile").model_copy(update={"environments": 1})
    env = training_env(scenario, settings, 0, preferences=True)
    model = build_model("maskable-ppo", env, settings, 0)
    with torch.no_grad():
        model.policy.actor.own.weight *= 300.0
    return SB3Policy.of(model, scenario).at(2.0)


@pytest.fixture(scope="module")
def folder(policy: SB3Policy, scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "b"
    export(policy, scenario, folder)
    return folder


def test_a_bundle_decides_as_the_policy_that_it_was_made_of(
    folder: Path, policy: SB3Policy, scenario: Scenario
) -> None:
    bundled = make_policy(f"bundle:{folder}")
    assert bundled.dispatch(load_scenario("sd-mobile")) == scenario.dispatch
    simulator = Simulator(scenario, 16)
    context = Context(simulator.tables)
    bundled.bind(context)
    policy.bind(context)
    simulator.seed(range(16))
    simulator.reset()
    for _ in range(20):
        actions = bundled.act(simulator.observation, simulator.mask)
        same = actions == policy.act(simulator.observation, simulator.mask)
        assert same.mean() > 0.99  # near ties apart
        simulator.step(actions)


def test_its_knob_is_swept_as_a_rules_parameter(folder: Path) -> None:
    specs, own = settings_of(f"bundle:{folder}", 5)
    assert len(specs) == 5
    assert specs[0] == f"bundle:{folder}:knob=-1.0"
    assert specs[-1] == f"bundle:{folder}:knob=1.0"
    assert make_policy(specs[own]).describe() == make_policy(f"bundle:{folder}").describe()
    cheap, strict = make_policy(specs[0]), make_policy(specs[-1])
    assert cheap.fingerprint() == strict.fingerprint()
    tables = build_tables(load_scenario("sd-mobile"))
    for each in (cheap, strict):
        each.bind(Context(tables))
    seen = np.random.default_rng(0).uniform(-0.2, 0.4, (64, len(each.context.features)))
    masks = np.ones((64, each.context.actions), bool)
    assert (cheap.act(seen, masks) != strict.act(seen, masks)).any()


def test_what_cannot_be_used_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="there is no such folder"):
        make_policy(f"bundle:{tmp_path / 'none'}")
    with pytest.raises(PolicyError, match="takes knob=NUMBER only, got margin"):
        make_policy(f"bundle:{folder}:margin=1")
    with pytest.raises(PolicyError, match="knob"):
        make_policy(f"bundle:{folder}:knob=3")
    with pytest.raises(PolicyError, match="was made for"):
        load_bundled(str(folder), {}).bind(Context(build_tables(load_scenario("regnet-camera"))))
    export(make_policy("all-cloud"), load_scenario("sd-mobile"), tmp_path / "rule")
    with pytest.raises(PolicyError, match="is the rule all-cloud: name that instead"):
        make_policy(f"bundle:{tmp_path / 'rule'}")


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_every_shipped_bundle_is_whole_and_fits_its_scenario(name: str) -> None:
    shipped = make_policy(f"bundle:{name}")
    scenario = load_scenario(name)
    shipped.bind(Context(build_tables(shipped.under(scenario))))
    assert shipped.aggressiveness == "knob"
    rule = starting_rule(name)
    assert rule is not None
    assert shipped.dispatch(scenario) == make_policy(rule).dispatch(scenario)
