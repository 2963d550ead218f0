from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from agents import report
from agents.drawing import COLOURS
from agents.evaluation import Outcomes, counted, evaluate, play, run_episodes
from agents.figures import FIGURES
from agents.plot import png
from agents.registry import RULES, make_policy
from splitenv.provenance import to_json
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import Simulator
from splitenv.tables import fleet


def short(**overrides: object) -> Scenario:
    """sd-mobile with a few dozen counted requests an episode."""
    return load_scenario("sd-mobile", {"decisions": 200, "load": 0.8, **overrides})


def records(spec: str, scenario: Scenario, episodes: int) -> Simulator:
    simulator = Simulator(scenario, episodes, record=True)
    play(make_policy(spec), simulator, np.arange(episodes))
    return simulator


def equal(one: Outcomes, other: Outcomes) -> bool:
    return all(np.array_equal(one.sums[name], other.sums[name]) for name in one.sums) and (
        np.array_equal(one.latency, other.latency)
    )


def test_the_same_seeds_give_the_same_numbers() -> None:
    policy = make_policy("joint-greedy")

    first = run_episodes(policy, short(), 4, seed=3)

    assert equal(first, run_episodes(policy, short(), 4, seed=3))
    assert not equal(first, run_episodes(policy, short(), 4, seed=4))


def test_how_many_episodes_run_side_by_side_changes_nothing() -> None:
    policy = make_policy("latency-bound")

    assert equal(run_episodes(policy, short(), 5, envs=2), run_episodes(policy, short(), 5, envs=5))


def test_policies_meet_the_same_world() -> None:
    cloud = records("all-cloud", short(), 3).record
    greedy = records("joint-greedy", short(), 3).record

    for field in ("arrival", "deadline", "client", "device", "model", "sla", "uplink", "rtt"):
        assert np.array_equal(cloud[field], greedy[field]), field
    assert not np.array_equal(cloud["placement"], greedy["placement"])


def test_all_cloud_saves_nothing_against_itself() -> None:
    figures = evaluate(make_policy("all-cloud"), short(), 3).figures

    for name in ("saving", "attainment_difference"):
        assert (figures[name].value, figures[name].low, figures[name].high) == (0.0, 0.0, 0.0)


def test_figures_equal_a_recount_from_the_records() -> None:
    scenario = short()
    result = evaluate(make_policy("latency-bound-batching"), scenario, 3)
    simulator = records("latency-bound-batching", scenario, 3)
    first, last = scenario.warmup, scenario.decisions - scenario.warmup

    lives = [life for row in simulator.record for life in row[first:last]]
    in_time = [life["complete"] <= life["deadline"] for life in lives]
    cloud = [life for life in lives if life["gpu"] >= 0]
    latency = sorted(life["complete"] - life["arrival"] for life in lives)

    assert len(lives) == counted(simulator).size == 3 * (200 - 2 * scenario.warmup)
    expected = {
        "attainment": np.mean(in_time),
        "gpu_seconds": np.mean([life["gpu_seconds"] for life in lives]),
        "batch": np.mean([life["batch"] for life in cloud]),
        "device_share": np.mean([life["placement"] == 0 for life in lives]),
        "latency_p50": latency[math.ceil(0.5 * len(lives)) - 1],
        "latency_p95": latency[math.ceil(0.95 * len(lives)) - 1],
    }
    for name, value in expected.items():
        assert result.figures[name].value == pytest.approx(value, rel=1e-12), name
    for tier, figure in result.tiers.items():
        devices = [d for d, device in enumerate(fleet(scenario)) if device.tier == tier]
        mine = [m for life, m in zip(lives, in_time, strict=True) if life["device"] in devices]
        assert figure.value == pytest.approx(np.mean(mine), rel=1e-12), tier


def test_counted_sums_equal_the_simulators_own() -> None:
    scenario = short(load=2.4, decisions=400, **{"dispatch.late": "drop"})
    simulator = records("all-cloud", scenario, 3)
    sums = run_episodes(make_policy("all-cloud"), scenario, 3).sums
    own = simulator.finished

    assert np.array_equal(sums["requests"], own["requests"])
    assert np.array_equal(sums["requests"] - sums["in_time"], own["violations"])
    assert np.array_equal(sums["dropped"], own["dropped"])
    assert own["dropped"].sum() > 0
    assert np.array_equal(sums["batch_members"], own["batch_members"])
    np.testing.assert_allclose(sums["gpu_seconds"], own["gpu_seconds"], rtol=1e-9)


def test_holding_ends_while_other_models_have_not_been_asked_for_yet() -> None:
    scenario = load_scenario("mixed-tenants", {"decisions": 200, "load": 0.5})

    outcomes = run_episodes(make_policy("latency-bound-batching"), scenario, 2)

    assert outcomes.sums["requests"].sum() == 2 * (200 - 2 * scenario.warmup)


def test_intervals_hold_the_value_and_shrink_with_more_episodes() -> None:
    policy = make_policy("latency-bound")

    few, many = (evaluate(policy, short(), episodes).figures for episodes in (6, 48))

    for name in ("attainment", "gpu_seconds", "saving", "latency_p95"):
        assert many[name].low <= many[name].value <= many[name].high, name
    for name in ("gpu_seconds", "saving"):
        assert many[name].high - many[name].low < few[name].high - few[name].low, name


def test_one_episode_has_no_interval_and_can_be_reported() -> None:
    scenario = short()
    evaluations = [evaluate(make_policy(spec), scenario, 1) for spec in ("all-cloud", "all-device")]

    assert np.isnan(evaluations[0].figures["attainment"].low)
    content = json.loads(to_json(report.as_dict(evaluations, scenario, 1, 0)))
    assert content["policies"][0]["figures"]["attainment"]["low"] is None
    assert png(evaluations, scenario, 1).startswith(b"\x89PNG")


def test_the_json_says_how_to_have_the_result_again() -> None:
    scenario = short(load=0.9)
    evaluations = [evaluate(make_policy("fixed:ratio=0.3"), scenario, 2, seed=5)]

    content = json.loads(to_json(report.as_dict(evaluations, scenario, 2, 5)))

    assert Scenario.model_validate(content["scenario"]) == scenario
    assert content["scenario_digest"] == scenario.digest()
    assert content["seeds"] == [5, 6]
    assert content["policies"][0]["policy"]["parameters"] == {"ratio": 0.3}
    assert set(content["policies"][0]["figures"]) == set(FIGURES)
    assert "numpy" in content["provenance"]["libraries"]


def test_the_csv_has_one_row_a_policy_and_three_columns_a_figure() -> None:
    evaluation = evaluate(make_policy("neurosurgeon"), short(), 2)

    rows = list(csv.DictReader(io.StringIO(report.as_csv([evaluation]))))

    assert [row["policy"] for row in rows] == ["neurosurgeon"]
    saving = evaluation.figures["saving"]
    assert float(rows[0]["saving"]) == saving.value
    assert (float(rows[0]["saving_low"]), float(rows[0]["saving_high"])) == (
        saving.low,
        saving.high,
    )
    assert {"attainment_low_low", "attainment_high"} <= rows[0].keys()


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (["all-cloud", "joint-greedy"], "joint-greedy serves"),
        (["all-cloud"], "Nobody serves 99% in time with less GPU time than all-cloud"),
        (["all-device"], "No policy serves 99% in time; all-device comes closest with"),
    ],
)
def test_the_title_says_the_finding(specs: list[str], words: str) -> None:
    scenario = short()
    evaluations = [evaluate(make_policy(spec), scenario, 4) for spec in specs]

    assert report.finding(evaluations, scenario).startswith(words)


def test_every_rule_has_a_colour_of_its_own() -> None:
    assert set(RULES) <= set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)
