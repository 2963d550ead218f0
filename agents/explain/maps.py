"""Policy maps: what a policy decides in the states that it meets, beside what a rule would.

A map's cells are device type x reported bandwidth x load. They are filled with the states of
played episodes rather than by sweeping one request, as a state is more than its axes: queues, GPUs
and companions come with the load, and a sweep would have to hold them at values that never go
together. The rule is asked in the same states, so that what differs is the decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.explain.played import States
from agents.policy import Policy
from splitenv.context import Context
from splitenv.names import names_of
from splitenv.scenario import Scenario
from splitenv.state import Array, Tables
from splitenv.tables import build_tables

LOADS = {"low": 0.5, "nominal": 1.0, "high": 1.25}
"""Loads that maps show, as multiples of the scenario's."""

BANDS = 6
FEWEST = 20
"""States below which a cell stays empty."""

MBIT = 1e6 / 8


@dataclass(frozen=True)
class Map:
    """What each policy decides for one model, by load, device and bandwidth.

    Attributes
    ----------
    model
        Name of the model.
    loads
        Requests/s of each load.
    devices
        Device types, the slowest first; with seconds for the whole model in ``seconds``, infinite
        where it cannot.
    edges
        Between the bands of bandwidth, Mbit/s.
    count
        States in each cell, shape (loads, devices, bands).
    share, hold
        Mean split ratio and hold by policy; NaN in cells of fewer than :data:`FEWEST` states.
        Holds are those of decisions that send something.
    differ
        By rule, share of all states in which its placement is not the policy's.
    """

    model: str
    loads: tuple[float, ...]
    devices: tuple[str, ...]
    seconds: tuple[float, ...]
    edges: tuple[float, ...]
    count: npt.NDArray[np.int64]
    share: dict[str, Array]
    hold: dict[str, Array]
    differ: dict[str, float]

    def difference(self, policy: str, rule: str) -> float:
        """Mean split ratio of the policy minus that of the rule, over all cells' states."""
        return float(np.nansum(self._apart(policy, rule)) / self._mapped())

    def by_device(self, policy: str, rule: str) -> Array:
        """The same by device, NaN where it has no states."""
        apart = np.nansum(self._apart(policy, rule), axis=(0, 2))
        counted = np.where(self.count >= FEWEST, self.count, 0).sum(axis=(0, 2))
        known = np.full(len(counted), np.nan)
        np.divide(apart, counted, out=known, where=counted > 0)
        return known

    def _apart(self, policy: str, rule: str) -> Array:
        return (self.share[policy] - self.share[rule]) * self.count

    def _mapped(self) -> int:
        return max(1, int(self.count[self.count >= FEWEST].sum()))


def at_load(scenario: Scenario, factor: float) -> Scenario:
    """The scenario at a multiple of its load."""
    return scenario.with_overrides({"load": scenario.load * factor})


def maps(
    scenario: Scenario, states: Sequence[States], policy: str, rules: Mapping[str, Policy]
) -> list[Map]:
    """Make the map of each model.

    Parameters
    ----------
    states
        What the policy met at each of :data:`LOADS`.
    policy
        Its name.
    rules
        Who else is asked in the same states, by name.
    """
    context = Context(build_tables(scenario))
    record = np.concatenate([each.record for each in states])
    load = np.repeat(np.arange(len(states)), [len(each.record) for each in states])
    decided = {policy: np.concatenate([each.actions for each in states])}
    for name, rule in rules.items():
        rule.bind(context)
        decided[name] = np.concatenate([rule.act(each.observations, each.masks) for each in states])
    models = names_of(scenario).models
    return [
        _map(
            scenario,
            context.tables,
            model,
            record[rows],
            load[rows],
            {who: actions[rows] for who, actions in decided.items()},
        )
        for model in range(len(models))
        if (rows := record["model"] == model).any()
    ]


def _map(
    scenario: Scenario,
    tables: Tables,
    model: int,
    record: Array,
    load: Array,
    decided: Mapping[str, Array],
) -> Map:
    """Make the map of one model from its requests, their loads, and what each would do."""
    names = names_of(scenario)
    labels, seconds, row_of = _devices(names.devices, tables.head[:, model, 0], record["device"])
    rate = bandwidth(tables, record)
    levels = np.quantile(rate, np.arange(1, BANDS) / BANDS)
    edges = sorted({float(f"{level:.2g}") for level in levels})
    band = np.searchsorted(edges, rate, side="right")
    shape = (len(LOADS), len(labels), len(edges) + 1)
    cell = np.ravel_multi_index((load, row_of[record["device"]], band), shape)
    count = np.bincount(cell, minlength=np.prod(shape)).reshape(shape)
    placed = {who: tables.action_placement[actions] for who, actions in decided.items()}
    policy, *rules = decided
    return Map(
        model=names.models[model],
        loads=tuple(scenario.load * factor for factor in LOADS.values()),
        devices=labels,
        seconds=seconds,
        edges=tuple(edges),
        count=count,
        share={who: _means(cell, shape, tables.ratio[model, s]) for who, s in placed.items()},
        hold={
            who: _means(cell[s > 0], shape, tables.action_hold[decided[who][s > 0]])
            for who, s in placed.items()
        },
        differ={rule: float((placed[policy] != placed[rule]).mean()) for rule in rules},
    )


def bandwidth(tables: Tables, record: Array) -> Array:
    """Reported rate at which a request's input and output cross, Mbit/s, the RTT left out."""
    cloud = (record["model"], tables.placements[record["model"]] - 1)
    up, down = tables.up[cloud], tables.down[cloud]
    seconds = up / record["uplink"] + down / record["downlink"]
    return np.asarray((up + down) / seconds / MBIT, np.float64)


def _devices(
    names: Sequence[str], seconds: Array, seen: Array
) -> tuple[tuple[str, ...], tuple[float, ...], Array]:
    """Labels and seconds of the device types seen, the slowest first, and the row of each type.

    A device that stands for several tiers is one row.
    """
    slow = np.where(seconds > 0, seconds, np.inf)
    order = sorted(np.unique(seen).tolist(), key=lambda device: (-slow[device], names[device]))
    labels = list(dict.fromkeys(names[device] for device in order))
    row_of = np.array([labels.index(name) if name in labels else -1 for name in names])
    first = {name: slow[device] for device, name in reversed(list(enumerate(names)))}
    return tuple(labels), tuple(float(first[label]) for label in labels), row_of


def _means(cell: Array, shape: tuple[int, ...], values: Array) -> Array:
    """Mean of the values in each cell; NaN where there are too few."""
    size = int(np.prod(shape))
    count = np.bincount(cell, minlength=size)
    sums = np.bincount(cell, values, minlength=size)
    means = np.full(size, np.nan)
    np.divide(sums, count, out=means, where=count >= FEWEST)
    return means.reshape(shape)


def as_dict(of: Map) -> dict[str, Any]:
    """Plain data for JSON."""
    return {**vars(of), "bandwidth_edges_mbit": of.edges, "load_factors": LOADS}
