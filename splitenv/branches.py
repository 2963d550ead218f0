"""Copies of a running episode, each with a future of its own, for planners that roll forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv import kernel
from splitenv.simulator import NO_RESET, Simulator

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]

_BELIEF = (
    "clock", "free", "queue", "line", "variety", "gpu", "phase", "aboard", "client", "largest",
)  # fmt: skip
_TRUTH = ("world", "client", "heat", "metrics")
"""Arrays whose first axis is the environment."""


class Branches(Simulator):
    """Rows that start from one row of another simulator and go on to futures drawn anew.

    A branch knows what the scheduler knows: futures are independent of what lies ahead in the
    original and of what is hidden of requests under way (see :func:`splitenv.futures.imagine`). It
    further keeps, of clients that have asked before, device, heat and network session (network,
    median rates and RTT, phase of the blocks): a client's next reports are drawn about what is true
    of it, and so are the transfers of those in flight.

    Parameters
    ----------
    original
        The simulator whose rows are copied; both share tables and settings.
    rows
        Most branches at a time.
    """

    def __init__(self, original: Simulator, rows: int) -> None:
        super().__init__(
            original.scenario, rows, tables=original.tables, settings=original.settings
        )
        self.original = original
        self.used = 0

    def draw_keys(self, env: int, count: int, tries: int, seed: list[int]) -> Keys:
        """Draw ``count`` futures of a row: of ``tries`` for each, what agrees best with reports.

        The pending client reported the rates of its links, which are drawn with the future: those
        futures are kept whose rates now are nearest to the reported ones.
        """
        generator = np.random.default_rng(seed)
        keys = generator.integers(0, 2**64, count * tries, np.uint64, endpoint=False)
        self.copy(env, 1)
        distance = np.zeros(len(keys))
        kernel.compiled.disagreement(self.handle, 0, keys, distance)
        nearest = np.argsort(distance, kind="stable")[:count]
        return np.asarray(keys[np.sort(nearest)], np.uint64)

    def start(self, env: int, keys: Keys, decisions: int) -> None:
        """Copy a row that waits for its decision, once for each key, to run for some decisions."""
        self.copy(env, len(keys))
        world = self.truth.world[: len(keys)]
        world["length"] = world["decisions"] + decisions
        kernel.compiled.imagine(self.handle, keys)
        self._cost_before = self.truth.metrics["total_cost"][: len(keys)].copy()

    def decide(self, actions: Array) -> None:
        """Decide in every branch; with the last decision what is in flight is run to its end."""
        kernel.step(self.handle, actions, NO_RESET, 0, self.used)

    def costs(self) -> npt.NDArray[np.float64]:
        """Cost, after the last decision, of all requests that had no end when they were copied."""
        total = np.asarray(self.finished["total_cost"][: self.used], np.float64)
        return np.asarray(total - self._cost_before)

    def copy(self, env: int, rows: int) -> None:
        """Copy a row of the original, its true future included, into the first rows.

        Raises
        ------
        ValueError
            If there are not so many rows.
        """
        if rows > self.envs:
            raise ValueError(f"there is room for {self.envs} branches, got {rows}")
        self.used = rows
        source = self.original
        slots = self.belief.free.shape[1]
        in_use = np.ones(slots, np.bool_)
        in_use[source.belief.free[env, : source.belief.clock["free_slots"][env]]] = False
        live = np.flatnonzero(in_use)
        for name in _BELIEF:
            getattr(self.belief, name)[:rows] = getattr(source.belief, name)[env]
        for name in _TRUTH:
            getattr(self.truth, name)[:rows] = getattr(source.truth, name)[env]
        self.belief.request[live, :rows] = source.belief.request[live, env, None]
        self.truth.request[live, :rows] = source.truth.request[live, env, None]
        if self.tables.continuous:
            self.truth.aboard[live, :rows] = source.truth.aboard[live, env, None]
        # Heaps are filled from the front.
        entries = len(live)
        self.belief.held[:entries, :, :rows] = source.belief.held[:entries, :, env, None]
        self.truth.heap[:entries, :, :rows] = source.truth.heap[:entries, :, env, None]
        lines = source.belief.line[env]
        end = int((lines["first"] + lines["size"]).max())
        self.belief.waiting[:rows, :, :end] = source.belief.waiting[env, :, :end]
