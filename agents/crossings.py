"""What crosses the network, and at which boundary: the raw material of a measure of privacy.

Of a request that the cloud helps with, a boundary's tensor goes up and another one comes down: the
input and the output themselves, or what stands between two units. Nothing crosses for one that
stays on its device.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.measures import WAYS, Tally, tenants
from agents.statistics import Floats, ratio
from splitenv.profiles.models import Chain
from splitenv.scenario import Scenario
from splitenv.tables import place

NOTHING, INPUT, INSIDE, OUTPUT = KINDS = ("nothing", "input", "inside", "output")
MEANING = {
    "tenant": "entry of the scenario's models",
    "way": "up, from the device to the cloud, or down",
    "boundary": "whose tensor crosses: input, output, or after a unit",
    "kind": "nothing, input, inside (between two units) or output",
    "bytes": "that cross with one request, in the scenario's wire format",
    "share": "share of the tenant's requests",
}
"""What the rows of :func:`crossings` hold."""


def boundary_name(chain: Chain, unit: int) -> str:
    """Name the boundary before a unit; one past the last is the output."""
    if unit == 0:
        return INPUT
    if unit == len(chain.kinds):
        return OUTPUT
    kind = chain.kinds[unit - 1]
    alone = chain.kinds.count(kind) == 1
    return f"after {kind}" if alone else f"after {kind} {chain.kinds[:unit].count(kind)}"


def boundaries(scenario: Scenario) -> list[dict[str, Any]]:
    """List what can cross: tenant, way, boundary, kind, bytes and, for use here, placements."""
    rows = []
    for tenant, workload in zip(tenants(scenario), scenario.models, strict=True):
        placed = place(workload)
        size = placed.chain.boundary_bytes(workload.wire)
        for way, name in enumerate(WAYS):
            placements: dict[int, list[int]] = {}
            for number, span in enumerate(placed.spans[1:], start=1):
                placements.setdefault(placed.cuts[span[way]], []).append(number)
            rows.append(_row(tenant, name, NOTHING, NOTHING, 0.0, []))
            for unit in sorted(placements):
                what = boundary_name(placed.chain, unit)
                kind = what if what in KINDS else INSIDE
                rows.append(_row(tenant, name, what, kind, float(size[unit]), placements[unit]))
    return rows


def _row(
    tenant: str, way: str, boundary: str, kind: str, size: float, placements: list[int]
) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "way": way,
        "boundary": boundary,
        "kind": kind,
        "bytes": size,
        "placements": placements,
    }


def crossings(tally: Tally, scenario: Scenario, weights: Floats) -> list[dict[str, Any]]:
    """Share of each tenant's requests that cross at each boundary, as plain data.

    See :data:`MEANING`; boundaries that nobody crossed at are left out. Of each tenant and way the
    shares add up to one.
    """
    requests = tally.by("tenant", "requests")
    rows = []
    for row in boundaries(scenario):
        mine = [g for g, group in enumerate(tally.groups) if group.tenant == row["tenant"]]
        crossed = tally.crossed[:, mine, WAYS.index(row["way"])].sum(axis=1)
        of = requests[row["tenant"]]
        some = np.asarray(
            of - crossed.sum(axis=1)
            if row["kind"] == NOTHING
            else crossed[:, row["placements"]].sum(axis=1)
        )
        if some.any():
            about = {name: row[name] for name in MEANING if name != "share"}
            rows.append({**about, "share": vars(ratio(some, of, weights))})
    return rows


def share_of(rows: list[dict[str, Any]], way: str, kind: str, tenants_: dict[str, float]) -> float:
    """Share of all requests that cross in a way at a kind of boundary.

    Parameters
    ----------
    rows
        From :func:`crossings`.
    tenants_
        Share of the requests that each tenant makes.
    """
    return sum(
        tenants_[row["tenant"]] * float(row["share"]["value"])
        for row in rows
        if row["way"] == way and row["kind"] == kind
    )
