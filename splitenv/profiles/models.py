"""Models as chains of units: what each unit costs, and what crosses between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from splitenv.profiles.figures import Basis, Figure, Frozen, ProfileError

Wire = Literal["fp32", "fp16", "int8"]
Order = Literal["cloud-first", "device-first"]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BYTES_PER_ELEMENT: dict[Wire, int] = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True)
class Chain:
    """A model as U units in execution order.

    Attributes
    ----------
    model : str
        Name of the model profile.
    steps : int or None
        Denoising steps that were asked for; None for a model without steps.
    kinds : tuple of str
        Kind of each unit, length U.
    macs : array of float64, shape (U,)
        Multiply-accumulates of each unit for one request.
    also : array of bool, shape (U,)
        Units that a device which runs any later unit runs itself too, while the cloud works.
    repeated : array of bool, shape (U,)
        Units that exist once per step.
    elements : array of float64, shape (U - 1,)
        Elements of the tensor at each inner boundary.
    input_bytes, output_bytes : float
        What crosses at boundary 0 and at boundary U, whatever the wire format.
    """

    model: str
    steps: int | None
    kinds: tuple[str, ...]
    macs: Floats
    also: Bools
    repeated: Bools
    elements: Floats
    input_bytes: float
    output_bytes: float

    def boundary_bytes(self, wire: Wire) -> Floats:
        """Bytes that cross at each boundary, shape (U + 1,)."""
        if wire not in BYTES_PER_ELEMENT:
            accepted = ", ".join(BYTES_PER_ELEMENT)
            raise ProfileError(f"unknown wire format {wire!r}; accepted: {accepted}")
        inner = self.elements * BYTES_PER_ELEMENT[wire]
        return np.concatenate([[self.input_bytes], inner, [self.output_bytes]])

    def macs_with(self, steps: int | None) -> float:
        """MACs of the whole model when run for another number of steps."""
        if steps is None or self.steps is None:
            return float(self.macs.sum())
        scale = np.where(self.repeated, steps / self.steps, 1.0)
        return float((self.macs * scale).sum())


class Unit(Frozen):
    """One unit of a model file.

    Attributes
    ----------
    kind : str
        Name shared by units that do the same thing.
    macs : int
        Multiply-accumulates for one request.
    elements : int
        Elements of the tensor at the boundary after this unit.
    per_step : bool
        Whether the unit stands once per denoising step.
    """

    kind: str
    macs: Annotated[int, Field(gt=0)]
    elements: Annotated[int, Field(gt=0)]
    per_step: bool = False


class Payload(Frozen):
    """What crosses at an end of the chain: the size as sent, and the raw size beside it."""

    sent: Figure
    raw: Figure

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name, figure in (("sent", self.sent), ("raw", self.raw)):
            if figure.amount <= 0:
                raise ValueError(f"{name} must be a positive size, got {figure.amount}")
        return self


class ModelProfile(Frozen):
    """A model that can be cut between its units.

    Attributes
    ----------
    order : {"cloud-first", "device-first"}
        Which side runs the first units when a request is split.
    steps : tuple of int
        Numbers of denoising steps that a caller may choose; empty for a model without steps.
    device_also_runs : tuple of str
        Unit kinds that a device which runs any later unit runs itself too.
    computed : Basis
        Where the MACs and the tensor sizes of ``units`` come from.
    input, output : Payload
        What crosses at boundary 0 and at boundary U.
    """

    name: str
    title: str
    order: Order
    steps: tuple[Annotated[int, Field(gt=0)], ...] = ()
    device_also_runs: tuple[str, ...] = ()
    computed: Basis
    input: Payload
    output: Payload
    units: Annotated[tuple[Unit, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(unit.per_step for unit in self.units) != bool(self.steps):
            raise ValueError("steps and a unit with per_step go together: give both or neither")
        kinds = {unit.kind for unit in self.units}
        for kind in self.device_also_runs:
            if kind not in kinds:
                accepted = ", ".join(sorted(kinds))
                raise ValueError(f"device_also_runs names {kind!r}; the unit kinds are {accepted}")
        return self

    def chain(self, steps: int | None = None) -> Chain:
        """Lay the model out as a chain of units.

        Parameters
        ----------
        steps : int or None
            One of :attr:`steps`; None (and only None) for a model without steps.

        Raises
        ------
        ProfileError
            If the number of steps is not one that this model allows.
        """
        self._check_steps(steps)
        units = [unit for unit in self.units for _ in range(steps or 1 if unit.per_step else 1)]
        return Chain(
            model=self.name,
            steps=steps,
            kinds=tuple(unit.kind for unit in units),
            macs=np.array([unit.macs for unit in units], dtype=np.float64),
            also=np.array([unit.kind in self.device_also_runs for unit in units]),
            repeated=np.array([unit.per_step for unit in units]),
            elements=np.array([unit.elements for unit in units[:-1]], dtype=np.float64),
            input_bytes=self.input.sent.amount,
            output_bytes=self.output.sent.amount,
        )

    def _check_steps(self, steps: int | None) -> None:
        if steps is None and not self.steps:
            return
        if not self.steps:
            raise ProfileError(f"model {self.name} has no steps, got steps={steps}")
        if steps not in self.steps:
            accepted = ", ".join(str(s) for s in self.steps)
            raise ProfileError(f"model {self.name}: steps must be one of {accepted}, got {steps}")
