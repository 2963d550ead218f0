"""The batched simulator: arrays, seeds and the compiled kernel behind one small class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv import kernel
from splitenv.features import bounds
from splitenv.handles import describe
from splitenv.scenario import Scenario
from splitenv.settings import build_settings
from splitenv.simulation import NEXT_STEP, NO_RESET, SAME_STEP
from splitenv.state import Belief, Tables, new_belief, with_own_scratch
from splitenv.tables import build_tables
from splitenv.truth import Settings, new_out, new_truth

__all__ = ["NEXT_STEP", "NO_RESET", "SAME_STEP", "Simulator"]

Array = npt.NDArray[Any]


class Simulator:
    """Independent episodes of one scenario, stepped together.

    Parameters
    ----------
    scenario
        What an episode is.
    envs
        How many run side by side.
    randomise
        Redraw load, links, devices and pool at each reset, within ``scenario.randomise``.
    record
        Keep the life of every request of the running episode, in :attr:`record`.
    stagger
        Let the first episode after a seeding end at a random age, so that a training batch does not
        truncate all at once.
    threads
        Threads that share the rows. More than one pays on an idle machine only.
    tables, settings
        Ready-made arrays instead of the scenario's own, for tests and toys.

    Attributes
    ----------
    observation, mask, reward, terms, truncated, final_observation
        What the last reset or step gave, see :class:`~splitenv.state.Out`. Overwritten by the next.
    """

    def __init__(
        self,
        scenario: Scenario,
        envs: int,
        *,
        randomise: bool = False,
        record: bool = False,
        stagger: bool = False,
        threads: int = 1,
        tables: Tables | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.scenario = scenario
        self.envs = envs
        self.stagger = stagger
        self.tables = tables if tables is not None else build_tables(scenario)
        self.settings = settings if settings is not None else build_settings(scenario, randomise)
        slots = min(scenario.queue, self.settings.length)
        clients = scenario.clients.count
        self.settings = self.settings._replace(clients=clients)
        self.belief = new_belief(self.tables, envs, slots, clients)
        records = self.settings.length if record else 0
        self.truth = new_truth(self.tables, self.settings, envs, slots, records)
        low, _ = bounds(self.tables.enter.shape[1])
        self.actions = len(self.tables.action_placement)
        self.out = new_out(self.tables, envs, len(low))
        self.observation, self.mask, self.reward = self.out[:3]
        self.terms, self.truncated, self.final_observation = self.out[3:]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        edges = np.linspace(0, envs, threads + 1).astype(int)
        self._descriptions = [
            self._describe(with_own_scratch(self.belief, self.tables)) for _ in range(threads)
        ]
        handles = [description.ctypes.data for description in self._descriptions]
        self._rows = list(zip(handles, edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def _describe(self, belief: Belief) -> Array:
        """What compiled code reads; the arrays themselves live as long as the simulator."""
        self._scratch = [*getattr(self, "_scratch", []), belief]
        return describe(
            {
                "tables": self.tables,
                "settings": self.settings,
                "belief": belief,
                "truth": self.truth,
                "out": self.out,
            }
        )

    @property
    def handle(self) -> int:
        """Address of what compiled code reads of this simulator; valid as long as it lives."""
        return self._rows[0][0]

    @property
    def record(self) -> Array:
        """Life of every request of the running or just ended episodes, shape (E, decisions)."""
        return self.truth.record

    @property
    def finished(self) -> Array:
        """Sums of each environment's last finished episode, dtype METRICS, shape (E,)."""
        return self.truth.finished

    @property
    def ledger(self) -> Array:
        """The same by tenant (entry of the scenario's models) and SLA class, dtype ACCOUNT.

        Shape (E, tenants, classes).
        """
        return self.truth.finished_ledger

    def seed(self, seeds: Sequence[int] | Array, rows: Array | None = None) -> None:
        """Give environments their own seeds; their next reset starts episode 1 of that seed."""
        rows = np.arange(self.envs) if rows is None else rows
        self.truth.world["seed"][rows] = np.asarray(seeds, np.uint64)
        self.truth.world["episode"][rows] = 0
        self.truth.client["episode"][rows] = 0

    def reset(self, rows: Array | None = None) -> None:
        """Start the next episode in all environments or in ``rows``."""
        rows = np.arange(self.envs) if rows is None else np.asarray(rows, np.int64)
        self.record[rows] = np.zeros((), self.record.dtype)
        kernel.reset(self._rows[0][0], rows, self.stagger)

    def step(self, actions: Array, autoreset: int = SAME_STEP) -> None:
        """Decide every pending request and move to the next ones.

        Parameters
        ----------
        actions
            Shape (E,), integers within the action table; one that is masked is carried out as
            all-cloud without a hold.
        autoreset
            :data:`SAME_STEP`, :data:`NEXT_STEP` or :data:`NO_RESET`.
        """
        if self._pool is None:
            kernel.step(self._rows[0][0], actions, autoreset, 0, self.envs)
            return
        futures = [
            self._pool.submit(kernel.step, handle, actions, autoreset, first, last)
            for handle, first, last in self._rows
        ]
        wait(futures)
        for future in futures:
            future.result()
