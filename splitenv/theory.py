"""What queueing theory says a simulator must give: mean waits and latencies, exact to rounding.

Rates are requests per second, times are seconds; arrivals are Poisson and served in their order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

_NEGLIGIBLE = 50.0
"""Series and chains are cut where what is left out is below e to the minus this."""


def _stable(load: float) -> None:
    if not 0.0 < load < 1.0:
        raise ValueError(f"load {load} is not between 0 and 1: there is no steady state")


def decay(load: float) -> float:
    """Decay of a queue's memory per mean service time of one server: ``rho - 1 - ln rho``.

    The chance that Poisson arrivals at load rho keep up with n constant services is about
    exp(-n decay) (Chernoff), which bounds how long the start of a run, and the terms of
    :func:`mdc_wait`, matter.
    """
    _stable(load)
    return load - 1.0 - math.log(load)


def mg1_wait(rate: float, mean: float, second_moment: float) -> float:
    """Mean wait of the M/G/1 queue, ``W = rate E[S^2] / (2 (1 - rate E[S]))``.

    Pollaczek, Mathematische Zeitschrift 32 (1930); Khinchine, Matematicheskii Sbornik 39 (1932).
    Kleinrock, Queueing Systems I (1975), eq. 5.71.
    """
    _stable(rate * mean)
    return rate * second_moment / (2.0 * (1.0 - rate * mean))


def md1_wait(rate: float, service: float) -> float:
    """Mean wait of the M/D/1 queue: :func:`mg1_wait` for constant service, ``E[S^2] = T^2``."""
    return mg1_wait(rate, service, service**2)


def mdc_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait of the M/D/c queue.

    Whoever is served at time t has left at t + T, so the queue Q behind the c servers obeys
    ``Q(t + T) = max(0, Q(t) + A - c)``, A Poisson with mean rate T (Crommelin, Delay probability
    formulae when the holding times are constant, P.O. Electrical Engineers' Journal 25 (1932)).
    This is a random walk reflected at 0, so by Spitzer's identity (A combinatorial lemma and its
    application to probability theory, Trans. AMS 82 (1956)) and Little's law

        W = 1/rate  x  sum over n >= 1 of  1/n  E[max(0, N_n - n c)],   N_n Poisson(n rate T).

    All terms are positive: nothing cancels between them, at any number of servers.
    """
    load = rate * service / servers
    terms = 10 + math.ceil(_NEGLIGIBLE / (servers * decay(load)))
    n = np.arange(1, terms + 1)
    mean, bar = n * rate * service, n * servers
    # E[max(0, N - k)] = m P(N = k) - (k - m) P(N > k) for N Poisson with mean m.
    excess = mean * stats.poisson.pmf(bar, mean) - (bar - mean) * stats.poisson.sf(bar, mean)
    return float(np.sum(np.maximum(excess, 0.0) / n) / rate)


def mdc_wait_at_most(times: Array, rate: float, service: float, servers: int) -> Array:
    """Distribution of the wait of the M/D/c queue, ``P(W <= x)`` for each x of ``times``.

    With k the whole number for which (k - 1) T <= x < k T, and Q the number waiting,

        P(W <= x) = sum over j from 0 to k c - 1 of  P(Q <= k c - 1 - j) e^-m m^j / j!,
        m = rate (k T - x):

    Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters
    29 (2001). Q is the stationary state of Crommelin's recursion, see :func:`mdc_wait`.
    """
    load = rate * service / servers
    states = _states(load, servers)
    waiting = np.maximum(np.arange(states) - servers, 0)
    chain = np.stack([_shifted(rate * service, left, states) for left in waiting])
    present = np.cumsum(stationary(chain))
    at_most = np.append(present[servers:], np.ones(servers))
    result = np.empty(len(times))
    for position, time in enumerate(times):
        whole = math.floor(time / service) + 1
        j = np.arange(whole * servers)
        queue = np.minimum(whole * servers - 1 - j, states - 1)
        chance = stats.poisson.pmf(j, rate * (whole * service - time))
        result[position] = np.sum(at_most[queue] * chance)
    return result


def bulk_wait(rate: float, service: float, limit: int) -> float:
    """Mean wait where one server takes up to ``limit`` waiting requests at once, rule (1, b).

    The service time is constant whatever the size of the batch; an idle server takes a request at
    once. Neuts, A general class of bulk queues with Poisson input, Annals of Mathematical
    Statistics 38 (1967). The numbers waiting at departures are a Markov chain. A cycle from one
    departure to the next is an idle time of mean 1/rate, if nobody waits, and a service, which
    those that are left over wait through, and those that arrive in it wait half of, on average; so

        W = (E[left over] T + rate T^2 / 2) / ((T + P(nobody waits) / rate) rate).
    """
    states = _states(rate * service / limit, limit)
    left = np.maximum(np.maximum(np.arange(states), 1) - limit, 0)
    chain = np.stack([_shifted(rate * service, start, states) for start in left])
    share = stationary(chain)
    waited = float(share @ left) * service + rate * service**2 / 2.0
    return waited / (service + float(share[0]) / rate) / rate


def linear_batch_latency(rate: float, fixed: float, each: float) -> float:
    """Mean latency where an idle server takes all that wait; a batch of b takes fixed + each x b.

    Inoue, Queueing analysis of GPU-based inference servers with dynamic batching: a closed-form
    characterization, Performance Evaluation 147 (2021), arXiv:1912.06322. The sizes B of batches
    are a Markov chain, ``B' = max(1, A)`` with A Poisson of mean rate l(B). Who arrives in a
    batch's time waits half of it on average, and everyone stays for all of the own batch; so

        latency = (rate E[l(B)^2] / 2 + E[B l(B)]) / E[B].
    """
    size = np.arange(1, largest_batch(rate, fixed, each) + 1)
    time = fixed + each * size
    chain = stats.poisson.pmf(size, rate * time[:, None])
    chain[:, 0] += np.exp(-rate * time)
    chain[:, -1] += np.maximum(1.0 - chain.sum(axis=1), 0.0)
    share = stationary(chain)
    return float((rate * (share @ time**2) / 2.0 + share @ (size * time)) / (share @ size))


def linear_batch_bound(rate: float, fixed: float, each: float) -> float:
    """Upper bound on :func:`linear_batch_latency` in closed form, tight at low and at high load.

    With a = each, t = fixed and r = rate, the lesser of

        phi_0 = (a + t) / (2 (1 - r a)) x (1 + 2 r t + (1 - r t) / (1 + r a)),
        phi_1 = 3/2 x t / (1 - r a) + a/2 x (r a + 2) / (1 - r^2 a^2):

    Inoue (2021), the upper bound for linear batch times. The first is exact as r goes to 0; the
    second is the latency of a server that never idles, hence exact as r a goes to 1.
    """
    load = rate * each
    _stable(load)
    idle = (1.0 - rate * fixed) / (1.0 + load)
    low = (each + fixed) / (2.0 * (1.0 - load)) * (1.0 + 2.0 * rate * fixed + idle)
    high = 1.5 * fixed / (1.0 - load) + each / 2.0 * (load + 2.0) / (1.0 - load**2)
    return min(low, high)


def largest_batch(rate: float, fixed: float, each: float) -> int:
    """A size that batches of :func:`linear_batch_latency` exceed with negligible chance.

    Of a server that never idles, the sizes have mean ``m = r t / (1 - r a)`` and variance
    ``m / (1 - (r a)^2)``; this is 12 standard deviations above it, with room for small means.
    """
    load = rate * each
    _stable(load)
    mean = max(1.0, rate * (fixed + each)) / (1.0 - load)
    return math.ceil(mean + 12.0 * math.sqrt(mean / (1.0 - load**2)) + 30.0)


def single_latency(
    *,
    device: float,
    cloud: float,
    sent: float,
    returned: float,
    rate: float,
    rtt: float,
    overhead: float,
    control_delay: float,
) -> float:
    """Latency of a request that meets nobody, by adding up its life (docs/words.md).

    Parameters
    ----------
    device
        Seconds on the device, before and after the cloud.
    cloud
        Seconds of its units on the GPU, alone; ``overhead`` is the launch.
    sent, returned
        Bytes up and down a link of ``rate`` bytes/s; each way pays half of ``rtt``.
    """
    transfers = sent / rate + 0.5 * rtt + returned / rate + 0.5 * rtt
    return control_delay + device + transfers + overhead + cloud


def stationary(chain: npt.NDArray[Any]) -> Array:
    """Stationary distribution of a Markov chain with one recurrent class, by a linear system."""
    states = len(chain)
    equations = chain.T - np.eye(states)
    equations[-1] = 1.0
    right = np.zeros(states)
    right[-1] = 1.0
    return np.asarray(np.linalg.solve(equations, right))


def _states(load: float, limit: int) -> int:
    """Where a chain of requests present can be cut: the tail falls as exp(-2 (1 - load) n)."""
    _stable(load)
    return 12 * limit + math.ceil(_NEGLIGIBLE / 2.0 / (1.0 - load)) + 40


def _shifted(mean: float, start: int, states: int) -> Array:
    """Distribution of start + Poisson(mean), all that lies beyond the last state put into it."""
    row = np.asarray(stats.poisson.pmf(np.arange(states) - start, mean), float)
    row[-1] += max(0.0, 1.0 - row.sum())
    return row
