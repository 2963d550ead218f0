"""``python -m splitenv profiles``: list, show and check the profiles."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from splitenv.options import AsJson
from splitenv.profiles import catalogue, summary
from splitenv.profiles.arrivals import HourRates
from splitenv.profiles.compute import DeviceProfile, GpuProfile
from splitenv.profiles.figures import Curve, Figure, ProfileError
from splitenv.profiles.import_cli import app as import_app

app = typer.Typer(
    help="The measured models, devices, GPUs, networks and arrivals that scenarios are made of.",
    invoke_without_command=True,
    add_completion=False,
)
app.add_typer(import_app, name="import")

PIPE_WIDTH = 140


@app.callback()
def list_profiles(context: typer.Context, as_json: AsJson = False) -> None:
    """List all profiles, or show or check them.

    Example: python -m splitenv profiles show a100 --plot a100.png
    """
    if context.invoked_subcommand is not None:
        return
    rows = [_row(kind, name) for kind in catalogue.CLASSES for name in catalogue.names(kind)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("kind", "name", "title", header_style="bold", title="Profiles")
    for kind in catalogue.FIGURE_KINDS:
        table.add_column(kind, justify="right")
    table.add_column("main figure")
    for row in rows:
        counts = [str(row[kind]) for kind in catalogue.FIGURE_KINDS]
        table.add_row(row["kind"], row["name"], row["title"], *counts, row["main_figure"])
    _console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a profile, or a path ending in .yaml.")],
    plot: Annotated[
        Path | None, typer.Option(help="Draw the batch curve or the components to this PNG.")
    ] = None,
) -> None:
    """Show one profile: every figure with its kind, rule and source, and its curve.

    Example: python -m splitenv profiles show galaxy-s24
    """
    kind, profile = catalogue.find(name)
    console = _console()
    console.print(Text(f"{profile.name}  {profile.title}", style="bold"), f"({kind})")
    if line := summary.headline(profile):
        console.print(line, highlight=False)
    if isinstance(profile, DeviceProfile):
        console.print(summary.sustained(profile), highlight=False)
    found = list(catalogue.figures(profile))
    console.print(_figures_table(found))
    _print_sources(console, sorted({source for _, figure in found for source in figure.source}))
    if plot is not None:
        _draw(profile, plot)
        console.print(f"wrote {plot}")
    elif isinstance(profile, GpuProfile):
        _print_curves(console, profile)
    elif isinstance(profile, DeviceProfile):
        _print_components(console, profile)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Validate every profile; exit 1 with one line per fault.

    Example: python -m splitenv profiles check
    """
    report = catalogue.check()
    if as_json:
        print(json.dumps(vars(report), indent=2))
    else:
        _print_report(report)
    if report.faults:
        raise typer.Exit(1)


def _row(kind: str, name: str) -> dict[str, Any]:
    profile = catalogue.LOADERS[kind](name)
    return {
        "kind": kind,
        "name": name,
        "title": profile.title,
        **catalogue.count_figures(profile),
        "main_figure": summary.headline(profile),
    }


def _figures_table(found: list[tuple[str, Any]]) -> Table:
    table = Table("field", "value", "kind", "rule and setting", "source", header_style="bold")
    before = ""
    for at, figure in found:
        setting = ", ".join(f"{key} {value}" for key, value in figure.setting.items())
        text = "\n".join(filter(None, [figure.rule, setting]))
        shown = "as above" if text and text == before else text
        table.add_row(at, _value(figure), figure.kind, shown, "\n".join(figure.source))
        before = text
    return table


def _value(figure: Any) -> str:
    if isinstance(figure, Curve):
        pairs = zip(figure.batch, figure.time, strict=True)
        return "\n".join(f"batch {batch}: {time:g} {figure.unit}" for batch, time in pairs)
    if isinstance(figure, Figure):
        times = f" x {figure.times:g}" if figure.times != 1 else ""
        return f"{figure.value:g} {figure.unit}{times}"
    if isinstance(figure, HourRates):
        return " ".join(f"{rate:g}" for rate in figure.rate)
    return f"like {figure.model}" if hasattr(figure, "model") else "computed"


def _print_sources(console: Console, ids: list[str]) -> None:
    known = catalogue.sources()
    console.print("Sources", style="bold")
    for source in ids:
        if source not in known:
            console.print(f"  {source}: in no SOURCES file", highlight=False)
            continue
        entry = known[source]
        place = " ".join(filter(None, [entry.url, entry.path, entry.revision[:10]]))
        line = f"  {source}: {entry.title}, {entry.date}, {entry.licence}. {place}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _print_curves(console: Console, gpu: GpuProfile) -> None:
    for curve in summary.batch_curves(gpu):
        table = Table("batch", "whole batch", "per request", "", title=curve.finding)
        for batch, total, each in zip(curve.batch, curve.total, curve.per_image, strict=True):
            bar = _bar(each / curve.per_image.max())
            table.add_row(str(batch), summary.duration(total), summary.duration(each), bar)
        console.print(table)


def _print_components(console: Console, device: DeviceProfile) -> None:
    for parts in summary.components(device):
        table = Table("kind", "time", "", title=parts.finding)
        for kind, seconds in parts.seconds.items():
            table.add_row(kind, summary.duration(seconds), _bar(seconds / parts.total))
        console.print(table)


def _bar(share: float, width: int = 30) -> str:
    return "█" * max(1, round(share * width))


def _draw(profile: Any, path: Path) -> None:
    from splitenv.profiles import plots  # matplotlib takes a second to import

    if isinstance(profile, GpuProfile):
        figure = plots.batch_curve(profile)
    elif isinstance(profile, DeviceProfile):
        figure = plots.device_components(profile)
    else:
        raise ProfileError(f"{profile.name}: only GPUs and devices have a plot")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: the plot cannot be written: {error}") from error


def _print_report(report: catalogue.Report) -> None:
    table = Table("kind", "profiles", *catalogue.FIGURE_KINDS, header_style="bold")
    for kind, files in report.profiles.items():
        counts = report.figures.get(kind, {})
        table.add_row(kind, str(files), *(str(counts.get(k, 0)) for k in catalogue.FIGURE_KINDS))
    totals = [sum(c[kind] for c in report.figures.values()) for kind in catalogue.FIGURE_KINDS]
    table.add_section()
    table.add_row("all", str(sum(report.profiles.values())), *map(str, totals))
    _console().print(table)
    for fault in report.faults:
        print(fault)
    print("no faults" if not report.faults else f"{len(report.faults)} faults")


def _console() -> Console:
    """Write to the terminal at its width, and to a pipe or a file at one that holds the tables."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
