"""Make the page of an evaluation: choose who is looked at from close by, look, and render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.bounds.gaps import Floors
from agents.closeups import EPISODES, Closeup, Look
from agents.evaluation import Evaluation
from agents.html.overview import suite_page
from agents.html.page import single_page
from agents.html.section import leader, of_cell, of_evaluations
from agents.judge import ALL_CLOUD, Cell
from agents.runner import Runner
from agents.suite import Suite
from agents.suite_command import progress_bar
from agents.suite_report import ranked
from splitenv.files import OutputError
from splitenv.provenance import provenance
from splitenv.scenario import Scenario
from splitenv.tables import profile_digest

MOST_CLOSE = 4
CLOSE_IN_SUITE = 3
"""Policies that are looked at from close by: more lines could not be told apart."""


def check_path(path: Path) -> None:
    """Refuse a path that no page can be written to.

    Raises
    ------
    OutputError
        If it is a folder or does not end in ``.html``.
    """
    if path.suffix not in (".html", ".htm") or path.is_dir():
        raise OutputError(f"--report must name a file that ends in .html, got {path}")


def report_single(
    evaluations: list[Evaluation],
    scenario: Scenario,
    floors: Floors | None,
    seed: int,
    runner: Runner,
) -> bytes:
    """Make the page of policies at single settings.

    Parameters
    ----------
    seed
        Episode k has seed ``seed + k``.
    floors
        The bound, if any.
    runner
        Plays what is looked at from close by.
    """
    plain = of_evaluations(evaluations, scenario, floors, seed, {}, {})
    close = _close(plain.leader, [row.label for row in plain.rows], ())
    episodes = min(EPISODES, plain.episodes)
    looks = {label: Look(scenario, label, seed, episodes) for label in close}
    closeups = _take([looks], runner)[0]
    config = _config(scenario, seed, plain.episodes, episodes) | {
        "policies": [{"label": each.label, **each.policy} for each in evaluations]
    }
    section = of_evaluations(evaluations, scenario, floors, seed, closeups, config)
    return single_page(section, provenance()).encode()


def report_suite(
    cells: Sequence[Cell],
    suite: Suite,
    overrides: Mapping[str, object],
    given: Sequence[str],
    seed: int,
    runner: Runner,
) -> bytes:
    """Make the page of a suite; one operating point alone has a page of its own kind.

    Parameters
    ----------
    given
        Policies that were asked for beside the suite's own: looked at in every cell.
    seed, runner
        As in :func:`report_single`.
    """
    looks = [_looks(cell, suite.targets[0], given, seed) for cell in cells]
    sections = [
        of_cell(cell, suite.targets, closeups, _cell_config(cell, seed))
        for cell, closeups in zip(cells, _take(looks, runner), strict=True)
    ]
    about = provenance()
    if len(sections) == 1:
        return single_page(sections[0], about).encode()
    return suite_page(sections, cells, suite, overrides, about).encode()


def _looks(cell: Cell, target: float, given: Sequence[str], seed: int) -> dict[str, Look]:
    """Who is looked at from close by in a cell, the best first."""
    specs = {sweep.label: sweep.specs[sweep.own] for sweep in cell.point.sweeps}
    order = [each.label for each in ranked(cell, target)]
    wanted = [label for label in given if label in specs] if len(given) < len(specs) - 1 else []
    most = MOST_CLOSE if wanted or len(specs) <= MOST_CLOSE else CLOSE_IN_SUITE
    episodes = min(EPISODES, cell.episodes)
    return {
        label: Look(cell.point.world, specs[label], seed, episodes)
        for label in _close(leader(cell, target), order, wanted)[:most]
    }


def _cell_config(cell: Cell, seed: int) -> dict[str, Any]:
    return _config(cell.point.world, seed, cell.episodes, min(EPISODES, cell.episodes)) | {
        "policies": [{"label": each.label, **each.policy} for each in cell.standings]
    }


def _take(looks: Sequence[Mapping[str, Look]], runner: Runner) -> list[dict[str, Closeup]]:
    """Look, with a bar on stderr."""
    every = [look for each in looks for look in each.values()]
    with progress_bar("looking") as start:
        runner.run(every, start(len(every)))
    return [{label: runner.load(look) for label, look in each.items()} for each in looks]


def _close(first: str, order: Sequence[str], given: Sequence[str]) -> list[str]:
    """Who is first, all-cloud, those asked for; the next best if there are none."""
    close = [first, *([ALL_CLOUD] if ALL_CLOUD in order else []), *given]
    if not given:
        close += [label for label in order if label != "all-device"]
    return list(dict.fromkeys(close))[:MOST_CLOSE]


def _config(scenario: Scenario, seed: int, episodes: int, close: int) -> dict[str, Any]:
    return {
        "scenario": scenario.model_dump(mode="json"),
        "scenario_digest": scenario.digest(),
        "profile_digest": profile_digest(scenario),
        "episodes": episodes,
        "seeds": [seed, seed + episodes - 1],
        "closeup_episodes": close,
        "uncounted_requests_at_each_end": scenario.warmup,
    }
