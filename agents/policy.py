"""The interface of every scheduler, rule or learned: observations and masks in, actions out.

A policy of your own takes ten lines::

    class Halves(Policy):
        name = "halves"
        parameters = {"hold": Parameter(0.0, 0.0, 0.75, "share of slack spent waiting")}
        hold: float

        def act(self, observations, masks):
            possible = self.context.possible(masks)
            middle = possible.sum(axis=1) // 2
            placement = np.where(possible[:, 0], middle, possible.shape[1] - 1)
            return self.context.encode(placement, self.context.hold_levels.index(self.hold))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from splitenv.context import Context
    from splitenv.parts import Dispatch
    from splitenv.scenario import Scenario
    from splitenv.simulator import Simulator

Observations = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]
Actions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parameter:
    """A free parameter of a policy: what may be tuned, and how far.

    Attributes
    ----------
    default
        Value where none is given.
    low, high
        Least and greatest value accepted.
    meaning
        What it does.
    ratio
        Whether what counts is how many times as much, as with a price: sweeps then go along its
        logarithm.
    """

    default: float
    low: float
    high: float
    meaning: str
    ratio: bool = False


class Tunable:
    """Something with a name and free parameters.

    Parameters
    ----------
    **values
        Values of the declared :attr:`parameters`, each of which becomes an attribute; those not
        given take their defaults.

    Attributes
    ----------
    name
        What it is called on the command line and in reports.
    parameters
        Its free parameters, by name.
    aggressiveness
        The parameter that trades GPU seconds against violations, over whose range an evaluation
        sweeps it to a curve; ``None`` where it has no such knob.

    Raises
    ------
    ValueError
        If a parameter is unknown or out of its range; one sentence.
    """

    name: str
    parameters: Mapping[str, Parameter] = {}
    aggressiveness: str | None = None

    def __init__(self, **values: float) -> None:
        for unknown in values.keys() - self.parameters.keys():
            accepted = ", ".join(self.parameters) or "none"
            raise ValueError(f"{self.name} has no parameter {unknown!r}; accepted: {accepted}")
        for key, parameter in self.parameters.items():
            value = values.get(key, parameter.default)
            if not parameter.low <= value <= parameter.high:
                raise ValueError(
                    f"{self.name}: {key} must lie between {parameter.low:g} and "
                    f"{parameter.high:g}, got {value:g}"
                )
            setattr(self, key, value)

    def describe(self) -> dict[str, Any]:
        """Say what it is, as plain data: name and the values of its parameters."""
        values = {key: getattr(self, key) for key in self.parameters}
        return {"name": self.name, "parameters": values}


class Policy(Tunable, ABC):
    """A scheduler: decides split and hold of many requests at once.

    Attributes
    ----------
    context
        The scenario's public tables, after :meth:`bind`.
    """

    context: Context

    def fingerprint(self) -> str:
        """What tells it apart beyond :meth:`describe`: a learned policy's weights, as a digest."""
        return ""

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """Name the dispatch discipline that it runs under: the scenario's own, if none is named."""
        return scenario.dispatch

    def under(self, scenario: Scenario) -> Scenario:
        """Return the scenario with the dispatch discipline that this policy runs under.

        Raises
        ------
        ScenarioError
            If the scenario's serving mode does not take that discipline.
        """
        dispatch = self.dispatch(scenario)
        if dispatch == scenario.dispatch:
            return scenario
        return scenario.with_overrides({"dispatch": dispatch.model_dump(mode="json")})

    def bind(self, context: Context) -> None:
        """Learn the scenario's public tables. Called before the first :meth:`act`, may recur.

        Per-environment state, if any, starts anew.
        """
        self.context = context

    def attach(self, simulator: Simulator) -> None:
        """See the simulator that it will play in; row k of it is row k of every :meth:`act`.

        Called after :meth:`bind`, where there is one: in evaluations, never in production. For
        planners that roll forward from its state (see :mod:`agents.lookahead`); the others need
        nothing of it.
        """

    @abstractmethod
    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide one pending request per row.

        Parameters
        ----------
        observations
            Shape (N, F); :class:`~splitenv.context.Context` reads them in their own units.
        masks
            Shape (N, A): which actions device and model can do.

        Returns
        -------
        numpy.ndarray
            Actions, shape (N,), int64, each allowed by its mask.
        """

    @property
    def split(self) -> Policy:
        """What decides, without the discipline that it names: of a pair, its split."""
        return self
