"""A decision tree as an ONNX graph of plain comparisons, for bundles.

The graph does what :class:`agents.tree.Tree` does, on the same float32 values: which branches'
questions hold, which leaf all of whose questions hold, what stands there, and the first placement
that does it. Its logits are 1 for the action decided and 0 for the others, so there are no ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, checker, helper, numpy_helper

from agents.tree import IMPOSSIBLE, Flat, Tree, columns
from splitenv.actions import HOLD_LEVELS
from splitenv.context import Context

MASKED = -1e9


@dataclass
class _Graph:
    """Nodes and constants as they come, each node's output under a name of its own."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, value: npt.ArrayLike, dtype: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def cast(self, value: str, dtype: int) -> str:
        return self.add("Cast", value, to=dtype)


def tree_graph(tree: Tree, opset: int) -> bytes:
    """Serialise a tree for the context that it is bound to.

    Inputs ``observation`` (N, F) float32 and ``mask`` (N, A) bool, outputs ``action`` (N,) int64
    and ``logits`` (N, A) float32, masked.
    """
    context, flat = tree.context, tree.flat
    graph = _Graph()
    possible, slack = _slack(graph, context)
    model = _index(graph, context, "model", len(context.tables.placements))
    leaf = _leaf(graph, flat, _answers(graph, context, slack, model))
    placement = _placement(graph, context, flat, leaf, possible, slack, model)
    _decide(graph, context, placement, _of_leaf(graph, leaf, flat.level, np.int64))
    return _serialise(graph, context, opset)


def _slack(graph: _Graph, context: Context) -> tuple[str, str]:
    """Which placements are possible, and their slack, :data:`IMPOSSIBLE` for the others."""
    slots = np.arange(context.placements)
    first = graph.constant(context.encode(slots, np.zeros_like(slots)), np.int64)
    possible = graph.add("Gather", "mask", first, axis=1)
    slack = graph.add("Gather", "observation", graph.constant(slots, np.int64), axis=1)
    return possible, graph.add("Where", possible, slack, graph.constant(IMPOSSIBLE, np.float32))


def _index(graph: _Graph, context: Context, name: str, count: int) -> str:
    """A feature that is an index over their number, as the index, shape (N,)."""
    column = [feature.name for feature in context.features].index(name)
    value = graph.add("Gather", "observation", graph.constant(column, np.int64), axis=1)
    scaled = graph.add("Mul", value, graph.constant(count, np.float32))
    return graph.cast(graph.add("Round", scaled), TensorProto.INT64)


def _answers(graph: _Graph, context: Context, slack: str, model: str) -> str:
    """What :func:`agents.tree.ask` gives."""
    tables = context.tables
    one = graph.constant([1], np.int64)
    cloud = graph.add(
        "Gather", graph.constant(np.asarray(tables.placements, np.int64) - 1, np.int64), model
    )
    cloud = graph.add("Unsqueeze", cloud, one)
    sla = _index(graph, context, "sla", len(tables.deadline))
    deadline = graph.add("Gather", graph.constant(tables.deadline, np.float32), sla)
    gpu_column = graph.add("Add", cloud, graph.constant(context.placements, np.int64))
    own = [
        graph.add("Unsqueeze", deadline, one),
        graph.add("Gather", "observation", graph.constant([0], np.int64), axis=1),
        graph.add("GatherElements", "observation", cloud, axis=1),
        graph.add("ReduceMax", slack, one, keepdims=1),
        graph.add("GatherElements", "observation", gpu_column, axis=1),
    ]
    place = graph.constant(columns(context), np.int64)
    observed = graph.add("Gather", "observation", place, axis=1)
    return graph.add("Concat", observed, *own, axis=1)


def _leaf(graph: _Graph, flat: Flat, answers: str) -> str:
    """Number of each row's leaf, shape (N,): the one with no question answered otherwise.

    Of the questions on a leaf's way, those answered otherwise are counted: with y the answers, +1
    in ``way`` where no is asked for and -1 where yes is, the count is y way + yeses asked for.
    """
    branches, leaves = len(flat.feature), len(flat.level)
    if not branches:
        shape = graph.add("Shape", answers, start=0, end=1)
        return graph.add("ConstantOfShape", shape, value=helper.make_tensor("zero", 7, [1], [0]))
    way = np.zeros((branches, leaves), np.float32)
    for leaf, (branch, yes) in _ways(flat):
        way[branch, leaf] = -1.0 if yes else 1.0
    asked = graph.add("Gather", answers, graph.constant(flat.feature, np.int64), axis=1)
    below = graph.add("Less", asked, graph.constant(flat.below, np.float32))
    answered = graph.cast(below, TensorProto.FLOAT)
    otherwise = graph.add("MatMul", answered, graph.constant(way, np.float32))
    otherwise = graph.add("Add", otherwise, graph.constant((way < 0).sum(axis=0), np.float32))
    return graph.add("ArgMin", otherwise, axis=1, keepdims=0)


def _ways(flat: Flat) -> Iterator[tuple[int, tuple[int, int]]]:
    """Each leaf with each (branch, below or not) on the way to it."""
    branches = len(flat.feature)
    ways: dict[int, list[tuple[int, int]]] = {0: []}
    for node in range(branches):
        for below in (0, 1):
            child = int(flat.child[node, below])
            ways[child] = [*ways[node], (node, below)]
            if child >= branches:
                yield from ((child - branches, step) for step in ways[child])


def _of_leaf(graph: _Graph, leaf: str, values: npt.ArrayLike, dtype: Any) -> str:
    return graph.add("Gather", graph.constant(values, dtype), leaf)


def _placement(
    graph: _Graph, context: Context, flat: Flat, leaf: str, possible: str, slack: str, model: str
) -> str:
    """Placement that the leaf names, shape (N,)."""
    one = graph.constant([1], np.int64)
    keep = graph.add("Unsqueeze", _of_leaf(graph, leaf, flat.keep, np.float32), one)
    enough = graph.add("And", possible, graph.add("GreaterOrEqual", slack, keep))
    enough = graph.cast(enough, TensorProto.INT32)
    least = graph.add("ArgMax", enough, axis=1, keepdims=0)
    fastest = graph.add("ArgMax", slack, axis=1, keepdims=0)
    found = graph.add("ReduceMax", enough, one, keepdims=0)
    some = graph.cast(found, TensorProto.BOOL)
    least = graph.add("Where", some, least, fastest)
    ratio = graph.add("Gather", graph.constant(context.tables.ratio, np.float32), model)
    share = graph.add("Unsqueeze", _of_leaf(graph, leaf, flat.share, np.float32), one)
    away = graph.add("Abs", graph.add("Sub", ratio, share))
    away = graph.add("Where", possible, away, graph.constant(9.0, np.float32))
    near = graph.add("ArgMin", away, axis=1, keepdims=0)
    return graph.add("Where", _of_leaf(graph, leaf, flat.by_share, np.bool_), near, least)


def _decide(graph: _Graph, context: Context, placement: str, level: str) -> None:
    """Action and logits of placements and hold levels, see :func:`splitenv.actions.encode`."""
    one = graph.constant([1], np.int64)
    before = graph.add("Sub", placement, graph.constant(1, np.int64))
    first = graph.add("Mul", before, graph.constant(len(HOLD_LEVELS), np.int64))
    with_hold = graph.add("Add", graph.add("Add", first, level), graph.constant(1, np.int64))
    device = graph.add("Equal", placement, graph.constant(0, np.int64))
    action = graph.add("Where", device, graph.constant(0, np.int64), with_hold)
    actions = graph.constant(np.arange(context.actions), np.int64)
    chosen = graph.add("Equal", graph.add("Unsqueeze", action, one), actions)
    chosen = graph.cast(chosen, TensorProto.FLOAT)
    graph.add("Where", "mask", chosen, graph.constant(MASKED, np.float32), name="logits")
    graph.add("ArgMax", "logits", axis=1, keepdims=0, name="action")


def _serialise(graph: _Graph, context: Context, opset: int) -> bytes:
    value = helper.make_tensor_value_info
    actions = context.actions
    made = helper.make_graph(
        graph.nodes,
        "tree",
        [
            value("observation", TensorProto.FLOAT, ["N", len(context.features)]),
            value("mask", TensorProto.BOOL, ["N", actions]),
        ],
        [
            value("action", TensorProto.INT64, ["N"]),
            value("logits", TensorProto.FLOAT, ["N", actions]),
        ],
        graph.constants,
    )
    # The oldest form that has this opset, which older runtimes read too.
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())
