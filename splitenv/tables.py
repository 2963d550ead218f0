"""Turn a scenario and its profiles into the arrays that the kernel runs on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv.actions import action_table
from splitenv.profiles.catalogue import (
    load_arrival,
    load_device,
    load_gpu,
    load_mix,
    load_model,
    load_network,
)
from splitenv.profiles.models import Chain
from splitenv.scenario import MOST_PLACEMENTS, Scenario, ScenarioError, Workload
from splitenv.state import Tables

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Device:
    """One kind of device in the fleet."""

    name: str
    tier: str
    faster: float
    share: float


@dataclass(frozen=True)
class Placements:
    """A workload's chain and where it may be cut.

    Attributes
    ----------
    chain
        The model as U units.
    cuts
        Boundaries 0 = c_0 < c_1 < ... < c_K = U; segment k holds units c_k to c_(k+1) - 1.
    spans
        (first, one past last) segment that the cloud runs, one for each placement, all-device
        first as (0, 0), then by split ratio.
    """

    chain: Chain
    cuts: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def place(workload: Workload) -> Placements:
    """List the placements of a workload: cloud first ``[0, j)``, or device first ``[i, U)``."""
    model = load_model(workload.model)
    chain = model.chain(workload.steps)
    units = len(chain.kinds)
    # Units before the first repeated one (prompt encoding, stem) and after the last (decoding,
    # head) are no place to count from: cuts come after every so many of the units between them.
    first = 1
    inner = range(first + workload.cut_every, units, workload.cut_every)
    cuts = (0, *inner, units)
    segments = len(cuts) - 1
    if model.order == "cloud-first":
        spans = [(0, j) for j in range(1, segments + 1)]
    else:
        spans = [(i, segments) for i in range(segments - 1, -1, -1)]
    if len(spans) + 1 > MOST_PLACEMENTS:
        raise ScenarioError(
            f"models: {workload.model} cut every {workload.cut_every} units has {len(spans) + 1} "
            f"placements; at most {MOST_PLACEMENTS} are accepted: raise cut_every"
        )
    return Placements(chain, cuts, ((0, 0), *spans))


def fleet(scenario: Scenario) -> tuple[Device, ...]:
    """The devices of a scenario's clients: its mix, in each generation."""
    entries = load_mix(scenario.clients.mix).entries()
    return tuple(
        Device(entry.device, entry.tier, generation.faster, entry.share * generation.share)
        for generation in scenario.clients.generations
        for entry in entries
    )


def build_tables(scenario: Scenario) -> Tables:
    """Compile what everybody knows of a scenario.

    Raises
    ------
    ProfileError
        If a profile is missing, or the pool's GPU cannot run one of the models.
    """
    placements = [place(workload) for workload in scenario.models]
    slots = max(len(p.spans) for p in placements)
    segment_time, alone, limit = _gpu_tables(scenario, placements, slots)
    head, tail, also, can = _device_tables(scenario, placements, slots)
    up, down = _transfers(scenario, placements, slots)
    enter, leave = _spans(placements, slots)
    count = np.array([len(p.spans) for p in placements], np.int32)
    reference = np.array([alone[0, m, n - 1, 1] for m, n in enumerate(count)])
    norm = float(sum(w.share * r for w, r in zip(scenario.models, reference, strict=True)))
    action_placement, action_hold = action_table(slots)
    classes = list(scenario.sla.values())
    return Tables(
        placements=count,
        enter=enter,
        exit=leave,
        ratio=alone[0, :, :, 1] / reference[:, None],
        segments=np.array([len(p.cuts) - 1 for p in placements], np.int32),
        segment_time=segment_time,
        segment_share=segment_time / np.maximum(np.arange(segment_time.shape[-1]), 1),
        alone=alone,
        overhead=np.array([load_gpu(scenario.pool.gpu).launch_overhead.seconds]),
        limit=limit,
        price=np.ones(1),
        pool=np.zeros(_most_gpus(scenario), np.int32),
        head=head,
        tail=tail,
        also=also,
        can=can,
        mask=np.ascontiguousarray(can[:, :, action_placement]),
        up=up,
        down=down,
        reference=reference,
        deadline=np.array([sla.deadline_s for sla in classes]),
        weight=np.array([sla.price for sla in classes]),
        action_placement=action_placement,
        action_hold=action_hold,
        prior_gap=norm / scenario.pool.count,
        norm=norm,
        control_delay=scenario.control_delay_ms / 1e3,
        violation_price=scenario.violation_price,
        drop_late=int(scenario.late == "drop"),
    )


def _most_gpus(scenario: Scenario) -> int:
    randomised = scenario.randomise.gpus
    return max(scenario.pool.count, randomised[1] if randomised else 0)


def _gpu_tables(
    scenario: Scenario, placements: list[Placements], slots: int
) -> tuple[Floats, Floats, npt.NDArray[np.int32]]:
    """Segment times (g, m, k, b), times alone (g, m, s, b) and batch limits (g, m)."""
    gpu = load_gpu(scenario.pool.gpu)
    overhead = gpu.launch_overhead.seconds
    curves = []
    for workload, placed in zip(scenario.models, placements, strict=True):
        measured = gpu.unit_times(placed.chain)
        if measured is None:
            raise ScenarioError(
                f"scenario {scenario.name}: GPU {gpu.name} has no figures for {workload.model}"
            )
        batch, times = measured
        largest = min(int(batch[-1]), scenario.pool.batch_limit or int(batch[-1]))
        sizes = np.arange(1, largest + 1)
        per_unit = np.array([np.interp(sizes, batch, unit) for unit in times])
        curves.append(np.add.reduceat(per_unit, placed.cuts[:-1], axis=0))
    limit = np.array([[curve.shape[1] for curve in curves]], np.int32)
    segments = max(len(p.cuts) - 1 for p in placements)
    segment_time = np.zeros((1, len(curves), segments, limit.max() + 1))
    alone = np.zeros((1, len(curves), slots, limit.max() + 1))
    for m, (curve, placed) in enumerate(zip(curves, placements, strict=True)):
        segment_time[0, m, : curve.shape[0], 1 : curve.shape[1] + 1] = curve
        for s, (enter, leave) in enumerate(placed.spans[1:], start=1):
            total = np.full(curve.shape[1], overhead)
            for segment in range(enter, leave):
                total = total + curve[segment]
            alone[0, m, s, 1 : curve.shape[1] + 1] = total
    return segment_time, alone, limit


def _device_tables(
    scenario: Scenario, placements: list[Placements], slots: int
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """Device seconds before, after and beside the cloud's part, and what is possible (d, m, s)."""
    devices = fleet(scenario)
    shape = (len(devices), len(placements), slots)
    head, tail, also = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    can = np.zeros(shape, np.bool_)
    for d, device in enumerate(devices):
        profile = load_device(device.name)
        for m, placed in enumerate(placements):
            can[d, m, len(placed.spans) - 1] = True
            times = profile.unit_times(placed.chain)
            if times is None:
                continue
            times = times / device.faster
            can[d, m, : len(placed.spans)] = True
            head[d, m, 0] = times.sum()
            for s, (enter, leave) in enumerate(placed.spans[1:], start=1):
                first, last = placed.cuts[enter], placed.cuts[leave]
                head[d, m, s] = times[:first].sum()
                tail[d, m, s] = times[last:].sum()
                if last < len(times):
                    also[d, m, s] = times[first:last][placed.chain.also[first:last]].sum()
    return head, tail, also, can


def _transfers(
    scenario: Scenario, placements: list[Placements], slots: int
) -> tuple[Floats, Floats]:
    """Bytes up and down of every placement (m, s)."""
    up, down = np.zeros((2, len(placements), slots))
    for m, (workload, placed) in enumerate(zip(scenario.models, placements, strict=True)):
        size = placed.chain.boundary_bytes(workload.wire)
        for s, (enter, leave) in enumerate(placed.spans[1:], start=1):
            up[m, s] = size[placed.cuts[enter]]
            down[m, s] = size[placed.cuts[leave]]
    return up, down


def _spans(
    placements: list[Placements], slots: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    enter, leave = np.zeros((2, len(placements), slots), np.int32)
    for m, placed in enumerate(placements):
        for s, span in enumerate(placed.spans):
            enter[m, s], leave[m, s] = span
    return enter, leave


def profile_digest(scenario: Scenario) -> str:
    """SHA-256 of the content of every profile that the scenario uses."""
    profiles: list[Any] = [load_gpu(scenario.pool.gpu), load_mix(scenario.clients.mix)]
    profiles += [load_model(workload.model) for workload in scenario.models]
    profiles += [load_device(device) for device in sorted({d.name for d in fleet(scenario)})]
    profiles += [load_network(network) for network in scenario.network.shares]
    profiles.append(load_arrival(scenario.arrivals))
    content = json.dumps([profile.model_dump(mode="json") for profile in profiles], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
