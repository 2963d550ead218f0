"""Device mixes: which devices a fleet of clients consists of."""

from __future__ import annotations

from typing import NamedTuple, Self

from pydantic import model_validator

from splitenv.profiles.figures import Figure, Frozen

SHARE_TOLERANCE = 1e-3


class MixEntry(NamedTuple):
    """One device standing for one tier, with its share of all clients."""

    device: str
    tier: str
    share: float


class DeviceMix(Frozen):
    """Market tiers with their shares, and the measured devices that stand for each tier.

    Attributes
    ----------
    name : str
        What scenarios call it; the file's stem.
    title : str
        One line for tables.
    assumption : str
        Why these devices, at these weights, stand for these tiers: nobody measured that.
    tiers : dict of str to Figure
        Share of clients in each tier; they sum to 1.
    devices : dict of str to dict of str to float
        For each tier, device names with relative weights; the weights are our assumption.
    """

    name: str
    title: str
    assumption: str
    tiers: dict[str, Figure]
    devices: dict[str, dict[str, float]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.assumption.strip():
            raise ValueError("assumption must say why these devices stand for these tiers")
        if set(self.tiers) != set(self.devices):
            raise ValueError(
                f"tiers are {sorted(self.tiers)} but devices are given for {sorted(self.devices)}"
            )
        for tier, share in self.tiers.items():
            if not 0 <= share.amount <= 1:
                raise ValueError(f"share of tier {tier!r} must be 0 to 1, got {share.amount:g}")
        total = sum(share.amount for share in self.tiers.values())
        if abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"shares of the tiers must sum to 1, got {total:g}")
        self._check_devices()
        return self

    def _check_devices(self) -> None:
        for tier, weights in self.devices.items():
            if not weights:
                raise ValueError(f"tier {tier!r} has no device")
            for device, weight in weights.items():
                if not weight > 0:
                    raise ValueError(f"weight of {device!r} must be above 0, got {weight:g}")

    def entries(self) -> tuple[MixEntry, ...]:
        """Every (device, tier) pair with its share of all clients; the shares sum to 1."""
        total = sum(share.amount for share in self.tiers.values())
        result = []
        for tier, weights in self.devices.items():
            per_weight = self.tiers[tier].amount / total / sum(weights.values())
            result += [MixEntry(name, tier, per_weight * w) for name, w in weights.items()]
        return tuple(result)

    def shares(self) -> dict[str, tuple[str, float]]:
        """Tier and share of all clients for each device; the shares sum to 1.

        A device that stands for two tiers appears once, with its summed share, under the tier
        where its share is larger; ``entries`` keeps them apart.
        """
        result: dict[str, tuple[str, float]] = {}
        for entry in sorted(self.entries(), key=lambda e: -e.share):
            tier, share = result.get(entry.device, (entry.tier, 0.0))
            result[entry.device] = (tier, share + entry.share)
        return result
