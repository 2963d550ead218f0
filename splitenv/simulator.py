"""The batched simulator: arrays, seeds and the compiled kernel behind one small class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from splitenv import kernel
from splitenv.features import bounds
from splitenv.scenario import Scenario
from splitenv.settings import build_settings
from splitenv.simulation import NEXT_STEP, NO_RESET, SAME_STEP
from splitenv.state import Out, Settings, Tables, new_belief, new_truth
from splitenv.tables import build_tables

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
        self.truth = new_truth(envs, slots, clients, records)
        low, _ = bounds(self.tables.enter.shape[1])
        self.actions = len(self.tables.action_placement)
        self.out = Out(
            observation=np.zeros((envs, len(low)), np.float32),
            mask=np.zeros((envs, self.actions), np.bool_),
            reward=np.zeros(envs, np.float32),
            terms=np.zeros((envs, 2)),
            truncated=np.zeros(envs, np.bool_),
            final_observation=np.zeros((envs, len(low)), np.float32),
        )
        self.observation, self.mask, self.reward = self.out[:3]
        self.terms, self.truncated, self.final_observation = self.out[3:]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        edges = np.linspace(0, envs, threads + 1).astype(int)
        self._rows = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    @property
    def record(self) -> Array:
        """Life of every request of the running or just ended episodes, shape (E, decisions)."""
        return self.truth.record

    @property
    def finished(self) -> Array:
        """Sums of each environment's last finished episode, dtype METRICS, shape (E,)."""
        return self.truth.finished

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
        kernel.reset(
            self.tables, self.settings, self.belief, self.truth, self.out, rows, self.stagger
        )

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
        arguments = (self.tables, self.settings, self.belief, self.truth, self.out, actions)
        if self._pool is None:
            kernel.step(*arguments, autoreset, 0, self.envs)
            return
        futures = [
            self._pool.submit(kernel.step, *arguments, autoreset, first, last)
            for first, last in self._rows
        ]
        wait(futures)
        for future in futures:
            future.result()
