from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from agents.across import Across
from agents.evaluation import Evaluation, evaluate
from agents.html import overview
from agents.html.command import check_path
from agents.html.section import Section, of_evaluations
from agents.html.trade_off import outside
from agents.registry import make_policy
from agents.statistics import Interval
from splitenv.files import OutputError
from splitenv.scenario import Scenario, load_scenario
from tests.agents.html.conftest import DECISIONS, write

VOID = {"meta", "link", "br", "wbr", "path", "rect", "circle"}


class Elements(HTMLParser):
    """Every element with its attributes, and whether they are nested as they should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.unclosed: list[str] = []
        self.astray: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.unclosed or self.unclosed.pop() != tag:
            self.astray.append(tag)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile", {"decisions": 260})


@pytest.fixture(scope="module")
def evaluations(scenario: Scenario) -> list[Evaluation]:
    specs = ("all-cloud", "all-device", "latency-bound")
    return [evaluate(make_policy(spec), scenario, 2, label=spec) for spec in specs]


def section(evaluations: list[Evaluation], scenario: Scenario) -> Section:
    return of_evaluations(evaluations, scenario, None, 0, {}, {})


@pytest.mark.parametrize("kind", ["single", "suite"])
def test_a_page_is_well_formed_and_needs_nothing_from_elsewhere(
    kind: str, request: pytest.FixtureRequest
) -> None:
    page = request.getfixturevalue(kind).read_text()
    elements = Elements(page)

    assert not elements.astray
    assert not elements.unclosed
    for tag, attributes in elements.found:
        address = attributes.get("src") or attributes.get("href") or "#"
        assert address.startswith(("#", "data:")), (tag, address)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r'="[^"]*\bnan\b', page, re.IGNORECASE)


@pytest.mark.parametrize("kind", ["single", "suite"])
def test_every_figure_has_a_finding_and_an_alternative_in_words(
    kind: str, request: pytest.FixtureRequest
) -> None:
    page = request.getfixturevalue(kind).read_text()
    figures = re.findall(r"<figure>.*?</figure>", page, re.S)

    assert len(figures) >= 6
    for figure in figures:
        finding = re.search(r"<h3>(.+?)</h3>", figure)
        assert finding is not None
        assert len(finding[1]) > 15
        spoken = re.findall(r'role="img" aria-label="(.*?)"', figure)
        assert min(map(len, spoken)) > 30


def test_the_verdict_comes_first_and_every_policy_is_in_the_table(single: Path) -> None:
    page = single.read_text()
    heads = re.findall(r'<th scope="row">.*?</svg>(.*?)</th>', page.replace("<wbr>", ""))

    assert page.index("<h1>") < page.index("<figure>") < page.index("<table>")
    assert sorted(heads) == [
        "all-cloud", "all-device", "joint-greedy+symphony:margin=1.1", "latency-bound",
        "neurosurgeon",
    ]  # fmt: skip


def test_the_configuration_says_what_was_played_and_by_which_code(single: Path) -> None:
    page = single.read_text()

    assert '"seeds": [0, 1]' in page
    assert '"decisions": 260' in page
    assert '"numba": ' in page
    assert re.search(r'"revision": "[0-9a-f]{40}"', page)


def test_a_suites_page_links_to_a_section_for_every_operating_point(suite: Path) -> None:
    elements = Elements(suite.read_text())
    anchors = {each["id"] for each in elements.all("section")}
    links = {str(each["href"])[1:] for each in elements.all("a")}

    assert anchors == links
    assert len(anchors) == 4
    assert "sd-mobile-nominal" in anchors


def test_a_page_of_the_same_suite_again_says_the_same_but_for_the_time(suite: Path) -> None:
    folder = suite.parent
    asked = ["--suite", str(folder / "toy.yaml"), "--processes", "1"]
    again = write(folder / "again.html", *asked, decisions=DECISIONS).read_text()
    time = r"\d{4}-\d\d-\d\dT[\d:+]+"

    assert re.sub(time, "", again) == re.sub(time, "", suite.read_text())


def test_the_best_is_who_keeps_the_promise_with_the_least_gpu_time(
    evaluations: list[Evaluation], scenario: Scenario
) -> None:
    told = section(evaluations, scenario.model_copy(update={"sla": promise(scenario, 0.5)}))

    assert told.best == "latency-bound"
    assert told.verdict[0].startswith("latency-bound serves ")
    assert "less GPU time than all-cloud" in told.verdict[0]
    assert [row.label for row in told.rows] == ["latency-bound", "all-cloud", "all-device"]


def test_a_promise_that_nobody_keeps_is_said_to_be_one(
    evaluations: list[Evaluation], scenario: Scenario
) -> None:
    told = section(evaluations, scenario.model_copy(update={"sla": promise(scenario, 0.99999)}))

    assert told.best is None
    assert told.verdict[0] == "Nobody serves the promised 100% in time."
    assert "comes closest" in told.verdict[1]


def test_two_that_play_alike_are_level(evaluations: list[Evaluation], scenario: Scenario) -> None:
    twin = evaluate(make_policy("latency-bound"), scenario, 2, label="twin")
    told = section(
        [*evaluations, twin], scenario.model_copy(update={"sla": promise(scenario, 0.5)})
    )

    assert any("Level with it" in words and "twin" in words for words in told.verdict)


def promise(scenario: Scenario, target: float) -> dict[str, Any]:
    return {name: each.model_copy(update={"target": target}) for name, each in scenario.sla.items()}


def test_who_is_nearly_always_late_does_not_squeeze_the_others(
    evaluations: list[Evaluation], scenario: Scenario
) -> None:
    told = section(evaluations, scenario)

    assert outside(told) == ["all-device"]
    assert outside(Mock(rows=[told.row("all-device")])) == []


@pytest.mark.parametrize("name", ["report", "report.pdf", "folder.html"])
def test_a_page_goes_to_an_html_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()

    with pytest.raises(OutputError, match=r"must name a file that ends in \.html"):
        check_path(tmp_path / name)


def test_a_policy_without_gpu_time_is_ahead_of_one_that_takes_some(
    evaluations: list[Evaluation], scenario: Scenario
) -> None:
    told = section(evaluations, scenario.model_copy(update={"sla": promise(scenario, 0.05)}))

    assert told.best == "all-device"
    assert "100% less GPU time" in told.verdict[0]
    assert any("Next comes" in words and "100% less GPU time" in words for words in told.verdict)
    assert not any("Level" in words for words in told.verdict)


def test_a_mean_over_scenarios_says_how_many_it_is_over() -> None:
    few = Across("x", Interval(0, 0, 0), Interval(0.5, 0.4, 0.6), reached=1, of=1)
    some = Across("x", Interval(0, 0, 0), Interval(0.5, 0.4, 0.6), reached=2, of=3)

    assert overview._where(few) == "the one scenario where anybody gets there"
    assert overview._where(some).startswith("the 3 scenarios where anybody gets there")
