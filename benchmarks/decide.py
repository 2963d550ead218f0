"""How long one decision takes in production, from the raw request.

    python -m benchmarks.decide --bundle bundles/x --rule-bundle bundles/lb [--save]

Replays simulated episodes of each bundle's scenario; a decision is timed from its client's report
over the arrival to the answer, so with everything that the request costs. Also: cold start in a
process of its own, and Stable-Baselines3's ``model.predict`` on the same observations. Without
bundles, an untrained actor of the default size and the rule latency-bound on ``sd-mobile`` are
exported first: the time does not depend on what was learned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

from agents.export import export
from agents.learned import SB3Policy
from agents.ppo import build_model, load_hyperparameters, training_env
from agents.registry import make_policy
from agents.replay import Episodes, event_log, simulate
from benchmarks.history import keep, output_options
from benchmarks.machine import machine_facts
from splitenv.runtime import Arrival, ClientReport, Scheduler
from splitenv.runtime.bundle import Bundle, read_bundle
from splitenv.scenario import Scenario, load_scenario

Seconds = npt.NDArray[np.float64]

DECISIONS, WARM_UP = 10_000, 500
_COLD_START = """
import json, sys, time
start = time.perf_counter()
from splitenv.runtime import Scheduler
imported = time.perf_counter()
Scheduler.load(sys.argv[1])
loaded = time.perf_counter()
print(json.dumps({"import_s": imported - start, "load_s": loaded - imported}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decide", description=__doc__)
    parser.add_argument("--bundle", type=Path, help="of a learned policy")
    parser.add_argument("--rule-bundle", type=Path)
    output_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        learned = options.bundle or _export_untrained(Path(place) / "ppo")
        rule = options.rule_bundle or _export_rule(Path(place) / "rule")
        results = {name: measure(folder) for name, folder in (("ppo", learned), ("rule", rule))}
        results["sb3"] = measure_sb3(read_bundle(learned))
    show(results)
    keep("decide", headline(results), results, options)


def headline(results: dict[str, Any]) -> str:
    learned = results["ppo"]
    return f"{learned['p50_ms']:.3f} ms a decision, 99% within {learned['p99_ms']:.3f} ms"


def measure(folder: Path) -> dict[str, Any]:
    """Time decisions of one bundle, and its cold start."""
    bundle = read_bundle(folder)
    length = int(bundle.manifest.scenario.content["decisions"])
    episodes = simulate(bundle, -(-(WARM_UP + DECISIONS) // length), seed=1)
    seconds = np.concatenate(
        [decision_times(bundle, episodes, row) for row in range(len(episodes.actions))]
    )[WARM_UP:]
    return {
        "policy": bundle.manifest.name,
        "scenario": bundle.manifest.scenario.name,
        **summary(seconds),
        **cold_start(folder),
    }


def decision_times(bundle: Bundle, episodes: Episodes, row: int) -> Seconds:
    """Time each request of an episode: its client's report, its arrival and its decision."""
    scheduler = Scheduler(bundle)
    seconds = []
    reported = np.zeros(2)
    for event in event_log(episodes.records[row], bundle):
        start = clocks()
        if isinstance(event, Arrival):
            scheduler.decide(event)
            seconds.append(reported + clocks() - start)
        else:
            scheduler.observe(event)
            if isinstance(event, ClientReport):
                reported = clocks() - start
    return np.array(seconds)


def measure_sb3(bundle: Bundle) -> dict[str, Any]:
    """Time Stable-Baselines3's own ``predict``, one observation at a time, on the goldens."""
    model = _model(Scenario.model_validate(bundle.manifest.scenario.content))
    torch.set_num_threads(1)
    goldens = bundle.goldens
    masks = goldens.masks[:, model.env.choices]
    seconds = []
    for index in range(WARM_UP + 2000):
        row = index % len(goldens.observations)
        start = clocks()
        model.predict(goldens.observations[row], deterministic=True, action_masks=masks[row])
        seconds.append(clocks() - start)
    return {"policy": "model.predict", **summary(np.array(seconds[WARM_UP:]))}


def clocks() -> Seconds:
    """Read wall clock and this thread's CPU time: on a busy machine they differ."""
    return np.array([time.perf_counter(), time.thread_time()])


def summary(seconds: Seconds) -> dict[str, float]:
    (p50, cpu_p50), (p99, cpu_p99) = 1e3 * np.quantile(seconds, (0.5, 0.99), axis=0)
    return {
        "decisions": len(seconds),
        "p50_ms": p50,
        "p99_ms": p99,
        "cpu_p50_ms": cpu_p50,
        "cpu_p99_ms": cpu_p99,
    }


def cold_start(folder: Path) -> dict[str, float]:
    """Seconds to import the runtime and to load a bundle, in a fresh process."""
    command = [sys.executable, "-c", _COLD_START, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def show(results: dict[str, Any]) -> None:
    table = Table(title="One decision, from the raw request, in ms; import and load in s")
    table.add_column("policy")
    for column in ("decisions", "p50", "p99", "CPU p50", "CPU p99", "import", "load"):
        table.add_column(column, justify="right")
    for result in results.values():
        times = [f"{result[f'{name}_ms']:.3f}" for name in ("p50", "p99", "cpu_p50", "cpu_p99")]
        cold = [f"{result[name]:.2f}" if name in result else "" for name in ("import_s", "load_s")]
        table.add_row(result["policy"], f"{result['decisions']:,}", *times, *cold)
    machine = machine_facts()
    table.caption = "{cpu}, {cores} cores, load average {load:.1f}".format(**machine)
    Console().print(table)


def _model(scenario: Scenario) -> Any:
    settings = load_hyperparameters(scenario.name)
    settings = settings.model_copy(update={"environments": 1})
    env = training_env(scenario, settings, seed=0)
    return build_model("maskable-ppo", env, settings, seed=0)


def _export_untrained(folder: Path) -> Path:
    scenario = load_scenario("sd-mobile")
    export(SB3Policy.of(_model(scenario), scenario, "ppo, untrained"), scenario, folder)
    return folder


def _export_rule(folder: Path) -> Path:
    export(make_policy("latency-bound"), load_scenario("sd-mobile"), folder)
    return folder


if __name__ == "__main__":
    main()
