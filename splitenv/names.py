"""Names of what a scenario's arrays hold as codes."""

from __future__ import annotations

from dataclasses import dataclass

from splitenv.profiles.catalogue import load_gpu, load_model
from splitenv.scenario import Scenario
from splitenv.tables import Device, Placements, fleet, place

ALL_DEVICE = "all-device"


@dataclass(frozen=True)
class Names:
    """What codes stand for: the name of code k is entry k.

    Attributes
    ----------
    devices, tiers
        By device type; a generation of the future says how much faster it is.
    models, classes
        By model and by SLA class.
    placements
        By model, then placement: ``[i, j)``, the units that the cloud runs, or ``all-device``.
    gpu_types
        By GPU type, not by number of the GPU.
    """

    devices: tuple[str, ...]
    tiers: tuple[str, ...]
    models: tuple[str, ...]
    classes: tuple[str, ...]
    placements: tuple[tuple[str, ...], ...]
    gpu_types: tuple[str, ...]


def names_of(scenario: Scenario) -> Names:
    """List a scenario's names, in the order of its tables."""
    devices = fleet(scenario)
    return Names(
        devices=tuple(_device(device) for device in devices),
        tiers=tuple(device.tier for device in devices),
        models=tuple(load_model(workload.model).name for workload in scenario.models),
        classes=tuple(scenario.sla),
        placements=tuple(_spans(place(workload)) for workload in scenario.models),
        gpu_types=tuple(load_gpu(name).name for name in scenario.pool.types),
    )


def _device(device: Device) -> str:
    return f"{device.name}, {device.faster:g}x faster" if device.faster != 1.0 else device.name


def _spans(placed: Placements) -> tuple[str, ...]:
    cloud = (f"[{placed.cuts[first]}, {placed.cuts[last]})" for first, last in placed.spans[1:])
    return (ALL_DEVICE, *cloud)
