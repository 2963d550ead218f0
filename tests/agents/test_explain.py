"""A policy is explained: where it differs from a rule, what it draws on, how plainly it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.explain import imitation
from agents.explain.__main__ import main
from agents.explain.growing import grow, sample
from agents.explain.imitation import plainest_tree, saving
from agents.explain.importance import Group, Scrambled, groups, importances
from agents.explain.maps import LOADS, bandwidth, maps
from agents.explain.played import States, visit
from agents.export import export
from agents.heuristics.fixed import AllCloud
from agents.policy import Policy
from agents.registry import make_policy
from agents.tree import Node, Tree, TreeFile
from splitenv.context import Context
from splitenv.features import GLOBALS
from splitenv.parts import Dispatch
from splitenv.scenario import Scenario, load_scenario
from splitenv.tables import build_tables

SHORT = {"decisions": 1100}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("sd-mobile", SHORT)


@pytest.fixture(scope="module")
def context(scenario: Scenario) -> Context:
    return Context(build_tables(scenario))


@pytest.fixture(scope="module")
def states(scenario: Scenario) -> States:
    """What the rule joint-greedy meets in four episodes."""
    return visit(make_policy("joint-greedy"), scenario, 4, 0)


@pytest.fixture(scope="module")
def cloud(scenario: Scenario) -> States:
    return visit(AllCloud(), scenario, 4, 0)


def silent(_: Any) -> None:
    pass


def a_tree(root: Node) -> Tree:
    return Tree(TreeFile(scenario="sd-mobile", of="a test", dispatch=Dispatch(), root=root))


# ---------------------------------------------------------------------------------- states


def test_visited_states_are_those_of_the_records(states: States, context: Context) -> None:
    assert len(states.record) == 4 * SHORT["decisions"]
    assert np.array_equal(states.actions, states.record["action"])
    assert np.array_equal(context.sla(states.observations), states.record["sla"])


# ---------------------------------------------------------------------------------- growing


def test_a_rule_that_is_a_leaf_is_found_as_one(states: States, context: Context) -> None:
    rule = make_policy("latency-bound:margin=0.15")
    rule.bind(context)
    actions = rule.act(states.observations, states.masks)

    root = grow(sample(context, states.observations, states.masks, actions, holds=True), 1)

    assert root == Node(keep=0.15, hold=0.0)


def test_a_tree_is_found_again_from_what_it_decides(states: States, context: Context) -> None:
    teacher = a_tree(
        Node(
            feature="deadline",
            below=8.0,
            then=Node(share=1.0, hold=0.5),
            otherwise=Node(keep=0.2, hold=0.125),
        )
    )
    teacher.bind(context)
    actions = teacher.act(states.observations, states.masks)

    root = grow(sample(context, states.observations, states.masks, actions, holds=True), 2)

    pupil = a_tree(root)
    pupil.bind(context)
    assert np.array_equal(pupil.act(states.observations, states.masks), actions)


def test_more_leaves_decide_more_alike(states: States, context: Context) -> None:
    of = sample(context, states.observations, states.masks, states.actions, holds=False)
    ratio = context.tables.ratio[0, context.tables.action_placement]

    def off(leaves: int) -> float:
        pupil = a_tree(grow(of, leaves))
        pupil.bind(context)
        chosen = pupil.act(states.observations, states.masks)
        return float(np.abs(ratio[chosen] - ratio[states.actions]).mean())

    errors = [off(leaves) for leaves in (1, 2, 4, 8, 16)]

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.6 * errors[0]


def test_leaves_share_all_states_and_are_no_more_than_asked_for(
    states: States, context: Context
) -> None:
    root = grow(sample(context, states.observations, states.masks, states.actions, True), 5)

    ends = [node for node in root.walk() if node.feature is None]
    assert len(ends) == root.leaves == 5
    assert sum(node.states for node in ends) == pytest.approx(1.0, abs=1e-3)


def test_no_leaf_holds_where_holds_do_not_count(states: States, context: Context) -> None:
    of = sample(context, states.observations, states.masks, states.actions, holds=False)

    assert context.tables.action_hold[states.actions].any()
    assert all(node.hold == 0.0 for node in grow(of, 6).walk())


# ------------------------------------------------------------------------------- imitation


def test_a_policy_keeps_all_of_its_own_saving_and_all_cloud_none(
    states: States, cloud: States
) -> None:
    own = saving(states.outcomes, states.outcomes, cloud.outcomes)
    none = saving(cloud.outcomes, states.outcomes, cloud.outcomes)

    assert (own.kept.value, own.attainment.value) == (1.0, 0.0)
    assert none.kept.value == 0.0


def test_the_plainest_tree_is_the_first_that_keeps_enough(
    scenario: Scenario, cloud: States
) -> None:
    rule = make_policy("latency-bound:margin=0.15")

    search = plainest_tree(
        rule,
        scenario,
        visit(rule, scenario, 4, 0),
        cloud.outcomes,
        keep=0.95,
        tolerance=0.0,
        seed=0,
        progress=silent,
    )

    assert search.enough
    assert search.root == Node(keep=0.15)
    assert search.attempts[-1].saving.kept.value == 1.0


def test_where_no_tree_keeps_enough_the_largest_is_given(
    scenario: Scenario, states: States, cloud: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imitation, "SIZES", (1, 2))

    search = plainest_tree(
        make_policy("joint-greedy"),
        scenario,
        states,
        cloud.outcomes,
        keep=10.0,
        tolerance=0.0,
        seed=0,
        progress=silent,
    )

    assert not search.enough
    assert [each.root.leaves for each in search.attempts] == [1, 2]


# ------------------------------------------------------------------------------ importance


def test_only_the_groups_features_are_scrambled_and_by_other_requests(
    states: States, context: Context
) -> None:
    column = len(context.features) - GLOBALS + 2
    scrambled = Scrambled(AllCloud(), Group("device_time", (column,)), states, 0)
    scrambled.bind(context)

    seen = scrambled.scramble(states.observations, states.masks)

    others = np.delete(np.arange(seen.shape[1]), column)
    assert context.features[column].name == "device_time"
    assert np.array_equal(seen[:, others], states.observations[:, others])
    assert (seen[:, column] != states.observations[:, column]).mean() > 0.5
    assert set(seen[:, column]) <= set(states.observations[:, column])


def test_features_are_drawn_from_requests_that_may_do_the_same(context: Context) -> None:
    """Devices that cannot run it all have device_time 1; who can never draws that."""
    world = load_scenario("regnet-camera", SHORT)
    seen = visit(make_policy("latency-bound"), world, 1, 0)
    able = Context(build_tables(world))
    names = [feature.name for feature in able.features]
    column = names.index("device_time")
    scrambled = Scrambled(AllCloud(), Group("device_time", (column,)), seen, 0)
    scrambled.bind(able)

    drawn = scrambled.scramble(seen.observations, seen.masks)[:, column]

    for can in (True, False):
        rows = seen.masks[:, 0] == can
        assert set(drawn[rows]) <= set(seen.observations[rows, column])


def test_every_feature_that_varies_is_in_a_group_and_the_others_are_told(
    states: States, context: Context
) -> None:
    found, constant = groups(context, states.observations)

    covered = {column for group in found for column in group.columns}
    varies = set(np.flatnonzero(np.ptp(states.observations, axis=0) > 0).tolist())
    assert varies <= covered
    assert [group.name for group in found[:2]] == ["all slacks", "all GPU shares"]
    assert "gain_2" in constant


def test_a_rule_loses_nothing_without_what_it_does_not_read(
    scenario: Scenario, states: States
) -> None:
    measured, _ = importances(make_policy("latency-bound"), scenario, _of_rule(scenario), 0, silent)

    assert measured[0].group == "all slacks"
    assert measured[0].cost.low > 0
    assert measured[0].changed > 0.3
    assert all(each.changed == each.cost.value == 0.0 for each in measured[1:])


def _of_rule(scenario: Scenario) -> States:
    return visit(make_policy("latency-bound"), scenario, 4, 0)


# ------------------------------------------------------------------------------------ maps


def test_maps_show_what_each_decides_where_there_are_enough_states(
    scenario: Scenario, cloud: States
) -> None:
    visited = [cloud] * len(LOADS)

    (found,) = maps(scenario, visited, "all-cloud", {"all-device": make_policy("all-device")})

    assert found.count.sum() == sum(len(each.record) for each in visited)
    known = ~np.isnan(found.share["all-cloud"])
    assert np.array_equal(known, found.count >= 20)
    assert (found.share["all-cloud"][known] == 1.0).all()
    assert (found.share["all-device"][known] == 0.0).all()
    assert np.isnan(found.hold["all-device"]).all()
    assert found.difference("all-cloud", "all-device") == 1.0
    assert found.differ == {"all-device": 1.0}


def test_maps_put_the_slowest_device_first_and_each_once(scenario: Scenario, cloud: States) -> None:
    (found,) = maps(scenario, [cloud] * len(LOADS), "all-cloud", {})

    assert list(found.seconds) == sorted(found.seconds, reverse=True)
    assert len(set(found.devices)) == len(found.devices)


def test_bandwidth_is_that_of_the_requests_own_bytes(scenario: Scenario, cloud: States) -> None:
    tables = build_tables(scenario)
    record = cloud.record[:1].copy()
    record["uplink"], record["downlink"] = 1e6, 3e6
    up, down = tables.up[0, -1], tables.down[0, -1]

    expected = (up + down) / (up / 1e6 + down / 3e6) * 8e-6

    assert bandwidth(tables, record) == pytest.approx([expected])


# ---------------------------------------------------------------------------- command line


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([*arguments])
    return int(exit_.value.code or 0)


def bundle_of(spec: str, folder: Path, **overrides: Any) -> Path:
    export(make_policy(spec), load_scenario("sd-mobile", {**SHORT, **overrides}), folder)
    return folder


def test_a_bundle_is_explained_in_pictures_numbers_and_a_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of("latency-bound:margin=0.15", tmp_path / "bundle")
    out = tmp_path / "out"

    arguments = ["--rule", "neurosurgeon", "--episodes", "2", "--out", str(out)]
    assert run(str(bundle), *arguments) == 0

    said = capsys.readouterr().out
    assert "latency-bound draws most on all slacks" in said
    assert "One leaf keeps 100% of latency-bound's saving, attainment +0.00 points" in said
    data = json.loads((out / "explanation.json").read_text())
    assert data["provenance"]["libraries"]["splitenv"]
    assert data["tree"]["enough"]
    assert [each["label"] for each in data["policies"]] == [
        "all-cloud",
        "latency-bound (fallback)",
        "neurosurgeon",
        "latency-bound",
        "tree",
    ]
    pictures = {path.name for path in out.glob("*.png")}
    rules = ("latency-bound-fallback", "neurosurgeon")
    of_rules = {f"{what}-{rule}.png" for what in ("share", "hold") for rule in rules}
    assert pictures == of_rules | {"importance.png", "leaves.png", "tree.png"}
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    tree = make_policy(f"tree:{out / 'tree.yaml'}")
    assert isinstance(tree, Policy)
    assert tree.describe()["of"] == "latency-bound"


def test_a_policy_that_saves_nothing_has_no_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of("all-cloud", tmp_path / "bundle", load=0.2)

    assert run(str(bundle), "--episodes", "2", "--out", str(tmp_path / "out")) == 0

    said = capsys.readouterr().out
    assert "all-cloud saves less than 1% against all-cloud" in said
    assert "all-cloud draws on no feature" in said
    assert not (tmp_path / "out" / "tree.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "bundle nowhere: there is no such folder"),
        (["BUNDLE", "--rule", "latency-bond"], "did you mean 'latency-bound'?"),
        (["BUNDLE", "--rule", "lookahead"], "--rule takes no lookahead"),
        (["BUNDLE", "--rule", "tree:nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(
    rule_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code = run(*(str(rule_bundle) if each == "BUNDLE" else each for each in arguments))

    error = capsys.readouterr().err
    assert code == 1
    assert sentence in error
    assert error.count("\n") == 1
