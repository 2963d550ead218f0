"""Envelopes are made from play in training's worlds, and tell where the world is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from agents.envelope import WITHIN, fit, main, training_sample, watch, worlds_of_training
from agents.heuristics.latency_bound import LatencyBound
from agents.policy import Actions, Masks
from agents.ppo import load_hyperparameters, training_worlds
from splitenv.context import Context
from splitenv.runtime import BundleError
from splitenv.runtime.bundle import read_bundle
from splitenv.runtime.envelope import Envelope, Observations
from splitenv.scenario import load_scenario
from splitenv.tables import build_tables


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(build_tables(load_scenario("sd-mobile")))


def sample(context: Context, seed: int, **overrides: object) -> Observations:
    return training_sample(LatencyBound(), [load_scenario("sd-mobile", overrides)], seed)


@pytest.fixture(scope="module")
def seen(context: Context) -> Observations:
    return sample(context, 1)


def test_the_stated_share_of_the_training_sample_is_within(
    context: Context, seen: Observations
) -> None:
    envelope = Envelope(fit(seen, context), context)

    assert envelope.outside(seen).mean() == pytest.approx(1 - WITHIN, abs=1e-4)


def test_other_worlds_of_training_are_within_and_another_load_is_not(
    context: Context, seen: Observations
) -> None:
    envelope = Envelope(fit(seen, context), context)

    assert envelope.outside(sample(context, 10_000)).mean() < 2 * (1 - WITHIN)
    assert envelope.outside(sample(context, 10_000, load=9.0)).mean() > 0.5


def test_the_sample_is_of_the_loads_that_training_draws(
    context: Context, seen: Observations
) -> None:
    def spread(observations: Observations) -> float:
        return float(np.ptp(np.quantile(context.value(observations, "load_slow"), [0.05, 0.95])))

    one_load = sample(context, 1, **{"randomise.load": [1.0, 1.0]})

    assert spread(seen) > 1.5 * spread(one_load)


def test_the_worlds_are_those_of_the_run() -> None:
    scenario = load_scenario("sd-mobile")
    settings = load_hyperparameters("sd-mobile")
    record = {"settings": settings.model_dump(mode="json")}

    assert worlds_of_training(scenario, record) == training_worlds(scenario, settings)
    assert worlds_of_training(scenario, {}) == [scenario]


class Knob(LatencyBound):
    """Latency-bound, which notes at which of its margins it was played."""

    played: ClassVar[set[float]] = set()

    def at(self, margin: float) -> Knob:
        return Knob(margin=margin)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        self.played.add(self.margin)
        return super().act(observations, masks)


def test_a_knob_is_sampled_at_its_ends_and_where_it_stands(context: Context) -> None:
    training_sample(Knob(margin=0.3), [load_scenario("sd-mobile")])

    known = Knob.parameters["margin"]
    assert Knob.aggressiveness == "margin"
    assert Knob.played == {known.low, 0.3, known.high}


def test_a_policy_is_watched_where_it_was_trained_and_elsewhere(learned_bundle: Path) -> None:
    bundle = read_bundle(learned_bundle)
    short = {"decisions": 300, "load": 0.8}

    home = watch(bundle, load_scenario("sd-mobile", short), 4)
    away = watch(bundle, load_scenario("heldout/sd-mobile-h100", short), 4)

    assert home.outside < 0.2
    assert (away.outside, away.feature[:5]) == (1.0, "gain_")
    assert away.guarded == away.fallback != away.bare


def test_the_command_line_says_what_it_saw(
    learned_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--scenario", "sd-mobile", "--episodes", "2", "--set", "decisions=300"]
    main([str(learned_bundle), *arguments, "--set", "load=0.8", "--json"])

    said = json.loads(capsys.readouterr().out)

    assert said["trained_on"] == "sd-mobile"
    assert [row["scenario"] for row in said["rows"]] == ["sd-mobile"]
    assert 0 <= said["rows"][0]["outside"] <= 1
    assert said["provenance"]


def test_what_has_no_envelope_or_does_not_fit_is_one_sentence(
    learned_bundle: Path, rule_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BundleError, match="observes 46 features, and regnet-camera has"):
        watch(read_bundle(learned_bundle), load_scenario("regnet-camera"), 1)
    with pytest.raises(SystemExit) as caught:
        main([str(rule_bundle)])

    error = capsys.readouterr().err
    assert caught.value.code == 1
    assert "is a rule" in error
    assert error.count("\n") == 1
