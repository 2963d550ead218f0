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
    clear_metrics,
    record_decision,
)
from splitenv.actions import possible, write_mask
from splitenv.belief import (
    arrive,
    become_ready,
    clear,
    leave_queue,
    send_to_cloud,
    send_to_device,
    start_batch,
)
from splitenv.dispatch import NEVER, due_model, form_batch, idle_gpu, plan, time_line, wait_for_gpu
from splitenv.features import observe
from splitenv.heap import pop, push
from splitenv.physics import company, congestion, consequence, ready_time
from splitenv.prefetch import fetch_clients
from splitenv.state import Array, Belief, Out, Settings, Tables, Truth
from splitenv.world import (
    new_episode,
    next_arrival,
    realised_rtt,
    realised_slowness,
    report_request,
    transfer_finish,
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
            fetch_clients(settings, belief, truth, env + _AHEAD)
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
    arrival = next_arrival(settings, truth, env, 0.0)
    _receive(tables, settings, belief, truth, env, arrival)


def _receive(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> None:
    """The next request arrives and becomes the pending one; the one after it gets its time."""
    world = truth.world[env]
    report_request(tables, settings, belief, truth, env, now)
    arrive(belief, env, belief.clock[env].model, now)
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
        world.paid_violation += price
        if world.index < truth.record.shape[1]:
            truth.record[env, world.index].finish = clock.arrival
        account(
            tables, settings, truth, env, world.index, clock.model, 0.0, price, NEVER,
            clock.arrival, DROPPED, 0,
        )  # fmt: skip
        return
    gpu_at = congestion(tables, belief, env, clock.model)
    complete, seconds = consequence(
        tables, belief, env, placement, gpu_at, company(tables, belief, env, clock.model)
    )
    ready = ready_time(tables, belief, env, placement)
    hold = tables.action_hold[action]
    slot = send_to_cloud(tables, belief, env, placement, hold, ready, world.index)
    request = truth.request[env, slot]
    request.sla = clock.sla
    request.device = clock.device
    request.action = action
    request.deadline = clock.deadline
    request.promised_gpu = seconds / tables.norm
    request.promised_violation = 0.0
    if complete > clock.deadline:
        request.promised_violation = tables.violation_price * tables.weight[clock.sla]
    world.paid_gpu += request.promised_gpu
    world.paid_violation += request.promised_violation
    _upload(tables, settings, belief, truth, env, slot)
    push(belief, truth, env, slot)


def _upload(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, slot: int
) -> None:
    """Fix when the request is truly ready: control delay, device head, upload."""
    clock = belief.clock[env]
    request = truth.request[env, slot]
    client = truth.client[env, clock.client]
    placement = belief.request[env, slot].placement
    request.slowness = realised_slowness(settings, truth, env) * clock.speed
    request.rtt = realised_rtt(settings, truth, env, clock.client)
    start = clock.arrival + tables.control_delay
    request.encoded = start + request.slowness * tables.also[clock.device, clock.model, placement]
    head = request.slowness * tables.head[clock.device, clock.model, placement]
    if head > 0.0:
        start = max(start, client.device_free) + head
        client.device_free = start
    size = tables.up[clock.model, placement]
    sent = transfer_finish(settings, truth, env, clock.client, 0, start, size)
    request.ready = sent + 0.5 * request.rtt


def _run_on_device(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int
) -> None:
    """All-device: physics fixes the completion at once, so the truth is paid at once."""
    world = truth.world[env]
    clock = belief.clock[env]
    send_to_device(tables, belief, env)
    client = truth.client[env, clock.client]
    slowness = realised_slowness(settings, truth, env) * clock.speed
    start = max(clock.arrival + tables.control_delay, client.device_free)
    complete = start + slowness * tables.head[clock.device, clock.model, 0]
    client.device_free = complete
    price = 0.0
    outcome = IN_TIME
    if complete > clock.deadline:
        price = tables.violation_price * tables.weight[clock.sla]
        outcome = LATE
    world.paid_violation += price
    account(
        tables, settings, truth, env, world.index, clock.model, 0.0, price, complete,
        clock.arrival, outcome, 0,
    )  # fmt: skip


def _advance(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, until: float
) -> None:
    """Run every event up to ``until``, that instant included."""
    world = truth.world[env]
    clock = belief.clock[env]
    while True:
        now = world.act_at
        if clock.uploads > 0:
            now = min(now, truth.request[env, truth.heap[env, 0]].ready)
        if now > until or now >= NEVER:
            return
        while clock.uploads > 0 and truth.request[env, truth.heap[env, 0]].ready <= now:
            become_ready(tables, belief, env, pop(belief, truth, env), now)
        clock.now = now
        world.act_at = _dispatch(tables, settings, belief, truth, env, now)


def _dispatch(
    tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int, now: float
) -> float:
    """Launch all that is due; return when dispatch is next to be looked at."""
    while belief.clock[env].waiting > 0:
        gpu = idle_gpu(tables, belief, env, now)
        if gpu < 0:
            return wait_for_gpu(belief, env)
        earliest = plan(tables, belief, env, gpu, now)
        if earliest > now:
            return earliest
        model = due_model(belief, env, now)
        _launch(tables, settings, belief, truth, env, model, gpu, now)
    return NEVER


def _launch(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    model: int,
    gpu: int,
    now: float,
) -> None:
    """Start a batch: physics fixes its members' completions, so the truth is paid."""
    if tables.drop_late:
        while _drop_late(tables, settings, belief, truth, env, model, tables.pool[gpu], now) > 0:
            pass
        if belief.queue[env, model].size == 0:
            return
    kind = tables.pool[gpu]
    members = form_batch(tables, belief, env, model, kind, now)
    if members == 0:
        return
    time_line(tables, belief, env, model, kind)
    metrics = truth.metrics[env]
    for member in range(members):
        slot = belief.members[env, member]
        _complete(tables, settings, belief, truth, env, slot, gpu, members, now)
    start_batch(tables, belief, env, model, gpu, members, now)
    metrics.launches += 1.0
    metrics.busy_seconds += belief.gpu[env, gpu].free_at - now


def _complete(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    slot: int,
    gpu: int,
    members: int,
    now: float,
) -> None:
    """Fix when a member of a starting batch completes, and account for it."""
    world = truth.world[env]
    known = belief.request[env, slot]
    request = truth.request[env, slot]
    kind = tables.pool[gpu]
    model = known.model
    placement = known.placement
    enter = tables.enter[model, placement]
    leave = tables.exit[model, placement]
    seconds = tables.overhead[kind] / members
    for segment in range(enter, leave):
        seconds += tables.segment_share[kind, model, segment, belief.present[env, segment]]
    finish = now + belief.elapsed[env, leave - 1]
    size = tables.down[model, placement]
    back = transfer_finish(settings, truth, env, known.client, 1, finish, size) + 0.5 * request.rtt
    complete = back
    tail = request.slowness * tables.tail[request.device, model, placement]
    if tail > 0.0:
        client = truth.client[env, known.client]
        complete = max(max(back, request.encoded), client.device_free) + tail
        client.device_free = complete
    gpu_cost = seconds * tables.price[kind] / tables.norm
    price = 0.0
    outcome = IN_TIME
    if complete > request.deadline:
        price = tables.violation_price * tables.weight[request.sla]
        outcome = LATE
    world.paid_gpu += gpu_cost - request.promised_gpu
    world.paid_violation += price - request.promised_violation
    if known.index < truth.record.shape[1]:
        record = truth.record[env, known.index]
        record.ready = request.ready
        record.start = now
        record.finish = finish
        record.download = back
        record.gpu_deadline = known.gpu_deadline
        record.gpu = gpu
        record.launch = int(truth.metrics[env].launches)
    account(
        tables, settings, truth, env, known.index, model, seconds, gpu_cost + price, complete,
        known.arrival, outcome, members,
    )  # fmt: skip


def _drop_late(
    tables: Tables,
    settings: Settings,
    belief: Belief,
    truth: Truth,
    env: int,
    model: int,
    kind: int,
    now: float,
) -> int:
    """Drop what can no longer meet D (``late: drop``), one batch's worth; return how many."""
    world = truth.world[env]
    members = 0
    for position in range(belief.queue[env, model].size):
        if members == belief.members.shape[1]:
            break
        slot = belief.waiting[env, model, position]
        known = belief.request[env, slot]
        if now + tables.alone[kind, model, known.placement, 1] <= known.gpu_deadline:
            continue
        belief.members[env, members] = slot
        members += 1
        request = truth.request[env, slot]
        price = tables.violation_price * tables.weight[request.sla]
        world.paid_gpu -= request.promised_gpu
        world.paid_violation += price - request.promised_violation
        if known.index < truth.record.shape[1]:
            record = truth.record[env, known.index]
            record.ready = request.ready
            record.finish = now
            record.gpu_deadline = known.gpu_deadline
        account(
            tables, settings, truth, env, known.index, model, 0.0, price, NEVER,
            known.arrival, DROPPED, 0,
        )  # fmt: skip
    leave_queue(belief, env, model, members)
    return members


def _finish(tables: Tables, settings: Settings, belief: Belief, truth: Truth, env: int) -> None:
    """Run what is in flight to its end: it counts in the metrics and is paid to nobody."""
    world = truth.world[env]
    world.paid_gpu = 0.0
    world.paid_violation = 0.0
    _advance(tables, settings, belief, truth, env, NEVER)
    truth.metrics[env].drain_reward = -(world.paid_gpu + world.paid_violation)
    truth.finished[env] = truth.metrics[env]
    world.done = 1
