"""Continuous serving: a GPU goes from iteration to iteration, members join and leave between them.

Iterations that are alike make a phase, which is one event however long it is. Plain scalar
functions, see :mod:`splitenv.physics`.
"""

from __future__ import annotations

from splitenv.disciplines import NEVER
from splitenv.physics import aboard, iterations_until
from splitenv.queues import hopeless, retire
from splitenv.state import Belief, Tables


def course(tables: Tables, belief: Belief, env: int, kind: int, members: int, start: float) -> None:
    """Fill ``belief.ends``: when each of ``belief.crew`` leaves if nobody joins.

    They stand at ``belief.units``, which are left at where they leave; iterations go on at
    ``start``.
    """
    for member in range(members):
        belief.tally[_kind_of(tables, belief, env, member)] += 1
        belief.ends[member] = -1.0
    time = start
    left = members
    while left > 0:
        pace = 0.0
        steps = tables.unit_kind.shape[1]
        for member in range(members):
            if belief.ends[member] < 0.0:
                unit_kind = _kind_of(tables, belief, env, member)
                # Each kind counts once: the sign says that it has.
                if belief.tally[unit_kind] > 0:
                    pace += tables.kind_time[kind, unit_kind, belief.tally[unit_kind]]
                    belief.tally[unit_kind] = -belief.tally[unit_kind]
                steps = min(steps, _run_left(tables, belief, env, member))
        time += steps * pace
        for member in range(members):
            if belief.ends[member] < 0.0:
                unit_kind = _kind_of(tables, belief, env, member)
                belief.tally[unit_kind] = abs(belief.tally[unit_kind])
        for member in range(members):
            if belief.ends[member] < 0.0:
                request = belief.request[belief.crew[member], env]
                belief.tally[_kind_of(tables, belief, env, member)] -= 1
                belief.units[member] += steps
                if belief.units[member] == tables.unit_exit[request.model, request.placement]:
                    belief.ends[member] = time
                    left -= 1
                else:
                    belief.tally[_kind_of(tables, belief, env, member)] += 1


def _kind_of(tables: Tables, belief: Belief, env: int, member: int) -> int:
    model = belief.request[belief.crew[member], env].model
    return tables.unit_kind[model, belief.units[member]]


def _run_left(tables: Tables, belief: Belief, env: int, member: int) -> int:
    """Iterations until a member leaves or needs another kind of unit."""
    request = belief.request[belief.crew[member], env]
    last = min(
        tables.run_end[request.model, belief.units[member]],
        tables.unit_exit[request.model, request.placement],
    )
    return last - belief.units[member]


def _stand(tables: Tables, belief: Belief, env: int, known: int, members: int) -> None:
    """Put the crew at the units where they are: ``known`` aboard, the others at their first."""
    for member in range(members):
        request = belief.request[belief.crew[member], env]
        unit = request.unit
        if member >= known:
            unit = tables.unit_enter[request.model, request.placement]
        belief.units[member] = unit


def gather(
    tables: Tables,
    belief: Belief,
    env: int,
    model: int,
    past: int,
    kind: int,
    now: float,
    known: int,
    start: bool,
) -> int:
    """Choose who comes aboard now, of models ``model`` to ``past - 1``.

    Parameters
    ----------
    known
        Members aboard, who stand first in ``belief.crew``.
    start
        Whether the GPU starts from idle, and so pays the launch overhead first.

    Returns
    -------
    int
        How many are aboard then: ``belief.crew``, in the order in which they came, who leave at
        ``belief.ends``.
    """
    begin = now + tables.overhead[kind] if start else now
    placements = tables.enter.shape[1]
    for each in range(model, past):
        retire(tables, belief, env, each, now)
        for placement in range(placements):
            belief.blocked[each * placements + placement] = 0
    if known > 0:
        _stand(tables, belief, env, known, known)
        course(tables, belief, env, kind, known, begin)
        for member in range(known):
            request = belief.request[belief.crew[member], env]
            belief.on_time[member] = belief.ends[member] <= request.gpu_deadline
    members = _board(tables, belief, env, model, past, kind, now, begin, known, known, 0)
    if tables.alone.shape[0] > 1:
        members = _board(tables, belief, env, model, past, kind, now, begin, known, members, 1)
    members = _board(tables, belief, env, model, past, kind, now, begin, known, members, 2)
    if members > 0:
        _stand(tables, belief, env, known, members)
        course(tables, belief, env, kind, members, begin)
    return members


def _board(
    tables: Tables,
    belief: Belief,
    env: int,
    model: int,
    past: int,
    kind: int,
    now: float,
    begin: float,
    known: int,
    members: int,
    group: int,
) -> int:
    """Let those come aboard that fit, of group 0 (in time here), 1 (late here) or 2 (late)."""
    placements = tables.enter.shape[1]
    offset = 1 if group == 2 else 0
    for each in range(model, past):
        belief.cursor[each] = belief.line[env, 2 * each + offset].first
    while True:
        chosen = _next_candidate(tables, belief, env, model, past, kind, known, members, offset)
        if chosen < 0:
            return members
        slot = belief.waiting[env, 2 * chosen + offset, belief.cursor[chosen]]
        belief.cursor[chosen] += 1
        request = belief.request[slot, env]
        column = chosen * placements + request.placement
        if belief.blocked[column] == 1:
            continue
        meets = now + tables.alone[kind, chosen, request.placement, 1] <= request.gpu_deadline
        if group < 2 and meets != (group == 0):
            continue
        if group == 2 and tables.drop_late and hopeless(tables, request, now):
            continue
        belief.crew[members] = slot
        _stand(tables, belief, env, known, members + 1)
        course(tables, belief, env, kind, members + 1, begin)
        on_time = belief.ends[members] <= request.gpu_deadline
        blocked = False
        for member in range(members):
            other = belief.request[belief.crew[member], env]
            if belief.on_time[member] and belief.ends[member] > other.gpu_deadline:
                blocked = True
        if members > 0 and blocked:
            belief.blocked[column] = 1
        elif members == 0 or on_time or group > 0:
            belief.on_time[members] = on_time
            members += 1


def _next_candidate(
    tables: Tables,
    belief: Belief,
    env: int,
    model: int,
    past: int,
    kind: int,
    known: int,
    members: int,
    offset: int,
) -> int:
    """The model whose next in line is to be asked, by D, ties by arrival; -1 if none is left."""
    placements = tables.enter.shape[1]
    best = -1
    least = NEVER
    first = 0
    for each in range(model, past):
        row = 2 * each + offset
        line = belief.line[env, row]
        if belief.cursor[each] == line.first + line.size:
            continue
        of_model = 0
        for member in range(members):
            if belief.request[belief.crew[member], env].model == each:
                of_model += 1
        open_placements = 0
        for placement in range(placements):
            if belief.variety[env, row, placement] > 0:
                open_placements += 1 - belief.blocked[each * placements + placement]
        if of_model == tables.limit[kind, each] or open_placements == 0:
            belief.cursor[each] = line.first + line.size
            continue
        request = belief.request[belief.waiting[env, row, belief.cursor[each]], env]
        by = request.gpu_deadline
        if best < 0 or by < least or (by == least and request.index < first):
            best = each
            least = by
            first = request.index
    return best


def crew_of(belief: Belief, env: int, gpu: int) -> int:
    """Let the members of a GPU be the crew; return how many they are."""
    members = belief.gpu[env, gpu].members
    for member in range(members):
        belief.crew[member] = belief.aboard[env, gpu, member]
    return members


def come_aboard(
    tables: Tables, belief: Belief, env: int, gpu: int, known: int, members: int
) -> None:
    """Members ``known`` to ``members - 1`` of the crew join a GPU, at their first unit."""
    for member in range(known, members):
        slot = belief.crew[member]
        request = belief.request[slot, env]
        request.unit = tables.unit_enter[request.model, request.placement]
        belief.aboard[env, gpu, member] = slot
        belief.members[member - known] = slot
    belief.gpu[env, gpu].members = members


def start_phase(tables: Tables, belief: Belief, env: int, gpu: int, since: float) -> None:
    """Work out the phase that starts now: its pace, and when somebody leaves or changes kind."""
    phase = belief.phase[env, gpu]
    kind = tables.pool[gpu]
    members = crew_of(belief, env, gpu)
    _stand(tables, belief, env, members, members)
    for member in range(members):
        belief.tally[_kind_of(tables, belief, env, member)] += 1
    pace = 0.0
    steps = tables.unit_kind.shape[1]
    for member in range(members):
        steps = min(steps, _run_left(tables, belief, env, member))
        unit_kind = _kind_of(tables, belief, env, member)
        if belief.tally[unit_kind] > 0:
            pace += tables.kind_time[kind, unit_kind, belief.tally[unit_kind]]
            belief.tally[unit_kind] = 0
    phase.since = since
    phase.pace = pace
    phase.left = steps
    belief.gpu[env, gpu].free_at = since + steps * pace


def look_after(tables: Tables, belief: Belief, env: int, model: int, now: float) -> None:
    """A request of ``model`` became ready: busy GPUs with room look at their next boundary."""
    for gpu in range(belief.clock[env].gpus):
        phase = belief.phase[env, gpu]
        if (
            belief.gpu[env, gpu].members > 0
            and phase.look_at == NEVER
            and aboard(belief, env, gpu, model) < tables.limit[tables.pool[gpu], model]
        ):
            phase.look = iterations_until(phase, now)
            phase.look_at = phase.since + phase.look * phase.pace
