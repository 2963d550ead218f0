"""The observation: one flat float32 vector, written in predicted consequences.

For each placement of the pending request the scheduler predicts how much of the deadline is left
and how many GPU seconds it takes; then come the states of device, queues, GPUs and load. Nothing
names a device or a GPU, so a policy carries over to hardware it never saw.

:func:`schema` is the one definition of what stands where; :func:`observe` fills it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from splitenv.physics import batch_time, company, congestion, consequence
from splitenv.state import Array, Belief, Tables

VERSION = 1


@dataclass(frozen=True)
class Feature:
    """One number of the observation.

    Attributes
    ----------
    name
        Unique; ``slack[3]`` is the slack of placement 3.
    unit
        Unit before normalisation.
    low, high
        Bounds of the normalised value.
    normalisation
        The fixed function from quantity to value. ``softsign`` is ``x / (1 + |x|)``.
    meaning
        What it says.
    """

    name: str
    unit: str
    low: float
    high: float
    normalisation: str
    meaning: str


_GLOBAL = (
    ("model", "index", "index / models", "which model is asked for"),
    ("sla", "index", "index / SLA classes", "which SLA class the request has"),
    ("device_time", "deadlines", "softsign", "device time of the whole model"),
    ("device_wait", "deadlines", "softsign", "time until the device has served its earlier work"),
    (
        "network_time",
        "deadlines",
        "softsign",
        "an RTT, upload of the input and download of the output",
    ),
    ("gpu_time", "deadlines", "softsign", "GPU time of the whole model, alone"),
    ("gpu_share", "mean requests", "softsign", "all-cloud GPU seconds beside the scenario's mean"),
    ("violation_weight", "prices", "softsign", "price of a violation beside the scenario's"),
    ("gpu_wait", "deadlines", "softsign", "time until a GPU can take up this request"),
    ("waiting", "batches", "softsign", "ready requests of this model beside the batch limit"),
    ("waiting_others", "batches", "softsign", "ready requests of other models, likewise"),
    ("uploading", "batches", "softsign", "requests of this model on their way to the cloud"),
    ("idle_gpus", "share", "as it is", "share of the pool's GPUs that are idle"),
    ("hold_left", "deadlines", "softsign", "time until the first hold of this model's queue ends"),
    ("slack_left", "deadlines", "softsign", "least slack of this model's queue, each alone"),
    ("load_fast", "pools", "softsign", "all-cloud load by the last 8 gaps between arrivals"),
    ("load_slow", "pools", "softsign", "all-cloud load by the last 64 gaps between arrivals"),
    ("rate_fast", "requests", "softsign", "arrivals of this model expected within the deadline"),
    ("gain_2", "share", "as it is, at most 2", "GPU time of a request in a batch of 2 to alone"),
    ("gain_4", "share", "as it is, at most 2", "the same for a batch of 4"),
    ("gain_8", "share", "as it is, at most 2", "the same for a batch of 8"),
    ("gain_limit", "share", "as it is, at most 2", "the same for the largest batch"),
)
GLOBALS = len(_GLOBAL)
_SIGNED = {"slack_left"}


def schema(placements: int) -> tuple[Feature, ...]:
    """Define the observation of a scenario whose models have up to ``placements`` placements.

    Returns
    -------
    tuple of Feature
        In the order of the vector: ``slack[s]``, then ``gpu[s]`` for every placement s, then the
        features of :data:`GLOBALS`.
    """
    slack = (
        Feature(
            f"slack[{s}]",
            "deadlines",
            -1.0,
            1.0,
            "softsign; -1 if impossible",
            f"time left at the predicted completion under placement {s}",
        )
        for s in range(placements)
    )
    gpu = (
        Feature(
            f"gpu[{s}]",
            "all-cloud requests alone",
            0.0,
            2.0,
            "as it is, at most 2; 2 if impossible",
            f"predicted GPU seconds under placement {s}, with expected companions",
        )
        for s in range(placements)
    )
    others = (
        Feature(name, unit, -1.0 if name in _SIGNED else 0.0, _high(how), how, meaning)
        for name, unit, how, meaning in _GLOBAL
    )
    return (*slack, *gpu, *others)


def _high(normalisation: str) -> float:
    return 2.0 if normalisation.endswith("2") else 1.0


def describe(placements: int) -> list[dict[str, object]]:
    """The schema as plain data, for a bundle's manifest."""
    return [asdict(feature) for feature in schema(placements)]


def bounds(placements: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Lowest and highest observation, each of shape ``(features,)``."""
    features = schema(placements)
    low = np.array([feature.low for feature in features], np.float32)
    high = np.array([feature.high for feature in features], np.float32)
    return low, high


def softsign(x: float) -> float:
    """Map a quantity to (-1, 1) without a transcendental call; :func:`unsoftsign` inverts it."""
    return x / (1.0 + abs(x))


def unsoftsign(y: Array) -> Array:
    """Invert :func:`softsign` on arrays; values at the bounds become very large, not infinite."""
    y = np.asarray(y, np.float64)
    return np.asarray(y / np.maximum(1.0 - np.abs(y), 1e-9))


def observe(tables: Tables, belief: Belief, env: int, out: Array) -> None:
    """Write the observation of the pending request into ``out[env]``."""
    clock = belief.clock[env]
    model = clock.model
    per_horizon = 1.0 / (clock.deadline - clock.arrival)
    per_reference = 1.0 / tables.reference[model]
    slots = tables.enter.shape[1]
    gpu_at = congestion(tables, belief, env, model)
    others = company(tables, belief, env, model)
    row = out[env]
    for placement in range(slots):
        if tables.can[clock.device, model, placement]:
            complete, seconds = consequence(tables, belief, env, placement, gpu_at, others)
            row[placement] = softsign((clock.deadline - complete) * per_horizon)
            row[slots + placement] = min(seconds * per_reference, 2.0)
        else:
            row[placement] = -1.0
            row[slots + placement] = 2.0
    _observe_request(tables, belief, env, gpu_at, 2 * slots, out)
    _observe_queues(tables, belief, env, 2 * slots + 9, out)
    _observe_load(tables, belief, env, 2 * slots + 15, out)


def _observe_request(
    tables: Tables, belief: Belief, env: int, gpu_at: float, first: int, out: Array
) -> None:
    clock = belief.clock[env]
    model = clock.model
    horizon = clock.deadline - clock.arrival
    cloud = tables.placements[model] - 1
    out[env, first] = model / tables.placements.shape[0]
    out[env, first + 1] = clock.sla / tables.deadline.shape[0]
    if tables.can[clock.device, model, 0]:
        device_time = tables.head[clock.device, model, 0] * clock.speed
        out[env, first + 2] = softsign(device_time / horizon)
    else:
        out[env, first + 2] = 1.0
    device_wait = max(0.0, belief.client[env, clock.client].device_free - clock.arrival)
    out[env, first + 3] = softsign(device_wait / horizon)
    download = tables.down[model, cloud] * clock.down_pace
    upload = tables.up[model, cloud] * clock.up_pace
    out[env, first + 4] = softsign((clock.rtt + upload + download) / horizon)
    out[env, first + 5] = softsign(tables.reference[model] / horizon)
    out[env, first + 6] = softsign(tables.reference[model] / tables.norm)
    out[env, first + 7] = softsign(tables.weight[clock.sla])
    out[env, first + 8] = softsign((gpu_at - clock.now) / horizon)


def _observe_queues(tables: Tables, belief: Belief, env: int, first: int, out: Array) -> None:
    clock = belief.clock[env]
    model = clock.model
    horizon = clock.deadline - clock.arrival
    queue = belief.queue[env, model]
    kind = tables.pool[0]
    limit = tables.limit[kind, model]
    idle = 0
    for gpu in range(clock.gpus):
        if belief.gpu[env, gpu].free_at <= clock.now:
            idle += 1
    hold_left = horizon
    slack_left = horizon
    for position in range(queue.size):
        request = belief.request[env, belief.waiting[env, model, position]]
        alone = tables.alone[kind, model, request.placement, 1]
        hold_left = min(hold_left, max(0.0, request.expires - clock.now))
        slack_left = min(slack_left, request.gpu_deadline - clock.now - alone)
    out[env, first] = softsign(queue.size / limit)
    out[env, first + 1] = softsign((clock.waiting - queue.size) / limit)
    out[env, first + 2] = softsign(queue.uploading / limit)
    out[env, first + 3] = idle / clock.gpus
    out[env, first + 4] = softsign(hold_left / horizon)
    out[env, first + 5] = softsign(slack_left / horizon)


def _observe_load(tables: Tables, belief: Belief, env: int, first: int, out: Array) -> None:
    clock = belief.clock[env]
    model = clock.model
    kind = tables.pool[0]
    fast = 0.0
    slow = 0.0
    for other in range(tables.placements.shape[0]):
        queue = belief.queue[env, other]
        fast += tables.reference[other] / queue.gap_fast
        slow += tables.reference[other] / queue.gap_slow
    out[env, first] = softsign(fast / clock.gpus)
    out[env, first + 1] = softsign(slow / clock.gpus)
    horizon = clock.deadline - clock.arrival
    out[env, first + 2] = softsign(horizon / belief.queue[env, model].gap_fast)
    cloud = tables.placements[model] - 1
    limit = tables.limit[kind, model]
    alone = tables.alone[kind, model, cloud, 1]
    for power in range(4):
        members = min(limit, 2 << power)
        if power == 3:
            members = limit
        seconds = batch_time(tables, kind, model, cloud, members)
        out[env, first + 3 + power] = min(seconds / members / alone, 2.0)
