"""Claim: for RegNet, offloading rarely pays; for Stable Diffusion it does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from agents.drawing import COLOURS
from agents.evaluation import quantiles
from agents.reproduce.claim import Claim, Finding, mark, percent, plus_minus, table
from agents.reproduce.pictures import label, log_axis, percent_axis, sheet
from agents.reproduce.study import (
    RULES,
    STRONGEST,
    Played,
    Saved,
    Study,
    settings,
)
from agents.reproduce.worlds import BASE
from agents.statistics import Floats, Interval, ratio
from agents.suite import tuned_spec
from splitenv.attainable import play_alone
from splitenv.profiles.catalogue import load_device, load_model, names
from splitenv.scenario import Scenario, load_scenario
from splitenv.tables import build_tables, fleet

SMALL, LARGE = "regnet-camera-small", "regnet-camera"
TONES = {"NPU": COLOURS["latency-bound"], "CPU": COLOURS["ppo"]}
LABELS: dict[str, tuple[str, dict[str, Any]]] = {
    "rb3-gen-2-cpu": ("regnet-y-8gf", {"ha": "right", "xytext": (-6, 0)}),
    "snapdragon-7-gen-4-cpu": ("regnet-y-128gf", {"xytext": (6, -9)}),
    "qcm6690": ("regnet-y-32gf", {"xytext": (6, -6)}),
}
"""Where lines are labelled that end where others do, and how."""
DIFFUSION = "stable-diffusion-2.1-base"


@dataclass(frozen=True)
class Worth:
    """What offloading is worth to requests of a model that run alone.

    Attributes
    ----------
    gain
        Median over requests of the latency saved by the best offloading against the device alone,
        as a share; negative where offloading is slower.
    offloaded
        Share of requests for which some offloading, divided or whole, is faster than the device.
    divided
        Share for which a true division is faster than both the device alone and the cloud alone.
    on_device
        Share that the device alone answers within the scenario's deadlines.
    least_is_divided
        Share for which, of all placements within the deadline, a division takes the least cloud:
        what the reference's rule would choose.
    requests
        How many requests these are shares of.
    by_device
        ``offloaded`` by device.
    """

    gmacs: float
    requests: int
    gain: Interval
    offloaded: Interval
    divided: Interval
    on_device: Interval
    least_is_divided: Interval
    by_device: dict[str, float]


@cache
def worlds() -> dict[str, Scenario]:
    """Each RegNet in the world of the small one, and Stable Diffusion on the same GPU and links."""
    base = load_scenario(SMALL)
    models = [name for name in names("models") if name.startswith("regnet")]
    made = {
        model: base.with_overrides({"models.0.model": model, "models.0.cut_every": 1})
        for model in models
    }
    same = {"pool": base.pool.model_dump(), "network": base.network.model_dump()}
    made[DIFFUSION] = load_scenario(BASE, same)
    return dict(sorted(made.items(), key=lambda each: gmacs(each[1])))


def gmacs(world: Scenario) -> float:
    """Work of a world's model."""
    workload = world.models[0]
    return float(load_model(workload.model).chain(workload.steps).macs.sum() / 1e9)


def played() -> list[Played]:
    """Both rules in the shipped scenarios of a small and a large RegNet, tuned for each."""
    return [
        (load_scenario(name), [spec for rule in RULES for spec in settings(rule, name)])
        for name in (SMALL, LARGE)
    ]


def find(study: Study) -> Finding:
    """Run requests alone, for what offloading is worth; then compare the rules under load."""
    worth = {model: _worth(study, world) for model, world in worlds().items()}
    saved = {
        (name, rule): study.compare(load_scenario(name), settings(rule, name))
        for name in (SMALL, LARGE)
        for rule in RULES
    }
    kept = {key: _on_device(study, *key) for key in saved}
    return Finding(
        ours=_sentence(worth, saved),
        tables=(_worth_table(worth), _loaded_table(saved, kept)),
        data={
            "alone": [
                {
                    "model": model,
                    "gmacs": each.gmacs,
                    "requests": each.requests,
                    "median_latency_gain": vars(each.gain),
                    "offloading_is_faster": vars(each.offloaded),
                    "division_is_fastest": vars(each.divided),
                    "device_alone_is_in_time": vars(each.on_device),
                    "division_is_least_cloud_in_time": vars(each.least_is_divided),
                    "offloading_is_faster_by_device": each.by_device,
                    **boundaries(model),
                }
                for model, each in worth.items()
            ],
            "loaded": [
                {
                    "scenario": name,
                    "rule": rule,
                    **each.as_dict(),
                    "on_device": vars(kept[name, rule]),
                }
                for (name, rule), each in saved.items()
            ],
        },
        draw=lambda: _draw(worth),
    )


def _worth(study: Study, world: Scenario) -> Worth:
    alone = play_alone(world, study.seed + np.arange(study.episodes))
    device, cloud = alone.latency[:, :, 0], alone.latency[:, :, -1]
    divided = alone.latency[:, :, 1:-1].min(axis=2)
    best = np.minimum(divided, cloud)
    offloaded = best < device
    deadline = build_tables(world).deadline[alone.sla]
    shares = {
        "offloaded": offloaded,
        "divided": divided < np.minimum(device, cloud),
        "on_device": device <= deadline,
        "least_is_divided": (device > deadline) & (divided <= deadline),
    }
    return Worth(
        gmacs=gmacs(world),
        requests=device.size,
        gain=_median(study, 1.0 - best / device),
        by_device={
            each.name: float(offloaded[alone.device == code].mean())
            for code, each in enumerate(fleet(world))
        },
        **{
            name: ratio(of.mean(axis=1), np.ones(study.episodes), study.weights)
            for name, of in shares.items()
        },
    )


def _median(study: Study, values: Floats) -> Interval:
    order = np.argsort(values, axis=None, kind="stable")
    episode = np.broadcast_to(np.arange(len(values))[:, None], values.shape).ravel()[order]
    return study.interval(quantiles(values.ravel()[order], episode, study.weights, (0.5,))[:, 0])


def boundaries(model: str) -> dict[str, float]:
    """Bytes of the input as it is sent, and the least and most that a division sends instead."""
    world = worlds()[model]
    tables = build_tables(world)
    inside = (tables.up if load_model(model).order == "device-first" else tables.down)[0, 1:-1]
    return {
        "input_bytes": float(tables.up[0, -1]),
        "least_crossing_bytes": float(inside.min()),
        "most_crossing_bytes": float(inside.max()),
    }


def _on_device(study: Study, scenario: str, rule: str) -> Interval:
    """Share of requests that a rule, as tuned, leaves to the device alone."""
    tally = study.tally(load_scenario(scenario), tuned_spec(rule, scenario))
    return ratio(tally.of("on_device"), tally.of("requests"), study.weights)


def _regnets(worth: dict[str, Worth]) -> dict[str, Worth]:
    return {model: each for model, each in worth.items() if model != DIFFUSION}


def _sentence(worth: dict[str, Worth], saved: dict[tuple[str, str], Saved]) -> str:
    regnets = _regnets(worth)
    slower = [each for each in regnets.values() if not each.gain.high >= 0.0]
    diffusion = worth[DIFFUSION]
    small = saved[SMALL, STRONGEST]
    return (
        f"a division is fastest for {_most(regnets)}, of any RegNet. For {len(slower)} of "
        f"{len(regnets)} RegNets the median request is surely slower offloaded than on the device; "
        f"for Stable Diffusion it is {100 * diffusion.gain.value:.0f}% faster, and a division is "
        f"what just meets the deadline for {100 * diffusion.least_is_divided.value:.0f}%. "
        f"Under load the rules leave RegNetX-3.2GF to the devices and save "
        f"{100 * small.saving.value:.0f}%."
    )


def _most(regnets: dict[str, Worth]) -> str:
    """Say for how many requests a division is fastest, of the RegNet with most of them."""
    most = max(each.divided.value for each in regnets.values())
    if most > 0.0:
        return f"at most {100 * most:.2g}% of requests"
    return f"none of {sum(each.requests for each in regnets.values()):,} requests"


def _worth_table(worth: dict[str, Worth]) -> Table:
    view = table(
        "What offloading is worth, each request alone on a V100 over WiFi and mid-band 5G",
        "offloaded: the best of all placements but the device alone; division: part on each side; "
        "in time: within the deadlines of regnet-camera-small, of sd-mobile for Stable Diffusion",
        ("model",),
        (
            "GMACs",
            "input\nkB",
            "crossing\nkB",
            "median gain,\noffloaded %",
            "offloaded is\nfaster for %",
            "a division is\nfastest for %",
            "device alone\nin time %",
            "a division is least\ncloud in time for %",
        ),
    )
    for model, each in worth.items():
        size = boundaries(model)
        crossing = (
            f"{size['least_crossing_bytes'] / 1e3:.0f} to {size['most_crossing_bytes'] / 1e3:.0f}"
        )
        view.add_row(
            model,
            f"{each.gmacs:.1f}",
            f"{size['input_bytes'] / 1e3:.1f}",
            crossing,
            plus_minus(each.gain),
            plus_minus(each.offloaded, 1),
            plus_minus(each.divided, 1),
            plus_minus(each.on_device, 1),
            plus_minus(each.least_is_divided, 1),
        )
    return view


def _loaded_table(
    saved: dict[tuple[str, str], Saved], kept: dict[tuple[str, str], Interval]
) -> Table:
    view = table(
        "RegNet under load, as the shipped scenarios have it",
        "saved at equal attainment, 99% or all-cloud's; left to the device: as tuned",
        ("scenario", "policy"),
        ("all-cloud in time %", "compared at %", "GPU time saved %", "left to the device %"),
    )
    for (name, rule), each in saved.items():
        view.add_row(
            name,
            rule,
            percent(each.all_cloud, 1),
            f"{100 * each.asked:.1f}",
            f"{percent(each.saving, 1)}{mark(each)}",
            percent(kept[name, rule], 1),
        )
    return view


def _draw(worth: dict[str, Worth]) -> Figure:
    regnets = _regnets(worth)
    figure, (ax,) = sheet(
        f"Dividing a RegNet is fastest for {_most(regnets)}; sending it whole pays only for "
        "slow devices and big models",
        "Share of requests that are faster offloaded, the best of all placements, than on the "
        "device alone; by device.\nEach request alone: a V100, WiFi and mid-band 5G. A point is a "
        "RegNet of the X or Y family. Vermilion: CPU only; blue: with NPU.",
        (9.6, 5.8),
    )
    figure.subplots_adjust(left=0.08, right=0.78, top=0.83, bottom=0.1)
    work = [each.gmacs for each in regnets.values()]
    ends: dict[str, float] = {}
    for name in next(iter(regnets.values())).by_device:
        values = [100 * each.by_device[name] for each in regnets.values()]
        tone = TONES[load_device(name).compute_unit]
        ax.plot(work, values, "-o", color=tone, markersize=4, linewidth=1.4, clip_on=False)
        ends[name] = values[-1]
    paying = sorted((name for name in ends if ends[name] > 0), key=lambda name: -ends[name])
    end = list(regnets)[-1]
    for name in paying:
        tone = TONES[load_device(name).compute_unit]
        model, where = LABELS.get(name, (end, {}))
        label(ax, name, (regnets[model].gmacs, 100 * regnets[model].by_device[name]), tone, **where)
    rest = len(ends) - len(paying)
    label(ax, f"the other {rest} devices", (work[-1], 0.0), TONES["NPU"], xytext=(8, 0))
    ax.set_xscale("log")
    ax.set_ylim(-2, 102)
    log_axis(ax.xaxis, (0.4, 1, 2, 4, 8, 16, 32, 128))
    percent_axis(ax.yaxis)
    ax.set_xlabel("work of the model, GMACs (log scale)")
    ax.set_ylabel("requests faster offloaded")
    return figure


CLAIM = Claim(
    title="RegNet",
    theirs="RegNet runs fast enough on devices that offloading rarely pays, as activations are "
    "larger than the input image; Stable Diffusion gains a lot.",
    assumed="The fleet with a RegNet measurement, a V100, WiFi and mid-band 5G; cuts after each "
    "residual block; the input is sent as a JPEG of an assumed size, activations as fp16.",
    played=played,
    find=find,
)
