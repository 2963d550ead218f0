"""A second simulator, slow and obvious, to hold against the compiled one.

Written from ``docs/physics.md``, not from the kernel; it shares with it the public tables and what
is drawn (when requests arrive, who asks for what, quantiles of rates, errors, jitter), and no
physics. What the page leaves open, both have decided like this:

Devices
    A device is idle once all that it is committed to is done, the pauses between included. It cools
    down too while it waits for an all-device run without length.
Disciplines
    Each model has a plan of its own, made anew when its own queue changes; a GPU that falls idle
    undoes all of them.
    What becomes of late requests (``late``) is a matter of ``slack``, ``deferred`` and
    ``edf-drop`` alone.
Continuous serving
    A GPU is at a boundary for the whole of that instant: who becomes ready in it, even by what an
    earlier arrival of the instant led to, is considered at once. Whether there is room is asked
    when the request becomes ready, after others have left in that instant.
    In one instant members leave by GPU and, on one GPU, in the order in which they joined.
    The first to go aboard an idle GPU always may.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from splitenv.state import Tables
from splitenv.truth import RECORD
from tests.reference.batch import BatchServing
from tests.reference.continuous import ContinuousServing
from tests.reference.simulator import DROPPED, IN_TIME, LATE, Reference
from tests.reference.world import Client, Device, Link, Request, World

__all__ = [
    "DROPPED",
    "IN_TIME",
    "LATE",
    "Client",
    "Device",
    "Link",
    "Request",
    "World",
    "as_records",
    "play",
]


def play(tables: Tables, world: World, actions: list[int]) -> Reference:
    """Run one episode, from its first arrival until nothing is in flight."""
    serving = ContinuousServing if tables.continuous else BatchServing
    simulator = serving(tables, world, actions)
    simulator.run()
    return simulator


def as_records(requests: list[Request]) -> np.ndarray[Any, Any]:
    """What became of them, in the form of the compiled simulator's records."""
    records = np.zeros(len(requests), RECORD)
    for name in set(RECORD.names) - {"action"}:
        records[name] = [getattr(request, name) for request in requests]
    return records
