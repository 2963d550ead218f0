"""``python -m splitenv validate``: the simulator against queueing theory, as a table."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from splitenv.options import AsJson

if TYPE_CHECKING:
    from splitenv.validation import Line

PIPE_WIDTH = 170


def validate(
    load_max: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Leave out the lines above this load.")
    ] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Of the arrivals and the placements.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the simulator with queueing theory; exit 1 if a line misses its criterion.

    Some minutes at load 0.9, seconds at 0.3. Example: python -m splitenv validate --load-max 0.7
    """
    from splitenv import validation

    started = time.monotonic()
    lines: list[Line] = []
    worlds = list(validation.cases(load_max))
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("", total=len(worlds))

        def advance(done: int, share: float) -> None:
            bar.update(task, completed=done + share)

        for number, case in enumerate(worlds):
            bar.update(task, completed=number, description=f"{case.model}, load {case.load:g}")
            lines += validation.run(case, seed, partial(advance, number))
        bar.update(task, completed=len(worlds))
    missed = sum(not line.ok for line in lines)
    if as_json:
        rows = [{**vars(line), "error": line.error} for line in lines]
        print(json.dumps({"missed": missed, "seed": seed, "lines": rows}, indent=2))
    else:
        _print(lines, missed, seed, time.monotonic() - started)
    if missed:
        raise typer.Exit(1)


def _print(lines: list[Line], missed: int, seed: int, seconds: float) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    table = Table(title="The simulator against theory: mean times in seconds", header_style="bold")
    for name in ("world", "load", "mean"):
        table.add_column(name, justify="right" if name == "load" else "left", no_wrap=True)
    for name in ("theory", "simulation", "99.9% interval", "half-width", "error", "decisions"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("source")
    before = ""
    for line in lines:
        if before not in ("", line.model):
            table.add_section()
        before = line.model
        low, high = line.simulation - line.half_width, line.simulation + line.half_width
        table.add_row(
            line.model,
            f"{line.load:g}" if line.load else "",
            line.quantity,
            ("<= " if line.bound else "") + f"{line.theory:.5g}",
            f"{line.simulation:.5g}",
            f"{low:.5g} to {high:.5g}" if line.half_width else "exact",
            f"{line.half_width / line.simulation:.2%}" if line.half_width else "",
            f"{line.error:+.2%}" if line.half_width else f"{line.error:+.0e}",
            f"{line.decisions:,}",
            "[green]ok[/]" if line.ok else "[bold red]missed[/]",
            line.source,
        )
    console.print(table, highlight=False)
    verdict = f"{missed} of {len(lines)} lines missed" if missed else f"all {len(lines)} lines met"
    console.print(
        f"{verdict} their criterion (seed {seed}, {seconds:.0f} s): theory in the 99.9% interval, "
        "whose half-width is under 1%;\na bound: not below the interval, and from load 0.7 on "
        "within 2% of it; one request: equal to rounding.",
        highlight=False,
        soft_wrap=True,
    )
