"""One piece of an evaluation: a policy through some episodes of a scenario, kept by its content.

An item's key is a hash of everything that its tally depends on: scenario, profiles, what the policy
says of itself and the discipline that it runs under, the weights of a learned one, the seeds, and
the code. So a kept tally is right for as long as its key is asked for, and nothing ever has to be
thrown out of the cache by hand.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from agents.evaluation import play
from agents.measures import Tally, attainable, tally
from agents.policy import Policy
from agents.registry import make_policy
from splitenv.attainable import play_alone
from splitenv.files import OutputError, write_bytes
from splitenv.scenario import Scenario
from splitenv.simulator import Simulator
from splitenv.tables import profile_digest

FORMAT = 2
ATTAINABLE = "attainable"
"""In place of a policy: what could be had at best, see :func:`agents.measures.attainable`."""

ROOT = Path(__file__).resolve().parents[1]
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)

_PROFILES: dict[str, str] = {}
"""Digest of the profiles of each scenario asked for, by the scenario's."""

_WITHOUT_EFFECT = {
    "__main__", "cli", "env", "files", "names", "provenance", "records", "simulate_cli", "theory",
    "timeline", "timeline_page", "trace", "validate_cli", "validation", "vector_env", "viewer",
    "wrappers",
}  # fmt: skip
"""Modules of splitenv that no evaluation passes through."""


class Kept(Protocol):
    """What a piece makes and the cache keeps."""

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays to be kept in a file."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make it of what :meth:`to_arrays` gave."""
        ...


Made = TypeVar("Made", bound=Kept)


class Piece(ABC, Generic[Made]):
    """Something to be computed once and kept by its content."""

    kind: type[Made]

    @abstractmethod
    def key(self) -> str:
        """SHA-256 of all that it depends on."""

    @abstractmethod
    def run(self) -> Made:
        """Compute it."""

    @abstractmethod
    def prepare(self) -> None:
        """Compile what it runs, so that processes that start after this need not."""


@dataclass(frozen=True)
class Item(Piece[Tally]):
    """A policy, by its spec, through episodes ``first`` to ``first + episodes - 1`` of a scenario.

    Episode k has seed k. The policy may be :data:`ATTAINABLE`.
    """

    scenario: Scenario
    spec: str
    first: int
    episodes: int

    kind = Tally

    def key(self) -> str:
        """SHA-256 of all that its tally depends on."""
        content = {
            "format": FORMAT,
            "seeds": [self.first, self.episodes],
            "simulator": simulator_code(),
            "profiles": profiles_of(self.scenario),
            **_policy(self.spec, self.scenario),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def run(self) -> Tally:
        """Play it."""
        seeds = self.first + np.arange(self.episodes)
        if self.spec == ATTAINABLE:
            return attainable(self.scenario, seeds)
        policy = policy_of(self.spec)
        simulator = Simulator(policy.under(self.scenario), self.episodes, record=True)
        play(policy, simulator, seeds)
        return tally(simulator)

    def prepare(self) -> None:
        """Compile the kernel."""
        compile_kernel(self.scenario)


def compile_kernel(scenario: Scenario) -> None:
    """Compile the kernel before processes start, who would each do it at the same time."""
    simulator = Simulator(scenario, 1)
    simulator.seed([0])
    simulator.reset()
    simulator.step(np.zeros(1, np.int64))
    play_alone(scenario, [0])


@cache
def policy_of(spec: str) -> Policy:
    """Make a policy, once in each process."""
    return make_policy(spec)


def _policy(spec: str, scenario: Scenario) -> dict[str, Any]:
    if spec == ATTAINABLE:
        return {"policy": ATTAINABLE, "scenario": scenario.digest()}
    policy = policy_of(spec)
    return {
        "policy": policy.describe(),
        "learned": policy.fingerprint(),
        "code": _policy_code(type(policy)),
        "scenario": policy.under(scenario).digest(),
    }


def profiles_of(scenario: Scenario) -> str:
    """Digest of the profiles that a scenario uses."""
    key = scenario.digest()
    if key not in _PROFILES:
        _PROFILES[key] = profile_digest(scenario)
    return _PROFILES[key]


@cache
def simulator_code() -> str:
    """Digest of the code that plays and measures, and of the libraries that compute."""
    package = ROOT / "splitenv"
    files = [path for path in package.glob("*.py") if path.stem not in _WITHOUT_EFFECT]
    files += [*(package / "profiles").glob("*.py"), ROOT / "agents" / "measures.py"]
    return source_digest(files)


@cache
def _policy_code(kind: type[Policy]) -> str:
    """Digest of the rules' code and of the files of the policy's class, wherever they are."""
    files = {ROOT / "agents" / "policy.py", *(ROOT / "agents" / "heuristics").glob("*.py")}
    own = [each for each in kind.__mro__ if issubclass(each, Policy)]
    return source_digest([*files, *(Path(inspect.getfile(each)) for each in own)])


def source_digest(files: list[Path]) -> str:
    """Digest of some source files, and of the library that computes."""
    digest = hashlib.sha256(np.__version__.encode())
    for path in sorted(set(files)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def default_folder() -> Path:
    """Where pieces are kept if nothing else is said: in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "splitenv" / "evaluations"


class Cache:
    """What was made by key, each in a file of its own that is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"--cache must name a folder; got the file {folder}")

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"

    def has(self, key: str) -> bool:
        """Whether something is kept under a key."""
        return self._path(key).is_file()

    def load(self, key: str, kind: type[Made]) -> Made | None:
        """Return what is kept under a key, or None: there is nothing, or it cannot be read."""
        try:
            with np.load(io.BytesIO(self._path(key).read_bytes()), allow_pickle=False) as file:
                return kind.from_arrays(file)
        except _UNREADABLE:
            return None

    def store(self, key: str, made: Kept) -> None:
        """Keep what was made, atomically.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **made.to_arrays())
        write_bytes(self._path(key), content.getvalue())
