"""Train and export the bundles that are shipped: ``python -m agents.ship --help``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agents.bundled import FOLDER
from agents.command_line import run_app
from splitenv.scenario import load_scenario, scenario_names

STEPS = 5_000_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m agents.ship --scenario sd-mobile --seeds 3")
def run(
    scenario: Annotated[
        list[str] | None, typer.Option(help="Name; may be given again. All shipped ones.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds to choose from.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Decisions of a run.")] = STEPS,
    runs: Annotated[
        Path, typer.Option(help="Folder of runs SCENARIO-SEED; finished ones stay.")
    ] = (Path("runs")),
    out: Annotated[Path, typer.Option(help="Folder for a bundle a scenario.")] = FOLDER,
) -> None:
    """Train what is not there yet, and export of each scenario the run with the best score.

    The score is that of held-out episodes, which no evaluation plays.
    """
    console = Console()
    for name in scenario or scenario_names():
        trained = {seed: _trained(name, seed, steps, runs, console) for seed in range(seeds)}
        best = min(trained, key=lambda seed: trained[seed]["score"])
        _export(runs / f"{name}-{best}", out / name)
        console.print(f"{name}: seed {best}, score {trained[best]['score']:.3f}", highlight=False)


def _trained(name: str, seed: int, steps: int, runs: Path, console: Console) -> dict[str, Any]:
    """The best evaluation of a run, which is trained or continued first if it is not finished."""
    # Imported here, so that --help answers at once.
    from agents import training
    from agents.learned import CALIBRATION
    from agents.ppo import CONFIG
    from agents.tuned_files import starting_rule

    folder = runs / f"{name}-{seed}"
    if not (folder / CALIBRATION).is_file():
        if (folder / CONFIG).is_file():
            run = training.resume(folder)
        else:
            run = training.begin(
                folder,
                load_scenario(name),
                steps=steps,
                seed=seed,
                rule=starting_rule(name),
                preference_conditioned=True,
            )
        training.train(run, console)
    evaluations = json.loads((folder / training.EVALUATIONS).read_text(encoding="utf-8"))
    return dict(evaluations["best"])


def _export(folder: Path, bundle: Path) -> None:
    from agents.export import export, load_run

    policy, scenario, training, evaluation = load_run(folder)
    export(policy, scenario, bundle, training=training, evaluation=evaluation)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
