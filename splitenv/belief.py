"""How the scheduler's knowledge changes with each event it hears of.

The kernel and the runtime's tracker call these same functions, so that a policy sees in production
what it saw in training. Plain scalar functions, see :mod:`splitenv.physics`.
"""

from __future__ import annotations

from splitenv.disciplines import AIMD, BACKOFF, DEFERRED, NEVER, SLACK
from splitenv.heap import push
from splitenv.physics import Prospect, download_time, ready_time
from splitenv.queues import insert, late_apart, leave_queue, retire
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
        queue.held = 0
        queue.launch_at = 0.0
        queue.planned_for = -1
        queue.arrivals = 0
        queue.last_arrival = 0.0
        queue.gap_fast = tables.prior_gap * models
        queue.gap_slow = tables.prior_gap * models
        queue.rate_fast = 1.0 / queue.gap_fast
        belief.largest[env, model] = 1.0
    for row in range(2 * models):
        line = belief.line[env, row]
        line.first = 0
        line.size = 0
        line.varieties = 0
        for placement in range(belief.variety.shape[2]):
            belief.variety[env, row, placement] = 0
    for gpu in range(belief.gpu.shape[1]):
        belief.gpu[env, gpu].free_at = 0.0
        belief.gpu[env, gpu].members = 0
        if tables.continuous:
            belief.phase[env, gpu].look_at = NEVER
    for client in range(belief.client.shape[1]):
        belief.client[env, client].device_free = 0.0


def arrive(tables: Tables, belief: Belief, env: int, model: int, now: float) -> None:
    """A request of ``model`` arrives: set late ones apart, renew the estimates of the load.

    Means over the last 8 and 64 gaps, as exponential averages that start from the prior.
    """
    belief.clock[env].now = now
    retire(tables, belief, env, model, now)
    queue = belief.queue[env, model]
    if queue.arrivals > 0:
        gap = now - queue.last_arrival
        seen = queue.arrivals + 1
        if seen >= SLOW_MEMORY:
            # Powers of two: the same to the last bit as the divisions below, and cheap.
            queue.gap_fast += (gap - queue.gap_fast) * (1.0 / FAST_MEMORY)
            queue.gap_slow += (gap - queue.gap_slow) * (1.0 / SLOW_MEMORY)
        else:
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
    tables: Tables,
    belief: Belief,
    env: int,
    view: Prospect,
    action: int,
    index: int,
) -> int:
    """The pending request goes to the cloud: give it a slot and its GPU deadline D.

    Returns the slot; the caller has seen that one is free.
    """
    clock = belief.clock[env]
    model = clock.model
    placement = tables.action_placement[action]
    clock.free_slots -= 1
    slot = belief.free[env, clock.free_slots]
    request = belief.request[slot, env]
    request.client = clock.client
    request.model = model
    request.placement = placement
    request.index = index
    request.action = action
    request.ready = ready_time(view, placement)
    request.place = -1
    request.download = download_time(view, placement)
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
    """A request's data is in the cloud: queue it and start its hold.

    ``expires = r + h max(0, slack(1))`` with ``slack(1) = D - r - GPU time alone``.
    """
    clock = belief.clock[env]
    request = belief.request[slot, env]
    model = request.model
    queue = belief.queue[env, model]
    request.ready = now
    request.expires = now
    if tables.discipline == SLACK:
        alone = tables.alone[0, model, request.placement, 1]
        slack = max(0.0, request.gpu_deadline - now - alone)
        request.expires = now + tables.action_hold[request.action] * slack
    elif tables.discipline == DEFERRED:
        request.expires = NEVER
    row = 2 * model
    if late_apart(tables) and (
        now + tables.soonest[model, request.placement] > request.gpu_deadline
    ):
        row += 1
    insert(tables, belief, env, row, slot)
    if request.expires > now:
        push(belief.held, belief, env, model, queue.held, request.expires, slot)
        queue.held += 1
    queue.size += 1
    queue.uploading -= 1
    queue.planned_for = -1
    clock.waiting += 1
    clock.uploading -= 1
    clock.now = now


def release(belief: Belief, env: int, slot: int) -> None:
    """Free the slot of a request that has left the cloud's hands."""
    clock = belief.clock[env]
    belief.free[env, clock.free_slots] = slot
    clock.free_slots += 1


def expect_back(belief: Belief, env: int, slot: int, finish: float) -> None:
    """A request is to leave its GPU at ``finish``: note when its device will be free."""
    request = belief.request[slot, env]
    if request.tail > 0.0:
        client = belief.client[env, request.client]
        client.device_free = max(finish + request.download, client.device_free) + request.tail


def adapted_size(largest: float, limit: int, members: int, seconds: float, target: float) -> float:
    """The largest batch after one of ``members`` that takes ``seconds``, by ``aimd``."""
    if seconds > target:
        return max(1.0, BACKOFF * largest)
    if members == int(largest) and members < limit:
        return largest + 1.0
    return largest


def start_batch(
    tables: Tables, belief: Belief, env: int, model: int, gpu: int, members: int, now: float
) -> None:
    """A batch of ``belief.members[:members]`` starts: note when GPU and devices will be free.

    ``belief.elapsed`` is the batch's time line, from :func:`splitenv.dispatch.time_line`.
    """
    last = 0
    for member in range(members):
        slot = belief.members[member]
        left = tables.exit[model, belief.request[slot, env].placement] - 1
        last = max(last, left)
        expect_back(belief, env, slot, now + belief.elapsed[left])
        release(belief, env, slot)
    belief.gpu[env, gpu].free_at = now + belief.elapsed[last]
    if tables.discipline == AIMD:
        kind = tables.pool[gpu]
        belief.largest[env, model] = adapted_size(
            belief.largest[env, model], tables.limit[kind, model], members,
            belief.elapsed[last], tables.target,
        )  # fmt: skip
    belief.clock[env].now = now
    leave_queue(belief, env, members)
