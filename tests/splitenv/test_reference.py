"""The compiled simulator agrees, event for event, with a second one written from the contract."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from splitenv.actions import HOLD_LEVELS
from splitenv.state import Tables
from splitenv.truth import ACCOUNT
from tests import reference
from tests.plays import Play, plays
from tests.reference import DROPPED, IN_TIME, LATE, Request
from tests.reference.drawn import drawn_world
from tests.toy import run, toy_settings, toy_simulator, toy_tables

DISCRETE = ("client", "device", "model", "sla", "placement", "gpu", "batch", "launch", "outcome")
REPORTS = ("uplink", "downlink", "rtt", "speed")
STAMPS = ("begin", "sent", "ready", "start", "finish", "download", "resume", "complete")
FIGURES = ("gpu_seconds", "cost", "gpu_deadline")
EXACT = 1e-9


# --- The same episode, twice.


def compare(play: Play) -> list[Request]:
    """Play an episode in both simulators and hold them against each other."""
    simulator = toy_simulator(play.tables, play.settings, clients=play.clients, queue=play.queue)
    records = run(simulator, play.actions, play.seed)[0]
    second = reference.play(play.tables, drawn_world(simulator), play.actions)
    told = reference.as_records(second.requests)
    # An answer that comes within rounding of its deadline may count either way.
    clear = ~np.isclose(told["complete"], told["deadline"], rtol=EXACT, atol=0.0)
    for name in ("arrival", "deadline", *DISCRETE, *REPORTS, *STAMPS, *FIGURES):
        judged = clear if name in ("outcome", "cost") else slice(None)
        tolerance = 0.0 if name in DISCRETE else EXACT
        np.testing.assert_allclose(
            records[name][judged], told[name][judged], rtol=tolerance, atol=0.0, err_msg=name
        )
    sums = simulator.finished[0]
    assert sums["launches"] == second.launches
    assert sums["overflow"] == second.overflow
    assert sums["busy_seconds"] == pytest.approx(second.busy_seconds)
    assert sums["attributed_seconds"] == pytest.approx(second.busy_seconds)
    if clear.all():
        accounts = account(told, play)
        for name in ACCOUNT.names:
            np.testing.assert_allclose(
                simulator.truth.finished_ledger[0][name], accounts[name], rtol=EXACT, err_msg=name
            )
            if name in sums.dtype.names:
                assert sums[name] == pytest.approx(accounts[name].sum()), name
    for life in (records, told):
        conserves(life, second.busy_seconds, len(play.actions))
        keeps_causes_before_effects(life)
        keeps_batches_apart(life, play.tables, second.busy_seconds)
    return second.requests


def account(records: np.ndarray[Any, Any], play: Play) -> np.ndarray[Any, Any]:
    """Sums by model and SLA class, over the requests that count."""
    tables, left_out = play.tables, play.settings.warmup
    accounts = np.zeros((len(tables.placements), len(tables.deadline)), ACCOUNT)
    for record in records[left_out : len(records) - left_out]:
        sums = accounts[record["model"], record["sla"]]
        sums["requests"] += 1
        sums["violations"] += record["outcome"] != IN_TIME
        sums["dropped"] += record["outcome"] == DROPPED
        sums["cloud_requests"] += record["gpu"] >= 0
        sums["gpu_seconds"] += record["gpu_seconds"]
        sums["reference_gpu_seconds"] += tables.reference[record["model"]]
        sums["cost"] += record["cost"]
        if record["outcome"] != DROPPED:
            sums["latency"] += record["complete"] - record["arrival"]
    return accounts


def conserves(records: np.ndarray[Any, Any], busy: float, decisions: int) -> None:
    outcome = records["outcome"]
    assert len(records) == decisions
    assert np.isin(outcome, (IN_TIME, LATE, DROPPED)).all()
    assert (np.isinf(records["complete"]) == (outcome == DROPPED)).all()
    assert ((records["complete"] > records["deadline"]) == (outcome != IN_TIME)).all()
    assert (records["gpu_seconds"][records["gpu"] < 0] == 0.0).all()
    assert records["gpu_seconds"].sum() == pytest.approx(busy)


def keeps_causes_before_effects(records: np.ndarray[Any, Any]) -> None:
    ran = records[records["gpu"] >= 0]
    life = ("arrival", "ready", "start", "finish", "download", "complete")
    for cause, effect in pairwise(life):
        assert (ran[cause] <= ran[effect]).all()
    assert (records["arrival"] <= records["complete"]).all()


def keeps_batches_apart(records: np.ndarray[Any, Any], tables: Tables, busy: float) -> None:
    """From a start until it is idle again, a GPU serves no more than it has room for."""
    spent = 0.0
    for gpu in range(len(tables.pool)):
        here = records[records["gpu"] == gpu]
        starts = [here[here["launch"] == launch] for launch in np.unique(here["launch"])]
        for before, after in pairwise(starts):
            assert before["finish"].max() <= after["start"].min()
        spent += sum(start["finish"].max() - start["start"].min() for start in starts)
        limit = tables.limit[tables.pool[gpu]]
        for start in starts:
            if not tables.continuous:
                assert (start["batch"] == len(start)).all()
                assert (start["start"] == start["start"][0]).all()
            for one in start:
                aboard = start[(start["start"] <= one["start"]) & (start["finish"] > one["start"])]
                assert one["batch"] <= len(aboard)
                assert (np.bincount(aboard["model"], minlength=len(limit)) <= limit).all()
    assert spent == pytest.approx(busy)


# --- Random episodes.

PARTS = {
    ("batch", "slack"): 800,
    ("batch", "deferred"): 500,
    ("batch", "window"): 300,
    ("batch", "preferred"): 400,
    ("batch", "edf-drop"): 300,
    ("batch", "window-drop"): 300,
    ("batch", "fitted"): 400,
    ("batch", "aimd"): 400,
    ("continuous", "slack"): 1000,
    ("continuous", "edf-drop"): 400,
}
"""How many are drawn in the quick suite, by serving mode and discipline."""


@pytest.mark.parametrize("part", PARTS, ids="-".join)
def test_both_simulators_tell_the_same_story(part: tuple[str, str]) -> None:
    """The same plays in every run, so that it never fails by an unlucky draw."""
    hold(part, settings(max_examples=PARTS[part], derandomize=True))


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids="-".join)
def test_both_simulators_tell_the_same_story_at_length(part: tuple[str, str]) -> None:
    """Anew each time."""
    hold(part, settings(max_examples=10 * PARTS[part]))


def hold(part: tuple[str, str], effort: settings) -> None:
    @settings(effort, deadline=None, suppress_health_check=list(HealthCheck))
    @given(plays(*part))
    def agree(play: Play) -> None:
        compare(play)

    agree()


# --- What they disagreed about.


def constant_gaps(load: float, actions: list[int]) -> dict[str, Any]:
    """One request every ``1 / load`` seconds, each from its own client."""
    world = toy_settings(gap=[1.0], load=load, length=len(actions))
    return {"settings": world, "clients": 4096, "queue": 4096, "seed": 0, "actions": actions}


@pytest.mark.parametrize("load", [0.8, 0.9, 1.0, 1.1, 1.2])
def test_a_launch_at_the_end_of_a_slack_takes_those_it_was_planned_for(load: float) -> None:
    # As two they need 9.1 s, so they launch 9.1 s before the first one's D. By rounding, the second
    # could seem to make the first late then, and be left behind.
    curve = [[2.0, 3.0, 3.1], [1.0, 1.8, 1.9], [2.0, 3.4, 3.5], [0.5, 0.9, 1.0]]
    tables = toy_tables(curve, [20.0] * 4, [(0, 4)], deadline=11.7)
    longest = 1 + HOLD_LEVELS.index(0.75)
    first, second = compare(Play(tables, **constant_gaps(load, [longest, longest])))
    assert first.batch == second.batch == 2
    assert first.start == pytest.approx(first.gpu_deadline - 9.1, rel=EXACT)


def test_all_late_requests_are_dropped_at_once_however_small_a_batch() -> None:
    # When the first leaves, 6 s after its start, the second and the third are late, the fourth not.
    tables = toy_tables([[6.0]], [60.0], [(0, 1)], deadline=9.5, drop_late=True)
    first, *late, last = compare(Play(tables, **constant_gaps(1.0, [1, 1, 1, 1])))
    assert [request.outcome for request in late] == [DROPPED, DROPPED]
    assert [request.finish for request in late] == [first.finish, first.finish]
    assert last.start == first.finish
