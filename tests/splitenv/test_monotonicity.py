"""A faster device, link or pool makes no request's completion later, where theory says so.

Each law compares two worlds with the same seed and decisions, of which one is faster. A law needs
that nobody can be overtaken: services in a fixed order, each alone. What happens without that is in
``test_scheduling_anomalies.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from splitenv.disciplines import DISCIPLINES
from splitenv.settings import normal_quantiles
from tests.toy import run, toy_settings, toy_simulator, toy_tables

LENGTH = 48
FACTORS = st.floats(1.05, 4.0)
SEEDS = st.integers(0, 2**32)
few = hypothesis_settings(max_examples=40, deadline=None)


def complete(tables: Any, world: Any, actions: Any, seed: int, clients: int = 4) -> Any:
    simulator = toy_simulator(tables, world, clients=clients, queue=LENGTH)
    return run(simulator, actions, seed)[0]["complete"].copy()


def assert_no_later(faster: Any, slower: Any) -> None:
    """No completion is later (heat is kept in float32), and not all are the same."""
    assert np.isfinite(slower).all()
    assert (faster <= slower + 1e-6).all()
    assert (faster < slower).any()


# --- Devices serve their client first come, first served: c(n) = max(b(n), c(n - 1)) + w(n).


def on_devices(load: float = 1.0, **changes: Any) -> tuple[Any, Any]:
    tables = toy_tables([[1.0]], [3.0], [(0, 1)])
    return tables, toy_settings(load=load, length=LENGTH)._replace(jitter=0.5, **changes)


def throttling(slowdown: float, span: float) -> dict[str, Any]:
    return {
        "throttle": np.array([slowdown]),
        "throttle_time": np.array([span]),
        "throttles": int(slowdown > 1.0),
    }


LOADS = st.sampled_from([0.2, 1.0, 4.0])
SPANS = st.floats(1.0, 100.0)


@few
@given(SEEDS, FACTORS, LOADS, st.sampled_from([1.0, 2.5]), SPANS)
def test_a_faster_device_completes_no_all_device_run_later(seed, factor, load, slowdown, span):
    """Lindley (1952): the recursion is monotone in every w.

    Throttling leaves that as it is. While the slower device is busy whenever the faster one is, it
    is at least as hot and so at most as fast; so it stays behind, and hence busy.
    """
    tables, world = on_devices(load, **throttling(slowdown, span))
    faster = world._replace(device_speed=np.full(2, 1.0 / factor))
    assert_no_later(*(complete(tables, each, 0, seed) for each in (faster, world)))


@few
@given(SEEDS, FACTORS, LOADS, st.floats(1.2, 4.0), SPANS)
def test_a_device_that_throttles_less_completes_no_run_later(seed, factor, load, slowdown, span):
    """Heat depends on when the device is busy, speed at the same heat on the slowdown alone."""
    tables, less = on_devices(load, **throttling(slowdown, span))
    _, more = on_devices(load, **throttling(slowdown * factor, span))
    assert_no_later(*(complete(tables, each, 0, seed) for each in (less, more)))


@few
@given(SEEDS, LOADS, st.floats(1.1, 4.0), st.floats(0.5, 50.0), st.sampled_from([1.0, 2.5]))
def test_a_device_with_nothing_else_to_do_completes_no_run_later(seed, load, slowdown, block, warm):
    """Every factor on w is at least 1 with background load, and 1 without."""
    tables, rest = on_devices(load, **throttling(warm, 20.0))
    busy = rest._replace(background=np.array([slowdown, 1.0]), background_block=block)
    assert_no_later(*(complete(tables, each, 0, seed) for each in (rest, busy)))


# --- Links. With a GPU for every request, each is served alone, whoever is ready first.


def over_links(window: float = 0.0, *, steady: bool = False) -> tuple[Any, Any]:
    """Clients of different links; steady or with rates and RTTs that change all the time."""
    tables = toy_tables(
        [[0.5], [0.5]], [1.0, 1.0], [(1, 2), (0, 1), (0, 2)],
        gpus=LENGTH, up=[60e3, 20e3, 150e3], down=[1e3, 80e3, 200e3],
    )._replace(initial_window=window)  # fmt: skip
    world = toy_settings(load=2.0, rate=50e3, rtt=0.2, gpus=LENGTH, length=LENGTH)
    world.session[0, :, 1] = 0.7
    world = world._replace(normal=normal_quantiles())
    if steady:
        return tables, world
    changing = np.stack([np.geomspace(0.05, 3.0, 64)] * 2)[None]
    return tables, world._replace(
        rate=changing, block=np.array([[0.7, 1.3]]), rtt=np.geomspace(0.5, 3.0, 64)[None]
    )


CLOUD = [1, 6, 11, 11, 6]
"""Actions: some start on the device, some end there, some are all-cloud."""


@few
@given(SEEDS, FACTORS)
def test_faster_links_complete_no_request_later_where_every_one_has_a_gpu(seed, factor):
    """Bytes of S are through when the integral of the rate reaches S: no later at a higher rate.

    Each client asks once (else tails of one device could be served in another order).
    """
    tables, world = over_links()
    faster = world._replace(bandwidth=np.full(2, factor))
    once = world_without_repeats(tables, (faster, world), seed)
    assert_no_later(*once)


@few
@given(SEEDS, FACTORS, st.sampled_from([2e3, 14_600.0]))
def test_faster_steady_links_are_no_later_with_tcp_s_start_up_either(seed, factor, window):
    """With K windows waited for, start-up and transfer take K RTT + (S - (2^K - 1) W) / R.

    That falls in R, and K grows by one where the wait that it adds, RTT - 2^K W / R, is 0.
    """
    tables, world = over_links(window, steady=True)
    faster = world._replace(bandwidth=np.full(2, factor))
    assert_no_later(*world_without_repeats(tables, (faster, world), seed))


@few
@given(SEEDS, st.floats(1e3, 30e3))
def test_warm_connections_are_no_later_than_tcp_s_start_up(seed, window):
    """Without start-up, a transfer that starts earlier ends no later, and none waits."""
    cold, world = over_links(window)
    warm = cold._replace(initial_window=0.0)
    assert_no_later(*(world_without_repeats(each, (world,), seed)[0] for each in (warm, cold)))


@few
@given(SEEDS, FACTORS, st.floats(1e3, 30e3))
def test_a_larger_first_window_is_no_later_on_steady_links(seed, factor, window):
    """A larger W waits for fewer windows, and for each of them less long."""
    small, world = over_links(window, steady=True)
    large = small._replace(initial_window=window * factor)
    assert_no_later(*(world_without_repeats(each, (world,), seed)[0] for each in (large, small)))


def world_without_repeats(tables: Any, worlds: Any, seed: int) -> list[Any]:
    """Completions of the requests whose client asks for the first and only time."""
    simulator = toy_simulator(tables, worlds[0], clients=4096, queue=LENGTH)
    clients = run(simulator, CLOUD, seed)[0]["client"]
    names, counts = np.unique(clients, return_counts=True)
    once = np.isin(clients, names[counts == 1])
    return [complete(tables, world, CLOUD, seed, 4096)[once] for world in worlds]


@few
@given(SEEDS, FACTORS, st.integers(1, 3), st.sampled_from([0.0, 4e3]))
def test_a_faster_link_of_one_client_is_no_later_first_come_first_served(
    seed, factor, gpus, window
):
    """Equal uploads over one steady link arrive in the order they were sent, at either rate.

    So all ready times fall and keep their order, and the starts with them (Lindley 1952).
    """
    tables = first_come(toy_tables([[1.0]], [1.0], [(0, 1)], gpus=gpus, up=[50e3], down=[9e3]))
    tables = tables._replace(initial_window=window)
    world = toy_settings(load=1.2 * gpus, rate=50e3, rtt=0.2, gpus=gpus, length=LENGTH)
    faster = world._replace(bandwidth=np.full(2, factor))
    assert_no_later(*(complete(tables, each, 1, seed, 1) for each in (faster, world)))


# --- GPUs, first come, first served, one at a time: Kiefer and Wolfowitz (1955) for c servers.


def first_come(tables: Any) -> Any:
    return tables._replace(discipline=DISCIPLINES["window"], by_deadline=0)


def pool(gpus: int, factor: float = 1.0, discipline: str = "window") -> Any:
    """Placements that take 2, 3 and 5 s on a GPU, two of them with a device tail."""
    curve = [[2.0 / factor], [1.0 / factor], [2.0 / factor]]
    spans = [(0, 1), (0, 2), (0, 3)]
    tables = toy_tables(curve, [0.1, 0.3, 0.6], spans, gpus=gpus, deadline=1e9)
    return first_come(tables) if discipline == "window" else tables


def at(load: float, gpus: int) -> Any:
    return toy_settings(load=load * gpus / 3.0, rtt=0.1, gpus=gpus, length=LENGTH)


@few
@given(SEEDS, FACTORS, st.floats(0.3, 2.0), st.integers(1, 4), st.data())
def test_faster_gpus_complete_no_request_later_first_come_first_served(
    seed, factor, load, gpus, data
):
    """One GPU: f(n) = max(r(n), f(n - 1)) + s(n), monotone in every s (Lindley 1952).

    Several: the ordered vector of what each has left to do is monotone in every s, and its least
    entry is the wait (Kiefer and Wolfowitz 1955). Device tails are served in the same order.
    """
    actions = data.draw(st.lists(st.sampled_from([1, 6, 11, 15]), min_size=3, max_size=9))
    world = at(load, gpus)
    slow, fast = (complete(pool(gpus, f), world, actions, seed) for f in (1.0, factor))
    assert_no_later(fast, slow)


@few
@given(SEEDS, st.floats(1.0, 2.0), st.integers(1, 4), st.integers(1, 4))
def test_more_gpus_of_a_kind_complete_no_request_later_first_come_first_served(
    seed, load, gpus, more
):
    """As with infinitely much left to do on those that are missing (Kiefer and Wolfowitz 1955)."""
    load *= gpus / (gpus + more)
    fewer, many = at(load, gpus + more), at(load, gpus + more)
    fewer = fewer._replace(gpus=np.full(2, gpus))
    actions = [1, 11, 6]
    slow, fast = (complete(pool(gpus + more), w, actions, seed) for w in (fewer, many))
    assert_no_later(fast, slow)


@pytest.mark.parametrize("discipline", ["slack", "edf-drop"])
@few
@given(SEEDS, FACTORS, st.integers(1, 4))
def test_by_deadline_too_where_deadlines_come_in_the_order_of_arrival(
    discipline, seed, factor, gpus
):
    """One placement, equal relative deadlines, no hold, nobody late: D orders as arrival does."""
    world = at(1.5, gpus)
    slow, fast = (
        pool(gpus, f, discipline)._replace(discipline=DISCIPLINES[discipline])
        for f in (1.0, factor)
    )
    assert_no_later(*(complete(tables, world, 11, seed) for tables in (fast, slow)))
