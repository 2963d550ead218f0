"""Devices and GPUs: how long each unit of a chain takes on them.

A profile holds published times of whole models or of their components. Here they become one time
per unit: taken as measured where a component was timed, else shared out by MACs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from splitenv.profiles.figures import Basis, Curve, Figure, Frozen, Kind, ProfileError
from splitenv.profiles.models import Chain, Floats, ModelProfile
from splitenv.profiles.throttling import Throttle

Ints = npt.NDArray[np.int64]
GpuTimes = tuple[Ints, Floats]

LIKE_RULE = (
    "time of the named model on the same hardware, scaled by MACs: unit by unit where both models "
    "have the same kinds of units, else as a whole, shared out over the units by their MACs"
)


def _is_time(figure: Figure) -> Figure:
    if figure.seconds <= 0:
        raise ValueError(f"must be a positive time, got {figure.value} {figure.unit}")
    return figure


def _is_positive(figure: Figure) -> Figure:
    if figure.amount <= 0:
        raise ValueError(f"must be positive, got {figure.value} {figure.unit}")
    return figure


def _is_not_negative(figure: Figure) -> Figure:
    if figure.seconds < 0:
        raise ValueError(f"must not be negative, got {figure.value} {figure.unit}")
    return figure


Time = Annotated[Figure, AfterValidator(_is_time)]
Positive = Annotated[Figure, AfterValidator(_is_positive)]
Overhead = Annotated[Figure, AfterValidator(_is_not_negative)]


class Lookup(Protocol):
    """Finds other profiles by name, for entries that are derived from them."""

    def model(self, name: str) -> ModelProfile:
        """Return the model profile of that name."""
        ...

    def gpu(self, name: str) -> GpuProfile:
        """Return the GPU profile of that name."""
        ...


class Like(Basis):
    """A model without a figure of its own, derived from another one by MACs."""

    kind: Kind = "derived"
    source: tuple[str, ...] = ("analytic_macs",)
    rule: str = LIKE_RULE
    model: str


class GpuLike(Like):
    """As :class:`Like`; the other curve may be another GPU's, then times a ``factor``."""

    gpu: str | None = None
    factor: Positive | None = None


class _Derivable(Frozen):
    """A profile whose entries may be derived from other profiles, found through a lookup."""

    _lookup: Lookup | None = PrivateAttr(default=None)

    def using(self, lookup: Lookup) -> Self:
        """Return this profile with its derived entries resolved through ``lookup``."""
        found = self.model_copy()
        found._lookup = lookup
        return found

    def _others(self) -> Lookup:
        if self._lookup is None:
            raise ProfileError("a derived entry needs other profiles: load it from the catalogue")
        return self._lookup


def _exactly_one(entry: Frozen, *fields: str) -> None:
    given = [field for field in fields if getattr(entry, field)]
    if len(given) != 1:
        wanted = ", ".join(fields)
        got = " and ".join(given) or "none"
        raise ValueError(f"give exactly one of {wanted}; got {got}")


def _short_like(data: Any) -> Any:
    if isinstance(data, dict) and isinstance(data.get("like"), str):
        return {**data, "like": {"model": data["like"]}}
    return data


class DeviceEntry(Frozen):
    """How long one model takes on a device.

    Attributes
    ----------
    units : mapping of str to Figure
        Time of one unit of each kind that was timed by itself.
    fixed : Figure or None
        With ``units``: one time for all kinds that were not, shared out by MACs.
    whole : Figure or None
        Time of the whole model, at ``setting.steps`` steps if it has steps.
    like : Like or None
        The model whose time on this device is scaled.
    """

    units: dict[str, Time] = Field(default_factory=dict)
    fixed: Time | None = None
    whole: Time | None = None
    like: Like | None = None

    _accept_name = model_validator(mode="before")(staticmethod(_short_like))

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        _exactly_one(self, "units", "whole", "like")
        if self.fixed and not self.units:
            raise ValueError("fixed needs units beside it")
        return self


class DeviceProfile(_Derivable):
    """A phone, tablet, laptop or board that runs models by itself.

    Attributes
    ----------
    tier : {"high", "mid", "low", "laptop", "edge", "tablet"}
        Group by which a device mix chooses.
    hardware_class, platform, chip, compute_unit : str
        What it is, as the sources call it.
    throttle : Throttle or None
        How it slows down under sustained use. None, a constant speed, if no sustained run of this
        device or of its chip is published: how another device heats up is no evidence.
    models : mapping of str to DeviceEntry
        Models that it can run, by name of the model profile.
    """

    name: str
    title: str
    platform: str
    chip: str
    tier: Literal["high", "mid", "low", "laptop", "edge", "tablet"]
    hardware_class: Literal["phone", "tablet", "laptop", "edge"]
    compute_unit: str
    throttle: Throttle | None = None
    models: Mapping[str, DeviceEntry]

    def unit_times(self, chain: Chain) -> Floats | None:
        """Give seconds for each unit, shape (U,), or None if the device cannot run the model."""
        entry = self.models.get(chain.model)
        if entry is None:
            return None
        if entry.like:
            base = _chain_of(self._others(), entry.like.model, chain)
            times = self.unit_times(base)
            if times is None:
                raise self._fault(chain.model, f"like names {entry.like.model}, which has no entry")
            return _scaled(times, base, chain)
        if entry.whole:
            return chain.macs * (entry.whole.seconds / self._whole_macs(chain, entry.whole))
        return self._from_units(chain, entry)

    def _whole_macs(self, chain: Chain, whole: Figure) -> float:
        steps = whole.setting.get("steps")
        if chain.steps is not None and not isinstance(steps, int):
            raise self._fault(chain.model, "whole needs setting.steps, the steps that it timed")
        return chain.macs_with(steps if isinstance(steps, int) else None)

    def _from_units(self, chain: Chain, entry: DeviceEntry) -> Floats:
        kinds = set(chain.kinds)
        if unknown := sorted(set(entry.units) - kinds):
            raise self._fault(chain.model, f"units has {unknown[0]!r}; kinds are {sorted(kinds)}")
        missing = np.array([kind not in entry.units for kind in chain.kinds])
        if missing.any() != (entry.fixed is not None):
            wanted = "needs fixed" if missing.any() else "must not have fixed"
            raise self._fault(chain.model, f"units covers {sorted(entry.units)} and {wanted}")
        fixed = entry.fixed.seconds / chain.macs[missing].sum() if entry.fixed else 0.0
        seconds = {kind: figure.seconds for kind, figure in entry.units.items()}
        return np.array(
            [
                seconds.get(kind, macs * fixed)
                for kind, macs in zip(chain.kinds, chain.macs, strict=True)
            ]
        )

    def _fault(self, model: str, what: str) -> ProfileError:
        return ProfileError(f"device {self.name}: models.{model}: {what}")


class WholeRun(Frozen):
    """A batch curve of the whole model at one number of steps."""

    steps: Annotated[int, Field(gt=0)] | None = None
    curve: Curve


class GpuEntry(Frozen):
    """How long one model takes on a GPU, against batch size.

    Attributes
    ----------
    whole : tuple of WholeRun
        One curve, shared out by MACs; or two step counts, which give the step by difference and
        the fixed part, shared out by MACs over the other units.
    step : Curve or None
        Curve of one denoising step; the other units at its seconds per MAC.
    like : GpuLike or None
        The model, and perhaps the other GPU, whose times are scaled.
    """

    whole: tuple[WholeRun, ...] = Field(default=(), max_length=2)
    step: Curve | None = None
    like: GpuLike | None = None

    _accept_name = model_validator(mode="before")(staticmethod(_short_like))

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        _exactly_one(self, "whole", "step", "like")
        for curve in [run.curve for run in self.whole] + ([self.step] if self.step else []):
            for batch, before, after in zip(
                curve.batch[1:], curve.time, curve.time[1:], strict=False
            ):
                if after < before:
                    raise ValueError(
                        f"a batch must not take less time than a smaller one, "
                        f"got {after} {curve.unit} after {before} at batch {batch}"
                    )
        if len(self.whole) == 2:
            first, second = self.whole
            if first.curve.batch != second.curve.batch:
                raise ValueError("two runs need the same batch sizes")
            if first.steps is None or second.steps is None or first.steps >= second.steps:
                raise ValueError("two runs need two step counts, the smaller one first")
        return self


class GpuProfile(_Derivable):
    """A cloud GPU.

    Attributes
    ----------
    memory_gb, price, launch_overhead : Figure
        Memory, price per hour of one GPU, and time to launch a batch.
    models : mapping of str to GpuEntry
        Models that it can run, by name of the model profile.
    """

    name: str
    title: str
    memory_gb: Positive
    price: Positive
    launch_overhead: Overhead
    models: Mapping[str, GpuEntry]

    def unit_times(self, chain: Chain) -> GpuTimes | None:
        """Give the times of each unit at the measured batch sizes.

        Returns
        -------
        batch : array of int64, shape (K,)
            Measured batch sizes, increasing from 1; the last one is the batch limit.
        times : array of float64, shape (U, K)
            Seconds of each unit for the whole batch. None if the GPU cannot run the model.
        """
        entry = self.models.get(chain.model)
        if entry is None:
            return None
        if entry.like:
            return self._from_like(chain, entry.like)
        if entry.step:
            per_mac = entry.step.seconds / chain.macs[chain.repeated][0]
            return _batches(entry.step), np.outer(chain.macs, per_mac)
        if len(entry.whole) == 2:
            return self._from_difference(chain, *entry.whole)
        (run,) = entry.whole
        if (run.steps is None) != (chain.steps is None):
            raise self._fault(chain.model, "whole.steps must be given for a model with steps only")
        per_mac = run.curve.seconds / chain.macs_with(run.steps)
        return _batches(run.curve), np.outer(chain.macs, per_mac)

    def _from_difference(self, chain: Chain, few: WholeRun, many: WholeRun) -> GpuTimes:
        few_steps, many_steps = few.steps or 0, many.steps or 0
        step = (many.curve.seconds - few.curve.seconds) / (many_steps - few_steps)
        fixed = few.curve.seconds - few_steps * step
        if (step <= 0).any() or (fixed <= 0).any():
            raise self._fault(chain.model, "the two runs give no positive step and fixed part")
        rest = np.where(chain.repeated, 0.0, chain.macs)
        times = np.outer(chain.repeated, step) + np.outer(rest / rest.sum(), fixed)
        return _batches(few.curve), times

    def _from_like(self, chain: Chain, like: GpuLike) -> GpuTimes:
        other = self._others().gpu(like.gpu) if like.gpu else self
        base = _chain_of(self._others(), like.model, chain)
        found = other.unit_times(base)
        if found is None:
            raise self._fault(chain.model, f"like names {like.model}, which {other.name} lacks")
        batch, times = found
        return batch, _scaled(times, base, chain) * (like.factor.amount if like.factor else 1.0)

    def _fault(self, model: str, what: str) -> ProfileError:
        return ProfileError(f"gpu {self.name}: models.{model}: {what}")


def _batches(curve: Curve) -> Ints:
    return np.array(curve.batch, dtype=np.int64)


def _chain_of(lookup: Lookup, model: str, chain: Chain) -> Chain:
    """Lay out the other model as ``chain`` is laid out: the same steps, if it has steps."""
    return lookup.model(model).chain(chain.steps)


def _scaled(times: Floats, base: Chain, chain: Chain) -> Floats:
    """Scale times of ``base``, shape (U_base,) or (U_base, K), to ``chain`` by MACs."""
    if base.kinds == chain.kinds:
        ratio = chain.macs / base.macs
        return times * (ratio if times.ndim == 1 else ratio[:, None])
    whole = times.sum(axis=0) / base.macs.sum()
    return chain.macs * whole if times.ndim == 1 else np.outer(chain.macs, whole)
