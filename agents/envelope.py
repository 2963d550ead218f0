"""Make the envelope of a learned policy, and see when it tells: ``python -m agents.envelope -h``.

An envelope says which observations a policy was trained on, see :mod:`splitenv.runtime.envelope`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agents.evaluation import play
from agents.policy import Actions, Masks, Observations, Policy
from agents.replay import Deployed
from splitenv.context import Context
from splitenv.profiles.figures import ProfileError
from splitenv.provenance import provenance, to_json
from splitenv.runtime import BundleError
from splitenv.runtime.bundle import Bundle, read_bundle
from splitenv.runtime.envelope import Envelope
from splitenv.runtime.manifest import EnvelopeEntry, Ranges
from splitenv.scenario import (
    HELD_OUT,
    Scenario,
    held_out_names,
    load_scenario,
    parse_overrides,
)
from splitenv.simulator import Simulator
from splitenv.state import Array
from splitenv.tables import build_tables

LEVELS = (0.001, 0.999)
"""Quantiles between which a feature's range lies."""
WITHIN = 0.99
"""Share of the training sample that counts as within: the others are the price of telling."""

WORLDS, STEPS, APART = 258, 512, 2
"""The training sample: worlds, decisions in each, and how many of those to each that is kept."""
_FIRST_SEED = 7_300_000

EPISODES = 16
PIPE_WIDTH = 120


def envelope_of(
    policy: Policy, scenario: Scenario, context: Context, training: Mapping[str, Any]
) -> EnvelopeEntry:
    """Make the envelope of a learned policy.

    Parameters
    ----------
    scenario, context
        That it was made for, under its dispatch discipline, and what is public of it.
    training
        What is recorded of its training.
    """
    worlds = worlds_of_training(scenario, training)
    sample = training_sample(policy, worlds)
    policy.bind(context)
    return fit(sample, context)


def worlds_of_training(scenario: Scenario, training: Mapping[str, Any]) -> list[Scenario]:
    """The scenario under the loads, and with the GPUs, that a run's record says; its own first."""
    if "settings" not in training:
        return [scenario]
    # Not at the top: it needs torch.
    from agents.ppo import PPOSettings, training_worlds

    return training_worlds(scenario, PPOSettings.model_validate(training["settings"]))


def training_sample(
    policy: Policy, scenarios: Sequence[Scenario], seed: int = _FIRST_SEED
) -> Observations:
    """Play a policy in the worlds that its training draws, and keep observations, (N, F).

    A policy with a knob plays a third of them at each of its ends, and a third where it stands.
    """
    kept = []
    for scenario in scenarios:
        for settled in _along_the_knob(policy):
            simulator = Simulator(scenario, WORLDS // (3 * len(scenarios)), randomise=True)
            settled.bind(Context(simulator.tables))
            simulator.seed(range(seed, seed + simulator.envs))
            simulator.reset()
            seed += simulator.envs
            for step in range(STEPS):
                if step % APART == 0:
                    kept.append(simulator.observation.copy())
                simulator.step(settled.act(simulator.observation, simulator.mask))
    return np.concatenate(kept)


def _along_the_knob(policy: Policy) -> list[Policy]:
    """Three settings of a learned policy; the same one where it has no knob."""
    if policy.aggressiveness is None or not hasattr(policy, "at"):
        return [policy] * 3
    knob = policy.parameters[policy.aggressiveness]
    return [policy.at(knob.low), policy, policy.at(knob.high)]


def fit(observations: Observations, context: Context) -> EnvelopeEntry:
    """Fit the envelope of a training sample, shape (N, F), of the context's scenario."""
    kind = np.column_stack([context.model(observations), context.sla(observations)])
    kinds = []
    for model, sla in np.unique(kind, axis=0).tolist():
        of_kind = observations[(kind == (model, sla)).all(axis=1)]
        low, high = np.quantile(of_kind.astype(np.float64), LEVELS, axis=0).tolist()
        kinds.append(Ranges(model=model, sla=sla, low=low, high=high))
    entry = EnvelopeEntry(
        kinds=kinds, levels=LEVELS, reach=0.0, within=WITHIN, rows=len(observations)
    )
    distance = Envelope(entry, context).distances(observations).max(axis=1)
    return entry.model_copy(update={"reach": float(np.quantile(distance, WITHIN))})


@dataclass(frozen=True)
class Seen:
    """How often an envelope tells in a scenario, and what comes of it.

    Attributes
    ----------
    outside
        Share of decisions that are outside.
    feature
        That which lies farthest outside in most of them; empty if none does.
    guarded, bare, fallback
        Mean cost of a request when the fallback rule decides what is outside, nothing, and
        everything.
    """

    scenario: str
    outside: float
    feature: str
    guarded: float
    bare: float
    fallback: float


class _Watched(Policy):
    """A deployed policy, and what its envelope says of every observation."""

    name = "watched"

    def __init__(self, deployed: Deployed, envelope: Envelope) -> None:
        super().__init__()
        self.deployed, self.envelope = deployed, envelope
        self.decisions = 0
        self.strangest: list[Array] = []

    def act(self, observations: Observations, masks: Masks) -> Actions:
        outside = self.envelope.outside(observations)
        self.decisions += len(outside)
        self.strangest.append(self.envelope.distances(observations[outside]).argmax(axis=1))
        return self.deployed.act(observations, masks)


class _Fallback(Policy):
    """A bundle's fallback rule alone."""

    name = "fallback"

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.rule = bundle.fallback()

    def act(self, observations: Observations, masks: Masks) -> Actions:
        return self.rule.act(observations, masks)


def watch(
    bundle: Bundle, scenario: Scenario, episodes: int, seed: int = 0, randomise: bool = False
) -> Seen:
    """Play a bundle's learned policy in a scenario, under the bundle's dispatch discipline.

    Raises
    ------
    BundleError
        If the bundle has no envelope, or the scenario other features or actions.
    """
    envelope = bundle.envelope()
    if envelope is None:
        raise BundleError(f"{bundle.manifest.name} is a rule: it was not trained, so has no bounds")
    made_for = Scenario.model_validate(bundle.manifest.scenario.content)
    scenario = scenario.with_overrides({"dispatch": made_for.dispatch.model_dump(mode="json")})
    there = replace(bundle, tables=build_tables(scenario))
    if len(there.context.features) != len(bundle.context.features):
        raise BundleError(
            f"{bundle.manifest.name} observes {len(bundle.context.features)} features, and "
            f"{scenario.name} has {len(there.context.features)}"
        )
    trusting = replace(there, manifest=there.manifest.model_copy(update={"envelope": None}))
    watched = _Watched(Deployed(there), envelope)
    costs = []
    for policy in (watched, Deployed(trusting), _Fallback(there)):
        simulator = Simulator(scenario, episodes, randomise=randomise)
        play(policy, simulator, seed + np.arange(episodes))
        ledger = simulator.ledger
        costs.append(float(ledger["cost"].sum() / ledger["requests"].sum()))
    strangest = np.concatenate(watched.strangest)
    most = bundle.context.features[np.bincount(strangest).argmax()].name if len(strangest) else ""
    return Seen(
        scenario.name + (", randomised" if randomise else ""),
        len(strangest) / watched.decisions,
        most,
        *costs,
    )


def _of(bundle: Bundle) -> list[str]:
    """The held-out scenarios that derive from the one that a bundle was made for."""
    start = f"{HELD_OUT}/{bundle.manifest.scenario.name}-"
    return [name for name in held_out_names() if name.startswith(start)]


def _table(rows: Sequence[Seen], bundle: Bundle) -> Table:
    view = Table(
        title=f"{bundle.manifest.name}, trained on {bundle.manifest.scenario.name}",
        caption="cost of a request: when the fallback rule decides what is outside, nothing, all",
        header_style="bold",
    )
    view.add_column("scenario", no_wrap=True)
    for head in ("outside %", "mostly by", "guarded", "bare", "fallback"):
        view.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        costs = (f"{cost:.3f}" for cost in (row.guarded, row.bare, row.fallback))
        view.add_row(row.scenario, f"{100 * row.outside:.1f}", row.feature, *costs)
    return view


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be watched is one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m agents.envelope",
        description="Say how often a bundle's policy is outside what it was trained on.",
        epilog="example: python -m agents.envelope bundles/x --set load=3.6",
    )
    parser.add_argument("bundle", type=Path, help="of a learned policy")
    parser.add_argument(
        "--scenario",
        action="append",
        help="where it is to be played; its own, in training and as it is, and its held-out ones",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override the scenarios"
    )
    parser.add_argument("--episodes", type=int, default=EPISODES, help="in each scenario")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(arguments)
    if options.episodes < 1:
        parser.error(f"--episodes must be 1 or more, got {options.episodes}")
    try:
        bundle = read_bundle(options.bundle)
        rows = _watch_all(bundle, options)
    except (ProfileError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if options.json:
        said = {
            "bundle": bundle.manifest.name,
            "trained_on": bundle.manifest.scenario.name,
            "overrides": options.set,
            "episodes": options.episodes,
            "rows": [asdict(row) for row in rows],
            "provenance": provenance(),
        }
        print(to_json(said), end="")
    else:
        Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(_table(rows, bundle))


def _watch_all(bundle: Bundle, options: argparse.Namespace) -> list[Seen]:
    overrides = parse_overrides(options.set)
    if options.scenario:
        return [
            watch(bundle, load_scenario(name, overrides), options.episodes)
            for name in options.scenario
        ]
    own = Scenario.model_validate(bundle.manifest.scenario.content).with_overrides(overrides)
    world, *_ = worlds_of_training(own, bundle.manifest.training)
    others = [load_scenario(name, overrides) for name in _of(bundle)]
    return [
        watch(bundle, world, options.episodes, randomise=True),
        *(watch(bundle, each, options.episodes) for each in (own, *others)),
    ]


if __name__ == "__main__":
    main()
