"""The event loop over records: decisions in, events through, costs out.

Plain functions that the kernel compiles. Within an instant GPUs fall idle first, then requests
become ready, then dispatch acts, then the next arrival is decided.
"""

from __future__ import annotations

from splitenv.accounting import (
    DROPPED,
    IN_TIME,
    LATE,
    account,
    clear_ledger,
    clear_metrics,
    keep_ledger,
    record_decision,
    settle,
    stake,
)
from splitenv.actions import possible, write_mask
from splitenv.belief import arrive, become_ready, clear, send_to_cloud, send_to_device
from splitenv.boarding import board_due, leave_all
from splitenv.disciplines import NEVER
from splitenv.features import observe
from splitenv.heap import push, remove
from splitenv.iterations import look_after
from splitenv.physics import consequence, same_prospect
from splitenv.prefetch import fetch_ahead
from splitenv.serving import launch_due
from splitenv.state import Array, Belief, Tables
from splitenv.truth import Out, Settings, Truth
from splitenv.world import (
    new_episode,
    next_arrival,
    realised_rtt,
    realised_slowness,
    report_request,
    run_on_device,
    transfer,
)

SAME_STEP, NEXT_STEP, NO_RESET = 0, 1, 2
_AHEAD = 3


def reset(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    out: Out,
    rows: Array,
    stagger: bool,
) -> None:
    """Start a new episode in each of ``rows`` and observe its first request."""
    for row in range(rows.shape[0]):
        env = rows[row]
        out.truncated[env] = False
        _reset(tables, settings, belief, truth, env, stagger)
        _look(tables, belief, env, out)


def step(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    out: Out,
    actions: Array,
    autoreset: int,
    first: int,
    last: int,
) -> None:
    """Decide the pending request of environments ``first`` to ``last - 1``, move to the next ones.

    ``autoreset`` is :data:`SAME_STEP` (a truncated episode is followed by the next one's first
    observation, the last goes to ``out.final_observation``), :data:`NEXT_STEP` (that happens on the
    following call, which ignores the action and pays nothing) or :data:`NO_RESET`.
    """
    for env in range(first, last):
        if env + _AHEAD < last:
            fetch_ahead(belief, truth, env + _AHEAD)
        world = truth.world[env]
        out.truncated[env] = False
        world.paid_gpu = 0.0
        world.paid_violation = 0.0
        if world.done == 1 and autoreset == NEXT_STEP:
            _reset(tables, settings, belief, truth, env, False)
        else:
            _decide(tables, settings, belief, truth, env, actions[env])
            arrival = world.next_arrival
            _advance(tables, settings, belief, truth, env, arrival)
            world.index += 1
            world.decisions += 1
            _receive(tables, settings, belief, truth, env, arrival)
        out.terms[env, 0] = world.paid_gpu
        out.terms[env, 1] = world.paid_violation
        out.reward[env] = -(world.paid_gpu + world.paid_violation)
        truth.metrics[env].total_reward -= world.paid_gpu + world.paid_violation
        _look(tables, belief, env, out)
        if world.decisions >= world.length and world.done == 0:
            out.truncated[env] = True
            _finish(tables, settings, belief, truth, env)
            if autoreset == SAME_STEP:
                for feature in range(out.observation.shape[1]):
                    out.final_observation[env, feature] = out.observation[env, feature]
                _reset(tables, settings, belief, truth, env, False)
                _look(tables, belief, env, out)


def _look(tables: Tables, belief: Belief, env: int, out: Out) -> None:
    observe(tables, belief, env, out.observation)
    write_mask(tables, belief, env, out.mask)


def _reset(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, stagger: bool
) -> None:
    world = truth.world[env]
    clear(tables, belief, env, new_episode(settings, truth, env, stagger))
    world.act_at = NEVER
    clear_metrics(truth, env)
    clear_ledger(truth, env)
    arrival = next_arrival(settings, truth, env, 0.0)
    _receive(tables, settings, belief, truth, env, arrival)


def _receive(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> None:
    """The next request arrives and becomes the pending one; the one after it gets its time."""
    world = truth.world[env]
    report_request(tables, settings, belief, truth, env, now)
    arrive(tables, belief, env, belief.clock[env].model, now)
    world.next_arrival = now
    world.index += 1
    world.next_arrival = next_arrival(settings, truth, env, now)
    world.index -= 1


def _decide(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, wanted: int
) -> None:
    """Carry out the decision on the pending request, and pay what it is predicted to cost."""
    world = truth.world[env]
    clock = belief.clock[env]
    action = possible(tables, belief, env, wanted)
    placement = tables.action_placement[action]
    record_decision(tables, belief, truth, env, action)
    if placement == 0:
        _run_on_device(tables, settings, belief, truth, env)
        return
    if clock.free_slots == 0:
        world.overflow += 1
        truth.metrics[env].overflow += 1.0
        price = tables.violation_price * tables.weight[clock.sla]
        settle(tables, truth, env, clock.device, clock.sla, 1, 0.0)
        if world.index < truth.record.shape[1]:
            truth.record[env, world.index].finish = clock.arrival
        account(
            tables, settings, truth, env, world.index, clock.model, clock.sla, 0.0, price, NEVER,
            clock.arrival, DROPPED, 0,
        )  # fmt: skip
        return
    view = same_prospect(tables, belief, env)
    complete, seconds, members = consequence(view, placement)
    slot = send_to_cloud(tables, belief, env, view, action, world.index)
    request = truth.request[slot, env]
    request.sla = clock.sla
    request.device = clock.device
    request.arrival = clock.arrival
    request.deadline = clock.deadline
    request.promised_gpu = seconds / (members * tables.norm)
    price = stake(tables, truth, env, clock.device, clock.sla)
    request.promised_violation = price if complete > clock.deadline else 0.0
    world.paid_gpu += request.promised_gpu
    world.paid_violation += request.promised_violation
    ready = _upload(tables, settings, belief, truth, env, slot)
    push(truth.heap, belief, env, 0, clock.uploads, ready, slot)
    clock.uploads += 1


def _upload(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, slot: int
) -> float:
    """Fix when the request is truly ready, and return it: control delay, device head, upload."""
    world = truth.world[env]
    clock = belief.clock[env]
    request = truth.request[slot, env]
    placement = belief.request[slot, env].placement
    request.slowness = realised_slowness(settings, truth, env)
    request.rtt = realised_rtt(settings, truth, env, clock.client)
    start = clock.arrival + tables.control_delay
    request.encoded = start + request.slowness * tables.also[clock.device, clock.model, placement]
    head = request.slowness * tables.head[clock.device, clock.model, placement]
    recorded = world.index < truth.record.shape[1]
    if head > 0.0:
        begin, start = run_on_device(settings, truth, env, clock.client, start, head)
        if recorded:
            truth.record[env, world.index].begin = begin
    if recorded:
        truth.record[env, world.index].sent = start
    size = tables.up[clock.model, placement]
    return transfer(tables, settings, truth, env, clock.client, 0, start, size, request.rtt)


def _run_on_device(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int
) -> None:
    """All-device: physics fixes the completion at once, so the truth is paid at once."""
    world = truth.world[env]
    clock = belief.clock[env]
    send_to_device(tables, belief, env)
    work = realised_slowness(settings, truth, env) * tables.head[clock.device, clock.model, 0]
    begin = clock.arrival + tables.control_delay
    start, complete = run_on_device(settings, truth, env, clock.client, begin, work)
    if world.index < truth.record.shape[1]:
        truth.record[env, world.index].begin = start
    late = complete > clock.deadline
    price = tables.violation_price * tables.weight[clock.sla] if late else 0.0
    outcome = LATE if late else IN_TIME
    settle(tables, truth, env, clock.device, clock.sla, 1 if late else 0, 0.0)
    account(
        tables, settings, truth, env, world.index, clock.model, clock.sla, 0.0, price, complete,
        clock.arrival, outcome, 0,
    )  # fmt: skip


def _advance(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, until: float
) -> None:
    """Run every event up to ``until``, that instant included."""
    world = truth.world[env]
    clock = belief.clock[env]
    uploads = truth.heap
    while True:
        now = world.act_at
        if clock.uploads > 0:
            now = min(now, uploads[0, 0, env].time)
        if now > until or now >= NEVER:
            return
        if tables.continuous:
            leave_all(tables, settings, belief, truth, env, now)
        while clock.uploads > 0 and uploads[0, 0, env].time <= now:
            slot = uploads[0, 0, env].slot
            remove(uploads, belief, env, 0, clock.uploads, 0)
            clock.uploads -= 1
            become_ready(tables, belief, env, slot, now)
            if tables.continuous:
                look_after(tables, belief, env, belief.request[slot, env].model, now)
        clock.now = now
        if tables.continuous:
            world.act_at = board_due(tables, settings, belief, truth, env, now)
        else:
            world.act_at = launch_due(tables, settings, belief, truth, env, now)


def _finish(tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int) -> None:
    """Run what is in flight to its end: it counts in the metrics and is paid to nobody."""
    world = truth.world[env]
    world.paid_gpu = 0.0
    world.paid_violation = 0.0
    _advance(tables, settings, belief, truth, env, NEVER)
    truth.metrics[env].drain_reward = -(world.paid_gpu + world.paid_violation)
    truth.finished[env] = truth.metrics[env]
    keep_ledger(truth, env)
    world.done = 1
