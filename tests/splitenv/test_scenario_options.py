"""What a scenario may ask of the physics, and how it is told that it asks for too much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from splitenv.scenario import ScenarioError, load_scenario
from splitenv.settings import build_settings
from splitenv.tables import build_tables, fitted_lines

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"pool.beside": {"a100": 1}}, "names a100 again"),
    ({"pool.beside": {"t4": 63}}, "at most 64 GPUs"),
    ({"pool.beside": {"t4": 1}, "randomise.gpus": [1, 2]}, "a pool of one type"),
    ({"serving": "continuous", "dispatch.discipline": "window"}, "slack and edf-drop"),
    ({"dispatch": {"discipline": "window", "sizes": [2, 4]}}, "window takes at most 1 sizes"),
    ({"dispatch": {"discipline": "preferred", "sizes": [4, 2]}}, "sizes must ascend"),
    ({"dispatch": {"discipline": "slack", "window_s": 0.1}}, "slack has no window_s"),
    ({"dispatch": {"discipline": "window", "spare": 1}}, "window has no spare"),
    ({"dispatch": {"discipline": "preferred", "sizes": list(range(1, 66))}}, "at most 64 sizes"),
    ({"dispatch": {"discipline": "window", "guard_s": 1}}, "window has no guard_s"),
    ({"dispatch": {"discipline": "window", "target_s": 1}}, "window has no target_s"),
    ({"dispatch": {"discipline": "aimd"}}, "aimd needs target_s"),
    ({"load_steps": [{"at_s": 9, "factor": 2}, {"at_s": 9, "factor": 1}]}, "at_s must ascend"),
    ({"clients.background": {"share": 0.5, "slowdown": 0.9}}, "clients.background.slowdown"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_makes_no_sense_is_refused_in_one_sentence(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario("sd-mobile", changes)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_mixed_pool_has_its_types_at_their_prices() -> None:
    tables = build_tables(load_scenario("sd-mobile", {"pool.beside": {"t4": 3}}))
    assert tables.pool.tolist() == [0, 0, 1, 1, 1]
    assert tables.price[0] == 1.0
    assert tables.price[1] < 0.5
    assert tables.speed_rank.tolist() == [0, 0, 1, 1, 1]
    assert (tables.soonest == tables.alone[:, :, :, 1].min(axis=0)).all()


def test_fitted_lines_are_those_of_least_squares() -> None:
    # Through (1, 4), (2, 5), (3, 9): about the means (2, 6), slope (2 + 3) / 2, base 6 - 5. Through
    # (1, 1), (2, 6), (3, 9) it is 4 x - 8/3, and no time is below 0. Of one size, through 0.
    curve = np.zeros((3, 1, 2, 4))
    curve[0, 0, 1, 1:] = 4.0, 5.0, 9.0
    curve[1, 0, 1, 1:] = 1.0, 6.0, 9.0
    curve[2, 0, 1, 1] = 7.0
    slope, base = fitted_lines(curve, np.array([[3], [3], [1]]), np.array([2]))
    assert slope[:, 0].tolist() == [2.5, 4.0, 7.0]
    assert base[:, 0].tolist() == [1.0, 0.0, 0.0]


def test_denoising_steps_are_one_kind_of_unit_and_residual_blocks_are_not() -> None:
    diffusion = build_tables(load_scenario("sd-mobile"))
    assert len(set(diffusion.unit_kind[0])) == 3  # encode, denoise, decode
    regnet = build_tables(load_scenario("regnet-camera"))
    assert len(set(regnet.unit_kind[0])) == len(regnet.unit_kind[0])


def test_devices_throttle_where_the_scenario_says_so_and_their_profile_how() -> None:
    cold = build_settings(load_scenario("sd-mobile"), randomise=False)
    warm = build_settings(load_scenario("sd-mobile", {"clients.throttling": True}), randomise=False)
    assert cold.throttle.max() == 1.0
    assert set(np.round(warm.throttle, 3)) == {1.0, 1.367}
