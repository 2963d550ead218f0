"""The learned scheduler's network: a score for every placement, from the same weights for all.

A decision hangs on differences of a few hundredths of a deadline between one placement's slack and
the next's, which a plain network on raw features is slow to resolve. So every slack is spread over
soft steps, as are the features that tell a burst from a quiet hour. How safe a slack is hangs on
what may use it up: work on a device and transfers last longer or shorter than predicted, by so much
of what they last. So slack beside these is spread likewise, as is the knob, which moves how much of
it is enough:

    score(p, h) = w_h . tanh(A [steps(slack_p), steps(safety_p), gpu_p] + B [trunk, steps(knob)])
                  + c_p . trunk,    trunk = f(all features, steps(knob))

with A, B and w shared by all placements. What is learned of one placement holds for the next one,
and nothing hangs on what a device or GPU is called. docs/learning.md has the ablation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from splitenv.context import Context

MASKED = -1e8
"""Added to the logit of what cannot be chosen."""

SLACK_STEPS = np.linspace(-0.05, 0.45, 8)
SLACK_WIDTH = 0.04
"""Where slack, as a softsign of relative deadlines, is looked at closely."""

SAFETY_STEPS = np.linspace(-0.1, 1.0, 12)
SAFETY_WIDTH = 0.1
"""Where slack beside the device time and link time that a placement takes is looked at closely."""

UNCERTAIN = ("device_time", "network_time")
LEAST_UNCERTAIN = 0.02
"""What is predicted with error, and how much there is of it at least; relative deadlines."""

SPREAD = ("gpu_wait", "waiting", "uploading", "slack_left", "load_fast", "load_slow")
SPREAD_STEPS = np.linspace(0.1, 0.9, 9)
SPREAD_WIDTH = 0.1
"""Features that say how busy it is, and where they are looked at closely."""

KNOB_STEPS = np.linspace(-0.8, 0.8, 5)
KNOB_WIDTH = 0.3
"""Where the knob is looked at closely."""


@dataclass(frozen=True)
class Layout:
    """What the network needs to know of observations and choices; plain numbers.

    Attributes
    ----------
    features
        Columns of an observation.
    preferences
        Lowest and highest violation price that the knob behind them stands for, as multiples of the
        scenario's; None without a knob.
    placements
        The first so many columns are slacks, the next so many predicted GPU seconds.
    uncertain
        Columns of :data:`UNCERTAIN`.
    spread
        Columns of :data:`SPREAD`.
    column
        Of every choice: placement x hold levels + hold level.
    holds
        Hold levels that count, 1 where holds do not.
    privileged
        Columns behind all these that only the critic sees.
    """

    features: int
    preferences: tuple[float, float] | None
    placements: int
    uncertain: tuple[int, ...]
    spread: tuple[int, ...]
    column: tuple[int, ...]
    holds: int
    privileged: int = 0

    @classmethod
    def of(
        cls,
        context: Context,
        choices: np.ndarray[Any, Any],
        preferences: tuple[float, float] | None,
        privileged: int = 0,
    ) -> Layout:
        """Lay out a scenario's observations and these of its actions."""
        names = [feature.name for feature in context.features]
        tables = context.tables
        placement = np.asarray(tables.action_placement)[choices]
        levels = np.asarray(context.hold_levels)
        hold = np.searchsorted(levels, np.asarray(tables.action_hold)[choices])
        holds = int(hold.max()) + 1
        return cls(
            features=len(names),
            preferences=preferences,
            placements=context.placements,
            uncertain=tuple(names.index(name) for name in UNCERTAIN),
            spread=tuple(names.index(name) for name in SPREAD),
            column=tuple((placement * holds + hold).tolist()),
            holds=holds,
            privileged=privileged,
        )

    @property
    def knobs(self) -> int:
        """How many columns follow an observation for the knob: 0 or 1."""
        return 0 if self.preferences is None else 1

    @property
    def seen(self) -> int:
        """Columns that the actor sees."""
        return self.features + self.knobs


class Scorer(nn.Module):
    """The actor: observations (N, F) to logits over the choices (N, C)."""

    slack_steps: Tensor
    safety_steps: Tensor
    spread_steps: Tensor
    knob_steps: Tensor

    def __init__(self, layout: Layout, trunk: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.placements = layout.placements
        self.features = layout.features
        self.uncertain = list(layout.uncertain)
        self.spread = list(layout.spread)
        self.column = list(layout.column)
        self.register_buffer("slack_steps", torch.tensor(SLACK_STEPS, dtype=torch.float32))
        self.register_buffer("safety_steps", torch.tensor(SAFETY_STEPS, dtype=torch.float32))
        self.register_buffer("spread_steps", torch.tensor(SPREAD_STEPS, dtype=torch.float32))
        self.register_buffer("knob_steps", torch.tensor(KNOB_STEPS, dtype=torch.float32))
        turned = len(KNOB_STEPS) * layout.knobs
        wide = layout.seen + len(SPREAD_STEPS) * len(self.spread) + turned
        self.trunk = tanh_layers(wide, trunk)
        self.mix = nn.Linear(trunk[-1] + turned, width)
        self.local = nn.Linear(len(SLACK_STEPS) + len(SAFETY_STEPS) + 2, width, bias=False)
        self.own = nn.Linear(trunk[-1], layout.placements)
        self.head = nn.Linear(width, layout.holds)
        for layer in (self.own, self.head):
            nn.init.orthogonal_(layer.weight, 0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, observations: Tensor) -> Tensor:
        """Score every choice."""
        count = self.placements
        slack, gpu = observations[:, :count], observations[:, count : 2 * count]
        safety = self._safety(slack, gpu, observations[:, self.uncertain])
        close = torch.tanh((slack[:, :, None] - self.slack_steps) / SLACK_WIDTH)
        safe = torch.tanh((safety[:, :, None] - self.safety_steps) / SAFETY_WIDTH)
        local = torch.cat([close, safe, slack[:, :, None], gpu[:, :, None]], 2)
        busy = torch.tanh((observations[:, self.spread, None] - self.spread_steps) / SPREAD_WIDTH)
        knob = observations[:, self.features :, None]
        knob = torch.tanh((knob - self.knob_steps) / KNOB_WIDTH).flatten(1)
        trunk = self.trunk(torch.cat([observations, busy.flatten(1), knob], 1))
        hidden = torch.tanh(self.local(local) + self.mix(torch.cat([trunk, knob], 1))[:, None])
        scores = self.head(hidden) + self.own(trunk)[:, :, None]
        chosen: Tensor = scores.flatten(1)[:, self.column]
        return chosen

    def _safety(self, slack: Tensor, gpu: Tensor, uncertain: Tensor) -> Tensor:
        """Slack beside the device and link time that each placement takes, (N, P)."""
        cloud = torch.where(slack > -1.0, gpu, 0.0)  # share of the model: of its GPU time
        cloud = cloud / cloud.amax(1, keepdim=True).clamp_min(1e-3)
        device, link = _unbent(uncertain[:, :1]), _unbent(uncertain[:, 1:])
        lasts = device * (1.0 - cloud) + link * (cloud > 0.0)
        safety: Tensor = _unbent(slack) / (lasts + LEAST_UNCERTAIN)
        return safety


class Whole(nn.Module):
    """An actor over choices as one over the whole action table, its knob set: what is exported."""

    knobs: Tensor

    def __init__(self, actor: nn.Module, choices: list[int], actions: int, knobs: Tensor) -> None:
        super().__init__()
        self.actor = actor
        self.register_buffer("knobs", knobs.reshape(1, -1))
        place = {action: choice for choice, action in enumerate(choices)}
        self.source = [place.get(action, len(choices)) for action in range(actions)]

    def forward(self, observations: Tensor, knob: Tensor | None = None) -> Tensor:
        """Logits over actions, shape (N, A); what the policy never chooses has :data:`MASKED`.

        ``knob``, shape (1,), takes the place of where it is set.
        """
        knobs = self.knobs if knob is None else knob.reshape(1, -1)
        knobs = knobs.expand(observations.shape[0], -1)
        logits = self.actor(torch.cat([observations, knobs], 1))
        never = torch.full_like(logits[:, :1], MASKED)
        return torch.cat([logits, never], 1)[:, self.source]


class SplitPolicy(MaskableActorCriticPolicy):
    """Actor and critic for Stable-Baselines3, with a plain log-softmax instead of distributions.

    Parameters
    ----------
    layout
        Of observations and choices.
    trunk, width
        Widths of the tanh layers, and of the part that placements share.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Callable[[float], float],
        *,
        layout: Layout,
        trunk: tuple[int, ...],
        width: int,
        **others: Any,
    ) -> None:
        self._shape = (layout, trunk, width)  # read by _build, which super() calls
        super().__init__(observation_space, action_space, lr_schedule, **others)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        layout, trunk, width = self._shape
        given = super()._get_constructor_parameters()
        return given | {"layout": layout, "trunk": trunk, "width": width}

    def _build(self, lr_schedule: Callable[[float], float]) -> None:
        self.actor, self.critic = self._networks()
        self.optimizer = torch.optim.Adam(
            self.parameters(), lr=lr_schedule(1), eps=1e-5, fused=True
        )

    def _networks(self) -> tuple[nn.Module, nn.Module]:
        """Make actor and critic."""
        layout, trunk, width = self._shape
        actor = Scorer(layout, trunk, width)
        known = layout.seen + layout.privileged
        return actor, nn.Sequential(*tanh_layers(known, trunk), nn.Linear(trunk[-1], 1))

    @property
    def layout(self) -> Layout:
        """Of observations and choices."""
        return self._shape[0]

    def log_odds(self, observations: Tensor, masks: Any) -> Tensor:
        """Log probabilities of the choices, (N, C); ``masks`` likewise, or None."""
        logits = self.actor(observations[:, : self.layout.seen])
        if masks is not None:
            allowed = torch.as_tensor(masks, dtype=torch.float32).reshape(logits.shape)
            logits = logits + (1.0 - allowed) * MASKED
        return torch.log_softmax(logits, 1)

    def forward(
        self, obs: Tensor, deterministic: bool = False, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw choices; returns them, values (N, 1) and log probabilities (N,)."""
        odds = self.log_odds(obs, action_masks)
        actions = odds.argmax(1) if deterministic else _draw(odds)
        return actions, self.critic(obs), odds.gather(1, actions[:, None])[:, 0]

    def evaluate_actions(
        self, obs: Tensor, actions: Tensor, action_masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values (N, 1), log probabilities and entropies (N,) of choices made."""
        odds = self.log_odds(obs, action_masks)
        entropy = -(odds.exp() * odds).sum(1)
        return self.critic(obs), odds.gather(1, actions.long()[:, None])[:, 0], entropy

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values, shape (N, 1)."""
        return torch.as_tensor(self.critic(obs))

    def _predict(
        self, observation: Any, deterministic: bool = False, action_masks: Any = None
    ) -> Tensor:
        chosen: Tensor = self(observation, deterministic, action_masks)[0]
        return chosen


def _unbent(softsign: Tensor) -> Tensor:
    """Undo a softsign, at most to 50."""
    value: Tensor = softsign / (1.02 - softsign.abs())
    return value


def _draw(odds: Tensor) -> Tensor:
    """Draw from log probabilities; what has none is never drawn."""
    total = odds.exp().cumsum(1)
    at = torch.rand(len(odds), 1).clamp_min_(1e-7) * total[:, -1:]
    return torch.as_tensor((total < at).sum(1))


def tanh_layers(features: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Hidden layers of these widths, initialised as Stable-Baselines3 does."""
    layers: list[nn.Module] = []
    for width in widths:
        layer = nn.Linear(features, width)
        nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
        features = width
    return nn.Sequential(*layers)
