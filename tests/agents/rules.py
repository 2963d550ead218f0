"""What the tests of rules share."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.policy import Policy
from agents.registry import make_policy
from splitenv.context import Context

EVERYTHING = np.ones((1, 11), np.bool_)


def bound(spec: str, context: Context) -> Policy:
    policy = make_policy(spec)
    policy.bind(context)
    return policy


def decide(
    spec: str, context: Context, observation: Any, mask: Any = EVERYTHING
) -> tuple[int, float]:
    """Placement and hold that a rule chooses for one request."""
    action = bound(spec, context).act(observation, mask)[0]
    tables = context.tables
    return int(tables.action_placement[action]), float(tables.action_hold[action])
