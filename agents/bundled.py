"""A bundle as a policy: what is shipped, judged as it would decide in production.

``bundle:PATH`` names a folder, ``bundle:sd-mobile`` one that is shipped under ``agents/bundles``;
``bundle:sd-mobile:knob=0.5`` sets the knob of a learned policy that has one. Needs onnxruntime, not
torch. The guards of the runtime scheduler, which fall back to a rule, are not part of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.policy import Actions, Masks, Observations, Parameter, Policy
from agents.registry import PolicyError
from splitenv.runtime.bundle import Bundle, read_bundle
from splitenv.runtime.policies import BundleError, GraphPolicy
from splitenv.scenario import Scenario

if TYPE_CHECKING:
    from splitenv.context import Context
    from splitenv.parts import Dispatch

FOLDER = Path(__file__).resolve().parent / "bundles"
"""Shipped bundles, one a scenario."""


class Bundled(Policy):
    """What a learned bundle decides.

    Parameters
    ----------
    bundle
        That was read and checked.
    knob
        Where its knob stands, -1 to 1; the bundle's own setting if not given.
    """

    name = "bundle"

    def __init__(self, bundle: Bundle, knob: float | None = None) -> None:
        graph = bundle.manifest.graph
        assert graph is not None
        assert bundle.graph is not None
        if graph.knob is None:
            super().__init__()
        else:
            meaning = "from cheap, -1, to rarely late, 1"
            known = Parameter(graph.knob.value, -1.0, 1.0, meaning)
            self.parameters = {"knob": known}
            self.aggressiveness = "knob"
            super().__init__(knob=graph.knob.value if knob is None else knob)
            knob = self.knob
        self.name = bundle.manifest.name
        self._bundle = bundle
        self._graph = GraphPolicy(bundle.graph, knob)
        self._trained_on = Scenario.model_validate(bundle.manifest.scenario.content)

    knob: float

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The discipline that the bundle was made for."""
        return self._trained_on.dispatch

    def fingerprint(self) -> str:
        """SHA-256 of the graph."""
        return hashlib.sha256(self._bundle.graph or b"").hexdigest()

    def bind(self, context: Context) -> None:
        """Check that the scenario has the observations and actions of the bundle."""
        made = self._bundle.context
        known = (len(made.features), made.actions)
        offered = (len(context.features), context.actions)
        if known != offered:
            raise PolicyError(
                f"{self.name} was made for {known[0]} features and {known[1]} actions; "
                f"this scenario has {offered[0]} and {offered[1]}"
            )
        super().bind(context)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the possible action with the highest logit; among equals, the first."""
        return self._graph.act(np.asarray(observations, np.float32), np.asarray(masks, np.bool_))


def load_bundled(reference: str, settings: dict[str, float]) -> Policy:
    """Make the policy of a bundle, by its folder or the name of a shipped one.

    Raises
    ------
    PolicyError
        If there is none, it is a rule's, or a setting is not accepted.
    """
    folder = FOLDER / reference if (FOLDER / reference).is_dir() else Path(reference)
    try:
        bundle = read_bundle(folder)
    except BundleError as error:
        raise PolicyError(str(error)) from error
    graph = bundle.manifest.graph
    if graph is None:
        rule = bundle.manifest.rule
        raise PolicyError(f"bundle {folder} is the rule {rule and rule.name}: name that instead")
    if set(settings) - ({"knob"} if graph.knob else set()):
        known = "knob=NUMBER only" if graph.knob else "no parameters"
        raise PolicyError(f"bundle {folder} takes {known}, got {', '.join(sorted(settings))}")
    try:
        return Bundled(bundle, settings.get("knob"))
    except ValueError as error:
        raise PolicyError(str(error)) from error
