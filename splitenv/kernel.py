"""The compiled simulation: importing this module makes it (and needs numba)."""

from __future__ import annotations

from collections.abc import Callable

from splitenv import (
    accounting,
    actions,
    belief,
    compilation,
    dispatch,
    draws,
    features,
    heap,
    physics,
    prefetch,
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
    accounting,
    heap,
    prefetch,
    simulation,
    outlined=("reset", "step", "_reset", "_finish", "clear"),
)
"""Compiled twins of the plain functions, by name."""

reset: Callable[..., None] = compiled.reset
step: Callable[..., None] = compiled.step
