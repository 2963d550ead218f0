"""The physics that scheduler and world share: how long a batch takes, what a placement leads to.

Plain scalar functions. The kernel compiles them, the runtime calls them as they are, and both give
the same bytes: so no transcendental functions, and one order of summation.
"""

from __future__ import annotations

from splitenv.state import Belief, Tables


def batch_time(tables: Tables, gpu: int, model: int, placement: int, members: float) -> float:
    """Seconds that ``members`` requests of one placement take on a GPU, launch overhead included.

    Linear between whole numbers; ``members`` is cut to the batch limit, as nothing is extrapolated.
    """
    limit = tables.limit[gpu, model]
    if members >= limit:
        return tables.alone[gpu, model, placement, limit]
    below = int(members)
    low = tables.alone[gpu, model, placement, below]
    high = tables.alone[gpu, model, placement, below + 1]
    return low + (members - below) * (high - low)


def congestion(tables: Tables, belief: Belief, env: int, model: int) -> float:
    """Earliest time at which a GPU is expected to take up a request of ``model`` that comes now.

    The first GPU to fall idle, and after it the batches that wait already, spread over the pool:
    whole batches of the model's own, all of the others'.
    """
    clock = belief.clock[env]
    free_at = belief.gpu[env, 0].free_at
    for gpu in range(1, clock.gpus):
        free_at = min(free_at, belief.gpu[env, gpu].free_at)
    if free_at <= clock.now:
        return clock.now
    work = 0.0
    for other in range(tables.placements.shape[0]):
        size = belief.queue[env, other].size
        limit = tables.limit[tables.pool[0], other]
        cloud = tables.placements[other] - 1
        work += (size // limit) * tables.alone[tables.pool[0], other, cloud, limit]
        if other != model:
            work += tables.alone[tables.pool[0], other, cloud, size % limit]
    return free_at + work / clock.gpus


def company(tables: Tables, belief: Belief, env: int, model: int) -> float:
    """Ready requests of a model that whole batches ahead of a new one leave over."""
    return float(belief.queue[env, model].size % tables.limit[tables.pool[0], model])


def ready_time(tables: Tables, belief: Belief, env: int, placement: int) -> float:
    """When the pending request is predicted to be ready for the GPU under ``placement``.

    ``r = a + control delay + device time of units < i + upload of boundary i``, the device serving
    its client's earlier work first.
    """
    clock = belief.clock[env]
    time = clock.arrival + tables.control_delay
    head = tables.head[clock.device, clock.model, placement] * clock.speed
    if head > 0.0:
        time = max(time, belief.client[env, clock.client].device_free) + head
    return time + 0.5 * clock.rtt + tables.up[clock.model, placement] * clock.up_pace


def consequence(
    tables: Tables, belief: Belief, env: int, placement: int, gpu_at: float, company: float
) -> tuple[float, float]:
    """Predict what a placement of the pending request leads to.

    Parameters
    ----------
    gpu_at
        Earliest time a GPU takes it up, from :func:`congestion`.
    company
        Requests that wait already and would share its batch, from :func:`company`.

    Returns
    -------
    complete : float
        Predicted time of completion, s.
    gpu_seconds : float
        Predicted attributed GPU seconds, in seconds of the pool's first type, with
        ``company + arrival rate x wait`` companions.
    """
    clock = belief.clock[env]
    model = clock.model
    device_free = belief.client[env, clock.client].device_free
    if placement == 0:
        start = max(clock.arrival + tables.control_delay, device_free)
        return start + tables.head[clock.device, model, 0] * clock.speed, 0.0
    gpu = tables.pool[0]
    ready = ready_time(tables, belief, env, placement)
    start = max(ready, gpu_at)
    members = 1.0 + company + (start - ready) * belief.queue[env, model].rate_fast
    members = min(members, float(tables.limit[gpu, model]))
    seconds = batch_time(tables, gpu, model, placement, members)
    complete = start + seconds + 0.5 * clock.rtt + tables.down[model, placement] * clock.down_pace
    tail = tables.tail[clock.device, model, placement] * clock.speed
    if tail > 0.0:
        also = tables.also[clock.device, model, placement] * clock.speed
        complete = max(complete, clock.arrival + tables.control_delay + also)
        complete = max(complete, device_free) + tail
    return complete, seconds / members
