"""What the serving system tells the scheduler.

Times are seconds, not negative, on one clock of the serving system's choice. Clients and requests
are named by whatever it likes that is hashable; devices, models and SLA classes by their names in
the bundle.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientReport:
    """A client says what it is and what it measured last.

    Attributes
    ----------
    time
        When it was measured, s.
    device
        Kind of device, by its name in the bundle.
    uplink, downlink
        Rates, bytes/s.
    rtt
        Round-trip time, s.
    speed
        Device time of this client beside its device's profile; 2 is twice as slow.
    """

    time: float
    client: Hashable
    device: str
    uplink: float
    downlink: float
    rtt: float
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request arrives; its relative deadline is that of the SLA class.

    Attributes
    ----------
    time
        When it arrived, s.
    """

    time: float
    request: Hashable
    client: Hashable
    model: str
    sla: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The data of a request is in the cloud, at ``time`` (s)."""

    time: float
    request: Hashable


@dataclass(frozen=True, slots=True)
class Launch:
    """A batch starts, at ``time`` (s), on the GPU of that index.

    Attributes
    ----------
    requests
        In the order in which they joined: a device serves what comes back to it in that order.
    """

    time: float
    gpu: int
    requests: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The GPU of that index falls idle, at ``time`` (s)."""

    time: float
    gpu: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A request will never be launched, as of ``time`` (s): dropped, cancelled, its client gone."""

    time: float
    request: Hashable


Event = ClientReport | Arrival | Ready | Launch | Finish | Dropped
