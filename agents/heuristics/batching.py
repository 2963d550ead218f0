"""Batching rules: which dispatch discipline serves the requests, whatever decides their split.

Docs/physics.md says exactly what each discipline does. A rule here chooses one and its settings:
waits are shares of the scenario's shortest relative deadline, so that one value suits images and
cameras alike; sizes are whole numbers, rounded from the parameter. Sizes above a GPU's batch limit
count as the limit.

======================  ==========================================================================
``none``                every request alone, first come, first served
``slack``               ours: the ``slack`` discipline, with the holds that the split chooses
``slack-drop``          ours: the same; who is hopeless is dropped: late even if the answer
                        took no time to travel
``window``              TensorFlow Serving's batch scheduler (Olston et al. 2017, section 4): a full
                        batch at once, else what there is when the first has waited
``preferred``           Triton's dynamic batcher (its model configuration's preferred batch sizes
                        and maximum queue delay): ``least``, twice that, four times that, ...
``fitted``              BentoML's adaptive batching: waits while that costs those who wait less
                        than a ``budget`` of request seconds, by a line fitted to the batch curve
``aimd``                Clipper (Crankshaw et al., NSDI 2017, section 4.3): a largest batch that
                        grows by one while batches take no longer than ``target``, and else
                        shrinks by a tenth; with a delay of at most ``wait``
``nexus``               Nexus' early drop (Shen et al., SOSP 2019, section 6): a window of
                        ``size`` slides over the queue and drops whoever it would make late
``clockwork``           Clockwork (Gujarati et al., OSDI 2020, section 5): by deadline, with
                        predicted batch times, dropping who cannot be in time
``symphony``            deferred batching (Chen et al., Symphony, arXiv 2308.07470): launch at the
                        latest moment at which everybody is still in time, with room for ``spare``
                        more members; ours: ``guard`` earlier, as what was predicted may last longer
``symphony-drop``       ours: the same; who is hopeless is dropped
``control-limit``       Deb and Serfozo, *Optimal control of batch service queues*, Advances in
                        Applied Probability 5 (1973): an idle server with x waiting serves
                        min(x, Q) if x has reached a limit M, and else waits
======================  ==========================================================================

Published control limits have no clock: the last requests of a quiet hour would wait for company
for ever. ``control-limit`` lets nobody wait for longer than ``wait``; with M = 1 that is never
reached. Holds that the split chooses count under ``slack``, ``slack-drop`` and
``clockwork`` only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from agents.policy import Parameter, Tunable

if TYPE_CHECKING:
    from splitenv.parts import Dispatch
    from splitenv.scenario import Scenario

LARGEST = 64
"""The largest size that a rule asks for; no measured batch is larger."""

SIZE = Parameter(8, 1, LARGEST, "largest batch, in members")
WAIT = Parameter(
    0.1, 0.0, 1.0, "longest wait of the first, as a share of the shortest relative deadline"
)


class Batching(Tunable, ABC):
    """Chooses the dispatch discipline of a scenario.

    Attributes
    ----------
    spends_slack
        Whether a batch waits until no slack is left, however much a split's margin has left.
    """

    spends_slack: ClassVar[bool] = False

    @abstractmethod
    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Name the discipline and its settings."""


def seconds(scenario: Scenario, share: float) -> float:
    """A share of the scenario's shortest relative deadline, s."""
    return share * min(sla.deadline_s for sla in scenario.sla.values())


def _named(**settings: Any) -> Dispatch:
    # Not at the top: what scenarios are made of needs yaml, which rules do without.
    from splitenv.parts import Dispatch

    return Dispatch(**settings)


class Alone(Batching):
    """Every request alone, first come, first served."""

    name = "none"

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """A window of one request."""
        return _named(discipline="window", sizes=(1,))


class Slack(Batching):
    """The ``slack`` discipline: launch when a hold ends or company costs a deadline."""

    name = "slack"

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The discipline that has no settings."""
        return _named(discipline="slack")


class SlackDrop(Slack):
    """The same; who is hopeless is dropped."""

    name = "slack-drop"

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The discipline, but that nobody late is served."""
        return _named(discipline="slack", late="drop")


class Window(Batching):
    """A full batch at once, else what there is when the first has waited for so long."""

    name = "window"
    parameters: Mapping[str, Parameter] = {"size": SIZE, "wait": WAIT}
    aggressiveness = "wait"
    size: float
    wait: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Size and wait as they are."""
        return _named(
            discipline="window", window_s=seconds(scenario, self.wait), sizes=(round(self.size),)
        )


class Preferred(Batching):
    """The largest preferred size at once, else what there is when the first has waited."""

    name = "preferred"
    parameters: Mapping[str, Parameter] = {
        "least": Parameter(4, 1, LARGEST, "smallest preferred size; the others double it"),
        "wait": WAIT,
    }
    aggressiveness = "wait"
    least: float
    wait: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Sizes that double, up to the largest."""
        sizes = [round(self.least)]
        while 2 * sizes[-1] <= LARGEST:
            sizes.append(2 * sizes[-1])
        return _named(
            discipline="preferred", window_s=seconds(scenario, self.wait), sizes=tuple(sizes)
        )


class Fitted(Batching):
    """Waits while company is worth it, by a line fitted to the batch curve."""

    name = "fitted"
    parameters: Mapping[str, Parameter] = {
        "budget": Parameter(
            0.5, 0.0, 2.0, "request seconds of waiting, in shortest relative deadlines"
        ),
    }
    aggressiveness = "budget"
    budget: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The budget in seconds."""
        return _named(discipline="fitted", window_s=seconds(scenario, self.budget))


class Aimd(Batching):
    """Up to a largest batch, found by additive increase and multiplicative decrease."""

    name = "aimd"
    parameters: Mapping[str, Parameter] = {
        "target": Parameter(
            0.5,
            0.02,
            1.0,
            "how long a batch may take, as a share of the shortest relative deadline",
        ),
        "wait": Parameter(
            0.0, 0.0, 1.0, "longest wait of the first, as a share of the shortest relative deadline"
        ),
    }
    aggressiveness = "target"
    target: float
    wait: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Target and wait in seconds."""
        return _named(
            discipline="aimd",
            target_s=seconds(scenario, self.target),
            window_s=seconds(scenario, self.wait),
        )


class Nexus(Batching):
    """At once, a window over the queue by deadline; who would make it late is dropped."""

    name = "nexus"
    parameters: Mapping[str, Parameter] = {"size": SIZE}
    aggressiveness = "size"
    size: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The window's size."""
        return _named(discipline="window-drop", sizes=(round(self.size),))


class Clockwork(Batching):
    """At once, by deadline; who cannot be in time is dropped."""

    name = "clockwork"

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The discipline that has no settings."""
        return _named(discipline="edf-drop")


class Symphony(Batching):
    """At the latest moment at which everybody is still in time."""

    name = "symphony"
    parameters: Mapping[str, Parameter] = {
        "spare": Parameter(0, 0, 1, "members to leave room for, 0 or 1"),
        "guard": Parameter(0.1, 0.0, 1.0, "how much earlier, as a share of the shortest deadline"),
    }
    aggressiveness = "guard"
    spends_slack = True
    spare: float
    guard: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Spare members, 0 or 1, and what is kept before the latest moment."""
        return _named(
            discipline="deferred", spare=round(self.spare), guard_s=seconds(scenario, self.guard)
        )


class SymphonyDrop(Symphony):
    """The same; who is hopeless is dropped."""

    name = "symphony-drop"

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Symphony's, but that nobody late is served."""
        return super().dispatch(scenario).model_copy(update={"late": "drop"})


class ControlLimit(Batching):
    """As many as there are, at most the batch limit, once there are so many."""

    name = "control-limit"
    parameters: Mapping[str, Parameter] = {
        "limit": Parameter(4, 1, 16, "members that a batch waits for"),
        "wait": Parameter(
            0.5, 0.0, 1.0, "longest wait of the first, as a share of the shortest relative deadline"
        ),
    }
    aggressiveness = "limit"
    limit: float
    wait: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Every size from the control limit on is preferred."""
        return _named(
            discipline="preferred",
            window_s=seconds(scenario, self.wait),
            sizes=tuple(range(round(self.limit), LARGEST + 1)),
        )
