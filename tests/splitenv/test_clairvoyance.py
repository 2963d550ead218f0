"""What a clairvoyant knows of each request is true, and is never too strict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.evaluation import play
from agents.registry import make_policy
from splitenv.clairvoyance import LEEWAY
from splitenv.foresight import Foresight, foresee
from splitenv.scenario import load_scenario
from splitenv.simulator import NO_RESET, Simulator
from tests.toy import toy_settings, toy_simulator, toy_tables

SEEDS = np.arange(3)
IN_TIME = 1
ROUGH = {"clients.count": 16, "network.initial_window": 14600}


def known_and_played(
    name: str, policy: str, overrides: dict[str, Any] | None = None
) -> tuple[Foresight, Any]:
    scenario = load_scenario(name, overrides)
    known = foresee(Simulator(scenario, len(SEEDS)), SEEDS)
    simulator = Simulator(scenario, len(SEEDS), record=True)
    play(make_policy(policy), simulator, SEEDS)
    return known, simulator.record


def limits(known: Foresight, record: Any) -> tuple[Any, Any]:
    placement = record["placement"][..., None].astype(int)
    chosen = (np.take_along_axis(times, placement, 2)[..., 0] for times in known[:2])
    return tuple(chosen)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("sd-mobile", {}),
        ("sd-mobile", {"serving": "continuous"}),
        ("sd-mobile-rough", {"clients.sessions": None, **ROUGH}),
        ("regnet-camera", ROUGH),
        ("mixed-tenants", {}),
    ],
)
def test_nobody_is_ready_sooner_or_in_time_after_leaving_later(
    name: str, overrides: dict[str, Any]
) -> None:
    known, record = known_and_played(name, "random", overrides)

    ready, leave = limits(known, record)

    on_gpu, in_time = record["batch"] > 0, record["outcome"] == IN_TIME
    assert (record["ready"] >= ready)[on_gpu].all()
    assert (record["finish"] <= leave)[on_gpu & in_time].all()
    alone = in_time & (record["placement"] == 0)
    assert (ready <= leave)[alone].all()
    assert on_gpu.sum() > 1000
    assert (~in_time).sum() > 100


def test_on_warm_links_all_cloud_is_in_time_exactly_if_it_leaves_by_the_limit() -> None:
    known, record = known_and_played("sd-mobile", "all-cloud", {"load": 2.2})

    ready, leave = limits(known, record)

    np.testing.assert_allclose(record["ready"] - ready, LEEWAY, rtol=0.01)
    in_time = record["outcome"] == IN_TIME
    np.testing.assert_array_equal(record["finish"] <= leave, in_time)
    assert (~in_time).sum() > 20


def test_it_does_not_depend_on_what_is_decided() -> None:
    scenario = load_scenario("regnet-camera", {"decisions": 500})
    simulator = Simulator(scenario, len(SEEDS))
    first = foresee(simulator, SEEDS)
    simulator.step(np.ones(len(SEEDS), np.int64), NO_RESET)

    again = foresee(simulator, SEEDS)

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_limits_of_a_toy_are_those_worked_out_by_hand() -> None:
    # 2 s on the device first or 3 s after it; 4 bytes up, 6 down at 2 bytes/s; a deadline of 10 s.
    tables = toy_tables(
        [[1.0], [1.0]], [2.0, 3.0], [(1, 2), (0, 1), (0, 2)], up=[4.0] * 3, down=[6.0] * 3,
        deadline=10.0,
    )  # fmt: skip
    simulator = toy_simulator(tables, toy_settings(gap=[1.0], rate=2.0, length=2))

    known = foresee(simulator, [0])

    ready = np.array([1.0, 1.0 + 2.0 + 2.0, 1.0 + 2.0, 1.0 + 2.0])
    leave = np.array([11.0 - 5.0, 11.0 - 3.0, 11.0 - 3.0 - 3.0, 11.0 - 3.0])
    np.testing.assert_allclose(known.ready[0, 0], ready - LEEWAY, rtol=0, atol=1e-9)
    np.testing.assert_allclose(known.leave[0, 0], leave + LEEWAY, rtol=0, atol=1e-9)


def test_a_request_is_attainable_if_some_placement_alone_is_in_time() -> None:
    ready = np.array([[[9.0, 0.0], [0.0, 0.0], [9.0, 0.0]]])
    leave = np.array([[[0.0, 2.0], [0.0, 0.0], [0.0, 1.9]]])
    none = np.zeros((1, 3), np.int32)

    known = Foresight(ready, leave, none * 0.0, none, none, none)

    assert known.attainable(np.array([[0.0, 2.0]])).tolist() == [[True, True, False]]
