"""What each part of learning is worth: ``python -m agents.ablate --help``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agents.command_line import Decisions, Workers, run_app
from agents.registry import PolicyError
from agents.sweep import RECORDS
from agents.tuned_files import starting_rule
from splitenv.files import write_files
from splitenv.options import AsJson, Changes
from splitenv.provenance import provenance, to_json
from splitenv.scenario import Scenario, load_scenario, parse_overrides
from splitenv.tables import build_tables

PIPE_WIDTH = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m agents.ablate --scenario sd-mobile --steps 1e6 --seeds 2")
def run(
    scenario: Annotated[str, typer.Option(help="Name, or path to a .yaml.")],
    steps: Decisions = 1_000_000,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds of each variant.")] = 2,
    variants: Annotated[
        str | None, typer.Option(help="Such as cold-start,one-scale; beside the shipped way.")
    ] = None,
    change: Changes = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the picture, and for runs: a stopped one goes on.")
    ] = Path("runs/ablate"),
    record: Annotated[Path, typer.Option(help="Folder for ablations-SCENARIO.json.")] = RECORDS,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Train the shipped way and variants with one part changed, and set them side by side.

    Runs that are finished are kept: more seeds or variants train only what is new.
    """
    from agents.ablation import EPISODES, FIRST, jobs, summarise
    from agents.ablation_plot import ablation_png
    from agents.ppo import load_hyperparameters
    from agents.runner import cores
    from agents.studies import Asked, processes, progress_bar

    world = load_scenario(scenario, parse_overrides(change or []))
    names = _names(variants, world)
    settings = load_hyperparameters(world.name)
    rule = starting_rule(world.name)
    if rule is None:
        raise PolicyError(f"no tuned rule is shipped for {world.name}: nothing to start from")
    asked = Asked(world, steps, 0, settings, rule)
    folder = out / f"{world.name}-{asked.digest()[:8]}"
    todo = jobs(asked, seeds, names, folder)
    with processes(workers or cores()) as work, progress_bar(world.name, len(todo)) as advance:
        results = work(todo, advance)
    study = {
        "scenario": world.name,
        "scenario_sha256": world.digest(),
        "steps": steps,
        "rule": rule,
        "settings": settings.model_dump(mode="json"),
        "judged": {"first": FIRST, "episodes": EPISODES},
        "base": results[0]["base"],
        "variants": summarise(results),
        "runs": results,
        "provenance": provenance(),
    }
    picture = out / f"{world.name}.png"
    write_files(
        {
            picture: ablation_png(study),
            record / f"ablations-{world.name}.json": to_json(study).encode(),
        }
    )
    if as_json:
        print(to_json(study), end="")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table(study))
    console.print(f"picture: {picture}", soft_wrap=True, highlight=False)


def _names(asked: str | None, world: Scenario) -> list[str]:
    from agents.variants import SHIPPED, VARIANTS

    wanted = {SHIPPED, *([name.strip() for name in asked.split(",")] if asked else VARIANTS)}
    for name in sorted(wanted - VARIANTS.keys()):
        raise PolicyError(f"unknown variant {name!r}; accepted: {', '.join(VARIANTS)}")
    if "no-masks" in wanted and build_tables(world).mask.all():
        print(f"{world.name} masks nothing: no-masks is left out", file=sys.stderr)
        wanted.remove("no-masks")
    return [name for name in VARIANTS if name in wanted]


def table(study: dict[str, Any]) -> Table:
    """Lay out a study, the variants in the order of their scores."""
    seeds = max(len(row["seeds"]) for row in study["variants"])
    view = Table(
        title=f"{study['scenario']}: {study['steps']:,} decisions, {seeds} training "
        f"{'seed' if seeds == 1 else 'seeds'}",
        caption="score: mean over three loads of the cost over the rule's; ± half a 95% interval "
        "over seeds; in time and GPU s at the scenario's load, overload at 1.1 of capacity",
        header_style="bold",
    )
    view.add_column("variant", no_wrap=True)
    view.add_column("change")
    for heading in ("score", "against shipped", "in time %", "GPU s", "late in overload %"):
        view.add_column(heading, justify="right", no_wrap=True)
    base = study["base"]
    view.add_row(
        "the rule", study["rule"], "1", "", f"{100 * base['attainment']:.2f}",
        f"{base['gpu_seconds']:.4g}", f"{100 * base['violations_in_overload']:.1f}",
    )  # fmt: skip
    for row in sorted(study["variants"], key=lambda row: row["score"]["value"]):
        view.add_row(
            row["variant"],
            row["change"],
            _with_half(row["score"], "{:.4f}"),
            "" if row["against_shipped"] is None else _with_half(row["against_shipped"], "{:+.4f}"),
            f"{100 * row['attainment']['value']:.2f}",
            f"{row['gpu_seconds']['value']:.4g}",
            f"{100 * row['violations_in_overload']['value']:.1f}",
            style="bold" if row["variant"] == "shipped" else None,
        )
    return view


def _with_half(figure: dict[str, float], form: str) -> str:
    half = (figure["high"] - figure["low"]) / 2
    value = form.format(figure["value"])
    return value if math.isnan(half) else f"{value} ± {half:.4f}"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
