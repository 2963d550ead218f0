"""Links and devices by hand: rates that change, TCP's start-up, throttling, background load."""

from __future__ import annotations

import math

import numpy as np
import pytest

from splitenv.truth import Settings
from tests.splitenv.conftest import Simulate
from tests.toy import action, toy_settings, toy_tables


def recorded(blocks: list[tuple[float, float, float]], step: float) -> Settings:
    """A recorded network: uplink, downlink (bytes/s) and RTT of blocks of ``step`` seconds."""
    return toy_settings()._replace(
        series=np.array(blocks),
        series_span=np.array([[0, len(blocks)]], np.int64),
        block=np.full((1, 2), step),
        # What is left of the fitted network is the episode's factor on rates.
        session=np.zeros((1, 3, 4)),
    )


def test_a_transfer_integrates_a_rate_that_changes_on_its_way(simulate: Simulate) -> None:
    # Blocks of 2 s: 1000 bytes/s, then 500, then 1000 again and so on. The upload of 3000 bytes
    # starts at 1: 1000 bytes to 2, 1000 to 4, 1000 to 5; and half an RTT. The download of
    # 2500 bytes, at twice the rates, starts at 9.1: 1800 bytes to 10, at 1000 bytes/s the rest.
    settings = recorded([(1000.0, 2000.0, 0.2), (500.0, 1000.0, 9.9)], step=2.0)
    tables = toy_tables([[4.0]], [99.0], [(0, 1)], up=[3000.0], down=[2500.0])
    (only,) = simulate(tables, [1.0], [action(1)], settings=settings, clients=1)
    assert only["ready"] == pytest.approx(5.1, rel=1e-7)
    assert only["finish"] == pytest.approx(9.1, rel=1e-7)
    assert only["complete"] == pytest.approx(10.0 + 0.7 + 0.1, rel=1e-7)


def test_a_client_reports_the_rate_of_a_while_ago(simulate: Simulate) -> None:
    # At 4.5 the uplink has 1000 bytes/s, a second before it had 2000 (block 1, from 2 to 4).
    settings = recorded([(1000.0, 5e3, 0.2), (2000.0, 7e3, 0.2)], step=2.0)._replace(report_lag=1.0)
    tables = toy_tables([[4.0]], [99.0], [(0, 1)])
    early, late = simulate(tables, [0.5, 4.5], [action(1)] * 2, settings=settings, clients=1)
    assert [early["uplink"], early["downlink"]] == pytest.approx([1000.0, 5000.0])
    assert [late["uplink"], late["downlink"]] == pytest.approx([2000.0, 7000.0])


def test_tcp_starts_up_window_by_window(simulate: Simulate) -> None:
    """Ten segments of 1460 bytes (RFC 6928), 10 Mbit/s, an RTT of 100 ms, 100 kB.

    The link holds 125,000 bytes a round trip. The sender's first window, 14,600 bytes, takes 11.68
    ms, then it waits for 88.32 ms; the second, 29,200 bytes, takes 23.36 ms, then 76.64 ms. The
    third, 58,400 bytes, would be more than what is left. So 100,000 bytes take 164.96 ms of waiting
    and 80 ms of sending, and arrive half a round trip later: 294.96 ms.
    """
    settings = toy_settings(rate=1.25e6, rtt=0.1)
    tables = toy_tables([[4.0]], [99.0], [(0, 1)], up=[1e5], down=[1e5], deadline=100.0)
    (only,) = simulate(
        tables._replace(initial_window=14_600.0), [1.0], [action(1)], settings=settings
    )
    assert only["ready"] == pytest.approx(1.29496, rel=1e-6)
    assert only["download"] - only["finish"] == pytest.approx(0.29496, rel=1e-6)
    assert only["gpu_deadline"] == pytest.approx(101.0 - 0.29496, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "waits"),
    [
        (14_600.0, 0.0),  # one window
        (14_601.0, 0.08832),  # it takes 11.68 ms of the round trip, and 88.32 ms are left
        (43_800.0, 0.08832),
        (43_801.0, 0.08832 + 0.07664),  # two windows
        (102_201.0, 0.08832 + 0.07664 + 0.05328),  # three
        (1e7, 0.08832 + 0.07664 + 0.05328 + 0.00656),  # four; a fifth would be more than it holds
    ],
)
def test_start_up_ends_when_the_link_is_full(simulate: Simulate, size: float, waits: float) -> None:
    settings = toy_settings(rate=1.25e6, rtt=0.1)
    tables = toy_tables([[4.0]], [99.0], [(0, 1)], up=[size])._replace(initial_window=14_600.0)
    (only,) = simulate(tables, [1.0], [action(1)], settings=settings)
    assert only["ready"] == pytest.approx(1.0 + waits + size / 1.25e6 + 0.05, rel=1e-6)


WARM_IN = 10.0
LN2 = math.log(2.0)


def throttling(slowdown: float) -> Settings:
    return toy_settings()._replace(
        throttle=np.array([slowdown]), throttle_time=np.array([WARM_IN]), throttles=1
    )


def test_a_device_slows_down_as_it_warms_up(simulate: Simulate) -> None:
    """Slowdown 2, time constant T = 10 s: speed 1 - heat / 2.

    A cold device that is busy for t = T ln 2 has a heat of 1/2 then, and has done the work of
    t - (t - T / 2) / 2 = t / 2 + 2.5 = 5.96574 cold seconds. Left alone for T ln 2, its heat falls
    to 1/4, and its client reports a slowdown of 1 / (1 - 1/8) = 8/7. Busy for T ln 2 again, it does
    the work of t - (t - 3/4 T / 2) / 2 = t / 2 + 1.875 = 5.34074 cold seconds.
    """
    busy = WARM_IN * LN2
    cold, warmer = busy / 2 + 2.5, busy / 2 + 1.875
    # All-device is the first piece; the head of [1, 2) the second.
    tables = toy_tables([[1.0], [1.0]], [warmer, cold - warmer], [(1, 2), (0, 2)], deadline=100.0)
    first, second, third = simulate(
        tables,
        [1.0, 1.0 + 2 * busy, 1.5 + 2 * busy],
        [0, action(1), action(2)],
        settings=throttling(2.0),
        clients=1,
    )
    assert first["speed"] == 1.0
    assert first["complete"] == pytest.approx(1.0 + busy, rel=1e-7)
    assert second["speed"] == pytest.approx(8 / 7, rel=1e-7)
    assert second["ready"] == pytest.approx(1.0 + 3 * busy, rel=1e-7)
    # Its device busy, the client reports what it last did.
    assert third["speed"] == pytest.approx(8 / 7, rel=1e-7)


def test_a_warm_device_takes_longer_by_its_slowdown(simulate: Simulate) -> None:
    # After 1000 s, a hundred time constants, it is warm through. Warming up cost it the work of
    # T / 3 s (slowdown 3/2): 1000 s of work take 1.5 * (1000 - T / 3) s; the next 1000 s, 1500 s.
    tables = toy_tables([[1.0]], [1000.0], [(0, 1)])
    records = simulate(tables, [1.0, 2.0], [0, 0], settings=throttling(1.5), clients=1)
    first = 1.5 * (1000.0 - WARM_IN / 3)
    assert records["complete"] == pytest.approx([1.0 + first, 1.0 + first + 1500.0], rel=1e-7)


def test_background_load_slows_down_whatever_starts_in_its_spell(simulate: Simulate) -> None:
    settings = toy_settings()._replace(background=np.array([3.0, 3.0]), background_block=60.0)
    tables = toy_tables([[1.0], [1.0]], [10.0, 20.0], [(0, 1), (0, 2)], also=5.0)
    device, tail = simulate(tables, [1.0, 1.0], [0, action(1)], settings=settings)
    assert device["complete"] == 1.0 + 3 * 30.0
    # What runs beside the cloud is not slowed down.
    assert tail["download"] == 2.0
    assert tail["complete"] == 1.0 + 5.0 + 3 * 20.0
    assert tail["gpu_deadline"] == tail["deadline"] - 20.0
