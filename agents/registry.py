"""Policies by name: what ``--policies`` and ``make_policy`` accept.

A spec is ``NAME`` or ``NAME:PARAMETER=VALUE,...`` for a rule, such as ``latency-bound:margin=0.1``;
``SPLIT+BATCHING`` or ``SPLIT+BATCHING:PARAMETER=VALUE,...`` for a pair, such as
``latency-bound+symphony:margin=0.1,spare=1``; ``ppo:PATH`` for a trained run;
``tuned:SCENARIO/POLICY`` or ``tuned:PATH.yaml`` for a tuned rule; and ``tree:PATH`` for a decision
tree. Specs in a list are separated by commas too: a part that reads ``PARAMETER=VALUE`` belongs to
the policy before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import metadata
from typing import TypeVar

from agents.heuristics import batching
from agents.heuristics.batching import Batching
from agents.heuristics.edgent import Edgent
from agents.heuristics.fixed import AllCloud, AllDevice, FixedSplit
from agents.heuristics.ip_ssa import IpSsa
from agents.heuristics.joint_greedy import JointGreedy
from agents.heuristics.latency_bound import LatencyBound, LatencyBoundBatching
from agents.heuristics.neurosurgeon import Neurosurgeon
from agents.heuristics.pair import SEPARATOR, Pair
from agents.heuristics.random_choice import RandomChoice
from agents.heuristics.threshold import Threshold
from agents.lookahead import Lookahead
from agents.policy import Policy, Tunable

ENTRY_POINTS = "splitenv.policies"

RULES: dict[str, type[Policy]] = {
    "all-cloud": AllCloud,
    "all-device": AllDevice,
    "fixed": FixedSplit,
    "random": RandomChoice,
    "latency-bound": LatencyBound,
    "latency-bound-batching": LatencyBoundBatching,
    "neurosurgeon": Neurosurgeon,
    "threshold": Threshold,
    "edgent": Edgent,
    "ip-ssa": IpSsa,
    "joint-greedy": JointGreedy,
}
"""The rules of this package; pyproject.toml names the same ones as entry points."""

PLANNERS: dict[str, type[Policy]] = {"lookahead": Lookahead}
"""Rivals that need the simulator: for evaluations, not for the runtime, and in no pair."""

BATCHINGS: dict[str, type[Batching]] = {
    "none": batching.Alone,
    "slack": batching.Slack,
    "slack-drop": batching.SlackDrop,
    "window": batching.Window,
    "preferred": batching.Preferred,
    "fitted": batching.Fitted,
    "aimd": batching.Aimd,
    "nexus": batching.Nexus,
    "clockwork": batching.Clockwork,
    "symphony": batching.Symphony,
    "symphony-drop": batching.SymphonyDrop,
    "control-limit": batching.ControlLimit,
}
"""The batching rules, any of which goes with any rule that decides splits."""

NAMED_PAIRS: dict[str, str] = {
    "all-cloud+window": "TensorFlow Serving, nothing on the device",
    "all-cloud+preferred": "Triton, nothing on the device",
    "neurosurgeon+aimd": "Neurosurgeon before Clipper",
    "edgent+fitted": "Edgent before BentoML: deadline first, blind to queues",
    "ip-ssa+slack": "planned alone, aligned to the batch that is forming",
    "latency-bound+slack": "the reference system",
    "latency-bound+control-limit": "the optimal form without deadlines",
    "latency-bound+nexus": "early drop",
    "latency-bound+clockwork": "predictable batches, by deadline",
    "latency-bound+symphony": "as little cloud and as late as can be",
    "joint-greedy+slack": "split and hold at once",
    "joint-greedy+symphony": "split by expected company, and as late as can be",
}
"""The pairs that an evaluation runs by default, at most twelve, and what each stands for."""

_SETTING = re.compile(r"[A-Za-z_]\w*=[^=]*")
_Kind = TypeVar("_Kind", bound=Tunable)


class PolicyError(ValueError):
    """A policy that cannot be made; the message is one sentence."""


def make_policy(spec: str) -> Policy:
    """Make the policy that a spec names.

    Raises
    ------
    PolicyError
        If there is none of that name, or its parameters or path are not accepted.
    """
    name, _, rest = spec.strip().partition(":")
    if name in BY_PATH:
        return BY_PATH[name](rest)
    return make_rule(name, _settings(spec, rest))


def make_rule(name: str, values: Mapping[str, float] | None = None) -> Policy:
    """Make a rule or a pair with these values of its parameters; the others take their defaults.

    Raises
    ------
    PolicyError
        If there is none of that name, or a value is not accepted.
    """
    split, separator, batched = name.partition(SEPARATOR)
    accepted = [
        *RULES,
        *PLANNERS,
        f"SPLIT{SEPARATOR}BATCHING",
        *(f"{kind}:PATH" for kind in BY_PATH),
    ]
    planner = None if separator else PLANNERS.get(name)
    rule = planner or RULES.get(split) or _rule_of_a_plugin(split)
    if rule is None:
        raise _unknown("policy", split, RULES, accepted)
    if separator and batched not in BATCHINGS:
        raise _unknown("batching rule", batched, BATCHINGS, BATCHINGS)
    try:
        if separator:
            return Pair(rule, BATCHINGS[batched], **(values or {}))
        return rule(**(values or {}))
    except ValueError as error:
        raise PolicyError(str(error)) from error


def split_specs(text: str) -> list[str]:
    """Split a list of specs at its commas, but for those between parameters."""
    specs: list[str] = []
    for part in text.split(","):
        part = part.strip()
        if specs and ":" in specs[-1] and _SETTING.fullmatch(part):
            specs[-1] += f",{part}"
        elif part:
            specs.append(part)
    return specs


def _unknown(
    kind: str, name: str, known: Mapping[str, type[_Kind]], accepted: Iterable[str]
) -> PolicyError:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"accepted: {', '.join(accepted)}"
    return PolicyError(f"unknown {kind} {name!r}; {hint}")


def _settings(spec: str, text: str) -> dict[str, float]:
    settings = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = part.partition("=")
        try:
            settings[key.strip()] = float(value)
        except ValueError:
            separator = ""
        if not separator:
            raise PolicyError(
                f"policy {spec!r}: expected PARAMETER=NUMBER after the colon, got {part!r}"
            )
    return settings


def _load_trained(reference: str) -> Policy:
    path, values = reference_and_settings(reference)
    if set(values) - {"preference"}:
        raise PolicyError(f"policy ppo:{reference}: a trained policy takes preference=NUMBER only")
    if not path:
        raise PolicyError("policy 'ppo' needs the folder of its run, such as ppo:runs/x")
    try:
        from agents.learned import load_policy
    except ModuleNotFoundError as error:
        raise PolicyError(
            f"policy ppo:{path} needs {error.name}: install splitenv[train]"
        ) from error
    try:
        return load_policy(path, values.get("preference"))
    except ValueError as error:
        raise PolicyError(str(error)) from error


def reference_and_settings(reference: str) -> tuple[str, dict[str, float]]:
    """Split what follows ``ppo:`` or ``bundle:`` into a path and the settings after it, if any."""
    path, separator, rest = reference.rpartition(":")
    if not separator or not _SETTING.match(rest):
        return reference, {}
    return path, _settings(reference, rest)


def _load_bundled(reference: str) -> Policy:
    try:
        from agents.bundled import load_bundled
    except ModuleNotFoundError as error:
        raise PolicyError(f"policy bundle:{reference} needs {error.name}") from error
    return load_bundled(*reference_and_settings(reference))


def _load_tuned(path: str) -> Policy:
    from agents.tuned_files import load_tuned

    return load_tuned(path)


def _load_tree(path: str) -> Policy:
    from agents.tree import load_tree

    return load_tree(path)


BY_PATH: dict[str, Callable[[str], Policy]] = {
    "ppo": _load_trained,
    "bundle": _load_bundled,
    "tuned": _load_tuned,
    "tree": _load_tree,
}
"""What is read from files: by the name before the colon, what makes the policy of a path."""


def _rule_of_a_plugin(name: str) -> type[Policy] | None:
    """Find a rule that another installed package offers under the entry-point group."""
    for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
        rule = entry.load()
        if isinstance(rule, type) and issubclass(rule, Policy):
            return rule
    return None
