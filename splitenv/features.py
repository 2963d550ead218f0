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

from splitenv.disciplines import NEVER
from splitenv.physics import consequence, prospect
from splitenv.state import Array, Belief, Tables

VERSION = 3


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
    (
        "slack_left",
        "deadlines",
        "softsign",
        "slack of the first of this model's queue who is not late, alone",
    ),
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


def bends(placements: int) -> npt.NDArray[np.float64]:
    """1 for every feature that is a softsign, 0 for those that are as they are."""
    return np.array([float(f.normalisation.startswith("softsign")) for f in schema(placements)])


def softsign(x: float, scale: float) -> float:
    """Map ``y = x / scale`` to ``y / (1 + |y|)``, in (-1, 1); :func:`unsoftsign` gives y back.

    Without a transcendental call, so that all machines agree. :func:`observe` does just this.
    """
    return x / (scale + abs(x))


def unsoftsign(y: Array) -> Array:
    """Invert :func:`softsign` on arrays; values at the bounds become very large, not infinite."""
    y = np.asarray(y, np.float64)
    return np.asarray(y / np.maximum(1.0 - np.abs(y), 1e-9))


def observe(tables: Tables, belief: Belief, env: int, out: Array) -> None:
    """Write the observation of the pending request into ``out[env]``."""
    _observe_placements(tables, belief, env)
    value, scale, bent, row = belief.value, belief.scale, tables.bent, out[env]
    # All divisions at once, so that the processor does several at a time.
    for feature in range(value.shape[0]):
        x = value[feature]
        row[feature] = min(x / (scale[feature] + bent[feature] * abs(x)), 2.0)


def _set(belief: Belief, feature: int, value: float, scale: float) -> None:
    """Let a feature be ``value / scale``, or its softsign."""
    belief.value[feature] = value
    belief.scale[feature] = scale


def _observe_placements(tables: Tables, belief: Belief, env: int) -> None:
    clock = belief.clock[env]
    model = clock.model
    slots = tables.enter.shape[1]
    view = prospect(tables, belief, env)
    can = tables.can[view.device, model]
    value, scale = belief.value, belief.scale
    deadline = clock.deadline
    horizon = deadline - clock.arrival
    reference = tables.reference[model]
    for placement in range(slots):
        if can[placement]:
            complete, seconds, members = consequence(view, placement)
            value[placement] = deadline - complete
            scale[placement] = horizon
            value[slots + placement] = seconds
            scale[slots + placement] = members * reference
        else:
            # As if it were over long after the deadline, and took the GPU for ages.
            value[placement] = -NEVER
            scale[placement] = 1.0
            value[slots + placement] = NEVER
            scale[slots + placement] = 1.0
    _observe_request(tables, belief, env, view.gpu_at, 2 * slots)
    _observe_queues(tables, belief, env, 2 * slots + 9)
    _observe_load(tables, belief, env, 2 * slots + 15)


def _observe_request(tables: Tables, belief: Belief, env: int, gpu_at: float, first: int) -> None:
    clock = belief.clock[env]
    model = clock.model
    horizon = clock.deadline - clock.arrival
    cloud = tables.placements[model] - 1
    _set(belief, first, model, tables.placements.shape[0])
    _set(belief, first + 1, clock.sla, tables.deadline.shape[0])
    device_time = NEVER
    if tables.can[clock.device, model, 0]:
        device_time = tables.head[clock.device, model, 0] * clock.speed
    _set(belief, first + 2, device_time, horizon)
    device_wait = max(0.0, belief.client[env, clock.client].device_free - clock.arrival)
    _set(belief, first + 3, device_wait, horizon)
    download = tables.down[model, cloud] * clock.down_pace
    upload = tables.up[model, cloud] * clock.up_pace
    _set(belief, first + 4, clock.rtt + upload + download, horizon)
    _set(belief, first + 5, tables.reference[model], horizon)
    _set(belief, first + 6, tables.reference[model], tables.norm)
    _set(belief, first + 7, tables.weight[clock.sla], 1.0)
    _set(belief, first + 8, gpu_at - clock.now, horizon)


def _observe_queues(tables: Tables, belief: Belief, env: int, first: int) -> None:
    clock = belief.clock[env]
    model = clock.model
    horizon = clock.deadline - clock.arrival
    queue = belief.queue[env, model]
    limit = tables.limit[tables.pool[0], model]
    idle = 0
    for gpu in range(clock.gpus):
        if belief.gpu[env, gpu].free_at <= clock.now:
            idle += 1
    hold_left = horizon
    if queue.size > queue.held:
        hold_left = 0.0
    elif queue.size > 0:
        hold_left = min(horizon, max(0.0, belief.held[0, model, env].time - clock.now))
    _set(belief, first, queue.size, limit)
    _set(belief, first + 1, clock.waiting - queue.size, limit)
    _set(belief, first + 2, queue.uploading, limit)
    _set(belief, first + 3, idle, clock.gpus)
    _set(belief, first + 4, hold_left, horizon)
    _set(belief, first + 5, _first_slack(tables, belief, env, horizon), horizon)


def _first_slack(tables: Tables, belief: Belief, env: int, most: float) -> float:
    """Slack, alone, of the first of the pending request's queue who is not late."""
    clock = belief.clock[env]
    model = clock.model
    line = belief.line[env, 2 * model]
    if line.size == 0:
        return most
    request = belief.request[belief.waiting[env, 2 * model, line.first], env]
    left = request.gpu_deadline - clock.now - tables.soonest[model, request.placement]
    return min(most, left)


def _observe_load(tables: Tables, belief: Belief, env: int, first: int) -> None:
    clock = belief.clock[env]
    model = clock.model
    fast = 0.0
    slow = 0.0
    for other in range(tables.placements.shape[0]):
        queue = belief.queue[env, other]
        fast += tables.reference[other] * queue.rate_fast
        slow += tables.reference[other] / queue.gap_slow
    _set(belief, first, fast, clock.gpus)
    _set(belief, first + 1, slow, clock.gpus)
    horizon = clock.deadline - clock.arrival
    _set(belief, first + 2, horizon, belief.queue[env, model].gap_fast)
    for size in range(4):
        _set(belief, first + 3 + size, tables.gain[model, size], 1.0)
