"""What a policy is told before it acts: the public tables, and how to read an observation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from splitenv.actions import HOLD_LEVELS, encode
from splitenv.features import Feature, schema, unsoftsign
from splitenv.state import Array, Tables

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Context:
    """The public knowledge of a scenario, handed to ``Policy.bind``.

    Attributes
    ----------
    tables
        Placements, batch curves, device times, transfers, deadlines, actions.
    """

    tables: Tables

    @property
    def placements(self) -> int:
        """Placements of the model that has the most; observations have as many columns of each."""
        return int(self.tables.enter.shape[1])

    @property
    def actions(self) -> int:
        """Size of the action table."""
        return len(self.tables.action_placement)

    @property
    def hold_levels(self) -> tuple[float, ...]:
        """Shares of its slack that a request may spend waiting for companions."""
        return HOLD_LEVELS

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The observation schema."""
        return schema(self.placements)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {feature.name: column for column, feature in enumerate(self.features)}

    def value(self, observations: Array, name: str) -> Floats:
        """One feature in its own unit, shape (N,): the normalisation undone."""
        column = self._columns[name]
        values = np.asarray(observations[:, column], np.float64)
        if self.features[column].normalisation.startswith("softsign"):
            return np.asarray(unsoftsign(values), np.float64)
        return values

    def slack(self, observations: Array) -> Floats:
        """Predicted time left under each placement, in relative deadlines, shape (N, P)."""
        return np.asarray(unsoftsign(observations[:, : self.placements]), np.float64)

    def gpu_share(self, observations: Array) -> Floats:
        """Predicted GPU seconds of each placement over the model's all-cloud alone, (N, P)."""
        return np.asarray(observations[:, self.placements : 2 * self.placements], np.float64)

    def model(self, observations: Array) -> npt.NDArray[np.int64]:
        """Index of the model asked for, shape (N,)."""
        models = len(self.tables.placements)
        return np.rint(self.value(observations, "model") * models).astype(np.int64)

    def sla(self, observations: Array) -> npt.NDArray[np.int64]:
        """Index of the SLA class, shape (N,)."""
        classes = len(self.tables.deadline)
        return np.rint(self.value(observations, "sla") * classes).astype(np.int64)

    def deadline(self, observations: Array) -> Floats:
        """Relative deadline, s, shape (N,): the unit of slack and waits."""
        return np.asarray(self.tables.deadline[self.sla(observations)], np.float64)

    def possible(self, masks: Array) -> npt.NDArray[np.bool_]:
        """Which placements a request may take, shape (N, P)."""
        first = encode(np.arange(self.placements), np.zeros(self.placements, np.int64))
        return np.asarray(masks[:, first], np.bool_)

    def encode(self, placement: Array, hold_level: Array) -> npt.NDArray[np.int64]:
        """Actions of placements and hold levels (index into :attr:`hold_levels`)."""
        return np.asarray(encode(placement, hold_level), np.int64)
