"""Decision trees are policies: by hand, as files, and as graphs that decide alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.export import OPSET, main
from agents.registry import PolicyError, make_policy
from agents.replay import measure_skew
from agents.tree import FEATURES, Node, Tree, TreeFile, ask, lines, load_tree, write_tree
from agents.tree_graph import tree_graph
from splitenv.actions import HOLD_LEVELS
from splitenv.context import Context
from splitenv.parts import Dispatch
from splitenv.runtime.bundle import read_bundle
from splitenv.runtime.policies import GraphPolicy
from splitenv.scenario import load_scenario
from splitenv.simulator import Simulator
from tests.agents.conftest import Observe

LEAF = {"keep": 0.3, "hold": 0.25}
BRANCH = {"feature": "deadline", "below": 7.0, "then": {"share": 1.0}, "otherwise": LEAF}


def tree_of(root: dict[str, Any], **content: Any) -> Tree:
    return Tree(
        TreeFile.model_validate(
            {"scenario": "sd-mobile", "of": "a test", "dispatch": {}, "root": root} | content
        )
    )


def decide(root: dict[str, Any], context: Context, observation: Any, mask: Any = None) -> Any:
    """Placement and hold that a tree chooses for one request."""
    tree = tree_of(root)
    tree.bind(context)
    mask = np.ones((1, context.actions), np.bool_) if mask is None else mask
    action = tree.act(observation, mask)[0]
    return context.tables.action_placement[action], context.tables.action_hold[action]


@pytest.mark.parametrize(
    ("slack", "keep", "placement"),
    [
        ([0.35, 0.1, 0.5], 0.3, 0),
        ([0.25, 0.4, 0.5], 0.3, 1),
        ([0.25, 0.25, 0.5], 0.3, 2),
        ([0.1, 0.2, 0.15], 0.3, 1),
        ([0.1, 0.2, 0.15], 1.0, 1),
        ([-0.5, -0.1, 0.2], -0.3, 1),
    ],
)
def test_a_leaf_takes_the_least_cloud_that_keeps_its_slack_else_the_fastest(
    toy: Context, observe: Observe, slack: list[float], keep: float, placement: int
) -> None:
    chosen, _ = decide({"keep": keep}, toy, observe(toy, slack))

    assert chosen == placement


@pytest.mark.parametrize(("share", "placement"), [(0.0, 0), (0.25, 0), (0.4, 1), (0.9, 2)])
def test_a_leaf_takes_the_nearest_split_ratio_of_two_the_one_with_less_cloud(
    toy: Context, observe: Observe, share: float, placement: int
) -> None:
    chosen, _ = decide({"share": share}, toy, observe(toy, [0.5, 0.1, 0.2]))

    assert chosen == placement


@pytest.mark.parametrize("leaf", [{"keep": 0.3}, {"share": 0.0}])
def test_what_cannot_be_done_is_not_chosen(
    toy: Context, observe: Observe, leaf: dict[str, Any]
) -> None:
    mask = np.ones((1, 11), np.bool_)
    mask[0, 0] = False

    chosen, _ = decide(leaf, toy, observe(toy, [0.9, 0.4, 0.5]), mask)

    assert chosen == 1


def test_a_hold_is_that_of_the_leaf_and_none_on_the_device(toy: Context, observe: Observe) -> None:
    assert decide(LEAF, toy, observe(toy, [0.0, 0.4, 0.5])) == (1, 0.25)
    assert decide(LEAF, toy, observe(toy, [0.4, 0.4, 0.5])) == (0, 0.0)


@pytest.mark.parametrize(
    ("feature", "below", "expected"),
    [
        ("deadline", 11.0, "then"),
        ("deadline", 10.0, "otherwise"),
        ("load_slow", 0.8, "then"),
        ("load_slow", 0.7, "otherwise"),
        ("idle_gpus", 0.6, "then"),
        ("device_slack", -0.3, "otherwise"),
        ("cloud_slack", 0.45, "then"),
        ("most_slack", 0.45, "otherwise"),
    ],
)
def test_a_branch_compares_a_feature_in_its_own_unit(
    toy: Context, observe: Observe, feature: str, below: float, expected: str
) -> None:
    seen = observe(toy, [-0.2, 0.5, 0.4], load_slow=0.75, idle_gpus=0.5)
    root = {"feature": feature, "below": below, "then": {"share": 0}, "otherwise": {"share": 1}}

    chosen, _ = decide(root, toy, seen)

    assert chosen == {"then": 0, "otherwise": 2}[expected]


def test_a_tree_of_one_leaf_is_the_latency_bound_rule(states: Callable[[str], Any]) -> None:
    context, observations, masks = states("sd-mobile")
    tree, rule = tree_of({"keep": 0.2}), make_policy("latency-bound:margin=0.2")
    tree.bind(context)
    rule.bind(context)

    assert np.array_equal(tree.act(observations, masks), rule.act(observations, masks))


def test_a_file_gives_back_the_tree_and_its_discipline(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tree.yaml"
    tree = tree_of(BRANCH, dispatch={"discipline": "deferred", "guard_s": 0.5})

    write_tree(path, tree.content)

    policy = make_policy(f"tree:{path}")
    assert isinstance(policy, Tree)
    assert policy.content == tree.content
    scenario = load_scenario("sd-mobile")
    assert policy.dispatch(scenario) == Dispatch(discipline="deferred", guard_s=0.5)
    assert policy.describe() == {
        "name": "tree",
        "parameters": {},
        "leaves": 2,
        "of": "a test",
    }


def test_trees_of_one_size_have_fingerprints_of_their_own() -> None:
    assert tree_of(LEAF).fingerprint() != tree_of({"keep": 0.31, "hold": 0.25}).fingerprint()


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({**BRANCH, "keep": 0.1}, "a branch has feature, below, then and otherwise"),
        ({"feature": "deadline", "below": 1.0}, "a branch has feature, below, then and otherwise"),
        ({**BRANCH, "feature": "hue"}, "'hue' is none of those known: device_time,"),
        ({}, "a leaf has either keep or share"),
        ({"keep": 0.1, "share": 0.1}, "a leaf has either keep or share"),
        ({"keep": 0.1, "hold": 0.3}, "0.3 is no hold level; accepted: 0, 0.125, 0.25, 0.5, 0.75"),
        ({"keep": 2.0}, "root.keep: Input should be less than or equal to 1"),
    ],
)
def test_a_file_that_is_no_tree_is_refused_in_one_sentence(
    tmp_path: Path, root: dict[str, Any], message: str
) -> None:
    import yaml

    path = tmp_path / "tree.yaml"
    path.write_text(
        yaml.safe_dump({"scenario": "sd-mobile", "of": "x", "dispatch": {}, "root": root})
    )

    with pytest.raises(PolicyError) as refused:
        load_tree(path)

    assert str(refused.value).startswith(f"{path}: root")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tree:", "needs its file, such as tree:runs/explanation/tree.yaml"),
        ("tree:nowhere.yaml", "nowhere.yaml: cannot be read: No such file"),
    ],
)
def test_a_tree_needs_its_file(spec: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make_policy(spec)


def test_a_tree_can_be_read_out() -> None:
    root = tree_of(BRANCH).content.root

    assert lines(root, holds=True) == [
        "if deadline < 7 s:",
        "    all cloud, hold 0  (100%)",
        "else:",
        "    least cloud with slack 0.3, hold 0.25  (100%)",
    ]


leaves = st.builds(
    lambda value, by_share, hold: Node(
        keep=None if by_share else value, share=value if by_share else None, hold=hold
    ),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from(HOLD_LEVELS),
)
trees = st.recursive(
    leaves,
    lambda children: st.builds(
        lambda feature, below, then, otherwise: Node(
            feature=feature, below=below, then=then, otherwise=otherwise
        ),
        st.sampled_from(FEATURES),
        st.floats(-2, 10),
        children,
        children,
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def states() -> Callable[[str], Any]:
    """Observations and masks from the first decisions of episodes under random actions."""

    def visit(name: str) -> tuple[Context, Any, Any]:
        simulator = Simulator(load_scenario(name), 64)
        simulator.seed(range(64))
        simulator.reset()
        random = np.random.default_rng(0)
        seen = []
        for _ in range(60):
            seen.append((simulator.observation.copy(), simulator.mask.copy()))
            simulator.step(random.integers(simulator.actions, size=64))
        observations, masks = (np.concatenate(each) for each in zip(*seen, strict=True))
        return Context(simulator.tables), observations, masks

    return visit


@pytest.mark.parametrize("name", ["sd-mobile", "mixed-tenants"])
def test_the_graph_decides_as_the_tree_does(name: str, states: Callable[[str], Any]) -> None:
    context, observations, masks = states(name)

    @settings(max_examples=25, deadline=None)
    @given(trees)
    def alike(root: Node) -> None:
        tree = Tree(TreeFile(scenario=name, of="chance", dispatch=Dispatch(), root=root))
        tree.bind(context)
        graph = GraphPolicy(tree_graph(tree, OPSET))

        actions = tree.act(observations, masks)

        assert np.array_equal(graph.act(observations, masks), actions)
        assert masks[np.arange(len(actions)), actions].all()
        assert np.array_equal(graph.act(observations[:1], masks[:1]), actions[:1])

    alike()


def test_thresholds_on_a_value_itself_are_not_below(states: Callable[[str], Any]) -> None:
    context, observations, masks = states("sd-mobile")
    answers = ask(context, observations, masks)
    column = FEATURES.index("idle_gpus")
    root = {"feature": "idle_gpus", "below": 0.5, "then": {"share": 0}, "otherwise": {"share": 1}}
    tree = tree_of(root)
    tree.bind(context)

    cloud = tree.act(observations, masks) != 0

    assert (answers[:, column] == 0.5).any()
    assert np.array_equal(cloud, (answers[:, column] >= 0.5) | ~masks[:, 0])


def test_an_exported_tree_decides_in_the_runtime_as_in_its_simulation(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    content = tree_of(
        BRANCH,
        dispatch={"discipline": "deferred", "guard_s": 0.6},
        measured={"kept": 0.97},
        provenance={"git": "abc"},
    ).content
    write_tree(path, content)

    main([f"tree:{path}", str(tmp_path / "bundle")])

    manifest = read_bundle(tmp_path / "bundle").manifest
    assert manifest.graph is not None
    assert manifest.graph.algorithm == "tree"
    assert (manifest.scenario.name, manifest.discipline) == ("sd-mobile", "deferred")
    assert manifest.evaluation == {"kept": 0.97}
    assert manifest.training["provenance"] == {"git": "abc"}
    skew = measure_skew(tmp_path / "bundle", decisions=300)
    assert skew.decisions == 300
    assert skew.actions == 300
    assert skew.equal
