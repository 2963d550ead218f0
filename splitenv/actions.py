"""The action table: (placement, hold) pairs, and which of them a request may take.

Action 0 is all-device, which has no hold; then every placement with every hold level, placements
by split ratio, holds ascending within each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from splitenv.state import Array, Belief, Tables

HOLD_LEVELS = (0.0, 0.125, 0.25, 0.5, 0.75)


def action_table(placements: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Placement and hold of every action, each of shape ``(1 + (placements - 1) * holds,)``."""
    holds = len(HOLD_LEVELS)
    placement = np.concatenate([[0], np.repeat(np.arange(1, placements), holds)])
    hold = np.concatenate([[0.0], np.tile(HOLD_LEVELS, placements - 1)])
    return placement.astype(np.int32), hold


def encode(placement: Array, hold_level: Array) -> Array:
    """Actions of placements (int array) and hold levels (index into :data:`HOLD_LEVELS`)."""
    placement = np.asarray(placement)
    with_hold = 1 + (placement - 1) * len(HOLD_LEVELS) + np.asarray(hold_level)
    return np.where(placement == 0, 0, with_hold)


def write_mask(tables: Tables, belief: Belief, env: int, out: Array) -> None:
    """Write into ``out[env]`` which actions the pending request's device and model can do."""
    clock = belief.clock[env]
    mask = tables.mask[clock.device, clock.model]
    row = out[env]
    for action in range(mask.shape[0]):
        row[action] = mask[action]


def possible(tables: Tables, belief: Belief, env: int, action: int) -> int:
    """The action itself, or all-cloud without a hold where the device or model cannot do it."""
    clock = belief.clock[env]
    if tables.mask[clock.device, clock.model, action]:
        return action
    holds = (tables.action_placement.shape[0] - 1) // (tables.enter.shape[1] - 1)
    return 1 + (tables.placements[clock.model] - 2) * holds
