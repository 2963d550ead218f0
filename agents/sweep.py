"""Find settings of PPO for a scenario: ``python -m agents.sweep --help``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from agents.command_line import Decisions, Workers, run_app
from agents.registry import PolicyError
from agents.tuned_files import starting_rule
from splitenv.files import write_files
from splitenv.options import AsJson, Changes
from splitenv.provenance import provenance, to_json
from splitenv.scenario import load_scenario, parse_overrides

if TYPE_CHECKING:
    from agents.search import Question

RECORDS = Path("agents/studies")
"""Where records of studies go that are committed."""

PIPE_WIDTH = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="Example: python -m agents.sweep --scenario sd-mobile --trials 20 --steps 1e6, then "
    "again with --out agents/hyperparameters to train with what was found."
)
def run(
    scenario: Annotated[str, typer.Option(help="Name, or path to a .yaml.")],
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 20,
    steps: Decisions = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Training seed of every run.")] = 0,
    change: Changes = None,
    out: Annotated[
        Path, typer.Option(help="Folder for SCENARIO.yaml, the best settings found.")
    ] = Path("runs/hyperparameters"),
    record: Annotated[Path, typer.Option(help="Folder for sweep-SCENARIO.json.")] = RECORDS,
    journals: Annotated[
        Path, typer.Option(help="Folder of journals and runs, from which a stopped one goes on.")
    ] = Path("runs/sweep"),
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Search the settings of PPO by training runs, as they are shipped: with a knob, from a rule.

    The present settings are tried first. What agents/hyperparameters/SCENARIO.yaml holds overrides
    the default in every later training of that scenario.
    """
    try:
        from agents.search import Question, search
    except ModuleNotFoundError as error:
        raise PolicyError(
            f"a sweep needs {error.name}: pip install splitenv[tune,train]"
        ) from error
    from agents.ppo import load_hyperparameters
    from agents.runner import cores
    from agents.studies import Asked, processes, progress_bar

    world = load_scenario(scenario, parse_overrides(change or []))
    asked = Asked(world, steps, seed, load_hyperparameters(world.name), starting_rule(world.name))
    question = Question(asked, trials)
    with processes(workers or cores()) as work, progress_bar(world.name, trials) as advance:
        found = search(question, journals / world.name, work, advance)
    study = as_record(question, found)
    write_files(
        {
            record / f"sweep-{world.name}.json": to_json(study).encode(),
            out / f"{world.name}.yaml": settings_file(study).encode(),
        }
    )
    if as_json:
        print(to_json(study), end="")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table(study))
    console.print(f"best settings: {out / world.name}.yaml", soft_wrap=True, highlight=False)


def as_record(question: Question, trials: list[Any]) -> dict[str, Any]:
    """What a study found, as plain data, trials in their order; ``best`` is the number of one."""
    from agents.search import ranges

    asked = question.asked
    rows = [
        {
            "number": trial.number,
            "settings": trial.user_attrs["settings"],
            **trial.user_attrs["result"],
        }
        for trial in trials
    ]
    return {
        "scenario": asked.scenario.name,
        "scenario_sha256": asked.scenario.digest(),
        "study": question.digest(),
        "steps": asked.steps,
        "seed": asked.seed,
        "rule": asked.rule,
        "preference_conditioned": asked.preference_conditioned,
        "ranges": ranges(),
        "present": asked.settings.model_dump(mode="json"),
        "best": min(rows, key=lambda row: (row["pruned"], row["score"]))["number"],
        "trials": rows,
        "provenance": provenance(),
    }


def settings_file(study: dict[str, Any]) -> str:
    """Render the best settings as agents/hyperparameters/SCENARIO.yaml, which says whence."""
    best, first = (study["trials"][number] for number in (study["best"], 0))
    head = (
        f"# Found by `python -m agents.sweep --scenario {study['scenario']} "
        f"--trials {len(study['trials'])} --steps {study['steps']:g} --seed {study['seed']}`:\n"
        f"# score {best['score']:.4f}, the settings before had {first['score']:.4f}; "
        "one training seed each, the best of many.\n"
    )
    return head + yaml.safe_dump(best["settings"], sort_keys=False, default_flow_style=None)


def table(study: dict[str, Any]) -> Table:
    """Lay out a study's trials, the best first."""
    view = Table(
        title=f"{study['scenario']}: runs of {study['steps']:,} decisions",
        caption="score: mean over three loads of the cost over the rule's; trial 0: as it was",
        header_style="bold",
    )
    for heading in ("trial", "score", "in time %", "GPU s", "CPU s"):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("settings")
    for row in sorted(study["trials"], key=lambda row: (row["pruned"], row["score"])):
        settings = ", ".join(f"{name}={value}" for name, value in row["settings"].items())
        view.add_row(
            str(row["number"]),
            f"{row['score']:.4f}{' given up' if row['pruned'] else ''}",
            f"{100 * row['attainment']:.2f}",
            f"{row['gpu_seconds']:.4g}",
            f"{row['seconds']:.0f}",
            settings,
            style="bold" if row["number"] == study["best"] else None,
        )
    return view


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
