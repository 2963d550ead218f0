"""Recordings played as they are: what of a file reaches the simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from splitenv.profiles.figures import ProfileError
from splitenv.profiles.replay import load_recorded_arrivals, load_recorded_network

HEADER = "t_s,uplink_mbps,downlink_mbps,rtt_ms\n"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"

MBPS = st.just(0.0) | st.floats(0.01, 1e3)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def recording(path: Path, rows: list[tuple[float, ...]]) -> Path:
    return write(path, HEADER + "".join(",".join(map(repr, row)) + "\n" for row in rows))


# Networks


def test_rows_on_a_regular_grid_are_played_as_they_are(tmp_path: Path) -> None:
    rows = [(k * 0.1, 8.0 * (k % 3), 80.0 + k, 40.0 + k) for k in range(50)]

    network = load_recorded_network(recording(tmp_path / "walk.csv", rows))

    assert network.name == "walk"
    assert network.step == pytest.approx(0.1)
    assert network.rates[:, 0].tolist() == [1e6 * (k % 3) for k in range(50)]
    assert network.rates[:, 1] == pytest.approx([1e7 + 125e3 * k for k in range(50)])
    assert network.rtts == pytest.approx([0.040 + 0.001 * k for k in range(50)])


def test_a_block_has_the_time_average_of_its_rows(tmp_path: Path) -> None:
    rows = [(5, 8, 80, 40), (6, 0, 80, 40), (6.25, 16, 80, 20), (7, 8, 80, 40)]
    rows += [(8, 8, 80, 40), (9, 8, 80, 40)]

    network = load_recorded_network(recording(tmp_path / "t.csv", rows))

    assert network.step == 1.0
    assert network.rates[:, 0] == pytest.approx([1e6, 0.75 * 2e6, 1e6, 1e6, 1e6])
    assert network.rtts == pytest.approx([0.04, 0.25 * 0.04 + 0.75 * 0.02] + 3 * [0.04])


def test_a_row_that_holds_for_long_fills_its_blocks(tmp_path: Path) -> None:
    rows = [(0, 1, 1, 40), (1, 8, 1, 40), (4, 1, 1, 40), (5, 1, 1, 40)]

    network = load_recorded_network(recording(tmp_path / "t.csv", rows))

    assert network.rates[:, 0] == pytest.approx(125e3 * np.array([1, 8, 8, 8, 1, 1]))


@given(
    rows=st.lists(
        st.tuples(st.floats(0.01, 4.9), MBPS, MBPS, st.floats(1, 1e3)),
        min_size=2,
        max_size=40,
    ),
    start=st.floats(-1e4, 1e4),
)
def test_every_recorded_byte_is_played(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]], start: float
) -> None:
    steps, *values = np.array(rows).T
    assume(values[0].any() and values[1].any())
    times = start + np.cumsum(steps)
    path = recording(
        tmp_path_factory.getbasetemp() / "bytes.csv",
        list(zip(times.tolist(), *(column.tolist() for column in values), strict=True)),
    )

    network = load_recorded_network(path)

    end = times[0] + network.step * len(network.rates)
    held = np.diff(times, append=end)
    assert -1e-6 <= held[-1] <= network.step * (1 + 1e-6)
    for way in (0, 1):
        recorded = values[way] * 125e3 @ held
        assert network.rates[:, way].sum() * network.step == pytest.approx(recorded, rel=1e-6)
    assert network.rtts.min() >= values[2].min() * 0.999e-3
    assert network.rtts.max() <= values[2].max() * 1.001e-3


def test_the_digest_is_of_what_is_played(tmp_path: Path) -> None:
    rows = [(0, 1, 10, 40), (1, 2, 10, 40)]
    one = load_recorded_network(recording(tmp_path / "one.csv", rows))
    same = load_recorded_network(recording(tmp_path / "same.csv", rows))
    slower = load_recorded_network(recording(tmp_path / "slower.csv", [rows[0], (2, *rows[1][1:])]))
    other = load_recorded_network(recording(tmp_path / "other.csv", [rows[0], (1, 2, 10, 41)]))

    assert one.digest() == same.digest()
    assert len({one.digest(), slower.digest(), other.digest()}) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 1, 10, 40)], "has 1 rows, at least 2 are needed"),
        ([(0, 0, 10, 40), (1, 0, 10, 40)], "uplink_mbps is 0 throughout; a transfer would never"),
        ([(0, 1, 0, 40), (1, 1, 0, 40)], "downlink_mbps is 0 throughout"),
        ([(0, 1, 1, 40), (1e-6, 1, 1, 40)], "the median step is 1e-06 s, at least 0.001 s is"),
    ],
)
def test_a_recording_that_cannot_be_played_is_refused(
    tmp_path: Path, rows: list[tuple[float, ...]], message: str
) -> None:
    path = recording(tmp_path / "t.csv", rows)

    with pytest.raises(ProfileError, match=message) as caught:
        load_recorded_network(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_recording_is_one_sentence(tmp_path: Path) -> None:
    for load in (load_recorded_network, load_recorded_arrivals):
        with pytest.raises(ProfileError, match=r"none\.csv: cannot be read: No such file"):
            load(tmp_path / "none.csv")


# Arrivals


@pytest.mark.parametrize(
    "text",
    [
        "t_s\n10\n11\n11\n16\n",
        "10\n11\n11\n16\n",
        AZURE
        + "2023-11-16 18:15:10.0000000,1,1\n2023-11-16 18:15:11.0000000,1,1\n"
        + "2023-11-16 18:15:11.0000000,1,1\n2023-11-16 18:15:16.0000000,1,1\n",
    ],
    ids=["column", "plain", "azure"],
)
def test_gaps_keep_their_order_and_have_mean_1(tmp_path: Path, text: str) -> None:
    gaps = load_recorded_arrivals(write(tmp_path / "a.csv", text))

    assert gaps.dtype == np.float64
    assert gaps == pytest.approx([0.5, 0.0, 2.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s\n1\n", "has 1 arrivals, at least 2 are needed"),
        ("t_s\n4\n4\n4\n", "all 3 arrivals are at the same time"),
        ("", "line 1: expected a header with the column t_s"),
    ],
)
def test_arrivals_that_cannot_be_played_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ProfileError, match=message):
        load_recorded_arrivals(write(tmp_path / "a.csv", text))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50).filter(lambda gaps: sum(gaps) > 0.01))
def test_the_scale_of_a_trace_does_not_count(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[float]
) -> None:
    times = np.cumsum([0.0, *gaps])
    folder = tmp_path_factory.getbasetemp()
    slow = write(folder / "slow.csv", "\n".join(map(repr, times.tolist())))
    fast = write(folder / "fast.csv", "\n".join(map(repr, (times / 4).tolist())))

    played = load_recorded_arrivals(slow)

    assert played.mean() == pytest.approx(1.0)
    assert load_recorded_arrivals(fast) == pytest.approx(played)
