"""Compare policies on the same episodes: ``python evaluate.py --help``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import Progress

from agents import plot, report, suite_command
from agents.bounds.gaps import Floors
from agents.bounds.pieces import bound_items, bound_of
from agents.command_line import run_app
from agents.evaluation import Evaluation, Outcomes, join_outcomes, judge, run_episodes
from agents.html.command import check_path, report_single, report_suite
from agents.items import Cache, default_folder
from agents.judge import ALL_CLOUD, MOST_EPISODES
from agents.policy import Policy
from agents.registry import PolicyError, make_policy, split_specs
from agents.runner import Runner, cores
from agents.suite import Load, Suite, load_suite
from splitenv.files import OutputError, write_files
from splitenv.options import Changes
from splitenv.provenance import to_json
from splitenv.records import require_pyarrow, write_parquet
from splitenv.scenario import Scenario, load_scenario, parse_overrides

RULES = "all-cloud,all-device,latency-bound,latency-bound-batching,neurosurgeon,joint-greedy"
PIPE_WIDTH = 160
EPISODES = 64
BOUND_EPISODES = 16

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    scenario: Annotated[
        str | None, typer.Option(help="Name of a scenario, or a path ending in .yaml.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="Name of a suite of scenarios and loads, or a path ending in .yaml."),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            help="Policies, separated by commas: NAME, NAME:PARAMETER=VALUE,..., SPLIT+BATCHING or "
            "ppo:RUN_FOLDER. With --suite they join its own.",
            show_default=RULES,
        ),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(min=1, help="Episodes each policy plays.", show_default="64, or the suite's"),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            min=1e-4,
            max=1.0,
            help="Double the episodes until savings and attainments are known to plus or minus "
            f"this, with 95% confidence; at most {MOST_EPISODES}.",
        ),
    ] = None,
    points: Annotated[
        int,
        typer.Option(
            min=1,
            max=65,
            help="Sweep each policy over so many settings of its aggressiveness, and compare at "
            "equal attainment.",
        ),
    ] = 1,
    with_lookahead: Annotated[
        bool,
        typer.Option("--with-lookahead", help="With --suite: the slow upper rival plays along."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Episode k has seed SEED + k.")] = 0,
    settings: Changes = None,
    out: Annotated[
        Path, typer.Option(help="Folder for evaluation.json, .csv and pictures.")
    ] = Path("runs/evaluation"),
    json: Annotated[
        str | None, typer.Option(help="Write the JSON here too; - prints it instead of the table.")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(help="Folder for a Parquet file a policy, with a row for every request."),
    ] = None,
    bound_episodes: Annotated[
        int,
        typer.Option(
            min=0,
            help="Episodes, from the first on, over which to say how far policies are from what "
            "nobody can undercut; 0 leaves it out.",
        ),
    ] = BOUND_EPISODES,
    report_page: Annotated[
        Path | None,
        typer.Option("--report", help="Write a page to read, with figures, to this .html file."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pieces of the bound, and with --suite or --points of policies, that run at the "
            "same time.",
            show_default="the cores",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder where finished pieces are kept.",
            show_default="splitenv/evaluations in the user's cache",
        ),
    ] = None,
) -> None:
    """Compare policies on the same episodes of a scenario, or of a suite of them.

    All meet the same requests, links and devices; all-cloud always runs along, as the reference.
    With --suite or --points, each policy is swept over its aggressiveness to a curve, and judged
    at equal attainment; what was played is kept, so that a second run is quick and a stopped one
    goes on.

    Example: python evaluate.py --scenario sd-mobile --policies all-cloud,latency-bound:margin=0.1

    Example: python evaluate.py --suite standard --json out.json
    """
    overrides = parse_overrides(settings or [])
    specs = list(dict.fromkeys(split_specs(policies if policies is not None else RULES)))
    if not specs:
        raise PolicyError("--policies names no policy")
    _check(scenario, suite, with_lookahead, records, points)
    if report_page is not None:
        check_path(report_page)
    terminal = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, quiet=json == "-")
    kept: dict[str, Path] = {}
    folder, most = cache or default_folder(), processes or cores()
    if suite is None and points == 1:
        assert scenario is not None
        chosen = load_scenario(scenario, overrides)
        kept = _record_files(records, specs) if records is not None else {}
        made = {spec: make_policy(spec) for spec in specs}
        runner = Runner(Cache(folder), most)
        evaluations = compare(made, chosen, episodes or EPISODES, seed, kept, precision)
        floors = bound(evaluations, chosen, seed, bound_episodes, runner)
        contents = _show_single(evaluations, chosen, seed, floors, out, terminal)
        if report_page is not None:
            contents[report_page] = report_single(evaluations, chosen, floors, seed, runner)
    else:
        asked = _suite(scenario, suite, specs if policies or scenario else [], points)
        if episodes is not None or suite is None:
            asked = asked.model_copy(update={"episodes": episodes or EPISODES})
        cells, result = suite_command.judge_suite(
            asked,
            overrides,
            seed=seed,
            precision=precision,
            lookahead=with_lookahead,
            processes=most,
            cache=folder,
            bounded=bound_episodes,
        )
        contents = suite_command.files(cells, asked, result, out)
        suite_command.show(cells, asked, terminal)
        if report_page is not None:
            given = specs if policies else []
            runner = Runner(Cache(folder), most)
            contents[report_page] = report_suite(cells, asked, overrides, given, seed, runner)
    written = contents[out / "evaluation.json"]
    if json == "-":
        print(written.decode(), end="")
    elif json is not None:
        contents[Path(json)] = written
    write_files(contents)
    for path in [*contents, *kept.values()]:
        print(f"wrote {path}", file=sys.stderr)


def _show_single(
    evaluations: list[Evaluation],
    scenario: Scenario,
    seed: int,
    floors: Floors | None,
    out: Path,
    terminal: Console,
) -> dict[Path, bytes]:
    """Print the tables of one scenario; return its files."""
    episodes = len(evaluations[0].outcomes.tally.sums)
    if floors:
        evaluations = [evaluation.against(floors) for evaluation in evaluations]
    terminal.print(report.table(evaluations, scenario, episodes, floors))
    terminal.print(report.objectives_table(evaluations))
    content = report.as_dict(evaluations, scenario, episodes, seed, floors)
    return {
        out / "evaluation.json": to_json(content).encode(),
        out / "evaluation.csv": report.as_csv(evaluations).encode(),
        out / "evaluation.png": plot.png(evaluations, scenario, episodes),
    }


def _check(
    scenario: str | None, suite: str | None, lookahead: bool, records: Path | None, points: int
) -> None:
    """Refuse options that do not go together."""
    if (scenario is None) == (suite is None):
        raise PolicyError("give either --scenario or --suite")
    if suite is not None and points > 1:
        raise PolicyError("--points goes with --scenario; a suite says itself how many")
    if suite is None and lookahead:
        raise PolicyError("--with-lookahead goes with --suite; add lookahead to --policies instead")
    if records is not None and (suite is not None or points > 1):
        raise PolicyError("--records goes with --scenario and single settings of each policy")


def _suite(scenario: str | None, suite: str | None, specs: list[str], points: int) -> Suite:
    """Load the suite and add policies to it, or make one of a single scenario."""
    if suite is not None:
        return load_suite(suite).with_policies(specs)
    assert scenario is not None
    return Suite(
        name="single",
        reference=next((spec for spec in specs if spec != ALL_CLOUD), ALL_CLOUD),
        scenarios=(scenario,),
        loads={"nominal": Load(nominal=1.0, points=points)},
        policies=tuple(specs),
    )


def _record_files(folder: Path, specs: list[str]) -> dict[str, Path]:
    """Name a file for the records of each policy, before time is spent on playing."""
    require_pyarrow()
    if folder.suffix == ".parquet" or folder.is_file():
        raise OutputError(f"--records must name a folder, for one file a policy; got {folder}")
    names: dict[str, str] = {}
    for spec in specs:
        name = re.sub(r"[^\w.,=-]+", "-", spec)  # of a path, for one
        while name in names.values():
            name += "-"
        names[spec] = name
    return {spec: folder / f"{name}.parquet" for spec, name in names.items()}


def compare(
    policies: dict[str, Policy],
    scenario: Scenario,
    episodes: int,
    seed: int,
    record_files: dict[str, Path],
    precision: float | None = None,
) -> list[Evaluation]:
    """Evaluate policies by label against all-cloud, with a progress bar on stderr.

    With a precision, episodes double until no interval of a saving or attainment is wider than it
    on either side. The records of those with a file in ``record_files`` go there at the end.
    """
    everybody = {"": make_policy(ALL_CLOUD), **policies}
    played: dict[str, list[Outcomes]] = {label: [] for label in everybody}
    kept: dict[str, list[npt.NDArray[Any]]] = {label: [] for label in record_files}
    first, more = 0, episodes
    while True:
        _play(everybody, scenario, seed + first, more, played, kept)
        first += more
        whole = {label: join_outcomes(parts) for label, parts in played.items()}
        evaluations = [
            judge(policy, scenario, whole[label], whole[""], seed, label)
            for label, policy in policies.items()
        ]
        wide = [each.label for each in evaluations if precision and not each.within(precision)]
        if not wide or 2 * first > MOST_EPISODES:
            break
        more = first
    if wide:
        print(
            f"{first} episodes, no more than {MOST_EPISODES} are played, and an interval of "
            f"{', '.join(wide)} is still wider than {precision:g}",
            file=sys.stderr,
        )
    for label, file in record_files.items():
        about = {
            "policy": label,
            "policy_description": policies[label].describe(),
            "uncounted_requests_at_each_end": scenario.warmup,
        }
        seeds = range(seed, seed + first)
        write_parquet(file, np.concatenate(kept[label]), scenario, seeds, about)
    return evaluations


def bound(
    evaluations: list[Evaluation], scenario: Scenario, seed: int, episodes: int, runner: Runner
) -> Floors | None:
    """Bound what anybody can do in the first episodes, with a progress bar on stderr."""
    covered = min(episodes, len(evaluations[0].outcomes.tally.sums))
    if not covered:
        return None
    items = bound_items(scenario, seed, covered)
    with suite_command.progress_bar("bound") as start:
        runner.run(items, start(len(items)))
    return bound_of(scenario, seed, covered, runner)


def _play(
    policies: dict[str, Policy],
    scenario: Scenario,
    seed: int,
    episodes: int,
    played: dict[str, list[Outcomes]],
    kept: dict[str, list[npt.NDArray[Any]]],
) -> None:
    """Play a round of episodes; ``played`` and ``kept`` take what comes of it, by label."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(ALL_CLOUD, total=episodes * len(policies))

        def advance(ended: int) -> None:
            bar.advance(task, ended)

        for label, policy in policies.items():
            bar.update(task, description=label or ALL_CLOUD)
            keep = kept[label].append if label in kept else None
            played[label].append(
                run_episodes(policy, scenario, episodes, seed, progress=advance, keep=keep)
            )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
