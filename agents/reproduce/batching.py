"""Claim: requests are batched too. What that adds to splitting, and splitting to it."""

from __future__ import annotations

from functools import cache

from matplotlib.figure import Figure
from rich.table import Table

from agents.drawing import colour
from agents.reproduce.claim import MARKS, Claim, Finding, percent, short, table
from agents.reproduce.pictures import HOW, draw_saving, label, percent_axis, sheet
from agents.reproduce.study import Played, Saved, Study, settings
from agents.reproduce.worlds import BASE, half_busy, under_load, with_target
from agents.statistics import Interval
from splitenv.scenario import Scenario

TARGET_S = 10.0
LOADS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.6)
SPLITS = {"all-cloud": "no split", "latency-bound": "split"}
BATCHINGS = {
    "none": "no batches",
    "slack": "batches of what waits",
    "symphony": "waits for company",
}
LINES = {"none": ":", "slack": "--", "symphony": "-"}
LIGHT, HEAVY = LOADS.index(0.5), LOADS.index(1.6)

Rows = dict[str, list[Saved]]
"""Savings at each load, by SPLIT+BATCHING."""


@cache
def worlds() -> tuple[Scenario, ...]:
    """One world for each load."""
    world = with_target(TARGET_S)
    return tuple(under_load(world, 2 * share * half_busy(world)) for share in LOADS)


def pairs() -> list[str]:
    """Both splits with each of the batching rules."""
    return [f"{split}+{batching}" for split in SPLITS for batching in BATCHINGS]


def played() -> list[Played]:
    """All pairs under all loads."""
    specs = [spec for pair in pairs() for spec in settings(pair, BASE)]
    return [(world, specs) for world in worlds()]


def find(study: Study) -> Finding:
    """Compare the pairs under each load, against all-cloud one by one."""
    rows = {
        pair: [study.compare(world, settings(pair, BASE)) for world in worlds()] for pair in pairs()
    }
    added = [_added(study, rows, place) for place in range(len(LOADS))]
    return Finding(
        ours=_sentence(rows, added),
        tables=(_table(rows, added),),
        data={
            "latency_target_s": TARGET_S,
            "points": [
                {
                    "load_of_one_by_one_capacity": share,
                    "requests_per_s": world.load,
                    "added_by_batching": vars(added[place]),
                    "pairs": {pair: row[place].as_dict() for pair, row in rows.items()},
                }
                for place, (share, world) in enumerate(zip(LOADS, worlds(), strict=True))
            ],
        },
        draw=lambda: _draw(rows),
    )


def _added(study: Study, rows: Rows, place: int) -> Interval:
    """What waiting for company saves more than splitting without batches."""
    both = rows["latency-bound+symphony"][place].samples_of_single
    return study.interval(both - rows["latency-bound+none"][place].samples_of_single)


def _sentence(rows: Rows, added: list[Interval]) -> str:
    split, batch, both = (
        rows[pair]
        for pair in ("latency-bound+none", "all-cloud+symphony", "latency-bound+symphony")
    )

    def saved(row: list[Saved], place: int) -> str:
        return f"{100 * row[place].saving_of_single.value:.0f}%"

    return (
        f"of what all-cloud takes one by one, with the pool half busy, splitting alone saves "
        f"{saved(split, LIGHT)}, batching alone {saved(batch, LIGHT)}, both {saved(both, LIGHT)}: "
        f"batching adds {percent(added[LIGHT])} points. Under {LOADS[HEAVY]:g} times what the pool "
        f"serves one by one, batching alone saves {saved(batch, HEAVY)} and both "
        f"{saved(both, HEAVY)}; without batches nothing serves that load."
    )


def _table(rows: Rows, added: list[Interval]) -> Table:
    view = table(
        f"GPU time saved against all-cloud one by one, at equal attainment and {TARGET_S:g} s, %",
        f"load: as a share of what the pool serves one by one; added by waiting for company to "
        f"splitting; - where splitting alone does not serve the load; {MARKS}",
        ("split", "batching"),
        tuple(f"{share:g}" for share in LOADS),
    )
    for pair, row in rows.items():
        split, _, batching = pair.partition("+")
        cells = [short(each, single=True) for each in row]
        view.add_row(SPLITS[split], BATCHINGS[batching], *cells)
    view.add_section()
    able = [each.reached for each in rows["latency-bound+none"]]
    cells = [percent(each) if can else "-" for each, can in zip(added, able, strict=True)]
    view.add_row("added by", "batching", *cells)
    return view


def _draw(rows: Rows) -> Figure:
    first, second = (
        100 * rows[pair][LIGHT].saving_of_single.value
        for pair in ("latency-bound+none", "latency-bound+symphony")
    )
    figure, (ax,) = sheet(
        f"Waiting for company adds to splitting: from {first:.0f}% to {second:.0f}% saved with the "
        "pool half busy",
        "GPU time saved against all-cloud one by one, at equal attainment. Stable Diffusion "
        f"2.1-base, two A100s, latency target {TARGET_S:g} s.\n"
        f"split: latency-bound; waits for company: symphony. Bars: 95%.\n{HOW}",
        (9.6, 6.0),
    )
    figure.subplots_adjust(left=0.08, right=0.76, top=0.8, bottom=0.09)
    for pair, row in rows.items():
        split, _, batching = pair.partition("+")
        tone = colour(split)
        draw_saving(ax, LOADS, row, tone, line=LINES[batching], single=True)
        last = (LOADS[-1], 100 * row[-1].saving_of_single.value)
        label(ax, f"{SPLITS[split]}, {BATCHINGS[batching]}", last, tone)
    ax.set_xlabel("load, as a share of what the pool serves one by one")
    ax.set_ylabel("GPU time saved against all-cloud one by one")
    ax.set_ylim(-4, 75)
    percent_axis(ax.yaxis)
    return figure


CLAIM = Claim(
    title="What batching adds",
    theirs="Requests are batched, but only while every member still meets its SLA; how much that "
    "adds to splitting could not be read.",
    assumed=f"sd-mobile's fleet and links, two A100s, a latency target of {TARGET_S:g} s. Whether "
    "the reference's requests wait for company is not known, so both are shown.",
    played=played,
    find=find,
)
