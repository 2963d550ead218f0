"""The worlds in which the claims are looked at: ``sd-mobile``, with one latency target for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.capacity import capacity
from splitenv.parts import SlaClass
from splitenv.scenario import Scenario, load_scenario
from splitenv.tables import build_tables

BASE = "sd-mobile"
COUNTED = 1024
"""Requests of an episode that count."""


def with_target(seconds: float, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Make the latency target of all requests of the base scenario the same.

    Parameters
    ----------
    seconds
        The target: a deadline after each request's arrival.
    overrides
        Fields of the scenario to replace.
    """
    scenario = load_scenario(BASE, overrides)
    sla = SlaClass(deadline_s=seconds)
    warmup = scenario.model_copy(update={"sla": {"target": sla}}).warmup
    return scenario.with_overrides(
        {
            "models.0.sla": {"target": 1.0},
            "sla": {"target": sla.model_dump()},
            "decisions": COUNTED + 2 * warmup,
        }
    )


def under_load(scenario: Scenario, load: float) -> Scenario:
    """Put a scenario under a load, requests/s."""
    warmup = scenario.model_copy(update={"load": load}).warmup
    return scenario.with_overrides({"load": load, "decisions": COUNTED + 2 * warmup})


def half_busy(scenario: Scenario) -> float:
    """Load under which the pool would be busy half the time if it served all requests alone."""
    return 0.5 * scenario.pool.size / float(build_tables(scenario).norm)


def as_loaded(scenario: Scenario) -> float:
    """Load that is the same share of the pool's capacity as in the base scenario."""
    return base_share() * capacity(scenario)


def base_share() -> float:
    """Share of its pool's capacity, in its largest batches, that the base scenario asks for."""
    base = load_scenario(BASE)
    return base.load / capacity(base)


def standard(seconds: float, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """The world of most claims: the base scenario with one target, under light load."""
    scenario = with_target(seconds, overrides)
    return under_load(scenario, half_busy(scenario))
