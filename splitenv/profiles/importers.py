"""Turns traces into profiles, and writes profiles: one's own network or load, usable today."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel

from splitenv.files import OutputError, write_text
from splitenv.profiles.arrivals import ArrivalProfile
from splitenv.profiles.figures import Figure, ProfileError
from splitenv.profiles.fitting import RateFit, fit_arrivals, fit_network
from splitenv.profiles.networks import Correlation, NetworkProfile, RateModel, RttModel
from splitenv.profiles.traces import (
    NetworkTrace,
    read_arrival_csv,
    read_azure_llm,
    read_mahimahi,
    read_network_csv,
)

__all__ = [
    "NetworkTrace",
    "arrival_profile_from_times",
    "network_profile_from_trace",
    "read_arrival_csv",
    "read_azure_llm",
    "read_mahimahi",
    "read_network_csv",
    "write_profile",
]

FloatArray = npt.NDArray[np.float64]

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


def network_profile_from_trace(trace: NetworkTrace, name: str) -> NetworkProfile:
    """Fit the network model to one trace, on a grid of 1 s.

    The figures name the profile itself as their source: a catalogue that keeps the profile
    describes the trace under that id in its SOURCES. One trace is one session: it shows no spread
    between sessions and no correlation of their levels, so these are 0 and ``assumed``.

    Raises
    ------
    ProfileError
        If the name is not usable or a direction never carries anything.
    """
    _check_name(name)
    try:
        fit = fit_network([_on_seconds(trace)])
    except ValueError as error:
        raise ProfileError(f"{name}: the trace cannot be fitted: {error}") from error
    setting: dict[str, str | int | float] = {"samples": len(trace.t_s), "statistic": "1 s grid"}

    def derived(value: float, unit: str, rule: str) -> Figure:
        return Figure(
            value=round(value, 6),
            unit=unit,
            kind="derived",
            source=(name,),
            rule=rule,
            setting=setting,
        )

    def unknown(rule: str) -> Figure:
        return Figure(value=0.0, unit="1", kind="assumed", source=(), rule=rule)

    def rate_model(rate: RateFit) -> RateModel:
        return RateModel(
            session_log_mean=derived(rate.session_log_mean, "ln Mbit/s", "ln mean - sd^2/2"),
            session_log_sd=unknown("one trace shows no spread between sessions"),
            within_log_sd=derived(rate.within_log_sd, "1", "sqrt(ln(1 + CV^2)) outside outages"),
            hold=derived(rate.hold, "s", "1 s / (1 - lag-1 autocorrelation of the log rate)"),
            outage=derived(rate.outage, "1", "share of seconds below 5% of the mean rate"),
        )

    independent = unknown("one trace shows no dependence between sessions")
    return NetworkProfile(
        name=name,
        title=f"imported trace, {trace.t_s[-1] - trace.t_s[0]:.0f} s",
        technology="imported",
        uplink=rate_model(fit.uplink),
        downlink=rate_model(fit.downlink),
        rtt=RttModel(
            session_log_mean=derived(fit.rtt.session_log_mean, "ln ms", "ln median"),
            session_log_sd=unknown("one trace shows no spread between sessions"),
            within_log_sd=derived(fit.rtt.within_log_sd, "1", "ln(p95 / p5) / 3.29"),
        ),
        correlation=Correlation(
            uplink_downlink=independent, uplink_rtt=independent, downlink_rtt=independent
        ),
    )


def arrival_profile_from_times(times: FloatArray, name: str) -> ArrivalProfile:
    """Gamma renewal process with the CV of these arrivals.

    Raises
    ------
    ProfileError
        If the name is not usable or the times cannot be fitted.
    """
    _check_name(name)
    try:
        fit = fit_arrivals(times)
    except ValueError as error:
        raise ProfileError(f"{name}: the arrivals cannot be fitted: {error}") from error
    shape = Figure(
        value=round(fit.gamma_shape, 6),
        unit="1",
        kind="derived",
        source=(name,),
        rule="1 / CV^2 of the inter-arrival times",
        setting={"arrivals": fit.requests, "cv": round(fit.cv, 6)},
    )
    return ArrivalProfile(
        name=name,
        title=f"imported arrivals, gamma renewal, CV {fit.cv:.3g}",
        note=f"The trace's own mean rate is {fit.rate_rps:.6g} requests/s.",
        renewal="gamma",
        shape=shape,
    )


def write_profile(profile: BaseModel, path: Path) -> None:
    """Write a profile as YAML, whole or not at all.

    Raises
    ------
    ProfileError
        If the file cannot be written; what was there before is untouched.
    """
    data = _compact(profile.model_dump(mode="json", exclude_defaults=True))
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    try:
        write_text(path, text)
    except OutputError as error:
        raise ProfileError(f"{error}; nothing was changed") from error


def _compact(data: Any) -> Any:
    """Write a single source as a plain string."""
    if isinstance(data, dict):
        data = {key: _compact(value) for key, value in data.items()}
        if isinstance(source := data.get("source"), list) and len(source) == 1:
            data["source"] = source[0]
    elif isinstance(data, list):
        data = [_compact(item) for item in data]
    return data


def _on_seconds(trace: NetworkTrace) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rates averaged over whole seconds, the last row closed by the median step; RTT as it is."""
    end = trace.t_s[-1] + float(np.median(np.diff(trace.t_s)))
    edges = np.append(trace.t_s, end)
    grid = np.arange(trace.t_s[0], end + 1e-9, 1.0)
    if len(grid) < 3:
        raise ValueError(f"it covers {end - trace.t_s[0]:g} s, at least 2 s are needed")

    def averaged(rate: FloatArray) -> FloatArray:
        carried = np.concatenate([[0.0], np.cumsum(rate * np.diff(edges))])
        per_second: FloatArray = np.diff(np.interp(grid, edges, carried))
        return np.maximum(per_second, 0.0)

    return averaged(trace.uplink_mbps), averaged(trace.downlink_mbps), trace.rtt_ms


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ProfileError(
            f"{name!r} is no profile name: lower-case letters, digits, '-' and '.' are accepted"
        )
