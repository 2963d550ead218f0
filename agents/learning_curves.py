"""Learning curves over seeds: ``python -m agents.learning_curves runs/sd-mobile-*``."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from rich.console import Console
from rich.table import Table

from agents.command_line import run_app
from agents.drawing import FAINT, INK, colour, heading
from agents.registry import PolicyError
from agents.statistics import over_seeds
from splitenv.files import write_files
from splitenv.options import AsJson
from splitenv.provenance import provenance, to_json

Floats = npt.NDArray[np.float64]

MEASURES = {
    "score": ("cost over three loads, the rule's = 1", 1.0),
    "attainment": ("in time at the scenario's load, %", 100.0),
    "gpu_seconds": ("GPU seconds per request there", 1.0),
}
"""What is drawn: its words, and what it is multiplied by."""

PIPE_WIDTH = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Curves:
    """The held-out evaluations of runs that differ in their seed.

    Attributes
    ----------
    about
        What they have in common: scenario, rule, and so on.
    seeds
        One for each run.
    steps
        Decisions at which all were evaluated, shape (n,).
    values
        By measure, shape (runs, n).
    base
        The rule's, or all-cloud's, by measure.
    """

    about: dict[str, Any]
    seeds: list[int]
    steps: npt.NDArray[np.int64]
    values: dict[str, Floats]
    base: dict[str, float]


@app.command(
    epilog="Example: python -m agents.learning_curves runs/sd-mobile-* --out runs/curves.png"
)
def run(
    runs: Annotated[list[Path], typer.Argument(help="Folders of train.py, a seed each.")],
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("runs/learning-curves.png"),
    as_json: AsJson = False,
) -> None:
    """Draw how runs learn: score, attainment and GPU seconds, with 95% intervals over seeds."""
    curves = read_curves(runs)
    write_files({out: curves_png(curves)})
    if as_json:
        print(to_json({**as_dict(curves), "provenance": provenance()}), end="")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table(curves))
    console.print(f"picture: {out}", soft_wrap=True, highlight=False)


def read_curves(folders: list[Path]) -> Curves:
    """Read the evaluations of runs.

    Raises
    ------
    PolicyError
        If a folder has none, or runs differ in more than the seed.
    """
    read = {folder: _read(folder) for folder in folders}
    (first, (config, told)), *others = read.items()
    about = _about(config)
    for folder, (other, _) in others:
        differs = [name for name, value in _about(other).items() if value != about[name]]
        if differs:
            raise PolicyError(f"{folder} differs from {first} in its {differs[0]}: no common curve")
    seeds = [config["seed"] for config, _ in read.values()]
    if len(set(seeds)) < len(seeds):
        raise PolicyError(
            f"two of the runs have the same seed: {', '.join(map(str, sorted(seeds)))}"
        )
    evaluated = [{each["steps"]: each for each in told["evaluations"]} for _, told in read.values()]
    steps = sorted(set.intersection(*(set(each) for each in evaluated)))
    nominal = (told["rule"] or told["all_cloud"])["nominal"]
    return Curves(
        about=about,
        seeds=seeds,
        steps=np.array(steps),
        values={
            name: np.array([[each[step][name] for step in steps] for each in evaluated])
            for name in MEASURES
        },
        base={"score": 1.0, **{n: nominal[n] for n in ("attainment", "gpu_seconds")}},
    )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        config, told = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("config.json", "evaluations.json")
        )
    except FileNotFoundError as error:
        raise PolicyError(f"{folder} is no run with evaluations: {error.filename}") from error
    except (OSError, ValueError) as error:
        raise PolicyError(f"{folder}: evaluations can't be read: {error}") from error
    return config, told


def _about(config: dict[str, Any]) -> dict[str, Any]:
    """What runs of one curve have in common."""
    return {
        "scenario": config["scenario"]["name"],
        "scenario_sha256": config["scenario_sha256"],
        "steps": config["steps"],
        "algorithm": config["algorithm"],
        "rule": config["rule"],
        "target_attainment": config["target_attainment"],
        "preference_conditioned": config["preference_conditioned"],
        "settings": config["settings"],
    }


def as_dict(curves: Curves) -> dict[str, Any]:
    """Curves as plain data, with their means and intervals."""
    return {
        **curves.about,
        "seeds": curves.seeds,
        "base": curves.base,
        "curve": [
            {
                "steps": int(step),
                **{name: vars(over_seeds(v[:, at])) for name, v in curves.values.items()},
            }
            for at, step in enumerate(curves.steps)
        ],
    }


def table(curves: Curves) -> Table:
    """Lay out the means at every evaluation."""
    count = len(curves.seeds)
    view = Table(
        title=f"{curves.about['scenario']}: {count} {'seed' if count == 1 else 'seeds'}",
        caption="mean and 95% interval over training seeds",
        header_style="bold",
    )
    for heading_ in ("decisions", "score", "in time %", "GPU s"):
        view.add_column(heading_, justify="right", no_wrap=True)
    for at, step in enumerate(curves.steps.tolist()):
        cells = []
        for name, digits in (("score", 4), ("attainment", 2), ("gpu_seconds", 4)):
            unit = MEASURES[name][1]
            found = over_seeds(unit * curves.values[name][:, at])
            half = "" if np.isnan(found.half) else f" ± {found.half:.{digits}f}"
            cells.append(f"{found.value:.{digits}f}{half}")
        view.add_row(f"{step:,}", *cells)
    return view


def curves_png(curves: Curves) -> bytes:
    """Draw a panel a measure; return the PNG."""
    figure = Figure(figsize=(11.0, 4.4), dpi=130)
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.06, right=0.98, top=0.8, bottom=0.13, wspace=0.26)
    panels = figure.subplots(1, len(MEASURES))
    for axes, (name, (words, unit)) in zip(panels, MEASURES.items(), strict=True):
        _panel(axes, curves, name, words, unit)
    heading(canvas, _finding(curves), 0.93, size=13, weight="bold", color=INK)
    count = len(curves.seeds)
    many = "one training seed" if count == 1 else f"{count} training seeds, band: 95% interval"
    about = f"{curves.about['scenario']}, {many} of the mean. Dashed: {_base_name(curves)}."
    heading(canvas, about.replace("seed of the mean", "seed"), 0.875, size=9.5, color="#555555")
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _panel(axes: Axes, curves: Curves, name: str, words: str, unit: float) -> None:
    shade = colour("ppo")
    values = unit * curves.values[name]
    found = [over_seeds(column) for column in values.T]
    for each in values:
        axes.plot(curves.steps, each, color=shade, linewidth=0.8, alpha=0.35)
    if len(values) > 1:
        low, high = [each.low for each in found], [each.high for each in found]
        axes.fill_between(curves.steps, low, high, color=shade, alpha=0.15, linewidth=0)
    axes.plot(curves.steps, [each.value for each in found], color=shade, linewidth=2)
    axes.axhline(unit * curves.base[name], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    shown = np.append(values, unit * curves.base[name])
    room = 0.1 * (np.ptp(shown) or 1.0)
    axes.set_ylim(shown.min() - room, shown.max() + room)
    axes.set_title(words, size=10, color=INK, loc="left")
    axes.set_xlabel("million decisions", color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:g}"))
    axes.set_xlim(0, curves.steps.max() or 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors="#555555")
    axes.grid(axis="y", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def _finding(curves: Curves) -> str:
    best = curves.values["score"].min(axis=1)
    found = over_seeds(best)
    half = "" if np.isnan(found.half) else f" ± {100 * found.half:.1f}"
    less = "less" if found.value < 1 else "more"
    words = f"{100 * abs(found.value - 1):.1f}{half}% {less} cost than {_base_name(curves)}"
    return f"{words} at the best evaluation; worst seed {best.max():.3f} of it"


def _base_name(curves: Curves) -> str:
    kind, _, reference = str(curves.about["rule"] or "all-cloud").partition(":")
    return f"the tuned {Path(reference).stem}" if kind == "tuned" else kind


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what cannot be used or written is one line and exit code 1."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
