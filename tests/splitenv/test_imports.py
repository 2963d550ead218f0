"""Importing the package is light, and registers the environment where gymnasium is installed."""

import subprocess
import sys

HEAVY = ("torch", "numba", "matplotlib", "stable_baselines3", "pyarrow")


def modules_after(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_package_imports_nothing_heavy():
    assert not modules_after("import splitenv").intersection(HEAVY)


def test_records_that_nobody_asks_for_import_no_pyarrow():
    assert "pyarrow" not in modules_after("import splitenv.records, splitenv.simulate_cli")


def test_the_environment_imports_neither_torch_nor_matplotlib():
    assert not modules_after("import splitenv.env").intersection({"torch", "matplotlib"})


def test_the_package_imports_without_gymnasium():
    hidden = "sys.modules['gymnasium'] = None; import splitenv, splitenv.scenario"
    assert "splitenv.env" not in modules_after(hidden)


def test_gymnasium_finds_the_environment_by_its_full_name():
    made = "import gymnasium; gymnasium.make('splitenv:splitenv/SplitInference-v0')"
    assert "splitenv.env" in modules_after(made)
