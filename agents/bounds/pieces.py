"""Pieces of a bound, kept like those of an evaluation."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from agents.bounds.clairvoyant import Priced, price_episodes
from agents.bounds.gaps import Floors, floors
from agents.items import Piece, profiles_of, simulator_code, source_digest
from agents.runner import Runner
from splitenv.scenario import Scenario

FORMAT = 1
PIECE = 8
"""Episodes of a piece."""


@dataclass(frozen=True)
class BoundItem(Piece[Priced]):
    """The prices of episodes ``first`` to ``first + episodes - 1`` of a scenario."""

    scenario: Scenario
    first: int
    episodes: int

    kind = Priced

    def key(self) -> str:
        """SHA-256 of all that they depend on."""
        content = {
            "format": FORMAT,
            "bound": _code(),
            "seeds": [self.first, self.episodes],
            "simulator": simulator_code(),
            "profiles": profiles_of(self.scenario),
            "scenario": self.scenario.digest(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def run(self) -> Priced:
        """Price them."""
        return price_episodes(self.scenario, self.first + np.arange(self.episodes))

    def prepare(self) -> None:
        """Compile what it needs."""
        short = self.scenario.with_overrides({"decisions": 2 * self.scenario.warmup + 8})
        price_episodes(short, [0])


def bound_items(scenario: Scenario, seed: int, episodes: int) -> list[BoundItem]:
    """The pieces of a bound over episodes ``seed`` to ``seed + episodes - 1``."""
    last = seed + episodes
    return [
        BoundItem(scenario, first, min(PIECE, last - first)) for first in range(seed, last, PIECE)
    ]


def bound_of(
    scenario: Scenario, seed: int, episodes: int, runner: Runner, stream: int = 0
) -> Floors:
    """The bound over some episodes, of pieces that are kept or priced now."""
    return floors(
        [runner.load(item) for item in bound_items(scenario, seed, episodes)], seed, stream
    )


@cache
def _code() -> str:
    """Digest of the code that prices."""
    here = Path(__file__).resolve().parent
    return source_digest([here / f"{name}.py" for name in ("clairvoyant", "prices", "shares")])
