"""The decision problem as a Gymnasium environment; its class docstring is the specification."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete, Space

from splitenv.context import Context
from splitenv.features import bounds
from splitenv.scenario import Scenario, load_scenario
from splitenv.simulator import NO_RESET, Simulator
from splitenv.truth import METRICS

__all__ = ["SplitInferenceEnv", "spaces", "valid_seed"]

Observation = npt.NDArray[np.float32]
Action = int | np.integer[Any]
Info = dict[str, Any]

METADATA: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}
"""What Gymnasium asks of an environment: how it can be rendered."""


class SplitInferenceEnv(gymnasium.Env[Observation, Action]):
    """Decide for each request what the cloud runs and how long it may wait for company.

    Phones ask for an image or a classification, each by a deadline. A model is a chain of units;
    the cloud can run some of them and the device the rest. The cloud batches requests on a few
    GPUs. Spend as few GPU seconds as you can, and let no request miss its deadline.

    **Epoch.** One decision per request, at its arrival: a semi-Markov decision process. A step
    carries out the decision, runs the world to the next arrival and shows that request.

    **Action.** ``Discrete(A)`` over a table of (placement, hold) pairs. A placement is what the
    cloud runs; placements stand by split ratio, the share of the model's cloud compute that the
    cloud runs. Action 0 is all-device, which has no hold; then, for each other placement up to
    all-cloud, one action per hold level 0, 1/8, 1/4, 1/2, 3/4: the share of its slack that the
    request, once ready, may wait for companions (:mod:`splitenv.actions`).

    **Masks.** :meth:`action_masks` has shape (A,): the pairs that this device and model can do.
    A pair that is masked is carried out as all-cloud without a hold. A number outside the table is
    an error.

    **Observation.** A flat float32 vector in a finite ``Box``, by a named and ordered schema
    (:func:`splitenv.features.schema`). For each placement, the slack that is predicted (time left
    at the predicted completion, in relative deadlines), then for each the GPU seconds predicted
    with the expected companions; then the request, its device and link, the queue, the GPUs, the
    load and the batch curve. It knows what a scheduler knows: profiled speeds, reported rates and
    RTT, predicted ready times until the ready event, a causal estimate of arrivals; never a
    realised device time before an event shows it, never the future. After the last step it shows
    the request that the next decision would be about.

    **Reward.** Minus cost. Cost is GPU seconds, in all-cloud requests alone (the scenario's mean),
    plus the violation price for each request that completes after its deadline or never. A decision
    pays its predicted cost at once; the difference to the truth is paid in the step in which
    physics fixes it: at arrival for all-device, at the launch of its batch, or when it is dropped.

    **Episode.** ``scenario.decisions`` steps from an empty system, then truncated, never
    terminated: bootstrap from the last observation. What is still in flight is then run to its end;
    it counts in the metrics and is paid to nobody.

    **Info.** After each step ``cost/gpu`` and ``cost/violations``, the terms of the cost: reward is
    minus their sum. After the last also ``episode_metrics``, the sums over the episode and its
    drain (:data:`splitenv.state.METRICS`); what is compared there counts requests that arrived
    after the warm-up and before the cool-down, ``scenario.warmup`` at each end.

    **Randomness.** Every random quantity is a function of (seed, episode, request or second,
    purpose), never of actions. ``reset(seed=s)`` starts episode 1 of seed s, ``reset()`` the next
    one. Same seed and same actions give the same floats, alone or as a row of
    :class:`~splitenv.vector_env.SplitInferenceVectorEnv`; two policies under one seed meet the same
    requests, links and devices.

    Parameters
    ----------
    scenario
        A scenario's name, a path to one that ends in ``.yaml``, or the scenario itself.
    overrides
        Fields to replace, by dotted name, such as ``{"load": 1.4, "pool.count": 4}``.
    randomise
        Redraw load, links, devices and pool at each reset, within ``scenario.randomise``.
    render_mode
        ``ansi``: a few lines on what the scheduler sees and did last; ``rgb_array``: a timeline of
        the last requests.

    Attributes
    ----------
    scenario
        What an episode is.
    simulator
        The simulation below, with one row.

    Raises
    ------
    ScenarioError
        If there is no such scenario, or it cannot be used.
    """

    metadata = METADATA

    def __init__(
        self,
        scenario: str | Scenario = "sd-mobile",
        overrides: Mapping[str, Any] | None = None,
        randomise: bool = False,
        render_mode: str | None = None,
    ) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode {render_mode!r} is not one of {', '.join(modes)}")
        self.render_mode = render_mode
        self.scenario = load_scenario(scenario, overrides)
        self.simulator = Simulator(
            self.scenario, 1, randomise=randomise, record=render_mode is not None
        )
        self.observation_space, self.action_space = spaces(self.simulator)
        self._actions = self.simulator.actions
        self._action = np.zeros(1, np.int64)
        self._seeded = False
        self._running = False

    @cached_property
    def context(self) -> Context:
        """What a policy is bound to: the scenario's public tables."""
        return Context(self.simulator.tables)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start episode 1 of ``seed``, or the next episode of the seed in use.

        Raises
        ------
        ValueError
            If the seed is not in 0 to 2^64 - 1, or ``options`` are given: there are none.
        """
        reject_options(options)
        if seed is not None:
            valid_seed(seed)
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**63))
        if seed is not None:
            self.simulator.seed([seed])
            self._seeded = True
        self.simulator.reset()
        self._running = True
        return self.simulator.observation[0].copy(), {}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, Info]:
        """Decide the pending request and move to the next one.

        Raises
        ------
        ResetNeeded
            Before the first reset, and after the last step of an episode.
        ValueError
            If the action is no integer of the table.
        """
        if not self._running:
            raise ResetNeeded("there is no request to decide: call reset() first")
        if type(action) is not int or not 0 <= action < self._actions:
            self._check(action)
        self._action[0] = action
        simulator = self.simulator
        simulator.step(self._action, NO_RESET)
        gpu, violations = simulator.terms[0].tolist()
        info: Info = {"cost/gpu": gpu, "cost/violations": violations}
        truncated: bool = simulator.truncated.item()
        if truncated:
            self._running = False
            sums = simulator.finished[0].tolist()
            info["episode_metrics"] = dict(zip(METRICS.names or (), sums, strict=True))
        return simulator.observation[0].copy(), simulator.reward.item(), False, truncated, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which actions the pending request's device and model can do, shape (A,)."""
        return np.array(self.simulator.mask[0])

    def render(self) -> Any:
        """Show the pending request and what led to it, as ``render_mode`` says."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode shows nothing; give it to make()")
            return None
        # Drawing needs matplotlib, and most environments never draw.
        from splitenv import viewer

        return viewer.ansi(self) if self.render_mode == "ansi" else viewer.rgb(self)

    def _check(self, action: Any) -> None:
        if not self.action_space.contains(action):
            last = self._actions - 1
            raise ValueError(f"action {action!r} is outside the space: an integer from 0 to {last}")


def spaces(simulator: Simulator) -> tuple[Space[Any], Discrete]:
    """Observation and action space of one environment."""
    low, high = bounds(simulator.tables.enter.shape[1])
    return Box(low, high, dtype=np.float32), Discrete(simulator.actions)


def valid_seed(seed: int) -> int:
    """Return a seed that fits the counters, or raise a ValueError."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"seed {seed!r} is not an integer from 0 to 2^64 - 1")
    return int(seed)


def reject_options(options: Mapping[str, Any] | None) -> None:
    """Raise a ValueError if any option is given."""
    if options:
        raise ValueError(f"reset has no option {next(iter(options))!r}: options must be empty")
