"""Train a scheduler: ``python train.py --scenario sd-mobile --steps 4e6 --seed 0 --out runs/x``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agents.command_line import run_app, whole_number
from agents.tuned_files import starting_rule
from splitenv.options import Changes
from splitenv.scenario import Scenario, load_scenario, parse_overrides

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Algorithm(StrEnum):
    """What can be trained."""

    maskable_ppo = "maskable-ppo"
    ppo = "ppo"
    a2c = "a2c"
    dqn = "dqn"


@app.command(
    epilog="Example: python train.py --scenario sd-mobile --steps 4e6 --seed 0 --out runs/x"
)
def train(
    scenario: Annotated[str | None, typer.Option(help="Name, or path to a .yaml.")] = None,
    steps: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="N", help="Decisions to train on.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random; 0.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run.")] = None,
    algorithm: Annotated[Algorithm | None, typer.Option(help="maskable-ppo.")] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="Rule to imitate first, and whose dispatch the policy runs under; none: neither.",
            show_default="the best tuned one that drops the late",
        ),
    ] = None,
    target_attainment: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=0.9999, help="Hold this at every load and in every tier, by a Lagrangian."
        ),
    ] = None,
    preference_conditioned: Annotated[
        bool | None,
        typer.Option("--preference-conditioned", help="One policy for the whole trade-off."),
    ] = None,
    change: Changes = None,
    resume: Annotated[
        Path | None, typer.Option(help="Run to continue; other options must agree with it.")
    ] = None,
) -> None:
    """Train a PPO scheduler on a scenario, or continue a run that was stopped."""
    # Imported here, so that --help and a mistyped option answer at once.
    from agents import training

    wanted = _scenario(scenario, change or [])
    asked = {
        "steps": steps,
        "seed": seed,
        "algorithm": algorithm and algorithm.value,
        "rule": rule,
        "target_attainment": target_attainment,
        "preference_conditioned": preference_conditioned,
    }
    if resume is not None:
        _check_agreement(resume, out, wanted, asked)
        run = training.resume(resume)
    else:
        if wanted is None or steps is None or out is None:
            raise typer.BadParameter("a new run needs --scenario, --steps and --out")
        run = training.begin(
            out,
            wanted,
            steps=steps,
            seed=seed or 0,
            algorithm=(algorithm or Algorithm.maskable_ppo).value,
            rule=_rule(rule, wanted.name, algorithm),
            target_attainment=target_attainment,
            preference_conditioned=bool(preference_conditioned),
        )
    console = Console()
    try:
        training.train(run, console)
    except training.StoppedError as stopped:
        console.print(f"stopped at {run.steps:,} of {run.total:,} steps; continue with:")
        console.print(f"python train.py --resume {run.folder}", soft_wrap=True)
        raise typer.Exit(stopped.exit_code) from None
    best = run.best
    assert best is not None
    console.print(
        f"best model: {best['steps']:,} steps, cost {best['cost']:.4f}, score {best['score']:.3f}",
        highlight=False,
    )
    console.print(f"in {run.folder}: policy ppo:{run.folder}", soft_wrap=True)


def _scenario(name: str | None, changes: list[str]) -> Scenario | None:
    if name is None:
        if changes:
            raise typer.BadParameter("--set needs --scenario")
        return None
    return load_scenario(name, parse_overrides(changes))


def _rule(asked: str | None, scenario: str, algorithm: Algorithm | None) -> str | None:
    """Where training starts: as asked, else from the best rule that was tuned for the scenario."""
    if asked == "none" or (asked is None and algorithm not in (None, Algorithm.maskable_ppo)):
        return None
    return asked or starting_rule(scenario)


def _check_agreement(
    folder: Path, out: Path | None, scenario: Scenario | None, asked: dict[str, Any]
) -> None:
    """Refuse to continue a run as another one."""
    from agents.ppo import RunError, read_config

    config = read_config(folder)
    if out is not None and out.resolve() != folder.resolve():
        raise RunError(f"--resume {folder} continues in that folder; leave --out away")
    if scenario is not None and scenario.digest() != config["scenario_sha256"]:
        name = config["scenario"]["name"]
        raise RunError(f"{folder} was begun on another scenario than this one (its {name!r})")
    for option, value in asked.items():
        if value is not None and value != config[option]:
            name = option.replace("_", "-")
            raise RunError(f"{folder} was begun with --{name} {config[option]}, not {value}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what goes wrong is one line on stderr and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
