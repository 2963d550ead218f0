"""A timeline as one HTML page that opens from disk and needs nothing else."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from splitenv.timeline import OUTCOMES, PHASES, Batch, Request, Timeline

__all__ = ["page"]

TEMPLATES = Path(__file__).resolve().parent / "templates"

_KINDS = {kind: code for code, kind in enumerate(PHASES)}


def page(timeline: Timeline) -> str:
    """Fill the template with a timeline's title, data and the script that draws it."""
    # Within a script element nothing but "<" could end the data.
    data = json.dumps(_data(timeline), allow_nan=False, separators=(",", ":"))
    parts = {
        "title": escape(headline(timeline)),
        "note": escape(_note(timeline)),
        "data": data.replace("<", "\\u003c"),
        "script": _template("timeline.js"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _template("timeline.html"))


def headline(timeline: Timeline) -> str:
    """Say what is seen, in one line."""
    found = timeline.summary()
    met, requests = int(found["in_time"]), int(found["requests"])
    share = 100.0 * met / requests
    if met == requests:
        counted = "every request" if requests > 1 else "the request"
        return f"{timeline.policy} serves {counted} in time"
    return f"{timeline.policy} serves {met:,} of {requests:,} requests in time ({share:.1f}%)"


def _note(timeline: Timeline) -> str:
    found, scenario = timeline.summary(), timeline.scenario
    batches = int(found["batches"])
    plural = "batch" if batches == 1 else "batches"
    work = (
        f"{found['gpu_seconds']:.1f} GPU seconds in {batches:,} {plural} of "
        f"{found['mean_batch']:.1f} on average"
        if batches
        else "nothing runs on a GPU"
    )
    return (
        f"{scenario.title}: {timeline.seconds:g} s of arrivals at {scenario.load:g} requests/s, "
        f"seed {timeline.seed}. {work[0].upper()}{work[1:]}; "
        f"{int(found['on_device']):,} on the device alone."
    )


def _data(timeline: Timeline) -> dict[str, Any]:
    """Rows of integers: times in microseconds, those of a request since its arrival."""
    return {
        "kinds": list(PHASES),
        "meanings": list(PHASES.values()),
        "outcomes": OUTCOMES,
        "gpus": timeline.gpus,
        "devices": timeline.devices,
        "models": timeline.models,
        "classes": timeline.classes,
        "requests": [_request(request) for request in timeline.requests],
        "batches": [_batch(batch) for batch in timeline.batches],
    }


def _request(request: Request) -> list[Any]:
    start = _microseconds(request.arrival)
    return [
        start,
        _microseconds(request.deadline) - start,
        _microseconds(request.end) - start,
        request.outcome,
        request.batch,
        _microseconds(request.gpu_seconds),
        round(request.ratio, 4),
        request.hold,
        request.client,
        request.device,
        request.model,
        request.sla,
        [v for p in request.phases for v in (_KINDS[p.kind], _microseconds(p.end) - start)],
    ]


def _batch(batch: Batch) -> list[Any]:
    start = _microseconds(batch.start)
    length = _microseconds(batch.end) - start
    return [batch.number, batch.gpu, batch.model, start, length, *batch.members]


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
