"""Toy worlds with numbers small enough to work through by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from splitenv.actions import HOLD_LEVELS, action_table, encode
from splitenv.features import bends
from splitenv.simulator import NO_RESET, Simulator
from splitenv.state import Tables
from splitenv.tables import fitted_lines, gains, speed_rank
from splitenv.toys import toy_scenario, toy_settings, toy_tables
from splitenv.truth import Settings

__all__ = [
    "GpuType",
    "action",
    "mix_tables",
    "run",
    "toy_scenario",
    "toy_settings",
    "toy_simulator",
    "toy_tables",
]


class GpuType(NamedTuple):
    """A type of GPU, by how it differs from the one that toy tables are given for."""

    time: float = 1.0  # factor on the times of the first model
    other: float = 1.0  # factor on those of the other models
    overhead: float = 1.0  # factor on the launch overhead
    price: float = 1.0
    limit: int = 64  # largest batch, where a model's own limit is larger


def mix_tables(
    parts: list[Tables],
    *,
    devices: list[float],
    able: list[list[bool]],
    gpus: list[GpuType],
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
        The types of GPU.
    pool
        Type of each GPU.
    deadline, weight
        Of each SLA class.
    """
    slots = max(part.placements[0] for part in parts)
    units = max(part.unit_kind.shape[1] for part in parts)
    segments = max(part.segments[0] for part in parts)
    sizes = 1 + max(part.limit[0, 0] for part in parts)

    def side_by_side(name: str, *shape: int) -> np.ndarray[Any, Any]:
        """One table of all models, (m, ...), filled up with zeros."""
        whole = np.zeros((len(parts), *shape), getattr(parts[0], name).dtype)
        for model, part in enumerate(parts):
            table = getattr(part, name).reshape(getattr(part, name).shape[-len(shape) :])
            whole[(model, *map(slice, table.shape))] = table
        return whole

    def kinds() -> np.ndarray[Any, Any]:
        """Kinds of unit of one model after those of the other, (v, b)."""
        whole = np.zeros((sum(part.kind_time.shape[1] for part in parts), sizes))
        first = 0
        for part in parts:
            table = part.kind_time[0]
            whole[first : first + len(table), : table.shape[1]] = table
            first += len(table)
        return whole

    def numbered() -> np.ndarray[Any, Any]:
        whole = side_by_side("unit_kind", units)
        first = 0
        for model, part in enumerate(parts):
            whole[model, : part.unit_kind.shape[1]] += first
            first += part.kind_time.shape[1]
        return whole

    def each(table: np.ndarray[Any, Any], factors: Any) -> np.ndarray[Any, Any]:
        return np.stack([table * factor for factor in factors])

    # Factors by type and model, (g, m); of a kind of unit, its model's.
    faster = np.array([[kind.time, *[kind.other] * (len(parts) - 1)] for kind in gpus])
    limit = np.concatenate([part.limit[0] for part in parts])
    limit = np.minimum(limit, np.array([[kind.limit] for kind in gpus], np.int32))
    size = np.arange(sizes)
    allowed = size <= limit[:, :, None, None]
    segment_time = side_by_side("segment_time", segments, sizes) * faster[:, :, None, None]
    segment_time = segment_time * allowed
    of_model = np.repeat(np.arange(len(parts)), [part.kind_time.shape[1] for part in parts])
    kind_time = np.ascontiguousarray(kinds() * faster[:, of_model, None] * allowed[:, of_model, 0])
    overhead = parts[0].overhead * np.array([kind.overhead for kind in gpus])
    bare = side_by_side("alone", slots, sizes)
    bare = bare - parts[0].overhead[0] * (bare > 0)
    alone = bare * faster[:, :, None, None]
    alone = (alone + overhead[:, None, None, None] * (bare > 0)) * allowed
    placements = np.concatenate([part.placements for part in parts])
    can = np.zeros((len(devices), len(parts), slots), np.bool_)
    for device, model in np.ndindex(can.shape[:2]):
        can[device, model, placements[model] - 1] = True
        can[device, model, : placements[model]] |= able[device][model]
    placement, hold = action_table(int(slots))
    reference = np.array([alone[0, m, n - 1, 1] for m, n in enumerate(placements)])
    fit_slope, fit_base = fitted_lines(alone, limit, placements)
    return parts[0]._replace(
        placements=placements,
        enter=side_by_side("enter", slots),
        exit=side_by_side("exit", slots),
        ratio=np.ascontiguousarray(alone[0, :, :, 1] / reference[:, None]),
        segments=np.concatenate([part.segments for part in parts]),
        segment_time=segment_time,
        segment_share=segment_time / np.maximum(size, 1),
        alone=alone,
        soonest=np.ascontiguousarray(alone[np.unique(pool), :, :, 1].min(axis=0)),
        unit_enter=side_by_side("unit_enter", slots),
        unit_exit=side_by_side("unit_exit", slots),
        unit_kind=numbered(),
        run_end=side_by_side("run_end", units),
        kind_time=kind_time,
        kind_share=kind_time / np.maximum(size, 1),
        overhead=overhead,
        limit=limit,
        price=np.array([kind.price for kind in gpus]),
        pool=np.array(pool, np.int32),
        speed_rank=speed_rank(alone, placements, np.array(pool, np.int32)),
        head=each(side_by_side("head", slots), devices),
        tail=each(side_by_side("tail", slots), devices),
        also=each(side_by_side("also", slots), devices),
        can=can,
        mask=np.ascontiguousarray(can[:, :, placement]),
        up=side_by_side("up", slots),
        down=side_by_side("down", slots),
        reference=reference,
        bent=bends(int(slots)),
        gain=gains(alone[0], limit[0], placements),
        deadline=np.array(deadline),
        weight=np.array(weight),
        action_placement=placement,
        action_hold=hold,
        prior_gap=float(reference.mean()) / len(pool),
        norm=float(reference.mean()),
        control_delay=control_delay,
        fit_slope=fit_slope,
        fit_base=fit_base,
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


def action(placement: int, hold: float = 0.0) -> int:
    """The number of an action."""
    return int(encode(np.array(placement), np.array(HOLD_LEVELS.index(hold))))
