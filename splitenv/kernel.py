"""The compiled simulation: importing this module makes it (and needs numba)."""

from __future__ import annotations

from splitenv import (
    actions,
    belief,
    compilation,
    dispatch,
    draws,
    features,
    physics,
    simulation,
    world,
)

compiled = compilation.compile_modules(
    physics,
    belief,
    dispatch,
    features,
    actions,
    draws,
    world,
    simulation,
    outlined=("reset", "step", "_reset", "_finish", "clear"),
)
"""Compiled twins of the plain functions, by name."""

reset = compiled.reset
step = compiled.step
