"""A policy as a decision tree: questions about a request, at each leaf what to do.

A leaf names the cloud's part in one of two ways, and a hold:

    keep   the least cloud whose predicted slack is at least so many relative deadlines; the
           placement of the greatest slack where none is
    share  the placement whose split ratio is nearest, of two as near the one with less cloud

A branch asks whether a feature lies below a value. Features are those of the observation that are
no index (:mod:`splitenv.features`), and those of :data:`REQUEST`. Trees are grown by
:mod:`agents.explain` from what another policy decides, kept as YAML that people can read and
change, and named ``tree:PATH``. Comparisons are made on the observation's own float32 values, so
that the exported graph (:mod:`agents.tree_graph`) decides exactly alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field, model_validator

from agents.policy import Actions, Masks, Observations, Policy
from agents.registry import PolicyError
from splitenv.actions import HOLD_LEVELS
from splitenv.context import Context
from splitenv.features import schema, softsign
from splitenv.files import write_text
from splitenv.parts import Dispatch
from splitenv.profiles.figures import Frozen, ProfileError, read_profile
from splitenv.provenance import plain
from splitenv.scenario import Scenario

Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

REQUEST = {
    "deadline": ("s", "relative deadline"),
    "device_slack": ("deadlines", "slack if the device does it all"),
    "cloud_slack": ("deadlines", "slack if the cloud does it all"),
    "most_slack": ("deadlines", "greatest slack of any placement"),
    "cloud_gpu": ("all-cloud requests alone", "GPU seconds if the cloud does it all"),
}
"""What a branch may ask beside the observation's own features: unit and meaning."""

_INDICES = {"model", "sla"}
GLOBALS = tuple(f for f in schema(1) if "[" not in f.name and f.name not in _INDICES)
UNITS = {f.name: f.unit for f in GLOBALS} | {name: unit for name, (unit, _) in REQUEST.items()}
"""Unit of everything that a branch may ask, by name."""

FEATURES = tuple(UNITS)

_AS_THEY_ARE = {f.name for f in GLOBALS if not f.normalisation.startswith("softsign")}
_AS_THEY_ARE |= {"deadline", "cloud_gpu"}
IMPOSSIBLE = np.float32(-2.0)
"""Below the slack of whatever can be done."""


class Node(Frozen):
    """A branch or a leaf.

    Attributes
    ----------
    feature, below, then, otherwise
        Of a branch: what it asks, the value in that feature's unit, and where to go if the feature
        lies below it or not.
    keep, share, hold
        Of a leaf: slack to keep in relative deadlines, or else split ratio; and share of its slack
        that the request may wait.
    states
        Share of the decisions that come here, of those that the tree was fitted to.
    """

    feature: str | None = None
    below: float | None = None
    then: Node | None = None
    otherwise: Node | None = None
    keep: Annotated[float, Field(ge=-1, le=1)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    hold: float = 0.0
    states: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _either(self) -> Self:
        asks = [part is not None for part in (self.feature, self.below, self.then, self.otherwise)]
        does = [part is not None for part in (self.keep, self.share)]
        if any(asks) and (not all(asks) or any(does)):
            raise ValueError("a branch has feature, below, then and otherwise, and nothing to do")
        if not any(asks) and sum(does) != 1:
            raise ValueError("a leaf has either keep or share")
        if self.feature is not None and self.feature not in UNITS:
            raise ValueError(
                f"feature: {self.feature!r} is none of those known: {', '.join(FEATURES)}"
            )
        if self.hold not in HOLD_LEVELS:
            levels = ", ".join(f"{level:g}" for level in HOLD_LEVELS)
            raise ValueError(f"hold: {self.hold:g} is no hold level; accepted: {levels}")
        return self

    @property
    def leaves(self) -> int:
        """How many leaves are below it, itself included."""
        if self.then is None or self.otherwise is None:
            return 1
        return self.then.leaves + self.otherwise.leaves

    def walk(self) -> Iterator[Node]:
        """Itself and all below it, a branch before what it leads to, ``then`` first."""
        yield self
        for child in (self.then, self.otherwise):
            if child is not None:
                yield from child.walk()


class TreeFile(Frozen):
    """What a tree's file says.

    Attributes
    ----------
    scenario, of
        Name of the scenario, and of the policy, that it was grown for and from.
    dispatch
        The discipline that it runs under.
    root
        The tree.
    measured
        What it was measured to do, plain data.
    provenance
        Code, time and versions.
    """

    scenario: str
    of: str
    dispatch: Dispatch
    root: Node
    measured: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Flat:
    """A tree as arrays: its branches, then its leaves, each in the order of :meth:`Node.walk`.

    Attributes
    ----------
    feature, below
        Of branches: column of :func:`ask`, and the value as it is normalised there.
    child
        Of branches: where to go if not below and if below, shape (branches, 2); a leaf k has the
        number branches + k.
    keep, share, by_share, level
        Of leaves: normalised slack, split ratio, whether that counts, index of the hold level.
    """

    feature: Ints
    below: Floats32
    child: Ints
    keep: Floats32
    share: Floats32
    by_share: npt.NDArray[np.bool_]
    level: Ints


class Tree(Policy):
    """Follows a decision tree.

    Parameters
    ----------
    content
        What its file says.
    """

    name = "tree"

    def __init__(self, content: TreeFile) -> None:
        super().__init__()
        self.content = content
        self.flat = flatten(content.root)

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The discipline that the tree was grown under."""
        return self.content.dispatch

    def fingerprint(self) -> str:
        """Digest of the tree."""
        root = self.content.root.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(root, sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Say how large it is, and what it was grown from."""
        said = {"leaves": self.content.root.leaves, "of": self.content.of}
        return {**super().describe(), **said}

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Follow each request to its leaf and do what stands there."""
        flat = self.flat
        leaf = self.leaf(ask(self.context, observations, masks))
        placement = np.where(
            flat.by_share[leaf],
            nearest(self.context, observations, masks, flat.share[leaf]),
            least_cloud(self.context, observations, masks, flat.keep[leaf]),
        )
        return self.context.encode(placement, flat.level[leaf])

    def leaf(self, answers: Floats32) -> Ints:
        """Number of the leaf that each row of :func:`ask` comes to, shape (N,)."""
        flat = self.flat
        branches = len(flat.feature)
        rows = np.arange(len(answers))
        at = np.zeros(len(answers), np.int64)
        while (at < branches).any():
            going = at < branches
            node = at[going]
            below = answers[rows[going], flat.feature[node]] < flat.below[node]
            at[going] = flat.child[node, below.astype(np.int64)]
        return at - branches


def ask(context: Context, observations: Observations, masks: Masks) -> Floats32:
    """What branches may ask, normalised as in the observation, shape (N, features).

    Columns are :data:`FEATURES`.
    """
    tables, slots = context.tables, context.placements
    rows = np.arange(len(observations))
    slack = observations[:, :slots]
    cloud = np.asarray(tables.placements, np.int64)[context.model(observations)] - 1
    own = (
        np.asarray(tables.deadline, np.float32)[context.sla(observations)],
        slack[:, 0],
        slack[rows, cloud],
        np.where(context.possible(masks), slack, IMPOSSIBLE).max(axis=1),
        observations[rows, slots + cloud],
    )
    answers = np.column_stack([observations[:, columns(context)], *own])
    return answers.astype(np.float32, copy=False)


def columns(context: Context) -> list[int]:
    """Where the observation's own features stand in it, in the order of :data:`FEATURES`."""
    place = {feature.name: column for column, feature in enumerate(context.features)}
    return [place[feature.name] for feature in GLOBALS]


def least_cloud(context: Context, observations: Observations, masks: Masks, keep: Floats32) -> Ints:
    """Placement with the least cloud that keeps so much slack (normalised), else the fastest."""
    possible = context.possible(masks)
    slack = np.where(possible, observations[:, : context.placements], IMPOSSIBLE)
    fastest = slack.argmax(axis=1)
    enough = possible & (slack >= keep[:, None])
    chosen = np.where(enough.any(axis=1), enough.argmax(axis=1), fastest)
    return np.asarray(chosen, np.int64)


def nearest(context: Context, observations: Observations, masks: Masks, share: Floats32) -> Ints:
    """Possible placement whose split ratio is nearest to ``share``, of shape (N,)."""
    ratio = np.asarray(context.tables.ratio, np.float32)[context.model(observations)]
    away = np.where(context.possible(masks), np.abs(ratio - share[:, None]), np.float32(9.0))
    return np.asarray(away.argmin(axis=1), np.int64)


def normalised(feature: str, value: float) -> np.float32:
    """A value of a feature as :func:`ask` gives it."""
    return np.float32(value if feature in _AS_THEY_ARE else softsign(value, 1.0))


def flatten(root: Node) -> Flat:
    """Lay a tree out as arrays."""
    nodes = list(root.walk())
    branches = [node for node in nodes if node.feature is not None]
    leaves = [node for node in nodes if node.feature is None]
    number = {id(node): place for place, node in enumerate([*branches, *leaves])}
    return Flat(
        feature=np.array([FEATURES.index(str(node.feature)) for node in branches], np.int64),
        below=np.array(
            [normalised(str(node.feature), node.below or 0.0) for node in branches], np.float32
        ),
        child=np.array(
            [[number[id(node.otherwise)], number[id(node.then)]] for node in branches], np.int64
        ).reshape(-1, 2),
        keep=np.array([softsign(node.keep or 0.0, 1.0) for node in leaves], np.float32),
        share=np.array([node.share or 0.0 for node in leaves], np.float32),
        by_share=np.array([node.share is not None for node in leaves], np.bool_),
        level=np.array([HOLD_LEVELS.index(node.hold) for node in leaves], np.int64),
    )


def load_tree(path: str | Path) -> Tree:
    """Make the policy of a tree's file.

    Raises
    ------
    PolicyError
        If it cannot be read or is no tree; one sentence.
    """
    if not str(path):
        raise PolicyError("policy 'tree' needs its file, such as tree:runs/explanation/tree.yaml")
    try:
        return Tree(read_profile(Path(path), TreeFile))
    except ProfileError as error:
        raise PolicyError(str(error)) from error


def as_yaml(content: TreeFile) -> str:
    """Write a tree for people to read; :func:`load_tree` reads it."""
    data = plain(content.model_dump(mode="json", exclude={"root"}))
    ordered = {**data, "root": _short(content.root)}
    ordered = {"root": ordered.pop("root"), **ordered}
    return yaml.safe_dump(ordered, sort_keys=False, width=100, default_flow_style=None)


def write_tree(path: Path, content: TreeFile) -> None:
    """Write a tree's file, atomically.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_text(path, as_yaml(content))


def _short(node: Node) -> dict[str, Any]:
    """A node as plain data, without what does not apply to it."""
    if node.then is None or node.otherwise is None:
        return node.model_dump(include={"keep", "share", "hold", "states"}, exclude_none=True)
    return {
        "feature": node.feature,
        "below": node.below,
        "states": node.states,
        "then": _short(node.then),
        "otherwise": _short(node.otherwise),
    }


def sentence(leaf: Node, holds: bool) -> str:
    """Say what a leaf does."""
    if leaf.share is not None:
        does = {0.0: "no cloud", 1.0: "all cloud"}.get(leaf.share, f"cloud {100 * leaf.share:g}%")
    else:
        assert leaf.keep is not None
        does = f"least cloud with slack {leaf.keep:g}" if leaf.keep < 1 else "fastest"
    return f"{does}, hold {leaf.hold:g}" if holds else does


def lines(root: Node, holds: bool, indent: Sequence[str] = ()) -> list[str]:
    """Lay a tree out as text, a line a node; ``holds`` says whether holds count."""
    if root.then is None or root.otherwise is None:
        return [f"{''.join(indent)}{sentence(root, holds)}  ({100 * root.states:.0f}%)"]
    unit = UNITS[str(root.feature)]
    head = "".join(indent)
    return [
        f"{head}if {root.feature} < {root.below:g} {unit}:",
        *lines(root.then, holds, (*indent, "    ")),
        f"{head}else:",
        *lines(root.otherwise, holds, (*indent, "    ")),
    ]
