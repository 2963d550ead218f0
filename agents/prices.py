"""The price of a violation, scenario by scenario: ``python -m agents.prices --help``.

A violation costs what the best tuned rule would have to spend to avoid one: minus the slope, at the
target attainment and the scenario's load, of its curve of GPU cost against violations. Then the
setting that just has the target is also the one of least cost: missing it gains nothing.

The curve: the rule's aggressiveness swept around where the target is, the other parameters as
they were tuned, the same episodes for every value, none of them seen by tuning. The slope: of the
curve's lower convex hull (what mixtures of its settings can do; a lucky setting bends a hull less
than it bends the curve), by a regression line over violations from half to one and a half times
the target's, or as much of that as the curve covers to both sides. As the window is symmetric, the
line has the exact slope of a straight and of a quadratic curve. Violations count by the price of
their SLA class, as they do in the cost. The interval is a 95% bootstrap over episodes.

A slope below what the rule spends on a request is no price: to give requests up would pay, and the
target would not be kept.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agents.command_line import run_app
from agents.policy import Policy
from agents.registry import PolicyError, make_rule
from agents.runner import cores
from agents.tasks import Floats, Measured, Run, Setting, Task, measure_all, processes
from agents.tuned_files import FOLDER, Tuned, read_tuned, world_digest
from splitenv import scenario as scenarios
from splitenv.files import write_text
from splitenv.options import AsJson
from splitenv.provenance import provenance, to_json
from splitenv.scenario import Scenario, load_scenario, scenario_names
from splitenv.tables import profile_digest

SEEDS = (1 << 61) + (1 << 60)
"""First seed: neither tuning nor training nor an evaluation has these, see agents.tuning."""

COARSE, FINE = 32, 256
"""Episodes of each value: to find where the target is, and to measure the curve there."""

VALUES = 17
NEAR = (0.25, 2.0)
"""Violations that the finer values are to span, over the target's."""

WINDOW, LEAST_WINDOW = 0.5, 0.1
"""Half of the regression's window, and the least accepted, over the target's violations."""

RESAMPLES = 1000
TRIED = 3
"""Rules that are asked for a price at most."""

WIDEST = 0.5
"""Half an interval over the price, above which the price counts as not determined."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Price:
    """The price of a violation in a scenario, or why there is none.

    Attributes
    ----------
    value, low, high
        In all-cloud requests, with its interval; NaN where it is not determined.
    rule
        The tuned rule whose curve it is the slope of.
    reason
        Why it is not determined; empty where it is.
    """

    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    rule: Tuned | None = None
    reason: str = ""


@app.command(epilog="Example: python -m agents.prices --scenario sd-mobile --write")
def run(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Name, or path to a .yaml; may be given again; all shipped ones."),
    ] = None,
    tuned: Annotated[Path, typer.Option(help="Folder of the tuned rules.")] = FOLDER,
    write: Annotated[
        bool, typer.Option("--write", help="Store the prices in the scenarios' files.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute each scenario's violation price from the best of its tuned rules."""
    chosen = {name: load_scenario(name) for name in scenario or scenario_names()}
    terminal = Console(stderr=True)
    prices = {}
    with (
        processes(cores()) as carry_out,
        Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar,
    ):
        # Two steps a scenario: the sweep that finds the target, and the finer one there.
        task = bar.add_task("", total=2 * len(chosen))

        def run_and_tell(tasks: Sequence[Task]) -> Sequence[Measured]:
            done = carry_out(tasks)
            bar.advance(task)
            return done

        for number, (name, each) in enumerate(chosen.items()):
            bar.update(task, description=name, completed=2 * number)
            prices[name] = price(each, tuned, run_and_tell)
    if as_json:
        said = {
            name: {**vars(p), "rule": p.rule and p.rule.model_dump(mode="json")}
            for name, p in prices.items()
        }
        print(to_json({"prices": said, "provenance": provenance()}), end="")
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(prices, chosen))
    for name, found in prices.items():
        if write and not found.reason:
            path = _file(name)
            write_price(path, found)
            print(f"wrote {path}", file=sys.stderr)


def _file(name: str) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else scenarios.FOLDER / f"{name}.yaml"


def price(scenario: Scenario, folder: Path, run: Run) -> Price:
    """Compute the price of a violation from the tuned rules in ``folder``.

    Where the best rule's curve ends too near the target for a slope, the next best is asked.
    """
    rules, reason = best_rules(scenario, folder)
    if not rules:
        return Price(reason=reason)
    found = [price_of(rules[0], scenario, run)]
    for rule in rules[1:TRIED]:
        if found[-1].reason:
            found.append(price_of(rule, scenario, run))
    return found[0] if found[-1].reason else found[-1]


def price_of(rule: Tuned, scenario: Scenario, run: Run) -> Price:
    """Compute the price of a violation from the curve of one tuned rule."""
    if rule.gpu_cost == 0.0:
        return Price(rule=rule, reason="the target is had without any GPU time")
    knob = make_rule(rule.policy).aggressiveness
    assert knob is not None, "best_rules gives rules with a knob only"
    settings = _near(rule, knob, scenario, run)
    if not settings:
        return Price(rule=rule, reason=f"no {knob} brings {rule.policy} to the target")
    curve = measure_all(settings, scenario, SEEDS, FINE, run)
    value, low, high = interval(curve, 1.0 - rule.target)
    if np.isnan(value):
        return Price(rule=rule, reason=f"{knob} hardly takes {rule.policy} past the target")
    if not (low > 0.0 and high - low <= 2 * WIDEST * value):
        return Price(value, low, high, rule, "the slope is too uncertain")
    if value < rule.gpu_cost:
        return Price(
            value, low, high, rule, "to give a request up would cost less than to serve it"
        )
    return Price(value, low, high, rule)


def best_rules(scenario: Scenario, folder: Path) -> tuple[list[Tuned], str]:
    """Find the tuned rules that have their target and a knob, the cheapest first; or say why none.

    A rule that has the target for nothing leaves no other to ask.
    """
    world, profiles = world_digest(scenario), profile_digest(scenario)
    files = [read_tuned(path) for path in sorted((folder / scenario.name).glob("*.yaml"))]
    current = [t for t in files if (t.scenario_digest, t.profile_digest) == (world, profiles)]
    if not current:
        known = "tuned files are of another version of it" if files else "nothing is tuned for it"
        return [], f"{known}: python -m agents.tune --all --scenario {scenario.name}"
    having = sorted((tuned for tuned in current if tuned.reached), key=lambda t: t.gpu_cost)
    if not having:
        return [], "no tuned rule has its target"
    steered = [t for t in having if make_rule(t.policy).aggressiveness is not None]
    if not steered:
        return [], "no tuned rule that has its target can be made more or less careful"
    return (steered[:1] if steered[0].gpu_cost == 0.0 else steered), ""


def _near(rule: Tuned, knob: str, scenario: Scenario, run: Run) -> list[Setting]:
    """Spread values of the knob over where violations are near the target's; none if nowhere."""
    policy = make_rule(rule.policy)
    parameter = policy.parameters[knob]
    values = _spread(policy, knob, parameter.low, parameter.high)
    coarse = measure_all(_with(rule, knob, values), scenario, SEEDS, COARSE, run)
    shares = np.array([1.0 - each.attainment for each in coarse])
    at = 1.0 - rule.target
    near = np.flatnonzero((shares >= NEAR[0] * at) & (shares <= NEAR[1] * at))
    if shares.min() > at or shares.max() < at or len(near) == 0:
        return []
    first, last = max(near[0] - 1, 0), min(near[-1] + 1, len(values) - 1)
    fine = _spread(policy, knob, values[first], values[last])
    return _with(rule, knob, sorted({*fine, rule.parameters[knob]}))


def _spread(policy: Policy, knob: str, low: float, high: float) -> list[float]:
    """Evenly spread values of a parameter, whole numbers where it takes these."""
    values = np.linspace(low, high, VALUES).tolist()
    if isinstance(policy.parameters[knob].low, int):
        values = [round(value) for value in values]
    return sorted(set(values))


def _with(rule: Tuned, knob: str, values: Sequence[float]) -> list[Setting]:
    return [Setting(rule.policy, {**rule.parameters, knob: value}) for value in values]


def interval(curve: Sequence[Measured], target: float) -> tuple[float, float, float]:
    """Return minus the slope of a measured curve at ``target`` violations, with its interval.

    NaN where the curve doesn't cover the target's surroundings, in one resample in twenty or more.
    """
    requests = np.array([each.requests for each in curve])
    sums = [
        np.array([getattr(each, name) for each in curve])
        for name in ("violations", "weighted", "gpu_cost")
    ]
    episodes = requests.shape[1]
    generator = np.random.default_rng(episodes)
    drawn = generator.multinomial(episodes, np.full(episodes, 1.0 / episodes), RESAMPLES)
    weights = np.vstack([np.ones(episodes), drawn])
    prices = []
    for weight in weights:
        total = requests @ weight
        violations, weighted, cost = (each @ weight / total for each in sums)
        order = np.argsort(violations, kind="stable")
        at = float(np.interp(target, violations[order], weighted[order]))
        prices.append(-slope(weighted, cost, at))
    known = np.array(prices[1:])[~np.isnan(prices[1:])]
    if np.isnan(prices[0]) or len(known) <= 0.95 * RESAMPLES:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(prices[0]), float(low), float(high)


def slope(violations: Floats, cost: Floats, at: float) -> float:
    """Slope at ``at`` of the falling part of the lower convex hull of points; NaN if not covered.

    See the module's docstring.
    """
    hull = lower_hull(violations, cost)
    hull = hull[: int(hull[:, 1].argmin()) + 1]
    half = min(WINDOW * at, at - hull[0, 0], hull[-1, 0] - at)
    if half <= LEAST_WINDOW * at:
        return np.nan
    offset = np.linspace(-half, half, 65)
    return float(offset @ np.interp(at + offset, hull[:, 0], hull[:, 1]) / (offset @ offset))


def lower_hull(x: Floats, y: Floats) -> Floats:
    """Vertices of the lower convex hull of points, by x, shape (vertices, 2)."""
    hull: list[tuple[float, float]] = []
    for point in sorted(zip(x.tolist(), y.tolist(), strict=True)):
        if hull and hull[-1][0] == point[0]:
            continue
        while len(hull) > 1 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.array(hull)


def _turns_right(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])


def write_price(path: Path, found: Price) -> None:
    """Store a price in a scenario's file, whose other lines stay as they are.

    Raises
    ------
    PolicyError
        If the file has no place for it.
    OutputError
        If it cannot be written.
    """
    assert found.rule is not None, "a price that is determined has a rule"
    value = float(f"{found.value:.3g}")
    line = (
        f"violation_price: {value:g}  # {found.low:.3g} to {found.high:.3g}; agents.prices, from "
        f"{found.rule.policy} at {100 * found.rule.target:g}%"
    )
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(r"(?m)^violation_price:.*$", line, text)
    if not count:
        changed, count = re.subn(r"(?m)^(load:.*)$", rf"\1\n{line}", text)
    if count != 1 or yaml.safe_load(changed).get("violation_price") != value:
        raise PolicyError(f"{path}: expected one line 'load: ...' to put violation_price after")
    write_text(path, changed)


def table(prices: dict[str, Price], chosen: dict[str, Scenario]) -> Table:
    """Lay out prices beside those that the scenarios have."""
    view = Table(
        title="Price of a violation, in all-cloud requests",
        caption="95% bootstrap intervals over episodes",
        header_style="bold",
    )
    for heading in ("scenario", "rule"):
        view.add_column(heading, no_wrap=True)
    for heading in ("target %", "price", "interval", "in its file"):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("not determined, as")
    for name, found in prices.items():
        rule, known = found.rule, not np.isnan(found.value)
        view.add_row(
            name,
            rule.policy if rule else "-",
            f"{100 * rule.target:g}" if rule else "-",
            f"{found.value:.3g}" if known else "-",
            f"{found.low:.3g} to {found.high:.3g}" if known else "-",
            f"{chosen[name].violation_price:g}",
            found.reason,
        )
    return view


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
