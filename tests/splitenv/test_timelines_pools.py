"""Pools of several types of GPU by hand: which one serves whom, and what that costs."""

from __future__ import annotations

import pytest

from splitenv.state import Tables
from tests.splitenv.conftest import Simulate
from tests.toy import GpuType, action, mix_tables, toy_tables

IN_TIME, LATE, DROPPED = 1, 2, 3
SHORT, LONG = action(1), action(2)


def pool(
    *,
    deadline: float = 100.0,
    drop_late: bool = False,
    slow_limit: int = 64,
    fast_limit: int = 64,
    models: int = 1,
) -> Tables:
    """One GPU that takes 4 s (6 s for two) or 20 s, and one twice as fast at three times the price.

    Costs are in all-cloud requests alone on the first: 20 s.
    """
    model = toy_tables(
        [[4.0, 6.0], [16.0, 24.0]], [50.0, 0.0], [(0, 1), (0, 2)], drop_late=drop_late
    )
    return mix_tables(
        [model] * models,
        devices=[0.0],
        able=[[True] * models],
        gpus=[
            GpuType(limit=slow_limit),
            GpuType(time=0.5, other=0.5, price=3.0, limit=fast_limit),
        ],
        pool=[0, 1],
        deadline=[deadline],
        weight=[1.0],
    )


def test_the_fastest_idle_gpu_serves_at_its_own_price(simulate: Simulate) -> None:
    first, second = simulate(pool(), [1.0, 1.5], [SHORT] * 2)
    assert [first["gpu"], second["gpu"]] == [1, 0]
    assert [first["finish"], second["finish"]] == [3.0, 5.5]
    assert [first["gpu_seconds"], second["gpu_seconds"]] == [2.0, 4.0]
    assert first["cost"] == pytest.approx(2.0 * 3.0 / 20.0)
    assert second["cost"] == pytest.approx(4.0 / 20.0)


def test_a_full_batch_is_one_that_the_gpu_at_hand_has_no_more_room_for(simulate: Simulate) -> None:
    # Both hold. The fast GPU has room for one only, so the first starts there at once. On the slow
    # one, at hand at 1.5, the second waits for more, until the fast one is at hand again.
    held = action(1, hold=0.5)
    first, second = simulate(pool(fast_limit=1), [1.0, 1.5], [held] * 2)
    assert [first["gpu"], first["start"]] == [1, 1.0]
    assert [second["gpu"], second["start"]] == [1, 3.0]


def test_plans_are_made_anew_for_a_gpu_of_another_type(simulate: Simulate) -> None:
    # The first, of model 1, holds on the fast GPU. The second, of model 0, takes that at once; so
    # the slow one is at hand for the first, who makes a full batch there.
    tables = pool(slow_limit=1, models=2)
    first, second = simulate(tables, [1.0, 1.5], [action(1, hold=0.5), SHORT], models=[1, 0])
    assert [second["gpu"], second["start"]] == [1, 1.5]
    assert [first["gpu"], first["start"]] == [0, 1.5]


def test_one_late_on_the_gpu_at_hand_is_served_there_if_nobody_is_before_it(
    simulate: Simulate,
) -> None:
    # D is 3.5 s after the arrival: enough on the fast GPU, busy until 3, not on the slow one.
    first, second = simulate(pool(deadline=3.5), [1.0, 1.25], [SHORT] * 2)
    assert [first["gpu"], first["finish"]] == [1, 3.0]
    assert [second["gpu"], second["start"], second["finish"]] == [0, 1.25, 5.25]
    assert second["outcome"] == LATE


def test_one_late_on_the_gpu_at_hand_stands_behind_those_who_are_not(simulate: Simulate) -> None:
    # 1   the first on the fast GPU, 10 s, to 11; 2: the second on the slow one, 4 s, to 6
    # 6   the slow GPU is at hand. The third (D 9.5) would leave it at 10, but could leave the fast
    #     one in time; the fourth (D 10.5) can be in time here, alone, but not in a batch of two
    # 10  the third is late everywhere by now
    first, second, third, fourth = simulate(
        pool(deadline=6.5), [1.0, 2.0, 3.0, 4.0], [LONG, SHORT, SHORT, SHORT]
    )
    assert [first["gpu"], second["gpu"]] == [1, 0]
    assert [fourth["start"], fourth["finish"]] == [6.0, 10.0]
    assert [third["start"], third["finish"]] == [10.0, 14.0]


def test_who_is_late_on_every_type_stands_last(simulate: Simulate) -> None:
    # 1    the first on the fast GPU, 10 s, to 11; 1.25: the second on the slow one, to 5.25
    # 5.25 the third (D 7) can't even leave the fast GPU in time any more, the fourth (D 7.5) could.
    #      The slow GPU has room for one: it takes the fourth, though its D is later
    first, second, third, fourth = simulate(
        pool(deadline=5.5, slow_limit=1), [1.0, 1.25, 1.5, 2.0], [LONG, SHORT, SHORT, SHORT]
    )
    assert [first["gpu"], second["gpu"]] == [1, 0]
    assert [fourth["gpu"], fourth["start"]] == [0, 5.25]
    assert [third["gpu"], third["start"]] == [0, 9.25]


def test_only_who_is_late_on_every_type_is_dropped(simulate: Simulate) -> None:
    # D is 3.5 s after the arrival. The second is late on the slow GPU, at hand at 1.25, and served
    # by it; the third, ready at 1.5, waits: at 3, it could leave the fast GPU in time. The fourth
    # would need 2 s and has 1.9 left when that is idle again, at 5, where it is dropped.
    tables = pool(deadline=3.5, drop_late=True)
    records = simulate(tables, [1.0, 1.25, 1.5, 3.4], [SHORT] * 4)
    assert records["gpu"].tolist() == [1, 0, 1, -1]
    assert records["finish"].tolist() == [3.0, 5.25, 5.0, 5.0]
    assert records["outcome"].tolist() == [IN_TIME, LATE, IN_TIME, DROPPED]
