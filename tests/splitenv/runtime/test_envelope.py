"""The envelope: how far an observation lies outside what a policy was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from splitenv.context import Context
from splitenv.runtime import BundleError
from splitenv.runtime.bundle import read_bundle, write_bundle
from splitenv.runtime.envelope import NARROWEST, Envelope
from splitenv.runtime.manifest import EnvelopeEntry, Ranges
from splitenv.scenario import load_scenario
from splitenv.tables import build_tables

REACH = 0.25


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(build_tables(load_scenario("sd-mobile")))


@pytest.fixture(scope="module")
def envelope(context: Context) -> Envelope:
    """Every feature from 0.2 to 0.6 under the first SLA class; the second was never seen."""
    width = len(context.features)
    kind = Ranges(model=0, sla=0, low=[0.2] * width, high=[0.6] * width)
    entry = EnvelopeEntry(kinds=[kind], levels=(0.01, 0.99), reach=REACH, within=0.9, rows=100)
    return Envelope(entry, context)


def observation(context: Context, sla: int = 0, **features: float) -> npt.NDArray[np.float32]:
    """Everything in the middle but for the features named; the first model has index 0."""
    names = [feature.name for feature in context.features]
    row = np.full((1, len(names)), 0.4, np.float32)
    row[0, names.index("model")] = 0.2
    row[0, names.index("sla")] = 0.2 if sla == 0 else 0.5
    for name, value in features.items():
        row[0, names.index(name)] = value
    return row


def test_what_is_in_every_range_has_no_distance(envelope: Envelope, context: Context) -> None:
    assert not envelope.distances(observation(context)).any()
    assert not envelope.outside(observation(context))[0]


@pytest.mark.parametrize(("value", "distance"), [(0.1, 0.25), (0.8, 0.5), (0.6, 0.0)])
def test_the_distance_is_in_widths_of_the_feature_s_range(
    envelope: Envelope, context: Context, value: float, distance: float
) -> None:
    column = [feature.name for feature in context.features].index("load_slow")

    found = envelope.distances(observation(context, load_slow=value))[0]

    assert found[column] == pytest.approx(distance, abs=1e-6)
    assert np.delete(found, column).max() == 0.0


def test_it_is_outside_beyond_the_reach_of_training(envelope: Envelope, context: Context) -> None:
    assert not envelope.outside(observation(context, load_slow=0.69))[0]
    assert envelope.outside(observation(context, load_slow=0.71))[0]


def test_one_strange_feature_is_enough_and_rows_are_judged_apart(
    envelope: Envelope, context: Context
) -> None:
    rows = np.concatenate([observation(context), observation(context, load_slow=0.9)])

    assert envelope.outside(rows).tolist() == [False, True]


def test_a_kind_of_request_that_training_never_saw_is_outside(
    envelope: Envelope, context: Context
) -> None:
    assert envelope.outside(observation(context, sla=1))[0]


def test_what_training_held_constant_has_little_room(context: Context) -> None:
    width = len(context.features)
    kind = Ranges(model=0, sla=0, low=[0.4] * width, high=[0.4] * width)
    entry = EnvelopeEntry(kinds=[kind], levels=(0.01, 0.99), reach=1.0, within=0.9, rows=100)
    constant = Envelope(entry, context)
    column = [feature.name for feature in context.features].index("gain_4")

    found = constant.distances(observation(context, gain_4=0.4 + 3 * NARROWEST))[0, column]

    assert found == pytest.approx(3.0, rel=1e-4)


def test_a_learned_bundle_carries_its_envelope_and_a_rule_none(
    learned_bundle: Path, rule_bundle: Path
) -> None:
    learned = read_bundle(learned_bundle)

    assert learned.envelope() is not None
    assert learned.manifest.envelope is not None
    assert len(learned.manifest.envelope.kinds) == len(learned.manifest.names.sla)
    assert read_bundle(rule_bundle).envelope() is None


@pytest.mark.parametrize("wrong", [{"sla": 2}, {"model": 1}, {"low": [0.0], "high": [1.0]}])
def test_an_envelope_of_something_else_is_refused(
    learned_bundle: Path, tmp_path: Path, wrong: dict[str, object]
) -> None:
    bundle = read_bundle(learned_bundle)
    assert bundle.manifest.envelope is not None
    kind = bundle.manifest.envelope.kinds[0].model_copy(update=wrong)
    entry = bundle.manifest.envelope.model_copy(update={"kinds": [kind]})
    manifest = bundle.manifest.model_copy(update={"envelope": entry})
    write_bundle(tmp_path / "b", replace(bundle, manifest=manifest))

    with pytest.raises(BundleError, match="its envelope is of other models, SLA classes or feat"):
        read_bundle(tmp_path / "b")


def test_a_learned_bundle_without_an_envelope_is_refused(
    learned_bundle: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(learned_bundle)
    manifest = bundle.manifest.model_copy(update={"envelope": None})
    write_bundle(tmp_path / "b", replace(bundle, manifest=manifest))

    with pytest.raises(BundleError, match="envelope: is to be there for kind learned"):
        read_bundle(tmp_path / "b")


def test_ranges_go_from_low_to_high() -> None:
    with pytest.raises(ValidationError, match="low never above high"):
        Ranges(model=0, sla=0, low=[0.5], high=[0.4])
