"""What crosses the network, and at which boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.crossings import boundaries, crossings, share_of
from agents.evaluation import counted, evaluate, play
from agents.measures import tally
from agents.registry import make_policy
from agents.statistics import resamples
from splitenv.accounting import DROPPED
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator

DROPPING: dict[str, object] = {"dispatch.late": "drop"}


def short(name: str = "sd-mobile", **overrides: object) -> Scenario:
    return load_scenario(name, {"decisions": 300, "load": 0.8, **overrides})


def played(spec: str, scenario: Scenario) -> Simulator:
    policy = make_policy(spec)
    simulator = Simulator(policy.under(scenario), 2, record=True)
    play(policy, simulator, np.arange(2))
    return simulator


def crossed(spec: str, scenario: Scenario) -> list[dict[str, Any]]:
    return crossings(tally(played(spec, scenario)), scenario, resamples(2, 0))


def shares(rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    return {(row["way"], row["boundary"]): row["share"]["value"] for row in rows}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("all-cloud", {("up", "input"): 1.0, ("down", "output"): 1.0}),
        ("all-device", {("up", "nothing"): 1.0, ("down", "nothing"): 1.0}),
    ],
)
def test_input_and_output_cross_for_the_cloud_and_nothing_for_the_device(
    spec: str, expected: dict[tuple[str, str], float]
) -> None:
    fast = short(load=0.1)

    assert shares(crossed(spec, fast)) == expected


def test_a_split_sends_what_stands_at_its_cut() -> None:
    scenario = short()
    simulator = played("fixed:ratio=0.5", scenario)
    record = counted(simulator)
    placement = int(record["placement"][0, 0])

    rows = crossings(tally(simulator), scenario, resamples(2, 0))

    (inside,) = [row for row in rows if row["kind"] == "inside"]
    assert inside["way"] == "down"
    assert inside["boundary"] == "after denoise 25"
    assert inside["bytes"] == simulator.tables.down[0, placement] == 16384 * 2
    assert inside["share"]["value"] == pytest.approx((record["placement"] == placement).mean())


def test_boundaries_are_named_by_the_unit_before_them() -> None:
    rows = [row for row in boundaries(short("regnet-camera", load=20.0)) if row["way"] == "up"]

    names = [row["boundary"] for row in rows]
    assert names[:3] == ["nothing", "input", "after block 2"]
    assert {row["kind"] for row in rows} == {"nothing", "input", "inside"}


@pytest.mark.parametrize(
    ("name", "spec"),
    [("sd-mobile", "joint-greedy"), ("mixed-tenants", "joint-greedy"), ("regnet-camera", "random")],
)
def test_shares_add_up_and_bytes_are_those_of_the_boundaries_crossed(name: str, spec: str) -> None:
    scenario = load_scenario(name, {"decisions": 1024})
    result = evaluate(make_policy(spec), scenario, 2)
    sums = result.outcomes.tally
    requests = {who: of.sum() for who, of in sums.by("tenant", "requests").items()}

    for way, quantity in (("up", "bytes_up"), ("down", "bytes_down")):
        rows = [row for row in result.crossings if row["way"] == way]
        for tenant in requests:
            mine = [row["share"]["value"] for row in rows if row["tenant"] == tenant]
            assert sum(mine) == pytest.approx(1.0)
        total = sum(requests[r["tenant"]] * r["share"]["value"] * r["bytes"] for r in rows)
        assert total == pytest.approx(sums.of(quantity).sum())


def test_what_is_dropped_on_arrival_sends_nothing_and_what_is_dropped_later_gets_nothing() -> None:
    scenario = short(load=4.0, queue=16, **DROPPING, decisions=600)
    simulator = played("all-cloud", scenario)
    record = counted(simulator)
    dropped = record["outcome"] == DROPPED
    refused = dropped & np.isnan(record["sent"])

    found = shares(crossings(tally(simulator), scenario, resamples(2, 0)))

    assert 0 < refused.sum() < dropped.sum()
    assert found["up", "nothing"] == pytest.approx(refused.mean())
    assert found["down", "nothing"] == pytest.approx(dropped.mean())


def test_kinds_of_boundaries_are_summed_over_tenants() -> None:
    rows: list[dict[str, Any]] = [
        {"tenant": tenant, "way": way, "kind": "inside", "share": {"value": share}}
        for tenant, way, share in (("a", "up", 0.5), ("a", "up", 0.25), ("b", "up", 1.0))
    ]

    assert share_of(rows, "up", "inside", {"a": 0.8, "b": 0.2}) == pytest.approx(0.8)
    assert share_of(rows, "down", "inside", {"a": 0.8, "b": 0.2}) == 0.0


def test_mean_latency_is_that_of_the_requests_that_were_answered() -> None:
    scenario = short(load=4.0, **DROPPING, decisions=600)
    record = counted(played("all-cloud", scenario))
    answered = record[record["outcome"] != DROPPED]

    figure = evaluate(make_policy("all-cloud"), scenario, 2).figures["latency_mean"]

    assert len(answered) < record.size
    assert figure.value == pytest.approx((answered["complete"] - answered["arrival"]).mean())
