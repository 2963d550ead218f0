"""Counter-based random numbers: every draw is a function of (key, purpose, index) alone.

So what a policy does can't shift the world's dice: two policies under one seed meet the same
arrivals, links and devices, and a row of a batch sees what it would see alone. The mixing function
is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014, section 4), applied once per part.

Compiled only: the arithmetic wraps at 64 bits.
"""

from __future__ import annotations

import numpy as np

from splitenv.state import Array

CLIENT, JOB, SLOWNESS, RTT, RTT_REPORT, RATE_REPORT, GAP = 1, 2, 3, 4, 5, 6, 7
LANE, LANE_PHASE = 8, 9
DEVICE, NETWORK, SESSION_A, SESSION_B, SESSION_C, BLOCK_PHASE, SERIES = 11, 12, 13, 14, 15, 16, 17
LOAD, BANDWIDTH, DEVICE_SPEED, GPUS, START, PHASE, DWELL, AGE = 21, 22, 23, 24, 25, 26, 27, 28
REPLAY = 29
UPLINK, DOWNLINK, BACKGROUND = 31, 32, 33

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_SHIFT_11, _SHIFT_32 = np.uint64(11), np.uint64(32)
_UNIT = 2.0**-53


def mix(x: np.uint64) -> np.uint64:
    """Scramble 64 bits."""
    x = (x ^ (x >> _SHIFT_30)) * _FIRST
    x = (x ^ (x >> _SHIFT_27)) * _SECOND
    return x ^ (x >> _SHIFT_31)


def stream(key: np.uint64, purpose: int) -> np.uint64:
    """The draws of one purpose; what is drawn often keeps its stream for the episode."""
    return mix(key + _GOLDEN * np.uint64(purpose))


def bits(stream: np.uint64, index: int | np.int64) -> np.uint64:
    """64 random bits: the ``index``-th draw of a stream."""
    return mix(stream + _GOLDEN * np.uint64(index))


def pair(high: int, low: int) -> np.int64:
    """One index out of two, each below 2^32."""
    return np.int64((np.uint64(high) << _SHIFT_32) | np.uint64(low))


def uniform(stream: np.uint64, index: int | np.int64) -> float:
    """Uniform on the open interval (0, 1)."""
    return (np.float64(bits(stream, index) >> _SHIFT_11) + 0.5) * _UNIT


def quantile(table: Array, stream: np.uint64, index: int | np.int64) -> float:
    """Draw from a distribution given by its quantiles at equal steps of probability."""
    return table[int(uniform(stream, index) * table.shape[0])]


def choose(cumulative: Array, stream: np.uint64, index: int) -> int:
    """Draw an index from cumulative shares."""
    u = uniform(stream, index)
    choice = 0
    while choice < cumulative.shape[0] - 1 and u >= cumulative[choice]:
        choice += 1
    return choice


def log_uniform(limits: Array, stream: np.uint64) -> float:
    """Log-uniform between two limits; exactly the limit where they are equal."""
    if limits[0] == limits[1]:
        return limits[0]
    return limits[0] * (limits[1] / limits[0]) ** uniform(stream, 0)


def exponential(stream: np.uint64, index: int) -> float:
    """Exponential with mean 1."""
    return -np.log(uniform(stream, index))
