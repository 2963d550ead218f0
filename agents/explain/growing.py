"""Grow a decision tree that decides as another policy does.

A leaf's error is the sum over its states of how far the split ratio that it names is from the
policy's, plus, where holds count, of how far the hold is. The best leaf for a set of states is
found by trying all of a grid. Trees grow best first: the leaf whose best question takes away most
error is divided next, so that a tree of n leaves is one of n - 1 leaves with a leaf divided.

Thresholds are quantiles of the states rounded to two digits, and leaves name round numbers, so
that the tree can be read out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.policy import Masks, Observations
from agents.tree import FEATURES, Node, ask, least_cloud, nearest, normalised
from splitenv.actions import HOLD_LEVELS
from splitenv.context import Context
from splitenv.features import unsoftsign

Floats32 = npt.NDArray[np.float32]
Bins = npt.NDArray[np.uint8]

KEEPS = (*(k / 100 for k in range(30)), *(k / 20 for k in range(6, 20)), 1.0)
"""Slacks that a leaf may keep; 1 is never there, so it means the fastest."""

SHARES = tuple(k / 10 for k in range(11))
LEAVES = [*(Node(keep=keep) for keep in KEEPS), *(Node(share=share) for share in SHARES)]
"""What a leaf may do but for the hold; of equals the first is taken."""

QUANTILES = 32
LEAST = 0.002
"""Least share of the states that a leaf is made for."""


@dataclass(frozen=True)
class Sample:
    """States to be imitated, as growing needs them.

    Attributes
    ----------
    bins
        Of each state and feature, how many of the feature's thresholds are at most its value.
    error, hold_error
        Of each state, what each of :data:`LEAVES`, and each hold level, is off.
    """

    thresholds: tuple[tuple[float, ...], ...]
    bins: Bins
    error: Floats32
    hold_error: Floats32


def sample(
    context: Context,
    observations: Observations,
    masks: Masks,
    actions: npt.NDArray[np.int64],
    holds: bool,
) -> Sample:
    """Compute what growing needs of states and the actions to be imitated there.

    Parameters
    ----------
    holds
        Whether holds count.
    """
    tables = context.tables
    answers = ask(context, observations, masks)
    thresholds = tuple(_thresholds(name, answers[:, k]) for k, name in enumerate(FEATURES))
    bins = np.zeros(answers.shape, np.uint8)
    for column, (name, values) in enumerate(zip(FEATURES, thresholds, strict=True)):
        edges = np.array([normalised(name, value) for value in values], np.float32)
        bins[:, column] = np.searchsorted(edges, answers[:, column], side="right")
    model = context.model(observations)
    ratio = np.asarray(tables.ratio, np.float32)
    placement = tables.action_placement[actions]
    rows = len(observations)
    error = np.empty((rows, len(LEAVES)), np.float32)
    for column, leaf in enumerate(LEAVES):
        if leaf.keep is not None:
            keep = np.full(rows, normalised("most_slack", leaf.keep))
            named = least_cloud(context, observations, masks, keep)
        else:
            named = nearest(context, observations, masks, np.full(rows, leaf.share, np.float32))
        error[:, column] = np.abs(ratio[model, named] - ratio[model, placement])
    away = np.abs(tables.action_hold[actions][:, None] - np.array(HOLD_LEVELS))
    counts = holds & (placement > 0)
    return Sample(thresholds, bins, error, (away * counts[:, None]).astype(np.float32))


def _thresholds(name: str, answers: Floats32) -> tuple[float, ...]:
    """Round values between which about equally many states lie, in the feature's unit."""
    levels = np.unique(np.quantile(answers, np.arange(1, QUANTILES) / QUANTILES))
    if len(levels) < 2:
        return ()
    # A softsign: half is 0.5 where nothing is undone.
    bent = normalised(name, 1.0) == 0.5
    values = unsoftsign(levels) if bent else levels.astype(np.float64)
    rounded = sorted({float(f"{value:.2g}") for value in values})
    return tuple(value for value in rounded if answers.min() < normalised(name, value))


@dataclass(eq=False)
class _Growing:
    """A leaf that may still be divided: its states, its error, and its best question."""

    rows: npt.NDArray[np.int64]
    error: float
    best: Node
    gain: float = 0.0
    column: int = -1
    place: int = -1
    children: tuple[_Growing, _Growing] | None = None


def grow(of: Sample, leaves: int) -> Node:
    """Grow a tree of at most ``leaves`` leaves; fewer where no question takes error away."""
    root = _leaf(of, np.arange(len(of.bins)))
    fringe = [root]
    while len(fringe) < leaves:
        widest = max(fringe, key=lambda node: node.gain)
        if widest.gain <= 0:
            break
        below = of.bins[widest.rows, widest.column] <= widest.place
        widest.children = (_leaf(of, widest.rows[below]), _leaf(of, widest.rows[~below]))
        fringe.remove(widest)
        fringe += widest.children
    return _node(of, root, len(of.bins))


def _node(of: Sample, at: _Growing, total: int) -> Node:
    """Make the tree's node of what was grown."""
    states = round(len(at.rows) / total, 4)
    if at.children is None:
        return at.best.model_copy(update={"states": states})
    return Node(
        feature=FEATURES[at.column],
        below=of.thresholds[at.column][at.place],
        then=_node(of, at.children[0], total),
        otherwise=_node(of, at.children[1], total),
        states=states,
    )


def _leaf(of: Sample, rows: npt.NDArray[np.int64]) -> _Growing:
    """The best leaf for some states, and the best question to divide it by."""
    error, hold_error = of.error[rows], of.hold_error[rows]
    sums, hold_sums = error.sum(axis=0), hold_error.sum(axis=0)
    hold = HOLD_LEVELS[int(hold_sums.argmin())]
    best = LEAVES[int(sums.argmin())].model_copy(update={"hold": hold})
    leaf = _Growing(rows, float(sums.min() + hold_sums.min()), best)
    least = max(1.0, LEAST * len(of.bins))
    both = np.column_stack([error, hold_error, np.ones(len(rows), np.float32)])
    for column, thresholds in enumerate(of.thresholds):
        if not thresholds:
            continue
        inside = of.bins[rows, column] == np.arange(len(thresholds) + 1, dtype=np.uint8)[:, None]
        left = np.cumsum(inside.astype(np.float32) @ both, axis=0, dtype=np.float64)
        right = left[-1] - left
        enough = (left[:-1, -1] >= least) & (right[:-1, -1] >= least)
        if not enough.any():
            continue
        ways = [_least(side[:-1], error.shape[1]) for side in (left, right)]
        gains = np.where(enough, leaf.error - ways[0] - ways[1], -np.inf)
        if gains.max() > leaf.gain + 1e-6:
            leaf.gain, leaf.column, leaf.place = float(gains.max()), column, int(gains.argmax())
    return leaf


def _least(sums: npt.NDArray[np.float64], leaves: int) -> npt.NDArray[np.float64]:
    """Error of the best leaf for each row of summed errors."""
    return np.asarray(sums[:, :leaves].min(axis=1) + sums[:, leaves:-1].min(axis=1))
