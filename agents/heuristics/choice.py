"""What the rules share: choosing a placement by predicted slack."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def fastest(slack: Floats, possible: Bools) -> Ints:
    """Placement of the greatest slack, of equals the one with least cloud, shape (N,)."""
    return np.asarray(np.where(possible, slack, -np.inf).argmax(axis=1), np.int64)


def promising(slack: Floats, possible: Bools) -> Bools:
    """Placements that are predicted to meet the deadline; all possible ones where none is."""
    meets = possible & (slack >= 0.0)
    return np.where(meets.any(axis=1, keepdims=True), meets, possible)


def nearest_level(levels: tuple[float, ...], hold: float) -> int:
    """Index of the hold level nearest to ``hold``, the lower of two as near."""
    return int(np.abs(np.asarray(levels) - hold).argmin())
