"""Run the items of an evaluation: from the cache, else on every core, each kept once it is done."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from agents.items import Cache, Made, Piece
from agents.registry import PolicyError

Progress = Callable[[int], None]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Runner:
    """Runs items, and remembers how many it had to.

    Parameters
    ----------
    cache
        Where tallies come from and go to.
    processes
        How many items run at the same time; with one, in this process.

    Attributes
    ----------
    computed
        Items that were not in the cache.
    """

    def __init__(self, cache: Cache, processes: int) -> None:
        self.cache = cache
        self.processes = processes
        self.computed = 0

    def run(self, items: Sequence[Piece[Any]], progress: Progress) -> None:
        """Play what is not in the cache yet.

        An interruption loses the items that are running, no finished one: the same call goes on
        from there.

        Parameters
        ----------
        progress
            Called with a number of items that are done.
        """
        keys = [item.key() for item in items]
        missing = {
            key: item for key, item in zip(keys, items, strict=True) if not self.cache.has(key)
        }
        progress(len(items) - len(missing))
        for _ in self._play(missing):
            self.computed += 1
            progress(1)

    def load(self, item: Piece[Made]) -> Made:
        """Return what an item made; one that the cache has not, or damaged, is run now."""
        key = item.key()
        kept = self.cache.load(key, item.kind)
        if kept is None:
            self.computed += 1
            kept = _run(self.cache, key, item)
        return kept

    def _play(self, missing: dict[str, Piece[Any]]) -> Iterator[None]:
        if min(self.processes, len(missing)) <= 1:
            for key, item in missing.items():
                _run(self.cache, key, item)
                yield
            return
        for item in {type(item): item for item in missing.values()}.values():
            item.prepare()
        pool = ProcessPoolExecutor(
            self.processes, multiprocessing.get_context("spawn"), initializer=start_worker
        )
        try:
            futures = [pool.submit(_run, self.cache, key, item) for key, item in missing.items()]
            for future in as_completed(futures):
                future.result()
                yield
        except BrokenProcessPool as error:
            raise PolicyError(
                "a process died, perhaps for want of memory; what was finished is kept: "
                "run the same command again, with fewer --processes"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _run(cache: Cache, key: str, item: Piece[Made]) -> Made:
    made = item.run()
    cache.store(key, made)
    return made


def start_worker() -> None:
    """Leave an interruption to the parent, and the other cores to the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
