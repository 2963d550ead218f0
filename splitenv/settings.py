"""Turn a scenario into what its world is drawn from: distributions as quantile tables."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from splitenv.dispatch import NEVER
from splitenv.profiles.arrivals import RENEWAL_CODES, ArrivalParams
from splitenv.profiles.catalogue import load_arrival, load_network
from splitenv.profiles.networks import NETWORK_FIELDS
from splitenv.scenario import Scenario
from splitenv.state import Settings
from splitenv.tables import fleet

Floats = npt.NDArray[np.float64]

QUANTILES = 1024
GAP_QUANTILES = 16384


def midpoints(count: int) -> Floats:
    """Probabilities at the middle of ``count`` equal steps."""
    return (np.arange(count) + 0.5) / count


def normal_quantiles() -> Floats:
    """Quantiles of the standard normal, rescaled to a standard deviation of exactly 1."""
    values = np.array([NormalDist().inv_cdf(p) for p in midpoints(QUANTILES)])
    return np.asarray(values / values.std(), np.float64)


def build_settings(scenario: Scenario, randomise: bool) -> Settings:
    """Compile what the world is drawn from.

    Parameters
    ----------
    randomise
        Whether each episode redraws load, links, devices and pool within ``scenario.randomise``;
        otherwise they are the scenario's own.
    """
    z = normal_quantiles()
    networks = [load_network(name).params() for name in scenario.network.shares]
    fields = [dict(zip(NETWORK_FIELDS, params, strict=True)) for params in networks]
    arrivals = load_arrival(scenario.arrivals).params()
    classes = list(scenario.sla)
    jobs = [
        (m, classes.index(sla), workload.share * share)
        for m, workload in enumerate(scenario.models)
        for sla, share in workload.sla.items()
    ]
    ranges = scenario.randomise
    count = scenario.pool.count
    stationary = len(arrivals.multipliers) == 1
    return Settings(
        device_share=np.cumsum([device.share for device in fleet(scenario)]),
        network_share=np.cumsum(list(scenario.network.shares.values())),
        job_share=np.cumsum([job[2] for job in jobs]),
        job_model=np.array([job[0] for job in jobs], np.int32),
        job_sla=np.array([job[1] for job in jobs], np.int32),
        session=np.array([_session(f) for f in fields]),
        rate=np.array([[_rates(f, way, z) for way in ("uplink", "downlink")] for f in fields]),
        block=np.array([[f["uplink_hold"], f["downlink_hold"]] for f in fields]),
        rtt=np.array([np.exp(f["rtt_within_sd"] * z) for f in fields]),
        report=np.exp(scenario.network.report_error * z),
        normal=z,
        gap=_gaps(arrivals),
        phase_rate=arrivals.multipliers,
        phase_dwell=np.array([NEVER]) if stationary else arrivals.mean_dwells,
        hour_rate=arrivals.hours,
        load=scenario.load * np.array(ranges.load if randomise else (1.0, 1.0)),
        bandwidth=np.array(ranges.bandwidth if randomise else (1.0, 1.0)),
        device_speed=np.array(ranges.device_time if randomise else (1.0, 1.0)),
        gpus=np.array((randomise and ranges.gpus) or (count, count), np.int64),
        report_lag=scenario.network.report_lag_s,
        jitter=scenario.clients.jitter,
        length=scenario.decisions,
        warmup=scenario.warmup,
        clients=scenario.clients.count,
    )


def _session(fields: dict[str, float]) -> list[list[float]]:
    """Log median and factors on three standard normals, for uplink, downlink and RTT."""
    up, down, rtt = (fields[f"{name}_session_sd"] for name in ("uplink", "downlink", "rtt"))
    return [
        [fields["uplink_log_mean"], up, 0.0, 0.0],
        [
            fields["downlink_log_mean"],
            down * fields["downlink_on_z1"],
            down * fields["downlink_on_z2"],
            0.0,
        ],
        [
            fields["rtt_log_mean"],
            rtt * fields["rtt_on_z1"],
            rtt * fields["rtt_on_z2"],
            rtt * fields["rtt_on_z3"],
        ],
    ]


def _rates(fields: dict[str, float], way: str, z: Floats) -> Floats:
    """Multiples of the session's median rate: outages first, then the lognormal's quantiles."""
    out = round(fields[f"{way}_outage"] * QUANTILES)
    probability = midpoints(QUANTILES - out)
    kept = np.interp(probability, midpoints(QUANTILES), z)
    level = np.full(out, fields[f"{way}_outage_level"])
    return np.concatenate([level, np.exp(fields[f"{way}_within_sd"] * kept)])


def _gaps(arrivals: ArrivalParams) -> Floats:
    """Quantiles of the unit-mean renewal gap; empty for the exponential, which is drawn exactly."""
    if arrivals.renewal == RENEWAL_CODES["exponential"]:
        return np.empty(0)
    probability = midpoints(GAP_QUANTILES)
    if arrivals.renewal == RENEWAL_CODES["weibull"]:
        gaps = (-np.log1p(-probability)) ** (1.0 / arrivals.shape)
    else:
        from scipy.special import gammaincinv

        gaps = gammaincinv(arrivals.shape, probability)
    gaps = np.asarray(gaps, np.float64)
    return gaps / math.fsum(gaps) * GAP_QUANTILES
