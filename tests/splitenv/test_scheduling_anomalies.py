"""Where something faster makes a completion later: the examples of docs/scheduling-anomalies.md.

Arrivals are one second apart, the first at 1 s. Times are in the order of arrival.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from splitenv.disciplines import DISCIPLINES
from tests.toy import GpuType, mix_tables, run, toy_settings, toy_simulator, toy_tables

KB = 1e3
SPELL = 59
"""A seed whose client has background load from before 4.2 s until after it, not at 1 s or 5 s."""
SLOW_FIRST = 1
"""A seed whose client starts its recorded link at the first block."""


def first_come(tables: Any) -> Any:
    return tables._replace(discipline=DISCIPLINES["window"], by_deadline=0)


def completions(tables: Any, actions: list[int], *, seed: int = 0, **world: Any) -> list[float]:
    """When one client's requests complete; actions 1, 6 and 11 are placements without a hold."""
    changes = {name: world.pop(name) for name in set(world) - {"rate", "gpus"}}
    settings = toy_settings(gap=[1.0], length=len(actions), **world)._replace(**changes)
    simulator = toy_simulator(tables, settings, clients=1, queue=8)
    return run(simulator, actions, seed)[0]["complete"].round(6).tolist()


def speed_of_links(factor: float) -> dict[str, Any]:
    return {"rate": 10 * KB, "bandwidth": np.full(2, factor)}


def test_a_faster_link_brings_company() -> None:
    # The third request is now ready when the first leaves the GPU, and shares the second's batch.
    tables = first_come(toy_tables([[3.0, 5.0]], [9.0], [(0, 1)] * 2, up=[0.0, 20 * KB]))
    assert completions(tables, [1, 1, 6], **speed_of_links(1.0)) == [4.0, 7.0, 10.0]
    assert completions(tables, [1, 1, 6], **speed_of_links(4.0)) == [4.0, 9.0, 9.0]


def test_a_faster_link_lets_another_request_overtake() -> None:
    # A large upload that starts first and a small one: which is through first is up to the link.
    tables = first_come(toy_tables([[3.0]], [9.0], [(0, 1)] * 2, up=[40 * KB, 10 * KB]))
    assert completions(tables, [1, 6], **speed_of_links(1.0)) == [9.0, 6.0]
    assert completions(tables, [1, 6], **speed_of_links(4.0)) == [5.0, 8.0]


def test_a_faster_link_takes_a_request_s_urgency_away() -> None:
    # With 4 s of download ahead the third has the earlier D: 29 s, to the second's 32 s.
    tables = toy_tables([[5.0]], [9.0], [(0, 1)] * 2, down=[0.0, 40 * KB], deadline=30.0)
    assert completions(tables, [1, 1, 6], **speed_of_links(1.0)) == [6.0, 16.0, 15.0]
    assert completions(tables, [1, 1, 6], **speed_of_links(8.0)) == [6.0, 11.0, 16.5]


def test_a_faster_gpu_breaks_up_a_batch() -> None:
    # It is idle just before the third request is there, and starts with the second alone.
    slow, fast = (
        first_come(toy_tables([[2.4 / factor, 2.6 / factor]], [9.0], [(0, 1)]))
        for factor in (1.0, 4 / 3)
    )
    assert completions(slow, [1, 1, 1]) == [3.4, 6.0, 6.0]
    assert completions(fast, [1, 1, 1]) == [2.8, 4.6, 6.4]


def test_a_slow_gpu_in_addition_is_used_too_soon() -> None:
    # An idle GPU takes what waits: the second request would have had the fast one at 3 s.
    tables = first_come(toy_tables([[2.0]], [9.0], [(0, 1)]))
    one, two = (
        mix_tables(
            [tables], devices=[1.0], able=[[True]], pool=pool,
            gpus=[GpuType(), GpuType(time=5.0, overhead=5.0)],
            deadline=[100.0], weight=[1.0],
        )
        for pool in ([0], [0, 1])
    )  # fmt: skip
    assert completions(one, [1, 1]) == [3.0, 5.0]
    assert completions(two, [1, 1], gpus=2) == [3.0, 12.0]


def test_a_faster_gpu_commits_the_device_to_a_tail_too_soon() -> None:
    # At its launch the second request books the device for after its download, in 9 s. A head that
    # is decided after that waits, though the device has nothing to do until then.
    slow, fast = (
        toy_tables(
            [[3.0 / f], [1.0 / f]], [2.0, 3.0], [(0, 1), (1, 2), (0, 2)], down=[90 * KB, 0, 0]
        )
        for f in (1.0, 4.0)
    )
    assert completions(slow, [11, 1, 6], rate=10 * KB) == [5.0, 20.0, 9.0]
    assert completions(fast, [11, 1, 6], rate=10 * KB) == [2.0, 14.75, 17.0]


def test_a_faster_device_starts_in_a_spell_of_background_load() -> None:
    # What rules at the start of a piece of work rules all of it.
    tables = toy_tables([[1.0]], [4.0], [(0, 1)])
    spells = {"background": np.array([4.0, 1.0]), "background_block": 2.0, "seed": SPELL}
    slow = completions(tables, [0, 0], **spells)
    fast = completions(tables, [0, 0], device_speed=np.full(2, 0.8), **spells)
    assert slow == [5.0, 9.0]
    assert fast == [4.2, 17.0]


def test_a_faster_link_waits_longer_for_tcp_before_it_gets_faster_still() -> None:
    # Three windows are waited for, each for what it leaves of an RTT at the rate at the start.
    tables = toy_tables([[1.0]], [9.0], [(0, 1)], up=[9 * KB])._replace(initial_window=KB)
    link = {
        "series": np.array([[10 * KB, 10 * KB, 0.9], [1000 * KB, 1000 * KB, 0.9]]),
        "series_span": np.array([[0, 2]]),
        "block": np.full((1, 2), 2.0),
        "seed": SLOW_FIRST,
    }
    slow, fast = (
        completions(tables, [1], bandwidth=np.full(2, factor), **link) for factor in (1.0, 1.5)
    )
    assert slow == [pytest.approx(1 + 2.0 + 0.009 + 0.45 + 1.0 + 0.45)]
    assert fast == [pytest.approx(slow[0] + 7 / 10 - 7 / 15 - 0.003)]
