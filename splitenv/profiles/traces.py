"""Readers of network traces and arrival times in public formats (see ``docs/formats.md``)."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from splitenv.profiles.figures import ProfileError

FloatArray = npt.NDArray[np.float64]

NETWORK_COLUMNS = ("t_s", "uplink_mbps", "downlink_mbps", "rtt_ms")
AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MAX_GAP_S = 5.0
MEGABITS_PER_OPPORTUNITY = 1500 * 8 / 1e6

_AZURE_TIME = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d{1,9})?(?:\+00:00)?")


@dataclass(frozen=True)
class NetworkTrace:
    """A recorded link: four arrays of one length; a row holds until the next one.

    Attributes
    ----------
    t_s : ndarray
        Seconds, strictly increasing, at most 5 s apart.
    uplink_mbps, downlink_mbps : ndarray
        Rates, 0 or above.
    rtt_ms : ndarray
        Round-trip times, above 0.
    """

    t_s: FloatArray
    uplink_mbps: FloatArray
    downlink_mbps: FloatArray
    rtt_ms: FloatArray


def read_network_csv(path: Path) -> NetworkTrace:
    """Read a CSV with exactly the columns ``t_s, uplink_mbps, downlink_mbps, rtt_ms``.

    Raises
    ------
    ProfileError
        Naming the line, for a missing, negative or non-finite value, a time that does not
        increase, or a gap of more than 5 s.
    """
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    if tuple(cell.strip() for cell in header) != NETWORK_COLUMNS:
        raise ProfileError(
            f"{path}: line 1: the columns must be {', '.join(NETWORK_COLUMNS)}, "
            f"got {', '.join(header) or 'nothing'}"
        )
    rows: list[list[float]] = []
    for number, cells in lines:
        row = _network_row(path, number, cells)
        if rows:
            _check_step(path, number, rows[-1][0], row[0])
        rows.append(row)
    if len(rows) < 2:
        raise ProfileError(f"{path}: has {len(rows)} rows, at least 2 are needed")
    t_s, uplink, downlink, rtt = np.array(rows, dtype=np.float64).T
    return NetworkTrace(t_s, uplink, downlink, rtt)


def read_mahimahi(up: Path, down: Path, rtt_ms: float) -> NetworkTrace:
    """Read a pair of Mahimahi traces as rates over whole seconds.

    Each line is the time, in whole milliseconds, at which one packet of 1,500 bytes may pass. The
    trace ends with the last whole second of the shorter file. Mahimahi records no RTT, so it is
    given.

    Raises
    ------
    ProfileError
        Naming file and line, for a line that is no millisecond count or goes back in time.
    """
    if not (math.isfinite(rtt_ms) and rtt_ms > 0):
        raise ProfileError(f"{up}: the RTT of a Mahimahi pair must be above 0 ms, got {rtt_ms:g}")
    up_ms, down_ms = _opportunities(up), _opportunities(down)
    seconds = min(up_ms[-1], down_ms[-1]) // 1000
    if seconds < 2:
        raise ProfileError(f"{up}: the pair covers {seconds} whole seconds, at least 2 are needed")
    return NetworkTrace(
        t_s=np.arange(seconds, dtype=np.float64),
        uplink_mbps=_rate_per_second(up_ms, seconds),
        downlink_mbps=_rate_per_second(down_ms, seconds),
        rtt_ms=np.full(seconds, rtt_ms),
    )


def read_arrivals(path: Path) -> FloatArray:
    """Read arrival times in seconds, in any of the formats; the first line tells which.

    Raises
    ------
    ProfileError
        As :func:`read_arrival_csv` and :func:`read_azure_llm`.
    """
    _, header = next(_csv_lines(path), (1, []))
    azure = tuple(cell.strip() for cell in header) == AZURE_COLUMNS
    return read_azure_llm(path) if azure else read_arrival_csv(path)


def read_arrival_csv(path: Path) -> FloatArray:
    """Read arrival times in seconds: the column ``t_s``, or a single column without a header.

    Raises
    ------
    ProfileError
        Naming the line, for a value that is no finite number or smaller than the one before.
    """
    lines = _csv_lines(path)
    number, first = next(lines, (1, []))
    times: list[float] = []
    column = 0
    if "t_s" in (names := [cell.strip() for cell in first]):
        column = names.index("t_s")
    elif len(first) == 1 and _is_number(first[0]):
        times.append(_number(path, number, "t_s", first[0]))
    else:
        raise ProfileError(
            f"{path}: line {number}: expected a header with the column t_s, or a single column of "
            f"numbers without a header, got {', '.join(first) or 'nothing'}"
        )
    for number, cells in lines:
        if column >= len(cells):
            raise ProfileError(f"{path}: line {number}: t_s is missing; a finite number is needed")
        time = _number(path, number, "t_s", cells[column])
        _check_order(path, number, times, time)
        times.append(time)
    return _enough_arrivals(path, times)


def read_azure_llm(path: Path) -> FloatArray:
    """Read an Azure LLM inference trace as arrival times in seconds from its first request.

    Raises
    ------
    ProfileError
        Naming the line, for a time stamp that cannot be read or goes back.
    """
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    if tuple(cell.strip() for cell in header) != AZURE_COLUMNS:
        raise ProfileError(
            f"{path}: line 1: the columns must be {', '.join(AZURE_COLUMNS)}, "
            f"got {', '.join(header) or 'nothing'}"
        )
    origin: tuple[datetime, float] | None = None
    times: list[float] = []
    for number, cells in lines:
        moment, fraction = _azure_moment(path, number, cells)
        origin = origin or (moment, fraction)
        time = (moment - origin[0]).total_seconds() + (fraction - origin[1])
        _check_order(path, number, times, time)
        times.append(time)
    return _enough_arrivals(path, times)


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                yield reader.line_num, cells
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path}: is not a CSV in UTF-8: {error}") from error


def _network_row(path: Path, number: int, cells: list[str]) -> list[float]:
    if len(cells) != len(NETWORK_COLUMNS):
        raise ProfileError(f"{path}: line {number}: expected 4 values, got {len(cells)}")
    row = [_number(path, number, c, v) for c, v in zip(NETWORK_COLUMNS, cells, strict=True)]
    for column, value in zip(NETWORK_COLUMNS[1:], row[1:], strict=True):
        if value < 0 or (column == "rtt_ms" and value == 0):
            bound = "above 0" if column == "rtt_ms" else "0 or above"
            raise ProfileError(f"{path}: line {number}: {column} must be {bound}, got {value:g}")
    return row


def _check_step(path: Path, number: int, before: float, time: float) -> None:
    if time <= before:
        raise ProfileError(
            f"{path}: line {number}: t_s must increase, got {time:g} after {before:g}"
        )
    if time - before > MAX_GAP_S:
        raise ProfileError(
            f"{path}: line {number}: a gap of {time - before:g} s after t_s = {before:g}; "
            f"at most {MAX_GAP_S:g} s are accepted"
        )


def _check_order(path: Path, number: int, times: list[float], time: float) -> None:
    if times and time < times[-1]:
        raise ProfileError(
            f"{path}: line {number}: arrival times must not decrease, got {time:g} after "
            f"{times[-1]:g}"
        )


def _enough_arrivals(path: Path, times: list[float]) -> FloatArray:
    if len(times) < 2:
        raise ProfileError(f"{path}: has {len(times)} arrivals, at least 2 are needed")
    return np.array(times, dtype=np.float64)


def _opportunities(path: Path) -> list[int]:
    times: list[int] = []
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: is not a Mahimahi trace: it is not plain text") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip().isdigit():
            raise ProfileError(
                f"{path}: line {number}: expected a time in whole milliseconds, got {line[:40]!r}"
            )
        time = int(line)
        if times and time < times[-1]:
            raise ProfileError(
                f"{path}: line {number}: times must not decrease, got {time} after {times[-1]}"
            )
        times.append(time)
    if not times:
        raise ProfileError(f"{path}: is empty; one packet time in ms on each line is needed")
    return times


def _rate_per_second(times_ms: list[int], seconds: int) -> FloatArray:
    packets = np.bincount(np.array(times_ms) // 1000, minlength=seconds)[:seconds]
    return packets.astype(np.float64) * MEGABITS_PER_OPPORTUNITY


def _azure_moment(path: Path, number: int, cells: list[str]) -> tuple[datetime, float]:
    text = cells[0].strip() if cells else ""
    if match := _AZURE_TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(match[1]), float(match[2] or 0.0)
        except ValueError:
            pass
    raise ProfileError(
        f"{path}: line {number}: TIMESTAMP must look like 2023-11-16 18:15:46.6805900, got {text!r}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(path: Path, number: int, column: str, text: str) -> float:
    value = float(text) if _is_number(text) else math.nan
    if not math.isfinite(value):
        raise ProfileError(
            f"{path}: line {number}: {column} must be a finite number, got {text.strip()!r}"
        )
    return value
