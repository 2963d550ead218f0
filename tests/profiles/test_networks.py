from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from splitenv.profiles.figures import ProfileError, Source, read_profile
from splitenv.profiles.fitting import summarise_rate
from splitenv.profiles.networks import NETWORK_FIELDS, NetworkProfile, RateModel

FloatArray = npt.NDArray[np.float64]

PROFILES = Path(__file__).parents[2] / "profiles"
NETWORKS = sorted((PROFILES / "networks").glob("*.yaml"))

# Lowest and highest plausible medians: uplink and downlink in Mbit/s, RTT in ms.
PLAUSIBLE = {
    "3g": ((0.3, 3), (1, 8), (80, 300)),
    "lte": ((3, 40), (10, 80), (30, 100)),
    "5g-sub6": ((10, 80), (20, 200), (20, 100)),
    "5g-midband": ((15, 100), (100, 500), (15, 80)),
    "5g-mmwave": ((30, 200), (300, 2000), (8, 40)),
    "starlink": ((5, 30), (80, 300), (20, 60)),
    "wifi": ((10, 200), (10, 300), (2, 60)),
}


def figure(value: float, unit: str = "1") -> dict[str, Any]:
    return {"value": value, "unit": unit, "kind": "assumed", "rule": "for the test"}


def rate(**changes: Any) -> dict[str, Any]:
    base = {
        "session_log_mean": figure(math.log(8.0), "ln Mbit/s"),
        "session_log_sd": figure(0.5),
        "within_log_sd": figure(0.4),
        "hold": figure(4.0, "s"),
        "outage": figure(0.1),
    }
    return base | changes


def network(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "test",
        "title": "a test",
        "technology": "none",
        "uplink": rate(),
        "downlink": rate(session_log_mean=figure(math.log(80.0), "ln Mbit/s")),
        "rtt": {
            "session_log_mean": figure(math.log(50.0), "ln ms"),
            "session_log_sd": figure(0.2),
            "within_log_sd": figure(0.1),
        },
        "correlation": correlation(0.5, -0.3, -0.2),
    }
    return base | changes


def correlation(uplink_downlink: float, uplink_rtt: float, downlink_rtt: float) -> dict[str, Any]:
    return {
        "uplink_downlink": figure(uplink_downlink),
        "uplink_rtt": figure(uplink_rtt),
        "downlink_rtt": figure(downlink_rtt),
    }


def simulate_log_rate(
    model: RateModel, mu: float, seconds: int, rng: np.random.Generator
) -> FloatArray:
    """The class docstring, word by word: the log rate at each whole second, NaN in an outage."""
    hold = model.hold.amount
    blocks = int(seconds / hold) + 2
    levels = mu + model.within_log_sd.amount * rng.standard_normal(blocks)
    levels[rng.random(blocks) < model.outage.amount] = np.nan
    phase = rng.uniform(0, hold)
    log_rate: FloatArray = levels[((np.arange(seconds) + phase) // hold).astype(int)]
    return log_rate


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_every_shipped_network_has_plausible_medians(path: Path) -> None:
    profile = read_profile(path, NetworkProfile)

    assert profile.name == path.stem
    uplink, downlink, rtt = PLAUSIBLE[profile.name]
    assert uplink[0] < profile.uplink.median_mbps < uplink[1]
    assert downlink[0] < profile.downlink.median_mbps < downlink[1]
    assert rtt[0] < profile.rtt.median_ms < rtt[1]


def test_all_seven_networks_are_shipped() -> None:
    assert {path.stem for path in NETWORKS} == set(PLAUSIBLE)


@pytest.mark.parametrize("folder", ["networks", "arrivals", "mixes"])
def test_every_source_that_a_profile_names_is_listed(folder: str) -> None:
    listed = yaml.safe_load((PROFILES / "SOURCES-traces.yaml").read_text())
    for entry in listed.values():
        Source.model_validate(entry)

    for path in (PROFILES / folder).glob("*.yaml"):
        assert sources_in(yaml.safe_load(path.read_text())) <= set(listed), path


def sources_in(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*(sources_in(item) for item in node))
    if not isinstance(node, dict):
        return set()
    own = node.get("source", [])
    found = {own} if isinstance(own, str) else set(own)
    return found.union(*(sources_in(value) for value in node.values()))


def test_params_are_si_and_in_the_documented_order() -> None:
    params = NetworkProfile.model_validate(network()).params()
    named = dict(zip(NETWORK_FIELDS, params, strict=True))

    assert params.dtype == np.float64
    assert named["uplink_log_mean"] == pytest.approx(math.log(1e6))  # 8 Mbit/s are 1e6 bytes/s
    assert named["downlink_log_mean"] == pytest.approx(math.log(1e7))
    assert named["rtt_log_mean"] == pytest.approx(math.log(0.05))
    assert named["uplink_hold"] == 4.0
    assert named["uplink_outage"] == 0.1
    assert named["rtt_within_sd"] == 0.1


@given(
    st.floats(-0.6, 0.6),
    st.floats(-0.6, 0.6),
    st.floats(-0.45, 0.45),
)
def test_the_cholesky_factor_gives_back_the_correlation(ud: float, ur: float, dr: float) -> None:
    matrix = np.array([[1, ud, ur], [ud, 1, dr], [ur, dr, 1]])
    if np.linalg.eigvalsh(matrix).min() < 1e-6:
        return
    profile = NetworkProfile.model_validate(network(correlation=correlation(ud, ur, dr)))
    named = dict(zip(NETWORK_FIELDS, profile.params(), strict=True))

    factor = np.array(
        [
            [1, 0, 0],
            [named["downlink_on_z1"], named["downlink_on_z2"], 0],
            [named["rtt_on_z1"], named["rtt_on_z2"], named["rtt_on_z3"]],
        ]
    )
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-12)


def test_a_simulated_session_has_the_mean_spread_lag_and_outage_of_its_profile() -> None:
    model = NetworkProfile.model_validate(network()).uplink
    mu = model.session_log_mean.amount

    log_rate = simulate_log_rate(model, mu, 400_000, np.random.default_rng(1))

    assert np.nanmean(log_rate) == pytest.approx(mu, abs=0.01)
    assert np.nanstd(log_rate) == pytest.approx(0.4, abs=0.01)
    rate_mbps = np.nan_to_num(np.exp(log_rate))
    assert summarise_rate(rate_mbps).log_lag1 == pytest.approx(1 - 1 / 4.0, abs=0.01)
    assert summarise_rate(rate_mbps).outage == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uplink": rate(hold=figure(0.0, "s"))}, "hold must be above 0 s, got 0"),
        ({"uplink": rate(outage=figure(0.6))}, "outage must be 0 to 0.5, got 0.6"),
        ({"uplink": rate(within_log_sd=figure(-1.0))}, "within_log_sd must be 0 or above, got -1"),
        (
            {"downlink": rate(session_log_mean=figure(2.0, "Mbit/s"))},
            "session_log_mean must be in 'ln Mbit/s', got 'Mbit/s'",
        ),
        ({"correlation": correlation(1.2, 0, 0)}, "uplink_downlink must be -1 to 1, got 1.2"),
        ({"correlation": correlation(0.9, 0.9, -0.9)}, "do not form a positive definite matrix"),
    ],
)
def test_a_faulty_network_is_refused_in_one_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(network(**changes)))

    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(path, NetworkProfile)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        NetworkProfile.model_validate(network(uplnk=rate()))
