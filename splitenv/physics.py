"""The physics that scheduler and world share: how long a batch takes, what a placement leads to.

Plain scalar functions. The kernel compiles them, the runtime calls them as they are, and both give
the same bytes: so no transcendental functions, and one order of summation.
"""

from __future__ import annotations

from typing import NamedTuple

from splitenv.state import Array, Belief, Row, Tables


def batch_time(alone: Array, limit: int, members: float) -> float:
    """Seconds that ``members`` requests of one placement take on a GPU, overhead included.

    ``alone`` holds the times for whole numbers, up to the batch limit; linear between them.
    ``members`` is cut to the limit, as nothing is extrapolated.
    """
    if members >= limit:
        return alone[limit]
    below = int(members)
    low = alone[below]
    high = alone[below + 1]
    return low + (members - below) * (high - low)


def start_up(window: float, rate: float, rtt: float, size: float) -> float:
    """Seconds in which TCP waits for answers before a transfer fills its link.

    From the initial window on, each window is twice the one before; while it is smaller than the
    link holds and than what is left, the sender waits for the rest of a round trip (RFC 6928,
    section 2; Cardwell, Savage and Anderson, INFOCOM 2000, section III). Connections are warm, and
    wait for nothing, where ``window``, the initial one, is 0.
    """
    wait = 0.0
    if window > 0.0:
        sent = 0.0
        while sent + window < size and window < rate * rtt:
            wait += rtt - window / rate
            sent += window
            window *= 2.0
    return wait


def next_gpu(tables: Tables, belief: Belief, env: int, model: int) -> tuple[float, int]:
    """Which GPU is expected to take up a request of ``model`` that comes now, and when it can.

    The fastest idle one; else, in continuous serving, that with room for it whose iteration ends
    first; else the first to be free, after the batches that wait already, spread over the pool:
    whole batches of the model's own, all of the others'.
    """
    clock = belief.clock[env]
    best = 0
    free_at = belief.gpu[env, 0].free_at
    for gpu in range(1, clock.gpus):
        other = belief.gpu[env, gpu].free_at
        # Of idle ones the fastest, of busy ones the first: the types are told apart by speed.
        if max(other, clock.now) < max(free_at, clock.now) or (
            other <= clock.now and tables.speed_rank[gpu] < tables.speed_rank[best]
        ):
            best = gpu
            free_at = other
    if free_at <= clock.now:
        return clock.now, best
    if tables.continuous:
        boundary, gpu = next_boundary(tables, belief, env, model)
        if gpu >= 0:
            return boundary, gpu
    kind = tables.pool[best]
    work = 0.0
    for other in range(tables.placements.shape[0]):
        size = belief.queue[env, other].size
        limit = tables.limit[kind, other]
        cloud = tables.placements[other] - 1
        work += (size // limit) * tables.alone[kind, other, cloud, limit]
        if other != model:
            work += tables.alone[kind, other, cloud, size % limit]
    return free_at + work / clock.gpus, best


def next_boundary(tables: Tables, belief: Belief, env: int, model: int) -> tuple[float, int]:
    """First iteration boundary of a busy GPU with room for ``model``, and which GPU; -1 if none."""
    clock = belief.clock[env]
    best = -1
    first = 0.0
    for gpu in range(clock.gpus):
        if aboard(belief, env, gpu, model) < tables.limit[tables.pool[gpu], model]:
            phase = belief.phase[env, gpu]
            boundary = phase.since + iterations_until(phase, clock.now) * phase.pace
            if best < 0 or boundary < first:
                best = gpu
                first = boundary
    return first, best


def aboard(belief: Belief, env: int, gpu: int, model: int) -> int:
    """Members of one model that a GPU has in continuous serving."""
    members = 0
    for member in range(belief.gpu[env, gpu].members):
        if belief.request[belief.aboard[env, gpu, member], env].model == model:
            members += 1
    return members


def iterations_until(phase: Row, time: float) -> int:
    """Iterations of a GPU's present phase until its first boundary at or after ``time``."""
    if time <= phase.since or phase.pace == 0.0:
        return 0
    steps = int((time - phase.since) / phase.pace)
    while steps < phase.left and phase.since + steps * phase.pace < time:
        steps += 1
    return min(steps, phase.left)


def company(tables: Tables, belief: Belief, env: int, model: int, gpu: int) -> float:
    """Requests of a model that a new one would share that GPU with, if nobody else came.

    Those that whole batches ahead of it leave over and, in continuous serving, those aboard.
    """
    limit = tables.limit[tables.pool[gpu], model]
    others = belief.queue[env, model].size % limit
    if tables.continuous:
        others = min(others + aboard(belief, env, gpu, model), limit - 1)
    return float(others)


class Prospect(NamedTuple):
    """What is predicted of the pending request whatever its placement.

    Attributes
    ----------
    model, device
        Of the request and its client.
    kind
        Type of the GPU that is expected to take it up.
    begin
        When it can begin on the device, if that is free: arrival + control delay.
    device_free
        When the device has served its earlier work.
    gpu_at
        From when on the GPU can take it up.
    company
        Requests that would share its batch, from :func:`company`.
    rate
        Arrivals of its model, 1/s.
    head, tail, also, up, down, alone
        The rows of the tables, by placement, for its device, model and GPU.
    """

    model: int
    device: int
    kind: int
    speed: float
    rtt: float
    uplink: float
    downlink: float
    up_pace: float
    down_pace: float
    begin: float
    device_free: float
    gpu_at: float
    company: float
    rate: float
    limit: int
    price: float
    initial_window: float
    head: Array
    tail: Array
    also: Array
    up: Array
    down: Array
    alone: Array


def prospect(tables: Tables, belief: Belief, env: int) -> Prospect:
    """Predict what does not depend on the pending request's placement."""
    clock = belief.clock[env]
    gpu_at, gpu = next_gpu(tables, belief, env, clock.model)
    clock.gpu_at = gpu_at
    clock.company = company(tables, belief, env, clock.model, gpu)
    clock.kind = tables.pool[gpu]
    return same_prospect(tables, belief, env)


def same_prospect(tables: Tables, belief: Belief, env: int) -> Prospect:
    """The pending request's prospect, where nothing has happened since it was predicted."""
    clock = belief.clock[env]
    model = clock.model
    device = clock.device
    kind = clock.kind
    return Prospect(
        model,
        device,
        kind,
        clock.speed,
        clock.rtt,
        clock.uplink,
        clock.downlink,
        clock.up_pace,
        clock.down_pace,
        clock.arrival + tables.control_delay,
        belief.client[env, clock.client].device_free,
        clock.gpu_at,
        clock.company,
        belief.queue[env, model].rate_fast,
        tables.limit[kind, model],
        tables.price[kind],
        tables.initial_window,
        tables.head[device, model],
        tables.tail[device, model],
        tables.also[device, model],
        tables.up[model],
        tables.down[model],
        tables.alone[kind, model],
    )


def upload_time(view: Prospect, placement: int) -> float:
    """Predicted seconds from the start of the pending request's upload to its end."""
    size = view.up[placement]
    wait = start_up(view.initial_window, view.uplink, view.rtt, size)
    return wait + 0.5 * view.rtt + size * view.up_pace


def download_time(view: Prospect, placement: int) -> float:
    """Predicted seconds from the pending request's leaving the GPU to the data on the device."""
    size = view.down[placement]
    wait = start_up(view.initial_window, view.downlink, view.rtt, size)
    return wait + 0.5 * view.rtt + size * view.down_pace


def ready_time(view: Prospect, placement: int) -> float:
    """When the pending request is predicted to be ready for the GPU under ``placement``.

    ``r = a + control delay + device time of units < i + upload of boundary i``, the device serving
    its client's earlier work first.
    """
    time = view.begin
    head = view.head[placement] * view.speed
    if head > 0.0:
        time = max(time, view.device_free) + head
    return time + upload_time(view, placement)


def consequence(view: Prospect, placement: int) -> tuple[float, float, float]:
    """Predict what a placement of the pending request leads to.

    Returns
    -------
    complete : float
        Predicted time of completion, s.
    gpu_seconds : float
        Predicted GPU seconds of its batch, in seconds of the pool's first type at its price.
    members : float
        Predicted size of that batch, among whom they are shared: itself, its company, and who
        arrives while it waits.
    """
    if placement == 0:
        start = max(view.begin, view.device_free)
        return start + view.head[0] * view.speed, 0.0, 1.0
    ready = ready_time(view, placement)
    start = max(ready, view.gpu_at)
    members = 1.0 + view.company + (start - ready) * view.rate
    members = min(members, float(view.limit))
    seconds = batch_time(view.alone[placement], view.limit, members)
    complete = start + seconds + download_time(view, placement)
    tail = view.tail[placement] * view.speed
    if tail > 0.0:
        also = view.also[placement] * view.speed
        complete = max(complete, view.begin + also)
        complete = max(complete, view.device_free) + tail
    return complete, seconds * view.price, members
