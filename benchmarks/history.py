"""Results that are kept, one file a run, and a table of them.

    python -m benchmarks.history [PROGRAM]

A benchmark run with ``--save`` writes ``results/<program>-<UTC date>-<revision>.json`` and never
over another run's: a second one of that day and revision gets a number.
"""

from __future__ import annotations

import argparse
import json
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine_facts
from splitenv.provenance import provenance, write_json

FOLDER = Path(__file__).resolve().parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument(
        "program", nargs="?", default="", help="such as env_speed; all if not given"
    )
    options = parser.parse_args()
    table = Table("program", "date", "revision", "processor", "headline", title="Saved runs")
    for program, result in saved(options.program):
        origin = result["provenance"]
        cpu = f"{result['machine']['cpu']}, {result['machine']['cores']} cores"
        table.add_row(program, origin["time"][:10], revision(origin), cpu, result["headline"])
    Console().print(table)


def output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`keep` obeys."""
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument(
        "--save", action="store_true", help=f"keep them in benchmarks/{FOLDER.name}"
    )


def keep(program: str, headline: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Write figures with what they were measured on, where the options want them.

    Parameters
    ----------
    headline
        The run in a few words, for the table of all runs.
    """
    origin = provenance()
    result = {"headline": headline, **figures, "machine": machine_facts(), "provenance": origin}
    if options.out:
        write_json(options.out, result)
    if options.save:
        path = _unused(f"{program}-{origin['time'][:10]}-{revision(origin).rstrip('+')}")
        write_json(path, result)
        print(f"kept in benchmarks/{FOLDER.name}/{path.name}")


def saved(program: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every kept run as (program, result), by program, then by time."""
    runs = [
        (path.name.partition("-")[0], json.loads(path.read_text()))
        for path in FOLDER.glob(f"{program or '*'}-*.json")
    ]
    return sorted(runs, key=lambda run: (run[0], run[1]["provenance"]["time"]))


def revision(origin: dict[str, Any]) -> str:
    """Short git revision, with a ``+`` if the tree was modified."""
    git = origin["git"]
    return git["revision"][:7] + "+" * git["modified"] if git else "unversioned"


def _unused(stem: str) -> Path:
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(path for name in names if not (path := FOLDER / f"{name}.json").exists())


if __name__ == "__main__":
    main()
