"""Lookahead: what it finds, what it does not know, and that it does no worse than its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.export import export
from agents.heuristics.fixed import AllCloud
from agents.heuristics.joint_greedy import JointGreedy
from agents.lookahead import Lookahead, schedule
from agents.policy import Actions, Masks, Observations, Policy
from agents.registry import make_policy
from splitenv import kernel
from splitenv.branches import Branches
from splitenv.context import Context
from splitenv.runtime.policies import BundleError
from splitenv.scenario import load_scenario
from splitenv.simulator import NO_RESET, Simulator
from tests.toy import action, toy_settings, toy_simulator, toy_tables

BUSY = {"load": 2.4, "decisions": 400, "models.0.cut_every": 10}
CHEAP = {"futures": 2, "horizon": 8}


def advanced(decisions: int, rows: int = 1, **changes: Any) -> Simulator:
    """A simulator in the midst of episodes under joint-greedy."""
    simulator = Simulator(load_scenario("sd-mobile", BUSY | changes), rows)
    simulator.seed(range(rows))
    simulator.reset()
    go_on(JointGreedy(), simulator, decisions)
    return simulator


def go_on(policy: Policy, simulator: Simulator, decisions: int) -> None:
    policy.bind(Context(simulator.tables))
    policy.attach(simulator)
    for _ in range(decisions):
        simulator.step(policy.act(simulator.observation, simulator.mask), NO_RESET)


class Always(Policy):
    name = "always"

    def __init__(self, chosen: int) -> None:
        super().__init__()
        self.chosen = chosen

    def act(self, observations: Observations, masks: Masks) -> Actions:
        return np.full(len(observations), self.chosen)


def decides(simulator: Simulator, base: Policy | None = None, **parameters: float) -> list[int]:
    planner = Lookahead(base, **(CHEAP | parameters))
    planner.bind(Context(simulator.tables))
    planner.attach(simulator)
    return [int(each) for each in planner.act(simulator.observation, simulator.mask)]


# --- What it finds.


@pytest.fixture
def pairs() -> Simulator:
    """A request every 4 s; two together take 10.5 s of GPU, one alone 10; deadline 20 s.

    A hold of h ends 10 h seconds after the arrival: from 1/2 on, the next request comes in time.
    """
    tables = toy_tables([[10.0, 10.5]], [99.0], [(0, 1)], deadline=20.0)
    simulator = toy_simulator(tables, toy_settings(gap=[1.0], load=0.25), clients=8)
    simulator.seed([0])
    simulator.reset()
    return simulator


def test_it_knows_what_each_action_leads_to(pairs: Simulator) -> None:
    # Two decisions, the second without a hold. Each alone: 20 GPU seconds of a norm of 10; together
    # 10.5. All-device is late, which costs 10, and leaves the second its 10 GPU seconds.
    planner = Lookahead(AllCloud(), futures=3, horizon=2)
    planner.bind(Context(pairs.tables))
    planner.attach(pairs)
    cost = planner.look_ahead(0, np.arange(pairs.actions), np.arange(3, dtype=np.uint64))
    assert cost == pytest.approx(
        np.repeat([[11.0], [2.0], [2.0], [2.0], [1.05], [1.05]], 3, axis=1)
    )


def test_it_holds_for_company_where_its_base_does_not(pairs: Simulator) -> None:
    assert decides(pairs, AllCloud(), horizon=1) == [action(1)]
    assert decides(pairs, AllCloud(), horizon=2) == [action(1, hold=0.5)]


def test_of_equals_it_takes_what_its_base_would() -> None:
    # Nobody else comes in time, so every hold costs the same.
    tables = toy_tables([[10.0, 10.5]], [99.0], [(0, 1)], deadline=20.0)
    simulator = toy_simulator(tables, toy_settings(gap=[1.0], load=1e-3), clients=8)
    simulator.seed([0])
    simulator.reset()
    for hold in (0.0, 0.5):
        assert decides(simulator, Always(action(1, hold))) == [action(1, hold)]


def test_it_costs_no_more_than_its_base() -> None:
    cost = {}
    for name, policy in {"base": JointGreedy(), "lookahead": Lookahead(**CHEAP)}.items():
        simulator = Simulator(load_scenario("sd-mobile", BUSY), 3)
        simulator.seed(range(3))
        simulator.reset()
        simulator.truth.world["length"] = 100
        go_on(policy, simulator, 100)
        cost[name] = simulator.finished["total_cost"].sum()
    assert cost["lookahead"] < cost["base"]


# --- What it does not know.


def test_it_never_peeks() -> None:
    """Another future, and other secrets of requests under way: the same decision."""
    slow = {"control_delay_ms": 800.0}  # so that uploads are under way
    for decisions in (20, 60, 100):
        here, there = advanced(decisions, rows=4, **slow), advanced(decisions, rows=4, **slow)
        assert there.belief.clock["uploads"].any()
        hide_something_else(there)
        assert decides(here) == decides(there)
        go_on(JointGreedy(), here, 10)
        go_on(JointGreedy(), there, 10)
        assert (here.observation != there.observation).any(axis=1).all()


def hide_something_else(simulator: Simulator) -> None:
    """Replace all that is random ahead, and all that is hidden of requests in the cloud's hands."""
    truth = simulator.truth
    for name in truth.world.dtype.names:
        if truth.world[name].dtype == np.uint64:  # keys and streams
            truth.world[name] += np.uint64(12345)
    truth.world["rate_until"] += 3.0
    truth.world["next_arrival"] += 0.01
    truth.world["next_client"] = (truth.world["next_client"] + 1) % 128
    truth.request["slowness"] *= 1.1
    truth.request["encoded"] += 0.5
    truth.request["rtt"] *= 1.5
    truth.client["device_free"] += 1.0
    # Uploads in the same order, but all of them later.
    truth.heap["time"] += 0.125


def test_decisions_do_not_depend_on_the_row() -> None:
    together, alone = advanced(50, rows=3), advanced(50)
    assert decides(together)[0] == decides(alone)[0]


def test_futures_agree_with_what_the_pending_client_reported() -> None:
    simulator = advanced(30, rows=8)
    branches = Branches(simulator, 8)
    for row in range(simulator.envs):
        kept = np.sort(distances(branches, row, branches.draw_keys(row, 8, 64, [0])))
        drawn = np.sort(distances(branches, row, branches.draw_keys(row, 512, 1, [0])))
        assert (kept == drawn[:8]).all()


def distances(branches: Branches, row: int, keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    branches.copy(row, 1)
    distance = np.zeros(len(keys))
    kernel.compiled.disagreement(branches.handle, 0, keys, distance)
    return distance


# --- Branches.

WORLDS: dict[str, dict[str, Any]] = {
    "batch": {},
    "continuous": {"serving": "continuous"},
    "fitted": {"dispatch": {"discipline": "fitted", "window_s": 2.0}},
    "aimd": {"dispatch": {"discipline": "aimd", "target_s": 4.0}},
    "throttling": {"clients.throttling": True, "clients.sessions": {"active": 8, "requests": 5}},
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_copy_goes_on_like_the_original(world: str) -> None:
    simulator = advanced(60, rows=3, **WORLDS[world])
    branches = Branches(simulator, 5)
    branches.copy(1, 5)
    rule = JointGreedy()
    rule.bind(Context(simulator.tables))
    for _ in range(60):
        chosen = rule.act(simulator.observation, simulator.mask)
        simulator.step(chosen, NO_RESET)
        branches.decide(np.repeat(chosen[1], 5))
        assert (branches.observation == simulator.observation[1]).all()
        assert (branches.reward == simulator.reward[1]).all()


@pytest.mark.parametrize("world", WORLDS)
def test_futures_differ_by_key_alone_and_leave_the_original_as_it_was(world: str) -> None:
    simulator = advanced(60, rows=2, **WORLDS[world])
    before = [array.tobytes() for array in (*simulator.belief, *simulator.truth)]
    branches = Branches(simulator, 4)
    branches.start(0, np.array([1, 2, 1, 2], np.uint64), 20)
    rule = JointGreedy()
    rule.bind(Context(simulator.tables))
    first = rule.act(simulator.observation[:1], simulator.mask[:1])
    branches.decide(np.repeat(first, 4))
    for _ in range(19):
        branches.decide(rule.act(branches.observation, branches.mask))
    assert branches.truncated.all()
    one, two, again, and_again = branches.costs()
    assert (one, two) == (again, and_again)
    assert one != two
    assert [array.tobytes() for array in (*simulator.belief, *simulator.truth)] == before


# --- Where it belongs.


def test_it_is_made_by_name_and_says_what_it_follows() -> None:
    described = make_policy("lookahead:futures=4,horizon=8").describe()
    assert described["parameters"] == {"futures": 4, "horizon": 8, "seed": 0}
    assert described["base"] == JointGreedy().describe()


def test_without_a_simulator_it_says_that_it_needs_one(tmp_path: Path) -> None:
    simulator = advanced(1)
    planner = Lookahead()
    planner.bind(Context(simulator.tables))
    with pytest.raises(ValueError, match="evaluated, not exported"):
        planner.act(simulator.observation, simulator.mask)
    with pytest.raises(BundleError, match="export its base rule"):
        export(planner, simulator.scenario, tmp_path / "bundle")


def test_each_round_halves_the_rivals_and_doubles_the_futures() -> None:
    assert schedule(5, 2) == [(5, 2), (3, 2), (2, 4), (1, 8)]
    assert schedule(1, 8) == [(1, 8)]
