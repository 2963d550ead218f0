"""``python -m agents.reproduce``: what the reference system says, and what is found here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents.command_line import InterruptedRunError, run_app
from agents.items import Cache, default_folder, policy_of
from agents.registry import PolicyError
from agents.reproduce import batching, devices, links, phones, regnet, saving, sizes
from agents.reproduce.claim import Claim, Finding
from agents.reproduce.pictures import as_image
from agents.reproduce.study import Study
from agents.runner import Runner, cores
from splitenv.files import write_files
from splitenv.provenance import provenance, to_json

CLAIMS: dict[str, Claim] = {
    "saving": saving.CLAIM,
    "devices": devices.CLAIM,
    "batching": batching.CLAIM,
    "phones": phones.CLAIM,
    "models": sizes.CLAIM,
    "networks": links.CLAIM,
    "regnet": regnet.CLAIM,
}
PIPE_WIDTH = 160
PREFIX = "reproduction"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    claim: Annotated[
        list[str] | None,
        typer.Option(help=f"A claim to look at, of {', '.join(CLAIMS)}; all if not given."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes of every setting.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Episode k has seed SEED + k.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Folder for {PREFIX}.json and the pictures, PNG and SVG."),
    ] = None,
    json: Annotated[
        str | None, typer.Option(help="Write the JSON here too; - prints it instead of tables.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Pieces played at the same time.", show_default="the cores"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder where finished pieces are kept.",
            show_default="splitenv/evaluations in the user's cache",
        ),
    ] = None,
) -> None:
    """Put the claims of the reference system to the simulator: theirs, ours, and what is assumed.

    What was played is kept, so that a second run is quick and a stopped one goes on.

    Example: python -m agents.reproduce --claim saving --out runs/reproduction
    """
    chosen = _chosen(claim or list(CLAIMS))
    runner = Runner(Cache(cache or default_folder()), processes or cores())
    study = Study(runner, episodes, seed)
    try:
        findings = _find(chosen, study)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; what was finished is kept in {runner.cache.folder}: "
            "the same command goes on from there"
        ) from None
    result = to_json(_as_dict(chosen, findings, study))
    if json == "-":
        print(result, end="")
    else:
        _show(chosen, findings)
    _write(findings, result, out, json)


def _chosen(names: list[str]) -> dict[str, Claim]:
    for name in names:
        if name not in CLAIMS:
            raise PolicyError(f"unknown claim {name!r}; accepted: {', '.join(CLAIMS)}")
    return {name: CLAIMS[name] for name in dict.fromkeys(names)}


def _find(chosen: dict[str, Claim], study: Study) -> dict[str, Finding]:
    """Play and compare, with a progress bar on stderr."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    findings = {}
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        for name, claim in chosen.items():
            items = study.items(claim.played())
            task = bar.add_task(name, total=len(items))

            def advance(done: int, task: Any = task) -> None:
                bar.advance(task, done)

            study.runner.run(items, advance)
            findings[name] = claim.find(study)
    return findings


def _show(chosen: dict[str, Claim], findings: dict[str, Finding]) -> None:
    terminal = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for name, found in findings.items():
        claim = chosen[name]
        terminal.rule(f"{name}: {claim.title}", align="left")
        for who, words in (
            ("theirs", claim.theirs),
            ("ours", found.ours),
            ("assumed", claim.assumed),
        ):
            terminal.print(f"[bold]{who}[/bold]  {words}", highlight=False)
        for table in found.tables:
            terminal.print(table)


def _as_dict(
    chosen: dict[str, Claim], findings: dict[str, Finding], study: Study
) -> dict[str, Any]:
    return {
        "reference": "arXiv 2402.04880",
        "episodes": study.episodes,
        "seeds": [study.seed, study.seed + study.episodes - 1],
        "intervals": "95%, bootstrap over episodes, paired across policies and worlds",
        "claims": {name: _claim(chosen[name], found) for name, found in findings.items()},
        "provenance": provenance(),
    }


def _claim(claim: Claim, found: Finding) -> dict[str, Any]:
    played = claim.played()
    specs = dict.fromkeys(spec for _, settings in played for spec in settings)
    return {
        "title": claim.title,
        "theirs": claim.theirs,
        "ours": found.ours,
        "assumed": claim.assumed,
        "scenarios": [world.model_dump(mode="json") for world, _ in played],
        "policies": [policy_of(spec).describe() for spec in specs],
        **found.data,
    }


def _write(findings: dict[str, Finding], result: str, out: Path | None, json: str | None) -> None:
    contents: dict[Path, bytes] = {}
    if out is not None:
        contents[out / f"{PREFIX}.json"] = result.encode()
        for name, found in findings.items():
            figure = found.draw()
            for kind in ("png", "svg"):
                contents[out / f"{PREFIX}-{name}.{kind}"] = as_image(figure, kind)
    if json not in (None, "-"):
        contents[Path(str(json))] = result.encode()
    write_files(contents)
    for path in contents:
        print(f"wrote {path}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
