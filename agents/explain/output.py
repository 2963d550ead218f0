"""An explanation as files and on the terminal."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

from agents import report
from agents.explain import maps
from agents.explain.explanation import LEAST_SAVING, Explained, Explanation
from agents.explain.importance import as_dict as importance_dict
from agents.explain.pictures import DRAWN, importance_png, leaves_png, map_png, tree_png
from agents.explain.words import (
    hold_finding,
    importance_finding,
    importance_table,
    map_finding,
    map_table,
    tree_finding,
)
from agents.tree import TreeFile, as_yaml, lines
from splitenv.provenance import provenance, to_json
from splitenv.runtime.manifest import Manifest


def files(of: Explanation, manifest: Manifest, asked: dict[str, Any]) -> dict[str, bytes]:
    """Render an explanation's files, by name."""
    contents = {**_map_pictures(of), "importance.png": _importance_picture(of)}
    if of.tree is not None:
        contents |= _tree_files(of, of.tree, asked)
    data = {
        "bundle": {"name": manifest.name, "kind": manifest.kind, "digest": manifest.digest},
        "asked": asked,
        **report.as_dict(of.evaluations, of.scenario, of.episodes, of.seed),
        "maps": [maps.as_dict(each) for each in of.maps],
        "importance": [importance_dict(each) for each in of.importance],
        "never_vary": of.constant,
        "tree": None if of.tree is None else _tree_dict(of.tree),
    }
    return {"explanation.json": to_json(data).encode(), **contents}


def _map_pictures(of: Explanation) -> dict[str, bytes]:
    contents = {}
    for each in of.maps:
        for rule in of.rules:
            about = f"{each.model}-{rule}" if len(of.maps) > 1 else rule
            name = re.sub(r"[^\w.+-]+", "-", about).strip("-")
            title = map_finding(each, of.policy, rule)
            contents[f"share-{name}.png"] = map_png(each, of.policy, rule, title, holds=False)
            if of.holds:
                title = hold_finding(each, of.policy, rule)
                contents[f"hold-{name}.png"] = map_png(each, of.policy, rule, title, holds=True)
    return contents


def _played(of: Explanation) -> str:
    return f"{of.scenario.title}, {of.scenario.load:g} requests/s, {of.episodes} episodes"


def _importance_picture(of: Explanation) -> bytes:
    return importance_png(
        of.importance,
        of.policy,
        importance_finding(of.importance, of.policy, of.own.figures["cost"].value),
        f"{_played(of)}; each feature's values taken from other requests. Lines: 95% intervals.",
    )


def _tree_files(of: Explanation, tree: Explained, asked: dict[str, Any]) -> dict[str, bytes]:
    title = tree_finding(tree.search, tree.saving, of.policy)
    root = tree.search.root
    measured = {
        "kept": vars(tree.saving.kept),
        "attainment_beside_policy": vars(tree.saving.attainment),
        **{name: of.evaluations[-1].figures[name].value for name in ("attainment", "saving")},
        "seeds": [of.seed, of.seed + of.episodes - 1],
        "asked": asked,
    }
    content = TreeFile(
        **{
            **dict(tree.policy.content),
            "measured": measured,
            "provenance": provenance(),
        }
    )
    about = f"In the {of.episodes} episodes that they were grown in. Dashed: what was asked for."
    contents = {
        "tree.yaml": as_yaml(content).encode(),
        "leaves.png": leaves_png(
            tree.search, asked["keep"], asked["tolerance"], of.policy, title, about
        ),
    }
    if root.leaves <= DRAWN:
        about = f"{_played(of)}. In brackets: share of decisions."
        contents["tree.png"] = tree_png(root, of.holds, title, about)
    return contents


def _tree_dict(of: Explained) -> dict[str, Any]:
    return {
        "enough": of.search.enough,
        "leaves": of.search.root.leaves,
        "kept": vars(of.saving.kept),
        "attainment_beside_policy": vars(of.saving.attainment),
        "tried": [
            {
                "leaves": each.root.leaves,
                "kept": each.saving.kept.value,
                "attainment_beside_policy": each.saving.attainment.value,
            }
            for each in of.search.attempts
        ],
        "root": of.search.root.model_dump(mode="json", exclude_none=True),
    }


def show(of: Explanation, terminal: Console) -> None:
    """Print tables and findings."""
    terminal.print(report.table(of.evaluations, of.scenario, of.episodes))
    terminal.print(map_table(of.maps, of.policy, list(of.rules)))
    for each in of.maps:
        for rule in of.rules:
            other = f"another placement in {100 * each.differ[rule]:.0f}% of the states"
            _say(terminal, f"{map_finding(each, of.policy, rule)}; {other}.")
            if of.holds:
                _say(terminal, f"{hold_finding(each, of.policy, rule)}.")
    terminal.print(importance_table(of.importance, of.constant))
    cost = of.own.figures["cost"].value
    _say(terminal, f"{importance_finding(of.importance, of.policy, cost)}.")
    if of.tree is None:
        _say(
            terminal,
            f"{of.policy} saves less than {100 * LEAST_SAVING:g}% against all-cloud: there is no "
            "saving for a tree to keep.",
        )
        return
    _say(terminal, f"{tree_finding(of.tree.search, of.tree.saving, of.policy)}:")
    for line in lines(of.tree.search.root, of.holds):
        _say(terminal, f"  {line}")


def _say(terminal: Console, words: str) -> None:
    terminal.print(words, highlight=False, markup=False)
