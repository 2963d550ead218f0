"""Claim: the scheduler minds network quality. What slower networks cost."""

from __future__ import annotations

import math
from functools import cache

from matplotlib.figure import Figure

from agents.reproduce.claim import MARKS, Claim, Finding, mark, percent, table
from agents.reproduce.pictures import HOW, TONES, draw_saving, label, percent_axis, sheet
from agents.reproduce.study import (
    REFERENCE,
    RULES,
    Played,
    Saved,
    Study,
    settings,
)
from agents.reproduce.worlds import BASE, standard
from splitenv.profiles.catalogue import load_network, names
from splitenv.profiles.networks import NETWORK_FIELDS
from splitenv.scenario import Scenario

TARGETS = (4.0, 10.0)
LINES = {4.0: "--", 10.0: "-"}

Key = tuple[str, float]
"""Rule and target."""


def median_rate(network: str) -> float:
    """Median downlink rate of a network's sessions, Mbit/s."""
    params = dict(zip(NETWORK_FIELDS, load_network(network).params(), strict=True))
    return float(math.exp(params["downlink_log_mean"]) * 8 / 1e6)


@cache
def networks() -> tuple[str, ...]:
    """The shipped networks, the fastest first."""
    return tuple(sorted(names("networks"), key=median_rate, reverse=True))


@cache
def worlds(target: float) -> tuple[Scenario, ...]:
    """All clients on one network, for each network."""
    return tuple(standard(target, {"network.shares": {name: 1.0}}) for name in networks())


def played() -> list[Played]:
    """Both rules on every network, with both targets."""
    specs = [spec for rule in RULES for spec in settings(rule, BASE)]
    return [(world, specs) for target in TARGETS for world in worlds(target)]


def find(study: Study) -> Finding:
    """Compare networks."""
    saved = {
        (rule, target): [study.compare(world, settings(rule, BASE)) for world in worlds(target)]
        for target in TARGETS
        for rule in RULES
    }
    view = table(
        "GPU time saved against all-cloud at equal attainment, %, with all clients on one network",
        f"in time: all-cloud's; {MARKS}",
        ("network",),
        (
            "Mbit/s down",
            *(head for t in TARGETS for head in (f"in time, {t:g} s", *RULES)),
        ),
    )
    for place, name in enumerate(networks()):
        cells = []
        for target in TARGETS:
            row = [saved[rule, target][place] for rule in RULES]
            cells.append(f"{100 * row[0].all_cloud.value:.1f}")
            cells += [f"{percent(each.saving)}{mark(each)}" for each in row]
        view.add_row(name, f"{median_rate(name):.1f}", *cells)
    return Finding(
        ours=_sentence(saved),
        tables=(view,),
        data={
            "networks": [
                {
                    "network": name,
                    "median_downlink_mbit_s": median_rate(name),
                    "points": [
                        {"rule": rule, "latency_target_s": target, **row[place].as_dict()}
                        for (rule, target), row in saved.items()
                    ],
                }
                for place, name in enumerate(networks())
            ]
        },
        draw=lambda: _draw(saved),
    )


def _sentence(saved: dict[Key, list[Saved]]) -> str:
    fast, slow = networks()[0], networks()[-1]

    def words(target: float) -> str:
        first, last = saved[REFERENCE, target][0], saved[REFERENCE, target][-1]
        return (
            f"at {target:g} s {REFERENCE} saves {100 * first.saving.value:.0f}% on {fast} and "
            f"{100 * last.saving.value:.0f}% on {slow}, where all-cloud has "
            f"{100 * last.all_cloud.value:.1f}% in time"
        )

    return f"{words(10.0)}; {words(4.0)}."


def _draw(saved: dict[Key, list[Saved]]) -> Figure:
    values = [f"{100 * saved[REFERENCE, 10.0][place].saving.value:.0f}%" for place in (0, -2, -1)]
    first, next_to_last, last = values
    figure, (ax,) = sheet(
        f"Most networks make no difference at 10 s: {first} saved on {networks()[0]}, "
        f"{next_to_last} on {networks()[-2]}; {last} on {networks()[-1]}",
        "Saved against all-cloud at equal attainment. Stable Diffusion 2.1-base, two A100s, light "
        f"load, all clients on one network. Bars: 95%.\nSolid: latency target 10 s; dashed: 4 s.\n"
        f"{HOW}",
        (9.6, 5.8),
    )
    figure.subplots_adjust(left=0.09, right=0.8, top=0.79, bottom=0.14)
    places = list(range(len(networks())))
    for (rule, target), row in saved.items():
        draw_saving(ax, places, row, TONES[rule], line=LINES[target])
        end = (places[-1], 100 * row[-1].saving.value)
        label(ax, f"{rule}, {target:g} s", end, TONES[rule])
    ticks = [f"{name}\n{median_rate(name):.0f} Mbit/s" for name in networks()]
    ax.set_xticks(places, ticks, size=8.5)
    ax.set_ylim(-4, 70)
    percent_axis(ax.yaxis)
    ax.set_xlabel("network, with the median downlink of its sessions")
    ax.set_ylabel("GPU time saved against all-cloud")
    return figure


CLAIM = Claim(
    title="Slower networks",
    theirs="The scheduler collects network quality and decides by it; no figure could be read.",
    assumed="All clients on one of the shipped networks; sd-mobile's fleet, two A100s, light load.",
    played=played,
    find=find,
)
