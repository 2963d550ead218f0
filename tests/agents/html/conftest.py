from __future__ import annotations

from pathlib import Path

import pytest

from evaluate import main

DECISIONS = 600
SUITE = """\
name: toy
episodes: 2
reference: latency-bound
scenarios: [sd-mobile, regnet-camera]
loads:
  nominal: {nominal: 0.6, points: 3}
  overload: {capacity: 1.3}
policies: [all-device, latency-bound, joint-greedy+symphony]
"""


def write(page: Path, *arguments: str, decisions: int = 260) -> Path:
    """Evaluate quickly, and write the page."""
    folder = page.parent
    common = ["--out", str(folder / "out"), "--cache", str(folder / "cache"), "--report", str(page)]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--set", f"decisions={decisions}", *common])
    assert not exit_.value.code
    return page


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one scenario, each policy at one setting."""
    policies = "all-cloud,all-device,latency-bound,joint-greedy+symphony:margin=1.1,neurosurgeon"
    return write(
        tmp_path_factory.mktemp("single") / "page.html",
        "--scenario", "sd-mobile", "--policies", policies, "--episodes", "2",
    )  # fmt: skip


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a suite of two scenarios under two loads."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "toy.yaml").write_text(SUITE)
    asked = ["--suite", str(folder / "toy.yaml"), "--processes", "1"]
    return write(folder / "page.html", *asked, decisions=DECISIONS)
