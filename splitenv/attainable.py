"""The attainable share: requests that some placement, alone on an idle pool, would meet.

A function of scenario and seeds alone: no policy has a part in it, and none can exceed it but for
the two effects that :mod:`splitenv.alone` names. Importing this module compiles (and needs numba).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from splitenv import accounting, alone, compilation, draws, kernel, physics, world
from splitenv.handles import describe
from splitenv.scenario import Scenario
from splitenv.settings import build_settings
from splitenv.state import new_belief
from splitenv.tables import build_tables
from splitenv.truth import new_out, new_truth

_compiled = compilation.compile_modules(
    physics,
    draws,
    world,
    accounting,
    alone,
    shared=kernel.examples(),
    outlined=("play_alone", "complete_alone", "new_episode", "draw_client", "throttled"),
)


class Alone(NamedTuple):
    """Every request of some episodes, run alone under each placement.

    Attributes
    ----------
    device, model, sla
        Its codes, shape (E, requests).
    latency
        Seconds under each placement, shape (E, requests, placements), all-device first; infinite
        where the device or the model cannot.
    in_time
        Whether some placement meets the deadline, shape (E, requests).
    """

    device: npt.NDArray[np.int32]
    model: npt.NDArray[np.int32]
    sla: npt.NDArray[np.int32]
    latency: npt.NDArray[np.float64]
    in_time: npt.NDArray[np.bool_]


def play_alone(scenario: Scenario, seeds: npt.ArrayLike, *, randomise: bool = False) -> Alone:
    """Run the requests of the episodes with these seeds, each alone under each placement.

    Row k and column n are request n of the episode that a simulator plays with seed k, its world
    redrawn within ``scenario.randomise`` if so asked.
    """
    own_seeds = np.asarray(seeds, np.uint64)
    envs = len(own_seeds)
    tables = build_tables(scenario)
    settings = build_settings(scenario, randomise)
    belief = new_belief(tables, envs, 1, scenario.clients.count)
    truth = new_truth(tables, settings, envs, 1, 0)
    truth.world["seed"] = own_seeds
    who = np.empty((envs, scenario.decisions, 3), np.int32)
    latency = np.empty((envs, scenario.decisions, tables.enter.shape[1]))
    out = new_out(tables, 0, 0)
    description = describe(
        {"tables": tables, "settings": settings, "belief": belief, "truth": truth, "out": out}
    )
    _compiled.play_alone(description.ctypes.data, who, latency)
    device, model, sla = np.moveaxis(who, 2, 0).copy()
    in_time = latency.min(axis=2) <= tables.deadline[sla]
    return Alone(device, model, sla, latency, np.asarray(in_time))
