"""GPUs that are faster than measured, or whose further members cost more or less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitenv.scenario import load_scenario
from splitenv.tables import build_tables


@pytest.mark.parametrize("name", ["sd-mobile", "mixed-tenants"])
def test_a_gpu_twice_as_fast_takes_half_of_every_time(name: str) -> None:
    measured = build_tables(load_scenario(name))
    fast = build_tables(load_scenario(name, {"pool.faster": 2.0}))

    for table in ("alone", "segment_time", "kind_time", "overhead", "reference"):
        np.testing.assert_allclose(getattr(fast, table), getattr(measured, table) / 2, rtol=1e-12)
    np.testing.assert_allclose(fast.gain, measured.gain, rtol=1e-12)
    assert fast.norm == pytest.approx(measured.norm / 2)


@settings(max_examples=10)
@given(company=st.floats(0, 3))
def test_company_scales_what_further_members_cost_and_leaves_who_is_alone(company: float) -> None:
    measured = build_tables(load_scenario("sd-mobile"))
    other = build_tables(load_scenario("sd-mobile", {"pool.company": company}))

    for table in ("segment_time", "kind_time"):
        before, after = getattr(measured, table), getattr(other, table)
        alone = before[..., 1:2]
        np.testing.assert_allclose(after[..., 1:2], alone)
        expected = alone + company * (before[..., 1:] - alone)
        np.testing.assert_allclose(after[..., 1:], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.overhead, measured.overhead)
