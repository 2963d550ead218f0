"""What a bundle says of itself: the manifest, format version 2."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from splitenv.disciplines import DISCIPLINES

FORMAT = 2

Range = tuple[float, float]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of the manifest's parts: frozen, and no field that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rule(Part):
    """A heuristic policy by its name among the entry points, and its parameters."""

    name: str
    parameters: dict[str, float] = {}


class Knob(Part):
    """Where along the trade-off of GPU time and violations a learned policy stands.

    Attributes
    ----------
    value
        Where it stands if nothing else is asked for.
    targets
        Where it meets which attainment, as measured under the scenario's load; None where that
        cannot be had.
    """

    value: Annotated[float, Field(ge=-1, le=1)]
    targets: dict[str, Annotated[float, Field(ge=-1, le=1)] | None]


class Graph(Part):
    """The learned policy's graph.

    Attributes
    ----------
    opset
        Version of the ONNX operators that it is made of.
    algorithm
        What it was trained with.
    knob
        Of a policy that learned the whole trade-off; the graph then has an input of that name.
    """

    opset: int
    algorithm: str
    knob: Knob | None = None


class Observation(Part):
    """The observation schema that the policy was made for, see :mod:`splitenv.features`."""

    version: int
    features: list[dict[str, Any]]


class Actions(Part):
    """The action table: placement and hold of every action."""

    placement: list[int]
    hold: list[float]
    hold_levels: list[float]


class ModelNames(Part):
    """A model that clients may ask for.

    Attributes
    ----------
    name
        What requests call it.
    placements
        The units ``[i, j)`` that the cloud runs, all-device first as ``[0, 0)``.
    """

    name: str
    placements: list[tuple[int, int]]


class Names(Part):
    """The names behind the indices of the tables."""

    devices: list[str]
    models: list[ModelNames]
    sla: list[str]


class ScenarioEntry(Part):
    """The scenario that the policy was made for: whole, and its digest."""

    name: str
    digest: Sha256
    content: dict[str, Any]

    @model_validator(mode="after")
    def _same(self) -> Self:
        if digest_of(self.content) != self.digest:
            raise ValueError("the digest is not that of the scenario's content")
        return self


class Guard(Part):
    """When the policy is not to be trusted.

    Attributes
    ----------
    max_report_age_s
        Oldest client report that a decision may rest on, s.
    uplink, downlink
        Credible reported rates, bytes/s.
    rtt
        Credible reported round-trip times, s.
    speed
        Credible device time of a client beside its device's profile.
    low, high
        Bounds of every feature.
    """

    max_report_age_s: Annotated[float, Field(gt=0)] = 30.0
    uplink: Range = (1e2, 1e11)
    downlink: Range = (1e2, 1e11)
    rtt: Range = (0.0, 60.0)
    speed: Range = (0.05, 20.0)
    low: list[float]
    high: list[float]


class FileEntry(Part):
    """Size and hash of one of the bundle's files."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Ranges(Part):
    """Where the features of one kind of request lay in training.

    Attributes
    ----------
    model, sla
        The kind: indices of a model and of an SLA class.
    low, high
        Quantiles of every feature.
    """

    model: Annotated[int, Field(ge=0)]
    sla: Annotated[int, Field(ge=0)]
    low: list[float]
    high: list[float]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        pairs = zip(self.low, self.high, strict=False)
        if len(self.low) != len(self.high) or any(low > high for low, high in pairs):
            raise ValueError("low and high are to be as many, and low never above high")
        return self


class EnvelopeEntry(Part):
    """The observations that a learned policy was trained on, see :mod:`splitenv.runtime.envelope`.

    Attributes
    ----------
    kinds
        Every kind of request in the training sample.
    levels
        Shares of the sample below each ``low`` and below each ``high``.
    reach
        Distance that the share ``within`` of the sample does not exceed.
    rows
        Observations in the sample.
    """

    kinds: Annotated[list[Ranges], Field(min_length=1)]
    levels: tuple[float, float]
    reach: Annotated[float, Field(ge=0)]
    within: Annotated[float, Field(gt=0, lt=1)]
    rows: Annotated[int, Field(ge=1)]


class Manifest(Part):
    """Everything that a bundle says of itself.

    Attributes
    ----------
    name
        What reports call the policy.
    kind
        ``learned``: the graph decides; ``rule``: the rule does.
    rule, graph
        The one that ``kind`` names; the other is absent.
    fallback
        The rule that decides when the policy is not to be trusted.
    discipline
        The dispatch discipline that the serving system is to run; its parameters stand in the
        scenario's content.
    gpus, queue
        Size of the pool, and requests that may be on their way to a GPU at once.
    profiles
        Digest of all profiles behind the tables.
    envelope
        Of a learned policy, what it was trained on.
    training, evaluation
        Where the policy comes from and what it was measured to do; empty for what has neither.
    files
        Every file of the bundle but the manifest.
    digest
        SHA-256 of this manifest without this field.
    """

    format: Literal[2] = 2
    name: str
    kind: Literal["learned", "rule"]
    rule: Rule | None = None
    graph: Graph | None = None
    fallback: Rule
    discipline: str
    observation: Observation
    actions: Actions
    names: Names
    gpus: Annotated[int, Field(ge=1)]
    queue: Annotated[int, Field(ge=1)]
    scenario: ScenarioEntry
    profiles: Sha256
    guard: Guard
    envelope: EnvelopeEntry | None = None
    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    files: dict[Annotated[str, Field(pattern="^[a-z0-9_]+[.][a-z0-9]+$")], FileEntry] = {}
    digest: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "rule") != (self.rule is not None):
            raise ValueError("rule: is to be there for kind rule, and only then")
        if (self.kind == "learned") != (self.graph is not None):
            raise ValueError("graph: is to be there for kind learned, and only then")
        if (self.kind == "learned") != (self.envelope is not None):
            raise ValueError("envelope: is to be there for kind learned, and only then")
        if self.discipline not in DISCIPLINES:
            raise ValueError(f"discipline: {self.discipline!r} is none of {', '.join(DISCIPLINES)}")
        return self

    def sealed(self, files: dict[str, FileEntry]) -> Manifest:
        """Return a copy that lists the files and carries its own digest."""
        listed = self.model_copy(update={"files": files, "digest": ""})
        return listed.model_copy(update={"digest": listed.content_digest()})

    def content_digest(self) -> str:
        """SHA-256 of everything but the digest itself."""
        return digest_of(self.model_dump(mode="json", exclude={"digest"}))


def digest_of(content: dict[str, Any]) -> str:
    """SHA-256 of plain data, written as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
