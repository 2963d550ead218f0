"""The learned policy: a trained actor behind the interface that all schedulers have."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from agents.network import SplitPolicy, Whole
from agents.policy import Actions, Masks, Observations, Parameter, Policy
from agents.ppo import BEST, CLASSES, UNREADABLE, Model, RunError, read_config
from agents.pressure import knob_of
from agents.vec_env import choices_of
from splitenv.context import Context
from splitenv.files import write_bytes
from splitenv.parts import Dispatch
from splitenv.scenario import Scenario
from splitenv.state import Tables
from splitenv.tables import build_tables

CALIBRATION = "calibration.json"


class SB3Policy(Policy):
    """The greedy policy of a trained actor: the possible action with the highest logit.

    Parameters
    ----------
    actor
        Maps observations and a knob, if it has one, to logits over the choices.
    trained_on
        What it was trained on: its observations and actions are those.
    dispatch
        The discipline of its training, which it runs under.
    name
        What reports call it.
    preference
        Where its knob stands: the violation price that it minds, as a multiple of the scenario's;
        None if it has no knob.
    limits
        Between which that lies.

    Attributes
    ----------
    graph
        The same from observations (N, F) to logits over all actions (N, A): what is exported. Made
        by :meth:`bind`.
    """

    name = "ppo"

    def __init__(
        self,
        actor: nn.Module,
        trained_on: Context,
        dispatch: Dispatch,
        name: str = "ppo",
        preference: float | None = None,
        limits: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        knobs = []
        if preference is not None:
            meaning = "price of a violation, as a multiple of the scenario's"
            known = Parameter(1.0, *limits, meaning, ratio=True)
            self.parameters = {"preference": known}
            self.aggressiveness = "preference"
            super().__init__(preference=preference)
            knobs = [knob_of(preference, limits)]
        else:
            super().__init__()
        self.name = name
        self.actor = actor.eval()
        self.choices = choices_of(trained_on.tables, dispatch)
        self._trained_on = trained_on
        self._dispatch = dispatch
        self.limits = limits
        self._knobs = torch.tensor(knobs)

    @classmethod
    def of(
        cls, model: Model, scenario: Scenario, name: str = "ppo", tables: Tables | None = None
    ) -> SB3Policy:
        """Look at a model's actor; it stays the model's, and learns with it.

        Parameters
        ----------
        scenario
            That it was trained on.
        tables
            Ready-made instead of the scenario's own.
        """
        trained_on = Context(tables or build_tables(scenario))
        policy = model.policy
        actor: nn.Module
        if isinstance(policy, SplitPolicy):
            actor, limits = policy.actor, policy.layout.preferences
            if limits is not None:
                start = float(np.clip(1.0, *limits))
                return cls(actor, trained_on, scenario.dispatch, name, start, limits)
        elif isinstance(policy, DQNPolicy):
            actor = policy.q_net.q_net
        else:
            actor = nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)
        return cls(actor, trained_on, scenario.dispatch, name)

    def at(self, preference: float) -> SB3Policy:
        """Turn the knob."""
        return SB3Policy(
            self.actor, self._trained_on, self._dispatch, self.name, preference, self.limits
        )

    def dispatch(self, scenario: Scenario) -> Dispatch:
        """The discipline of the training."""
        return self._dispatch

    def fingerprint(self) -> str:
        """SHA-256 of the actor's layers and weights."""
        digest = hashlib.sha256(repr((self.actor, self.choices.tolist())).encode())
        for tensor in self.actor.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def bind(self, context: Context) -> None:
        """Check that the scenario has the observations and actions of the training."""
        learned = (len(self._trained_on.features), self._trained_on.actions)
        offered = (len(context.features), context.actions)
        if learned != offered:
            raise RunError(
                f"{self.name} was trained on {learned[0]} features and {learned[1]} actions; "
                f"this scenario has {offered[0]} and {offered[1]}"
            )
        super().bind(context)
        self.graph = Whole(self.actor, self.choices.tolist(), offered[1], self._knobs)

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the possible action with the highest logit; among equals, the first."""
        seen = np.asarray(observations, np.float32)
        with torch.no_grad():
            logits = self.graph(torch.from_numpy(seen)).numpy()
        return np.asarray(np.where(masks, logits, -np.inf).argmax(axis=1), np.int64)


def load_policy(path: str | Path, preference: float | None = None) -> SB3Policy:
    """Load the best model of a run folder.

    Parameters
    ----------
    preference
        Where to put its knob; if not given, where the run's calibration puts it, or at the
        scenario's violation price as long as there is none.

    Raises
    ------
    RunError
        If there is no model, it can't be read, or has no knob.
    """
    folder = Path(path)
    config = read_config(folder)
    best = folder / BEST
    if not best.is_file():
        raise RunError(f"run {folder} has no {BEST}: its first evaluation is still to come")
    try:
        model = CLASSES[config["algorithm"]].load(best, device="cpu")
    except UNREADABLE as error:
        raise RunError(f"{best} can't be read: it is damaged or of another version") from error
    torch.set_num_threads(1)
    scenario = Scenario.model_validate(config["scenario"])
    policy = SB3Policy.of(model, scenario, f"ppo:{folder.resolve().name}")
    if "preference" not in policy.parameters:
        if preference is not None:
            raise RunError(f"run {folder} was trained without --preference-conditioned: no knob")
        return policy
    calibration = folder / CALIBRATION
    if preference is None and calibration.is_file():
        preference = json.loads(calibration.read_text(encoding="utf-8"))["preference"]
    return policy if preference is None else policy.at(preference)


def save_best(model: Model, folder: Path) -> None:
    """Write ``best.zip``, atomically, without the state of the training environments."""
    content = io.BytesIO()
    model.save(content, exclude=["_last_obs", "_last_episode_starts", "ep_info_buffer"])
    write_bytes(folder / BEST, content.getvalue())
