"""How the scripts run a command line: what goes wrong is one line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agents.registry import PolicyError
from splitenv.files import OutputError
from splitenv.profiles.figures import ProfileError


class InterruptedRunError(Exception):
    """A run that was stopped by hand; the message says how to go on."""


def whole_number(text: str) -> int:
    """Read a count such as 4e6 from the command line."""
    try:
        number = float(text)
        if number < 1 or number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"expected a whole number such as 4e6, got {text!r}") from None
    return int(number)


Decisions = Annotated[
    int, typer.Option(parser=whole_number, metavar="N", help="Decisions of each run.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; as many as there are cores.")]


def run_app(app: typer.Typer, arguments: list[str] | None = None) -> None:
    """Run a command line; what cannot be used or written is one line on stderr, exit code 1."""
    try:
        app(arguments)
    except (ProfileError, PolicyError, OutputError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except InterruptedRunError as error:
        print(error, file=sys.stderr)
        raise SystemExit(130) from None
