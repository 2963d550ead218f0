"""Throttling: how much slower a device becomes under sustained use."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from splitenv.profiles.figures import Figure, Frozen


class Throttle(Frozen):
    """A device's slowdown under sustained use, from the ends of a published run.

    While the device works without a pause its speed falls along one exponential, from that of the
    profile's times to 1/slowdown of it. After t seconds it is the profile's speed times::

        1 / slowdown + (1 - 1 / slowdown) * exp(-t / time_constant)

    Attributes
    ----------
    slowdown : Figure
        Time per inference in the last window of the run divided by that in the first, 1 or above,
        in ``1``. A run that got faster shows no throttling: leave the field out. ``setting`` says
        what ran: model, runtime, precision, duration in s.
    time_constant : Figure
        Time constant of the exponential, above 0, in ``s``. Two windows do not show it, so it is
        ``assumed`` unless the whole series was published.
    """

    slowdown: Figure
    time_constant: Figure

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.slowdown.unit != "1" or self.slowdown.amount < 1:
            raise ValueError(
                "slowdown must be 1 or above and in '1', got "
                f"{self.slowdown.amount:g} {self.slowdown.unit!r}"
            )
        if self.time_constant.unit != "s" or self.time_constant.amount <= 0:
            raise ValueError(
                "time_constant must be above 0 and in 's', got "
                f"{self.time_constant.amount:g} {self.time_constant.unit!r}"
            )
        return self
