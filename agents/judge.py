"""Judge a suite: every policy at every operating point, at equal attainment.

A *cell* is a scenario under a load. In each, every policy plays the same episodes at each of its
settings; :mod:`agents.curves` says what it costs at each target, against all-cloud, and
:func:`across` puts cells together.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.bounds.gaps import Floors, above_at, bound_figures
from agents.bounds.pieces import bound_items, bound_of
from agents.crossings import crossings
from agents.curves import Curve, area_between, cost_at, curve, effective_target, saving_at
from agents.evaluation import CHUNK, description
from agents.figures import attainment_by, breakdown, figures, latencies
from agents.items import ATTAINABLE, Item, Piece, policy_of
from agents.measures import Tally, join
from agents.registry import PolicyError
from agents.runner import Progress, Runner
from agents.statistics import Floats, Interval, interval, ratio, resamples
from agents.suite import Load, Suite, settings_of, tuned_spec, under_load
from splitenv.context import Context
from splitenv.scenario import Scenario
from splitenv.tables import build_tables

ALL_CLOUD = "all-cloud"
MOST_EPISODES = 1024

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """A policy's settings.

    Attributes
    ----------
    label
        What reports call the policy.
    specs
        In the order of its knob.
    own
        Place of the setting that it came with.
    """

    label: str
    specs: tuple[str, ...]
    own: int


@dataclass(frozen=True)
class Point:
    """An operating point to be judged, and who plays there.

    Attributes
    ----------
    scenario, load
        What reports call it.
    world
        The scenario under that load.
    episodes, most
        That are played at first, and at most.
    piece
        Episodes of an item.
    """

    scenario: str
    load: str
    world: Scenario
    sweeps: tuple[Sweep, ...]
    episodes: int
    most: int = MOST_EPISODES
    piece: int = CHUNK

    def specs(self) -> list[str]:
        """All that plays: what could be had, all-cloud, and every setting."""
        specs = [ATTAINABLE, ALL_CLOUD, *(spec for sweep in self.sweeps for spec in sweep.specs)]
        return list(dict.fromkeys(specs))

    def items(self, spec: str, first: int, episodes: int) -> list[Item]:
        """The pieces in which a policy plays episodes ``first`` to ``first + episodes - 1``."""
        last = first + episodes
        return [
            Item(self.world, spec, start, min(self.piece, last - start))
            for start in range(first, last, self.piece)
        ]


@dataclass(frozen=True)
class Standing:
    """How one policy did in a cell.

    Attributes
    ----------
    label, policy
        Its name, and its own description.
    figures, tiers, groups
        Of its own setting; as in :class:`agents.evaluation.Evaluation`.
    settings
        Of each setting: its description, violations and GPU cost.
    cost, saving
        GPU cost at each target, and what it saves against all-cloud; infinite where the policy does
        not get there. Also at what can be asked for in place of a target.
    above
        GPU cost above the bound at each target, as a share of the bound, in the episodes that the
        bound covers; empty without a bound.
    crossings
        What crossed the network, see :func:`agents.crossings.crossings`.
    learned
        Whether it is a learned policy, and no rule.
    area
        Mean saving against the suite's reference over all violations that both can have.
    curve, savings, cost_savings
        What those were computed from, by resample.
    """

    label: str
    policy: dict[str, Any]
    figures: dict[str, Interval]
    tiers: dict[str, Interval]
    groups: dict[str, dict[str, Any]]
    settings: tuple[dict[str, Any], ...]
    cost: dict[float, Interval]
    saving: dict[float, Interval]
    above: dict[float, Interval]
    crossings: list[dict[str, Any]]
    learned: bool
    area: Interval
    curve: Curve = field(repr=False)
    savings: dict[float, Floats] = field(repr=False)
    cost_savings: Floats = field(repr=False)


@dataclass(frozen=True)
class Cell:
    """A scenario under a load, judged.

    Attributes
    ----------
    effective
        What can be asked for in place of each target, see
        :func:`agents.curves.effective_target`.
    floors
        The bound; None if it was not asked for.
    """

    point: Point
    episodes: int
    attainable: Interval
    attainable_by: dict[str, dict[str, Interval]]
    effective: dict[float, float]
    standings: tuple[Standing, ...]
    floors: Floors | None = None

    def best(self, target: float) -> Standing | None:
        """Who is cheapest at a target; None if nobody gets there."""
        able = [each for each in self.standings if np.isfinite(each.cost[target].value)]
        return min(able, key=lambda each: each.cost[target].value, default=None)

    def best_rule(self, target: float) -> Standing | None:
        """Which rule is cheapest at a target; None if none gets there."""
        rules = [each for each in self.standings if not each.learned]
        able = [each for each in rules if np.isfinite(each.cost[target].value)]
        return min(able, key=lambda each: each.cost[target].value, default=None)

    def level_with(self, best: Standing, target: float) -> list[str]:
        """Who else's saving at a target cannot be told from the best one's."""
        labels = []
        for other in self.standings:
            if other is not best and np.isfinite(other.saving[target].value):
                with np.errstate(invalid="ignore"):  # of resamples where neither gets there
                    more = best.savings[target] - other.savings[target]
                if not interval(more, self.episodes).low > 0.0:
                    labels.append(other.label)
        return labels


def points_of(suite: Suite, overrides: dict[str, object], lookahead: bool, say: Say) -> list[Point]:
    """List a suite's operating points.

    Parameters
    ----------
    overrides
        Fields of every scenario to replace.
    lookahead
        Whether the slow upper rival plays along where the suite says.
    say
        Told which policy is left out where it does not fit a scenario.

    Raises
    ------
    PolicyError, ScenarioError
        If something that the suite names cannot be used.
    """
    points = []
    for scenario in suite.scenarios:
        for name, load in suite.loads.items():
            world = under_load(scenario, load, overrides)
            tuned = suite.tuned_as.get(scenario, world.name)
            sweeps = _sweeps(suite.policies, world, tuned, load, name, say)
            points.append(Point(scenario, name, world, sweeps, suite.episodes))
    if lookahead:
        points.append(_with_lookahead(suite, overrides, say))
    return points


def _with_lookahead(suite: Suite, overrides: dict[str, object], say: Say) -> Point:
    """The point at which the slow upper rival plays along: a piece of it is one episode."""
    at = suite.lookahead
    if at is None:
        raise PolicyError(f"suite {suite.name} names no operating point for --with-lookahead")
    load = suite.loads[at.load]
    world = under_load(at.scenario, load, {**overrides, "decisions": at.decisions})
    name = f"{at.load}, with {at.policy}"
    tuned = suite.tuned_as.get(at.scenario, world.name)
    sweeps = _sweeps((*suite.policies, at.policy), world, tuned, load, name, say)
    return Point(at.scenario, name, world, sweeps, at.episodes, most=at.episodes, piece=1)


def _sweeps(
    policies: tuple[str, ...], world: Scenario, tuned: str, load: Load, name: str, say: Say
) -> tuple[Sweep, ...]:
    """Sweep all-cloud and the policies, as tuned, those left out that do not fit the scenario."""
    specs = dict.fromkeys((ALL_CLOUD, *policies))
    sweeps = [_sweep(spec, tuned, load.points) for spec in specs]
    return tuple(sweep for sweep in sweeps if _fits(sweep, world, name, say))


def _sweep(spec: str, scenario: str, points: int) -> Sweep:
    specs, own = settings_of(tuned_spec(spec, scenario), points)
    return Sweep(spec, tuple(specs), own)


def _fits(sweep: Sweep, world: Scenario, load: str, say: Say) -> bool:
    policy = policy_of(sweep.specs[sweep.own])
    under = policy.under(world)
    if not policy.fingerprint():
        return True
    try:
        policy.bind(Context(build_tables(under)))
    except PolicyError as error:
        say(f"left out of {world.name} under {load}: {error}")
        return False
    return True


def play_all(
    points: Iterable[Point],
    runner: Runner,
    suite: Suite,
    seed: int,
    precision: float | None,
    progress: Callable[[int], Progress],
    bounded: int = 0,
) -> list[Cell]:
    """Play and judge every point.

    Parameters
    ----------
    seed
        Episode k has seed ``seed + k``.
    precision
        Double the episodes of a point, up to :data:`MOST_EPISODES`, until the 95% intervals of
        every policy's own saving and attainment are no wider than this on either side.
    progress
        Given a number of items to come, returns what to call with the number done.
    bounded
        Episodes of each point, from the first on, that the bound covers.
    """
    points = list(points)
    episodes = {place: point.episodes for place, point in enumerate(points)}
    judged: dict[int, Cell] = {}
    wanted = list(episodes)
    while wanted:
        items: list[Piece[Any]] = [
            item
            for place in wanted
            for spec in points[place].specs()
            for item in points[place].items(spec, seed, episodes[place])
        ]
        for place in wanted:
            covered = min(bounded, episodes[place])
            items += bound_items(points[place].world, seed, covered)
        runner.run(items, progress(len(items)))
        for place in wanted:
            judged[place] = judge_point(
                points[place], runner, suite, seed, episodes[place], bounded
            )
        wanted = [
            place
            for place in wanted
            if precision is not None
            and 2 * episodes[place] <= points[place].most
            and not within(judged[place], precision)
        ]
        episodes |= {place: 2 * episodes[place] for place in wanted}
    return [judged[place] for place in sorted(judged)]


def within(cell: Cell, precision: float) -> bool:
    """Whether the intervals of all savings and attainments in a cell are narrow enough."""
    return all(
        each.figures[name].half <= precision
        for each in cell.standings
        for name in ("saving", "attainment")
    )


def judge_point(
    point: Point, runner: Runner, suite: Suite, seed: int, episodes: int, bounded: int = 0
) -> Cell:
    """Judge the policies at one point by these episodes."""

    def tally_of(spec: str) -> Tally:
        return join([runner.load(item) for item in point.items(spec, seed, episodes)])

    stream = zlib.crc32(f"{point.scenario} {point.load}".encode())
    weights = resamples(episodes, seed, stream)
    could = tally_of(ATTAINABLE)
    attainable = ratio(could.of("in_time"), could.of("requests"), weights)
    effective = {target: effective_target(target, attainable.value) for target in suite.targets}
    targets = {*suite.targets, *effective.values()}
    reference = tally_of(ALL_CLOUD)
    played = {sweep.label: [tally_of(spec) for spec in sweep.specs] for sweep in point.sweeps}
    base = played.get(suite.reference)
    other = curve(base, weights) if base else None
    covered = min(bounded, episodes)
    floors = bound_of(point.world, seed, covered, runner, stream) if covered else None
    return Cell(
        point=point,
        episodes=episodes,
        attainable=attainable,
        attainable_by={
            kind: attainment_by(kind, could, weights) for kind in ("tier", "sla", "tenant")
        },
        effective=effective,
        standings=tuple(
            _standing(
                sweep, point.world, played[sweep.label], reference, weights, other, targets, floors
            )
            for sweep in point.sweeps
        ),
        floors=floors,
    )


def _standing(
    sweep: Sweep,
    world: Scenario,
    tallies: list[Tally],
    reference: Tally,
    weights: Floats,
    other: Curve | None,
    targets: set[float],
    floors: Floors | None,
) -> Standing:
    own = tallies[sweep.own]
    policy = policy_of(sweep.specs[sweep.own])
    swept = curve(tallies, weights)
    cloud = curve([reference], weights).cost[:, 0]
    episodes = weights.shape[1]
    costs = {target: cost_at(swept, 1.0 - target) for target in targets}
    savings = {target: saving_at(swept, cloud, 1.0 - target) for target in targets}
    spent, whole = (np.asarray(weights @ each.of("cost")) for each in (own, reference))
    area = area_between(swept, other) if other else np.full(len(weights), np.nan)
    return Standing(
        label=sweep.label,
        policy=description(policy, world),
        figures=figures(own, reference, weights) | latencies(own) | bound_figures(own, floors),
        tiers=attainment_by("tier", own, weights),
        groups=breakdown(own, weights),
        settings=tuple(
            {
                "policy": policy_of(spec).describe(),
                "violations": interval(swept.violations[:, place], episodes),
                "gpu_cost": interval(swept.cost[:, place], episodes),
            }
            for place, spec in enumerate(sweep.specs)
        ),
        cost={target: interval(values, episodes) for target, values in costs.items()},
        saving={target: interval(values, episodes) for target, values in savings.items()},
        above=above_at(tallies, targets, floors) if floors else {},
        crossings=crossings(own, world, weights),
        learned=bool(policy.fingerprint()),
        area=interval(area, episodes),
        curve=swept,
        savings=savings,
        cost_savings=1.0 - spent / whole,
    )
