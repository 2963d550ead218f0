from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from splitenv.profiles.figures import ProfileError, read_profile
from splitenv.profiles.mixes import DeviceMix

PROFILES = Path(__file__).parents[2] / "profiles"
MIXES = sorted((PROFILES / "mixes").glob("*.yaml"))
SHIPMENTS = sorted((PROFILES / "mixes").glob("omdia-1q24-*.yaml"))


def share(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "1", "kind": "assumed", "rule": "for the test"}


def mix(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "test",
        "title": "a test",
        "assumption": "none of this was measured",
        "tiers": {"low": share(0.6), "high": share(0.4)},
        "devices": {"low": {"slow": 2, "middling": 1}, "high": {"fast": 5}},
    }
    return base | changes


@pytest.mark.parametrize("path", MIXES, ids=lambda p: p.stem)
def test_every_shipped_mix_names_devices_that_exist(path: Path) -> None:
    profile = read_profile(path, DeviceMix)
    known = {device.stem for device in (PROFILES / "devices").glob("*.yaml")}

    assert profile.name == path.stem
    assert {entry.device for entry in profile.entries()} <= known
    assert sum(share for _, share in profile.shares().values()) == pytest.approx(1)


@pytest.mark.parametrize("path", SHIPMENTS, ids=lambda p: p.stem)
def test_mixes_of_shipments_have_the_published_tiers(path: Path) -> None:
    totals = {"low": 0.0, "mid": 0.0, "high": 0.0}
    for entry in read_profile(path, DeviceMix).entries():
        totals[entry.tier] += entry.share

    assert totals == pytest.approx({"low": 120 / 300, "mid": 107 / 300, "high": 73 / 300}, abs=1e-4)


def test_a_device_gets_its_weight_within_its_tier() -> None:
    shares = DeviceMix.model_validate(mix()).shares()

    assert {device: tier for device, (tier, _) in shares.items()} == {
        "slow": "low",
        "middling": "low",
        "fast": "high",
    }
    assert {device: share for device, (_, share) in shares.items()} == pytest.approx(
        {"slow": 0.4, "middling": 0.2, "fast": 0.4}
    )


def test_a_device_of_two_tiers_is_two_entries_and_one_share() -> None:
    profile = DeviceMix.model_validate(
        mix(devices={"low": {"slow": 2, "both": 1}, "high": {"both": 1}})
    )

    entries = {(e.device, e.tier): e.share for e in profile.entries()}
    assert entries["both", "low"] == pytest.approx(0.2)
    assert entries["both", "high"] == pytest.approx(0.4)
    tier, total = profile.shares()["both"]
    assert tier == "high"
    assert total == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiers": {"low": share(0.6), "high": share(0.5)}}, "must sum to 1, got 1.1"),
        ({"tiers": {"low": share(0.6), "high": share(-0.4)}}, "'high' must be 0 to 1, got -0.4"),
        ({"devices": {"low": {"slow": 1}}}, "but devices are given for \\['low'\\]"),
        ({"devices": {"low": {}, "high": {"fast": 1}}}, "tier 'low' has no device"),
        ({"devices": {"low": {"slow": 0}, "high": {"fast": 1}}}, "weight of 'slow' must be above"),
        ({"assumption": " "}, "assumption must say why"),
    ],
)
def test_a_faulty_mix_is_refused_in_one_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(mix(**changes)))

    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(path, DeviceMix)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
