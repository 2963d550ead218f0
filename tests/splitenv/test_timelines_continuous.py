"""Continuous serving by hand: who is aboard in which iteration, and what each is to pay."""

from __future__ import annotations

import numpy as np
import pytest

from splitenv.state import Tables
from tests.splitenv.conftest import Simulate
from tests.toy import GpuType, action, mix_tables, toy_tables

STEP = [1.0, 1.5, 1.75]  # a denoising step by 1, 2, 3 members
DECODE = [0.5, 0.75, 1.0]
DROPPED = 3


def diffusion(*, steps: int = 4, **options: float | bool) -> Tables:
    """Some denoising steps, then a decode; the cloud runs the steps, or everything."""
    options = {"overhead": 0.25, **options}
    curve = [[steps * step for step in STEP], DECODE]
    tables = toy_tables(curve, [50.0, 0.0], [(0, 1), (0, 2)], units=[steps, 1], **options)
    return tables._replace(continuous=1)


def blocks(**options: float | list[float]) -> Tables:
    """Three blocks, each a kind of its own; the cloud runs the first, the last, or all."""
    curve = [[1.0, 1.5, 2.0], [2.0, 3.0, 4.0], [3.0, 4.5, 6.0]]
    spans = [(0, 1), (2, 3), (0, 3)]
    return toy_tables(curve, [0.0] * 3, spans, **options)._replace(continuous=1)


ALL_CLOUD = action(2)


def test_one_alone_takes_the_overhead_and_its_units(simulate: Simulate) -> None:
    (only,) = simulate(diffusion(), [1.0], [ALL_CLOUD])
    assert only["start"] == 1.0
    assert only["finish"] == only["complete"] == 1.0 + 0.25 + 4.0 + 0.5
    assert only["gpu_seconds"] == pytest.approx(4.75, rel=1e-12)


def test_a_third_request_joins_a_batch_under_way(simulate: Simulate) -> None:
    # 1     the first starts; its overhead ends at 1.25, where the second joins, ready since 1
    # 1.25  two at a step: 1.5 s each, to 2.75 and to 4.25, where the third joins, ready since 3
    # 4.25  three at a step: 1.75 s each, to 6 and to 7.75
    # 7.75  two decode (0.75 s) while the third is at a step (1 s), to 9.5
    # 9.5   the third alone: a step to 10.5, then its decode to 11
    first, second, third = simulate(diffusion(), [1.0, 1.0, 3.0], [ALL_CLOUD] * 3)
    assert [first["start"], second["start"], third["start"]] == [1.0, 1.25, 4.25]
    assert [first["finish"], second["finish"], third["finish"]] == [9.5, 9.5, 11.0]
    assert [first["batch"], second["batch"], third["batch"]] == [1, 2, 3]
    assert first["launch"] == second["launch"] == third["launch"] == 0
    shared = 2 * 1.5 / 2 + 2 * 1.75 / 3 + 0.75 / 2
    assert first["gpu_seconds"] == pytest.approx(0.25 + shared, rel=1e-12)
    assert second["gpu_seconds"] == pytest.approx(shared, rel=1e-12)
    assert third["gpu_seconds"] == pytest.approx(2 * 1.75 / 3 + 1.0 + 1.0 + 0.5, rel=1e-12)


def test_those_at_the_start_share_its_overhead_and_later_ones_pay_none(simulate: Simulate) -> None:
    # Holds of 3/4 keep both from starting until the batch limit is reached.
    tables = diffusion()._replace(limit=np.array([[2]], np.int32))
    first, second, third = simulate(tables, [1.0, 2.0, 2.5], [action(2, hold=0.75)] * 3)
    assert first["start"] == second["start"] == 2.0
    assert first["batch"] == second["batch"] == 2
    assert first["gpu_seconds"] == second["gpu_seconds"] == pytest.approx(0.125 + 3.0 + 0.375)
    # There was no room for the third before the two left, at 2.25 + 4 * 1.5 + 0.75.
    assert third["start"] == first["finish"] == second["finish"] == 9.0
    assert third["finish"] == 9.0 + 4.5
    assert third["launch"] == 0


def test_a_batch_of_two_with_staggered_entry_and_exit(simulate: Simulate) -> None:
    # 1.5  the first starts: overhead to 2, block 0 to 3
    # 3    the second, ready since 2.5, is at block 2 (3 s) beside the first at block 1 (2 s), to 8
    # 8    the second has left; block 2 for the first, to 11
    first, second = simulate(blocks(overhead=0.5), [1.5, 2.5], [action(3), action(2)])
    assert [first["start"], second["start"]] == [1.5, 3.0]
    assert [first["finish"], second["finish"]] == [11.0, 8.0]
    assert first["gpu_seconds"] == pytest.approx(0.5 + 1.0 + 2.0 + 3.0, rel=1e-12)
    assert second["gpu_seconds"] == pytest.approx(3.0, rel=1e-12)


def test_a_batch_of_three_with_staggered_entry_and_exit(simulate: Simulate) -> None:
    # 1   the first at block 0, to 2
    # 2   the second and the third are ready: the first at block 1 (2 s), the second at block 2
    #     (3 s), the third at block 0 (1 s), to 8: both leave again
    # 8   the first at block 2, with the fourth, ready since 5: two at block 2, 4.5 s, to 12.5
    first, second, third, fourth = simulate(
        blocks(), [1.0, 2.0, 2.0, 5.0], [action(3), action(2), action(1), action(2)]
    )
    assert [first["start"], second["start"], third["start"], fourth["start"]] == [1, 2, 2, 8]
    assert [first["finish"], second["finish"], third["finish"], fourth["finish"]] == [
        12.5,
        8.0,
        8.0,
        12.5,
    ]
    assert first["gpu_seconds"] == pytest.approx(1.0 + 2.0 + 2.25, rel=1e-12)
    assert second["gpu_seconds"] == pytest.approx(3.0, rel=1e-12)
    assert third["gpu_seconds"] == pytest.approx(1.0, rel=1e-12)
    assert fourth["gpu_seconds"] == pytest.approx(2.25, rel=1e-12)


def test_a_hold_keeps_a_request_from_starting_an_idle_gpu_only(simulate: Simulate) -> None:
    # The first holds half of 60 - 4.75 = 55.25 s. The second launches at once when it is ready, and
    # the first goes along, though its hold has not ended.
    # The third, with a hold as well, is taken in where the overhead ends.
    tables, held = diffusion(deadline=60.0), action(2, hold=0.5)
    first, second, third = simulate(tables, [1.0, 9.0, 9.125], [held, ALL_CLOUD, held])
    assert first["start"] == second["start"] == 9.0
    assert third["start"] == 9.25
    alone, later = simulate(tables, [1.0, 50.0], [held, ALL_CLOUD])
    assert alone["start"] == 1.0 + 0.5 * 55.25
    assert later["start"] == 50.0


def test_one_whose_joining_would_make_a_member_late_waits_until_somebody_leaves(
    simulate: Simulate,
) -> None:
    # At 2.25 the second would keep the first, whose D is 7, until 8.25. From 5.25 on, where the
    # first decodes, only until 6.75: but nobody leaves there, so nobody asks.
    first, second = simulate(diffusion(deadline=6.0), [1.0, 1.5], [ALL_CLOUD] * 2)
    assert first["finish"] == 5.75
    assert second["start"] == 5.75
    assert second["finish"] == 5.75 + 4.5


def test_those_who_can_be_in_time_are_taken_in_before_the_late(simulate: Simulate) -> None:
    # The third, ready at 4.5, can be in time if it joins at 5.25: it would leave at 10.25, before
    # its D of 10.5. The second is late by then, whose joining too would make the first late, and
    # at 6.75, when the first has left, the third.
    first, second, third = simulate(diffusion(deadline=6.0), [1.0, 1.5, 4.5], [ALL_CLOUD] * 3)
    assert third["start"] == 5.25
    assert first["finish"] == 6.75
    assert third["finish"] == second["start"] == 10.25


def test_late_requests_are_dropped_where_members_are_taken_in(simulate: Simulate) -> None:
    # The second is passed over at 2.25 and can't leave by 7.5 any more when the first has left.
    first, second = simulate(diffusion(deadline=6.0, drop_late=True), [1.0, 1.5], [ALL_CLOUD] * 2)
    assert first["finish"] == 5.75
    assert second["outcome"] == DROPPED
    assert second["finish"] == 5.75


def test_a_gpu_that_fell_idle_starts_anew_even_in_the_same_instant(simulate: Simulate) -> None:
    # The first leaves at 5.75, where nobody waits. The second, which arrives at that time, starts
    # the GPU again; the third, decided after it, joins where the overhead ends.
    first, second, third = simulate(diffusion(), [1.0, 5.75, 5.75], [ALL_CLOUD] * 3)
    assert first["finish"] == second["start"] == 5.75
    assert third["start"] == 6.0
    assert [first["launch"], second["launch"], third["launch"]] == [0, 1, 1]


def test_models_share_an_iteration_but_not_their_units(simulate: Simulate) -> None:
    # 1    the first starts a step: overhead to 1.25, then 1 s to 2.25
    # 2.25 the second, of the other model (ready at 1.5), is at a unit of 2 s beside a step of 1 s:
    #      3 s to 5.25, and again to 8.25, where it leaves
    # 8.25 a step to 9.25, the decode to 9.75
    other = toy_tables([[4.0, 4.0]], [0.0], [(0, 1)], units=[2], overhead=0.25)
    tables = mix_tables(
        [diffusion(), other],
        devices=[1.0],
        able=[[True, True]],
        gpus=[GpuType()],
        pool=[0],
        deadline=[100.0],
        weight=[1.0],
    )
    first, second = simulate(tables, [1.0, 1.5], [ALL_CLOUD, action(1)], models=[0, 1])
    assert [first["start"], second["start"]] == [1.0, 2.25]
    assert [first["finish"], second["finish"]] == [9.75, 8.25]
    assert second["batch"] == 2
    assert first["gpu_seconds"] == pytest.approx(0.25 + 4.0 + 0.5, rel=1e-12)
    assert second["gpu_seconds"] == pytest.approx(4.0, rel=1e-12)


def test_the_tail_is_committed_on_leaving_the_gpu(simulate: Simulate) -> None:
    # Both are asked for by one device. The first leaves at 5.25 with a tail of 20 s; the second,
    # all-device and decided at 5, is before it: 70 s. In batch serving it would be the other way.
    curve = [[1.0], [1.0], [1.0], [1.0], [0.5]]
    tables = toy_tables(curve, [10.0, 10.0, 10.0, 10.0, 20.0], [(0, 4), (0, 5)], overhead=0.25)
    continuous = tables._replace(continuous=1)
    first, second = simulate(continuous, [1.0, 5.0], [action(1), 0], clients=1)
    assert [first["finish"], first["download"]] == [5.25, 5.25]
    assert [first["complete"], second["complete"]] == [5.0 + 60.0 + 20.0, 5.0 + 60.0]
    first, second = simulate(tables, [1.0, 5.0], [action(1), 0], clients=1)
    assert [first["complete"], second["complete"]] == [5.25 + 20.0, 25.25 + 60.0]
