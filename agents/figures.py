"""The figures of a policy, from the sums of its episodes: what each means, and its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.measures import KINDS, Tally, rows_by
from agents.statistics import Floats, Interval, interval, ratio, ratios

QUANTILES = (0.5, 0.95, 0.99)

FIGURES = {
    "attainment": "share of requests in time",
    "gpu_seconds": "GPU seconds per request",
    "saving": "GPU seconds saved against all-cloud, as a share; in a pool of several types, each "
    "second at its type's price",
    "latency_p50": "median latency, s",
    "latency_p95": "95th percentile of latency, s",
    "latency_p99": "99th percentile of latency, s",
    "latency_mean": "mean latency of the requests that were not dropped, s",
    "spread": "attainment of the best device tier minus that of the worst",
    "batch": "mean batch that a cloud request was served in",
    "device_share": "share of requests that ran on the device alone",
    "split_ratio": "mean split ratio",
    "utilisation": "share of time a GPU is busy, over the whole episode",
    "dropped": "share of requests dropped",
    "goodput": "requests in time per second in which requests arrived",
    "cost": "mean cost of a request: GPU time in all-cloud requests alone, plus the violation "
    "price for each that is late or dropped",
    "gpu_cost": "GPU seconds per request, in seconds of the pool's first type by price",
    "dollars": "rent of the busy GPU time of 1,000 requests at profiled prices, US dollars",
    "device_seconds": "seconds that a device works per request; prompt encoding as predicted",
    "bytes_up": "bytes sent up per request",
    "bytes_down": "bytes sent down per request",
    "attainment_difference": "attainment minus all-cloud's",
    "cost_saving": "cost saved against all-cloud, as a share",
    "bound": "GPU cost per request below which nobody can attain as much as the policy did, over "
    "the episodes that the bound covers; nothing where devices alone could",
    "above_bound": "GPU cost per request above that, as a share of it, over the same episodes; "
    "null where the bound is nothing and the policy's cost is not",
}
"""What is measured of a policy, over the counted requests, and what it means."""

_PARTS = {
    "attainment": ("in_time", "requests"),
    "gpu_seconds": ("gpu_seconds", "requests"),
    "gpu_cost": ("gpu_cost", "requests"),
    "batch": ("batch_members", "cloud_requests"),
    "device_share": ("on_device", "requests"),
    "split_ratio": ("split_ratio", "requests"),
    "utilisation": ("gpu_busy", "gpu_time"),
    "dropped": ("dropped", "requests"),
    "goodput": ("in_time", "seconds"),
    "cost": ("cost", "requests"),
    "device_seconds": ("device_seconds", "requests"),
    "bytes_up": ("bytes_up", "requests"),
    "bytes_down": ("bytes_down", "requests"),
}


def figures(tally: Tally, reference: Tally, weights: Floats) -> dict[str, Interval]:
    """Compute everything in :data:`FIGURES` but quantiles of latency and the bound.

    Parameters
    ----------
    tally, reference
        The policy's and all-cloud's, of the same episodes.
    weights
        Their resamples, from :func:`agents.statistics.resamples`.
    """
    requests = tally.of("requests")
    made = {name: ratio(tally.of(a), tally.of(b), weights) for name, (a, b) in _PARTS.items()}
    made["latency_mean"] = ratio(tally.of("latency"), requests - tally.of("dropped"), weights)
    made["saving"] = _saved("gpu_cost", tally, reference, weights)
    made["cost_saving"] = _saved("cost", tally, reference, weights)
    made["dollars"] = ratio(1000.0 * tally.of("dollars"), requests, weights)
    more = tally.of("in_time") - reference.of("in_time")
    made["attainment_difference"] = ratio(more, requests, weights)
    made["spread"] = spread(tally, weights)
    return {name: made[name] for name in FIGURES if name in made}


def _saved(quantity: str, tally: Tally, reference: Tally, weights: Floats) -> Interval:
    whole = reference.of(quantity)
    return ratio(whole - tally.of(quantity), whole, weights)


def spread(tally: Tally, weights: Floats) -> Interval:
    """Attainment of the best device tier minus that of the worst: consistency in one number."""
    requests = tally.by("tier", "requests")
    met = tally.by("tier", "in_time")
    by_tier = np.array([ratios(met[tier], requests[tier], weights) for tier in requests])
    known = by_tier[:, ~np.isnan(by_tier).any(axis=0)]
    values = np.full(len(weights), np.nan)
    values[~np.isnan(by_tier).any(axis=0)] = known.max(axis=0) - known.min(axis=0)
    return interval(values, weights.shape[1])


def attainment_by(kind: str, tally: Tally, weights: Floats) -> dict[str, Interval]:
    """Attainment of each device tier, SLA class or tenant."""
    requests = tally.by(kind, "requests")
    met = tally.by(kind, "in_time")
    return {name: ratio(met[name], requests[name], weights) for name in requests}


def latencies(tally: Tally) -> dict[str, Interval]:
    """Latency quantiles from the bins; they carry no interval."""
    return {
        f"latency_p{100 * level:.0f}": Interval(tally.latency_quantile(level), np.nan, np.nan)
        for level in QUANTILES
    }


def breakdown(tally: Tally, weights: Floats) -> dict[str, dict[str, Any]]:
    """Attainment and latency quantiles by device tier, SLA class and tenant, as plain data."""
    return {
        kind: {
            name: {
                "attainment": vars(attained),
                **{
                    f"latency_p{100 * level:.0f}": tally.latency_quantile(level, rows[name])
                    for level in QUANTILES
                },
            }
            for name, attained in attainment_by(kind, tally, weights).items()
        }
        for kind, rows in ((kind, rows_by(tally.groups, kind)) for kind in KINDS)
    }
