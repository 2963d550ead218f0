"""Toy worlds: numbers small enough to work through by hand, or that a formula holds for."""

from __future__ import annotations

from functools import cache

import numpy as np

from splitenv.actions import action_table
from splitenv.disciplines import DISCIPLINES, NEVER
from splitenv.features import bends
from splitenv.scenario import Scenario, load_scenario
from splitenv.state import Tables
from splitenv.tables import fitted_lines, gains
from splitenv.truth import Settings


def toy_tables(
    curve: list[list[float]],
    device: list[float],
    spans: list[tuple[int, int]],
    *,
    gpus: int = 1,
    up: list[float] | None = None,
    down: list[float] | None = None,
    units: list[int] | None = None,
    kinds: list[int] | None = None,
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
    units
        For continuous serving: units that each segment stands for, all of one kind, each taking its
        part of the segment's time; one if not given.
    kinds
        Kind of the units of each segment, from 0 on, for segments whose units take the same time;
        a kind for each segment if not given.
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
    of_segment = units or [1] * segments
    ends = np.cumsum(of_segment)
    starts = ends - of_segment
    of_kind = kinds or list(range(segments))
    kind_time = np.zeros((1, max(of_kind) + 1, limit + 1))
    kind_time[0, of_kind, 1:] = times / np.array(of_segment)[:, None]
    unit_kind = np.repeat(of_kind, of_segment).astype(np.int32)
    changes = [*np.flatnonzero(np.diff(unit_kind)) + 1, len(unit_kind)]
    run_end = np.repeat(changes, np.diff([0, *changes])).astype(np.int32)
    none = [0.0] * (slots - 1)
    fit_slope, fit_base = fitted_lines(alone, np.array([[limit]]), np.array([slots]))
    return Tables(
        placements=np.array([slots], np.int32),
        enter=np.array([[s[0] for s in spans]], np.int32),
        exit=np.array([[s[1] for s in spans]], np.int32),
        ratio=alone[0, :, :, 1] / reference,
        segments=np.array([segments], np.int32),
        segment_time=segment_time,
        segment_share=segment_time / np.maximum(np.arange(limit + 1), 1),
        alone=alone,
        soonest=np.ascontiguousarray(alone[0, :, :, 1]),
        unit_enter=np.array([[0 if f == t else starts[f] for f, t in spans]], np.int32),
        unit_exit=np.array([[0 if f == t else ends[t - 1] for f, t in spans]], np.int32),
        unit_kind=unit_kind[None],
        run_end=run_end[None],
        kind_time=kind_time,
        kind_share=kind_time / np.maximum(np.arange(limit + 1), 1),
        overhead=np.array([overhead]),
        limit=np.array([[limit]], np.int32),
        price=np.ones(1),
        pool=np.zeros(gpus, np.int32),
        speed_rank=np.zeros(gpus, np.int32),
        head=head,
        tail=tail,
        also=beside,
        can=can,
        mask=np.ascontiguousarray(can[:, :, placement]),
        up=np.array([[0.0, *(up or none)]]),
        down=np.array([[0.0, *(down or none)]]),
        reference=reference,
        bent=bends(slots),
        gain=gains(alone[0], np.array([limit]), np.array([slots])),
        deadline=np.array([deadline]),
        weight=np.ones(1),
        action_placement=placement,
        action_hold=hold,
        prior_gap=float(reference[0]) / gpus,
        norm=float(reference[0]),
        control_delay=0.0,
        violation_price=violation_price,
        initial_window=0.0,
        continuous=0,
        discipline=DISCIPLINES["slack"],
        by_deadline=1,
        window=0.0,
        preferred=np.array([limit], np.int32),
        spare=0,
        guard=0.0,
        fit_slope=fit_slope,
        fit_base=fit_base,
        target=0.0,
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
    session[0, :, 0] = np.log(rate), np.log(rate), np.log(rtt) if rtt > 0.0 else -np.inf
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
        series=np.zeros((0, 3)),
        series_span=np.zeros((1, 2), np.int64),
        report=one,
        normal=np.zeros(1),
        gap=np.array(gap or [], float),
        phase_rate=one,
        phase_dwell=np.array([NEVER]),
        hour_rate=np.ones(24),
        step_at=np.zeros(1),
        step_rate=one,
        replay=np.empty(0),
        throttle=one,
        throttle_time=one,
        background=one,
        background_block=NEVER,
        lanes=0,
        session_requests=1,
        throttles=0,
        load=np.full(2, float(load)),
        bandwidth=np.ones(2),
        device_speed=np.ones(2),
        gpus=np.full(2, gpus, np.int64),
        report_lag=0.0,
        jitter=0.0,
        length=length,
        warmup=warmup,
        clients=1,
    )


@cache
def toy_scenario(clients: int, queue: int = 4096) -> Scenario:
    """The scenario around a toy: only its numbers of clients and of queue slots matter."""
    return load_scenario("sd-mobile", {"clients.count": clients, "queue": queue})
