"""Learned policies against the rules of a cell."""

from pathlib import Path

import numpy as np
import pytest

from agents.curves import Curve
from agents.items import Cache
from agents.judge import Cell, play_all, points_of
from agents.overall import overall, said
from agents.registry import PolicyError
from agents.results import (
    CLOSE,
    OPEN,
    Verdict,
    _renewed,
    as_dict,
    least_cost,
    markdown,
    rows,
    table,
    verdict,
)
from agents.runner import Runner
from agents.suite import Load, Suite

LEARNED = "latency-bound:margin=0.05"
"""Stands for one: whose verdict a label decides."""


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite(
        name="small",
        episodes=3,
        targets=(0.95, 0.9),
        reference="joint-greedy",
        scenarios=("sd-mobile",),
        loads={"half": Load(nominal=0.5, points=5), "overload": Load(capacity=1.3)},
        policies=("joint-greedy", LEARNED),
    )


@pytest.fixture(scope="module")
def cells(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    runner = Runner(Cache(tmp_path_factory.mktemp("cache")), processes=1)
    points = points_of(suite, {"decisions": 500}, False, print)
    return play_all(points, runner, suite, 0, None, lambda items: lambda done: None)


def judged(cells: list[Cell], suite: Suite, place: int) -> Verdict:
    rules = suite.model_copy(update={"policies": ("joint-greedy",)})
    return verdict(cells[place], rules, [LEARNED])


def test_where_a_rule_gets_there_costs_are_compared_at_the_target(
    cells: list[Cell], suite: Suite
) -> None:
    found = judged(cells, suite, 0)
    standings = {each.label: each for each in cells[0].standings}
    mine, theirs = standings[LEARNED].cost[0.95], standings["joint-greedy"].cost[0.95]
    at = found.reached[0]
    assert at.target == 0.95
    assert at.rule == "joint-greedy"
    assert at.seeds == (pytest.approx(mine.value / theirs.value - 1.0),)
    assert at.cost.value == pytest.approx(mine.value / theirs.value - 1.0)


def test_costs_are_compared_at_every_target_that_a_rule_gets_to(
    cells: list[Cell], suite: Suite
) -> None:
    found = judged(cells, suite, 0)
    costs = {each.label: each.cost[0.9].value for each in cells[0].standings}
    assert [at.target for at in found.reached] == [0.95, 0.9]
    assert found.reached[1].cost.value == pytest.approx(
        costs[LEARNED] / costs["joint-greedy"] - 1.0
    )
    first, second = rows(found)
    assert (first[2], second[2]) == ("95.0%", "90.0%")
    assert "" not in first
    assert second[-3:] == ("", "", "")  # of the cell, not of the target
    assert judged(cells, suite, 1).reached == ()


def test_where_fewer_need_be_in_time_anybody_may_leave_episodes_to_the_devices() -> None:
    def points(*pairs: tuple[float, float]) -> Curve:
        return Curve(*(np.array([column]) for column in zip(*pairs, strict=True)))

    idle = points((0.8, 0.0))
    steady, other = points((0.01, 0.75)), points((0.01, 0.75), (0.02, 0.60))
    assert least_cost(steady, None, 0.05) == pytest.approx(0.75)
    assert least_cost(steady, idle, 0.05) == pytest.approx(0.75 * 0.75 / 0.79)
    assert least_cost(other, idle, 0.05) == pytest.approx(0.60 * 0.75 / 0.78)
    assert least_cost(other, idle, 0.015) == pytest.approx(0.675)  # between its own settings
    assert least_cost(steady, idle, 0.005) == np.inf
    far = points((0.01, 0.75), (0.8, 0.0))  # a knob that gives everything up gains nothing by it
    assert least_cost(far, idle, 0.05) == least_cost(steady, idle, 0.05)


def test_violations_are_compared_with_a_rule_that_takes_no_more_gpu_time(
    cells: list[Cell], suite: Suite
) -> None:
    found = judged(cells, suite, 1)
    standings = {each.label: each for each in cells[1].standings}
    mine, theirs = standings[LEARNED].figures, standings["joint-greedy"].figures
    fewer = (1.0 - mine["attainment"].value) / (1.0 - theirs["attainment"].value) - 1.0
    assert found.violations.value == pytest.approx(fewer)
    cheaper = mine["gpu_cost"].value / theirs["gpu_cost"].value - 1.0
    assert found.gpu.value == pytest.approx(cheaper)


def test_verdicts_are_plain_data_and_a_row_each(cells: list[Cell], suite: Suite) -> None:
    rules = suite.model_copy(update={"policies": ("joint-greedy",)})
    verdicts = [verdict(cell, rules, [LEARNED]) for cell in cells]
    assert table(verdicts).row_count == 3
    at = verdicts[0].reached[0]
    assert set(as_dict(verdicts[0])["reached"][0]["cost"]) == {"value", "low", "high"}
    assert np.isnan(at.closed)  # no bound was asked for


def test_over_all_cells_each_weighs_the_same(cells: list[Cell]) -> None:
    found = overall([(cell, [LEARNED]) for cell in cells])
    costs = {}
    for each in cells[0].standings:
        twins = [next(s for s in cell.standings if s.label == each.label) for cell in cells]
        costs[each.label] = np.mean([1.0 - twin.cost_savings[0] for twin in twins])
    assert (found.rule, found.cells) == ("joint-greedy", 2)
    assert found.cost.value == pytest.approx(costs[LEARNED] / costs["joint-greedy"] - 1.0)
    assert said(found).startswith("Over 2 cells with equal weights")


def test_the_readmes_table_is_renewed_and_nothing_else(
    cells: list[Cell], suite: Suite, tmp_path: Path
) -> None:
    rules = suite.model_copy(update={"policies": ("joint-greedy",)})
    verdicts = [verdict(cell, rules, [LEARNED]) for cell in cells]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{OPEN}\nold\n{CLOSE}\nafter\n")
    table_of = markdown(verdicts)
    new = _renewed(page, table_of).decode()
    assert new == f"before\n{OPEN}\n{table_of}{CLOSE}\nafter\n"
    assert "| `sd-mobile` | half | 95.0% | joint-greedy |" in new
    page.write_text("nothing here")
    with pytest.raises(PolicyError, match="has no place for a table"):
        _renewed(page, table_of)
