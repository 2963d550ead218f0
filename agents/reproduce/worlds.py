"""The worlds in which the claims are looked at: ``sd-mobile``, with one latency target for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.capacity import capacity
from splitenv.scenario import Scenario, load_scenario
from splitenv.tables import build_tables

BASE = "sd-mobile"
COUNTED = 1024
"""Requests of an episode that count."""


def with_target(
    seconds: float, overrides: Mapping[str, Any] | None = None, base: str = BASE
) -> Scenario:
    """Load a scenario of one model and make the latency target of all its requests the same.

    Parameters
    ----------
    seconds
        The target: a deadline after each request's arrival.
    overrides
        Fields of the scenario to replace.
    """
    scenario = load_scenario(base, overrides)
    return _sized(
        scenario.with_overrides(
            {
                "models.0.sla": {"target": 1.0},
                "sla": {"target": {"deadline_s": seconds}},
                "decisions": 2 * scenario.decisions + 2 * round(5 * seconds * scenario.load),
            }
        )
    )


def under_load(scenario: Scenario, load: float) -> Scenario:
    """Put a scenario under a load, requests/s."""
    warmup = scenario.model_copy(update={"load": load}).warmup
    return scenario.with_overrides({"load": load, "decisions": COUNTED + 2 * warmup})


def _sized(scenario: Scenario) -> Scenario:
    return scenario.with_overrides({"decisions": COUNTED + 2 * scenario.warmup})


def half_busy(scenario: Scenario) -> float:
    """Load under which the pool would be busy half the time if it served all requests alone."""
    return 0.5 * scenario.pool.size / float(build_tables(scenario).norm)


def as_loaded(scenario: Scenario) -> float:
    """Load that is the same share of the pool's capacity as in the base scenario."""
    base = load_scenario(BASE)
    return base.load / capacity(base) * capacity(scenario)


def standard(seconds: float, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """The world of most claims: the base scenario with one target, under light load."""
    scenario = with_target(seconds, overrides)
    return under_load(scenario, half_busy(scenario))
