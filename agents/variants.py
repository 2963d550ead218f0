"""What ablations compare: ways to learn that differ in one part, made of the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.learned import SB3Policy
from agents.mixed_env import MixedVecEnv
from agents.network import SplitPolicy, tanh_layers
from agents.policy import Actions, Masks, Observations
from agents.ppo import Model, RunError, build_model
from agents.pressure import RewardScale
from agents.studies import StudyRun
from agents.vec_env import SplitVecEnv
from splitenv.features import schema
from splitenv.simulator import Simulator

Array = npt.NDArray[Any]

QUEUE_AND_LOAD = (
    "gpu_wait", "waiting", "waiting_others", "uploading", "idle_gpus", "hold_left", "slack_left",
    "load_fast", "load_slow", "rate_fast",
)  # fmt: skip
"""Features of queues, GPUs and load. (Predicted slack and GPU seconds have them in as well.)"""


@dataclass(frozen=True)
class Variant:
    """One way to learn.

    Attributes
    ----------
    change
        What differs from the shipped way, in words.
    settings
        Settings that differ.
    conditioned
        Whether the violation price is drawn and shown.
    kind
        The run, where its parts differ.
    """

    change: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    conditioned: bool = True
    kind: type[StudyRun] = StudyRun


class OtherNetwork(StudyRun):
    """A run with another network."""

    network: type[SplitPolicy]

    def make_model(self) -> Model:
        """Make the untrained model."""
        return build_model(
            self.config["algorithm"], self.env, self.settings, self.config["seed"], self.network
        )


class Hidden(nn.Module):
    """Sets columns of observations to zero."""

    shown: Tensor

    def __init__(self, width: int, columns: list[int]) -> None:
        super().__init__()
        shown = torch.ones(width)
        shown[columns] = 0.0
        self.register_buffer("shown", shown)

    def forward(self, observations: Tensor) -> Tensor:
        """Hide them."""
        return observations * self.shown


class BlindPolicy(SplitPolicy):
    """Actor and critic do not see :data:`QUEUE_AND_LOAD`."""

    def _networks(self) -> tuple[nn.Module, nn.Module]:
        layout = self.layout
        names = [feature.name for feature in schema(layout.placements)]
        columns = [names.index(name) for name in QUEUE_AND_LOAD]
        actor, critic = super()._networks()
        return (
            nn.Sequential(Hidden(layout.seen, columns), actor),
            nn.Sequential(Hidden(layout.seen + layout.privileged, columns), critic),
        )


class PlainPolicy(SplitPolicy):
    """The actor is Stable-Baselines3's own MLP: its layers, activation and initial weights."""

    def _networks(self) -> tuple[nn.Module, nn.Module]:
        layout, trunk, _ = self._shape
        _, critic = super()._networks()
        last = nn.Linear(trunk[-1], len(layout.column))
        nn.init.orthogonal_(last.weight, 0.01)
        nn.init.zeros_(last.bias)
        return nn.Sequential(*tanh_layers(layout.seen, trunk), last), critic


class BlindRun(OtherNetwork):
    """Without the features of queues and load."""

    network = BlindPolicy


class PlainRun(OtherNetwork):
    """With a plain network."""

    network = PlainPolicy


class UnprivilegedRun(StudyRun):
    """With a critic that sees what the actor sees."""

    privileged = False


class UnmaskedEnv(SplitVecEnv):
    """Offers everything; what cannot be done becomes all-cloud."""

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """All choices, shape (E, C)."""
        return np.ones((self.num_envs, len(self.choices)), np.bool_)


class UnmaskedPolicy(SB3Policy):
    """Chooses among everything."""

    def act(self, observations: Observations, masks: Masks) -> Actions:
        """Take the action with the highest logit."""
        return super().act(observations, np.ones_like(masks))


class UnmaskedRun(StudyRun):
    """Without masks, in training and in evaluation."""

    environment = UnmaskedEnv

    def policy(self) -> SB3Policy:
        """The policy as it is now."""
        return UnmaskedPolicy.of(self.model, self.scenario)


class OneScale(RewardScale):
    """Divides all rewards by the same, whatever load and price."""

    def __call__(self, reward: Array, ended: Array, stratum: Array) -> npt.NDArray[np.float32]:
        """Take in one step's rewards, shape (E,), and return them scaled."""
        return super().__call__(reward, ended, np.zeros_like(stratum))


class OneScaleRun(StudyRun):
    """With one reward scale for all loads and prices."""

    def make_env(self) -> MixedVecEnv:
        """Make the training environments."""
        env = super().make_env()
        for part in env.parts:
            part.scale = OneScale(part.num_envs, self.settings.discount)
        return env


class LateRewardEnv(SplitVecEnv):
    """Pays a request's whole cost in the step in which physics fixes it, nothing before.

    That is what the accounting books: the simulator's sums before and after a step. In the last
    step of an episode they hold the drain as well, which is nobody's reward; that step pays as
    ever. One in some thousand.

    Raises
    ------
    RunError
        If the pool has GPUs of several prices: attributed seconds are no cost then.
    """

    def __init__(self, simulator: Simulator, *parts: Any, **named: Any) -> None:
        prices = simulator.tables.price[simulator.tables.pool]
        if len(set(prices.tolist())) > 1:
            raise RunError("rewards cannot be paid late where GPUs differ in price")
        super().__init__(simulator, *parts, **named)
        self._second = float(prices[0]) / simulator.tables.norm
        self._before = self._booked()

    def step_async(self, actions: Array) -> None:
        """Take in the choices, shape (E,)."""
        super().step_async(actions)
        self._before = self._booked()

    def paid(self) -> Array:
        """What the accounting booked in the step just made, shape (E,), premium included."""
        gpu, violations = self._booked() - self._before
        premium = self.simulator.truth.stake["premium"][:, 0]  # the same for all device types
        late = -(gpu + premium * violations)
        return np.where(self.simulator.truncated, self.simulator.reward, late).astype(np.float32)

    def _booked(self) -> Array:
        """Cost of GPU time and of violations since the episode began, shape (2, E)."""
        metrics = self.simulator.truth.metrics
        gpu = self._second * metrics["attributed_seconds"]
        return np.stack([gpu, metrics["total_cost"] - gpu])


class LateRewardRun(StudyRun):
    """With rewards that come once physics has fixed them."""

    environment = LateRewardEnv


SHIPPED = "shipped"

VARIANTS: dict[str, Variant] = {
    SHIPPED: Variant("as shipped"),
    "cold-start": Variant("nothing imitated, same dispatch", {"imitation": 0}),
    "fixed-price": Variant("one violation price, no knob", conditioned=False),
    "discount-0.9": Variant("discount 0.9", {"discount": 0.9}),
    "discount-0.8": Variant("discount 0.8", {"discount": 0.8}),
    "no-masks": Variant("everything offered", kind=UnmaskedRun),
    "plain-network": Variant("Stable-Baselines3's MLP", kind=PlainRun),
    "one-scale": Variant("one reward scale for all loads and prices", kind=OneScaleRun),
    "no-queue-features": Variant("queues and load hidden", kind=BlindRun),
    "plain-critic": Variant("critic sees what the actor sees", kind=UnprivilegedRun),
    "late-reward": Variant("paid once physics has fixed it", kind=LateRewardRun),
}
"""The shipped way, and one change at a time; a line more is a variant more."""
