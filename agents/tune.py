"""Tune rules: ``python -m agents.tune --help``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agents.command_line import Workers, run_app
from agents.registry import NAMED_PAIRS, PolicyError
from agents.tuned_files import Tuned, read_tuned, write_tuned
from splitenv.options import AsJson, Changes
from splitenv.provenance import provenance, to_json
from splitenv.scenario import Scenario, load_scenario, parse_overrides, scenario_names

if TYPE_CHECKING:
    from agents.tasks import Measured, Run, Task
    from agents.tuning import Advance, Question

TRIALS = 100
PIPE_WIDTH = 160
INTERRUPTED = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="Example: python -m agents.tune latency-bound+symphony --scenario sd-mobile --trials 200"
)
def run(
    policy: Annotated[str | None, typer.Argument(help="Rule, such as joint-greedy.")] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Name, or path to a .yaml; may be given again.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="All named rules; for all shipped scenarios if none is given."),
    ] = False,
    target_attainment: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Attainment to have; the strictest SLA class's."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try of each rule.")] = TRIALS,
    change: Changes = None,
    out: Annotated[Path, typer.Option(help="Folder for SCENARIO/RULE.yaml.")] = Path("runs/tuned"),
    journals: Annotated[
        Path, typer.Option(help="Folder of the studies, from which a stopped one goes on.")
    ] = Path("runs/tune"),
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Find the parameters with which a rule takes least GPU time and has the target attainment.

    What is written is a policy: tuned:PATH. Files that are up to date are left as they are.
    """
    if everything == (policy is not None):
        raise typer.BadParameter("name a rule, or give --all")
    if not everything and not scenario:
        raise typer.BadParameter("a rule is tuned for a --scenario")
    policies = list(NAMED_PAIRS) if everything else [_rule(str(policy))]
    overrides = parse_overrides(change or [])
    scenarios = [load_scenario(name, overrides) for name in scenario or scenario_names()]
    if len({each.name for each in scenarios}) < len(scenarios):
        raise PolicyError("--scenario names one scenario twice; what is written goes by the name")
    found = tune_all(
        _questions(policies, scenarios, target_attainment, trials), out, journals, workers
    )
    if as_json:
        said = [tuned.model_dump(mode="json") for tuned in found]
        print(to_json({"tuned": said, "provenance": provenance()}), end="")
    else:
        terminal = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
        for each in scenarios:
            terminal.print(table([t for t in found if t.scenario == each.name], each))


def _rule(name: str) -> str:
    if ":" in name:
        raise PolicyError(f"a rule is tuned by its name alone, such as joint-greedy; got {name!r}")
    return name


def _questions(
    policies: Sequence[str], scenarios: Sequence[Scenario], target: float | None, trials: int
) -> list[Question]:
    try:
        from agents.tuning import Question, reachable
    except ModuleNotFoundError as error:
        raise PolicyError(f"tuning needs {error.name}: pip install splitenv[tune]") from error
    questions = []
    for scenario in scenarios:
        asked = strictest(scenario) if target is None else target
        sought = reachable(scenario, asked)
        if sought < asked:
            print(
                f"{scenario.name}: nobody can have {100 * asked:g}% in time, "
                f"{100 * sought:g}% is sought",
                file=sys.stderr,
            )
        questions += [Question(policy, scenario, sought, trials) for policy in policies]
    for question in questions:
        if not question.parameters:
            print(f"{question.policy} has no parameters: it is measured as it is", file=sys.stderr)
    return questions


def strictest(scenario: Scenario) -> float:
    """Return the attainment that the scenario's strictest SLA class promises."""
    return max(sla.target for sla in scenario.sla.values())


def tune_all(
    questions: Sequence[Question], out: Path, journals: Path, workers: int | None
) -> list[Tuned]:
    """Answer questions with a progress bar on stderr; as many at once as there are workers.

    Raises
    ------
    typer.Exit
        After Ctrl-C, with the exit code that a shell expects.
    """
    from agents.runner import cores
    from agents.tasks import processes

    count = workers or cores()
    stop = Event()
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with (
        processes(count) as run,
        Progress(
            *columns, console=terminal, transient=True, disable=not terminal.is_terminal
        ) as bar,
        ThreadPoolExecutor(count) as threads,
    ):
        task = bar.add_task("trials", total=sum(question.trials for question in questions))

        def job(question: Question) -> Tuned:
            bar.update(task, description=f"{question.policy}, {question.scenario.name}")
            return answer(
                question, out, journals, _unless(stop, run), lambda n: bar.advance(task, n)
            )

        futures = [threads.submit(job, question) for question in questions]
        try:
            _all_or_first_error(futures)
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on from {journals}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
    return [future.result() for future in futures]


def answer(question: Question, out: Path, journals: Path, run: Run, advance: Advance) -> Tuned:
    """Tune a rule for a scenario and write its file, unless the file is up to date."""
    from agents.tuning import study_digest, tune

    name = Path(question.scenario.name) / question.policy
    path = out / f"{name}.yaml"
    digest = study_digest(question, run)
    known = _known(path, digest, question)
    if known is not None:
        advance(question.trials)
        return known
    ended = 0

    def count(trials: int) -> None:
        nonlocal ended
        # A journal may hold more trials than are asked for now.
        advance(min(trials, question.trials - ended))
        ended = min(ended + trials, question.trials)

    tuned = tune(question, digest, journals / f"{name}.journal", run, count)
    count(question.trials)
    write_tuned(path, tuned)
    return tuned


def _known(path: Path, digest: str, question: Question) -> Tuned | None:
    """Return what the file says, if it answers this very question with as many trials."""
    try:
        tuned = read_tuned(path)
    except PolicyError:
        return None
    enough = tuned.trials >= question.trials or not question.parameters
    return tuned if tuned.study == digest and enough else None


def _unless(stop: Event, run: Run) -> Callable[[Sequence[Task]], Sequence[Measured]]:
    """Carry tasks out unless all is to stop."""

    def run_or_stop(tasks: Sequence[Task]) -> Sequence[Measured]:
        if stop.is_set():
            raise KeyboardInterrupt
        return run(tasks)

    return run_or_stop


def _all_or_first_error(futures: Iterable[Future[Any]]) -> None:
    for future in as_completed(futures):
        future.result()


def table(found: Sequence[Tuned], scenario: Scenario) -> Table:
    """Lay out the tuned rules of a scenario, the best first and marked."""
    view = Table(
        title=f"{scenario.title}, {scenario.load:g} requests/s",
        caption="at validation episodes; ± half a 95% interval; saved against all-cloud's GPU cost",
        header_style="bold",
    )
    view.add_column("rule", no_wrap=True)
    for heading in ("in time %", "target %", "GPU s/request", "saved %"):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("parameters")
    ordered = sorted(
        found, key=lambda t: (not t.reached, t.gpu_cost if t.reached else -t.attainment)
    )
    for row, tuned in enumerate(ordered):
        best = row == 0 and tuned.reached
        view.add_row(
            f"{tuned.policy} *" if best else tuned.policy,
            f"{100 * tuned.attainment:.2f} ± {100 * tuned.within:.2f}",
            f"{100 * tuned.target:g}" if tuned.reached else f"{100 * tuned.target:g} missed",
            f"{tuned.gpu_seconds:.4g}",
            f"{100 * tuned.saving:.1f}",
            ", ".join(f"{name}={value:g}" for name, value in tuned.parameters.items()),
            style="bold" if best else None,
        )
    return view


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
