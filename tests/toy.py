"""Toy worlds with numbers small enough to work through by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from splitenv.actions import action_table
from splitenv.simulator import NO_RESET, Simulator
from splitenv.state import Settings, Tables
from splitenv.toys import toy_scenario, toy_settings, toy_tables

__all__ = ["mix_tables", "run", "toy_scenario", "toy_settings", "toy_simulator", "toy_tables"]


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
