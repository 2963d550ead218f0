"""Batches by hand whose members enter and leave at different segments."""

from __future__ import annotations

import pytest

from splitenv.state import Tables
from tests.splitenv.conftest import Simulate
from tests.toy import action, toy_tables

FIRST, MIDDLE, LAST, ALL = (action(placement) for placement in (1, 2, 3, 4))


def three_segments() -> Tables:
    """Of 1, 2 and 3 s alone, half as long again with each member more; overhead 0.5 s."""
    curve = [[alone * (1 + extra / 2) for extra in range(3)] for alone in (1.0, 2.0, 3.0)]
    spans = [(0, 1), (1, 2), (2, 3), (0, 3)]
    return toy_tables(curve, [0.0] * 3, spans, overhead=0.5)


def test_a_batch_of_two_with_staggered_entry_and_exit(simulate: Simulate) -> None:
    # The first runs alone to 7.5. Then, from 7.5 + 0.5 on, segment 0 for one (1 s), segment 1 for
    # two (3 s), segment 2 for one (3 s): one leaves before segment 2, the other has been there all
    # along.
    _, middle, everything = simulate(three_segments(), [1.0, 2.0, 3.0], [ALL, MIDDLE, ALL])
    assert middle["start"] == everything["start"] == 7.5
    assert [middle["finish"], everything["finish"]] == [7.5 + 4.5, 7.5 + 7.5]
    assert middle["gpu_seconds"] == pytest.approx(0.25 + 1.5, rel=1e-12)
    assert everything["gpu_seconds"] == pytest.approx(0.25 + 1.0 + 1.5 + 3.0, rel=1e-12)


def test_a_batch_of_three_with_staggered_entry_and_exit(simulate: Simulate) -> None:
    # Segment 0 for two (1.5 s), segment 1 for one (2 s), segment 2 for two (4.5 s).
    _, *members = simulate(three_segments(), [1.0, 2.0, 3.0, 4.0], [ALL, FIRST, LAST, ALL])
    assert [member["finish"] for member in members] == [7.5 + 2.0, 7.5 + 8.5, 7.5 + 8.5]
    assert [member["gpu_seconds"] for member in members] == pytest.approx(
        [0.5 / 3 + 0.75, 0.5 / 3 + 2.25, 0.5 / 3 + 0.75 + 2.0 + 2.25], rel=1e-12
    )


def test_nobody_is_charged_for_segments_that_are_skipped(simulate: Simulate) -> None:
    # Segment 1 has no member: segment 2 follows segment 0 at once.
    _, first, last = simulate(three_segments(), [1.0, 2.0, 3.0], [ALL, FIRST, LAST])
    assert [first["finish"], last["finish"]] == [7.5 + 1.5, 7.5 + 4.5]
    assert [first["gpu_seconds"], last["gpu_seconds"]] == pytest.approx([1.25, 3.25], rel=1e-12)
