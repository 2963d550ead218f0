"""From target attainment to the knob of a preference-conditioned policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agents.evaluation import play
from agents.learned import CALIBRATION, load_policy
from agents.monitor import HELD_OUT, outcome
from agents.statistics import Floats
from splitenv.provenance import write_json
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator

POINTS = 13
EPISODES = 96
FIRST = HELD_OUT + 1024
"""First seed of a calibration, after those by which the model was chosen."""
TARGETS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def calibrate(folder: Path, scenario: Scenario) -> dict[str, Any]:
    """Measure a run's best model along its knob, and say where it meets which target.

    Writes ``calibration.json``: every setting with what it attained, ``targets`` with the lowest
    preference that attains each (None where none does), and ``preference``, its :func:`standing`.
    """
    settings = np.geomspace(*load_policy(folder).limits, POINTS)
    simulator = Simulator(scenario, EPISODES)
    seeds = FIRST + np.arange(EPISODES)
    measured = []
    for setting in settings.tolist():
        play(load_policy(folder, setting), simulator, seeds)
        result = outcome(simulator.finished)
        assert result is not None
        measured.append(
            {
                "preference": setting,
                "attainment": result.attainment,
                "gpu_seconds": result.gpu_seconds,
                "cost": result.cost,
            }
        )
    attained = np.array([each["attainment"] for each in measured])
    own = max(sla.target for sla in scenario.sla.values())
    wanted = sorted({*TARGETS, own})
    targets = {str(target): knob_at(settings, attained, target) for target in wanted}
    content = {
        "seeds": {"first": FIRST, "episodes": EPISODES},
        "settings": measured,
        "targets": targets,
        "preference": standing(settings, attained, own),
    }
    write_json(folder / CALIBRATION, content)
    return content


def standing(settings: Floats, attained: Floats, target: float) -> float:
    """Where a knob stands by itself: where the scenario's target is met, or else most is attained.

    But a violation is never minded less than the scenario's price says, for a promise may be far
    below what costs next to nothing.
    """
    met = knob_at(settings, attained, target)
    wanted = float(settings[np.argmax(attained)]) if met is None else met
    return max(wanted, min(1.0, float(settings[-1])))


def knob_at(settings: Floats, attained: Floats, target: float) -> float | None:
    """Lowest preference from which on the target is attained, interpolated in its logarithm."""
    enough = attained >= target
    if not enough[-1]:
        return None
    first = len(enough) - int(np.argmin(enough[::-1])) if not enough.all() else 0
    if first == 0:
        return float(settings[0])
    low, high = attained[first - 1], attained[first]
    share = (target - low) / (high - low)
    return float(np.exp(np.interp(share, (0, 1), np.log(settings[first - 1 : first + 1]))))
