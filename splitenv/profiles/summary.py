"""What a profile says in one line, and the curves and components behind its plots."""

from __future__ import annotations

from dataclasses import dataclass

from splitenv.profiles.catalogue import Profile, load_model
from splitenv.profiles.compute import DeviceProfile, GpuProfile, Ints
from splitenv.profiles.models import Chain, Floats, ModelProfile


@dataclass(frozen=True)
class BatchCurve:
    """Time of the whole model against batch size, in seconds."""

    label: str
    batch: Ints
    total: Floats

    @property
    def per_image(self) -> Floats:
        """Seconds of GPU time for one request."""
        return self.total / self.batch

    @property
    def finding(self) -> str:
        """What batching gains, in a sentence."""
        last, alone, shared = int(self.batch[-1]), self.total[0], self.per_image[-1]
        gain = alone / shared
        return (
            f"{self.label}: a batch of {last} takes {duration(shared)} per request, "
            f"{gain:.1f}x less than {duration(alone)} alone"
        )


@dataclass(frozen=True)
class Components:
    """Seconds by kind of unit of one model on one device."""

    label: str
    stepped: bool
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of the whole model."""
        return sum(self.seconds.values())

    @property
    def finding(self) -> str:
        """What takes the time, in a sentence."""
        kind, longest = max(self.seconds.items(), key=lambda item: item[1])
        share = longest / self.total
        return f"{self.label} takes {duration(self.total)}, {share:.0%} of it in {kind}"


def duration(seconds: float) -> str:
    """Format a time to three digits with a unit that suits it."""
    for limit, scale, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def full_chain(model: str) -> tuple[str, Chain]:
    """Label and chain of a model, at the largest number of steps that it allows."""
    profile = load_model(model)
    steps = max(profile.steps, default=None)
    return profile.title + (f", {steps} steps" if steps else ""), profile.chain(steps)


def batch_curves(gpu: GpuProfile) -> list[BatchCurve]:
    """Curves of the models that have one of their own on this GPU; of all, if none has."""
    own = [model for model, entry in gpu.models.items() if not entry.like]
    curves = []
    for model in own or list(gpu.models):
        label, chain = full_chain(model)
        if times := gpu.unit_times(chain):
            curves.append(BatchCurve(label, times[0], times[1].sum(axis=0)))
    return curves


def components(device: DeviceProfile) -> list[Components]:
    """Time by kind of unit of every model that has a figure of its own on this device."""
    found = []
    for model in [model for model, entry in device.models.items() if not entry.like]:
        label, chain = full_chain(model)
        times = device.unit_times(chain)
        if times is None:
            continue
        seconds: dict[str, float] = {}
        for kind, time in zip(chain.kinds, times, strict=True):
            seconds[kind] = seconds.get(kind, 0.0) + float(time)
        found.append(Components(label, chain.steps is not None, seconds))
    return found


def sustained(device: DeviceProfile) -> str:
    """Say what sustained use does to a device's speed, in a sentence."""
    if device.throttle is None:
        return "sustained use: keeps its speed, the profile has no sustained run"
    slowdown, constant = device.throttle.slowdown, device.throttle.time_constant
    return (
        f"sustained use: up to {slowdown.amount:.3g}x slower, with a time constant of "
        f"{duration(constant.amount)} ({constant.kind})"
    )


def headline(profile: Profile) -> str:
    """Say the main figure of a profile."""
    if isinstance(profile, ModelProfile):
        chain = profile.chain(max(profile.steps, default=None))
        giga = chain.macs.sum() / 1e9
        macs = f"{giga:.3g} GMACs" if giga < 1e3 else f"{giga / 1e3:.3g} TMACs"
        return f"{len(chain.kinds)} units, {macs}"
    if isinstance(profile, DeviceProfile):
        parts = components(profile)
        return f"{parts[0].label}: {duration(parts[0].total)}" if parts else "runs no model"
    if isinstance(profile, GpuProfile):
        curves = batch_curves(profile)
        if not curves:
            return "runs no model"
        return (
            f"batch 1 to {curves[0].batch[-1]}: {duration(curves[0].total[0])} alone, "
            f"{duration(curves[0].per_image[-1])} per request at the largest ({curves[0].label})"
        )
    return ""
