"""Small suites, and playing them."""

from __future__ import annotations

from pathlib import Path

from agents.items import Cache
from agents.judge import Cell, play_all, points_of
from agents.runner import Runner
from agents.suite import Load, Suite
from agents.suite_report import as_dict

SHORT: dict[str, object] = {"decisions": 300, "load": 0.8}


def suite(**changes: object) -> Suite:
    """Two loads of sd-mobile, two rules of which one has a knob."""
    return Suite(
        name="toy",
        episodes=4,
        reference="latency-bound",
        scenarios=("sd-mobile",),
        loads={"half": Load(nominal=0.5), "nominal": Load(nominal=1.0, points=3)},
        policies=("latency-bound", "all-device"),
    ).model_copy(update=changes)


def judged(
    asked: Suite, folder: Path, *, seed: int = 0, precision: float | None = None, processes: int = 1
) -> tuple[list[Cell], int]:
    """Judge a suite; return its cells and how many pieces had to be played."""
    runner = Runner(Cache(folder), processes)
    points = points_of(asked, SHORT, False, print)
    cells = play_all(points, runner, asked, seed, precision, lambda _: lambda _: None)
    return cells, runner.computed


def content(cells: list[Cell], asked: Suite) -> dict[str, object]:
    return as_dict(cells, asked, SHORT, 0, None) | {"provenance": None}
