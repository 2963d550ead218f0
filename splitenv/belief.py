"""How the scheduler's knowledge changes with each event it hears of.

The kernel and the runtime's tracker call these same functions, so that a policy sees in production
what it saw in training. Plain scalar functions, see :mod:`splitenv.physics`.
"""

from __future__ import annotations

from splitenv.state import Belief, Tables

FAST_MEMORY = 8
SLOW_MEMORY = 64


def clear(tables: Tables, belief: Belief, env: int, gpus: int) -> None:
    """Forget everything: an empty system of ``gpus`` idle GPUs at time 0."""
    clock = belief.clock[env]
    clock.now = 0.0
    clock.gpus = gpus
    clock.waiting = 0
    clock.uploading = 0
    clock.uploads = 0
    slots = belief.free.shape[1]
    clock.free_slots = slots
    for slot in range(slots):
        belief.free[env, slot] = slots - 1 - slot
    models = belief.queue.shape[1]
    for model in range(models):
        queue = belief.queue[env, model]
        queue.size = 0
        queue.uploading = 0
        queue.launch_at = 0.0
        queue.stale = 1
        queue.arrivals = 0
        queue.last_arrival = 0.0
        queue.gap_fast = tables.prior_gap * models
        queue.gap_slow = tables.prior_gap * models
        queue.rate_fast = 1.0 / queue.gap_fast
    for gpu in range(belief.gpu.shape[1]):
        belief.gpu[env, gpu].free_at = 0.0
    for client in range(belief.client.shape[1]):
        belief.client[env, client].device_free = 0.0


def arrive(belief: Belief, env: int, model: int, now: float) -> None:
    """A request of ``model`` arrives: renew the estimates of the time between arrivals.

    Means over the last 8 and 64 gaps, as exponential averages that start from the prior.
    """
    belief.clock[env].now = now
    queue = belief.queue[env, model]
    if queue.arrivals > 0:
        gap = now - queue.last_arrival
        seen = queue.arrivals + 1
        queue.gap_fast += (gap - queue.gap_fast) / min(seen, FAST_MEMORY)
        queue.gap_slow += (gap - queue.gap_slow) / min(seen, SLOW_MEMORY)
        # Requests that come in the same instant must not make the rate infinite.
        queue.gap_fast = max(queue.gap_fast, 1e-6)
        queue.gap_slow = max(queue.gap_slow, 1e-6)
        queue.rate_fast = 1.0 / queue.gap_fast
    queue.arrivals += 1
    queue.last_arrival = now


def send_to_device(tables: Tables, belief: Belief, env: int) -> None:
    """The pending request runs on its device: that device is predicted busy until it is done."""
    clock = belief.clock[env]
    client = belief.client[env, clock.client]
    start = max(clock.arrival + tables.control_delay, client.device_free)
    client.device_free = start + tables.head[clock.device, clock.model, 0] * clock.speed


def send_to_cloud(
    tables: Tables, belief: Belief, env: int, placement: int, hold: float, ready: float, index: int
) -> int:
    """The pending request goes to the cloud: give it a slot and its GPU deadline D.

    ``ready`` is the predicted ready time. Returns the slot; the caller has seen that one is free.
    """
    clock = belief.clock[env]
    model = clock.model
    clock.free_slots -= 1
    slot = belief.free[env, clock.free_slots]
    request = belief.request[env, slot]
    request.arrival = clock.arrival
    request.client = clock.client
    request.model = model
    request.placement = placement
    request.index = index
    request.hold = hold
    request.ready = ready
    request.download = 0.5 * clock.rtt + tables.down[model, placement] * clock.down_pace
    request.tail = tables.tail[clock.device, model, placement] * clock.speed
    request.gpu_deadline = clock.deadline - request.download - request.tail
    head = tables.head[clock.device, model, placement] * clock.speed
    if head > 0.0:
        client = belief.client[env, clock.client]
        start = max(clock.arrival + tables.control_delay, client.device_free)
        client.device_free = start + head
    clock.uploading += 1
    belief.queue[env, model].uploading += 1
    return slot


def become_ready(tables: Tables, belief: Belief, env: int, slot: int, now: float) -> None:
    """A request's data is in the cloud: queue it by D and start its hold.

    ``expires = r + h max(0, slack(1))`` with ``slack(1) = D - r - GPU time alone``.
    """
    clock = belief.clock[env]
    request = belief.request[env, slot]
    model = request.model
    queue = belief.queue[env, model]
    request.ready = now
    alone = tables.alone[tables.pool[0], model, request.placement, 1]
    request.expires = now + request.hold * max(0.0, request.gpu_deadline - now - alone)
    position = queue.size
    while position > 0:
        before = belief.request[env, belief.waiting[env, model, position - 1]]
        if before.gpu_deadline < request.gpu_deadline or (
            before.gpu_deadline == request.gpu_deadline and before.index < request.index
        ):
            break
        belief.waiting[env, model, position] = belief.waiting[env, model, position - 1]
        position -= 1
    belief.waiting[env, model, position] = slot
    queue.size += 1
    queue.uploading -= 1
    queue.stale = 1
    clock.waiting += 1
    clock.uploading -= 1
    clock.now = now


def leave_queue(belief: Belief, env: int, model: int, members: int) -> None:
    """Take ``belief.members[env, :members]`` out of the queue and free their slots."""
    clock = belief.clock[env]
    queue = belief.queue[env, model]
    for member in range(members):
        slot = belief.members[env, member]
        belief.request[env, slot].hold = -1.0
        belief.free[env, clock.free_slots] = slot
        clock.free_slots += 1
    kept = 0
    for position in range(queue.size):
        slot = belief.waiting[env, model, position]
        if belief.request[env, slot].hold >= 0.0:
            belief.waiting[env, model, kept] = slot
            kept += 1
    clock.waiting -= queue.size - kept
    queue.size = kept
    queue.stale = 1


def start_batch(
    tables: Tables, belief: Belief, env: int, model: int, gpu: int, members: int, now: float
) -> None:
    """A batch of ``belief.members[env, :members]`` starts: note when GPU and devices will be free.

    ``belief.elapsed[env]`` is the batch's time line, from :func:`splitenv.dispatch.time_line`.
    """
    last = 0
    for member in range(members):
        request = belief.request[env, belief.members[env, member]]
        left = tables.exit[model, request.placement] - 1
        last = max(last, left)
        if request.tail > 0.0:
            client = belief.client[env, request.client]
            back = now + belief.elapsed[env, left] + request.download
            client.device_free = max(back, client.device_free) + request.tail
    belief.gpu[env, gpu].free_at = now + belief.elapsed[env, last]
    belief.clock[env].now = now
    leave_queue(belief, env, model, members)
