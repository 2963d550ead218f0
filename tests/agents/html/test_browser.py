"""The pages in a real browser, on a phone and on a desk, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.html.chromium import Browser, browser

pytestmark = pytest.mark.browser

SIZES = {"phone": (360, 740), "tablet": (820, 1180), "desk": (1280, 900)}

UNFOLD = "document.querySelectorAll('details').forEach(each => { each.open = true; })"

OVERFLOW = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"

DRAWN = """[...document.querySelectorAll("figure")].map(figure => {
  const seen = [...figure.querySelectorAll("svg")].filter(svg => svg.getClientRects().length);
  return {
    name: figure.querySelector("h3").textContent,
    sizes: seen.map(svg => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height]),
    inks: seen.map(svg => [...svg.querySelectorAll("path, rect, circle")].filter(mark => {
      const box = mark.getBBox();
      return box.width + box.height > 0;
    }).length),
    texts: seen.map(svg => svg.querySelectorAll("text").length),
  };
})"""

CUT = """[...document.querySelectorAll("figure svg text")].filter(text => {
  const box = text.getBoundingClientRect(), room = document.documentElement.clientWidth;
  return box.width && !text.closest(".bare") && (box.left < -1 || box.right > room + 1);
}).map(text => text.textContent)"""

PALE = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const ground = element => {
    for (let each = element; each; each = each.parentElement) {
      const found = parts(getComputedStyle(each).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const gpu = () => parts(getComputedStyle(document.querySelector("svg rect.ph-gpu")).fill);
  const pale = new Set();
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !each.getClientRects().length || each.closest("script, style, #tip")) continue;
    const style = getComputedStyle(each), within = each.closest("svg");
    const ink = parts(within ? style.fill : style.color);
    const paper = each.matches(".on-gpu") ? gpu() : ground(within ? within.parentElement : each);
    const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) pale.add(`${each.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return [...pale];
})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("kind", ["single", "suite"])
def test_a_page_is_whole_in_every_light_and_at_every_width(
    chromium: Browser, request: pytest.FixtureRequest, kind: str, size: str, scheme: str
) -> None:
    page: Path = request.getfixturevalue(kind)

    chromium.open(page, *SIZES[size], scheme)
    folded = chromium.run(OVERFLOW)
    chromium.run(UNFOLD)

    wide, room = chromium.run(OVERFLOW)
    assert chromium.errors == []
    assert chromium.requests == [page.resolve().as_uri()]
    assert folded[0] <= folded[1]
    assert wide <= room
    assert chromium.run(CUT) == []
    assert chromium.run(PALE) == []
    figures = chromium.run(DRAWN)
    assert len(figures) >= 6
    for figure in figures:
        assert figure["sizes"], figure["name"]
        assert all(w > 200 and h > 60 for w, h in figure["sizes"]), figure
        assert all(marks > 3 for marks in figure["inks"]), figure
        assert all(words > 2 for words in figure["texts"]), figure


def test_dark_is_dark_and_light_is_light(chromium: Browser, single: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        chromium.open(single, *SIZES["desk"], scheme)
        seen[scheme] = chromium.run(ground)

    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}


def test_a_click_on_a_head_sorts_the_table_and_another_turns_it_round(
    chromium: Browser, single: Path
) -> None:
    chromium.open(single, *SIZES["desk"], "light")
    values = """[...document.querySelector("tbody").rows].map(row =>
      Number(row.cells[3].firstChild.data))"""
    click = "document.querySelectorAll('thead button')[3].click()"

    chromium.run(click)
    down: list[float] = chromium.run(values)
    chromium.run(click)
    up: list[float] = chromium.run(values)

    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert len(set(up)) > 1
    assert chromium.run("document.querySelectorAll('thead th')[3].ariaSort") == "ascending"


def test_a_finger_on_a_mark_says_what_it_is_within_the_screen(
    chromium: Browser, single: Path
) -> None:
    chromium.open(single, *SIZES["phone"], "light")

    shown: dict[str, Any] = chromium.run("""(() => {
      const seen = each => each.getClientRects().length;
      const mark = [...document.querySelectorAll("[data-tip]")].filter(seen).at(-1);
      const box = mark.getBoundingClientRect();
      const at = { bubbles: true, clientX: box.x, clientY: box.y };
      mark.dispatchEvent(new PointerEvent("pointerdown", at));
      const tip = document.getElementById("tip"), place = tip.getBoundingClientRect();
      return { text: tip.textContent, asked: mark.dataset.tip, left: place.left, right: place.right,
        visible: getComputedStyle(tip).visibility };
    })()""")

    assert shown["text"] == shown["asked"]
    assert shown["visible"] == "visible"
    assert 0 <= shown["left"] < shown["right"] <= SIZES["phone"][0]


def test_a_link_to_an_operating_point_leads_there(chromium: Browser, suite: Path) -> None:
    chromium.open(suite, *SIZES["phone"], "light")

    top = chromium.run("""new Promise(done => {
      document.documentElement.style.scrollBehavior = "auto";
      document.querySelector(".index a").click();
      requestAnimationFrame(() => requestAnimationFrame(() =>
        done(document.querySelector(location.hash).getBoundingClientRect().top)));
    })""")

    assert abs(top) < 5


def test_paper_is_white_and_nothing_is_wider_than_it(chromium: Browser, single: Path) -> None:
    chromium.open(single, 740, 1000, "dark", media="print")
    chromium.run(UNFOLD)

    wide, room = chromium.run(OVERFLOW)
    assert wide <= room
    assert chromium.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.run(PALE) == []
