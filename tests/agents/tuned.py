"""A tuned file as tests want it."""

from __future__ import annotations

from typing import Any

from agents.tuned_files import Tuned, world_digest
from splitenv.scenario import Scenario
from splitenv.tables import profile_digest


def tuned_for(scenario: Scenario, **changes: Any) -> Tuned:
    """latency-bound with a margin of 0.12 for this scenario, with some fields changed."""
    return Tuned.model_validate(
        {
            "policy": "latency-bound",
            "parameters": {"margin": 0.12},
            "scenario": scenario.name,
            "scenario_digest": world_digest(scenario),
            "profile_digest": profile_digest(scenario),
            "study": "0" * 64,
            "target": 0.99,
            "reached": True,
            "attainment": 0.992,
            "within": 0.0003,
            "gpu_seconds": 0.97,
            "gpu_cost": 0.54,
            "saving": 0.09,
            "trials": 60,
            "seeds": {"training": (1 << 60, 128), "validation": (1 << 61, 256)},
            "provenance": {"python": "3.11"},
        }
        | changes
    )
