"""A timeline in the trace event format that Chrome's tracing and Perfetto read.

GPUs are threads of one process, with a complete event a batch. Requests overlap, so each is a
nestable async event of another process, with its phases nested inside and its deadline as an
instant. All time stamps are microseconds since the start of the episode.

Format: "Trace Event Format", Google, 2016; https://ui.perfetto.dev opens it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from splitenv.timeline import OUTCOMES, Request, Timeline

__all__ = ["events", "trace_json"]

Event = dict[str, Any]

GPUS, REQUESTS = 1, 2
"""Process ids."""

_NAMES = ("request", "request", "late request", "dropped request")
"""Perfetto groups async events by name: requests that failed get their own group."""


def trace_json(timeline: Timeline) -> str:
    """Render a timeline as JSON object format, an event a line."""
    scenario = timeline.scenario
    about = {
        "scenario": scenario.name,
        "policy": timeline.policy,
        "seed": timeline.seed,
        "seconds": timeline.seconds,
        "load": scenario.load,
        **timeline.summary(),
    }
    lines = ",\n".join(json.dumps(event, allow_nan=False) for event in events(timeline))
    head = f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(about)}, "traceEvents": [\n'
    return f"{head}{lines}\n]}}\n"


def events(timeline: Timeline) -> Iterator[Event]:
    """Metadata, then batches, then requests, each with its phases in causal order."""
    yield from _metadata(timeline)
    for batch in timeline.batches:
        start, end = _microseconds(batch.start), _microseconds(batch.end)
        yield {
            "ph": "X",
            "name": f"batch of {len(batch.members)}",
            "cat": "batch",
            "pid": GPUS,
            "tid": batch.gpu + 1,
            "ts": start,
            "dur": round(end - start, 3),
            "args": {
                "batch": batch.number,
                "model": timeline.models[batch.model],
                "requests": list(batch.members),
            },
        }
    for request in timeline.requests:
        yield from _life(timeline, request)


def _metadata(timeline: Timeline) -> Iterator[Event]:
    title = f"requests: {timeline.scenario.name} under {timeline.policy}"
    for order, (pid, name) in enumerate(((GPUS, "GPUs"), (REQUESTS, title))):
        yield _named("process_name", pid, 0, name=name)
        yield _named("process_sort_index", pid, 0, sort_index=order)
    for gpu, name in enumerate(timeline.gpus):
        yield _named("thread_name", GPUS, gpu + 1, name=name)
        yield _named("thread_sort_index", GPUS, gpu + 1, sort_index=gpu)
    yield _named("thread_name", REQUESTS, 0, name="requests")


def _named(kind: str, pid: int, tid: int, **values: str | int) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": values}


def _life(timeline: Timeline, request: Request) -> Iterator[Event]:
    device, tier = timeline.devices[request.device]
    name = _NAMES[request.outcome]
    figures = {
        "request": request.number,
        "outcome": OUTCOMES[request.outcome],
        "latency_s": round(request.end - request.arrival, 9),
        "deadline_s": round(request.deadline - request.arrival, 9),
        "model": timeline.models[request.model],
        "class": timeline.classes[request.sla],
        "client": request.client,
        "device": f"{device} ({tier})",
        "cloud_share": round(request.ratio, 6),
        "hold": request.hold,
        "gpu_seconds": round(request.gpu_seconds, 9),
        "batch": request.batch,
    }
    yield {**_async("b", request, name, request.arrival), "args": figures}
    for phase in request.phases:
        yield _async("b", request, phase.kind, phase.start)
        yield _async("e", request, phase.kind, phase.end)
    yield _async("e", request, name, request.end)
    yield _async("n", request, "deadline", request.deadline)


def _async(kind: str, request: Request, name: str, seconds: float) -> Event:
    return {
        "ph": kind,
        "name": name,
        "cat": "request",
        "id": request.number,
        "pid": REQUESTS,
        "tid": 0,
        "ts": _microseconds(seconds),
    }


def _microseconds(seconds: float) -> float:
    """To the nanosecond."""
    return round(seconds * 1e6, 3)
