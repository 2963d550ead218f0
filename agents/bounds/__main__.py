"""``python -m agents.bounds``: floors under every scheduler, and their check against the truth."""

from __future__ import annotations

import math
import sys
import time
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agents.bounds.check import check_case
from agents.bounds.clairvoyant import ClairvoyantBound, clairvoyant_bound
from agents.command_line import run_app
from agents.evaluation import run_episodes
from agents.policy import Policy
from agents.registry import make_policy, split_specs
from splitenv.options import AsJson, Changes
from splitenv.provenance import provenance, to_json
from splitenv.scenario import Scenario, load_scenario, parse_overrides
from splitenv.tables import build_tables, profile_digest

TARGETS = (0.95, 0.99, 0.999)
PIPE_WIDTH = 120

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    scenario: Annotated[
        str, typer.Option(help="Name of a scenario, or a path ending in .yaml.")
    ] = "sd-mobile",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to bound together.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Episode k has seed SEED + k.")] = 0,
    target: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Attainment to bound at; 0.95, 0.99 and 0.999."),
    ] = None,
    policies: Annotated[
        str, typer.Option(help="Policies whose gap to the bound to show, separated by commas.")
    ] = "",
    settings: Changes = None,
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the bound on random small systems instead.")
    ] = False,
    cases: Annotated[int, typer.Option(min=1, help="How many of those.")] = 500,
) -> None:
    """Print the least GPU seconds a request at which an attainment can be had, by anybody.

    Example: python -m agents.bounds --scenario sd-mobile --policies all-cloud,joint-greedy
    """
    if check:
        _check(cases, seed, as_json)
        return
    chosen = load_scenario(scenario, parse_overrides(settings or []))
    made = {spec: make_policy(spec) for spec in dict.fromkeys(split_specs(policies))}
    started = time.monotonic()
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("bound", total=episodes * (1 + len(made)))

        def advance(ended: int) -> None:
            bar.advance(task, ended)

        bound = clairvoyant_bound(chosen, episodes, seed, progress=advance)
        seconds = time.monotonic() - started
        played = {}
        for spec, policy in made.items():
            bar.update(task, description=spec)
            played[spec] = _play(policy, chosen, episodes, seed, advance)
    targets = tuple(target or TARGETS)
    if as_json:
        data = _as_dict(bound, chosen, targets, played) | {
            "episodes": episodes,
            "seeds": [seed, seed + episodes - 1],
            "bound_took_s": seconds,
        }
        print(to_json(data), end="")
        return
    out = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    out.print(_table(bound, chosen, targets, played, episodes))
    out.print(
        f"{bound.requests:,} counted requests; {bound.attainable:.2%} of them could be in time if "
        f"they were alone. The bound took {seconds:.0f} s.",
        highlight=False,
    )


def _play(
    policy: Policy, scenario: Scenario, episodes: int, seed: int, advance: Any
) -> tuple[float, float]:
    """Attainment and priced GPU seconds a request of a policy, over all episodes together."""
    tables = build_tables(scenario)
    price = tables.price[tables.pool]
    count = slice(scenario.warmup, scenario.decisions - scenario.warmup)
    paid: list[float] = []

    def keep(record: npt.NDArray[Any]) -> None:
        some = record[:, count]
        paid.append(float((some["gpu_seconds"] * price[np.maximum(some["gpu"], 0)]).sum()))

    outcomes = run_episodes(policy, scenario, episodes, seed, progress=advance, keep=keep)
    requests = outcomes.sums["requests"].sum()
    return float(outcomes.sums["in_time"].sum() / requests), float(sum(paid) / requests)


def _as_dict(
    bound: ClairvoyantBound,
    scenario: Scenario,
    targets: tuple[float, ...],
    played: dict[str, tuple[float, float]],
) -> dict[str, Any]:
    return {
        "scenario": scenario.model_dump(mode="json"),
        "scenario_digest": scenario.digest(),
        "profile_digest": profile_digest(scenario),
        "requests": bound.requests,
        "attainable": bound.attainable,
        "cost_unit_s": bound.norm,
        "bounds": [
            {
                "target": target,
                "gpu_seconds": bound.at(target),
                "single": bound.single.at(target),
                "together": bound.together.at(target),
            }
            for target in targets
        ],
        "policies": [
            {
                "label": spec,
                "attainment": attainment,
                "gpu_seconds": seconds,
                "bound": bound.at(attainment),
                "gap": bound.gap(seconds, attainment),
            }
            for spec, (attainment, seconds) in played.items()
        ],
        "provenance": provenance(),
    }


def _table(
    bound: ClairvoyantBound,
    scenario: Scenario,
    targets: tuple[float, ...],
    played: dict[str, tuple[float, float]],
    episodes: int,
) -> Table:
    view = Table(
        title=f"{scenario.title}: what nobody can undercut",
        caption=f"{episodes} episodes together; GPU seconds a request, at the price of the pool's "
        "first type; above: by how much a policy exceeds the bound at its own attainment",
        header_style="bold",
    )
    view.add_column("", no_wrap=True)
    for heading in ("in time %", "GPU s/request", "bound", "each by itself", "above %"):
        view.add_column(heading, justify="right", no_wrap=True)
    digits = max(3, 3 - math.floor(math.log10(bound.norm)))
    for target in targets:
        view.add_row("bound", f"{100 * target:g}", "", *_floors(bound, target, digits), "")
    for spec, (attainment, seconds) in played.items():
        gap = bound.gap(seconds, attainment)
        view.add_row(
            spec,
            f"{100 * attainment:.2f}",
            f"{seconds:.{digits}f}",
            *_floors(bound, attainment, digits),
            f"{100 * gap:.1f}" if math.isfinite(gap) else "-",
        )
    return view


def _floors(bound: ClairvoyantBound, target: float, digits: int) -> tuple[str, str]:
    values = (bound.at(target), bound.single.at(target))
    first, second = (f"{v:.{digits}f}" if math.isfinite(v) else "out of reach" for v in values)
    return first, second


def _check(cases: int, seed: int, as_json: bool) -> None:
    """Bound and solve random small systems; exit 1 if the order fails in one."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        numbers = bar.track(range(seed, seed + cases), description="small systems")
        orders = [check_case(number) for number in numbers]
    faults = [fault for order in orders for fault in order.faults]
    sums = {
        name: sum(getattr(order, name) for order in orders)
        for name in ("single", "together", "program", "tried", "rule")
    }
    if as_json:
        print(to_json({"cases": cases, "seed": seed, "sums": sums, "faults": faults}), end="")
    else:
        print(f"{cases} random systems of up to 5 requests, sums of GPU seconds + mu x violations:")
        meanings = {
            "single": "relaxation, each request by itself",
            "together": "relaxation, considering batches",
            "program": "mixed-integer program",
            "tried": "brute force",
            "rule": "best of some rules",
        }
        for name, meaning in meanings.items():
            print(f"  {sums[name]:10.3f}  {meaning}")
        for fault in faults:
            print(f"error: {fault}", file=sys.stderr)
        verdict = f"{len(faults)} faults" if faults else "in order in every case"
        print(f"relaxation <= program = brute force <= rules: {verdict}")
    if faults:
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
