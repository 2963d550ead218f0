"""How many requests a pool can serve, all-cloud: what overload is measured against."""

from __future__ import annotations

from splitenv.scenario import Scenario
from splitenv.tables import build_tables


def capacity(scenario: Scenario) -> float:
    """Requests per second that the pool serves all-cloud in its largest batches.

    For the scenario's mix of models, summed over GPUs::

        1 / sum over models m of share_m t_m(b_max) / b_max

    with t the time of a batch, launch overhead included, and b_max the batch limit. (The largest
    batch is not always the most efficient, nor may a deadline leave room for it: this is the
    published notion of load, not a bound.)
    """
    tables = build_tables(scenario)
    total = 0.0
    for kind in tables.pool:
        seconds = 0.0
        for model, workload in enumerate(scenario.models):
            limit = tables.limit[kind, model]
            cloud = tables.placements[model] - 1
            seconds += workload.share * float(tables.alone[kind, model, cloud, limit]) / limit
        total += 1.0 / seconds
    return total
