"""The command line: ``python -m splitenv``."""

from __future__ import annotations

import sys

import typer

from splitenv.files import OutputError
from splitenv.profiles.cli import app as profiles_app
from splitenv.profiles.figures import ProfileError
from splitenv.runtime.policies import BundleError
from splitenv.simulate_cli import command as simulate
from splitenv.timeline import SimulateError
from splitenv.validate_cli import validate

app = typer.Typer(
    help="Schedule models that are split between a phone and a cloud GPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(profiles_app, name="profiles")
app.command("validate")(validate)
app.command("simulate")(simulate)


@app.callback()
def _root() -> None:
    """Schedule models that are split between a phone and a cloud GPU."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what can't be used or written is one line on stderr, exit code 1."""
    try:
        app(arguments)
    except (ProfileError, BundleError, OutputError, SimulateError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
