"""Play an episode's world ahead: what a clairvoyant would know of every request."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from splitenv import kernel
from splitenv.simulator import NO_RESET, Simulator

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


class Foresight(NamedTuple):
    """Limits of every request of some episodes; e episode, n request, s placement.

    Attributes
    ----------
    ready
        Earliest time at which it can be ready for a GPU, (e, n, s); of all-device, at which the
        device can start.
    leave
        Latest time at which it may leave the GPU to be in time, (e, n, s); of all-device, the
        latest start. No schedule does better than either, see :mod:`splitenv.clairvoyance`.
    arrival
        (e, n).
    model, sla, device
        Of each request, (e, n).
    """

    ready: Floats
    leave: Floats
    arrival: Floats
    model: Integers
    sla: Integers
    device: Integers

    def attainable(self, soonest: Floats) -> npt.NDArray[np.bool_]:
        """Whether each request could be in time if it were the only one, (e, n).

        Parameters
        ----------
        soonest
            Seconds of each model's placement alone on the GPU that is fastest at it, (m, s):
            ``Tables.soonest``.
        """
        return np.asarray((self.ready + soonest[self.model] <= self.leave).any(axis=2))


def foresee(simulator: Simulator, seeds: npt.ArrayLike) -> Foresight:
    """Play one episode in every row, each from its own seed, and note what could have been.

    Nothing noted depends on what is decided: all-device is, where that is possible.
    """
    simulator.seed(np.asarray(seeds))
    simulator.reset()
    shape = (simulator.envs, simulator.tables.enter.shape[1])
    ready, leave = np.empty(shape), np.empty(shape)
    clock = simulator.belief.clock
    fields = ("arrival", "model", "sla", "device")
    kept: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in Foresight._fields}
    action = np.zeros(simulator.envs, np.int64)
    for _ in range(simulator.settings.length):
        kernel.foresee(simulator.handle, ready, leave)
        kept["ready"].append(ready.copy())
        kept["leave"].append(leave.copy())
        for name in fields:
            kept[name].append(clock[name].copy())
        simulator.step(action, NO_RESET)
    return Foresight(**{name: np.stack(rows, axis=1) for name, rows in kept.items()})
