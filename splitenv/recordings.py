"""Recordings that a scenario names by path instead of a fitted profile."""

from __future__ import annotations

from pathlib import Path

from splitenv.profiles.replay import (
    FloatArray,
    RecordedNetwork,
    load_recorded_arrivals,
    load_recorded_network,
)
from splitenv.scenario import Scenario

SUFFIXES = (".csv", ".csv.gz")


def recorded_network(name: str) -> RecordedNetwork | None:
    """Load the recorded network that a name in ``network.shares`` stands for; None if a profile."""
    return load_recorded_network(Path(name)) if name.endswith(SUFFIXES) else None


def recorded_arrivals(scenario: Scenario) -> FloatArray | None:
    """Gaps of a scenario's recorded arrivals, of mean 1, shape (n,); None if it names a profile."""
    if not scenario.arrivals.endswith(SUFFIXES):
        return None
    return load_recorded_arrivals(Path(scenario.arrivals))
