from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from splitenv.profiles.arrivals import ArrivalProfile
from splitenv.profiles.figures import ProfileError, read_profile
from splitenv.profiles.import_cli import app
from splitenv.profiles.importers import (
    NetworkTrace,
    arrival_profile_from_times,
    network_profile_from_trace,
    read_arrival_csv,
    read_azure_llm,
    read_mahimahi,
    read_network_csv,
    write_profile,
)
from splitenv.profiles.networks import NetworkProfile

HEADER = "t_s,uplink_mbps,downlink_mbps,rtt_ms\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def random_trace(seconds: int = 300) -> NetworkTrace:
    rng = np.random.default_rng(7)
    return NetworkTrace(
        t_s=np.arange(seconds, dtype=np.float64),
        uplink_mbps=np.exp(2.0 + 0.3 * rng.standard_normal(seconds)),
        downlink_mbps=np.exp(4.0 + 0.3 * rng.standard_normal(seconds)),
        rtt_ms=np.exp(3.5 + 0.1 * rng.standard_normal(seconds)),
    )


def test_a_network_csv_is_read_column_by_column(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", HEADER + "0,1,10,40\n1.5,2,0,41\n")

    trace = read_network_csv(path)

    assert trace.t_s.tolist() == [0, 1.5]
    assert trace.uplink_mbps.tolist() == [1, 2]
    assert trace.downlink_mbps.tolist() == [10, 0]
    assert trace.rtt_ms.tolist() == [40, 41]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the columns must be t_s, uplink_mbps, downlink_mbps, rtt_ms, got nothing"),
        ("t_s,up,down,rtt\n0,1,1,1\n", "line 1: the columns must be .*, got t_s, up, down, rtt"),
        (HEADER, "has 0 rows, at least 2 are needed"),
        (HEADER + "0,1,10,40\n9,1,10,40\n", "line 3: a gap of 9 s after t_s = 0; at most 5 s"),
        (HEADER + "0,1,10,40\n1,nan,10,40\n", "line 3: uplink_mbps must be a finite number"),
        (HEADER + "0,1,10,40\n1,1,,40\n", "line 3: downlink_mbps must be a finite number, got ''"),
        (HEADER + "0,1,-1,40\n", "line 2: downlink_mbps must be 0 or above, got -1"),
        (HEADER + "0,1,10,0\n", "line 2: rtt_ms must be above 0, got 0"),
        (HEADER + "0,1,10,40\n0,1,10,40\n", "line 3: t_s must increase, got 0 after 0"),
        (HEADER + "0,1,10\n", "line 2: expected 4 values, got 3"),
    ],
)
def test_a_faulty_network_csv_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "t.csv", text)

    with pytest.raises(ProfileError, match=message) as caught:
        read_network_csv(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(ProfileError, match="cannot be read: No such file"):
        read_network_csv(tmp_path / "none.csv")
    with pytest.raises(ProfileError, match="is not a CSV in UTF-8"):
        read_network_csv(tmp_path / "b.csv")


def test_mahimahi_opportunities_become_rates_per_second(tmp_path: Path) -> None:
    up = write(tmp_path / "a.up", "0\n10\n999\n1000\n2500\n")
    down = write(tmp_path / "a.down", "\n".join(str(ms) for ms in range(0, 3001, 2)) + "\n")

    trace = read_mahimahi(up, down, 40.0)

    assert trace.t_s.tolist() == [0, 1]
    np.testing.assert_allclose(trace.uplink_mbps, [3 * 0.012, 1 * 0.012])
    np.testing.assert_allclose(trace.downlink_mbps, [6.0, 6.0])
    assert trace.rtt_ms.tolist() == [40, 40]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("1\n2.5\n", "line 2: expected a time in whole milliseconds, got '2.5'"),
        ("1\n5\n4\n", "line 3: times must not decrease, got 4 after 5"),
        ("1\n1500\n", "covers 1 whole seconds, at least 2 are needed"),
    ],
)
def test_a_faulty_mahimahi_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    up = write(tmp_path / "a.up", text)
    down = write(tmp_path / "a.down", "0\n5000\n")

    with pytest.raises(ProfileError, match=message):
        read_mahimahi(up, down, 40.0)


def test_mahimahi_needs_a_positive_rtt(tmp_path: Path) -> None:
    up = write(tmp_path / "a.up", "0\n5000\n")

    with pytest.raises(ProfileError, match="must be above 0 ms, got nan"):
        read_mahimahi(up, up, float("nan"))


@pytest.mark.parametrize(
    "text", ["t_s\n0\n0.5\n0.5\n", "0\n0.5\n0.5\n", "id,t_s\na,0\nb,.5\nc,.5\n"]
)
def test_arrivals_come_from_a_named_or_a_single_column(tmp_path: Path, text: str) -> None:
    assert read_arrival_csv(write(tmp_path / "a.csv", text)).tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time\n0\n", "line 1: expected a header with the column t_s"),
        ("t_s\n0\n", "has 1 arrivals, at least 2 are needed"),
        ("t_s\n0\n2\n1\n", "line 4: arrival times must not decrease, got 1 after 2"),
        ("t_s\n0\ninf\n", "line 3: t_s must be a finite number, got 'inf'"),
        ("id,t_s\n0\n", "line 2: t_s is missing"),
    ],
)
def test_a_faulty_arrival_csv_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        read_arrival_csv(write(tmp_path / "a.csv", text))


def test_azure_times_keep_their_seven_decimals(tmp_path: Path) -> None:
    path = write(
        tmp_path / "azure.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:59.9999999,374,44\n"
        "2023-11-16 18:16:00.0000001,396,109\n"
        "2023-11-16 18:16:01,396,109\n",
    )

    np.testing.assert_allclose(read_azure_llm(path), [0.0, 2e-7, 1.0000001], atol=1e-9)


@pytest.mark.parametrize("stamp", ["yesterday", "2023-13-40 18:15:46.6805900", ""])
def test_an_unreadable_azure_time_is_refused(tmp_path: Path, stamp: str) -> None:
    path = write(tmp_path / "a.csv", f"TIMESTAMP,ContextTokens,GeneratedTokens\n{stamp},1,2\n")

    with pytest.raises(ProfileError, match="line 2: TIMESTAMP must look like 2023-11-16"):
        read_azure_llm(path)


def test_an_imported_network_is_a_profile_with_the_traces_own_numbers() -> None:
    profile = network_profile_from_trace(random_trace(3000), "my-net")

    assert profile.uplink.median_mbps == pytest.approx(np.exp(2.0), rel=0.03)
    assert profile.downlink.within_log_sd.amount == pytest.approx(0.3, abs=0.02)
    assert profile.uplink.hold.amount == pytest.approx(1.0, abs=0.1)
    assert profile.rtt.median_ms == pytest.approx(np.exp(3.5), rel=0.02)
    assert profile.uplink.session_log_sd.kind == "assumed"
    assert np.isfinite(profile.params()).all()


@given(st.floats(0.05, 5.0), st.integers(10, 200))
def test_resampling_to_seconds_keeps_the_mean_rate(step: float, rows: int) -> None:
    if step * rows < 3:
        return
    flat = np.full(rows, 7.0)

    profile = network_profile_from_trace(
        NetworkTrace(np.arange(rows, dtype=np.float64) * step, flat, flat, flat), "flat"
    )

    assert profile.uplink.median_mbps == pytest.approx(7.0, rel=1e-5)


def test_a_dead_link_or_a_bad_name_is_refused() -> None:
    trace = random_trace()
    dead = NetworkTrace(trace.t_s, np.zeros(300), trace.downlink_mbps, trace.rtt_ms)

    with pytest.raises(ProfileError, match="no rate is above zero"):
        network_profile_from_trace(dead, "dead")
    with pytest.raises(ProfileError, match="'My Net' is no profile name"):
        network_profile_from_trace(trace, "My Net")
    with pytest.raises(ProfileError, match="at least 3 arrivals, got 2"):
        arrival_profile_from_times(np.array([0.0, 1.0]), "short")


def test_written_profiles_read_back_as_they_were(tmp_path: Path) -> None:
    network = network_profile_from_trace(random_trace(), "my-net")
    arrivals = arrival_profile_from_times(np.array([0.0, 1.0, 1.5, 4.0]), "my-load")

    write_profile(network, tmp_path / "my-net.yaml")
    write_profile(arrivals, tmp_path / "my-load.yaml")

    assert read_profile(tmp_path / "my-net.yaml", NetworkProfile) == network
    assert read_profile(tmp_path / "my-load.yaml", ArrivalProfile) == arrivals


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write(tmp_path / "my-net.yaml", "the old one")
    monkeypatch.setattr(os, call, full)

    with pytest.raises(ProfileError, match=r"No space left on device; nothing was changed"):
        write_profile(network_profile_from_trace(random_trace(), "my-net"), path)

    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_the_commands_write_profiles_that_can_be_used(tmp_path: Path) -> None:
    rows = "".join(f"{t},{5 + t % 3},{50 + t % 7},40\n" for t in range(60))
    trace = write(tmp_path / "t.csv", HEADER + rows)
    times = write(tmp_path / "a.csv", "t_s\n0\n1\n1.5\n4\n")
    run = CliRunner().invoke

    net = run(app, ["network", "--csv", str(trace), "--name", "n", "--out", f"{tmp_path}/n.yaml"])
    load = run(app, ["arrivals", "--csv", str(times), "--name", "l", "--out", f"{tmp_path}/l.yaml"])

    assert net.exit_code == 0, net.output
    assert load.exit_code == 0, load.output
    assert read_profile(tmp_path / "n.yaml", NetworkProfile).name == "n"
    assert read_profile(tmp_path / "l.yaml", ArrivalProfile).renewal == "gamma"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["network"], "give either --csv, or --mahimahi-up, --mahimahi-down and --rtt-ms together"),
        (["arrivals"], "give either --csv or --azure"),
        (["arrivals", "--csv", "none.csv"], "none.csv: cannot be read: No such file or directory"),
    ],
)
def test_a_command_that_cannot_work_says_why_and_exits_1(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(app, [*arguments, "--name", "x", "--out", f"{tmp_path}/x.yaml"])

    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "x.yaml").exists()
