"""How far above the bound a policy is, and what room that leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.bound_report import gap_cell
from agents.bounds import clairvoyant_bound
from agents.bounds.clairvoyant import Floor, Priced, price_episodes
from agents.bounds.gaps import Floors, above, above_at, bound_figures, floors, room
from agents.bounds.pieces import bound_items
from agents.items import Cache, Item
from agents.runner import Runner
from agents.statistics import Interval
from splitenv.scenario import Scenario, load_scenario


def short(**overrides: object) -> Scenario:
    return load_scenario("sd-mobile", {"decisions": 256, "load": 0.8, **overrides})


def priced(together: list[list[float]], fees: list[float]) -> Priced:
    """Prices by episode; taken by themselves all are 0 or infinite, so that they decide nothing."""
    prices = np.sort(np.array(together), axis=1)
    alone = np.where(np.isinf(prices), np.inf, 0.0)
    attainable = np.isfinite(prices).sum(axis=1).astype(np.float64)
    return Priced(alone, prices, np.array(fees), attainable, 0.1, 1.0)


def test_pieces_come_to_the_bound_of_all_episodes() -> None:
    scenario = short()
    whole = clairvoyant_bound(scenario, 2)

    once = floors([price_episodes(scenario, [0, 1])], 0)
    apart = floors([price_episodes(scenario, [0]), price_episodes(scenario, [1])], 0)

    for target in (0.5, 0.9, 0.99, 0.999, 1.0):
        least = once.at(1.0 - target)[0]
        assert whole.at(target) * (1.0 - 1e-4) <= least <= whole.at(target) + 1e-12
        assert apart.at(1.0 - target)[0] == pytest.approx(least, rel=0.01)
    assert once.requests == whole.requests
    assert once.attainable == whole.attainable


def test_a_resample_is_bound_by_its_own_episodes() -> None:
    random = np.random.default_rng(0)
    prices = random.random((4, 50))
    fees = random.random(4)
    made = floors([priced(prices.tolist(), fees.tolist())], 0)

    for violations in (0.0, 0.01, 0.1, 0.5):
        found = made.at(violations)
        for row in (0, 1, 17):
            drawn = np.repeat(np.arange(4), made.weights[row].astype(int))
            exact = Floor(np.sort(prices[drawn], axis=None), float(fees[drawn].sum()))
            assert found[row] == pytest.approx(exact.at(1.0 - violations), rel=1e-3)


def test_what_nobody_can_attain_has_no_bound_in_any_resample() -> None:
    made = floors([priced([[1.0, 1.0], [1.0, np.inf]], [0.0, 0.0])], 0)

    assert made.at(0.2)[0] == np.inf
    assert made.at(0.25)[0] == pytest.approx(0.75)
    lucky = (made.weights == [2, 0]).all(axis=1)
    assert lucky.any()
    assert (made.at(0.0)[lucky] == 1.0).all()
    assert np.isinf(made.at(0.0)[~lucky]).all()


def test_a_gap_is_a_share_of_the_bound_and_room_a_share_of_the_cost() -> None:
    spent = np.array([3.0, 2.0, 1.0, 0.0, np.inf, 1.0, np.inf])
    least = np.array([2.0, 2.0, 0.0, 0.0, 1.0, np.inf, np.inf])

    gap = above(spent, least)

    assert gap[:5].tolist() == [0.5, 0.0, np.inf, 0.0, np.inf]
    assert np.isnan(gap[5:]).all()
    assert room(Interval(0.25, 0.0, 1.0)) == Interval(pytest.approx(0.2), 0.0, 0.5)


def bound(scenario: Scenario, episodes: int, folder: Path) -> Floors:
    runner = Runner(Cache(folder), 1)
    return floors([runner.load(item) for item in bound_items(scenario, 0, episodes)], 0)


def test_a_policy_is_compared_in_the_episodes_that_the_bound_covers(tmp_path: Path) -> None:
    scenario = short()
    two, four = (Item(scenario, "all-cloud", 0, episodes).run() for episodes in (2, 4))
    made = bound(scenario, 2, tmp_path)

    assert bound_figures(four, made) == bound_figures(two, made)
    assert above_at([four], [0.5], made) == above_at([two], [0.5], made)
    least, gap = bound_figures(two, made).values()
    cost = two.of("gpu_cost").sum() / two.of("requests").sum()
    assert gap.value == pytest.approx(cost / least.value - 1.0)
    assert gap.low <= gap.value <= gap.high


@pytest.mark.parametrize(
    "overrides",
    [{}, {"serving": "continuous"}, {"dispatch.late": "drop"}, {"pool.beside": {"a10": 1}}],
)
def test_nobody_is_below_it_in_any_resample(tmp_path: Path, overrides: dict[str, object]) -> None:
    scenario = short(**overrides)
    made = bound(scenario, 3, tmp_path)

    for spec in ("all-cloud", "joint-greedy", "neurosurgeon"):
        gap = bound_figures(Item(scenario, spec, 0, 3).run(), made)["above_bound"]
        assert 0.0 < gap.low <= gap.high < np.inf, spec


def test_without_a_bound_the_figures_are_unknown() -> None:
    tally = Item(short(), "all-cloud", 0, 1).run()

    assert all(np.isnan(figure.value) for figure in bound_figures(tally, None).values())


def test_kept_prices_are_what_was_priced(tmp_path: Path) -> None:
    (item,) = bound_items(short(), 0, 2)
    made = Runner(Cache(tmp_path), 1).load(item)
    again = Runner(Cache(tmp_path), 1)

    kept = again.load(item)

    assert again.computed == 0
    for name, value in vars(made).items():
        assert np.array_equal(getattr(kept, name), value), name


def test_many_episodes_are_priced_in_pieces_with_keys_of_their_own() -> None:
    items = bound_items(short(), 5, 20)

    assert [(item.first, item.episodes) for item in items] == [(5, 8), (13, 8), (21, 4)]
    others = [*items, *bound_items(short(load=0.7), 5, 8), *bound_items(short(), 0, 8)]
    assert len({item.key() for item in others}) == len(others)


def test_a_gap_is_written_in_percent_as_far_as_that_says_something() -> None:
    cells = [gap_cell(Interval(gap, 0.0, np.inf), 1) for gap in (0.2345, 9.99, 42.0, np.inf)]

    assert cells == ["23.4", "999.0", ">999", "-"]
