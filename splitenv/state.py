"""What the scheduler knows: its belief, and the public tables.

Both are named tuples of arrays whose dtypes never change, so that the kernel is compiled once for
every scenario. The runtime scheduler holds a :class:`Belief` with one row and nothing else; what it
can't know stands in :class:`splitenv.truth.Truth`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from splitenv.disciplines import NEVER

Array = np.ndarray[Any, np.dtype[Any]]
Row = Any
"""One element of a structured array, with its fields as attributes."""


LINE_BYTES = 64
"""Of the processor's cache."""


def whole_lines(fields: list[tuple[str, str]]) -> np.dtype[Any]:
    """Lay a record out on whole cache lines, so that touching one touches no more than its own."""
    packed = np.dtype(fields, align=True)
    assert packed.fields is not None
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [kind for _, kind in fields],
            "offsets": [packed.fields[name][1] for name, _ in fields],
            "itemsize": -(-packed.itemsize // LINE_BYTES) * LINE_BYTES,
        }
    )


def zeros(shape: int | tuple[int, ...], dtype: np.dtype[Any] | type = np.float64) -> Array:
    """Zeros on whole cache lines, in memory that is touched now: so it lies in huge pages."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE_BYTES, np.uint8)
    memory.fill(0)
    start = -memory.ctypes.data % LINE_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)


def spread(columns: int, dtype: np.dtype[Any] | type) -> int:
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


CLOCK = whole_lines(
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
        # Which GPU is expected to take it up: from when on, of which type, with how many others.
        ("gpu_at", "f8"),
        ("company", "f8"),
        ("kind", "i4"),
        ("gpus", "i4"),  # GPUs in the pool now
        ("waiting", "i4"),  # ready requests, all models
        ("uploading", "i4"),  # sent to the cloud, not ready yet, all models
        ("free_slots", "i4"),
        ("uploads", "i4"),  # size of the heap of uploads (simulator only)
    ]
)
"""The scheduler's clock, the pending request, and what it counts, per environment."""

REQUEST = whole_lines(
    [
        ("ready", "f8"),  # predicted until the ready event, then exact
        ("gpu_deadline", "f8"),  # D: the latest time to leave the GPU, as predicted at decision
        ("download", "f8"),  # predicted seconds from leaving the GPU to the data on the device
        ("tail", "f8"),  # predicted device seconds after that
        ("expires", "f8"),  # time at which the hold ends, once it is ready
        ("index", "i4"),  # number of the request in its episode: breaks ties
        ("client", "i4"),
        ("place", "i4"),  # in the heap of uploads or of holds; -1 if in neither
        ("model", "i2"),
        ("placement", "i2"),
        ("action", "i2"),
        ("line", "i2"),  # in which it waits; -1 while it leaves it
        ("unit", "i2"),  # continuous serving: the next unit that it needs
    ]
)
"""A live request (uploading, ready or, in continuous serving, aboard) as the scheduler sees it."""

EVENT = np.dtype([("time", "f8"), ("index", "i8"), ("slot", "i8")])
"""An entry of a heap: when, and of which request (``index`` breaks ties)."""

LINE = np.dtype([("first", "i4"), ("size", "i4"), ("varieties", "i4"), ("unused", "i4")])
"""A line of requests, kept sorted in one row of ``Belief.waiting``: where it starts, how long it
is, and with how many different placements they wait."""

QUEUE = whole_lines(
    [
        ("launch_at", "f8"),  # when an idle GPU is to launch, given the queue now
        ("arrivals", "i8"),
        ("last_arrival", "f8"),
        ("gap_fast", "f8"),  # estimated inter-arrival time, s: short memory
        ("gap_slow", "f8"),  # long memory
        ("rate_fast", "f8"),  # 1 / gap_fast
        ("size", "i4"),  # ready requests, late ones included
        ("uploading", "i4"),
        ("held", "i4"),  # size of the heap of holds that have not ended
        ("planned_for", "i4"),  # type of that GPU; -1 if launch_at is to be computed anew
    ]
)
"""What the scheduler keeps per model."""

GPU = np.dtype(
    [
        ("free_at", "f8"),  # falls idle; in continuous serving, while busy: its phase ends
        ("members", "i4"),  # continuous serving: requests aboard
        ("starts", "i4"),  # continuous serving: number of its last start, in its episode
    ]
)
PHASE = np.dtype(
    [
        ("since", "f8"),  # when it started
        ("pace", "f8"),  # seconds of an iteration
        ("look_at", "f8"),  # iteration boundary at which requests may join, or NEVER
        ("left", "i4"),  # iterations until somebody leaves or needs another kind of unit
        ("look", "i4"),  # iterations until look_at
    ]
)
"""Of a busy GPU in continuous serving: a run of iterations that are all alike."""
CLIENT_BELIEF = np.dtype([("device_free", "f8")])


class Belief(NamedTuple):
    """What the scheduler knows. First axis: environment, where nothing else is said.

    Attributes
    ----------
    clock : CLOCK, shape (E,)
    request : REQUEST, shape (slots, E)
        The same slots are in use in most environments: so they lie side by side.
    free : int32, shape (E, slots)
        Stack of unused slots.
    queue : QUEUE, shape (E, models)
    line : LINE, shape (E, 2 models)
        Two lines for each model: who can still meet D on some GPU, and who can't.
    waiting : int32, shape (E, 2 models, twice the slots)
        Slots of the ready requests in each line, by rank, ties by arrival.
    variety : int32, shape (E, 2 models, placements)
        How many wait in each line with each placement.
    held : EVENT, shape (slots, models, E)
        Heap of the holds that have not ended.
    gpu : GPU, shape (E, gpus)
    phase : PHASE, shape (E, gpus)
        Continuous serving only.
    aboard : int32, shape (E, gpus, largest batch of all models together)
        Continuous serving: slots of the members of each GPU, in the order they joined.
    client : CLIENT_BELIEF, shape (E, clients)
    largest : float64, shape (E, models)
        Largest batch, of which the whole members count; ``aimd`` only.
    members : int32, shape (largest batch of all models together,)
        Scratch. Slots of the batch that is being formed, in the order they joined.
    present : int32, until, elapsed : float64, shape (segments,)
        Scratch. Of the batch that is being formed: members present, earliest GPU deadline of those
        that leave, and seconds since launch, at the end of each segment.
    span : int32, shape (1,)
        Scratch. One past the last segment that such a batch needs; nobody is present from there on.
    blocked : int32, shape (models * placements,)
        Scratch. Placements that would make a member late.
    crew, units : int32, ends : float64, on_time : bool, shape (1 + largest batches,)
        Scratch. Continuous serving: who is, or might be, aboard, at which unit, leaves when, and
        whether in time for D.
    tally : int32, shape (kinds,)
        Scratch. Members at each kind of unit; zero between uses.
    value, scale : float64, shape (features,)
        Scratch. The observation before it is divided.
    cursor : int32, shape (models,)
        Scratch. How far each model's line has been looked through.
    """

    clock: Array
    request: Array
    free: Array
    queue: Array
    line: Array
    waiting: Array
    variety: Array
    held: Array
    gpu: Array
    phase: Array
    aboard: Array
    client: Array
    largest: Array
    members: Array
    present: Array
    until: Array
    elapsed: Array
    span: Array
    blocked: Array
    crew: Array
    units: Array
    ends: Array
    on_time: Array
    tally: Array
    value: Array
    scale: Array
    cursor: Array


def new_belief(tables: Tables, envs: int, slots: int, clients: int) -> Belief:
    """Allocate a belief; :func:`splitenv.belief.clear` makes it an empty system."""
    gpus, (models, placements) = len(tables.pool), tables.enter.shape
    together = int(tables.limit.max(axis=0).sum())
    aboard = together if tables.continuous else 0
    return Belief(
        clock=zeros(envs, CLOCK),
        request=zeros((slots, spread(envs, REQUEST)), REQUEST),
        free=zeros((envs, slots), np.int32),
        queue=zeros((envs, models), QUEUE),
        line=zeros((envs, 2 * models), LINE),
        waiting=zeros((envs, 2 * models, spread(2 * slots, np.int32)), np.int32),
        variety=zeros((envs, 2 * models, placements), np.int32),
        held=zeros((slots, models, spread(envs, EVENT)), EVENT),
        gpu=zeros((envs, gpus), GPU),
        phase=zeros((envs, gpus if tables.continuous else 0), PHASE),
        aboard=zeros((envs, gpus, aboard), np.int32),
        client=zeros((envs, spread(clients, CLIENT_BELIEF)), CLIENT_BELIEF),
        largest=zeros((envs, models)),
        **_scratch(tables),
    )


def _scratch(tables: Tables) -> dict[str, Array]:
    """Room to work in, of no meaning between calls: one for each thread."""
    models, placements = tables.enter.shape
    segments, together = tables.segment_time.shape[2], int(tables.limit.max(axis=0).sum())
    return {
        "members": zeros(together, np.int32),
        "present": zeros(segments, np.int32),
        "until": np.full(segments, NEVER),
        "elapsed": zeros(segments),
        "span": zeros(1, np.int32),
        "blocked": zeros(models * placements, np.int32),
        "crew": zeros(together + 1, np.int32),
        "units": zeros(together + 1, np.int32),
        "ends": zeros(together + 1),
        "on_time": zeros(together + 1, np.bool_),
        "tally": zeros(tables.kind_time.shape[1], np.int32),
        "value": zeros(len(tables.bent)),
        "scale": zeros(len(tables.bent)),
        "cursor": zeros(models, np.int32),
    }


def with_own_scratch(belief: Belief, tables: Tables) -> Belief:
    """The same belief with room of its own to work in, for another thread."""
    return belief._replace(**_scratch(tables))


class Tables(NamedTuple):
    """What everybody knows of a scenario: profiles, placements, actions, prices.

    Axes: g GPU type, m model, s placement, d device type, k segment between neighbouring cuts,
    u unit, v kind of unit (of all models), b batch size (index 0 is an empty batch), a action,
    c SLA class.
    """

    placements: Array  # (m,) number of placements; 0 is all-device, the last is all-cloud
    enter: Array  # (m, s) first segment on the GPU
    exit: Array  # (m, s) one past the last segment on the GPU
    ratio: Array  # (m, s) split ratio
    segments: Array  # (m,) number of segments
    segment_time: Array  # (g, m, k, b) s
    segment_share: Array  # (g, m, k, b) s: the part of each member
    alone: Array  # (g, m, s, b) s: launch overhead and b members of one placement
    soonest: Array  # (m, s) s: alone, on the GPU of the pool that is fastest at it
    unit_enter: Array  # (m, s) first unit on the GPU
    unit_exit: Array  # (m, s) one past the last unit on the GPU
    unit_kind: Array  # (m, u) kind of each unit
    run_end: Array  # (m, u) one past the last of the units of this kind in a row
    kind_time: Array  # (g, v, b) s: one unit
    kind_share: Array  # (g, v, b) s: the part of each member
    overhead: Array  # (g,) s
    limit: Array  # (g, m) largest batch
    price: Array  # (g,) relative to the first type
    pool: Array  # (gpus,) type of each GPU
    speed_rank: Array  # (gpus,) place of its type, the fastest first: the first model, all-cloud
    head: Array  # (d, m, s) device s before the cloud's part (all-device: all of it)
    tail: Array  # (d, m, s) device s after it
    also: Array  # (d, m, s) device s run beside the cloud (prompt encoding)
    can: Array  # (d, m, s) bool: this device can run this placement
    mask: Array  # (d, m, a) bool: the same by action
    up: Array  # (m, s) bytes
    down: Array  # (m, s) bytes
    reference: Array  # (m,) s: all-cloud, alone, on the first GPU type
    bent: Array  # (f,) 1 for every feature of the observation that is a softsign, else 0
    gain: Array  # (m, 4) GPU time of an all-cloud request in a batch of 2, 4, 8 and the limit to it
    deadline: Array  # (c,) s, relative
    weight: Array  # (c,) factor on the violation price
    action_placement: Array  # (a,)
    action_hold: Array  # (a,)
    prior_gap: float  # inter-arrival time that the pool could just serve all-cloud, s
    norm: float  # mean all-cloud GPU seconds of a request, alone
    control_delay: float  # s
    violation_price: float
    initial_window: float  # bytes that TCP sends before the first answer; 0: connections are warm
    continuous: int  # serving mode: 0 batch, 1 continuous
    discipline: int  # see splitenv.dispatch
    by_deadline: int  # whether queues are ordered by D; else by the time of becoming ready
    window: float  # s for which a request may wait (disciplines that come first, serve first)
    preferred: Array  # (p,) batch sizes, ascending (all disciplines that have a size)
    spare: int  # members to leave room for (deferred)
    guard: float  # s by which a batch is to be done before D (deferred)
    fit_slope: Array  # (g, m) s for each member: line through the all-cloud batch curve (fitted)
    fit_base: Array  # (g, m) s: where that line starts
    target: float  # s that a batch may take (aimd)
    drop_late: int
