"""Compare policies on the same episodes: ``python evaluate.py --help``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import Progress

from agents import plot, report
from agents.command_line import run_app
from agents.evaluation import Evaluation, evaluate, run_episodes
from agents.policy import Policy
from agents.registry import PolicyError, make_policy, split_specs
from splitenv.files import OutputError, write_files
from splitenv.provenance import to_json
from splitenv.records import require_pyarrow, write_parquet
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
    records: Annotated[
        Path | None,
        typer.Option(help="Folder for a Parquet file a policy, with a row for every request."),
    ] = None,
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
    files = _record_files(records, specs) if records is not None else {}
    made = {spec: make_policy(spec) for spec in specs}
    evaluations = compare(made, chosen, episodes, seed, files)
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
    for path in files.values():
        print(f"wrote {path}", file=sys.stderr)


def _record_files(folder: Path, specs: list[str]) -> dict[str, Path]:
    """Name a file for the records of each policy, before time is spent on playing."""
    require_pyarrow()
    if folder.suffix == ".parquet" or folder.is_file():
        raise OutputError(f"--records must name a folder, for one file a policy; got {folder}")
    names: dict[str, str] = {}
    for spec in specs:
        name = re.sub(r"[^\w.,=-]+", "-", spec)  # of a path, for one
        while name in names.values():
            name += "-"
        names[spec] = name
    return {spec: folder / f"{name}.parquet" for spec, name in names.items()}


def compare(
    policies: dict[str, Policy],
    scenario: Scenario,
    episodes: int,
    seed: int,
    record_files: dict[str, Path],
) -> list[Evaluation]:
    """Evaluate policies by label against all-cloud, with a progress bar on stderr.

    The records of those with a file in ``record_files`` go there as soon as it has played.
    """
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
            kept: list[npt.NDArray[Any]] = []
            file = record_files.get(label)
            evaluations.append(
                evaluate(
                    policy,
                    scenario,
                    episodes,
                    seed,
                    label=label,
                    reference=reference,
                    progress=advance,
                    keep=kept.append if file else None,
                )
            )
            if file:
                seeds = range(seed, seed + episodes)
                about = {
                    "policy": label,
                    "policy_description": policy.describe(),
                    "uncounted_requests_at_each_end": scenario.warmup,
                }
                write_parquet(file, np.concatenate(kept), scenario, seeds, about)
    return evaluations


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
