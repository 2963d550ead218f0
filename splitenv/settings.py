"""Turn a scenario into what its world is drawn from: distributions as quantile tables."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from splitenv.disciplines import NEVER
from splitenv.parts import Background
from splitenv.profiles.arrivals import RENEWAL_CODES, ArrivalParams
from splitenv.profiles.catalogue import load_arrival, load_device, load_network
from splitenv.profiles.networks import NETWORK_FIELDS
from splitenv.profiles.replay import RecordedNetwork
from splitenv.recordings import recorded_arrivals, recorded_network
from splitenv.scenario import Scenario
from splitenv.tables import fleet
from splitenv.truth import Settings

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
    recorded = {name: recorded_network(name) for name in scenario.network.shares}
    fields = [_fitted(name) for name in scenario.network.shares]
    replay = recorded_arrivals(scenario)
    arrivals = load_arrival("poisson" if replay is not None else scenario.arrivals).params()
    classes = list(scenario.sla)
    jobs = [
        (m, classes.index(sla), workload.share * share)
        for m, workload in enumerate(scenario.models)
        for sla, share in workload.sla.items()
    ]
    ranges = scenario.randomise
    count = scenario.pool.size
    clients = scenario.clients
    throttle = _throttling(scenario)
    stationary = len(arrivals.multipliers) == 1
    block = np.array(
        [
            [link.step] * 2 if link else [f["uplink_hold"], f["downlink_hold"]]
            for link, f in zip(recorded.values(), fields, strict=True)
        ]
    )
    return Settings(
        device_share=np.cumsum([device.share for device in fleet(scenario)]),
        network_share=np.cumsum(list(scenario.network.shares.values())),
        job_share=np.cumsum([job[2] for job in jobs]),
        job_model=np.array([job[0] for job in jobs], np.int32),
        job_sla=np.array([job[1] for job in jobs], np.int32),
        session=np.array([_session(f) for f in fields]),
        rate=np.array([[_rates(f, way, z) for way in ("uplink", "downlink")] for f in fields]),
        block=block,
        rtt=np.array([np.exp(f["rtt_within_sd"] * z) for f in fields]),
        series=np.concatenate([_series(link) for link in recorded.values()]),
        series_span=_spans([len(_series(link)) for link in recorded.values()]),
        report=np.exp(scenario.network.report_error * z),
        normal=z,
        gap=_gaps(arrivals),
        phase_rate=arrivals.multipliers,
        phase_dwell=np.array([NEVER]) if stationary else arrivals.mean_dwells,
        hour_rate=arrivals.hours,
        step_at=np.array([0.0, *(step.at_s for step in scenario.load_steps)]),
        step_rate=np.array([1.0, *(step.factor for step in scenario.load_steps)]),
        replay=np.empty(0) if replay is None else replay,
        throttle=throttle[0],
        throttle_time=throttle[1],
        background=_background(clients.background),
        background_block=clients.background.block_s if clients.background else NEVER,
        lanes=clients.sessions.active if clients.sessions else 0,
        session_requests=clients.sessions.requests if clients.sessions else 1,
        throttles=int(throttle[0].max() > 1.0),
        load=scenario.load * np.array(ranges.load if randomise else (1.0, 1.0)),
        bandwidth=np.array(ranges.bandwidth if randomise else (1.0, 1.0)),
        device_speed=np.array(ranges.device_time if randomise else (1.0, 1.0)),
        gpus=np.array((randomise and ranges.gpus) or (count, count), np.int64),
        report_lag=scenario.network.report_lag_s,
        jitter=clients.jitter,
        length=scenario.decisions,
        warmup=scenario.warmup,
        clients=clients.count,
    )


def _throttling(scenario: Scenario) -> Floats:
    """Slowdown of a warm device and its time constant, (2, d); 1 where there is none."""
    profiles = [load_device(device.name).throttle for device in fleet(scenario)]
    throttles = [
        (throttle.slowdown.amount, throttle.time_constant.seconds)
        if throttle and scenario.clients.throttling
        else (1.0, 1.0)
        for throttle in profiles
    ]
    return np.array(throttles).T.copy()


def _background(background: Background | None) -> Floats:
    """Quantiles of the slowdown by what else runs on a device."""
    if background is None:
        return np.ones(1)
    slowed = round(background.share * QUANTILES)
    return np.where(np.arange(QUANTILES) < slowed, background.slowdown, 1.0)


def _fitted(name: str) -> dict[str, float]:
    """Parameters of a fitted network; of a recorded one, those of a link without chance."""
    if recorded_network(name):
        return dict.fromkeys(NETWORK_FIELDS, 0.0)
    return dict(zip(NETWORK_FIELDS, load_network(name).params(), strict=True))


def _series(link: RecordedNetwork | None) -> Floats:
    """Blocks of a recorded network, (blocks, 3); none of a fitted one."""
    return np.column_stack([link.rates, link.rtts]) if link else np.zeros((0, 3))


def _spans(counts: list[int]) -> npt.NDArray[np.int64]:
    return np.column_stack([np.cumsum([0, *counts[:-1]]), counts]).astype(np.int64)


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
