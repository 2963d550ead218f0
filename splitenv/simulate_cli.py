"""``python -m splitenv simulate``: play one episode, and see it."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from splitenv.files import write_files
from splitenv.options import AsJson, Changes
from splitenv.records import require_pyarrow, to_parquet
from splitenv.scenario import Scenario, load_scenario, parse_overrides
from splitenv.timeline import SimulateError, Timeline, simulate

_VALIDATED_LENGTH = 2**40
"""Decisions under which fields are checked; how many there are to be follows from the seconds."""


def command(
    scenario: Annotated[str, typer.Option(help="Name of a scenario, or a path ending in .yaml.")],
    policy: Annotated[
        str, typer.Option(help="A rule: NAME or NAME:PARAMETER=VALUE,...")
    ] = "latency-bound",
    seconds: Annotated[
        str,
        typer.Option(
            metavar="NUMBER", help="Until when requests arrive; those in flight then end too."
        ),
    ] = "120",
    seed: Annotated[int, typer.Option(min=0, help="What chance is drawn from.")] = 0,
    settings: Changes = None,
    timeline: Annotated[
        Path | None, typer.Option(help="Draw every request and GPU to this HTML page.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write the events to this JSON, for Perfetto or Chrome.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="Write a row for every request to this .parquet file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play one episode of a scenario under a rule, and draw it.

    Example: python -m splitenv simulate --scenario sd-mobile --seconds 60 --timeline out.html
    """
    duration = _duration(seconds)
    _check(timeline, trace, records)
    played = _play(_load(scenario, settings or []), policy, seed, duration)
    contents = _render(played, timeline, trace, records)
    write_files(contents)
    if as_json:
        about = {"scenario": played.scenario.name, "policy": policy, "seed": seed}
        print(json.dumps({**about, "seconds": duration, **played.summary()}, indent=2))
    else:
        title = f"{played.scenario.name} under {policy}, {duration:g} s, seed {seed}"
        Console().print(Text(title, style="bold"), _table(played), sep="\n")
    for path, content in contents.items():
        print(f"wrote {path} ({len(content) / 1e3:,.0f} kB)", file=sys.stderr)


def _load(name: str, settings: list[str]) -> Scenario:
    overrides = parse_overrides(settings)
    if "decisions" in overrides:
        raise SimulateError("--set decisions: here --seconds says how long the episode is")
    return load_scenario(name, {**overrides, "decisions": _VALIDATED_LENGTH})


def _duration(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SimulateError(f"--seconds must be a number, got {text!r}") from None


def _check(timeline: Path | None, trace: Path | None, records: Path | None) -> None:
    """Refuse what could not be written, before time is spent on playing."""
    options = {"--timeline": timeline, "--trace": trace, "--records": records}
    for (one, path), (other, same) in combinations(options.items(), 2):
        if path is not None and path == same:
            raise SimulateError(f"{one} and {other} name the same file, {path}")
    if records is not None:
        if records.suffix != ".parquet":
            raise SimulateError(f"--records must end in .parquet, got {records}")
        require_pyarrow()


def _play(scenario: Scenario, policy: str, seed: int, seconds: float) -> Timeline:
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(f"{scenario.name} under {policy}", total=seconds)
        return simulate(
            scenario, policy, seed, seconds, lambda now: bar.update(task, completed=now)
        )


def _render(
    played: Timeline, timeline: Path | None, trace: Path | None, records: Path | None
) -> dict[Path, bytes]:
    from splitenv.timeline_page import page
    from splitenv.trace import trace_json

    contents = {}
    if timeline is not None:
        contents[timeline] = page(played).encode()
    if trace is not None:
        contents[trace] = trace_json(played).encode()
    if records is not None:
        # The episode as it was played: until then its length followed from the seconds.
        length = {"decisions": len(played.requests)}
        contents[records] = to_parquet(
            played.record,
            played.scenario.model_copy(update=length),
            [played.seed],
            {"policy": played.policy, "seconds": played.seconds},
        )
    return contents


def _table(played: Timeline) -> Table:
    found = played.summary()
    requests = found["requests"]
    table = Table(show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right", style="bold")
    table.add_column(justify="left")
    for name, key in (
        ("requests", "requests"),
        ("in time", "in_time"),
        ("late", "late"),
        ("dropped", "dropped"),
        ("on the device alone", "on_device"),
    ):
        share = "" if key == "requests" else f"{found[key] / requests:.1%}"
        table.add_row(name, f"{found[key]:,.0f}", share)
    each = f"{found['gpu_seconds'] / requests:.3g} a request"
    table.add_row("GPU seconds", f"{found['gpu_seconds']:.1f}", each)
    table.add_row("batches", f"{found['batches']:,.0f}", "")
    table.add_row("mean batch", f"{found['mean_batch']:.2f}", "members at launch")
    return table
