"""Judge a suite from the command line: progress, tables, and the files to be written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents.across import across
from agents.command_line import InterruptedRunError
from agents.curve_plot import curve_png
from agents.items import Cache
from agents.judge import Cell, play_all, points_of, within
from agents.runner import Runner
from agents.suite import Suite
from agents.suite_report import across_table, as_csv, as_dict, cell_table
from agents.zero_shot import zero_shot, zero_shot_table
from splitenv.provenance import to_json


def judge_suite(
    suite: Suite,
    overrides: dict[str, object],
    *,
    seed: int,
    precision: float | None,
    lookahead: bool,
    processes: int,
    cache: Path,
    bounded: int,
) -> tuple[list[Cell], str]:
    """Play and judge a suite, with a progress bar on stderr; return the cells and their JSON.

    Raises
    ------
    InterruptedRunError
        If it is stopped by hand.
    """
    runner = Runner(Cache(cache), processes)
    points = points_of(suite, overrides, lookahead, _say)
    try:
        with progress_bar("playing") as start:
            cells = play_all(points, runner, suite, seed, precision, start, bounded)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; what was finished is kept in {cache}: the same command goes on from there"
        ) from None
    _say(f"played {runner.computed} pieces, the others came from {cache}")
    for cell in cells:
        if precision is not None and not within(cell, precision):
            _say(
                f"{cell.point.scenario}, {cell.point.load}: {cell.episodes} episodes, no more than "
                f"{cell.point.most} are played, and an interval is still wider than {precision:g}"
            )
    return cells, to_json(as_dict(cells, suite, overrides, seed, precision))


class _Advance:
    """Moves the bar on, by what is done of one round."""

    def __init__(self, progress: Progress, name: str, items: int) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=items)

    def __call__(self, done: int) -> None:
        self._progress.advance(self._task, done)


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """Show progress on stderr: given a number of pieces, it returns what counts those done."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        yield lambda items: _Advance(bar, name, items)


def _say(words: str) -> None:
    print(words, file=sys.stderr)


def show(cells: list[Cell], suite: Suite, terminal: Console) -> None:
    """Print a table a cell, and one a load that several scenarios are under."""
    for cell in cells:
        terminal.print(cell_table(cell, suite.targets))
    for load, rows in across(cells, suite.targets[0]).items():
        terminal.print(across_table(rows, load, suite.targets[0]))
    held_out = zero_shot(cells, suite)
    for load in dict.fromkeys(row.load for row in held_out):
        terminal.print(zero_shot_table(held_out, load))


def files(cells: list[Cell], suite: Suite, json: str, out: Path) -> dict[Path, bytes]:
    """Everything that goes to the folder: JSON, CSV, and a picture of every cell with curves."""
    contents = {
        out / "evaluation.json": json.encode(),
        out / "evaluation.csv": as_csv(cells, suite).encode(),
    }
    for cell in cells:
        if any(len(sweep.specs) > 1 for sweep in cell.point.sweeps):
            name = re.sub(r"[^\w.-]+", "-", f"{cell.point.world.name}-{cell.point.load}")
            contents[out / f"{name}.png"] = curve_png(cell, suite.targets)
    return contents
