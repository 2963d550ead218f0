"""Recordings that a scenario plays as they are: a link's rates, and the gaps between arrivals."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from splitenv.profiles.figures import ProfileError
from splitenv.profiles.traces import NetworkTrace, read_arrivals, read_network_csv

FloatArray = npt.NDArray[np.float64]

BYTES_PER_MEGABIT = 1e6 / 8
SECONDS_PER_MS = 1e-3
MIN_STEP_S = 1e-3
SAME_TIME = 1e-9
"""Share of a grid step below which two times are one: decimal seconds are not exact in binary."""


@dataclass(frozen=True, eq=False)
class RecordedNetwork:
    """A recorded link on a constant grid, played in a circle from an offset of each client's own.

    Attributes
    ----------
    name : str
        The file's stem.
    step : float
        Length of a block, s.
    rates : ndarray, shape (blocks, 2)
        Mean uplink and downlink over each block, bytes/s.
    rtts : ndarray, shape (blocks,)
        Mean round-trip time over each block, s.
    """

    name: str
    step: float
    rates: FloatArray
    rtts: FloatArray

    def digest(self) -> str:
        """SHA-256 of what is played; the name does not count."""
        content = hashlib.sha256()
        for part in (np.array([self.step, len(self.rtts)]), self.rates, self.rtts):
            content.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return content.hexdigest()


def load_recorded_network(path: Path) -> RecordedNetwork:
    """Read a network CSV and lay it on a grid of its median step.

    Raises
    ------
    ProfileError
        If the file cannot be read, has fewer than two rows, a median step below 1 ms, or a
        direction that never carries anything, through which no transfer would ever end.
    """
    trace = read_network_csv(path)
    for column in ("uplink_mbps", "downlink_mbps"):
        if not getattr(trace, column).any():
            raise ProfileError(f"{path}: {column} is 0 throughout; a transfer would never end")
    step = float(np.median(np.diff(trace.t_s)))
    if step < MIN_STEP_S:
        raise ProfileError(
            f"{path}: the median step is {step:g} s, at least {MIN_STEP_S:g} s is needed"
        )
    means = _block_means(trace, step)
    return RecordedNetwork(
        name=path.stem,
        step=step,
        rates=np.ascontiguousarray(means[:, :2]) * BYTES_PER_MEGABIT,
        rtts=means[:, 2] * SECONDS_PER_MS,
    )


def load_recorded_arrivals(path: Path) -> FloatArray:
    """Read arrival times, in any format of ``docs/formats.md``, as the gaps between them.

    Returns
    -------
    ndarray, shape (arrivals - 1,)
        The gaps in recorded order, divided by their mean.

    Raises
    ------
    ProfileError
        If the file cannot be read, has fewer than two arrivals, or all at the same time.
    """
    gaps = np.diff(read_arrivals(path))
    mean = gaps.mean()
    if mean <= 0:
        raise ProfileError(f"{path}: all {len(gaps) + 1} arrivals are at the same time")
    return np.asarray(gaps / mean, np.float64)


def _block_means(trace: NetworkTrace, step: float) -> FloatArray:
    """Time averages over each block of uplink, downlink and RTT, shape (blocks, 3).

    A row holds until the next one, the last one to the end of its block.
    """
    columns = np.stack([trace.uplink_mbps, trace.downlink_mbps, trace.rtt_ms], axis=1)
    starts = (trace.t_s - trace.t_s[0]) / step
    whole = np.round(starts)
    starts = np.where(np.abs(starts - whole) < SAME_TIME, whole, starts)
    blocks = int(starts[-1]) + 1
    pieces = np.union1d(starts, np.arange(blocks))
    shares = np.diff(pieces, append=blocks)
    row = np.searchsorted(starts, pieces, side="right") - 1
    held = columns[row] * shares[:, None]
    first_of_block = np.searchsorted(pieces, np.arange(blocks))
    return np.asarray(np.add.reduceat(held, first_of_block, axis=0), np.float64)
