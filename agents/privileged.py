"""What the critic alone is shown of a running episode: the world that no scheduler sees.

A burst in a quiet hour and an overloaded pool look alike from the inside, and what is still to come
differs by a factor of ten. A critic that has to average over the two makes advantages out of that
difference, and teaches by them. It is not deployed, so it may know better (Pinto et al.,
"Asymmetric Actor Critic for Image-Based Robot Learning", 2018); the actor sees the observation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from agents.pressure import STRATA
from splitenv.simulator import Simulator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FACTORS = 6
"""Columns of factors: load, rate of arrivals now, links, devices, GPUs, company."""
PRIVILEGED = FACTORS + STRATA
"""Columns that are shown."""


class Privileged:
    """Load, links, devices and GPUs of every environment's episode, as the world has drawn them.

    Parameters
    ----------
    simulator
        That is looked into.
    strata
        By which rewards are scaled: the critic has to know in which unit they come.
    """

    def __init__(self, simulator: Simulator, strata: Callable[[], Ints]) -> None:
        self._simulator = simulator
        self._strata = strata
        pool = simulator.scenario.pool
        self._gpus = (np.log(pool.faster), pool.company - 1.0)

    def __call__(self) -> npt.NDArray[np.float32]:
        """Columns of the running episodes, shape (E, :data:`PRIVILEGED`), in [-1, 1]."""
        simulator = self._simulator
        world, gpus = simulator.truth.world, simulator.belief.clock["gpus"]
        nominal = simulator.scenario.load
        columns = [
            _log(world["load"] / (nominal * np.maximum(gpus, 1))),
            _log(world["rate"] / np.maximum(world["load"], 1e-9)),
            _log(world["bandwidth"]),
            _log(world["device_speed"]),
            *np.broadcast_to(self._gpus, (simulator.envs, 2)).T,
        ]
        factors = np.stack(columns, axis=1)
        shown = np.concatenate(
            [factors / (1.0 + np.abs(factors)), np.eye(STRATA)[self._strata()]], 1
        )
        return shown.astype(np.float32)


def _log(factor: Floats) -> Floats:
    """Its logarithm; 0 for what is not drawn: before the first reset, or a rate where gaps are."""
    return np.asarray(np.log(np.where(factor > 0.0, factor, 1.0)))
