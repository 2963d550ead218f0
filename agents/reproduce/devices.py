"""Claim: with the scheduler, latency is consistent across device types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from rich.table import Table

from agents.drawing import FAINT, colour
from agents.evaluation import quantiles, run_episodes
from agents.items import policy_of
from agents.judge import ALL_CLOUD
from agents.reproduce.claim import Claim, Finding, table
from agents.reproduce.pictures import label, log_axis, sheet
from agents.reproduce.study import REFERENCE, STRONGEST, Played, Study
from agents.reproduce.worlds import BASE, standard
from agents.statistics import Floats, Interval, ratio
from agents.suite import tuned_spec
from splitenv.accounting import DROPPED, IN_TIME
from splitenv.profiles.catalogue import load_device
from splitenv.scenario import Scenario
from splitenv.tables import fleet

ALL_DEVICE = "all-device"
POLICIES = (ALL_DEVICE, ALL_CLOUD, REFERENCE, STRONGEST)
LEVELS = (0.5, 0.05, 0.95)
TARGET_S = 10.0


@dataclass(frozen=True)
class Latency:
    """Latency of the requests of one device type under a policy, s, and who is in time."""

    p50: Interval
    p5: Interval
    p95: Interval
    in_time: Interval
    medians: Floats


Latencies = dict[str, dict[str, Latency]]
"""By policy, then by device, the slowest first."""


def played() -> list[Played]:
    """Nothing: latencies by device type are read off the records, which no piece keeps."""
    return []


def find(study: Study) -> Finding:
    """Play four policies, and compare device types."""
    world = standard(TARGET_S)
    found = {policy: _latencies(study, world, policy) for policy in POLICIES}
    order = sorted(found[ALL_DEVICE], key=lambda name: -found[ALL_DEVICE][name].p50.value)
    found = {policy: {name: rows[name] for name in order} for policy, rows in found.items()}
    spread = {policy: study.interval(_spread(rows)) for policy, rows in found.items()}
    return Finding(
        ours=_sentence(spread),
        tables=(_table(found, spread),),
        data={
            "scenarios": [world.model_dump(mode="json")],
            "policies": [policy_of(tuned_spec(name, BASE)).describe() for name in POLICIES],
            "slowest_over_fastest_median": {name: vars(each) for name, each in spread.items()},
            "latency_s": {
                policy: {
                    name: {key: vars(getattr(each, key)) for key in ("p50", "p5", "p95", "in_time")}
                    for name, each in rows.items()
                }
                for policy, rows in found.items()
            },
        },
        draw=lambda: _draw(found, spread),
    )


def _latencies(study: Study, world: Scenario, name: str) -> dict[str, Latency]:
    """Latency of each device type under a policy at its tuned setting."""
    kept: list[npt.NDArray[Any]] = []
    policy = policy_of(tuned_spec(name, BASE))
    run_episodes(policy, world, study.episodes, study.seed, keep=lambda r: kept.append(r.copy()))
    record = np.concatenate(kept)[:, world.warmup : world.decisions - world.warmup]
    latency = np.where(record["outcome"] == DROPPED, np.inf, record["complete"] - record["arrival"])
    episode = np.broadcast_to(np.arange(len(record))[:, None], record.shape)
    device = np.array([each.name for each in fleet(world)])[record["device"]]
    found = {}
    for kind in dict.fromkeys(each.name for each in fleet(world)):
        mine = device == kind
        order = np.argsort(latency[mine], kind="stable")
        values = quantiles(latency[mine][order], episode[mine][order], study.weights, LEVELS)
        met = (mine & (record["outcome"] == IN_TIME)).sum(axis=1).astype(float)
        share = ratio(met, mine.sum(axis=1).astype(float), study.weights)
        middle, low, high = (study.interval(values[:, column]) for column in range(len(LEVELS)))
        found[kind] = Latency(middle, low, high, share, values[:, 0])
    return found


def _spread(rows: dict[str, Latency]) -> Floats:
    """Median of the slowest device type over that of the fastest, by resample."""
    medians = np.column_stack([each.medians for each in rows.values()])
    return np.asarray(medians.max(axis=1) / medians.min(axis=1), np.float64)


def _sentence(spread: dict[str, Interval]) -> str:
    return (
        f"between the slowest and the fastest device type, median latency differs by a factor of "
        f"{_factor(spread[ALL_DEVICE])} on the devices alone, {_factor(spread[REFERENCE])} with "
        f"{REFERENCE}, {_factor(spread[STRONGEST])} with {STRONGEST}, {_factor(spread[ALL_CLOUD])} "
        "all-cloud."
    )


def _factor(figure: Interval) -> str:
    return f"{figure.value:.3g} ({figure.low:.3g} to {figure.high:.3g})"


def _table(found: Latencies, spread: dict[str, Interval]) -> Table:
    view = table(
        f"Latency by device type, s: median (5th to 95th percentile), and share within "
        f"{TARGET_S:g} s, %",
        "at the tuned settings of sd-mobile",
        ("device",),
        tuple(head for policy in POLICIES for head in (policy, "in time")),
    )
    for name in found[ALL_DEVICE]:
        cells = []
        for policy in POLICIES:
            each = found[policy][name]
            middle = f"({each.p5.value:.3g} to {each.p95.value:.3g})"
            cells += [f"{each.p50.value:.3g} {middle}", f"{100 * each.in_time.value:.1f}"]
        view.add_row(name, *cells)
    view.add_section()
    factors = [cell for policy in POLICIES for cell in (_factor(spread[policy]), "")]
    view.add_row("slowest / fastest median", *factors)
    return view


def _draw(found: Latencies, spread: dict[str, Interval]) -> Figure:
    figure, (ax,) = sheet(
        f"With the scheduler, median latency differs {spread[REFERENCE].value:.2g}-fold between "
        f"device types; without the cloud, {spread[ALL_DEVICE].value:.0f}-fold",
        "Stable Diffusion 2.1-base, 50 steps, two A100s, light load. Dot: median; bar: 5th to "
        "95th percentile of requests.\nBeside each: share of requests within the target.",
        (9.6, 7.4),
    )
    figure.subplots_adjust(left=0.22, right=0.97, top=0.87, bottom=0.07)
    devices = list(found[ALL_DEVICE])
    for row, name in enumerate(devices):
        for shift, policy in enumerate(POLICIES):
            each, tone = found[policy][name], colour(policy)
            y = row + 0.2 * (shift - 1.5)
            ax.plot([each.p5.value, each.p95.value], [y, y], color=tone, linewidth=1.6)
            ax.plot([each.p50.value], [y], "o", color=tone, markersize=4.5)
            words = f"{100 * each.in_time.value:.3g}%"
            if row == 0 and policy != ALL_DEVICE:
                words += f"  {policy}"
            label(ax, words, (each.p95.value, y), tone, size=7 if row else 8)
    slowest = found[ALL_DEVICE][devices[0]]
    tone = colour(ALL_DEVICE)
    label(ax, ALL_DEVICE, (slowest.p5.value, -0.3), tone, ha="right", xytext=(-6, 0), size=8)
    ax.axvline(TARGET_S, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    label(ax, f"target {TARGET_S:g} s", (TARGET_S, len(devices) - 0.35), "#666666", va="bottom")
    ax.set_yticks(range(len(devices)), [_title(name) for name in devices], size=8.5)
    ax.set_ylim(-0.6, len(devices) - 0.4)
    ax.grid(axis="y", visible=False)
    ax.set_xscale("log")
    ax.set_xlim(1.5, 2500)
    log_axis(ax.xaxis, (2, 5, 10, 20, 50, 100, 200, 500, 1000))
    ax.set_xlabel("latency, s (log scale)")
    return figure


def _title(device: str) -> str:
    return load_device(device).title.removesuffix(" reference phone")


CLAIM = Claim(
    title="Latency across device types",
    theirs="The scheduler gives consistent latency across device types.",
    assumed=f"One latency target of {TARGET_S:g} s for all requests; sd-mobile's fleet and links, "
    "two A100s, light load; rules as tuned for sd-mobile.",
    played=played,
    find=find,
)
