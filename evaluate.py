"""Compare policies on the same episodes: ``python evaluate.py --help``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from agents import plot, report
from agents.command_line import run_app
from agents.evaluation import Evaluation, evaluate, run_episodes
from agents.policy import Policy
from agents.registry import PolicyError, make_policy, split_specs
from splitenv.files import write_files
from splitenv.provenance import to_json
from splitenv.scenario import Scenario, load_scenario, parse_overrides

RULES = "all-cloud,all-device,latency-bound,latency-bound-batching,neurosurgeon,joint-greedy"
PIPE_WIDTH = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    scenario: Annotated[str, typer.Option(help="Name of a scenario, or a path ending in .yaml.")],
    policies: Annotated[
        str,
        typer.Option(
            help="Policies, separated by commas: NAME, NAME:PARAMETER=VALUE,... or ppo:RUN_FOLDER."
        ),
    ] = RULES,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes each policy plays.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Episode k has seed SEED + k.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a field of the scenario, such as load=1.4."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for evaluation.json, .csv and .png.")] = Path(
        "runs/evaluation"
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON instead of the table.")
    ] = False,
) -> None:
    """Compare policies on the same episodes of a scenario.

    All meet the same requests, links and devices; all-cloud always runs along, as the reference.

    Example: python evaluate.py --scenario sd-mobile --policies all-cloud,latency-bound:margin=0.1
    """
    chosen = load_scenario(scenario, parse_overrides(settings or []))
    specs = list(dict.fromkeys(split_specs(policies)))
    if not specs:
        raise PolicyError("--policies names no policy")
    evaluations = compare({spec: make_policy(spec) for spec in specs}, chosen, episodes, seed)
    result = to_json(report.as_dict(evaluations, chosen, episodes, seed))
    if as_json:
        print(result, end="")
    else:
        terminal = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
        terminal.print(report.table(evaluations, chosen, episodes))
    write_files(
        {
            out / "evaluation.json": result.encode(),
            out / "evaluation.csv": report.as_csv(evaluations).encode(),
            out / "evaluation.png": plot.png(evaluations, chosen, episodes),
        }
    )
    print(f"wrote {out}/evaluation.json, .csv and .png", file=sys.stderr)


def compare(
    policies: dict[str, Policy], scenario: Scenario, episodes: int, seed: int
) -> list[Evaluation]:
    """Evaluate policies by label against all-cloud, with a progress bar on stderr."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("all-cloud", total=episodes * (1 + len(policies)))

        def advance(ended: int) -> None:
            bar.advance(task, ended)

        reference = run_episodes(
            make_policy("all-cloud"), scenario, episodes, seed, progress=advance
        )
        evaluations = []
        for label, policy in policies.items():
            bar.update(task, description=label)
            evaluations.append(
                evaluate(
                    policy,
                    scenario,
                    episodes,
                    seed,
                    label=label,
                    reference=reference,
                    progress=advance,
                )
            )
    return evaluations


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
