from __future__ import annotations

import math

import numpy as np
import pytest

from agents.capacity import capacity
from agents.evaluation import counted, evaluate, play
from agents.figures import breakdown, figures
from agents.measures import QUANTITIES, attainable, groups_of, join, tally
from agents.registry import make_policy
from agents.statistics import resamples
from splitenv.attainable import play_alone
from splitenv.profiles.catalogue import load_gpu
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator
from splitenv.tables import build_tables, fleet


def short(name: str = "sd-mobile", **overrides: object) -> Scenario:
    return load_scenario(name, {"decisions": 200, "load": 0.8, **overrides})


def played(spec: str, scenario: Scenario, episodes: int = 3) -> Simulator:
    policy = make_policy(spec)
    simulator = Simulator(policy.under(scenario), episodes, record=True)
    play(policy, simulator, np.arange(episodes))
    return simulator


def test_sums_by_group_equal_a_recount_of_the_records() -> None:
    scenario = short("mixed-tenants", decisions=400)
    simulator = played("latency-bound-batching", scenario)
    made = tally(simulator)
    tables = build_tables(scenario)
    devices, classes = fleet(scenario), list(scenario.sla)
    hourly = load_gpu(scenario.pool.gpu).price.amount

    for g, group in enumerate(made.groups):
        lives = [
            life
            for life in counted(simulator)[1]
            if devices[life["device"]].tier == group.tier
            and scenario.models[life["model"]].model == group.tenant
            and classes[life["sla"]] == group.sla
        ]
        expected = {
            "requests": len(lives),
            "in_time": sum(life["complete"] <= life["deadline"] for life in lives),
            "gpu_seconds": sum(life["gpu_seconds"] for life in lives),
            "dollars": sum(life["gpu_seconds"] for life in lives) * hourly / 3600,
            "bytes_up": sum(tables.up[life["model"], life["placement"]] for life in lives),
            "cost": sum(life["cost"] for life in lives),
        }
        for name, value in expected.items():
            found = made.sums[1, g, QUANTITIES.index(name)]
            assert found == pytest.approx(value, rel=1e-9), (group, name)


def test_a_second_on_a_dear_gpu_costs_more_than_one_on_a_cheap_one() -> None:
    scenario = short("sd-mobile-rough", decisions=400)
    simulator = played("all-cloud", scenario)
    lives = [life for row in counted(simulator) for life in row if life["gpu"] >= 0]
    prices = [load_gpu(name).price.amount for name in ("a100", "a10")]
    kinds = [int(build_tables(scenario).pool[life["gpu"]]) for life in lives]

    made = tally(simulator)

    assert set(kinds) == {0, 1}
    spent = sum(life["gpu_seconds"] * prices[kind] for life, kind in zip(lives, kinds, strict=True))
    assert made.of("dollars").sum() == pytest.approx(spent / 3600)
    assert made.of("gpu_cost").sum() == pytest.approx(spent / prices[0])


def test_device_seconds_are_what_devices_work() -> None:
    scenario = short(load=0.2)
    simulator = played("all-device", scenario)

    lives = [life for row in counted(simulator) for life in row]
    assert tally(simulator).of("device_seconds").sum() == pytest.approx(
        sum(life["complete"] - life["begin"] for life in lives)
    )
    assert played_sum("all-cloud", scenario, "device_seconds") == 0.0
    split = played_sum("fixed:ratio=0.5", scenario, "device_seconds")
    assert 0.0 < split < played_sum("all-device", scenario, "device_seconds")


def played_sum(spec: str, scenario: Scenario, quantity: str) -> float:
    return float(tally(played(spec, scenario)).of(quantity).sum())


def test_nothing_crosses_the_network_of_a_request_that_stays_on_its_device() -> None:
    scenario = short()
    simulator = played("all-device", scenario)
    stayed = (counted(simulator)["placement"] == 0).all(axis=1)
    made = tally(simulator)

    assert stayed.all()
    assert made.of("bytes_up").sum() == made.of("bytes_down").sum() == 0.0


def test_goodput_is_requests_in_time_per_second() -> None:
    scenario = short(load=1.0, decisions=1024)
    made = tally(played("all-cloud", scenario, 8))
    found = figures(made, made, resamples(8, 0))

    assert found["attainment"].value == pytest.approx(1.0, abs=0.01)
    assert found["goodput"].value == pytest.approx(1.0, rel=0.1)


def test_the_spread_is_that_between_the_best_and_the_worst_tier() -> None:
    result = evaluate(make_policy("all-device"), short(), 3)
    tiers = [figure.value for figure in result.tiers.values()]

    assert result.figures["spread"].value == pytest.approx(max(tiers) - min(tiers))
    assert result.figures["spread"].value > 0.1


def test_latency_quantiles_by_group_are_right_to_a_percent() -> None:
    simulator = played("latency-bound", short(decisions=600))
    record = counted(simulator)
    tiers = np.array([device.tier for device in fleet(simulator.scenario)])[record["device"]]

    found = breakdown(tally(simulator), resamples(3, 0))["tier"]

    for tier, figures_of in found.items():
        latency = np.sort((record["complete"] - record["arrival"])[tiers == tier])
        exact = latency[math.ceil(0.95 * len(latency)) - 1]
        assert figures_of["latency_p95"] == pytest.approx(exact, rel=0.006), tier


def test_joined_tallies_are_the_tally_of_all_episodes() -> None:
    scenario = short()
    policy = make_policy("latency-bound")
    parts = []
    for seeds in (np.arange(2), 2 + np.arange(1)):
        simulator = Simulator(scenario, len(seeds), record=True)
        play(policy, simulator, seeds)
        parts.append(tally(simulator))
    whole = tally(played("latency-bound", scenario))

    assert np.array_equal(join(parts).sums, whole.sums)
    assert np.array_equal(join(parts).latency, whole.latency)


def test_two_tenants_with_the_same_model_are_told_apart() -> None:
    same = {"model": "stable-diffusion-2.1-base", "steps": 50, "cut_every": 5, "share": 0.5}
    models = [{**same, "sla": {"standard": 1.0}}, {**same, "sla": {"fast": 1.0}}]

    groups, _ = groups_of(short(models=models))

    assert {group.tenant for group in groups} == {
        "stable-diffusion-2.1-base",
        "stable-diffusion-2.1-base #2",
    }


@pytest.mark.parametrize("name", ["sd-mobile", "regnet-camera", "sd-mobile-rough", "mixed-tenants"])
def test_what_is_run_alone_are_the_requests_of_the_simulated_episodes(name: str) -> None:
    scenario = load_scenario(name, {"decisions": 500})
    record = played("all-cloud", scenario).record
    alone = play_alone(scenario, np.arange(3))

    for field in ("device", "model", "sla"):
        assert np.array_equal(getattr(alone, field), record[field]), field


def test_a_request_that_meets_nobody_takes_as_long_as_alone() -> None:
    scenario = load_scenario("sd-mobile", {"load": 1e-3, "decisions": 200})
    alone = play_alone(scenario, np.arange(3))
    tables = build_tables(scenario)

    for spec, column in (("all-cloud", -1), ("fixed:ratio=0.5", None), ("all-device", 0)):
        record = played(spec, scenario).record
        place = record["placement"] if column is None else record["placement"][0, 0] + 0 * column
        assert (tables.can[record["device"], record["model"], place]).all()
        latency = np.take_along_axis(alone.latency, record["placement"][..., None], 2)[..., 0]
        np.testing.assert_allclose(record["complete"] - record["arrival"], latency, rtol=1e-9)


@pytest.mark.parametrize("spec", ["all-cloud", "all-device", "joint-greedy", "neurosurgeon"])
@pytest.mark.parametrize("name", ["sd-mobile", "regnet-camera", "mixed-tenants"])
def test_no_request_is_answered_before_the_best_it_could_get_alone(name: str, spec: str) -> None:
    scenario = load_scenario(name, {"decisions": 600})
    alone = play_alone(scenario, np.arange(3))
    record = played(spec, scenario).record

    best = alone.latency.min(axis=2)
    assert (record["complete"] - record["arrival"] >= best - 1e-6).all()
    assert (~(record["outcome"] == 1) | alone.in_time).all()


def test_the_attainable_tally_is_above_every_policys_in_every_group() -> None:
    scenario = load_scenario("regnet-camera", {"decisions": 800})
    could = attainable(scenario, np.arange(3))

    for spec in ("all-cloud", "latency-bound", "neurosurgeon"):
        did = tally(played(spec, scenario))
        assert could.groups == did.groups
        column = QUANTITIES.index("requests")
        assert np.array_equal(could.sums[:, :, column], did.sums[:, :, column])
        column = QUANTITIES.index("in_time")
        assert (could.sums[:, :, column] >= did.sums[:, :, column]).all()
    assert could.of("in_time").sum() < could.of("requests").sum()


def test_a_pools_capacity_is_what_its_largest_batches_yield() -> None:
    scenario = load_scenario("sd-mobile", {"pool.batch_limit": 4, "pool.count": 3})
    seconds = build_tables(scenario).alone[0, 0, -1, 4]

    assert capacity(scenario) == pytest.approx(3 * 4 / seconds)


def test_a_mix_of_models_shares_the_pools_seconds() -> None:
    scenario = load_scenario("mixed-tenants")
    tables = build_tables(scenario)
    per_request = sum(
        workload.share * tables.alone[0, m, tables.placements[m] - 1, limit] / limit
        for m, (workload, limit) in enumerate(zip(scenario.models, tables.limit[0], strict=True))
    )

    assert capacity(scenario) == pytest.approx(4 / per_request)
