"""What only the world knows: who asks when, what becomes of them, and what is counted of it.

Named tuples of arrays like those of :mod:`splitenv.state`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splitenv.state import EVENT, Array, Tables, spread, whole_lines, zeros

WORLD = whole_lines(
    [
        ("key", "u8"),  # of this episode, made from the seed and the episode's number
        # The streams of what is drawn for every request.
        ("gaps", "u8"),
        ("clients", "u8"),
        ("jobs", "u8"),
        ("slownesses", "u8"),
        ("rtts", "u8"),
        ("rtt_reports", "u8"),
        ("rate_reports", "u8"),
        ("uplinks", "u8"),
        ("downlinks", "u8"),
        ("index", "i8"),  # of the pending request
        ("decisions", "i8"),  # made in this episode
        ("length", "i8"),  # decisions until truncation
        ("load", "f8"),  # requests/s that this episode's arrivals are scaled to
        ("device_speed", "f8"),  # factor on every device time
        ("start", "f8"),  # second of the day at which the episode starts
        ("rate", "f8"),  # of arrivals now, 1/s
        ("rate_until", "f8"),  # until when it is that
        ("next_arrival", "f8"),
        ("act_at", "f8"),  # when dispatch is next to be looked at
        # This step's rewards and, over the episode, what has been paid.
        ("paid_gpu", "f8"),
        ("paid_violation", "f8"),
        ("phase_end", "f8"),  # of the arrival process's present state
        ("phase", "i4"),
        ("done", "i4"),
        ("next_client", "i4"),  # who asks after the pending request
        ("seed", "u8"),  # of this environment
        ("episode", "i8"),
        ("bandwidth", "f8"),  # factor on every link's rate
        ("phases", "i8"),  # states entered, the counter of their dwell times
        ("replay_from", "i8"),  # of a recorded series of arrivals: the gap it starts with
        ("overflow", "i8"),  # requests dropped since no slot was free
    ]
)
"""The world's side of an environment."""

REQUEST_TRUTH = whole_lines(
    [
        ("arrival", "f8"),
        ("deadline", "f8"),
        ("slowness", "f8"),  # z: realised device time / profiled, with the episode's factor
        ("encoded", "f8"),  # when the device's own prompt encoding is done
        ("rtt", "f8"),
        ("promised_gpu", "f8"),  # predicted cost, paid at the decision
        ("promised_violation", "f8"),
        ("sla", "i4"),
        ("device", "i4"),
    ]
)
ABOARD = np.dtype(
    [
        ("seconds", "f8"),  # attributed so far
        ("start", "f8"),  # when it came aboard
        ("batch", "i4"),  # members then, itself included
        ("launch", "i4"),  # number of the start
    ]
)
"""Of a request aboard a GPU in continuous serving."""

CLIENT_TRUTH = np.dtype(
    [
        ("device_free", "f8"),
        ("uplink", "f4"),  # median of the session, bytes/s
        ("downlink", "f4"),
        ("rtt", "f4"),
        ("phase", "f4"),  # of the blocks in which a rate holds, as a share
        ("episode", "i4"),  # for which this client has been drawn
        ("device", "i2"),
        ("network", "i2"),
    ]
)
"""32 bytes: two clients to a cache line, since every request touches one at random."""

HEAT = np.dtype([("heat", "f4"), ("reported", "f4")])
"""Of a client's device: how far it throttled (0 to 1) when it last fell idle, and the slowdown that
its client measured when it last was idle. Kept only where a device throttles."""

RECORD = np.dtype(
    [
        ("arrival", "f8"),
        ("deadline", "f8"),
        ("begin", "f8"),  # the device begins its head, or all of it; NaN without a head
        ("sent", "f8"),  # the upload starts; NaN for all-device
        ("ready", "f8"),  # NaN for all-device
        ("start", "f8"),
        ("finish", "f8"),  # leaves the GPU, or is dropped
        ("download", "f8"),  # data back on the device
        ("resume", "f8"),  # the device begins its tail; NaN without one
        ("complete", "f8"),  # inf if dropped
        ("gpu_seconds", "f8"),  # attributed
        ("cost", "f8"),
        ("gpu_deadline", "f8"),
        ("uplink", "f8"),  # as reported
        ("downlink", "f8"),
        ("rtt", "f8"),
        ("speed", "f8"),
        ("client", "i4"),
        ("device", "i4"),
        ("model", "i4"),
        ("sla", "i4"),
        ("placement", "i4"),
        ("action", "i4"),
        ("gpu", "i4"),  # -1 for all-device and dropped
        ("batch", "i4"),  # members at launch; in continuous serving, when it came aboard
        ("launch", "i4"),  # number of the batch in its episode
        ("outcome", "i4"),  # 0 pending, 1 in time, 2 late, 3 dropped
    ]
)
"""The life of one request: every time stamp, and what it cost."""

METRICS = whole_lines(
    [
        ("requests", "f8"),  # that count: arrived after the warm-up, before the cool-down
        ("violations", "f8"),
        ("gpu_seconds", "f8"),
        ("reference_gpu_seconds", "f8"),  # all-cloud, alone, for the same requests
        ("cloud_requests", "f8"),
        ("batch_members", "f8"),  # sum over cloud requests of their batch's size
        ("latency", "f8"),  # sum over completed requests, s
        ("cost", "f8"),
        ("busy_seconds", "f8"),  # GPU busy time of the whole episode
        ("attributed_seconds", "f8"),  # attributed over the whole episode
        ("span", "f8"),  # first arrival to last event, s
        ("total_requests", "f8"),
        ("total_cost", "f8"),
        ("total_reward", "f8"),
        ("launches", "f8"),
        ("dropped", "f8"),
        ("drain_reward", "f8"),  # what physics fixed after the last step, never paid
        ("overflow", "f8"),
    ]
)
"""Sums over an episode and its drain."""

ACCOUNT = whole_lines(
    [
        ("requests", "f8"),
        ("violations", "f8"),
        ("dropped", "f8"),
        ("cloud_requests", "f8"),
        ("gpu_seconds", "f8"),
        ("reference_gpu_seconds", "f8"),
        ("latency", "f8"),  # sum over completed requests, s
        ("cost", "f8"),
    ]
)
"""Sums over those requests of an episode that count, of one tenant (an entry of the scenario's
``models``) and one SLA class."""


STAKE = whole_lines(
    [
        ("premium", "f8"),  # factor on the violation price in rewards
        ("requests", "f8"),  # ended so far
        ("violations", "f8"),  # among them
    ]
)
"""What the requests of one device type have at stake, for training under constraints. Counts go on
from episode to episode, requests that metrics leave out included; accounting knows no premium."""


class Settings(NamedTuple):
    """What the world is drawn from. The scheduler does not see it.

    Axes: n network, q quantile of a fitted distribution, j job (a model with an SLA class),
    d device type.
    """

    device_share: Array  # (d,) cumulative
    network_share: Array  # (n,) cumulative
    job_share: Array  # (j,) cumulative
    job_model: Array  # (j,)
    job_sla: Array  # (j,)
    session: Array  # (n, 3, 4) of uplink, downlink, RTT: log median, and its factors on 3 normals
    rate: Array  # (n, 2, q) multiples of the session's median rate
    block: Array  # (n, 2) seconds for which a rate holds
    rtt: Array  # (n, q) multiples of the session's median RTT
    series: Array  # (blocks, 3) recorded uplink, downlink (bytes/s) and RTT (s), all networks'
    series_span: Array  # (n, 2) first of a network's blocks and how many; none if it is fitted
    report: Array  # (q,) multiples of the true rate that a client reports
    normal: Array  # (q,) quantiles of the standard normal
    gap: Array  # (q,) unit-mean quantiles of the renewal gap; empty for exponential
    phase_rate: Array  # (p,) factor on the load in each state of the arrival process
    phase_dwell: Array  # (p,) mean seconds in it
    hour_rate: Array  # (24,) factor on the load by hour of day
    step_at: Array  # (t,) seconds into the episode at which the load steps, the first 0
    step_rate: Array  # (t,) factor on the load from then on
    replay: Array  # (r,) recorded unit-mean gaps in their order; empty if arrivals are drawn
    throttle: Array  # (d,) slowdown of a device that is warm through
    throttle_time: Array  # (d,) seconds of work in which it gets there by 1 - 1/e
    background: Array  # (q,) slowdown by whatever else runs on the device
    load: Array  # (2,) lowest and highest, requests/s, log-uniform over episodes
    bandwidth: Array  # (2,) factor on links, log-uniform
    device_speed: Array  # (2,) factor on device times, log-uniform
    gpus: Array  # (2,) fewest and most GPUs, uniform
    report_lag: float  # s
    background_block: float  # seconds for which that holds
    lanes: int  # sessions at a time in which clients ask; 0 if every request's client is drawn
    session_requests: int  # mean requests of such a session
    throttles: int  # whether any device does
    jitter: float  # realised device time is within 1 +- jitter of the profile
    length: int  # decisions of an episode
    warmup: int  # requests at each end that metrics leave out
    clients: int


class Out(NamedTuple):
    """What a step returns. First axis: environment."""

    observation: Array  # float32 (E, features)
    mask: Array  # bool (E, actions)
    reward: Array  # float32 (E,)
    terms: Array  # float64 (E, 2): GPU and violation part of the cost paid in this step
    truncated: Array  # bool (E,)
    final_observation: Array  # float32 (E, features), valid where truncated


class Truth(NamedTuple):
    """What only the world knows. First axis: environment; of requests and heap the last."""

    world: Array
    request: Array
    aboard: Array
    client: Array
    heat: Array
    heap: Array
    metrics: Array
    finished: Array
    ledger: Array
    finished_ledger: Array
    stake: Array  # (E, d)
    record: Array


def new_out(tables: Tables, envs: int, features: int) -> Out:
    """Allocate what a step returns."""
    actions = len(tables.action_placement)
    return Out(
        observation=zeros((envs, features), np.float32),
        mask=zeros((envs, actions), np.bool_),
        reward=zeros(envs, np.float32),
        terms=zeros((envs, 2)),
        truncated=zeros(envs, np.bool_),
        final_observation=zeros((envs, features), np.float32),
    )


def new_truth(tables: Tables, settings: Settings, envs: int, slots: int, records: int) -> Truth:
    """Allocate the truth; ``records`` is 0 or the decisions of an episode plus one."""
    clients = settings.clients
    stake = zeros((envs, len(tables.head)), STAKE)
    stake["premium"] = 1.0
    return Truth(
        world=zeros(envs, WORLD),
        request=zeros((slots, spread(envs, REQUEST_TRUTH)), REQUEST_TRUTH),
        aboard=zeros((slots if tables.continuous else 0, envs), ABOARD),
        client=zeros((envs, spread(clients, CLIENT_TRUTH)), CLIENT_TRUTH),
        heat=zeros((envs, clients if settings.throttles else 0), HEAT),
        heap=zeros((slots, 1, spread(envs, EVENT)), EVENT),
        metrics=zeros(envs, METRICS),
        finished=zeros(envs, METRICS),
        ledger=zeros((envs, len(tables.placements), len(tables.deadline)), ACCOUNT),
        finished_ledger=zeros((envs, len(tables.placements), len(tables.deadline)), ACCOUNT),
        stake=stake,
        record=zeros((envs, records), RECORD),
    )
