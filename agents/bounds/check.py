"""The order that makes a bound one: relaxation <= program = brute force <= rules."""

from __future__ import annotations

from dataclasses import dataclass

from agents.bounds.program import solve
from agents.bounds.small import brute_force, play_rule, random_case, relaxation

SLACK = 1e-6
BRUTE_FORCE = 5
"""Requests up to which everything is tried."""


@dataclass(frozen=True)
class Order:
    """What one small system came to.

    Attributes
    ----------
    requests
        How many it has.
    single, together
        The clairvoyant bounds, each request by itself and considering batches.
    program
        The mixed-integer program's optimum.
    tried
        The optimum by brute force; None for a larger system.
    rule
        The best of some rules.
    """

    seed: int
    requests: int
    single: float
    together: float
    program: float
    tried: float | None
    rule: float

    @property
    def faults(self) -> list[str]:
        """What is out of order, in words; nothing in a sound case."""
        found = []
        if max(self.single, self.together) > self.program + SLACK:
            found.append("a relaxation is above the program")
        if self.tried is not None and abs(self.program - self.tried) > SLACK:
            found.append("the program is not what brute force finds")
        if self.program > self.rule + SLACK:
            found.append("a rule is below the program")
        return [f"case {self.seed}: {fault}" for fault in found]


def check_case(seed: int, largest: int = BRUTE_FORCE) -> Order:
    """Draw a small system, and bound and solve it."""
    case = random_case(seed, largest)
    rules = [
        play_rule(case, placement, size, patience)
        for placement in range(1, len(case.spans) + 1)
        for size in range(1, case.limit + 1)
        for patience in (0.0, 0.5, 2.0)
    ]
    return Order(
        seed=seed,
        requests=case.requests,
        single=relaxation(case, 0.0, together=False),
        together=max(relaxation(case, fee) for fee in (0.1, 0.5)),
        program=solve(case),
        tried=brute_force(case) if case.requests <= BRUTE_FORCE else None,
        rule=min(rules),
    )
