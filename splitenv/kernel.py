"""The compiled simulation: importing this module makes it (and needs numba)."""

from __future__ import annotations

from collections.abc import Callable

from splitenv import (
    accounting,
    actions,
    belief,
    boarding,
    clairvoyance,
    compilation,
    dispatch,
    draws,
    features,
    futures,
    heap,
    iterations,
    physics,
    prefetch,
    queues,
    serving,
    simulation,
    world,
)
from splitenv.state import new_belief
from splitenv.toys import toy_settings, toy_tables
from splitenv.truth import new_out, new_truth


def examples() -> dict[str, tuple[object, ...]]:
    """One of each named tuple that the kernel's functions share: their types are all alike."""
    tables, settings = toy_tables([[1.0]], [1.0], [(0, 1)]), toy_settings()
    return {
        "tables": tables,
        "settings": settings,
        "belief": new_belief(tables, 1, 1, 1),
        "truth": new_truth(tables, settings, 1, 1, 1),
        "out": new_out(tables, 1, 1),
    }


compiled = compilation.compile_modules(
    physics,
    heap,
    queues,
    belief,
    iterations,
    dispatch,
    features,
    actions,
    draws,
    world,
    accounting,
    prefetch,
    serving,
    boarding,
    simulation,
    clairvoyance,
    futures,
    shared=examples(),
    outlined=(
        "step",
        "reset",
        "_reset",
        "_finish",
        "clear",
        "new_episode",
        "open_streams",
        "_change_rate",
        "draw_client",
        "next_boundary",
        "_retire_before",
        "_join_from",
        "_latest_start",
        "_latest_start_of_crew",
        "gather",
        "_board",
        "course",
        "start_phase",
        "look_after",
        "leave_all",
        "board_due",
        "_take_in",
        "drop",
        "drop_hopeless",
        "throttled",
        "imagine",
        "disagreement",
        "_forget",
        "_forget_uploads",
        "_redraw_arrivals",
    ),
)
"""Compiled twins of the plain functions, by name."""

reset: Callable[..., None] = compiled.reset
step: Callable[..., None] = compiled.step
foresee: Callable[..., None] = compiled.foresee
