"""The scheduler for production: reads a bundle, follows events, decides.

Needs numpy, onnxruntime and pydantic, and nothing else.

Examples
--------
>>> scheduler = Scheduler.load("bundles/x")  # doctest: +SKIP
>>> scheduler.observe(ClientReport(0.0, "ann", "galaxy-s24", 2e6, 9e6, 0.04))  # doctest: +SKIP
>>> scheduler.decide(Arrival(0.1, 7, "ann", "sd-2.1", "fast")).placement  # doctest: +SKIP
(0, 41)
"""

from splitenv.runtime.events import Arrival, ClientReport, Dropped, Event, Finish, Launch, Ready
from splitenv.runtime.policies import BundleError
from splitenv.runtime.scheduler import Decision, Reason, Scheduler

__all__ = [
    "Arrival",
    "BundleError",
    "ClientReport",
    "Decision",
    "Dropped",
    "Event",
    "Finish",
    "Launch",
    "Ready",
    "Reason",
    "Scheduler",
]
