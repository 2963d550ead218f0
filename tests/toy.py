"""Toy worlds with numbers small enough to work through by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from splitenv.actions import action_table
from splitenv.dispatch import NEVER
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import NO_RESET, Simulator
from splitenv.state import Settings, Tables


def toy_tables(
    curve: list[list[float]],
    device: list[float],
    spans: list[tuple[int, int]],
    *,
    gpus: int = 1,
    up: list[float] | None = None,
    down: list[float] | None = None,
    also: float = 0.0,
    overhead: float = 0.0,
    deadline: float = 100.0,
    violation_price: float = 10.0,
    drop_late: bool = False,
) -> Tables:
    """One model of K segments on one device type, all in seconds and bytes.

    Parameters
    ----------
    curve
        ``curve[k][b - 1]``: GPU time of segment k with b members.
    device
        Device time of each segment.
    spans
        Segments (first, one past last) of each placement after all-device.
    up, down
        Bytes of each placement after all-device; none if not given.
    also
        Device time of what it runs beside the cloud, under a placement with a device tail.
    """
    times = np.asarray(curve, float)
    segments, limit = times.shape
    spans = [(0, 0), *spans]
    slots = len(spans)
    segment_time = np.zeros((1, 1, segments, limit + 1))
    segment_time[0, 0, :, 1:] = times
    alone = np.zeros((1, 1, slots, limit + 1))
    head, tail, beside = np.zeros((3, 1, 1, slots))
    for s, (first, last) in enumerate(spans[1:], start=1):
        alone[0, 0, s, 1:] = overhead + times[first:last].sum(axis=0)
        head[0, 0, s], tail[0, 0, s] = sum(device[:first]), sum(device[last:])
        beside[0, 0, s] = also if last < segments else 0.0
    head[0, 0, 0] = sum(device)
    can = np.ones((1, 1, slots), np.bool_)
    placement, hold = action_table(slots)
    reference = alone[0, :, -1, 1]
    none = [0.0] * (slots - 1)
    return Tables(
        placements=np.array([slots], np.int32),
        enter=np.array([[s[0] for s in spans]], np.int32),
        exit=np.array([[s[1] for s in spans]], np.int32),
        ratio=alone[0, :, :, 1] / reference,
        segments=np.array([segments], np.int32),
        segment_time=segment_time,
        segment_share=segment_time / np.maximum(np.arange(limit + 1), 1),
        alone=alone,
        overhead=np.array([overhead]),
        limit=np.array([[limit]], np.int32),
        price=np.ones(1),
        pool=np.zeros(gpus, np.int32),
        head=head,
        tail=tail,
        also=beside,
        can=can,
        mask=np.ascontiguousarray(can[:, :, placement]),
        up=np.array([[0.0, *(up or none)]]),
        down=np.array([[0.0, *(down or none)]]),
        reference=reference,
        deadline=np.array([deadline]),
        weight=np.ones(1),
        action_placement=placement,
        action_hold=hold,
        prior_gap=float(reference[0]) / gpus,
        norm=float(reference[0]),
        control_delay=0.0,
        violation_price=violation_price,
        drop_late=int(drop_late),
    )


def toy_settings(
    *,
    load: float = 1.0,
    gap: list[float] | None = None,
    rate: float = 1e9,
    rtt: float = 0.0,
    gpus: int = 1,
    length: int = 64,
    warmup: int = 0,
) -> Settings:
    """Build a world without chance but for exponential gaps; ``gap=[1]`` takes that away too."""
    session = np.zeros((1, 3, 4))
    session[0, :, 0] = np.log([rate, rate, max(rtt, 1e-12)])
    one = np.ones(1)
    return Settings(
        device_share=one,
        network_share=one,
        job_share=one,
        job_model=np.zeros(1, np.int32),
        job_sla=np.zeros(1, np.int32),
        session=session,
        rate=np.ones((1, 2, 1)),
        block=np.full((1, 2), 1e12),
        rtt=np.ones((1, 1)),
        report=one,
        normal=np.zeros(1),
        gap=np.array(gap or [], float),
        phase_rate=one,
        phase_dwell=np.array([NEVER]),
        hour_rate=np.ones(24),
        load=np.full(2, load),
        bandwidth=np.ones(2),
        device_speed=np.ones(2),
        gpus=np.full(2, gpus, np.int64),
        report_lag=0.0,
        jitter=0.0,
        length=length,
        warmup=warmup,
    )


def mix_tables(
    parts: list[Tables],
    *,
    devices: list[float],
    able: list[list[bool]],
    gpus: list[tuple[float, float]],
    pool: list[int],
    deadline: list[float],
    weight: list[float],
    control_delay: float = 0.0,
) -> Tables:
    """Put the models of several toy tables side by side, and vary devices, GPUs and SLA classes.

    Parameters
    ----------
    parts
        Tables of one model each; overhead, late requests and price are taken from the first.
    devices
        Factor on the device times of each device type.
    able
        ``able[d][m]``: whether that device can run any of that model.
    gpus
        Factor on the GPU times of each GPU type, and its price.
    pool
        Type of each GPU.
    deadline, weight
        Of each SLA class.
    """
    slots = max(part.placements[0] for part in parts)
    segments = max(part.segments[0] for part in parts)
    sizes = 1 + max(part.limit[0, 0] for part in parts)

    def side_by_side(name: str, *shape: int) -> np.ndarray[Any, Any]:
        """One table of all models, (m, ...), filled up with zeros."""
        whole = np.zeros((len(parts), *shape), getattr(parts[0], name).dtype)
        for model, part in enumerate(parts):
            table = getattr(part, name).reshape(getattr(part, name).shape[-len(shape) :])
            whole[(model, *map(slice, table.shape))] = table
        return whole

    def each(table: np.ndarray[Any, Any], factors: Any) -> np.ndarray[Any, Any]:
        return np.stack([table * factor for factor in factors])

    speed = [factor for factor, _ in gpus]
    segment_time = each(side_by_side("segment_time", segments, sizes), speed)
    alone = each(side_by_side("alone", slots, sizes), speed)
    placements = np.concatenate([part.placements for part in parts])
    can = np.zeros((len(devices), len(parts), slots), np.bool_)
    for device, model in np.ndindex(can.shape[:2]):
        can[device, model, placements[model] - 1] = True
        can[device, model, : placements[model]] |= able[device][model]
    placement, hold = action_table(int(slots))
    reference = np.array([alone[0, m, n - 1, 1] for m, n in enumerate(placements)])
    return parts[0]._replace(
        placements=placements,
        enter=side_by_side("enter", slots),
        exit=side_by_side("exit", slots),
        ratio=np.ascontiguousarray(alone[0, :, :, 1] / reference[:, None]),
        segments=np.concatenate([part.segments for part in parts]),
        segment_time=segment_time,
        segment_share=segment_time / np.maximum(np.arange(sizes), 1),
        alone=alone,
        overhead=parts[0].overhead * np.array(speed),
        limit=np.tile(np.concatenate([part.limit[0] for part in parts]), (len(gpus), 1)),
        price=np.array([price for _, price in gpus]),
        pool=np.array(pool, np.int32),
        head=each(side_by_side("head", slots), devices),
        tail=each(side_by_side("tail", slots), devices),
        also=each(side_by_side("also", slots), devices),
        can=can,
        mask=np.ascontiguousarray(can[:, :, placement]),
        up=side_by_side("up", slots),
        down=side_by_side("down", slots),
        reference=reference,
        deadline=np.array(deadline),
        weight=np.array(weight),
        action_placement=placement,
        action_hold=hold,
        prior_gap=float(reference.mean()) / len(pool),
        norm=float(reference.mean()),
        control_delay=control_delay,
    )


def toy_simulator(
    tables: Tables,
    settings: Settings,
    envs: int = 1,
    clients: int = 4096,
    queue: int = 4096,
    **keywords: Any,
) -> Simulator:
    """Build a recording simulator; with many clients no device serves two requests at once."""
    scenario = toy_scenario(clients, queue)
    return Simulator(scenario, envs, record=True, tables=tables, settings=settings, **keywords)


@cache
def toy_scenario(clients: int, queue: int = 4096) -> Scenario:
    return load_scenario("sd-mobile", {"clients.count": clients, "queue": queue})


def run(simulator: Simulator, action: int | list[int], seed: int = 0) -> np.ndarray[Any, Any]:
    """Play one episode in every row with one action, or with a list of them; return the records."""
    simulator.seed(np.arange(seed, seed + simulator.envs))
    simulator.reset()
    step = 0
    while not simulator.truncated.all():
        chosen = action if isinstance(action, int) else action[step % len(action)]
        simulator.step(np.full(simulator.envs, chosen, np.int64), NO_RESET)
        step += 1
    return simulator.record
