"""The command line: ``python -m splitenv``."""

from __future__ import annotations

import sys

import typer

from splitenv.profiles.cli import app as profiles_app
from splitenv.profiles.figures import ProfileError

app = typer.Typer(
    help="Schedule models that are split between a phone and a cloud GPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(profiles_app, name="profiles")


@app.callback()
def _root() -> None:
    """Schedule models that are split between a phone and a cloud GPU."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a bad profile or scenario is one line on stderr and exit code 1."""
    try:
        app(arguments)
    except ProfileError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
