"""The runtime works where only numpy, onnxruntime and pydantic are installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ABSENT = (
    "gymnasium",
    "llvmlite",
    "matplotlib",
    "numba",
    "onnx",
    "rich",
    "sb3_contrib",
    "scipy",
    "stable_baselines3",
    "torch",
    "typer",
    "yaml",
)
DECIDE = """
import sys
for name in {absent}:
    sys.modules[name] = None  # importing it then fails, as if it were not installed
from importlib.metadata import EntryPoint, EntryPoints
from splitenv.runtime import Arrival, ClientReport, Scheduler, policies
rules = {{
    "latency-bound": "agents.heuristics.latency_bound:LatencyBound",
    "latency-bound-batching": "agents.heuristics.latency_bound:LatencyBoundBatching",
}}
policies.entry_points = lambda group: EntryPoints(
    EntryPoint(name, value, group) for name, value in rules.items()
)
scheduler = Scheduler.load({folder!r})
device = scheduler.bundle.manifest.names.devices[0]
scheduler.observe(ClientReport(1.0, "ann", device, 2e6, 9e6, 0.04))
decision = scheduler.decide(Arrival(1.0, 1, "ann", "stable-diffusion-2.1-base", "standard"))
assert decision.reason in ("policy", "fallback:predicted-miss"), decision
"""


@pytest.mark.parametrize("kind", ["learned_bundle", "rule_bundle"])
def test_a_bundle_is_served_without_the_rest(kind: str, request: pytest.FixtureRequest) -> None:
    folder = str(request.getfixturevalue(kind))
    code = DECIDE.format(absent=ABSENT, folder=folder)
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "name", ["actions", "belief", "context", "dispatch", "features", "physics", "state"]
)
def test_the_shared_functions_import_numpy_and_nothing_else(name: str) -> None:
    tree = ast.parse((ROOT / "splitenv" / f"{name}.py").read_text())
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").partition(".")[0])
    assert roots - set(sys.stdlib_module_names) <= {"numpy", "splitenv"}
