"""The page of a suite: over all scenarios first, then one section an operating point."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

from agents.across import Across, across
from agents.drawing import marker
from agents.html.figure import Figure
from agents.html.page import page_html, section_html
from agents.html.section import Row, Section
from agents.html.svg import Picture, Scale, nice_step
from agents.html.tables import breakable, key, table
from agents.html.tables import cell as table_cell
from agents.html.tones import style_of
from agents.html.words import MISSING, between, percent
from agents.judge import Cell
from agents.statistics import Interval
from agents.suite import Suite

HIGH, TOP = 26.0, 22.0

Loads = Mapping[str, tuple[Across, ...]]


def suite_page(
    sections: Sequence[Section],
    cells: Sequence[Cell],
    suite: Suite,
    overrides: Mapping[str, object],
    about: Mapping[str, Any],
) -> str:
    """Render several operating points."""
    loads = across(list(cells), suite.targets[0])
    names = {row.label: row.name for section in sections for row in section.rows}
    headline, said = _verdict(sections, cells, loads, suite)
    content = [_across_figure(loads, names, suite.targets[0]).html()] if loads else []
    content += [_index(sections)]
    content += [_across_table(loads, names, suite.targets[0])] if loads else []
    content += [section_html(each, _anchor(each)) for each in sections]
    asked = {"suite": suite.model_dump(mode="json"), "overrides": dict(overrides)}
    return page_html(
        title=f"Suite {suite.name}: {headline}",
        over=f"Suite {suite.name}: {len({each.name for each in sections})} scenarios, "
        f"{len(sections)} operating points, {len(names)} policies",
        headline=headline,
        said=said,
        content=content,
        config=asked,
        about=about,
    )


def _anchor(section: Section) -> str:
    return re.sub(r"[^\w-]+", "-", f"{section.name}-{section.load}")


def _verdict(
    sections: Sequence[Section], cells: Sequence[Cell], loads: Loads, suite: Suite
) -> tuple[str, tuple[str, ...]]:
    """Who is best where anybody keeps the promise, how often, and by how much."""
    target = suite.targets[0]
    able = [cell for cell in cells if cell.best(target)]
    if not able:
        return f"Nobody serves {percent(target)} in time at any operating point.", ()
    firsts: dict[str, int] = {}
    level: dict[str, int] = {}
    for cell in able:
        best = cell.best(target)
        assert best is not None
        firsts[best.label] = firsts.get(best.label, 0) + 1
        for label in (best.label, *cell.level_with(best, target)):
            level[label] = level.get(label, 0) + 1
    top = max(level, key=lambda label: (level[label], firsts.get(label, 0)))
    headline = (
        f"{top} needs the least GPU time for {percent(target)} in time, or is level with the best, "
        f"at {level[top]} of {len(able)} operating points."
    )
    counts = sorted(firsts.items(), key=lambda pair: -pair[1])
    said = [f"First, level or not: {', '.join(f'{label} at {n}' for label, n in counts)}."]
    if len(able) < len(cells):
        said.append(
            f"At {len(cells) - len(able)} of all {len(cells)} nobody gets to {percent(target)}: "
            "their sections say what can be had."
        )
    rules = [each.best_rule(target) for each in able if each.floors]
    gaps = sorted(rule.above[target].value for rule in rules if rule)
    gaps = [gap for gap in gaps if math.isfinite(gap)]
    if gaps:
        said.append(
            f"The best rule there spends {100 * gaps[0]:.0f} to {100 * gaps[-1]:.0f}% more than "
            f"the bound ({100 * gaps[len(gaps) // 2]:.0f}% in the middle), below which nobody gets."
        )
    for load, rows in loads.items():
        row = next((row for row in rows if row.label == top), None)
        if row is not None and math.isfinite(row.saving.value):
            sure = between(row.saving, 100, 0)
            said.append(
                f"Under load {load} it saves {100 * row.saving.value:.0f}%"
                f"{f' ({sure})' if sure else ''} of all-cloud's GPU cost over {_where(row)}."
            )
    return headline, tuple(said)


def _where(row: Across) -> str:
    """The scenarios that a mean at a target is over."""
    if row.of == 1:
        return "the one scenario where anybody gets there"
    return f"the {row.of} scenarios where anybody gets there (interquartile mean)"


def _across_figure(loads: Loads, names: Mapping[str, str], target: float) -> Figure:
    shown = {load: rows for load, rows in loads.items() if any(_known(row) for row in rows)}
    tops = {
        load: max((row for row in rows if _known(row)), key=lambda row: row.saving.value)
        for load, rows in shown.items()
    }
    finding = "; ".join(
        f"{row.label} saves {100 * row.saving.value:.0f}% ({load})" for load, row in tops.items()
    )
    return Figure(
        finding=f"Over all scenarios, at {percent(target)} in time: {finding}"
        if finding
        else f"Nowhere does anybody get to {percent(target)}",
        explanation="GPU cost saved against all-cloud at equal attainment, interquartile mean over "
        "the scenarios where anybody gets there, with 95% intervals; who does not get there saves "
        "nothing.",
        alternative="; ".join(
            f"{load}, {row.label}: {100 * row.saving.value:.0f}%"
            for load, rows in shown.items()
            for row in _sorted(rows)
            if _known(row)
        ),
        panels=tuple(partial(_panel, load, rows, names) for load, rows in shown.items()),
    )


def _known(row: Across) -> bool:
    return math.isfinite(row.saving.value)


def _sorted(rows: Sequence[Across]) -> list[Across]:
    return sorted(rows, key=lambda row: (_known(row), row.saving.value), reverse=True)


def _panel(load: str, rows: Sequence[Across], names: Mapping[str, str], width: float) -> Picture:
    picture = Picture(width, TOP + HIGH * len(rows) + 24)
    ends = [100 * v for row in rows for v in vars(row.saving).values() if math.isfinite(v)]
    low, high = max(min(0.0, *ends), -50.0), max(10.0, *ends)
    x = Scale(low, high, 4, width - 14)
    step = nice_step((high - low) / 4)
    bottom = TOP + HIGH * len(rows)
    of = f"{rows[0].of} scenario{'s' if rows[0].of > 1 else ''}"
    picture.text((0, 12), f"{load}: GPU cost saved, {of}", "head")
    for tick in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1):
        at = x(tick * step)
        picture.line((at, TOP), (at, bottom), "axis" if tick == 0 else "grid")
        picture.text((at, bottom + 15), f"{tick * step:g}%", "tick", "middle")
    for place, row in enumerate(_sorted(rows)):
        y = TOP + HIGH * place
        with picture.group(style_of(names[row.label])):
            picture.text((4, y + 11), row.label, "label")
            if _known(row):
                _dot(picture, row, names, x, y + 18)
    return picture


def _dot(picture: Picture, row: Across, names: Mapping[str, str], x: Scale, y: float) -> None:
    saved = row.saving
    value = max(100 * saved.value, x.low)
    if saved.high > saved.low:
        start, end = (x(min(max(100 * v, x.low), x.high)) for v in (saved.low, saved.high))
        picture.line((start, y), (end, y), "whisker")
    tip = f"{row.label}: {100 * saved.value:.1f}% saved; gets there in {row.reached} of {row.of}"
    picture.mark(marker(names[row.label]), (x(value), y), 4.5, "mark", tip)


def _across_table(loads: Loads, names: Mapping[str, str], target: float) -> str:
    heads = [("policy", "as it was asked for"), ("load", "what the scenarios are put under")]
    heads += [
        (f"GPU saved at {percent(target)}, %", "interquartile mean over scenarios"),
        ("cost saved, %", "at its own setting, violations priced; interquartile mean"),
        ("gets there", "scenarios in which it attains the target, of those where anybody does"),
    ]
    rows = "".join(
        f'<tr><th scope="row">{key(names[row.label])}{breakable(row.label)}</th>'
        f'<td data-value="{escape(load)}">{escape(load)}</td>'
        f"{_share(row.saving)}{_share(row.cost_saving)}"
        f'<td data-value="{row.reached}">{row.reached} of {row.of}</td></tr>'
        for load, each in loads.items()
        for row in _sorted(each)
    )
    caption = "Interquartile means over scenarios; small: 95% bootstrap intervals."
    whole = table(heads, rows, caption, "policies over all scenarios")
    return f"<details><summary>All policies over all scenarios</summary>{whole}</details>"


def _share(figure: Interval) -> str:
    words = f"{100 * figure.value:.1f}" if math.isfinite(figure.value) else MISSING
    return table_cell(words, figure.value, between(figure, 100, 1))


def _index(sections: Sequence[Section]) -> str:
    """Table of contents: who is best at each operating point."""
    loads = list(dict.fromkeys(each.load for each in sections))
    by_place = {(each.name, each.load): each for each in sections}
    head = "".join(f'<th scope="col">{escape(load)}</th>' for load in loads)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(_entry(by_place.get((name, load))) for load in loads)
        + "</tr>"
        for name in dict.fromkeys(each.name for each in sections)
    )
    return (
        '<nav aria-labelledby="points"><h2 id="points">Operating points</h2><div class="scroll" '
        'tabindex="0" role="region" aria-label="operating points"><table class="index"><thead><tr>'
        f'<th scope="col">scenario</th>{head}</tr></thead><tbody>{rows}</tbody></table></div></nav>'
    )


def _entry(section: Section | None) -> str:
    if section is None:
        return "<td></td>"
    link = f'<a href="#{_anchor(section)}">'
    if section.best is None:
        top = max(section.rows, key=lambda row: row.figures["attainment"].value)
        reached = percent(round(top.figures["attainment"].value, 3))
        words = f"{escape(top.label)}: {reached}"
        return f"<td>{link}nobody gets there</a><small>{words}</small></td>"
    saved = _saved(section.row(section.best))
    return f"<td>{link}{escape(section.best)}</a><small>{saved}</small></td>"


def _saved(row: Row) -> str:
    sure = between(row.saving, 100, 0)
    return f"saves {100 * row.saving.value:.0f}%{f' ({sure})' if sure else ''}"
