"""The small system as a mixed-integer program, solved by HiGHS.

Written from the physics, and from nothing else in this package: launches as continuous times in an
order for each GPU, members by binaries, and the numbers present in each segment of each batch as a
choice of one pair (that count, that don't).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from agents.bounds.small import Case
from splitenv.disciplines import NEVER

Terms = dict[int, float]


class _Program:
    """Variables and rows, as they are added."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.high: list[float] = []
        self.whole: list[int] = []
        self.rows: list[tuple[Terms, float, float]] = []

    def variable(self, cost: float = 0.0, high: float = 1.0, *, whole: bool = True) -> int:
        self.cost.append(cost)
        self.high.append(high)
        self.whole.append(int(whole))
        return len(self.cost) - 1

    def row(self, terms: Terms, low: float, high: float) -> None:
        self.rows.append((terms, low, high))

    def solve(self) -> float:
        at = [(n, v, c) for n, (terms, _, _) in enumerate(self.rows) for v, c in terms.items()]
        row, column, value = zip(*at, strict=True)
        matrix = csr_matrix((value, (row, column)), (len(self.rows), len(self.cost)))
        low, high = (np.array([r[side] for r in self.rows]) for side in (1, 2))
        result = milp(
            self.cost,
            integrality=self.whole,
            bounds=Bounds(0.0, np.array(self.high)),
            constraints=LinearConstraint(matrix, low, high),
            options={"mip_rel_gap": 0.0},
        )
        if not result.success:
            raise RuntimeError(f"HiGHS did not solve a small system: {result.message}")
        return float(result.fun)


def solve(case: Case) -> float:
    """Least GPU seconds + mu x violations of a case. A violated request is not served."""
    program = _Program()
    placements = range(1, len(case.spans) + 1)
    latest = float(np.where(case.leave < NEVER, case.leave, 0.0).max())
    latest = max(latest, float(case.ready[case.ready < NEVER].max()))
    longest = case.overhead + sum(max(times) for times in case.curve)
    horizon = latest + case.requests * longest
    where: dict[int, list[Terms]] = {i: [] for i in range(case.requests)}
    for _ in range(case.gpus):
        end: Terms = {}
        for _ in range(case.requests):
            end = _batch(case, program, placements, horizon, end, where)
    for i in range(case.requests):
        chosen: Terms = {v: 1.0 for terms in where[i] for v in terms}
        if case.counts[i] != 1:
            program.row(chosen, 0.0, 1.0)
            continue
        missed = program.variable(0.0 if case.on_device[i] else case.mu)
        program.row({**chosen, missed: 1.0}, 1.0, 1.0)
    return program.solve()


def _batch(
    case: Case,
    program: _Program,
    placements: range,
    horizon: float,
    before: Terms,
    where: dict[int, list[Terms]],
) -> Terms:
    """Add a batch that starts when the one before it has ended; return its end."""
    launch = program.variable(high=horizon, whole=False)
    program.row({launch: 1.0, **{v: -c for v, c in before.items()}}, 0.0, np.inf)
    members = {
        (i, s): program.variable()
        for i in range(case.requests)
        for s in placements
        if case.ready[i, s] < NEVER
    }
    for (i, s), chosen in members.items():
        where[i].append({chosen: 1.0})
        program.row({launch: 1.0, chosen: -case.ready[i, s]}, 0.0, np.inf)
    everybody = list(members)
    end = {launch: 1.0, **_present(case, program, members, everybody, [case.overhead] * case.limit)}
    for k, times in enumerate(case.curve):
        there = [(i, s) for i, s in everybody if case.spans[s - 1][0] <= k < case.spans[s - 1][1]]
        end |= _present(case, program, members, there, list(times))
        for i, s in everybody:
            if case.counts[i] == 1 and case.spans[s - 1][1] == k + 1:
                slack = 2.0 * horizon
                row = {**end, members[i, s]: slack}
                program.row(row, -np.inf, case.leave[i, s] + slack)
    return end


def _present(
    case: Case,
    program: _Program,
    members: dict[tuple[int, int], int],
    there: list[tuple[int, int]],
    times: list[float],
) -> Terms:
    """Add how many of ``there`` are members, with what they pay; return the seconds it takes."""
    seconds: Terms = {}
    counts: Terms = {}
    others: Terms = {}
    one: Terms = {}
    for a in range(case.limit + 1):
        for u in range(case.limit + 1 - a):
            time = times[a + u - 1] if a + u else 0.0
            number = program.variable(time * a / max(a + u, 1))
            seconds[number] = time
            one[number], counts[number], others[number] = 1.0, -float(a), -float(u)
    program.row(one, 1.0, 1.0)
    for i, s in there:
        (counts if case.counts[i] == 1 else others)[members[i, s]] = 1.0
    program.row(counts, 0.0, 0.0)
    program.row(others, 0.0, 0.0)
    return seconds
