"""Command line: turn a recorded trace into a profile (``python -m splitenv profiles import``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from splitenv.profiles.figures import ProfileError
from splitenv.profiles.importers import (
    arrival_profile_from_times,
    network_profile_from_trace,
    read_arrival_csv,
    read_azure_llm,
    read_mahimahi,
    read_network_csv,
    write_profile,
)

app = typer.Typer(help="Fit a profile to a trace of your own.", no_args_is_help=True)

Name = Annotated[str, typer.Option(help="Name that scenarios will use.")]
Out = Annotated[Path, typer.Option(help="YAML file to write.")]


@app.command()
def network(
    name: Name,
    out: Out,
    csv: Annotated[Path | None, typer.Option(help="t_s,uplink_mbps,downlink_mbps,rtt_ms")] = None,
    mahimahi_up: Annotated[Path | None, typer.Option(help="Mahimahi .up file.")] = None,
    mahimahi_down: Annotated[Path | None, typer.Option(help="Mahimahi .down file.")] = None,
    rtt_ms: Annotated[float | None, typer.Option(help="RTT of the Mahimahi pair, ms.")] = None,
) -> None:
    """Fit a network profile to a trace.

    Example: profiles import network --csv trace.csv --name my-net --out my-net.yaml
    """
    try:
        if csv and not (mahimahi_up or mahimahi_down or rtt_ms is not None):
            trace = read_network_csv(csv)
        elif mahimahi_up and mahimahi_down and rtt_ms is not None and not csv:
            trace = read_mahimahi(mahimahi_up, mahimahi_down, rtt_ms)
        else:
            raise ProfileError(
                "give either --csv, or --mahimahi-up, --mahimahi-down and --rtt-ms together"
            )
        profile = network_profile_from_trace(trace, name)
        write_profile(profile, out)
    except ProfileError as error:
        _fail(error)
    typer.echo(
        f"{out}: uplink {profile.uplink.median_mbps:.3g} Mbit/s, "
        f"downlink {profile.downlink.median_mbps:.3g} Mbit/s, "
        f"RTT {profile.rtt.median_ms:.3g} ms (medians)"
    )


@app.command()
def arrivals(
    name: Name,
    out: Out,
    csv: Annotated[Path | None, typer.Option(help="Arrival times, column t_s.")] = None,
    azure: Annotated[Path | None, typer.Option(help="Azure LLM inference trace.")] = None,
) -> None:
    """Fit an arrival profile to arrival times.

    Example: profiles import arrivals --csv times.csv --name my-load --out my-load.yaml
    """
    try:
        if csv and not azure:
            times = read_arrival_csv(csv)
        elif azure and not csv:
            times = read_azure_llm(azure)
        else:
            raise ProfileError("give either --csv or --azure")
        profile = arrival_profile_from_times(times, name)
        write_profile(profile, out)
    except ProfileError as error:
        _fail(error)
    typer.echo(f"{out}: {profile.title}. {profile.note}")


def _fail(error: ProfileError) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(code=1) from error
