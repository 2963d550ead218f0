"""When to serve a batch, by holding cost: the problem of Deb and Serfozo (1973).

Customers come one by one at Poisson times and wait at a cost for each and its time. One server
takes up to so many at once; a service costs a fixed sum plus a sum a head, and lasts an exponential
time. Deb and Serfozo (*Optimal control of batch service queues*, Advances in Applied Probability 5,
340-361) show that a control limit is optimal: serve as soon as so many wait. Value iteration here
knows nothing of that, and must find it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchQueue:
    """The problem.

    Attributes
    ----------
    arrivals, services
        Rates, 1/s.
    largest
        Customers that can be served at once.
    fixed
        Cost of a service; what it costs a head is the same under every policy that keeps up, and
        left out.
    holding
        Cost of a second that a customer waits for its service to start.
    room
        Customers that can wait; more are turned away, so it must be large.
    """

    arrivals: float
    services: float
    largest: int
    fixed: float
    holding: float
    room: int = 200


def optimum(queue: BatchQueue, tolerance: float = 1e-9) -> tuple[float, npt.NDArray[np.bool_]]:
    """Solve by relative value iteration.

    Returns
    -------
    cost : float
        Least mean cost a second.
    serve : numpy.ndarray
        Whether to serve when so many wait and the server is idle, (room + 1,).
    """
    total = queue.arrivals + queue.services
    come, done = queue.arrivals / total, queue.services / total
    waits = np.arange(queue.room + 1)
    more, left = np.minimum(waits + 1, queue.room), np.maximum(waits - queue.largest, 0)
    paid = queue.holding * waits / total
    idle, busy = np.zeros(queue.room + 1), np.zeros(queue.room + 1)
    while True:
        # ``idle`` is the value with the decision to come, ``wait`` of having decided to wait.
        busy_now = paid + come * busy[more] + done * idle
        wait = paid + come * idle[more] + done * idle
        serve = queue.fixed + paid[left] + come * busy[more[left]] + done * idle[left]
        idle_now = np.minimum(wait, serve)
        change = np.concatenate([idle_now - idle, busy_now - busy])
        idle, busy = idle_now - idle_now[0], busy_now - idle_now[0]
        if np.ptp(change) < tolerance:
            return float(change.mean() * total), (serve < wait) & (waits > 0)


def control_limit_cost(queue: BatchQueue, limit: int) -> float:
    """Mean cost a second of serving as soon as ``limit`` wait, from the chain's balance."""
    size = queue.room + 1
    rates = np.zeros((2 * size, 2 * size))
    starts = np.zeros(2 * size)
    for n in range(size):
        for state, after, rate in (
            (n, n + 1, queue.arrivals),
            (size + n, min(n + 1, queue.room) + size, queue.arrivals),
            (size + n, n, queue.services),
        ):
            if state == n and n >= limit:
                continue
            begins = after < size and after >= limit
            if begins:
                starts[state] += rate
                after = size + max(after - queue.largest, 0)
            rates[state, after] += rate
    generator = rates - np.diag(rates.sum(axis=1))
    used = np.r_[0 : min(limit, size), size : 2 * size]
    balance = np.vstack([generator[np.ix_(used, used)].T, np.ones(len(used))])
    share = np.linalg.lstsq(balance, np.eye(len(used) + 1)[-1], rcond=None)[0]
    waits = np.concatenate([np.arange(size)] * 2)
    return float(share @ (queue.fixed * starts[used] + queue.holding * waits[used]))


def best_control_limit(queue: BatchQueue) -> tuple[float, int]:
    """Return the least cost of any control limit up to the largest batch, and that limit."""
    return min((control_limit_cost(queue, m), m) for m in range(1, queue.largest + 1))
