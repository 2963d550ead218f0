"""Turn a scenario and its profiles into the arrays that the kernel runs on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv.actions import action_table
from splitenv.disciplines import DISCIPLINES, FIRST_COME
from splitenv.features import bends
from splitenv.parts import MOST_PLACEMENTS, Workload
from splitenv.profiles.catalogue import (
    load_arrival,
    load_device,
    load_gpu,
    load_mix,
    load_model,
    load_network,
)
from splitenv.profiles.compute import GpuProfile
from splitenv.profiles.models import Chain
from splitenv.recordings import recorded_arrivals, recorded_network
from splitenv.scenario import Scenario, ScenarioError
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
    gpus = [load_gpu(name) for name in scenario.pool.types]
    overhead = np.array([gpu.launch_overhead.seconds for gpu in gpus]) / scenario.pool.faster
    pool = np.array(scenario.pool.type_of_each(_most_gpus(scenario)), np.int32)
    curves = [_unit_curves(scenario, gpu, placements) for gpu in gpus]
    limit = np.array([[curve.shape[1] for curve in of_gpu] for of_gpu in curves], np.int32)
    segment_time, alone = _segment_tables(curves, overhead, placements, slots)
    unit_kind, run_end, kind_time = _kind_tables(curves, placements)
    head, tail, also, can = _device_tables(scenario, placements, slots)
    up, down = _transfers(scenario, placements, slots)
    enter, leave = _spans(placements, slots)
    count = np.array([len(p.spans) for p in placements], np.int32)
    reference = np.array([alone[0, m, n - 1, 1] for m, n in enumerate(count)])
    norm = float(sum(w.share * r for w, r in zip(scenario.models, reference, strict=True)))
    action_placement, action_hold = action_table(slots)
    classes = list(scenario.sla.values())
    dispatch = scenario.dispatch
    cuts = [np.array(p.cuts) for p in placements]
    fit_slope, fit_base = fitted_lines(alone, limit, count)
    return Tables(
        placements=count,
        enter=enter,
        exit=leave,
        ratio=alone[0, :, :, 1] / reference[:, None],
        segments=np.array([len(p.cuts) - 1 for p in placements], np.int32),
        segment_time=segment_time,
        segment_share=_share(segment_time),
        alone=alone,
        soonest=np.ascontiguousarray(alone[np.unique(pool), :, :, 1].min(axis=0)),
        unit_enter=_at(cuts, enter),
        unit_exit=_at(cuts, leave),
        unit_kind=unit_kind,
        run_end=run_end,
        kind_time=kind_time,
        kind_share=_share(kind_time),
        overhead=overhead,
        limit=limit,
        price=np.array([gpu.price.amount / gpus[0].price.amount for gpu in gpus]),
        pool=pool,
        speed_rank=speed_rank(alone, count, pool),
        head=head,
        tail=tail,
        also=also,
        can=can,
        mask=np.ascontiguousarray(can[:, :, action_placement]),
        up=up,
        down=down,
        reference=reference,
        bent=bends(slots),
        gain=gains(alone[0], limit[0], count),
        deadline=np.array([sla.deadline_s for sla in classes]),
        weight=np.array([sla.price for sla in classes]),
        action_placement=action_placement,
        action_hold=action_hold,
        prior_gap=norm / scenario.pool.size,
        norm=norm,
        control_delay=scenario.control_delay_ms / 1e3,
        violation_price=scenario.violation_price,
        initial_window=float(scenario.network.initial_window or 0),
        continuous=int(scenario.serving == "continuous"),
        discipline=DISCIPLINES[dispatch.discipline],
        by_deadline=int(dispatch.discipline not in FIRST_COME),
        window=dispatch.window_s,
        preferred=np.array(dispatch.sizes or [limit.max()], np.int32),
        spare=dispatch.spare,
        guard=dispatch.guard_s,
        fit_slope=fit_slope,
        fit_base=fit_base,
        target=dispatch.target_s,
        drop_late=int(dispatch.late == "drop" or dispatch.discipline == "edf-drop"),
    )


def _most_gpus(scenario: Scenario) -> int:
    randomised = scenario.randomise.gpus
    return max(scenario.pool.size, randomised[1] if randomised else 0)


def gains(alone: Floats, limit: npt.NDArray[np.int32], placements: npt.NDArray[np.int32]) -> Floats:
    """GPU time of an all-cloud request in a batch of 2, 4, 8 and the largest to alone, (m, 4)."""
    gain = np.empty((len(limit), 4))
    for m, largest in enumerate(limit):
        times = alone[m, placements[m] - 1]
        sizes = np.minimum([2, 4, 8, largest], largest)
        gain[m] = np.minimum(times[sizes] / sizes / times[1], 2.0)
    return gain


def fitted_lines(
    alone: Floats, limit: npt.NDArray[np.int32], placements: npt.NDArray[np.int32]
) -> tuple[Floats, Floats]:
    """Least-squares line through the all-cloud batch curve, sizes 1 to the limit: slope and base.

    Neither is below 0; of a curve of one size the line goes through 0. Both of shape (g, m).
    """
    slope, base = np.zeros((2, *limit.shape))
    for g, m in np.ndindex(limit.shape):
        sizes = np.arange(1, int(limit[g, m]) + 1)
        times = alone[g, m, placements[m] - 1, sizes]
        off = sizes - sizes.mean()
        rise = (off * times).sum() / (off * off).sum() if len(sizes) > 1 else times[0]
        slope[g, m] = max(rise, 0.0)
        base[g, m] = max(times.mean() - rise * sizes.mean(), 0.0)
    return slope, base


def speed_rank(
    alone: Floats, placements: npt.NDArray[np.int32], pool: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Place of each GPU's type by its time for the first model, all-cloud and alone; ties share."""
    times = alone[:, 0, placements[0] - 1, 1]
    return np.unique(times, return_inverse=True)[1][pool].astype(np.int32)


def _share(times: Floats) -> Floats:
    """Time of each member, where the last axis is how many there are."""
    return times / np.maximum(np.arange(times.shape[-1]), 1)


def _at(cuts: list[npt.NDArray[Any]], segment: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Units at which segments (m, s) start."""
    return np.array([of[row] for of, row in zip(cuts, segment, strict=True)], np.int32)


def _unit_curves(scenario: Scenario, gpu: GpuProfile, placements: list[Placements]) -> list[Floats]:
    """Seconds of every unit of each model, (u, b - 1), up to the largest batch."""
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
        curve = np.array([np.interp(sizes, batch, unit) for unit in times])
        alone = curve[:, :1]
        curves.append((alone + scenario.pool.company * (curve - alone)) / scenario.pool.faster)
    return curves


def _segment_tables(
    curves: list[list[Floats]], overhead: Floats, placements: list[Placements], slots: int
) -> tuple[Floats, Floats]:
    """Segment times (g, m, k, b) and times alone (g, m, s, b)."""
    segments = max(len(p.cuts) - 1 for p in placements)
    largest = max(curve.shape[1] for of_gpu in curves for curve in of_gpu)
    segment_time = np.zeros((len(curves), len(placements), segments, largest + 1))
    alone = np.zeros((len(curves), len(placements), slots, largest + 1))
    for g, of_gpu in enumerate(curves):
        for m, (units, placed) in enumerate(zip(of_gpu, placements, strict=True)):
            curve = np.add.reduceat(units, placed.cuts[:-1], axis=0)
            sizes = slice(1, curve.shape[1] + 1)
            segment_time[g, m, : curve.shape[0], sizes] = curve
            for s, (enter, leave) in enumerate(placed.spans[1:], start=1):
                total = np.full(curve.shape[1], overhead[g])
                for segment in range(enter, leave):
                    total = total + curve[segment]
                alone[g, m, s, sizes] = total
    return segment_time, alone


def _kind_tables(
    curves: list[list[Floats]], placements: list[Placements]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Floats]:
    """Kind of every unit (m, u), where its run ends (m, u), and the times of a kind (g, v, b).

    The denoising steps of a model are one kind: they run the same weights. Every other unit is a
    kind of its own, and so is everything of another model.
    """
    units = max(len(p.chain.kinds) for p in placements)
    largest = max(curve.shape[1] for of_gpu in curves for curve in of_gpu)
    unit_kind, run_end = np.zeros((2, len(placements), units), np.int32)
    columns: list[tuple[int, int]] = []
    for m, placed in enumerate(placements):
        chain = placed.chain
        names = [kind if chain.repeated[u] else u for u, kind in enumerate(chain.kinds)]
        for u, name in enumerate(names):
            if name not in names[:u]:
                columns.append((m, u))
            unit_kind[m, u] = columns.index((m, names.index(name)))
        for u in reversed(range(len(names))):
            alike = u + 1 < len(names) and names[u + 1] == names[u]
            run_end[m, u] = run_end[m, u + 1] if alike else u + 1
    kind_time = np.zeros((len(curves), len(columns), largest + 1))
    for g, of_gpu in enumerate(curves):
        for v, (m, u) in enumerate(columns):
            kind_time[g, v, 1 : of_gpu[m].shape[1] + 1] = of_gpu[m][u]
    return unit_kind, run_end, kind_time


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
    profiles: list[Any] = [load_gpu(name) for name in scenario.pool.types]
    profiles.append(load_mix(scenario.clients.mix))
    profiles += [load_model(workload.model) for workload in scenario.models]
    profiles += [load_device(device) for device in sorted({d.name for d in fleet(scenario)})]
    recorded = {name: recorded_network(name) for name in scenario.network.shares}
    profiles += [load_network(name) for name, link in recorded.items() if not link]
    gaps = recorded_arrivals(scenario)
    if gaps is None:
        profiles.append(load_arrival(scenario.arrivals))
    # What a profile leaves out is left out, so that a new field changes no digest.
    contents = [profile.model_dump(mode="json", exclude_none=True) for profile in profiles]
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode())
    for link in recorded.values():
        digest.update(link.digest().encode() if link else b"")
    digest.update(gaps.tobytes() if gaps is not None else b"")
    return digest.hexdigest()
