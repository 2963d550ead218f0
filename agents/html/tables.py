"""Tables of a page: each figure with its interval; a click on a head sorts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from html import escape

from agents.crossings import INPUT, INSIDE, NOTHING, OUTPUT
from agents.drawing import marker
from agents.figures import FIGURES
from agents.html.section import Row, Section
from agents.html.svg import marker_path
from agents.html.tones import style_of
from agents.html.words import MISSING, between, percent, plain, seconds, size
from agents.statistics import Interval

CROSSED = (
    ("nothing sent", ("up", NOTHING), "that stay on the device"),
    ("input up", ("up", INPUT), "whose input goes up"),
    ("inside up", ("up", INSIDE), "of which a tensor inside the model goes up"),
    ("inside down", ("down", INSIDE), "of which a tensor inside the model comes down"),
    ("output down", ("down", OUTPUT), "whose output comes down"),
)
"""What can cross the network: words, way and kind of boundary, meaning."""


def figures_table(section: Section) -> str:
    """Lay out every policy's figures, the best first."""
    tiers = list(section.rows[0].tiers)
    at = f" at {percent(section.target)}" if section.swept else ""
    bounded = section.bound is not None
    above_words = "GPU cost above what nobody can undercut, as a share of that"
    heads = [
        ("policy", "as it was asked for"),
        (f"saved{at}, %", FIGURES["saving"]),
        *([("above bound, %", above_words)] if bounded else []),
        ("in time, %", FIGURES["attainment"]),
        ("GPU s", FIGURES["gpu_seconds"]),
        *((f"{tier} tier, %", f"in time, of requests of {tier}-tier devices") for tier in tiers),
        ("mean, s", FIGURES["latency_mean"]),
        ("p50, s", FIGURES["latency_p50"]),
        ("p95, s", FIGURES["latency_p95"]),
        ("p99, s", FIGURES["latency_p99"]),
        ("$ per 1,000", FIGURES["dollars"]),
        ("up", FIGURES["bytes_up"]),
        ("down", FIGURES["bytes_down"]),
        *((f"{words}, %", f"share of requests {meaning}") for words, _, meaning in CROSSED),
        ("batch", FIGURES["batch"]),
        ("split", FIGURES["split_ratio"]),
        ("on device, %", FIGURES["device_share"]),
        ("GPU busy, %", FIGURES["utilisation"]),
        ("dropped, %", FIGURES["dropped"]),
    ]
    rows = "".join(
        f"<tr{' class=best' if row.label == section.best else ''}>{_key(row)}"
        + "".join(_cells(row, tiers))
        + "</tr>"
        for row in section.rows
    )
    what = "at equal attainment" if section.swept else "at its setting"
    caption = (
        f"{section.episodes} episodes, the same for every policy; small: 95% bootstrap intervals. "
        f"Saved {what}, the rest at each policy's own setting."
    )
    return table(heads, rows, caption, f"figures of {section.name} {section.load}".strip())


def table(heads: Iterable[tuple[str, str]], rows: str, caption: str, name: str) -> str:
    """Wrap rows in a table that scrolls within itself; each head has a meaning."""
    head = "".join(
        f'<th scope="col" title="{escape(meaning)}"><button>{escape(words)}</button></th>'
        for words, meaning in heads
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _key(row: Row) -> str:
    """Head of a policy's row, with its mark."""
    return f'<th scope="row">{key(row.name)}{breakable(row.label)}</th>'


def breakable(label: str) -> str:
    """A label that may go on in another line after its signs."""
    return re.sub(r"([+:/,])", r"\1<wbr>", escape(label))


def key(name: str) -> str:
    """Draw a policy's mark, as in the figures."""
    path = marker_path(marker(name), (6.5, 6.5), 5.0)
    return (
        f'<svg class="key {style_of(name)}" viewBox="0 0 13 13" aria-hidden="true">'
        f'<path class="mark" d="{path}"/></svg>'
    )


def _cells(row: Row, tiers: list[str]) -> Iterable[str]:
    figures = row.figures
    yield _share(row.saving, 1)
    if row.above is not None:
        yield _share(row.above, 1)
    yield _share(figures["attainment"], 2)
    gpu = figures["gpu_seconds"]
    digits = max(2, 2 - math.floor(math.log10(gpu.value))) if gpu.value > 0 else 2
    yield cell(plain(gpu.value), gpu.value, between(gpu, 1.0, digits))
    for tier in tiers:
        yield _share(row.tiers[tier], 1)
    for level in ("mean", "p50", "p95", "p99"):
        value = figures[f"latency_{level}"].value
        yield cell(seconds(value), value)
    for name, write in (("dollars", plain), ("bytes_up", size), ("bytes_down", size)):
        yield cell(write(figures[name].value), figures[name].value)
    for _, crossed, _ in CROSSED:
        yield cell(plain(100 * row.crossed[crossed]), row.crossed[crossed])
    for name in ("batch", "split_ratio"):
        yield cell(plain(figures[name].value), figures[name].value)
    for name in ("device_share", "utilisation", "dropped"):
        yield cell(plain(100 * figures[name].value), figures[name].value)


def _share(figure: Interval, digits: int) -> str:
    """A share in percent with its interval."""
    if not math.isfinite(figure.value):
        return cell(MISSING, figure.value)
    words = f"{100 * figure.value:.{digits}f}"
    return cell(words, figure.value, between(figure, 100, digits))


def cell(words: str, value: float, interval: str = "") -> str:
    """One cell; it is sorted by the value, which is empty where there is none.

    Words that are a number say it themselves.
    """
    small = f"<small>{interval}</small>" if interval else ""
    if re.fullmatch(r"-?\d+(\.\d+)?", words):
        return f"<td>{words}{small}</td>"
    order = f"{value:.4g}" if math.isfinite(value) else "1e99" if value == math.inf else ""
    return f'<td data-value="{order}">{words}{small}</td>'
