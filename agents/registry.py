"""Policies by name: what ``--policies`` and ``make_policy`` accept.

A spec is ``NAME`` or ``NAME:PARAMETER=VALUE,...`` for a rule, such as ``latency-bound:margin=0.1``,
and ``ppo:PATH`` for a trained run. Specs in a list are separated by commas too: a part that reads
``PARAMETER=VALUE`` belongs to the policy before it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import metadata

from agents.heuristics.fixed import AllCloud, AllDevice, FixedSplit
from agents.heuristics.joint_greedy import JointGreedy
from agents.heuristics.latency_bound import LatencyBound, LatencyBoundBatching
from agents.heuristics.neurosurgeon import Neurosurgeon
from agents.heuristics.random_choice import RandomChoice
from agents.policy import Policy

ENTRY_POINTS = "splitenv.policies"

RULES: dict[str, type[Policy]] = {
    "all-cloud": AllCloud,
    "all-device": AllDevice,
    "fixed": FixedSplit,
    "random": RandomChoice,
    "latency-bound": LatencyBound,
    "latency-bound-batching": LatencyBoundBatching,
    "neurosurgeon": Neurosurgeon,
    "joint-greedy": JointGreedy,
}
"""The rules of this package; pyproject.toml names the same ones as entry points."""

LEARNED = ("ppo",)

_SETTING = re.compile(r"[A-Za-z_]\w*=[^=]*")


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
    if name in LEARNED:
        return _load_trained(name, rest)
    rule = RULES.get(name) or _rule_of_a_plugin(name)
    if rule is None:
        known = [*RULES, *(f"{learned}:PATH" for learned in LEARNED)]
        close = get_close_matches(name, RULES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"accepted: {', '.join(known)}"
        raise PolicyError(f"unknown policy {name!r}; {hint}")
    try:
        return rule(**_settings(spec, rest))
    except PolicyError:
        raise
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


def _load_trained(name: str, path: str) -> Policy:
    if not path:
        raise PolicyError(f"policy {name!r} needs the folder of its run, such as {name}:runs/x")
    try:
        from agents.ppo import load_policy
    except ModuleNotFoundError as error:
        raise PolicyError(
            f"policy {name}:{path} needs {error.name}: install splitenv[train]"
        ) from error
    try:
        return load_policy(path)
    except ValueError as error:
        raise PolicyError(str(error)) from error


def _rule_of_a_plugin(name: str) -> type[Policy] | None:
    """Find a rule that another installed package offers under the entry-point group."""
    for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
        rule = entry.load()
        if isinstance(rule, type) and issubclass(rule, Policy):
            return rule
    return None
