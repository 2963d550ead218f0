"""What is published of batching rules shows in the setting that their papers share.

One GPU whose batch of b takes l(b) = 5 + b ms, Poisson arrivals, everything in the cloud, an SLA of
50 ms. A batch may have to wait for the one before it, so a server that is always busy keeps to the
SLA with batches of b as long as 2 l(b) <= 50 ms (Shen et al., Nexus, SOSP 2019): with
20, which is the limit here. Its capacity is 20 requests in l(20) = 25 ms, 800 requests/s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from splitenv.disciplines import DISCIPLINES, FIRST_COME
from tests.toy import action, run, toy_settings, toy_simulator, toy_tables

SLA = 0.050
SIZES = range(1, 46)
TIMES = [(5 + size) / 1e3 for size in SIZES]
LIMIT = max(size for size, time in zip(SIZES, TIMES, strict=True) if 2 * time <= SLA)
CAPACITY = LIMIT / TIMES[LIMIT - 1]
LENGTH, LEFT_OUT = 20_000, 200
IN_TIME, DROPPED = 1, 3


class Outcome(NamedTuple):
    attainment: float
    goodput: float  # in time, requests/s
    busy: float  # share of time
    batch: float  # mean, over those served
    latency: float  # mean, over those served, s


def serve(discipline: str, rate: float, **parameters: float | tuple[int, ...]) -> Outcome:
    tables = toy_tables([TIMES[:LIMIT]], [1.0], [(0, 1)], deadline=SLA)._replace(
        discipline=DISCIPLINES[discipline],
        by_deadline=int(discipline not in FIRST_COME),
        drop_late=int(discipline == "edf-drop"),
        preferred=np.array(parameters.get("sizes", (LIMIT,)), np.int32),
        window=parameters.get("window", 0.0),
        target=parameters.get("target", 0.0),
    )
    simulator = toy_simulator(tables, toy_settings(load=rate, length=LENGTH))
    records = run(simulator, action(1))[0]
    seconds = records["arrival"][-1] - records["arrival"][0]
    in_time = records["outcome"] == IN_TIME
    # The last ones may wait for company that never comes.
    served = records[:-LEFT_OUT][records["outcome"][:-LEFT_OUT] != DROPPED]
    return Outcome(
        attainment=in_time.mean(),
        goodput=in_time.sum() / seconds,
        busy=simulator.finished[0]["busy_seconds"] / seconds,
        batch=served["batch"].mean(),
        latency=(served["complete"] - served["arrival"]).mean(),
    )


def test_the_setting_is_the_classic_one() -> None:
    assert LIMIT == 20
    assert pytest.approx(800.0) == CAPACITY


@pytest.mark.parametrize("share", [0.1, 0.25])
@pytest.mark.parametrize("greedy", ["slack", "window"])
def test_at_low_load_deferred_batching_keeps_the_gpu_far_less_busy(
    greedy: str, share: float
) -> None:
    """Symphony (Chen et al., arXiv 2308.07470): eager batches are small and so inefficient.

    ``slack`` without a hold and ``window`` without a window launch whenever the GPU is idle.
    """
    at_once = serve(greedy, share * CAPACITY)
    deferred = serve("deferred", share * CAPACITY)
    assert min(at_once.attainment, deferred.attainment) >= 0.99
    assert deferred.busy < 0.5 * at_once.busy
    assert deferred.batch > 3 * at_once.batch


@pytest.mark.parametrize("overload", [1.1, 1.3])
def test_in_overload_early_drop_keeps_goodput_where_first_come_first_served_collapses(
    overload: float,
) -> None:
    """Nexus (Shen et al., SOSP 2019).

    Its window drops from the front whoever would make it smaller than the size, so batches stay
    efficient; without drops all wait behind requests that are late already.
    """
    window_drop = serve("window-drop", overload * CAPACITY)
    first_come = serve("window", overload * CAPACITY)
    assert window_drop.goodput > 0.95 * CAPACITY
    assert first_come.goodput < 0.05 * CAPACITY


def test_dropping_only_the_hopeless_leaves_small_batches_in_overload() -> None:
    """The lazy drop that Nexus sets its early drop against.

    Earliest deadline first, without those who can't be in time (the order of Clockwork, Gujarati et
    al., OSDI 2020): the first has just enough slack left for a small batch, and so on for ever.
    """
    lazy, early = (serve(name, 1.1 * CAPACITY) for name in ("edf-drop", "window-drop"))
    first_come = serve("window", 1.1 * CAPACITY)
    assert lazy.batch < 0.25 * early.batch
    assert first_come.goodput < lazy.goodput < 0.5 * early.goodput


def test_a_larger_control_limit_makes_batches_larger_and_latencies_longer() -> None:
    """Deb and Serfozo (Advances in Applied Probability 5, 1973): serve when L wait, all of them."""
    limits = [
        serve("preferred", 400.0, window=1e6, sizes=tuple(range(least, LIMIT + 1)))
        for least in (1, 4, 8, 12, 16)
    ]
    batches, latencies, busy = (
        [getattr(outcome, name) for outcome in limits] for name in ("batch", "latency", "busy")
    )
    assert batches == sorted(batches)
    assert latencies[1:] == sorted(latencies[1:])
    assert latencies[0] < latencies[-1]
    assert busy == sorted(busy, reverse=True)
    assert batches[-1] > 3 * batches[0]
