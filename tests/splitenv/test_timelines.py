"""Hand-worked timelines: what one request, one batch, one hold must come to, to the last digit."""

from __future__ import annotations

import numpy as np
import pytest

from splitenv.actions import HOLD_LEVELS
from tests.toy import run, toy_settings, toy_simulator, toy_tables

# Three segments: 1, 2 and 3 s alone on the GPU; a batch of two takes 1.5 times as long.
CURVE = [[1.0, 1.5], [2.0, 3.0], [3.0, 4.5]]
DEVICE = [10.0, 20.0, 30.0]
CLOUD_FIRST = [(0, 1), (0, 2), (0, 3)]
DEVICE_FIRST = [(2, 3), (1, 3), (0, 3)]
HOLDS = len(HOLD_LEVELS)


def action(placement: int, hold: int = 0) -> int:
    return 0 if placement == 0 else 1 + (placement - 1) * HOLDS + hold


def first_request(tables, settings, chosen):
    return run(toy_simulator(tables, settings), chosen)[0, 0]


def alone(**keywords):
    """Arrivals so far apart that a request meets nobody."""
    return toy_settings(gap=[1.0], load=1e-4, length=2, **keywords)


def test_all_device_runs_every_unit_in_order_and_uses_no_gpu():
    record = first_request(toy_tables(CURVE, DEVICE, CLOUD_FIRST), alone(), action(0))
    assert record["complete"] == pytest.approx(record["arrival"] + 60.0, rel=1e-12)
    assert record["gpu_seconds"] == 0.0
    assert np.isnan(record["start"])


def test_all_cloud_takes_upload_units_and_download():
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST, up=[5e3] * 3, down=[1e3, 2e3, 4e3])
    record = first_request(tables, alone(rate=1e3, rtt=0.2), action(3))
    arrival = record["arrival"]
    assert record["ready"] == pytest.approx(arrival + 5.0 + 0.1, rel=1e-9)
    assert record["start"] == record["ready"]
    assert record["finish"] == pytest.approx(record["ready"] + 6.0, rel=1e-9)
    assert record["complete"] == pytest.approx(record["finish"] + 4.0 + 0.1, rel=1e-9)
    assert record["gpu_seconds"] == pytest.approx(6.0, rel=1e-12)


def test_cloud_first_leaves_the_last_units_to_the_device():
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST, overhead=0.5)
    record = first_request(tables, alone(), action(1))
    assert record["finish"] - record["start"] == pytest.approx(1.5, rel=1e-9)
    assert record["complete"] - record["download"] == pytest.approx(20.0 + 30.0, rel=1e-9)
    assert record["gpu_seconds"] == pytest.approx(1.5, rel=1e-12)


def test_the_device_tail_waits_for_the_prompt_that_the_device_encodes_itself():
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST, also=7.0)
    record = first_request(tables, alone(), action(1))
    assert record["complete"] == pytest.approx(record["arrival"] + 7.0 + 50.0, rel=1e-9)


def test_device_first_uploads_after_the_device_has_done_its_part():
    tables = toy_tables(CURVE, DEVICE, DEVICE_FIRST, up=[2e3, 3e3, 4e3])
    record = first_request(tables, alone(rate=1e3), action(1))
    assert record["ready"] == pytest.approx(record["arrival"] + 30.0 + 2.0, rel=1e-9)
    assert record["complete"] == pytest.approx(record["ready"] + 3.0, rel=1e-9)


def test_the_middle_may_run_in_the_cloud_with_both_ends_on_the_device():
    tables = toy_tables(CURVE, DEVICE, [(1, 2), (0, 3)])
    record = first_request(tables, alone(), action(1))
    assert record["complete"] == pytest.approx(record["arrival"] + 10.0 + 2.0 + 30.0, rel=1e-9)


def test_a_request_launched_into_an_idle_pool_does_not_wait_for_company():
    settings = toy_settings(gap=[1.0], load=1.0, length=4)
    records = run(toy_simulator(toy_tables(CURVE, DEVICE, CLOUD_FIRST), settings), action(1))[0]
    assert (records["batch"] == 1).all()
    assert records["start"] == pytest.approx(records["ready"])


def test_two_that_wait_share_a_batch_and_its_time_unit_by_unit():
    # One arrival a second on one GPU, 6 s alone: the second and third wait for the first.
    settings = toy_settings(gap=[1.0], load=1.0, length=3)
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST)
    first, second, third = run(toy_simulator(tables, settings), [action(3), action(3), action(1)])[
        0
    ]
    assert second["start"] == third["start"] == pytest.approx(first["finish"])
    # The third leaves after segment 0 at b = 2; segments 1 and 2 then run for the second alone.
    assert third["finish"] - third["start"] == pytest.approx(1.5, rel=1e-9)
    assert second["finish"] - second["start"] == pytest.approx(1.5 + 2.0 + 3.0, rel=1e-9)
    assert third["gpu_seconds"] == pytest.approx(0.75, rel=1e-12)
    assert second["gpu_seconds"] == pytest.approx(0.75 + 5.0, rel=1e-12)


def test_members_may_enter_late_and_wait_for_the_batch_to_reach_them():
    settings = toy_settings(gap=[1.0], load=1.0, length=3)
    tables = toy_tables(CURVE, [0.0] * 3, DEVICE_FIRST)
    _, second, third = run(toy_simulator(tables, settings), [action(3), action(3), action(1)])[0]
    assert second["start"] == third["start"]
    # Segments 0 and 1 for the second alone, segment 2 for both.
    assert third["finish"] == second["finish"] == pytest.approx(second["start"] + 1 + 2 + 4.5)
    assert third["gpu_seconds"] == pytest.approx(2.25, rel=1e-12)
    assert second["gpu_seconds"] == pytest.approx(3.0 + 2.25, rel=1e-12)


def test_a_hold_ends_after_its_share_of_the_slack():
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST, deadline=26.0)
    record = first_request(tables, alone(), action(3, hold=HOLD_LEVELS.index(0.25)))
    # Slack alone: 26 - 6 = 20 s, a quarter of it is 5 s.
    assert record["start"] - record["ready"] == pytest.approx(5.0, rel=1e-6)


def test_a_full_batch_ends_every_hold():
    settings = toy_settings(gap=[1.0], load=1.0, length=2)
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST)
    first, second = run(toy_simulator(tables, settings), action(3, hold=4))[0]
    assert first["start"] == second["start"] == second["ready"]
    assert first["batch"] == 2


def test_company_that_eats_the_slack_ends_a_hold_early():
    # Deadline 11.5 s: the first may hold (11.5 - 6) * 3/4 = 4.1 s. When the second joins at 1 s,
    # their batch takes 9 s, so waiting past 11.5 - 9 = 2.5 s would make the first one's slack
    # negative.
    settings = toy_settings(gap=[1.0], load=1.0, length=2)
    curve = [[1.0, 1.5, 1.6], [2.0, 3.0, 3.2], [3.0, 4.5, 4.6]]
    tables = toy_tables(curve, DEVICE, CLOUD_FIRST, deadline=11.5)
    first, second = run(toy_simulator(tables, settings), action(3, hold=4))[0]
    assert first["batch"] == 2
    assert first["start"] - first["arrival"] == pytest.approx(2.5, rel=1e-6)
    assert first["complete"] == pytest.approx(first["deadline"])
    assert second["outcome"] == 1


def test_one_whose_joining_would_make_another_late_is_passed_over():
    # A batch of two takes 9 s; the first to wait has 8 s left when the GPU falls idle.
    settings = toy_settings(gap=[1.0], load=1.0, length=3)
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST, deadline=13.0)
    _, second, third = run(toy_simulator(tables, settings), action(3))[0]
    assert second["batch"] == 1
    assert second["complete"] <= second["deadline"]
    assert third["start"] == pytest.approx(second["finish"])


def test_late_requests_come_last_or_are_dropped():
    settings = toy_settings(gap=[1.0], load=1.0, length=8)
    served = toy_tables([[6.0]], [99.0], [(0, 1)], deadline=10.0)
    dropped = toy_tables([[6.0]], [99.0], [(0, 1)], deadline=10.0, drop_late=True)
    late = run(toy_simulator(served, settings), action(1))[0]
    gone = run(toy_simulator(dropped, settings), action(1))[0]
    assert set(late["outcome"]) == {1, 2}
    assert set(gone["outcome"]) == {1, 3}
    assert (gone["gpu_seconds"][gone["outcome"] == 3] == 0).all()
    assert np.isinf(gone["complete"][gone["outcome"] == 3]).all()


def test_a_device_serves_its_clients_requests_one_at_a_time():
    settings = toy_settings(gap=[1.0], load=1.0, length=3)
    tables = toy_tables(CURVE, DEVICE, CLOUD_FIRST)
    records = run(toy_simulator(tables, settings, clients=1), action(0))[0]
    assert np.diff(records["complete"]) == pytest.approx(60.0)
