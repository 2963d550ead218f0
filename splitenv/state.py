"""What a simulation is made of: the scheduler's belief, the world's truth, and the public tables.

All three are named tuples of arrays whose dtypes never change, so that the kernel is compiled once
for every scenario, and whose first axis (but for the tables) is the environment. The runtime
scheduler holds a :class:`Belief` with one row and nothing else: what stands in :class:`Truth` is
what a scheduler can't know.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def _zeros(shape: int | tuple[int, ...], dtype: np.dtype[Any] | type = np.float64) -> Array:
    """Zeros in memory that is touched now: large arrays then lie in huge pages."""
    array = np.empty(shape, dtype)
    array.view(np.uint8).fill(0)
    return array


def _spread(columns: int, dtype: np.dtype[Any] | type) -> int:
    """Widen long rows to an odd number of cache lines.

    The same column of many rows is what a step touches. Rows of a power of two of bytes would put
    them all into a few sets of the cache, where they drive each other out.
    """
    size = np.dtype(dtype).itemsize
    if columns * size < 1024:
        return columns
    while columns * size // 64 % 2 == 0:
        columns += 1
    return columns


CLOCK = np.dtype(
    [
        ("now", "f8"),  # time of the last event, s
        # The request that waits for its decision, as its client reported it.
        ("arrival", "f8"),
        ("deadline", "f8"),  # absolute, s
        ("client", "i4"),
        ("device", "i4"),
        ("model", "i4"),
        ("sla", "i4"),
        ("speed", "f8"),  # device time of this client / profiled device time, as calibrated
        ("uplink", "f8"),  # reported, bytes/s
        ("downlink", "f8"),
        ("up_pace", "f8"),  # 1 / uplink
        ("down_pace", "f8"),
        ("rtt", "f8"),  # reported, s
        ("gpus", "i4"),  # GPUs in the pool now
        ("waiting", "i4"),  # ready requests, all models
        ("uploading", "i4"),  # sent to the cloud, not ready yet, all models
        ("free_slots", "i4"),
        ("uploads", "i4"),  # size of the heap of uploads (simulator only)
    ]
)
"""The scheduler's clock, the pending request, and what it counts, per environment."""

REQUEST = np.dtype(
    [
        ("arrival", "f8"),
        ("ready", "f8"),  # predicted until the ready event, then exact
        ("gpu_deadline", "f8"),  # D: the latest time to leave the GPU, as predicted at decision
        ("download", "f8"),  # predicted seconds from leaving the GPU to the data on the device
        ("tail", "f8"),  # predicted device seconds after that
        ("hold", "f8"),  # share of its slack that it may spend waiting
        ("expires", "f8"),  # time at which the hold ends
        ("index", "i8"),  # number of the request in its episode: breaks ties
        ("client", "i4"),
        ("model", "i4"),
        ("placement", "i4"),
    ]
)
"""A live request (uploading or ready) as the scheduler sees it."""

QUEUE = np.dtype(
    [
        ("size", "i4"),
        ("uploading", "i4"),
        ("launch_at", "f8"),  # when an idle GPU is to launch, given the queue now
        ("stale", "i4"),  # launch_at is to be computed anew
        ("arrivals", "i8"),
        ("last_arrival", "f8"),
        ("gap_fast", "f8"),  # estimated inter-arrival time, s: short memory
        ("gap_slow", "f8"),  # long memory
        ("rate_fast", "f8"),  # 1 / gap_fast
    ]
)
"""What the scheduler keeps per model."""

GPU = np.dtype([("free_at", "f8")])
CLIENT_BELIEF = np.dtype([("device_free", "f8")])


class Belief(NamedTuple):
    """What the scheduler knows. First axis: environment.

    Attributes
    ----------
    clock : CLOCK, shape (E,)
    request : REQUEST, shape (E, slots)
    free : int32, shape (E, slots)
        Stack of unused slots.
    queue : QUEUE, shape (E, models)
    waiting : int32, shape (E, models, slots)
        Slots of the ready requests of a model, by GPU deadline, ties by arrival.
    gpu : GPU, shape (E, gpus)
    client : CLIENT_BELIEF, shape (E, clients)
    members : int32, shape (E, largest batch)
        Slots of the batch that is being formed, in the order they joined.
    present, until, elapsed : shape (E, segments)
        Of the batch that is being formed: members present, earliest GPU deadline of those that
        leave, and seconds since launch, at the end of each segment.
    """

    clock: Array
    request: Array
    free: Array
    queue: Array
    waiting: Array
    gpu: Array
    client: Array
    members: Array
    present: Array
    until: Array
    elapsed: Array


def new_belief(tables: Tables, envs: int, slots: int, clients: int) -> Belief:
    """Allocate a belief; :func:`splitenv.belief.clear` makes it an empty system."""
    gpus, (models, segments) = len(tables.pool), tables.segment_time.shape[1:3]
    return Belief(
        clock=_zeros(envs, CLOCK),
        request=_zeros((envs, _spread(slots, REQUEST)), REQUEST),
        free=_zeros((envs, slots), np.int32),
        queue=_zeros((envs, models), QUEUE),
        waiting=_zeros((envs, models, _spread(slots, np.int32)), np.int32),
        gpu=_zeros((envs, gpus), GPU),
        client=_zeros((envs, _spread(clients, CLIENT_BELIEF)), CLIENT_BELIEF),
        members=_zeros((envs, tables.limit.max()), np.int32),
        present=_zeros((envs, segments), np.int32),
        until=_zeros((envs, segments)),
        elapsed=_zeros((envs, segments)),
    )


WORLD = np.dtype(
    [
        ("seed", "u8"),  # of this environment
        ("key", "u8"),  # of this episode, made from the seed and the episode's number
        ("episode", "i8"),
        ("index", "i8"),  # of the pending request
        ("decisions", "i8"),  # made in this episode
        ("length", "i8"),  # decisions until truncation
        ("load", "f8"),  # requests/s that this episode's arrivals are scaled to
        ("bandwidth", "f8"),  # factor on every link's rate
        ("device_speed", "f8"),  # factor on every device time
        ("start", "f8"),  # second of the day at which the episode starts
        ("phase_end", "f8"),  # of the arrival process's present state
        ("phase", "i4"),
        ("phases", "i8"),  # states entered, the counter of their dwell times
        ("next_arrival", "f8"),
        ("act_at", "f8"),  # when dispatch is next to be looked at
        # This step's rewards and, over the episode, what has been paid.
        ("paid_gpu", "f8"),
        ("paid_violation", "f8"),
        ("overflow", "i8"),  # requests dropped since no slot was free
        ("done", "i4"),
    ]
)
"""The world's side of an environment."""

REQUEST_TRUTH = np.dtype(
    [
        ("slowness", "f8"),  # z: realised device time / predicted
        ("encoded", "f8"),  # when the device's own prompt encoding is done
        ("ready", "f8"),
        ("deadline", "f8"),
        ("rtt", "f8"),
        ("promised_gpu", "f8"),  # predicted cost, paid at the decision
        ("promised_violation", "f8"),
        ("sla", "i4"),
        ("device", "i4"),
        ("action", "i4"),
    ]
)

CLIENT_TRUTH = np.dtype(
    [
        ("device_free", "f8"),
        ("uplink", "f4"),  # median of the session, bytes/s
        ("downlink", "f4"),
        ("rtt", "f4"),
        ("phase", "f4"),  # of the blocks in which a rate holds, as a share
        ("episode", "i4"),  # for which this client has been drawn
        ("device", "i2"),
        ("network", "i2"),
    ]
)
"""32 bytes: two clients to a cache line, since every request touches one at random."""

RECORD = np.dtype(
    [
        ("arrival", "f8"),
        ("deadline", "f8"),
        ("ready", "f8"),  # NaN for all-device
        ("start", "f8"),
        ("finish", "f8"),  # leaves the GPU, or is dropped
        ("download", "f8"),  # data back on the device
        ("complete", "f8"),  # inf if dropped
        ("gpu_seconds", "f8"),  # attributed
        ("cost", "f8"),
        ("gpu_deadline", "f8"),
        ("uplink", "f8"),  # as reported
        ("downlink", "f8"),
        ("rtt", "f8"),
        ("speed", "f8"),
        ("client", "i4"),
        ("device", "i4"),
        ("model", "i4"),
        ("sla", "i4"),
        ("placement", "i4"),
        ("action", "i4"),
        ("gpu", "i4"),  # -1 for all-device and dropped
        ("batch", "i4"),  # members at launch
        ("launch", "i4"),  # number of the batch in its episode
        ("outcome", "i4"),  # 0 pending, 1 in time, 2 late, 3 dropped
    ]
)
"""The life of one request: every time stamp, and what it cost."""

METRICS = np.dtype(
    [
        ("requests", "f8"),  # that count: arrived after the warm-up, before the cool-down
        ("violations", "f8"),
        ("dropped", "f8"),
        ("gpu_seconds", "f8"),
        ("reference_gpu_seconds", "f8"),  # all-cloud, alone, for the same requests
        ("cloud_requests", "f8"),
        ("batch_members", "f8"),  # sum over cloud requests of their batch's size
        ("latency", "f8"),  # sum over completed requests, s
        ("cost", "f8"),
        ("busy_seconds", "f8"),  # GPU busy time of the whole episode
        ("attributed_seconds", "f8"),  # attributed over the whole episode
        ("span", "f8"),  # first arrival to last event, s
        ("total_requests", "f8"),
        ("total_cost", "f8"),
        ("total_reward", "f8"),
        ("drain_reward", "f8"),  # what physics fixed after the last step, never paid
        ("overflow", "f8"),
        ("launches", "f8"),
    ]
)
"""Sums over an episode and its drain."""


class Settings(NamedTuple):
    """What the world is drawn from. The scheduler does not see it.

    Axes: n network, q quantile of a fitted distribution, j job (a model with an SLA class).
    """

    device_share: Array  # (d,) cumulative
    network_share: Array  # (n,) cumulative
    job_share: Array  # (j,) cumulative
    job_model: Array  # (j,)
    job_sla: Array  # (j,)
    session: Array  # (n, 3, 4) of uplink, downlink, RTT: log median, and its factors on 3 normals
    rate: Array  # (n, 2, q) multiples of the session's median rate
    block: Array  # (n, 2) seconds for which a rate holds
    rtt: Array  # (n, q) multiples of the session's median RTT
    report: Array  # (q,) multiples of the true rate that a client reports
    normal: Array  # (q,) quantiles of the standard normal
    gap: Array  # (q,) unit-mean quantiles of the renewal gap; empty for exponential
    phase_rate: Array  # (p,) factor on the load in each state of the arrival process
    phase_dwell: Array  # (p,) mean seconds in it
    hour_rate: Array  # (24,) factor on the load by hour of day
    load: Array  # (2,) lowest and highest, requests/s, log-uniform over episodes
    bandwidth: Array  # (2,) factor on links, log-uniform
    device_speed: Array  # (2,) factor on device times, log-uniform
    gpus: Array  # (2,) fewest and most GPUs, uniform
    report_lag: float  # s
    jitter: float  # realised device time is within 1 +- jitter of the profile
    length: int  # decisions of an episode
    warmup: int  # requests at each end that metrics leave out
    clients: int


class Out(NamedTuple):
    """What a step returns. First axis: environment."""

    observation: Array  # float32 (E, features)
    mask: Array  # bool (E, actions)
    reward: Array  # float32 (E,)
    terms: Array  # float64 (E, 2): GPU and violation part of the cost paid in this step
    truncated: Array  # bool (E,)
    final_observation: Array  # float32 (E, features), valid where truncated


class Truth(NamedTuple):
    """What only the world knows. First axis: environment."""

    world: Array
    request: Array
    client: Array
    heap: Array
    metrics: Array
    finished: Array
    record: Array


def new_truth(envs: int, slots: int, clients: int, records: int) -> Truth:
    """Allocate the truth; ``records`` is 0 or the decisions of an episode plus one."""
    return Truth(
        world=_zeros(envs, WORLD),
        request=_zeros((envs, _spread(slots, REQUEST_TRUTH)), REQUEST_TRUTH),
        client=_zeros((envs, _spread(clients, CLIENT_TRUTH)), CLIENT_TRUTH),
        heap=_zeros((envs, _spread(slots, np.int32)), np.int32),
        metrics=_zeros(envs, METRICS),
        finished=_zeros(envs, METRICS),
        record=_zeros((envs, records), RECORD),
    )


class Tables(NamedTuple):
    """What everybody knows of a scenario: profiles, placements, actions, prices.

    Axes: g GPU type, m model, s placement, d device type, k segment between neighbouring cuts,
    b batch size (index 0 is an empty batch), a action, c SLA class.
    """

    placements: Array  # (m,) number of placements; 0 is all-device, the last is all-cloud
    enter: Array  # (m, s) first segment on the GPU
    exit: Array  # (m, s) one past the last segment on the GPU
    ratio: Array  # (m, s) split ratio
    segments: Array  # (m,) number of segments
    segment_time: Array  # (g, m, k, b) s
    segment_share: Array  # (g, m, k, b) s: the part of each member
    alone: Array  # (g, m, s, b) s: launch overhead and b members of one placement
    overhead: Array  # (g,) s
    limit: Array  # (g, m) largest batch
    price: Array  # (g,) relative to the first type
    pool: Array  # (gpus,) type of each GPU
    head: Array  # (d, m, s) device s before the cloud's part (all-device: all of it)
    tail: Array  # (d, m, s) device s after it
    also: Array  # (d, m, s) device s run beside the cloud (prompt encoding)
    can: Array  # (d, m, s) bool: this device can run this placement
    mask: Array  # (d, m, a) bool: the same by action
    up: Array  # (m, s) bytes
    down: Array  # (m, s) bytes
    reference: Array  # (m,) s: all-cloud, alone, on the first GPU type
    deadline: Array  # (c,) s, relative
    weight: Array  # (c,) factor on the violation price
    action_placement: Array  # (a,)
    action_hold: Array  # (a,)
    prior_gap: float  # inter-arrival time that the pool could just serve all-cloud, s
    norm: float  # mean all-cloud GPU seconds of a request, alone
    control_delay: float  # s
    violation_price: float
    drop_late: int
