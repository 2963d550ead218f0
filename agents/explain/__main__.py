"""``python -m agents.explain``: maps, the features that matter, and the plainest tree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agents.bundled import FOLDER
from agents.command_line import run_app
from agents.explain.explanation import explain
from agents.explain.output import files, show
from agents.lookahead import Lookahead
from agents.policy import Policy
from agents.registry import PolicyError, make_policy, make_rule
from splitenv.files import write_files
from splitenv.runtime.bundle import Bundle, read_bundle
from splitenv.runtime.policies import BundleError

PIPE_WIDTH = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    bundle: Annotated[
        str, typer.Argument(help="Folder of an exported policy, or the name of a shipped one.")
    ],
    rule: Annotated[
        str | None,
        typer.Option(
            help="Another policy to compare with, beside the bundle's fallback rule, such as "
            "tuned:sd-mobile/joint-greedy+symphony."
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes that each one plays.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Episode k has seed SEED + k.")] = 0,
    keep: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the saving that a tree is to keep.")
    ] = 0.95,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="By how much it may attain less.")
    ] = 0.002,
    out: Annotated[
        Path, typer.Option(help="Folder for pictures, explanation.json and tree.yaml.")
    ] = Path("runs/explanation"),
) -> None:
    """Explain what a policy decides: maps, the features that matter, and the plainest tree.

    The tree is a policy: evaluate it as tree:FOLDER/tree.yaml, or export it.

    Example: python -m agents.explain bundles/x --rule tuned:sd-mobile/joint-greedy+symphony
    """
    read = _read(bundle)
    rules = _rules(read, rule)
    with Console(stderr=True).status("explaining") as status:
        found = explain(
            read,
            rules,
            episodes=episodes,
            seed=seed,
            keep=keep,
            tolerance=tolerance,
            progress=status.update,
        )
    asked = {"rule": rule, "keep": keep, "tolerance": tolerance}
    contents = {out / name: data for name, data in files(found, read.manifest, asked).items()}
    write_files(contents)
    show(found, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH))
    for path in contents:
        print(f"wrote {path}", file=sys.stderr)


def _read(reference: str) -> Bundle:
    folder = FOLDER / reference if (FOLDER / reference).is_dir() else Path(reference)
    try:
        return read_bundle(folder)
    except BundleError as error:
        raise PolicyError(str(error)) from error


def _rules(bundle: Bundle, spec: str | None) -> dict[str, Policy]:
    """The bundle's fallback rule, and the one that was asked for, by what tables call them."""
    fallback = bundle.manifest.fallback
    label = fallback.name
    if label == bundle.manifest.name:
        label += " (fallback)"
    rules = {label: make_rule(fallback.name, fallback.parameters)}
    if spec is None:
        return rules
    rule = make_policy(spec)
    if isinstance(rule, Lookahead):
        raise PolicyError(
            "--rule takes no lookahead: it rolls the simulator forward, and is asked here in "
            "states that were recorded"
        )
    taken = rule.name in (bundle.manifest.name, *rules)
    return rules | {spec if taken else rule.name: rule}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
