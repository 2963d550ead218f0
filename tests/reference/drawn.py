"""The world that an episode of the compiled simulator met, for the reference to play in.

Draws are functions of (key, index, purpose), and both simulators share them. When requests arrive
is taken from the records; ``tests/splitenv/test_arrivals.py`` works that out by itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from splitenv import draws
from splitenv.kernel import compiled
from splitenv.simulator import Simulator
from splitenv.truth import Settings
from tests.reference.world import Client, Device, Link, Request, World


def drawn_world(simulator: Simulator) -> World:
    """What was drawn for the simulator's row 0, which was recorded."""
    own, truth, records = simulator.settings, simulator.truth, simulator.record[0]
    world = truth.world[0]
    key = world["key"]
    numbers = [client_number(own, key, index) for index in range(len(records))]
    clients = {}
    for number in set(numbers):
        drawn = truth.client[0, number]
        up, down = (drawn_link(own, key, number, drawn, way) for way in (0, 1))
        device = drawn_device(own, key, number, drawn, float(world["device_speed"]))
        clients[number] = Client(up, down, device)
    requests = [
        drawn_request(own, key, index, numbers[index], truth.client[0, numbers[index]], record)
        for index, record in enumerate(records)
    ]
    for request in requests:
        request.deadline = request.arrival + float(simulator.tables.deadline[request.sla])
    return World(
        requests,
        clients,
        gpus=int(simulator.belief.clock["gpus"][0]),
        room=min(simulator.scenario.queue, own.length),
        report_lag=float(own.report_lag),
    )


def client_number(own: Settings, key: Any, index: int) -> int:
    """Who asks: any client, or the one that is in session in one of the lanes."""
    if own.lanes == 0:
        return int(compiled.uniform(stream(key, draws.CLIENT), index) * own.clients)
    lane = int(compiled.uniform(stream(key, draws.LANE), index) * own.lanes)
    phase = compiled.uniform(stream(key, draws.LANE_PHASE), lane)
    epoch = math.floor(index / (own.lanes * own.session_requests) + phase)
    return int(compiled.uniform(stream(key, draws.CLIENT), pair(lane, epoch)) * own.clients)


def drawn_request(
    own: Settings, key: Any, index: int, number: int, client: Any, record: Any
) -> Request:
    job = chosen(own.job_share, key, index, draws.JOB)
    rtt, rtts = float(client["rtt"]), own.rtt[client["network"]]
    uplink, downlink = (
        quantile(own.report, key, pair(way, index), draws.RATE_REPORT) for way in (0, 1)
    )
    return Request(
        index=index,
        arrival=float(record["arrival"]),
        deadline=math.nan,
        client=number,
        device=int(client["device"]),
        model=int(own.job_model[job]),
        sla=int(own.job_sla[job]),
        z=drawn_z(own, key, index),
        true_rtt=rtt * quantile(rtts, key, index, draws.RTT),
        rtt=rtt * quantile(rtts, key, index, draws.RTT_REPORT),
        uplink_error=uplink,
        downlink_error=downlink,
    )


def drawn_link(own: Settings, key: Any, number: int, client: Any, way: int) -> Link:
    factor = float(client[("uplink", "downlink")[way]])
    network = client["network"]
    first, count = own.series_span[network]
    length = float(own.block[network, way])
    if count > 0:
        offset = int(compiled.uniform(stream(key, draws.SERIES), number) * count)
        recorded = own.series[first : first + count]
        assert client["rtt"] == np.float32(recorded[offset, 2])
        return Link(
            length, 0.0, lambda block: factor * float(recorded[(offset + block) % count, way])
        )
    table, purpose = own.rate[network, way], (draws.UPLINK, draws.DOWNLINK)[way]
    phase = float(client["phase"])
    return Link(
        length, phase, lambda block: factor * quantile(table, key, pair(number, block), purpose)
    )


def drawn_device(own: Settings, key: Any, number: int, client: Any, speed: float) -> Device:
    def background(block: int) -> float:
        return quantile(own.background, key, pair(number, block), draws.BACKGROUND)

    return Device(
        speed=speed,
        warm=float(own.throttle[client["device"]]),
        warms_in=float(own.throttle_time[client["device"]]),
        background=background,
        block=float(own.background_block),
        phase=float(client["phase"]),
    )


def drawn_z(own: Settings, key: Any, index: int) -> float:
    """Three uniforms of 21 bits each, about 1."""
    bits = int(compiled.bits(stream(key, draws.SLOWNESS), index))
    total = sum(((bits >> shift) % 2**21 + 0.5) / 2**21 for shift in (0, 21, 42))
    return 1.0 + own.jitter * (total / 1.5 - 1.0)


def stream(key: Any, purpose: int) -> np.uint64:
    """The draws of one purpose, of the type that they are made from."""
    return np.uint64(compiled.stream(key, purpose))


def pair(high: int, low: int) -> int:
    return high * 2**32 + low


def quantile(table: Any, key: Any, index: int, purpose: int) -> float:
    return float(table[int(compiled.uniform(stream(key, purpose), index) * len(table))])


def chosen(cumulative: Any, key: Any, index: int, purpose: int) -> int:
    u = compiled.uniform(stream(key, purpose), index)
    return int(min(np.searchsorted(cumulative, u, side="right"), len(cumulative) - 1))
