from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from splitenv.profiles.arrivals import RENEWAL_CODES, ArrivalProfile
from splitenv.profiles.figures import ProfileError, read_profile

ARRIVALS = sorted((Path(__file__).parents[2] / "profiles" / "arrivals").glob("*.yaml"))


def figure(value: float, unit: str = "1") -> dict[str, Any]:
    return {"value": value, "unit": unit, "kind": "assumed", "rule": "for the test"}


def arrivals(**changes: Any) -> dict[str, Any]:
    base = {"name": "test", "title": "a test", "renewal": "exponential", "shape": figure(1.0)}
    return base | changes


def state(multiplier: float, dwell: float) -> dict[str, Any]:
    return {"multiplier": figure(multiplier), "mean_dwell_s": figure(dwell, "s")}


def hours(rates: list[float]) -> dict[str, Any]:
    return {"rate": rates, "kind": "assumed", "rule": "for the test"}


@pytest.mark.parametrize("path", ARRIVALS, ids=lambda p: p.stem)
def test_every_shipped_profile_is_normalised(path: Path) -> None:
    profile = read_profile(path, ArrivalProfile)
    params = profile.params()

    assert profile.name == path.stem
    assert params.multipliers @ params.mean_dwells / params.mean_dwells.sum() == pytest.approx(1)
    assert params.hours.mean() == pytest.approx(1)
    assert params.hours.shape == (24,)
    assert 0.2 < params.shape < 3


def test_the_shipped_services_have_their_published_burstiness() -> None:
    params = {path.stem: read_profile(path, ArrivalProfile).params() for path in ARRIVALS}

    assert params["poisson"].renewal == RENEWAL_CODES["exponential"]
    assert params["azure-chat-2023"].shape ** -0.5 == pytest.approx(1.0942, abs=1e-4)
    assert len(params["mmpp-bursty"].multipliers) == 2
    assert params["sd-service-day"].hours.max() > 20 * params["sd-service-day"].hours[12]


def test_a_stationary_profile_has_one_state_and_even_hours() -> None:
    params = ArrivalProfile.model_validate(arrivals()).params()

    assert params.multipliers.tolist() == [1.0]
    assert params.hours.tolist() == [1.0] * 24


@given(
    st.lists(st.tuples(st.floats(0.01, 50), st.floats(0.1, 1e4)), min_size=1, max_size=5),
    st.lists(st.floats(0.01, 10), min_size=24, max_size=24),
)
def test_multipliers_average_to_one_over_time_and_keep_their_ratios(
    states: list[tuple[float, float]], rates: list[float]
) -> None:
    profile = ArrivalProfile.model_validate(
        arrivals(states=[state(m, d) for m, d in states], hours=hours(rates))
    )
    params = profile.params()

    assert params.multipliers @ params.mean_dwells / params.mean_dwells.sum() == pytest.approx(1)
    given_multipliers = np.array([m for m, _ in states])
    np.testing.assert_allclose(
        params.multipliers / params.multipliers[0], given_multipliers / given_multipliers[0]
    )
    assert params.hours.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": figure(2.0)}, "shape of an exponential law is 1, got 2"),
        ({"renewal": "gamma", "shape": figure(0.0)}, "shape must be above 0, got 0"),
        ({"renewal": "pareto"}, "renewal: Input should be 'exponential', 'gamma' or 'weibull'"),
        ({"states": [state(-1.0, 5.0)]}, "multiplier must be 0 or above, got -1"),
        ({"states": [state(1.0, 0.0)]}, "mean_dwell_s must be above 0"),
        ({"states": [state(0.0, 1.0)]}, "one multiplier at least must be above 0"),
        ({"hours": hours([1.0] * 23)}, "a day has 24 relative rates, got 23"),
        ({"hours": hours([1.0] * 23 + [-1.0])}, "relative rates must be 0 or above"),
    ],
)
def test_a_faulty_profile_is_refused_in_one_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(arrivals(**changes)))

    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(path, ArrivalProfile)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
