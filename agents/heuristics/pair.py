"""Any split with any batching: a split decides each request, a batching rule serves them.

A pair is spelled ``SPLIT+BATCHING``, such as ``latency-bound+symphony``. Its parameters are those
of both; a batching rule's that the split has too takes the prefix ``batching_``. Its aggressiveness
is the split's, or the batching rule's where the split has none or its margin buys nothing.

The split predicts as it does alone: the observation knows queues and GPUs, but of the ways in which
a discipline lets requests wait only the holds. What a window adds to the latency is left to the
margin, which is tuned with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.heuristics.batching import Batching
from agents.policy import Actions, Masks, Observations, Policy

if TYPE_CHECKING:
    from splitenv.context import Context
    from splitenv.parts import Dispatch
    from splitenv.scenario import Scenario

SEPARATOR = "+"
PREFIX = "batching_"


class Pair(Policy):
    """A split under the discipline of a batching rule.

    Parameters
    ----------
    split
        Decides placement and hold.
    batching
        Names the discipline.
    **values
        Values of the parameters of both; those not given take their defaults.

    Raises
    ------
    ValueError
        If a parameter is unknown or out of its range; one sentence.
    """

    def __init__(self, split: type[Policy], batching: type[Batching], **values: float) -> None:
        self.name = f"{split.name}{SEPARATOR}{batching.name}"
        spelled = {
            key: PREFIX + key if key in split.parameters else key for key in batching.parameters
        }
        renamed = {spelled[key]: known for key, known in batching.parameters.items()}
        knob = spelled.get(batching.aggressiveness or "")
        self.parameters = {**split.parameters, **renamed}
        first, second = split.aggressiveness, knob
        if batching.spends_slack:
            first, second = second, first
        self.aggressiveness = first or second
        super().__init__(**values)
        self._split = split(**{key: getattr(self, key) for key in split.parameters})
        self._batching = batching(**{key: getattr(self, spelled[key]) for key in spelled})

    @property
    def split(self) -> Policy:
        """The split, which decides whatever the discipline."""
        return self._split

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The batching rule's discipline."""
        return self._batching.dispatch(scenario)

    def bind(self, context: Context) -> None:
        """Bind the split."""
        super().bind(context)
        self._split.bind(context)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide as the split does."""
        return self._split.act(observations, masks)

    def describe(self) -> dict[str, Any]:
        """Say what decides, and under which batching rule."""
        return {**super().describe(), "split": self._split.name, "batching": self._batching.name}
