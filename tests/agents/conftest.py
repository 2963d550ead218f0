from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from splitenv.actions import action_table
from splitenv.context import Context
from splitenv.features import bounds, softsign
from splitenv.scenario import load_scenario
from splitenv.tables import build_tables

Observe = Callable[..., np.ndarray[Any, np.dtype[np.float32]]]


def _toy() -> Context:
    """One model, cut in the middle: all-device, half, all-cloud; a deadline of 10 s; batch limit 4.

    GPU time of b members: half 0.5 + 0.5 b, all-cloud 1 + b.
    """
    placement, hold = action_table(3)
    members = np.arange(5)
    curve = np.array([0 * members, 0.5 + 0.5 * members, 1.0 + members])
    curve[:, 0] = 0.0
    tables = build_tables(load_scenario("sd-mobile"))
    return Context(
        tables._replace(
            placements=np.array([3], np.int32),
            enter=np.zeros((1, 3), np.int32),
            ratio=np.array([[0.0, 0.5, 1.0]]),
            alone=curve[None, None],
            limit=np.array([[4]], np.int32),
            head=np.array([[[8.0, 0.0, 0.0]]]),
            tail=np.array([[[0.0, 4.0, 0.0]]]),
            up=np.zeros((1, 3)),
            down=np.array([[0.0, 1.0, 1.0]]),
            reference=np.array([2.0]),
            deadline=np.array([10.0]),
            weight=np.ones(1),
            action_placement=placement,
            action_hold=hold,
            control_delay=0.0,
        )
    )


@pytest.fixture
def toy() -> Context:
    return _toy()


@pytest.fixture
def observe() -> Observe:
    """Write one observation: slack per placement, and features by name in their own units."""

    def build(
        context: Context, slack: list[float], **features: float
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        low, _ = bounds(context.placements)
        vector = np.zeros((1, len(low)), np.float32)
        vector[0, : len(slack)] = [softsign(value, 1.0) for value in slack]
        for column, feature in enumerate(context.features):
            if feature.name in features:
                value = features[feature.name]
                signed = feature.normalisation.startswith("softsign")
                vector[0, column] = softsign(value, 1.0) if signed else value
        return vector

    return build
