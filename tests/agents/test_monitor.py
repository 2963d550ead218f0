from __future__ import annotations

from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.closeups import LEVELS, Closeup, latency_at
from agents.monitor import OWN, HeldOut, TensorBoard
from agents.registry import make_policy
from agents.run_plot import run_picture
from splitenv.scenario import load_scenario


@pytest.fixture(scope="module")
def evaluated() -> dict[str, Any]:
    """A rule in place of a learner, evaluated as a run is."""
    held_out = HeldOut(load_scenario("sd-mobile", {"decisions": 260, "load": 1.5}), 2)
    result = held_out(make_policy("joint-greedy"))
    entry = {"steps": 1000, **held_out.compare(result)}
    return {"all_cloud": held_out.all_cloud[OWN], "entry": entry, "seen": held_out.spread()}


def test_tensorboard_shows_a_runs_figures(tmp_path: Path, evaluated: dict[str, Any]) -> None:
    logs = TensorBoard(tmp_path, 0)
    logs.show([evaluated["entry"]], evaluated["all_cloud"], evaluated["seen"], 1000)
    logs.close()

    events = EventAccumulator(str(tmp_path), {"images": 0}).Reload()
    (image,) = events.Images("evaluation/figures")
    (slow,) = events.Scalars("latency/low_p95")
    assert image.step == slow.step == 1000
    picture = np.asarray(Image.open(BytesIO(image.encoded_image_string)))
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert slow.value == pytest.approx(latency_at(evaluated["seen"]["latency"]["low"], 95))
    assert {"latency/mid_p50", "latency/high_p50"} <= set(events.Tags()["scalars"])


def test_a_run_that_sends_nothing_to_the_cloud_has_a_picture_too(
    evaluated: dict[str, Any],
) -> None:
    seen = Closeup(
        {**evaluated["seen"], "batches": [], "latency": {"low": [1.0, *[None] * (len(LEVELS) - 1)]}}
    )

    picture = run_picture([evaluated["entry"]], 0.99, 1.0, seen)

    assert picture.shape == (720, 1040, 3)


def test_what_is_kept_for_figures_changes_no_outcome(evaluated: dict[str, Any]) -> None:
    scenario = load_scenario("sd-mobile", {"decisions": 260, "load": 1.5})
    again = HeldOut(scenario, 2)(make_policy("joint-greedy"))

    assert asdict(again[OWN]).items() <= evaluated["entry"].items()
