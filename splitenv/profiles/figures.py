"""Figures: numbers that say who measured them, and the loader of the files that hold them.

Every number of a profile is a :class:`Figure` (one value) or a :class:`Curve` (one value per batch
size). Both carry a ``kind``, the ids of their sources and the setting they were measured in, so
that ``python -m splitenv profiles check`` can count and trace them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Kind = Literal["measured", "derived", "assumed"]
Setting = dict[str, str | int | float]

_TO_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_PER_SECOND = {"it/s", "img/s"}


class ProfileError(ValueError):
    """A profile or scenario file that cannot be used; the message names file, field and reason."""


class Frozen(BaseModel):
    """Base of everything read from YAML: unknown fields are errors, nothing changes after load."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Traced(Frozen):
    """Where a number comes from.

    Attributes
    ----------
    kind
        ``measured`` as published; ``derived`` by plain arithmetic on published figures, which
        ``rule`` states; ``assumed`` by us, with the reason in ``rule``.
    source
        Ids of ``profiles/SOURCES.yaml``. An assumption may have none.
    rule
        The arithmetic or the reason. Empty only for measured figures.
    setting
        What it was measured with: runtime, precision, resolution, steps, batch, statistic.
    """

    kind: Kind
    source: Annotated[tuple[str, ...], Field(default=())]
    rule: str = ""
    setting: Setting = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _accept_one_source(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("source"), str):
            return {**data, "source": (data["source"],)}
        return data

    @model_validator(mode="after")
    def _explained(self) -> Self:
        if self.kind != "measured" and not self.rule:
            raise ValueError(f"a figure that is {self.kind} must say by which rule")
        if self.kind != "assumed" and not self.source:
            raise ValueError(f"a figure that is {self.kind} must name its source")
        return self


class Figure(_Traced):
    """One number with its unit and its source.

    ``times`` multiplies a published value into the quantity that is meant (a guided denoising step
    is two U-Net calls), so that the file keeps the value that the source prints.
    """

    value: float
    unit: str
    times: float = 1.0

    @property
    def amount(self) -> float:
        """The quantity in the file's own unit."""
        return self.value * self.times

    @property
    def seconds(self) -> float:
        """The quantity as seconds; rates per second are inverted.

        Raises
        ------
        ProfileError
            If the unit is neither a time nor a rate per second.
        """
        return to_seconds(self.value, self.unit) * self.times


class Curve(_Traced):
    """Measured time of a whole call against batch size, from one source in one setting.

    Attributes
    ----------
    batch : tuple of int
        Batch sizes, strictly increasing, starting at 1.
    time : tuple of float
        Time of the whole batch in ``unit``, one for each batch size; positive.
    """

    batch: tuple[int, ...]
    time: tuple[float, ...]
    unit: str = "s"

    @model_validator(mode="after")
    def _well_formed(self) -> Self:
        if len(self.batch) != len(self.time):
            raise ValueError(f"{len(self.batch)} batch sizes but {len(self.time)} times")
        if not self.batch or self.batch[0] != 1:
            raise ValueError("batch sizes must start at 1")
        if any(b <= a for a, b in zip(self.batch, self.batch[1:], strict=False)):
            raise ValueError(f"batch sizes must increase strictly, got {list(self.batch)}")
        if any(t <= 0 for t in self.time):
            raise ValueError(f"times must be positive, got {list(self.time)}")
        to_seconds(1.0, self.unit)
        return self

    @property
    def seconds(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Times in seconds, shape ``(len(batch),)``."""
        return np.array([to_seconds(t, self.unit) for t in self.time])


class Basis(_Traced):
    """Where many computed numbers of one file come from, stated once for all of them."""


class Source(Frozen):
    """One entry of ``profiles/SOURCES.yaml``: where figures were published."""

    title: str
    url: str
    path: str = ""
    revision: str = ""
    date: str
    licence: str
    note: str = ""


def to_seconds(value: float, unit: str) -> float:
    """Convert a time, or invert a rate per second, to seconds."""
    if unit in _TO_SECONDS:
        return value * _TO_SECONDS[unit]
    if unit in _PER_SECOND:
        if value <= 0:
            raise ValueError(f"a rate must be positive, got {value} {unit}")
        return 1.0 / value
    accepted = ", ".join([*_TO_SECONDS, *sorted(_PER_SECOND)])
    raise ValueError(f"unit {unit!r} is not a time; accepted: {accepted}")


Profile = TypeVar("Profile", bound=BaseModel)


def read_profile(path: Path, schema: type[Profile]) -> Profile:
    """Read one YAML file and validate it.

    Raises
    ------
    ProfileError
        With one line that names the file, the field, and what was wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ProfileError(f"{path}: is not valid YAML: {reason}") from error
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise ProfileError(describe_validation(str(path), error)) from error


def describe_validation(where: str, error: ValidationError) -> str:
    """One sentence for the first fault of a validation, and how many more there are."""
    first, *others = error.errors()
    field = ".".join(str(part) for part in first["loc"]) or "the file"
    reason = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(others)} more)" if others else ""
    return f"{where}: {field}: {reason}{more}"
