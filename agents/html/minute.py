"""The worst minute of the episodes that were looked at: every request and every batch in it."""

from __future__ import annotations

from typing import Any

from agents.html.figure import Figure
from agents.html.section import Section
from agents.html.svg import Frame, Picture, Scale, nice_step, number, text_width
from agents.html.words import plain
from splitenv.timeline import DROPPED, IN_TIME, OUTCOMES, PHASES

STYLES = {
    "control": "device-busy",
    "device busy": "device-busy",
    "device": "device",
    "upload": "transfer",
    "hold": "hold",
    "queue": "queue",
    "GPU": "gpu",
    "download": "transfer",
}
"""Which colour a phase has: those of the page of ``splitenv simulate --timeline``."""

LEGEND = {
    "device": "device computes",
    "device-busy": "waits for its device",
    "transfer": "upload, download",
    "hold": "holds for companions",
    "queue": "waits for a GPU",
    "gpu": "GPU computes",
    "late": "past its deadline",
}

KINDS = [STYLES[kind] for kind in PHASES]
THICKNESS = {f"bar-{style}": 0.76 for style in KINDS} | {
    "bar-late": 0.34,
    "bar-due": 0.95,
    "bar-cross": 0.2,
}
"""Of bars, as a share of their lane."""

GPU_LANE = 18.0
ARRIVAL, DEADLINE, END, OUTCOME, BATCH, RATIO, PHASE = range(7)


def minute(section: Section, label: str, touch: bool = True) -> Figure:
    """Draw the worst minute of a policy; with ``touch`` each request says what became of it."""
    found = section.closeups[label]["minute"]
    long = "minute" if found["seconds"] == 60.0 else f"{found['seconds']:g} s"
    missed, arrived = found["missed"], found["arrived"]
    counted = f"{missed} of the {arrived} requests that arrive" if missed else "nothing"
    return Figure(
        finding=f"In its worst {long} {label} is late for {counted}",
        explanation="Above, the GPUs and how many requests each batch holds; below, a bar a "
        f"request from arrival to answer, and a tick at its deadline. From {found['start']:,.0f} s "
        f"on in episode {found['episode'] + 1} of those looked at.",
        alternative=f"Timeline of {found['seconds']:g} s: {len(found['requests'])} requests, "
        f"{len(found['batches'])} batches on {found['gpus']} GPUs, {missed} late or dropped",
        panels=(lambda width: _draw(found, width, touch),),
        legend=_legend(found["requests"]),
    )


def _legend(requests: list[list[Any]]) -> str:
    """Name the colours that occur."""
    seen = {KINDS[kind] for request in requests for kind in request[PHASE::2]}
    seen |= (
        {"late"}
        if any(request[OUTCOME] not in (IN_TIME, DROPPED) for request in requests)
        else set()
    )
    entries = "".join(
        f'<li><i class="ph-{style}"></i>{words}</li>'
        for style, words in LEGEND.items()
        if style in seen
    )
    return f'<ul class="legend">{entries}</ul>'


def _lanes(requests: list[list[Any]]) -> list[int]:
    """Every request takes the highest lane that is free from its arrival on."""
    free: list[float] = []
    lanes = []
    for request in requests:
        life = max(request[DEADLINE], request[END]) - request[ARRIVAL]
        lane = next((k for k, end in enumerate(free) if end <= request[ARRIVAL]), len(free))
        free[lane : lane + 1] = [request[ARRIVAL] + 1.02 * life]
        lanes.append(lane)
    return lanes


def _draw(found: dict[str, Any], width: float, touch: bool) -> Picture:
    requests, seconds = found["requests"], found["seconds"]
    lanes = _lanes(requests)
    deep = max(lanes) + 1
    lane = max(5.0, min(11.0, 380.0 / deep))
    top = 24 + found["gpus"] * GPU_LANE + 24
    picture = Picture(width, top + deep * lane + 26)
    frame = Frame(left=2, right=width - 2, top=16, bottom=top + deep * lane)
    x = Scale(0.0, 1000.0 * seconds, frame.left, frame.right)
    _axis(picture, frame, x, seconds)
    picture.text((frame.left, 15), "GPUs, with the size of each batch", "what")
    for gpu in range(found["gpus"]):
        picture.rect(
            frame.left, 20 + gpu * GPU_LANE, frame.right - frame.left, GPU_LANE - 3, "lane"
        )
    for gpu, start, end, members in found["batches"]:
        _batch(picture, x, frame, 20 + gpu * GPU_LANE, (start, end, members))
    picture.text((frame.left, top - 8), "requests", "what")
    bars: dict[str, list[str]] = {}
    for request, row in zip(requests, lanes, strict=True):
        _request(bars, request, x, frame, top + (row + 0.4) * lane, lane)
    for style, paths in bars.items():
        picture.path("".join(paths), style, thick=lane * THICKNESS[style])
    if touch:
        for request, row in zip(requests, lanes, strict=True):
            x0, x1 = _clipped(x, frame, request[ARRIVAL], request[END])
            width = max(x1 - x0, 2.0)
            picture.rect(x0, top + row * lane, width, 0.8 * lane, "touch", _tip(request))
    return picture


def _axis(picture: Picture, frame: Frame, x: Scale, seconds: float) -> None:
    step = nice_step(seconds / max(3, (frame.right - frame.left) / 80))
    unit, name = (1.0, "s") if seconds >= 1.0 else (1e3, "ms")
    for k in range(int(seconds / step + 1e-9) + 1):
        at = x(1000.0 * k * step)
        words = f"{k * step * unit:g} {name}"
        picture.line((at, frame.top + 2), (at, frame.bottom), "grid")
        half = text_width(words) / 2
        anchor = "start" if at < half else "end" if at + half > picture.width else "middle"
        picture.text((at, frame.bottom + 16), words, "tick", anchor)


def _clipped(x: Scale, frame: Frame, start: float, end: float) -> tuple[float, float]:
    return max(x(start), frame.left), min(x(end), frame.right)


def _bar(x: float, y: float, width: float) -> str:
    """A bar, as thick as its path's stroke; ``y`` is its middle."""
    return f"M{number(x)} {number(y)}h{number(width)}"


def _batch(
    picture: Picture, x: Scale, frame: Frame, y: float, batch: tuple[float, float, int]
) -> None:
    start, end, members = batch
    x0, x1 = _clipped(x, frame, start, end)
    tip = f"a batch of {members}, {(end - start) / 1000:.3g} s"
    picture.rect(x0, y, max(x1 - x0 - 1, 0.6), GPU_LANE - 3, "ph-gpu", tip)
    if x1 - x0 > text_width(str(members)) + 4:
        picture.text(((x0 + x1) / 2, y + 11.5), str(members), "on-gpu", "middle")


def _request(
    bars: dict[str, list[str]], request: list[Any], x: Scale, frame: Frame, y: float, lane: float
) -> None:
    """Add a request's phases to the paths of their colours, and what comes too late."""
    time, phases = request[ARRIVAL], request[PHASE:]
    for kind, end in zip(phases[::2], phases[1::2], strict=True):
        x0, x1 = _clipped(x, frame, time, end)
        if x1 - x0 > 0.05:
            bars.setdefault(f"bar-{KINDS[kind]}", []).append(_bar(x0, y, x1 - x0))
        time = end
    if request[OUTCOME] == DROPPED:
        at, half = x(request[END]), 0.4 * lane
        if frame.left <= at <= frame.right:
            cross = f"M{at - 3:.1f} {y - half:.1f}l6 {2 * half:.1f}m-6 0l6 -{2 * half:.1f}"
            bars.setdefault("bar-cross", []).append(cross)
    elif request[OUTCOME] != IN_TIME:
        x0, x1 = _clipped(x, frame, request[DEADLINE], request[END])
        if x1 > x0:
            bars.setdefault("bar-late", []).append(_bar(x0, y, x1 - x0))
    due = x(request[DEADLINE])
    if frame.left <= due <= frame.right:
        bars.setdefault("bar-due", []).append(_bar(due - 0.6, y, 1.2))


def _tip(request: list[Any]) -> str:
    took = (request[END] - request[ARRIVAL]) / 1000
    due = (request[DEADLINE] - request[ARRIVAL]) / 1000
    words = f"{OUTCOMES[request[OUTCOME]]}: {plain(took)} of {plain(due)} s"
    return f"{words}; the cloud runs {100 * request[RATIO]:.0f}%"
