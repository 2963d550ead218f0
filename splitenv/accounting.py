"""What is counted of every request: the episode's sums, and the record of its life."""

from __future__ import annotations

import math

from splitenv.state import Belief, Tables
from splitenv.truth import Settings, Truth

IN_TIME, LATE, DROPPED = 1, 2, 3


def clear_metrics(truth: Truth, env: int) -> None:
    """Set the sums of the running episode to zero."""
    metrics = truth.metrics[env]
    metrics.requests = 0.0
    metrics.violations = 0.0
    metrics.dropped = 0.0
    metrics.gpu_seconds = 0.0
    metrics.reference_gpu_seconds = 0.0
    metrics.cloud_requests = 0.0
    metrics.batch_members = 0.0
    metrics.latency = 0.0
    metrics.cost = 0.0
    metrics.busy_seconds = 0.0
    metrics.attributed_seconds = 0.0
    metrics.span = 0.0
    metrics.total_requests = 0.0
    metrics.total_cost = 0.0
    metrics.total_reward = 0.0
    metrics.drain_reward = 0.0
    metrics.overflow = 0.0
    metrics.launches = 0.0


def clear_ledger(truth: Truth, env: int) -> None:
    """Set the sums of the running episode by tenant and SLA class to zero."""
    for model in range(truth.ledger.shape[1]):
        for sla in range(truth.ledger.shape[2]):
            entry = truth.ledger[env, model, sla]
            entry.requests = 0.0
            entry.violations = 0.0
            entry.dropped = 0.0
            entry.cloud_requests = 0.0
            entry.gpu_seconds = 0.0
            entry.reference_gpu_seconds = 0.0
            entry.latency = 0.0
            entry.cost = 0.0


def keep_ledger(truth: Truth, env: int) -> None:
    """Keep the ended episode's sums by tenant and SLA class."""
    for model in range(truth.ledger.shape[1]):
        for sla in range(truth.ledger.shape[2]):
            truth.finished_ledger[env, model, sla] = truth.ledger[env, model, sla]


def account(
    tables: Tables,
    settings: Settings,
    truth: Truth,
    env: int,
    index: int,
    model: int,
    sla: int,
    seconds: float,
    cost: float,
    complete: float,
    arrival: float,
    outcome: int,
    members: int,
) -> None:
    """Count a request's end: in the episode's sums, and in its record if records are kept."""
    metrics = truth.metrics[env]
    metrics.total_requests += 1.0
    metrics.total_cost += cost
    metrics.attributed_seconds += seconds
    if outcome != DROPPED:
        metrics.span = max(metrics.span, complete)
    if index < truth.record.shape[1]:
        record = truth.record[env, index]
        record.complete = math.inf if outcome == DROPPED else complete
        record.gpu_seconds = seconds
        record.cost = cost
        record.outcome = outcome
        record.batch = members
    if index < settings.warmup or index >= truth.world[env].length - settings.warmup:
        return
    # Sums instead of branches: nobody can foresee which way they would go.
    violated = 0.0 if outcome == IN_TIME else 1.0
    dropped = 1.0 if outcome == DROPPED else 0.0
    latency = 0.0 if outcome == DROPPED else complete - arrival
    on_cloud = 1.0 if members > 0 else 0.0
    entry = truth.ledger[env, model, sla]
    entry.requests += 1.0
    entry.violations += violated
    entry.dropped += dropped
    entry.cloud_requests += on_cloud
    entry.gpu_seconds += seconds
    entry.reference_gpu_seconds += tables.reference[model]
    entry.latency += latency
    entry.cost += cost
    metrics.requests += 1.0
    metrics.violations += violated
    metrics.dropped += dropped
    metrics.cloud_requests += on_cloud
    metrics.batch_members += members
    metrics.gpu_seconds += seconds
    metrics.reference_gpu_seconds += tables.reference[model]
    metrics.latency += latency
    metrics.cost += cost


def stake(tables: Tables, truth: Truth, env: int, device: int, sla: int) -> float:
    """What rewards charge for a violation: its price, times the premium on the device type."""
    price: float = tables.violation_price * tables.weight[sla]
    return price * float(truth.stake[env, device].premium)


def settle(
    tables: Tables, truth: Truth, env: int, device: int, sla: int, violated: int, promised: float
) -> None:
    """Pay the difference between what a request's violation was predicted to cost and what it did.

    Parameters
    ----------
    violated
        1 or 0.
    promised
        What was paid when it was decided.
    """
    entry = truth.stake[env, device]
    entry.requests += 1.0
    entry.violations += violated
    charged = violated * stake(tables, truth, env, device, sla)
    truth.world[env].paid_violation += charged - promised


def record_decision(tables: Tables, belief: Belief, truth: Truth, env: int, action: int) -> None:
    """Start the record of the pending request, if records are kept."""
    world = truth.world[env]
    if world.index >= truth.record.shape[1]:
        return
    clock = belief.clock[env]
    record = truth.record[env, world.index]
    record.arrival = clock.arrival
    record.deadline = clock.deadline
    record.uplink = clock.uplink
    record.downlink = clock.downlink
    record.rtt = clock.rtt
    record.speed = clock.speed
    record.client = clock.client
    record.device = clock.device
    record.model = clock.model
    record.sla = clock.sla
    record.placement = tables.action_placement[action]
    record.action = action
    record.gpu = -1
    record.launch = -1
    record.batch = 0
    record.outcome = 0
    record.gpu_seconds = 0.0
    record.cost = 0.0
    record.begin = math.nan
    record.sent = math.nan
    record.resume = math.nan
    record.ready = math.nan
    record.start = math.nan
    record.finish = math.nan
    record.download = math.nan
    record.complete = math.nan
    record.gpu_deadline = math.nan
