"""Each dispatch discipline by hand: when it launches, and whom it takes."""

from __future__ import annotations

import numpy as np
import pytest

from splitenv.disciplines import DISCIPLINES, FIRST_COME
from splitenv.state import Tables
from tests.splitenv.conftest import Simulate
from tests.toy import GpuType, action, mix_tables, toy_settings, toy_tables

IN_TIME, LATE, DROPPED = 1, 2, 3
ONE_TO_FOUR = [4.0, 5.0, 6.0, 7.0]
"""Seconds of a batch of one to four."""
CLOUD = action(1)


def under(
    name: str,
    *,
    window: float = 0.0,
    sizes: tuple[int, ...] = (4,),
    spare: int = 0,
    guard: float = 0.0,
    target: float = 0.0,
    **toy: float,
) -> Tables:
    """One model of one segment, under a discipline."""
    return toy_tables([ONE_TO_FOUR], [99.0], [(0, 1)], **toy)._replace(
        discipline=DISCIPLINES[name],
        by_deadline=int(name not in FIRST_COME),
        window=window,
        preferred=np.array(sizes, np.int32),
        spare=spare,
        guard=guard,
        target=target,
        drop_late=int(name == "edf-drop"),
    )


def test_slack_launches_when_company_has_used_up_a_members_slack(simulate: Simulate) -> None:
    # D of the first is 21: alone it may hold to 1 + 3/4 * 16 = 13. Three need 6 s, and the fourth
    # would fill the batch. So they launch when the first hold ends, unless slack runs out earlier:
    # with the D of 9 it does, 6 s before.
    held = [action(1, hold=0.75)] * 3
    loose = simulate(under("slack", deadline=20.0), [1.0, 2.0, 3.0], held)
    assert (loose["start"] == 13.0).all()
    tight = simulate(under("slack", deadline=8.0), [1.0, 2.0, 2.5], held)
    assert tight["start"] == pytest.approx([3.0, 3.0, 3.0], abs=2e-9)
    assert tight["complete"][0] <= 9.0


def test_a_window_starts_with_its_first_request(simulate: Simulate) -> None:
    # TensorFlow Serving (Olston et al. 2017, section 4): a batch leaves when it has the size, or
    # the timeout after its first request.
    records = simulate(under("window", window=2.0, sizes=(3,)), [1.0, 2.0], [CLOUD] * 2)
    assert (records["start"] == 3.0).all()
    records = simulate(under("window", window=2.0, sizes=(3,)), [1.0, 1.5, 2.0], [CLOUD] * 3)
    assert (records["start"] == 2.0).all()


def test_a_window_takes_no_more_than_its_size_first_come_first_served(simulate: Simulate) -> None:
    # The second to become ready has a download of 20 s before its deadline, and still comes third.
    tables = toy_tables(
        [ONE_TO_FOUR], [99.0], [(0, 1), (0, 1)], up=[0.0, 1e3], down=[0.0, 2e4], deadline=30.0
    )
    tables = tables._replace(
        discipline=DISCIPLINES["window"], by_deadline=0, preferred=np.array([2], np.int32)
    )
    first, urgent, *others = simulate(
        tables,
        [1.0, 2.0, 2.0, 2.5, 3.5],
        [CLOUD, action(2), CLOUD, CLOUD, CLOUD],
        settings=toy_settings(rate=1e3),
    )
    assert first["finish"] == 5.0
    assert [urgent["ready"], urgent["gpu_deadline"]] == pytest.approx([3.0, 12.0])
    assert [other["start"] for other in others] == [5.0, 5.0, 10.0]
    assert urgent["start"] == 10.0


def test_a_preferred_size_launches_at_once_and_what_is_over_waits(simulate: Simulate) -> None:
    # Triton's dynamic batcher, preferred sizes 2 and 4, queue delay 10 s.
    # 1.5   two: launch, to 6.5
    # 6.5   three wait: two of them launch, to 11.5, the last one, ready at 4, may wait till 14
    tables = under("preferred", window=10.0, sizes=(2, 4))
    records = simulate(tables, [1.0, 1.5, 2.0, 3.0, 4.0], [CLOUD] * 5)
    assert records["start"].tolist() == [1.5, 1.5, 6.5, 6.5, 14.0]
    assert records["batch"].tolist() == [2, 2, 2, 2, 1]


def test_preferred_takes_the_largest_size_that_there_are_enough_for(simulate: Simulate) -> None:
    tables = under("preferred", window=10.0, sizes=(2, 4))
    arrivals = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0]
    records = simulate(tables, arrivals, [CLOUD] * 7)
    # 6.5   five wait: four launch, to 13.5, the last one may wait till 16
    assert records["start"].tolist() == [1.5, 1.5, 6.5, 6.5, 6.5, 6.5, 16.0]


@pytest.mark.parametrize(("spare", "alone", "together"), [(0, 17.0, 16.0), (1, 16.0, 15.0)])
def test_deferred_launches_at_the_latest_safe_moment(
    simulate: Simulate, spare: int, alone: float, together: float
) -> None:
    # Symphony (Chen et al. 2023), deferred batch scheduling: a batch waits until it must leave for
    # the first D (21) to be met; spare 1 leaves time for one member more. Holds don't matter.
    tables = under("deferred", spare=spare, deadline=20.0)
    (one,) = simulate(tables, [1.0], [CLOUD])
    assert one["start"] == pytest.approx(alone, abs=2e-9)
    two = simulate(tables, [1.0, 10.0], [CLOUD] * 2)
    assert two["start"] == pytest.approx([together] * 2, abs=2e-9)
    assert (two["outcome"] == IN_TIME).all()


def test_deferred_keeps_its_guard_before_the_latest_safe_moment(simulate: Simulate) -> None:
    # As above, alone at 17; 2.5 s earlier with a guard of as much, and at once if that is past.
    (one,) = simulate(under("deferred", guard=2.5, deadline=20.0), [1.0], [CLOUD])
    assert one["start"] == pytest.approx(14.5, abs=2e-9)
    (hurried,) = simulate(under("deferred", guard=18.0, deadline=20.0), [1.0], [CLOUD])
    assert hurried["start"] == 1.0


def test_deferred_launches_a_full_batch_and_the_late_at_once(simulate: Simulate) -> None:
    full = simulate(under("deferred", deadline=20.0), [1.0, 2.0, 3.0, 4.0], [CLOUD] * 4)
    assert (full["start"] == 4.0).all()
    (late,) = simulate(under("deferred", deadline=3.0), [1.0], [CLOUD])
    assert late["start"] == 1.0


def test_a_plan_stands_until_its_own_queue_changes(simulate: Simulate) -> None:
    # Deferred, D at arrival + 12.5. The first could leave after 2 s, with company after 3. The
    # second needs 12 s alone, 13 in company: at 2 it is passed over, and the first is planned for
    # 13.5 - 2. From 2.5 on the second is late and so would go along; but the third, ready at 4, is
    # of another model, and nobody thinks again.
    curve = [[2.0, 3.0, 4.0], [10.0, 15.0, 20.0]]
    model = toy_tables(curve, [99.0, 0.0], [(0, 1), (0, 2)], deadline=12.5)
    tables = mix_tables(
        [model, model],
        devices=[1.0],
        able=[[True, True]],
        gpus=[GpuType()],
        pool=[0],
        deadline=[12.5],
        weight=[1.0],
    )._replace(discipline=DISCIPLINES["deferred"])
    actions, models = [action(1), action(2), action(1)], [0, 0, 1]
    first, second, _ = simulate(tables, [1.0, 2.0, 4.0], actions, models=models)
    assert first["start"] == pytest.approx(11.5, abs=2e-9)
    assert second["outcome"] == LATE


def test_edf_drop_serves_the_earliest_deadline_and_drops_the_hopeless(simulate: Simulate) -> None:
    # Clockwork (Gujarati et al. 2020, section 5): no work for who can't be in time. One at a time,
    # 4 s each, D at arrival + 10: the fourth could only leave at 17, after its D of 14.
    tables = under("edf-drop", deadline=10.0)._replace(limit=np.array([[1]], np.int32))
    records = simulate(tables, [1.0, 2.0, 3.0, 4.0], [action(1, hold=0.75)] * 4)
    assert records["start"][:3].tolist() == [1.0, 5.0, 9.0]
    assert records["outcome"].tolist() == [IN_TIME, IN_TIME, IN_TIME, DROPPED]
    assert records["finish"][3] == 13.0
    assert records["gpu_seconds"].sum() == 12.0


def test_who_could_be_in_time_over_a_faster_link_is_served_last(simulate: Simulate) -> None:
    # One at a time, 4 s each, answers of 2 s by the client's report: D at arrival + 6.
    # 5  the second (D 8) would leave at 9: late, but an answer that travelled at once would be in
    #    time at 10. Alone it is served; the third (D 9) goes before it, and at 9 it is hopeless
    tables = toy_tables([ONE_TO_FOUR], [99.0], [(0, 1)], down=[2e3], deadline=8.0)._replace(
        discipline=DISCIPLINES["edf-drop"], drop_late=1, limit=np.array([[1]], np.int32)
    )
    settings = toy_settings(rate=1e3)
    first, second = simulate(tables, [1.0, 2.0], [CLOUD] * 2, settings=settings)
    assert [first["finish"], second["start"], second["outcome"]] == [5.0, 5.0, LATE]
    records = simulate(tables, [1.0, 2.0, 3.0], [CLOUD] * 3, settings=settings)
    assert records["outcome"].tolist() == [IN_TIME, DROPPED, IN_TIME]
    assert records["finish"].tolist() == [5.0, 9.0, 9.0]


def test_window_drop_gives_up_a_head_that_a_full_window_would_make_late(simulate: Simulate) -> None:
    # Nexus' early drop (Shen et al. 2019, section 6), windows of three, which take 6 s.
    # 1   the first alone, to 5
    # 5   the second (D 10.5) would leave at 11 with the third and the fourth: dropped, though
    #     alone it would have been in time; the third (D 11) leaves at 11 with the next two
    tables = under("window-drop", sizes=(3,), deadline=9.0)
    records = simulate(tables, [1.0, 1.5, 2.0, 2.5, 3.0], [CLOUD] * 5)
    assert records["outcome"].tolist() == [IN_TIME, DROPPED, IN_TIME, IN_TIME, IN_TIME]
    assert records["finish"].tolist() == [5.0, 5.0, 11.0, 11.0, 11.0]
    assert records["batch"].tolist() == [1, 0, 3, 3, 3]


def test_window_drop_may_empty_the_queue(simulate: Simulate) -> None:
    # Uploads take 2 s, and each is dropped when it is ready, with nobody to serve on the idle GPU.
    tables = toy_tables([ONE_TO_FOUR], [99.0], [(0, 1)], up=[2e3], deadline=3.0)
    tables = tables._replace(discipline=DISCIPLINES["window-drop"])
    records = simulate(tables, [1.0, 2.0], [CLOUD] * 2, settings=toy_settings(rate=1e3))
    assert (records["outcome"] == DROPPED).all()
    assert records["finish"] == pytest.approx([3.0, 4.0])


@pytest.mark.parametrize(
    ("arrivals", "start"),
    [([1.0], 6.0), ([1.0, 4.0], 6.0), ([1.0, 4.0, 5.5], 6.5), ([1.0, 4.0, 5.5, 6.0], 6.0)],
)
def test_fitted_waits_as_long_as_company_is_worth_it(
    simulate: Simulate, arrivals: list[float], start: float
) -> None:
    # BentoML's dispatcher: the batch takes 3 + n s, so a = 1; n wait while n (age of the youngest
    # + 1) is at most the budget of 6, but four are a full batch. Two: till 4 + 6 / 2 - 1.
    records = simulate(under("fitted", window=6.0), arrivals, [CLOUD] * len(arrivals))
    assert (records["start"] == start).all()


def test_fitted_serves_who_comes_first_up_to_the_limit(simulate: Simulate) -> None:
    records = simulate(under("fitted"), [1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [CLOUD] * 6)
    assert records["start"].tolist() == [1.0, 5.0, 5.0, 5.0, 5.0, 12.0]


def test_fitted_gives_up_the_first_for_the_others(simulate: Simulate) -> None:
    # At 5 three wait, D at arrival + 8.9. Together they end at 5 + 3 + 3 by the line, after the
    # first D of 10.9 (which it would meet alone); two end at 10.
    records = simulate(under("fitted", deadline=8.9), [1.0, 2.0, 2.5, 4.0], [CLOUD] * 4)
    assert records["outcome"].tolist() == [IN_TIME, DROPPED, IN_TIME, IN_TIME]
    assert records["start"][2:].tolist() == [5.0, 5.0]
    assert records["finish"][1] == 5.0


def test_fitted_waits_anew_after_it_dropped_and_keeps_the_last_one(simulate: Simulate) -> None:
    # Two would launch at 6 and end at 11, after the first D of 10.5. The second may wait till 9.
    records = simulate(under("fitted", window=6.0, deadline=9.5), [1.0, 4.0], [CLOUD] * 2)
    assert records["outcome"].tolist() == [DROPPED, IN_TIME]
    assert [records["finish"][0], records["start"][1]] == [6.0, 9.0]
    (hopeless,) = simulate(under("fitted", deadline=3.0), [1.0], [CLOUD])
    assert [hopeless["outcome"], hopeless["start"]] == [LATE, 1.0]


def test_aimd_grows_by_one_and_shrinks_by_a_tenth(simulate: Simulate) -> None:
    # Clipper (Crankshaw et al. 2017, section 4.3.1), objective 5 s, which three members exceed. The
    # largest batch: 1, 2, 3, 2.7, 3.7, 3.33, 2.997.
    arrivals = [1.0 + 0.1 * request for request in range(16)]
    records = simulate(under("aimd", target=5.0), arrivals, [CLOUD] * 16)
    sizes = [1, 2, 3, 2, 3, 3, 2]
    starts = [1.0, 5.0, 10.0, 16.0, 21.0, 27.0, 33.0]
    assert records["start"].tolist() == np.repeat(starts, sizes).tolist()


def test_aimd_grows_no_further_than_the_limit(simulate: Simulate) -> None:
    arrivals = [1.0 + 0.1 * request for request in range(14)]
    records = simulate(under("aimd", target=99.0), arrivals, [CLOUD] * 14)
    assert records["batch"].tolist() == np.repeat([1, 2, 3, 4, 4], [1, 2, 3, 4, 4]).tolist()


def test_aimd_learns_nothing_from_a_smaller_batch_in_time(simulate: Simulate) -> None:
    # After the first the largest is 2. The second goes alone and leaves it at that.
    arrivals = [1.0, 6.0, 7.0, 7.1, 7.2]
    records = simulate(under("aimd", target=5.0), arrivals, [CLOUD] * 5)
    assert records["batch"].tolist() == [1, 1, 2, 2, 1]


def test_aimd_may_delay_a_batch_that_is_not_full(simulate: Simulate) -> None:
    # Section 4.3.2. One is enough at first, then two, then three, for which they wait till 13 + 3.
    tables = under("aimd", target=5.0, window=3.0)
    records = simulate(tables, [1.0, 6.0, 7.0, 13.0, 14.0], [CLOUD] * 5)
    assert records["start"].tolist() == [1.0, 7.0, 7.0, 16.0, 16.0]
