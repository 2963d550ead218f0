"""From target attainment to the knob of a policy."""

from __future__ import annotations

import numpy as np
import pytest

from agents.calibration import knob_at, standing

SETTINGS = np.array([0.25, 1.0, 4.0, 16.0])


def test_a_target_is_met_from_some_setting_on() -> None:
    attained = np.array([0.95, 0.97, 0.99, 0.995])
    assert knob_at(SETTINGS, attained, 0.9) == 0.25
    assert knob_at(SETTINGS, attained, 0.97) == pytest.approx(1.0)
    assert knob_at(SETTINGS, attained, 0.98) == pytest.approx(2.0)  # halfway in the logarithm
    assert knob_at(SETTINGS, attained, 0.999) is None


def test_a_setting_beyond_which_the_target_is_missed_again_does_not_meet_it() -> None:
    assert knob_at(SETTINGS, np.array([0.99, 0.97, 0.98, 0.99]), 0.985) == pytest.approx(
        np.sqrt(4.0 * 16.0)
    )


def test_a_knob_stands_where_the_target_is_met_but_never_below_the_scenarios_price() -> None:
    attained = np.array([0.95, 0.97, 0.99, 0.995])
    assert standing(SETTINGS, attained, 0.98) == pytest.approx(2.0)
    assert standing(SETTINGS, attained, 0.9) == 1.0
    assert standing(SETTINGS / 100, attained, 0.9) == 0.16  # its range ends below that price


def test_where_the_target_is_never_met_a_knob_stands_where_most_is_attained() -> None:
    assert standing(SETTINGS, np.array([0.95, 0.97, 0.99, 0.98]), 0.999) == 4.0
