"""What a page says of one operating point, from whichever evaluation it comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents import report
from agents.bound_report import unit_of
from agents.bounds.gaps import Floors
from agents.closeups import Closeup
from agents.crossings import KINDS, share_of
from agents.evaluation import Evaluation
from agents.html.verdict import bound_sentence, cell_verdict, evaluations_verdict
from agents.judge import Cell, Standing
from agents.measures import WAYS, tenants
from agents.statistics import Interval
from agents.suite_report import asked, ranked
from splitenv.scenario import Scenario


@dataclass(frozen=True)
class Spot:
    """A setting of a policy: violations, as a share, and GPU cost per request, s."""

    violations: float
    cost: float


@dataclass(frozen=True)
class Row:
    """One policy.

    Attributes
    ----------
    label, name
        What reports call it, and its own name, which has a colour.
    own, settings
        Its own setting, and all that it was swept over.
    saving
        GPU cost saved against all-cloud: at the target if it was swept, else at its own setting.
    above
        GPU cost above the bound: if it was swept at the target, or what can be asked for in its
        place, else at its own attainment; None without a bound.
    crossed
        Share of its requests that cross the network, by way and kind of boundary, see
        :mod:`agents.crossings`.
    figures, tiers
        As in :class:`agents.evaluation.Evaluation`; of its own setting.
    """

    label: str
    name: str
    own: Spot
    settings: tuple[Spot, ...]
    saving: Interval
    above: Interval | None
    crossed: Mapping[tuple[str, str], float]
    figures: Mapping[str, Interval]
    tiers: Mapping[str, Interval]


@dataclass(frozen=True)
class Section:
    """An operating point, judged.

    Attributes
    ----------
    title
        What it is, in words.
    verdict
        Sentences; the first is the verdict, the others say how certain it is.
    best
        Label of the policy that the verdict names, if somebody keeps the promise.
    leader
        The best, or who is best at what can be had, or comes closest: seen first from close by.
    rows
        The best first.
    target, targets
        Attainment that the verdict is about, and all that are marked in pictures.
    asked
        The target, or what can be asked for in its place where no rule gets there.
    swept
        Whether policies were compared at equal attainment.
    bound
        What nobody can undercut, if it was asked for.
    closeups
        Of some policies, by label.
    config
        All that it takes to play it again, as plain data.
    """

    scenario: Scenario
    name: str
    load: str
    title: str
    verdict: tuple[str, ...]
    best: str | None
    leader: str
    rows: tuple[Row, ...]
    target: float
    targets: tuple[float, ...]
    asked: float
    swept: bool
    episodes: int
    bound: Floors | None
    closeups: Mapping[str, Closeup]
    config: Mapping[str, Any]

    def row(self, label: str) -> Row:
        """The policy of a label."""
        return next(row for row in self.rows if row.label == label)

    @property
    def priced(self) -> bool:
        """Whether GPU seconds count at the price of their type."""
        return len(self.scenario.pool.types) > 1


def of_cell(
    cell: Cell, targets: tuple[float, ...], closeups: Mapping[str, Closeup], config: Any
) -> Section:
    """Tell of a cell of a suite."""
    world, target = cell.point.world, targets[0]
    best = cell.best(target)
    mix, goal = _shares(world), asked(cell, target)
    rows = tuple(_standing_row(each, target, goal, mix) for each in ranked(cell, target))
    return Section(
        scenario=world,
        name=cell.point.scenario,
        load=cell.point.load,
        title=f"{world.title}; {world.load:.3g} requests/s",
        verdict=tuple(cell_verdict(cell, target)),
        best=best.label if best else None,
        leader=leader(cell, target),
        rows=rows,
        target=target,
        targets=targets,
        asked=goal,
        swept=any(len(sweep.specs) > 1 for sweep in cell.point.sweeps),
        episodes=cell.episodes,
        bound=cell.floors,
        closeups=closeups,
        config=config,
    )


def leader(cell: Cell, target: float) -> str:
    """Label of the best, or of who is best at what can be had, or comes closest."""
    best = cell.best(target) or cell.best(cell.effective[target])
    return best.label if best else ranked(cell, target)[0].label


def _shares(scenario: Scenario) -> dict[str, float]:
    """Share of the requests that each tenant makes."""
    whole = sum(workload.share for workload in scenario.models)
    shares = [workload.share / whole for workload in scenario.models]
    return dict(zip(tenants(scenario), shares, strict=True))


def _crossed(rows: list[dict[str, Any]], mix: Mapping[str, float]) -> dict[tuple[str, str], float]:
    return {(way, kind): share_of(rows, way, kind, dict(mix)) for way in WAYS for kind in KINDS}


def _standing_row(each: Standing, target: float, goal: float, mix: Mapping[str, float]) -> Row:
    return Row(
        label=each.label,
        name=each.policy["name"],
        own=_own(each.figures),
        settings=tuple(
            Spot(setting["violations"].value, setting["gpu_cost"].value)
            for setting in each.settings
        ),
        saving=each.saving[target],
        above=each.above.get(goal),
        crossed=_crossed(each.crossings, mix),
        figures=each.figures,
        tiers=each.tiers,
    )


def _own(figures: Mapping[str, Interval]) -> Spot:
    return Spot(1.0 - figures["attainment"].value, figures["gpu_cost"].value)


def of_evaluations(
    evaluations: list[Evaluation],
    scenario: Scenario,
    floors: Floors | None,
    seed: int,
    closeups: Mapping[str, Closeup],
    config: Any,
) -> Section:
    """Tell of policies at single settings: who keeps the promise with the least GPU time."""
    goal = report.target(scenario)
    episodes = len(evaluations[0].outcomes.tally.sums)
    keeps = [each for each in evaluations if each.figures["attainment"].value >= goal]
    best = min(keeps, key=lambda each: each.figures["gpu_cost"].value, default=None)
    verdict = evaluations_verdict(evaluations, goal, seed)
    if floors:
        evaluations = [each.against(floors) for each in evaluations]
        rule = report.best_rule(evaluations, goal)
        verdict += bound_sentence(floors, goal, rule, unit_of(scenario))
    verdict.append("Each policy plays one setting only; --points compares at equal attainment.")
    mix = _shares(scenario)
    kept_by = {each.label for each in keeps}

    def order(each: Evaluation) -> tuple[bool, float]:
        kept = each.label in kept_by
        return not kept, each.figures["gpu_cost"].value if kept else each.figures["cost"].value

    return Section(
        scenario=scenario,
        name=scenario.name,
        load="",
        title=f"{scenario.title}; {scenario.load:.3g} requests/s",
        verdict=tuple(verdict),
        best=best.label if best else None,
        leader=min(evaluations, key=order).label,
        rows=tuple(_evaluation_row(each, mix, floors) for each in sorted(evaluations, key=order)),
        target=goal,
        targets=(goal,),
        asked=goal,
        swept=False,
        episodes=episodes,
        bound=floors,
        closeups=closeups,
        config=config,
    )


def _evaluation_row(each: Evaluation, mix: Mapping[str, float], floors: Floors | None) -> Row:
    own = _own(each.figures)
    return Row(
        label=each.label,
        name=each.policy["name"],
        own=own,
        settings=(own,),
        saving=each.figures["saving"],
        above=each.figures["above_bound"] if floors else None,
        crossed=_crossed(each.crossings, mix),
        figures=each.figures,
        tiers=each.tiers,
    )
