"""A bundle's policy in simulated episodes, and the states that it met there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.evaluation import Outcomes, run_episodes
from agents.policy import Actions, Masks, Observations, Policy
from splitenv.context import Context
from splitenv.parts import Dispatch
from splitenv.runtime.bundle import Bundle
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator
from splitenv.state import Array


class Exported(Policy):
    """What a bundle is about, learned or rule, without the guard that the runtime puts over it.

    Parameters
    ----------
    bundle
        A bundle that has been checked.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.name = bundle.manifest.name
        self._graph = bundle.graph or b""
        self._policy = bundle.policy()

    def fingerprint(self) -> str:
        """SHA-256 of a learned policy's graph."""
        return hashlib.sha256(self._graph).hexdigest() if self._graph else ""

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide as the bundle's graph or rule does."""
        return self._policy.act(observations, masks)


class Watched(Policy):
    """Decides as another policy does, and keeps what it saw and did.

    Parameters
    ----------
    policy
        Whom to watch.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.name = policy.name
        self.policy = policy
        self._chunks: list[list[tuple[Array, Array, Array]]] = []

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The other's discipline."""
        return self.policy.dispatch(scenario)

    def bind(self, context: Context) -> None:
        """Bind the other; further episodes begin."""
        super().bind(context)
        self.policy.bind(context)
        self._chunks.append([])

    def attach(self, simulator: Simulator) -> None:
        """Attach the other."""
        self.policy.attach(simulator)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Decide as the other does."""
        actions = self.policy.act(observations, masks)
        self._chunks[-1].append((observations.copy(), masks.copy(), actions))
        return actions

    def seen(self) -> tuple[Array, Array, Array]:
        """Observations, masks and actions, an episode after the other, a decision a row."""
        parts = []
        for chunk in self._chunks:
            steps = (np.stack(each, axis=1) for each in zip(*chunk, strict=True))
            parts.append([each.reshape(-1, *each.shape[2:]) for each in steps])
        observations, masks, actions = (np.concatenate(each) for each in zip(*parts, strict=True))
        return observations, masks, actions


@dataclass(frozen=True)
class States:
    """Decisions of whole episodes, one a row.

    Attributes
    ----------
    observations, masks, actions
        What the policy saw, might do and did, shapes (N, F), (N, A), (N,).
    record
        What became of the request, dtype RECORD, shape (N,).
    outcomes
        How the policy did in those episodes.
    """

    observations: Observations
    masks: Masks
    actions: npt.NDArray[np.int64]
    record: Array
    outcomes: Outcomes


def visit(policy: Policy, scenario: Scenario, episodes: int, seed: int) -> States:
    """Play episodes and keep every decision; episode k has seed ``seed + k``."""
    watched = Watched(policy)
    records: list[Array] = []

    def keep(record: Array) -> None:
        records.append(record.copy())

    outcomes = run_episodes(watched, scenario, episodes, seed, keep=keep)
    return States(*watched.seen(), np.concatenate(records).ravel(), outcomes)


def scenario_of(bundle: Bundle) -> Scenario:
    """The scenario that a bundle was made for, its discipline included."""
    return Scenario.model_validate(bundle.manifest.scenario.content)
