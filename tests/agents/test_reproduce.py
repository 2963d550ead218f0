from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agents.evaluation import quantiles
from agents.items import Cache
from agents.reproduce import batching, devices, regnet, saving
from agents.reproduce.__main__ import CLAIMS, main
from agents.reproduce.claim import mark
from agents.reproduce.study import (
    REFERENCE,
    STRONGEST,
    Study,
    crossing,
    settings,
)
from agents.reproduce.worlds import COUNTED, as_loaded, standard, under_load, with_target
from agents.runner import Runner
from splitenv.profiles.catalogue import load_gpu, names
from splitenv.scenario import load_scenario
from splitenv.tables import build_tables

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pieces are kept that several of these tests need."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def study(cache: Path) -> Study:
    return Study(Runner(Cache(cache), 1), episodes=2, seed=0)


@pytest.fixture(autouse=True)
def _few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.reproduce.study.POINTS", 3)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The claim of saved GPU time on one GPU, with two targets."""
    monkeypatch.setattr(saving, "TARGETS", (15.0, 30.0))
    monkeypatch.setattr(saving, "gpus", lambda: ("a100",))
    saving.worlds.cache_clear()
    yield
    saving.worlds.cache_clear()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return int(exit_.value.code or 0)


def test_a_level_is_crossed_straight_between_two_places() -> None:
    values = np.array([[0.2, 0.5, 0.9], [0.2, 0.7, 0.9]])

    assert crossing((10.0, 20.0, 40.0), values, 0.6) == pytest.approx([25.0, 18.0])


def test_a_level_that_is_never_reached_is_crossed_nowhere() -> None:
    assert crossing((10.0, 20.0), np.array([[0.2, 0.5]]), 0.6)[0] == np.inf


def test_where_the_place_before_has_no_figure_a_level_is_crossed_at_the_place_itself() -> None:
    assert crossing((10.0, 20.0), np.array([[-np.inf, 0.7]]), 0.6)[0] == 20.0


def test_quantiles_weigh_an_episode_as_often_as_it_is_drawn() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    weights = np.array([[1.0, 1.0], [2.0, 0.0]])

    found = quantiles(values, np.array([0, 1, 0, 1]), weights, (0.5, 1.0))

    assert found.tolist() == [[2.0, 4.0], [1.0, 3.0]]


def test_every_request_of_a_world_has_the_same_target_and_as_many_count() -> None:
    world = under_load(with_target(12.0), 0.5)

    assert [sla.deadline_s for sla in world.sla.values()] == [12.0]
    assert world.decisions - 2 * world.warmup == COUNTED


def test_under_light_load_serving_one_by_one_would_keep_the_pool_half_busy() -> None:
    world = standard(10.0)

    assert world.load * build_tables(world).norm == pytest.approx(0.5 * world.pool.size)


def test_under_full_load_the_base_scenario_is_as_it_is_shipped() -> None:
    base = load_scenario("sd-mobile")

    assert as_loaded(base) == pytest.approx(base.load)


def test_all_cloud_saves_nothing_against_itself(study: Study) -> None:
    world = standard(10.0)

    saved = study.compare(world, ["all-cloud"])

    assert saved.reached
    assert saved.saving.value == 0.0
    assert saved.asked == pytest.approx(min(0.99, saved.all_cloud.value))


def test_a_rule_that_has_less_in_time_than_all_cloud_is_marked(study: Study) -> None:
    saved = study.compare(standard(10.0), ["all-device"])

    assert not saved.reached
    assert mark(saved) == "x"
    assert saved.saving.value == 1.0
    assert saved.attainment.value < saved.asked


def test_a_saving_at_what_all_cloud_attains_is_marked(study: Study) -> None:
    tight = under_load(with_target(2.5, {"pool": {"gpu": "a100", "count": 1}}), 0.5)

    saved = study.compare(tight, ["all-cloud"])

    assert saved.asked < 0.99
    assert mark(saved) == "*"


def test_one_request_alone_saves_all_with_time_and_nothing_without(study: Study) -> None:
    targets = np.array([0.5, 5.0, 20.0, 1000.0])

    saved, attainable = study.alone(standard(10.0), targets)

    assert saved.shape == (len(study.weights), 4)
    assert saved[0, 0] == pytest.approx(0.0)
    assert saved[0, -1] == 1.0
    assert (np.diff(saved, axis=1) >= 0).all()
    assert attainable[0, [0, -1]].tolist() == [0.0, 1.0]


def test_what_one_request_saves_alone_is_the_cloud_share_it_does_without(study: Study) -> None:
    fast = {"clients.mix": "apple-sdxl", "clients.jitter": 0.0}
    world = standard(10.0, fast)
    tables = build_tables(world)

    saved, _ = study.alone(world, np.array([10.0]))

    shares = 1.0 - tables.ratio[0]
    assert shares.min() <= saved[0, 0] <= shares.max()
    # With 10 s, none of these devices can do without the cloud, nor do they need all of it.
    assert 0.0 < saved[0, 0] < shares[1]


def test_every_gpu_with_figures_for_stable_diffusion_is_looked_at() -> None:
    able = {name for name in names("gpus") if "stable-diffusion-2.1-base" in load_gpu(name).models}

    assert set(saving.gpus()) == able
    assert len(able) >= 6


def test_the_60_percent_point_exists_and_more_is_saved_with_more_time(
    few: None, study: Study
) -> None:
    found = saving.find(study).data

    by_rule = {row["rule"]: row for row in found["loaded"] if row["load"] == "light"}
    for rule in (REFERENCE, STRONGEST):
        first, last = (point["saving"]["value"] for point in by_rule[rule]["points"])
        assert first < last
        assert last > 0.6
        assert 15.0 <= by_rule[rule]["reached_at_s"]["value"] <= 30.0
    assert 10.0 < found["alone"][0]["reached_at_s"]["value"] < 30.0


def test_the_scheduler_brings_device_types_together(study: Study) -> None:
    spread = devices.find(study).data["slowest_over_fastest_median"]

    assert spread["all-device"]["value"] > 10.0
    assert spread[REFERENCE]["value"] < 5.0
    assert spread[STRONGEST]["value"] < 5.0


def test_batching_adds_to_splitting_and_splitting_to_batching(study: Study) -> None:
    world = batching.worlds()[batching.LIGHT]

    saved = {
        pair: study.compare(world, settings(pair, "sd-mobile")).saving_of_single.value
        for pair in batching.pairs()
    }

    assert saved["latency-bound+symphony"] > saved["latency-bound+none"] > 0.1
    assert saved["latency-bound+symphony"] > saved["all-cloud+symphony"] > 0.1
    assert saved["all-cloud+none"] == pytest.approx(0.0, abs=1e-9)


def test_regnet_agrees_in_sign_with_the_reference(study: Study) -> None:
    found = regnet.find(study).data

    alone = {row["model"]: row for row in found["alone"]}
    small = alone["regnet-x-3.2gf"]
    assert small["median_latency_gain"]["value"] < 0.0
    assert small["least_crossing_bytes"] > small["input_bytes"]
    assert alone["stable-diffusion-2.1-base"]["median_latency_gain"]["value"] > 0.0
    regnets = [row for name, row in alone.items() if name.startswith("regnet")]
    assert all(row["division_is_fastest"]["value"] < 0.01 for row in regnets)
    loaded = {(row["scenario"], row["rule"]): row for row in found["loaded"]}
    assert loaded[regnet.SMALL, REFERENCE]["on_device"]["value"] > 0.99


def test_the_command_prints_theirs_and_ours_and_writes_json_and_pictures(
    few: None, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--claim", "saving", "--episodes", "2", "--processes", "1"]
    options += ["--cache", str(cache), "--out", str(tmp_path / "out")]

    assert run(*options) == 0

    printed = capsys.readouterr().out
    for word in ("theirs", "ours", "assumed"):
        assert word in printed
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["reproduction-saving.png", "reproduction-saving.svg", "reproduction.json"]
    result = json.loads((tmp_path / "out" / "reproduction.json").read_text())
    assert result["seeds"] == [0, 1]
    assert {each["name"] for each in result["claims"]["saving"]["policies"]} == {
        REFERENCE,
        STRONGEST,
    }
    assert result["provenance"]["git"] is None or result["provenance"]["git"]["revision"]
    assert len(result["claims"]["saving"]["scenarios"]) == 4


def test_json_alone_goes_to_stdout(
    few: None, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--claim", "saving", "--episodes", "2", "--processes", "1", "--json", "-"]

    assert run(*options, "--cache", str(cache)) == 0

    assert set(json.loads(capsys.readouterr().out)["claims"]) == {"saving"}


def test_a_claim_that_is_none_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--claim", "privacy") == 1

    assert capsys.readouterr().err == (
        f"error: unknown claim 'privacy'; accepted: {', '.join(CLAIMS)}\n"
    )


def test_the_page_shows_every_claim_and_its_picture() -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text()

    for name in CLAIMS:
        assert f"images/reproduction-{name}.png" in page
        picture = ROOT / "docs" / "images" / f"reproduction-{name}.png"
        assert 0 < picture.stat().st_size < 200_000
