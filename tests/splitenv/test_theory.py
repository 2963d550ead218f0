"""The simulator against queueing theory: the formula must lie in the simulation's interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.toy import run, toy_settings, toy_simulator, toy_tables

ROWS, LENGTH = 192, 6000


def mean_wait(tables, settings):
    """Mean wait for the GPU with its 99.9% interval, from independent runs past their start."""
    records = run(toy_simulator(tables, settings, envs=ROWS), 1)
    kept = records[:, 1000:]
    means = (kept["start"] - kept["ready"]).mean(axis=1)
    half = stats.t.ppf(0.9995, ROWS - 1) * means.std(ddof=1) / np.sqrt(ROWS)
    return means.mean(), half


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_waiting_alone_on_one_gpu_is_the_m_d_1_queue(load):
    """W = rho T / (2 (1 - rho)), Pollaczek-Khinchine with constant service T = 1."""
    tables = toy_tables([[1.0]], [1e6], [(0, 1)], deadline=1e6)
    wait, half = mean_wait(tables, toy_settings(load=load, length=LENGTH))
    formula = load / (2 * (1 - load))
    assert abs(wait - formula) < half
    assert half < 0.03 * formula


def test_batches_taken_without_hold_are_bulk_service_with_rule_1_b():
    """Constant service, up to b = 4 at once, rule (1, b): by the embedded chain at departures.

    Neuts, A general class of bulk queues with Poisson input, Ann. Math. Statist. 38 (1967).
    The chain of the queue left at departures is solved numerically; the mean number in queue over
    time follows from it, and Little's law gives the wait.
    """
    load, limit, service = 2.4, 4, 1.0
    tables = toy_tables([[service] * limit], [1e6], [(0, 1)], deadline=1e6)
    wait, half = mean_wait(tables, toy_settings(load=load, length=LENGTH))
    formula = bulk_wait(load, limit, service)
    assert abs(wait - formula) < half
    assert half < 0.03 * formula


def bulk_wait(load: float, limit: int, service: float, states: int = 400) -> float:
    arrivals = stats.poisson.pmf(np.arange(states), load * service)
    chain = np.zeros((states, states))
    for queue in range(states):
        left = max(max(queue, 1) - limit, 0)
        chain[queue, left:] = arrivals[: states - left]
        chain[queue, -1] += 1.0 - chain[queue].sum()
    start = np.linalg.matrix_power(chain, 2048)[0]
    # A cycle from one departure to the next: an idle time 1/load if nobody waits, then a service,
    # in which those left over wait all of it and a new one waits half of it on average.
    left = np.maximum(np.maximum(np.arange(states), 1) - limit, 0)
    queue_time = start @ left * service + load * service**2 / 2
    cycle = service + start[0] / load
    return queue_time / cycle / load
