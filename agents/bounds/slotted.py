"""A toy whose optimum is known: one GPU, time in slots, solved by relative value iteration.

In a slot a request arrives with some chance. It is ready at once and must be answered within a few
slots; a batch of b takes ``times[b - 1]`` slots on the only GPU, whose seconds are what is paid,
and a request that is not answered in time costs ``price``. The state is the ages of those who wait
and the slots for which the GPU is still busy. The optimum is over all ways to launch any of those
who wait at any slot, with the arrival of that slot known: so over every policy and discipline.

Nothing is gained between slots: a schedule whose launches are moved up to the next slot launches
the same batches, is in time (arrivals and deadlines are whole) and never overlaps (so are times).
The kernel plays the same toy, see :func:`kernel_world`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from splitenv.state import Tables
from splitenv.toys import toy_settings, toy_tables
from splitenv.truth import Settings

Floats = npt.NDArray[np.float64]

HALVINGS = 14


@dataclass(frozen=True)
class Slotted:
    """The toy.

    Attributes
    ----------
    times
        Slots of a batch of 1, 2 and so on.
    deadline
        Slots from a request's arrival to its deadline.
    price
        Cost of a violation, in slots of the GPU.
    chance
        Of an arrival in a slot.
    """

    times: tuple[int, ...]
    deadline: int
    price: float
    chance: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is no such toy."""
        if not (0 < self.times[0] <= self.deadline <= 6 and len(self.times) <= 3):
            raise ValueError("a slotted toy has a batch of up to 3 and a deadline of up to 6 slots")
        if list(self.times) != sorted(self.times):
            raise ValueError("a larger batch takes no less time")

    @property
    def ages(self) -> int:
        """Ages at which a request can wait and still be in time alone: 0 to this minus 1."""
        return self.deadline - self.times[0] + 1

    def in_time(self, age: int, members: int) -> bool:
        """Whether a request of an age is in time in a batch that starts now."""
        return age + self.times[members - 1] <= self.deadline

    def launches(self, waiting: int) -> list[tuple[int, int]]:
        """Batches that can start, all in time: who then waits (as bits by age), and how many."""
        ages = [age for age in range(self.ages) if waiting >> age & 1]
        return [
            (waiting - sum(1 << age for age in members), size)
            for size in range(1, len(self.times) + 1)
            for members in combinations(ages, size)
            if self.in_time(members[-1], size)
        ]

    def pass_slot(self, waiting: int) -> tuple[int, int]:
        """Who waits one slot later, and how many of them became hopeless."""
        older = waiting << 1
        return older & ((1 << self.ages) - 1), older >> self.ages & 1


def optimum(toy: Slotted, tolerance: float = 1e-10) -> tuple[float, dict[tuple[int, int], int]]:
    """Solve a toy.

    Returns
    -------
    cost : float
        Least mean cost of a request.
    policy : dict
        Of every state (who waits as bits by age, slots until the GPU is free): who waits after the
        best decision in it.
    """
    busiest = max(toy.times)
    states = [(w, r) for w in range(1 << toy.ages) for r in range(busiest)]
    choices = {state: _choices(toy, *state) for state in states}
    row = {state: number for number, state in enumerate(states)}
    moves = [
        (row[state], row[after], cost) for state in states for cost, after, _ in choices[state]
    ]
    at, to, cost = (np.array(column) for column in zip(*moves, strict=True))
    # The slot after: nobody comes, or a request of age 0. Staying put half of the time changes no
    # mean and makes the chain aperiodic.
    arrives = np.array([row[w | 1, r] for w, r in states])
    starts = np.flatnonzero(np.diff(at, prepend=-1))
    value = np.zeros(len(states))
    while True:
        later = (1 - toy.chance) * value + toy.chance * value[arrives]
        best = np.minimum.reduceat(cost + later[to], starts)
        change = 0.5 * (best - value)
        value = value + change
        if np.ptp(change) < tolerance:
            break
        value -= value[0]
    later = (1 - toy.chance) * value + toy.chance * value[arrives]
    policy = {
        state: min(choices[state], key=lambda move: move[0] + later[row[move[1]]])[2]
        for state in states
    }
    return float(2 * change.mean() / toy.chance), policy


def _choices(toy: Slotted, waiting: int, busy: int) -> list[tuple[float, tuple[int, int], int]]:
    """Cost, state before the next slot's arrival, and who waits, of every decision in a state."""
    options = [(waiting, 0)] + ([] if busy else toy.launches(waiting))
    found = []
    for left, size in options:
        time = toy.times[size - 1] if size else 0
        older, lost = toy.pass_slot(left)
        state = (older, max(busy + time - 1, 0))
        found.append((time + toy.price * lost, state, left))
    return found


def play(
    toy: Slotted, policy: dict[tuple[int, int], int], slots: int, seed: int
) -> tuple[float, float]:
    """Play a policy of the toy; return its mean cost of a request, and the standard error of it."""
    arrivals = np.random.default_rng(seed).random(slots) < toy.chance
    costs = np.zeros(slots)
    waiting = busy = 0
    for slot in range(slots):
        waiting |= int(arrivals[slot])
        left = policy[waiting, busy]
        size = (waiting ^ left).bit_count()
        time = toy.times[size - 1] if size else 0
        waiting, lost = toy.pass_slot(left)
        busy = max(busy + time - 1, 0)
        costs[slot] = time + toy.price * lost
    blocks = costs.reshape(100, -1).mean(axis=1) / toy.chance
    return float(blocks.mean()), float(blocks.std(ddof=1) / 10)


def prompt_cost(toy: Slotted) -> float:
    """Mean cost of a request of the kernel's all-cloud without a hold, from its Markov chain.

    When the GPU falls idle, it takes those in time with the earliest deadlines before that slot's
    request is there; a request that finds it idle is launched alone.
    """
    busiest = max(toy.times)
    states = [(w, r) for w in range(1 << toy.ages) for r in range(busiest)]
    row = {state: number for number, state in enumerate(states)}
    chain = np.zeros((len(states), len(states)))
    cost = np.zeros(len(states))
    for state in states:
        for comes, chance in ((0, 1 - toy.chance), (1, toy.chance)):
            waiting, busy, paid = *state, 0
            for newcomer in (0, comes):
                waiting |= newcomer
                if waiting and not busy:
                    size = _prompt(toy, waiting)
                    waiting = _without_oldest(waiting, size)
                    busy = toy.times[size - 1]
                    paid += busy
            waiting, lost = toy.pass_slot(waiting)
            chain[row[state], row[waiting, max(busy - 1, 0)]] += chance
            cost[row[state]] += chance * (paid + toy.price * lost)
    balance = np.vstack([chain.T - np.eye(len(states)), np.ones(len(states))])
    share = np.linalg.lstsq(balance, np.eye(len(states) + 1)[-1], rcond=None)[0]
    return float(share @ cost / toy.chance)


def _prompt(toy: Slotted, waiting: int) -> int:
    """Members of the batch that ``slack`` forms: the oldest, as long as nobody gets late."""
    oldest = waiting.bit_length() - 1
    fits = [b for b in range(1, len(toy.times) + 1) if toy.in_time(oldest, b)]
    return min(max(fits), waiting.bit_count())


def _without_oldest(waiting: int, members: int) -> int:
    for _ in range(members):
        waiting ^= 1 << (waiting.bit_length() - 1)
    return waiting


def kernel_world(toy: Slotted, length: int, warmup: int) -> tuple[Tables, Settings]:
    """The same toy for the kernel; of its two placements, all-device is a violation for nothing.

    The chance must be 1/2. Gaps are geometric but for their longest, which holds what is left.
    """
    if toy.chance != 0.5:
        raise ValueError(f"the kernel plays this toy with chance 1/2, got {toy.chance}")
    gaps = np.repeat(np.arange(1, HALVINGS + 1), 2 ** np.arange(HALVINGS - 1, -1, -1)).tolist()
    tables = toy_tables(
        [[float(time) for time in toy.times]],
        [1000.0],
        [(0, 1)],
        deadline=float(toy.deadline),
        violation_price=toy.price,
        drop_late=True,
    )
    return tables, toy_settings(gap=[*gaps, HALVINGS], length=length, warmup=warmup)
