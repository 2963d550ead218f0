"""Assemble the page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from agents.html.batches import batches
from agents.html.figure import NARROW, Figure
from agents.html.latencies import latencies
from agents.html.minute import minute
from agents.html.objectives import objectives
from agents.html.section import Section
from agents.html.splits import splits
from agents.html.tables import figures_table
from agents.html.tones import style_sheet
from agents.html.trade_off import trade_off
from splitenv.provenance import plain, to_json

SCROLLED = 720.0
"""Width of a timeline that is drawn once for every screen."""

STATIC = Path(__file__).resolve().parent / "static"


def single_page(section: Section, about: Mapping[str, Any]) -> str:
    """Render one operating point; ``about`` is its provenance."""
    content = [figure.html() for figure in _figures(section)]
    content += [f"<h2>All figures</h2>{figures_table(section)}"]
    return page_html(
        title=f"{section.name}: {section.verdict[0]}",
        over=section.title,
        headline=section.verdict[0],
        said=section.verdict[1:],
        content=content,
        config=section.config,
        about=about,
    )


def section_html(section: Section, anchor: str) -> str:
    """Render one operating point of several: verdict and trade-off, the rest folded."""
    first, *rest = _figures(section, light=True)
    folded = "".join(figure.html() for figure in rest) + figures_table(section)
    return (
        f'<section class="cell" id="{anchor}"><p class="over">{escape(section.title)}</p>'
        f"<h2>{escape(section.name)}, {escape(section.load)}</h2>"
        f'<p class="said">{escape(section.verdict[0])}</p>{_list(section.verdict[1:])}'
        f"{first.html()}<details><summary>Objectives, latencies, splits, batches, worst minute, "
        f"all figures</summary>{folded}{_config(section.config)}</details></section>"
    )


def _figures(section: Section, light: bool = False) -> list[Figure]:
    """Everything that is drawn of an operating point; lighter where there are many on a page."""
    rest = [objectives(section)]
    if section.closeups:
        rest += [latencies(section), splits(section), batches(section)]
    if light:
        rest = [replace(figure, only=NARROW) for figure in rest]
    if section.closeups:
        worst = minute(section, section.leader, touch=not light)
        rest += [replace(worst, only=SCROLLED) if light else worst]
    return [trade_off(section), *rest]


def _list(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    return f'<ul class="verdict">{"".join(f"<li>{escape(words)}</li>" for words in sentences)}</ul>'


def _config(config: Mapping[str, Any]) -> str:
    return (
        "<details><summary>Configuration: what was played, seeds, policies</summary>"
        f"<pre tabindex=0>{escape(_lines(config), quote=False)}</pre></details>"
    )


def _lines(config: Mapping[str, Any]) -> str:
    """JSON with a line an entry, one of a list or of a mapping in it too."""
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {_entry(v)}" for k, v in config.items()) + "\n}"


def _entry(value: Any) -> str:
    data = plain(value)
    if isinstance(data, dict):
        return (
            "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in data.items()) + "}"
        )
    if isinstance(data, list) and any(isinstance(each, dict) for each in data):
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in data) + "]"
    return json.dumps(data)


def _footer(about: Mapping[str, Any]) -> str:
    git = about["git"]
    code = "outside a repository"
    if git:
        code = f"revision {git['revision'][:12]}{', modified' if git['modified'] else ''}"
    return (
        f"<p>splitenv {escape(str(about['libraries'].get('splitenv', '')))}, {code}, "
        f"{escape(about['time'])}.</p><details><summary>Versions</summary>"
        f"<pre tabindex=0>{escape(to_json(about), quote=False)}</pre></details>"
    )


def page_html(
    *,
    title: str,
    over: str,
    headline: str,
    said: Sequence[str],
    content: Sequence[str],
    config: Mapping[str, Any],
    about: Mapping[str, Any],
) -> str:
    """Fill the template.

    Parameters
    ----------
    title, over, headline, said
        Plain words: of the browser's window, above the headline, and the sentences below it.
    content
        HTML, in order.
    config, about
        What was asked for, and its provenance: folded away at the end.
    """
    parts = {
        "title": escape(title),
        "over": escape(over),
        "headline": escape(headline),
        "said": _list(said),
        "content": "\n".join(content) + _config(config),
        "footer": _footer(about),
        "style": _static("report.css") + style_sheet(),
        "script": _static("report.js"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _static("report.html"))


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
