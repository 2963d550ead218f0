"""What a scenario is made of: workloads, SLA classes, clients, networks, pool, dispatch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from splitenv.disciplines import FIRST_COME
from splitenv.profiles.figures import Frozen

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[Positive, Positive]

MOST_PLACEMENTS = 32
MOST_GPUS = 64


class SlaClass(Frozen):
    """A promise to a class of requests.

    Attributes
    ----------
    deadline_s
        Relative deadline, s.
    target
        Attainment that is promised.
    price
        Factor on the scenario's violation price, up to 1,000.
    """

    deadline_s: Positive
    target: Annotated[float, Field(gt=0, lt=1)] = 0.99
    price: Annotated[float, Field(gt=0, le=1e3)] = 1.0


class Workload(Frozen):
    """One model that clients ask for.

    Attributes
    ----------
    model
        Name of a model profile, or a path to one.
    steps
        Denoising steps, for models that have them.
    cut_every
        Cut after every so many units (denoising steps, residual blocks).
    wire
        Number format of tensors that cross.
    share
        Share of all requests.
    sla
        Share of this model's requests in each SLA class; sums to 1.
    """

    model: str
    steps: Annotated[int, Field(gt=0)] | None = None
    cut_every: Annotated[int, Field(gt=0)] = 1
    wire: Literal["fp32", "fp16", "int8"] = "fp16"
    share: Share = 1.0
    sla: dict[str, Share]


class Generation(Frozen):
    """A share of the fleet whose devices are so many times faster than the measured ones."""

    faster: Positive
    share: Share


class Sessions(Frozen):
    """Clients that ask several times in a row, a few of them at a time.

    Attributes
    ----------
    active
        Clients that are in a session at the same time.
    requests
        Mean requests of a session (assumed).
    """

    active: Annotated[int, Field(ge=1)]
    requests: Annotated[int, Field(ge=1)]


class Background(Frozen):
    """What else runs on the clients' devices and slows them down, by spells (assumed).

    Attributes
    ----------
    share
        Share of time in which a device is slowed down.
    slowdown
        Factor on its times meanwhile.
    block_s
        Length of a spell, s.
    """

    share: Share
    slowdown: Annotated[float, Field(ge=1)]
    block_s: Positive = 60.0


class Clients(Frozen):
    """Who asks.

    Attributes
    ----------
    count
        Clients in the fleet; each has one device and one network session an episode.
    mix
        Name of a device-mix profile.
    generations
        How much faster than measured, for fleets of the future.
    jitter
        Realised device time lies within 1 +- jitter of the profile (assumed).
    throttling
        Whether devices slow down under sustained use, where their profile says by how much.
    background
        What else runs on them.
    sessions
        Clients ask several times in a row; if not given, each request's client is drawn anew.
    """

    count: Annotated[int, Field(ge=1, le=65536)] = 128
    mix: str
    generations: tuple[Generation, ...] = (Generation(faster=1.0, share=1.0),)
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.15
    throttling: bool = False
    background: Background | None = None
    sessions: Sessions | None = None


class Network(Frozen):
    """How clients reach the cloud.

    Attributes
    ----------
    shares
        Share of clients on each network profile; a name that ends in ``.csv`` is a recorded trace.
    report_lag_s
        Age of the rate that a client reports, s (assumed).
    report_error
        Standard deviation of the log of reported over true rate (assumed).
    initial_window
        Bytes that TCP sends before it has heard from the other side, from which a transfer starts
        up (RFC 6928: ten segments, 14,600); if not given, connections are warm.
    """

    shares: dict[str, Share]
    report_lag_s: Annotated[float, Field(ge=0)] = 1.0
    report_error: Annotated[float, Field(ge=0, le=2)] = 0.1
    initial_window: Annotated[int, Field(ge=1)] | None = None


Count = Annotated[int, Field(ge=1, le=MOST_GPUS)]


class Pool(Frozen):
    """The cloud's GPUs.

    Attributes
    ----------
    gpu
        Name of the GPU profile of the first type, in whose seconds costs are counted.
    count
        How many of it.
    beside
        How many of other types, by name of their profile.
    batch_limit
        Largest batch, where the measured curve would allow more.
    faster
        How many times as fast as measured its GPUs are taken to be.
    company
        What a further member of a batch costs, as a multiple of what was measured: with t(b) the
        measured time, ``t(1) + company (t(b) - t(1))``. Both are for what-ifs, and for training.
    """

    gpu: str
    count: Count
    beside: dict[str, Count] = Field(default_factory=dict)
    batch_limit: Annotated[int, Field(ge=1)] | None = None
    faster: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    company: Annotated[float, Field(ge=0, le=10)] = 1.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.gpu in self.beside:
            raise ValueError(f"beside names {self.gpu} again; give its number in count")
        if self.size > MOST_GPUS:
            raise ValueError(f"at most {MOST_GPUS} GPUs are accepted, got {self.size}")
        return self

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the GPU profiles, the first type first."""
        return (self.gpu, *self.beside)

    @property
    def size(self) -> int:
        """Number of GPUs, all types together."""
        return self.count + sum(self.beside.values())

    def type_of_each(self, size: int) -> list[int]:
        """Index in :attr:`types` of each of ``size`` GPUs; more than its own are of the first."""
        others = [t for t, count in enumerate(self.beside.values(), start=1) for _ in range(count)]
        return [0] * (size - len(others)) + others


class Dispatch(Frozen):
    """Who is batched with whom and when a GPU launches, see :mod:`splitenv.dispatch`.

    Attributes
    ----------
    discipline
        ``slack``: launch when a hold ends or company costs a deadline; the default.
        ``window``: first come, first served, when the first has waited for ``window_s`` or there
        are as many as the size. ``preferred``: likewise, but the largest of several sizes at once.
        ``deferred``: at the latest safe moment. ``edf-drop``: at once, by deadline, dropping who
        can't be in time. ``window-drop``: at once; from the head, drop whoever a batch of the size
        would make late. ``fitted``: first come, first served, when company is no longer worth the
        wait by a line fitted to the batch curve. ``aimd``: first come, first served, up to a size
        that grows while batches take no longer than ``target_s``.
    window_s
        Longest wait of ``window``, ``preferred`` and ``aimd``; the budget of ``fitted``, in request
        seconds of waiting; s.
    sizes
        Batch sizes, ascending: several for ``preferred``, one for ``window`` and ``window-drop``;
        the batch limit if not given.
    spare
        ``deferred``: members to leave room for; with 1 it launches when one more would be too many.
    guard_s
        ``deferred``: s by which a batch is to be done before the first of its members must be, as
        what was predicted may turn out longer.
    target_s
        ``aimd``: how long a batch may take, s.
    late
        What becomes of a ready request that can no longer meet its deadline, under ``slack`` and
        ``deferred``: it comes last; with ``drop``, it is dropped once that is certain, whatever
        its link turns out to be: it could not even if its answer took no time to travel.
    """

    discipline: Literal[
        "slack",
        "window",
        "preferred",
        "deferred",
        "edf-drop",
        "window-drop",
        "fitted",
        "aimd",
    ] = "slack"
    window_s: Annotated[float, Field(ge=0)] = 0.0
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    spare: Annotated[int, Field(ge=0, le=1)] = 0
    guard_s: Annotated[float, Field(ge=0)] = 0.0
    target_s: Annotated[float, Field(ge=0)] = 0.0
    late: Literal["serve", "drop"] = "serve"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        most = {"preferred": 64, "window": 1, "window-drop": 1}.get(self.discipline, 0)
        if len(self.sizes) > most:
            raise ValueError(
                f"{self.discipline} takes at most {most} sizes, got {list(self.sizes)}"
            )
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes must ascend, got {list(self.sizes)}")
        if self.window_s > 0 and self.discipline not in FIRST_COME:
            raise ValueError(f"{self.discipline} has no window_s, got {self.window_s:g}")
        if self.spare > 0 and self.discipline != "deferred":
            raise ValueError(f"{self.discipline} has no spare, got {self.spare}")
        if self.guard_s > 0 and self.discipline != "deferred":
            raise ValueError(f"{self.discipline} has no guard_s, got {self.guard_s:g}")
        if self.target_s > 0 and self.discipline != "aimd":
            raise ValueError(f"{self.discipline} has no target_s, got {self.target_s:g}")
        if self.late == "drop" and self.discipline not in ("slack", "deferred"):
            raise ValueError(f"late: drop goes with slack or deferred, not {self.discipline}")
        if self.discipline == "aimd" and self.target_s == 0:
            raise ValueError("aimd needs target_s, how long a batch may take, above 0")
        return self


class LoadStep(Frozen):
    """From ``at_s`` seconds into the episode, the load is ``factor`` times the scenario's."""

    at_s: Positive
    factor: Annotated[float, Field(ge=1e-3, le=1e3)]


class Randomise(Frozen):
    """What training redraws at each reset, so that a policy meets more than one world.

    Attributes
    ----------
    load, bandwidth, device_time
        Lowest and highest factor on the scenario's own, log-uniform.
    gpus
        Fewest and most GPUs, uniform; the pool's count if not given.
    """

    load: Range = (0.25, 1.2)
    bandwidth: Range = (0.5, 2.0)
    device_time: Range = (0.7, 1.4)
    gpus: tuple[Count, Count] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("load", "bandwidth", "device_time", "gpus"):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name} must go from low to high, got {list(limits)}")
        return self
