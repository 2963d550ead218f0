"""What learned policies are worth against tuned rules: ``python -m agents.results --help``.

In every cell (a scenario under a load) all play the same episodes at all their settings, as in a
suite. Against the rule that is best *there*:

- at each target that a rule gets to: GPU cost at equal attainment, per training seed and in the
  mean over seeds, with the interval of the paired difference, and the share of the room between
  rule and bound that is closed. Where fewer need be in time than a policy serves, anybody may give
  some episodes to :data:`IDLE`: else a knob that turns that far would have it for itself;
- violations at the policies' own setting against the fewest of any rule, at any of its settings,
  that takes no more GPU cost; against the fewest of all where every rule takes more.

And over all cells, each weighing the same: cost at own settings against the best single rule.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from agents.command_line import run_app
from agents.curves import Curve, cost_at, effective_target
from agents.items import default_folder
from agents.judge import Cell, Standing
from agents.overall import mean_of, overall, percent, said
from agents.registry import PolicyError
from agents.runner import cores
from agents.statistics import Floats, Interval, interval
from agents.suite import Suite, load_suite
from agents.suite_command import judge_suite
from splitenv.files import write_files
from splitenv.provenance import provenance, to_json

SUITE = "learned"
IDLE = "all-device"
OPEN, CLOSE = "<!-- results -->", "<!-- end of results -->"
BOUNDED = 16
"""Episodes of a cell that the bound covers."""
PIPE_WIDTH = 200

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class AtTarget:
    """Learned policies against the cheapest rule at equal attainment.

    Attributes
    ----------
    target
        Attainment at which costs are compared: asked for, or what can be had in its place.
    rule
        The cheapest there.
    cost
        GPU cost over the rule's, minus 1: mean over seeds.
    seeds
        The same for each; NaN for one that does not get there, which the mean leaves out.
    closed
        Share of the room from rule to bound that is closed, mean over seeds; NaN without a bound,
        and where the rule is mixed with the idle, whom the bound knows nothing of.
    """

    target: float
    rule: str
    cost: Interval
    seeds: tuple[float, ...]
    closed: float


@dataclass(frozen=True)
class Verdict:
    """Learned policies in a cell, one a training seed.

    Attributes
    ----------
    reached
        The targets that a rule gets to, the scenario's own first.
    rule
        The one with the fewest violations of all.
    violations
        Those at the policies' own setting over the fewest of any rule that takes no more GPU cost,
        minus 1; mean over seeds.
    gpu
        GPU cost there over that of the rule with the fewest violations, minus 1.
    worst_tier
        Attainment of the worst tier minus what can be asked of it, worst over seeds.
    """

    scenario: str
    load: str
    reached: tuple[AtTarget, ...]
    rule: str
    attainment: float
    violations: Interval
    gpu: Interval
    worst_tier: float
    episodes: int


@app.command(epilog="Example: python -m agents.results --runs runs --out docs")
def run(
    suite: Annotated[str, typer.Option(help="Suite whose scenarios and loads are played.")] = SUITE,
    runs: Annotated[
        Path | None,
        typer.Option(help="Folder with runs SCENARIO-SEED; else the shipped bundles are judged."),
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Only this one of the suite; may be given again.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(min=2, help="Of each setting; 32.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Double the episodes until all is known to this.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Episode k has seed SEED + k.")] = 0,
    processes: Annotated[int | None, typer.Option(min=1, help="The cores.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json, and a JSON of each suite.")
    ] = None,
    readme: Annotated[
        Path | None, typer.Option(help=f"Markdown in which the table after {OPEN} is renewed.")
    ] = None,
) -> None:
    """Judge learned policies against the best tuned rules, over loads and training seeds."""
    asked = load_suite(suite)
    names = scenario or list(asked.scenarios)
    files: dict[Path, bytes] = {}
    verdicts: list[Verdict] = []
    judged: list[tuple[Cell, list[str]]] = []
    if readme is not None:
        _renewed(readme, "")  # whether that can be done, before time is spent
    for name in names:
        learned = _policies(name, runs)
        if not learned:
            print(f"{name}: no learned policy for it", file=sys.stderr)
            continue
        one = asked.model_copy(update={"scenarios": (name,)}).with_policies(learned)
        if episodes is not None:
            one = one.model_copy(update={"episodes": episodes})
        cells, whole = judge_suite(
            one,
            {},
            seed=seed,
            precision=precision,
            lookahead=False,
            processes=processes or cores(),
            cache=default_folder(),
            bounded=BOUNDED,
        )
        if out is not None:
            files[out / f"{name}.json"] = whole.encode()
        verdicts += [verdict(cell, one, learned) for cell in cells]
        judged += [(cell, learned) for cell in cells]
    if not judged:
        raise PolicyError(f"no learned policy for any of {', '.join(names)}")
    together = overall(judged)
    terminal = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    terminal.print(table(verdicts))
    terminal.print(said(together), highlight=False)
    if out is not None:
        plain = {
            "verdicts": [as_dict(each) for each in verdicts],
            "overall": vars(together) | {"cost": vars(together.cost)},
            "provenance": provenance(),
        }
        files[out / "results.json"] = to_json(plain).encode()
    if readme is not None:
        files[readme] = _renewed(readme, f"{markdown(verdicts)}\n{said(together)}\n")
    write_files(files)
    for path in files:
        print(f"wrote {path}", file=sys.stderr)


def _policies(scenario: str, runs: Path | None) -> list[str]:
    if runs is None:
        from agents.bundled import FOLDER

        return [f"bundle:{scenario}"] if (FOLDER / scenario).is_dir() else []
    found = [
        path for path in runs.glob(f"{scenario}-*") if path.name[len(scenario) + 1 :].isdigit()
    ]
    return [f"ppo:{path}" for path in sorted(found, key=lambda path: (len(path.name), path.name))]


def verdict(cell: Cell, suite: Suite, learned: list[str]) -> Verdict:
    """Judge the learned policies of a cell against its rules."""
    ours = [each for each in cell.standings if each.label in learned]
    rules = [each for each in cell.standings if each.label in suite.policies and not each.learned]
    asked = max(sla.target for sla in cell.point.world.sla.values())
    own = asked if asked in cell.effective else suite.targets[0]
    targets = [own, *(target for target in suite.targets if target != own)]
    reached = [at_target(ours, rules, target, cell.episodes) for target in targets]
    if not any(reached):
        reached = [at_target(ours, rules, cell.effective[own], cell.episodes)]
    fewest = min(rules, key=lambda each: 1.0 - each.figures["attainment"].value)
    spent = mean_of([_own(each, each.curve.cost) for each in ours])
    with np.errstate(all="ignore"):
        fewer = mean_of([_violations(each, rules) for each in ours]) - 1.0
        cheaper = spent / _own(fewest, fewest.curve.cost) - 1.0
    return Verdict(
        scenario=cell.point.scenario,
        load=cell.point.load,
        reached=tuple(each for each in reached if each is not None),
        rule=fewest.label,
        attainment=float(np.mean([each.figures["attainment"].value for each in ours])),
        violations=interval(fewer, cell.episodes),
        gpu=interval(cheaper, cell.episodes),
        worst_tier=min(_worst_tier(cell, each, own) for each in ours),
        episodes=cell.episodes,
    )


def at_target(
    ours: list[Standing], rules: list[Standing], target: float, episodes: int
) -> AtTarget | None:
    """Compare learned policies with the rule that is cheapest at a target; None without one."""
    idle = next((rule.curve for rule in rules if rule.label == IDLE), None)
    spent = {rule.label: least_cost(rule.curve, idle, 1.0 - target) for rule in rules}
    best = min(rules, key=lambda rule: float(spent[rule.label][0]))
    theirs = spent[best.label]
    if not 0.0 < theirs[0] < np.inf:  # nothing is to be saved where a rule has it for nothing
        return None
    ratios = np.full((len(ours), len(theirs)), np.nan)
    closed = np.full(len(ours), np.nan)
    mixed = theirs[0] < cost_at(best.curve, 1.0 - target)[0]
    for row, each in enumerate(ours):
        mine = least_cost(each.curve, idle, 1.0 - target)
        both = np.isfinite(mine) & np.isfinite(theirs)
        np.divide(mine, theirs, out=ratios[row], where=both & (theirs > 0))
        if target in each.above and target in best.above and not mixed:
            gap, room = each.above[target].value, best.above[target].value
            closed[row] = 1.0 - gap / room if room > 0 else np.nan
    known = ratios[~np.isnan(ratios[:, 0])]
    mean = mean_of(list(known)) - 1.0 if len(known) else ratios[0]
    got = closed[np.isfinite(closed)]
    return AtTarget(
        target=target,
        rule=best.label,
        cost=interval(mean, episodes),
        seeds=tuple(float(row[0] - 1.0) for row in ratios),
        closed=float(np.mean(got)) if len(got) else np.nan,
    )


def least_cost(of: Curve, idle: Curve | None, allowed: float) -> Floats:
    """GPU cost at which at most ``allowed`` are violations, some episodes given to the idle."""
    alone = cost_at(of, allowed)
    if idle is None:
        return alone
    share = np.zeros(of.violations.shape)
    few, many = of.violations < allowed, idle.violations > allowed
    np.divide(allowed - of.violations, idle.violations - of.violations, out=share, where=few & many)
    mixed = np.where(few, of.cost + share * (idle.cost - of.cost), np.inf)
    return np.asarray(np.minimum(alone, mixed.min(axis=1)), np.float64)


def _violations(mine: Standing, rules: list[Standing]) -> Floats:
    """Violations at a policy's own setting over the fewest of a rule at no more GPU cost."""
    spent = _own(mine, mine.curve.cost)
    swapped = [Curve(violations=rule.curve.cost, cost=rule.curve.violations) for rule in rules]
    least = np.min([cost_at(each, spent) for each in swapped], axis=0)
    fewest = np.min([rule.curve.violations.min(axis=1) for rule in rules], axis=0)
    theirs = np.where(np.isfinite(least), least, fewest)
    with np.errstate(all="ignore"):  # infinite where a rule has none
        return np.asarray(_own(mine, mine.curve.violations) / theirs, np.float64)


def _own(standing: Standing, values: Floats) -> Floats:
    """Of a policy's settings its own one: the one whose figures it states."""
    wanted = standing.figures["attainment"].value
    own = int(np.abs(1.0 - standing.curve.violations[0] - wanted).argmin())
    return np.asarray(values[:, own], np.float64)


def _worst_tier(cell: Cell, standing: Standing, goal: float) -> float:
    could = cell.attainable_by["tier"]
    return min(
        tier.value - effective_target(goal, could[name].value)
        for name, tier in standing.tiers.items()
        if tier.value == tier.value
    )


def as_dict(found: Verdict) -> dict[str, Any]:
    """Plain data."""
    plain: dict[str, Any] = dict(vars(found))
    plain["reached"] = [vars(each) | {"cost": vars(each.cost)} for each in found.reached]
    for name in ("violations", "gpu"):
        plain[name] = vars(plain[name])
    return plain


HEADINGS = (
    "scenario", "load", "in time", "best tuned rule", "GPU time", "worst seed", "room closed",
    "violations", "at GPU time", "worst tier",
)  # fmt: skip


def rows(of: Verdict) -> list[tuple[str, ...]]:
    """A row for each target that is reached, or one where none is; in %."""
    pressure = (percent(of.violations), percent(of.gpu), f"{100 * of.worst_tier:+.1f} pt")
    found: list[tuple[str, ...]] = [
        (
            of.scenario,
            of.load,
            f"{100 * each.target:.1f}%",
            each.rule,
            percent(each.cost),
            _worst(each),
            _number(each.closed),
            *(pressure if each is of.reached[0] else ("", "", "")),
        )
        for each in of.reached
    ]
    return found or [(of.scenario, of.load, "-", of.rule, "-", "-", "-", *pressure)]


def table(verdicts: list[Verdict]) -> Table:
    """Lay out cells for a terminal."""
    view = Table(
        title="Learned policies against the best tuned rule of each cell",
        caption="GPU time at equal attainment; violations against a rule at no more GPU time; GPU "
        "time against the rule with fewest violations; 95% intervals, paired; mean over seeds",
    )
    for place, heading in enumerate(HEADINGS):
        view.add_column(heading, justify="left" if place < 4 else "right", no_wrap=True)
    for each in verdicts:
        for row in rows(each):
            view.add_row(*row)
    return view


def markdown(verdicts: list[Verdict]) -> str:
    """The same as a Markdown table."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    lines += [
        f"| `{name}` | {' | '.join(others)} |" for each in verdicts for name, *others in rows(each)
    ]
    return "\n".join(lines) + "\n"


def _renewed(page: Path, results: str) -> bytes:
    """A page with what stands between the two marks replaced."""
    try:
        before, rest = page.read_text(encoding="utf-8").split(OPEN)
        after = rest.split(CLOSE)[1]
    except (OSError, ValueError, IndexError) as error:
        raise PolicyError(f"{page} has no place for a table: {OPEN} ... {CLOSE}") from error
    return f"{before}{OPEN}\n{results}{CLOSE}{after}".encode()


def _worst(of: AtTarget) -> str:
    missed = sum(seed != seed for seed in of.seeds)
    if missed == 0:
        return _number(max(of.seeds, default=np.nan))
    return f"{missed} of {len(of.seeds)} miss it"


def _number(value: float) -> str:
    return "-" if value != value else f"{100 * value:+.1f}"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
