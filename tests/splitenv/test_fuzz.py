"""Whatever a valid scenario says, nothing but finite numbers comes out, and nobody gets lost.

Hypothesis draws scenarios at the edges of what the schema accepts; actions are random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splitenv.disciplines import DISCIPLINES, FIRST_COME
from splitenv.features import bounds
from splitenv.scenario import Scenario, ScenarioError, load_scenario
from splitenv.simulator import NO_RESET, Simulator
from tests.toy import run, toy_settings, toy_simulator, toy_tables

IN_TIME, LATE, DROPPED = 1, 2, 3
MOST_DECISIONS = 300
BESIDE = {"sd-mobile": "t4", "regnet-camera": "h100", "mixed-tenants": "a100"}
ALWAYS = ("arrival", "deadline", "gpu_seconds", "cost", "uplink", "downlink", "rtt", "speed")
OF_THE_CLOUD = ("ready", "start", "finish", "download", "gpu_deadline")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A link with outages, one without any delay, and arrivals that come several at a time."""
    folder = tmp_path_factory.mktemp("recordings")
    blocks = [(t, 0.0 if t % 5 < 3 else 40.0, 0.0 if t % 7 < 5 else 80.0, 30.0) for t in range(35)]
    return {
        "outages": written(folder / "outages.csv", blocks),
        "instant": written(folder / "instant.csv", [(t, 1e5, 1e5, 0.01) for t in (0, 1)]),
        "bursts": str(bursts(folder / "bursts.csv")),
    }


def written(path: Path, rows: Any) -> str:
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(["t_s,uplink_mbps,downlink_mbps,rtt_ms", *lines, ""]))
    return str(path)


def bursts(path: Path) -> Path:
    times = [0.0, 0.0, 0.0, 1.0, 1.0, 2.5, 60.0, 60.0, 60.0, 60.0, 60.0, 60.001]
    path.write_text("\n".join(["t_s", *map(str, times), ""]))
    return path


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    """Log-uniform, with its ends."""
    within = st.floats(np.log10(low), np.log10(high)).map(lambda power: float(10.0**power))
    return st.sampled_from([low, high]) | within


@st.composite
def dispatches(draw: st.DrawFn, continuous: bool) -> dict[str, Any]:
    names = ["slack", "edf-drop"] if continuous else sorted(DISCIPLINES)
    name = draw(st.sampled_from(names))
    chosen: dict[str, Any] = {"discipline": name}
    if name in FIRST_COME:
        chosen["window_s"] = draw(st.just(0.0) | powers(1e-6, 1e6))
    if name in ("window", "window-drop", "preferred"):
        most = 4 if name == "preferred" else 1
        sizes = st.lists(st.integers(1, 100), max_size=most, unique=True)
        chosen["sizes"] = sorted(draw(sizes))
    if name in ("slack", "deferred"):
        chosen["late"] = draw(st.sampled_from(["serve", "drop"]))
    if name == "deferred":
        chosen["spare"] = draw(st.integers(0, 1))
        chosen["guard_s"] = draw(st.just(0.0) | powers(1e-6, 1e6))
    if name == "aimd":
        chosen["target_s"] = draw(powers(1e-6, 1e6))
    return chosen


@st.composite
def overrides(draw: st.DrawFn, name: str, files: dict[str, str]) -> dict[str, Any]:
    """Fields of a scenario, at and near the ends of what is accepted."""
    toy = load_scenario(name)
    deadlines = {f"sla.{sla}.deadline_s": draw(powers(1e-3, 1e6)) for sla in toy.sla}
    load = min(draw(powers(1e-4, 1e5)), 0.09 * MOST_DECISIONS / max(deadlines.values()))
    continuous = draw(st.booleans())
    links = st.sampled_from([dict(toy.network.shares), {"3g": 1.0}, {files["outages"]: 1.0},
                             {files["instant"]: 0.5, "starlink": 0.5}])  # fmt: skip
    arrivals = st.sampled_from(["poisson", "mmpp-bursty", "weibull-mm-image", files["bursts"]])
    steps = st.lists(st.tuples(powers(1e-3, 1e4), powers(1e-2, 1e3)), max_size=3, unique_by=min)
    sessions = st.builds(dict, active=st.integers(1, 99), requests=st.integers(1, 99))
    background = st.builds(
        dict, share=st.floats(0, 1), slowdown=powers(1, 1e3), block_s=powers(1e-3, 1e6)
    )
    factors = st.tuples(powers(1e-3, 1e3), powers(1e-3, 1e3)).map(sorted)
    return deadlines | {
        "load": load,
        "decisions": max(129, 2 * max(64, round(5 * max(deadlines.values()) * load)) + 1),
        "serving": "continuous" if continuous else "batch",
        "dispatch": draw(dispatches(continuous)),
        "queue": draw(st.sampled_from([1, 2, 7, 65536])),
        "control_delay_ms": draw(st.just(0.0) | powers(1e-3, 1e5)),
        "violation_price": draw(powers(1e-6, 1e6)),
        "pool.count": draw(st.sampled_from([1, 2, 63])),
        "pool.beside": draw(st.sampled_from([{}, {BESIDE[name]: 1}])),
        "pool.batch_limit": draw(st.sampled_from([None, 1, 2, 1000])),
        "arrivals": draw(arrivals),
        "load_steps": [{"at_s": at, "factor": by} for at, by in sorted(dict(draw(steps)).items())],
        "clients.count": draw(st.sampled_from([1, 2, 300])),
        "clients.jitter": draw(st.sampled_from([0.0, 0.15, 0.99])),
        "clients.throttling": draw(st.booleans()),
        "clients.sessions": draw(st.none() | sessions),
        "clients.background": draw(st.none() | background),
        "network.shares": draw(links),
        "network.report_lag_s": draw(st.sampled_from([0.0, 1.0, 1e6])),
        "network.report_error": draw(st.sampled_from([0.0, 0.1, 2.0])),
        "network.initial_window": draw(st.sampled_from([None, 1, 14_600, 10**9])),
        "randomise.bandwidth": draw(st.just((1e-9, 1e9)) | factors),
        "randomise.device_time": draw(factors),
    }


def check(scenario: Scenario, seed: int, randomise: bool) -> None:
    simulator = Simulator(scenario, 1, randomise=randomise, record=True)
    simulator.seed([seed])
    simulator.reset()
    low, high = bounds(simulator.tables.enter.shape[1])
    for action in np.random.default_rng(seed).integers(0, simulator.actions, scenario.decisions):
        seen = simulator.observation[0]
        # A NaN is in no interval.
        assert ((low <= seen) & (seen <= high)).all()
        assert simulator.mask[0].any()
        simulator.step(np.array([action]), NO_RESET)
        assert np.isfinite(simulator.reward).all()
        assert np.isfinite(simulator.terms).all()
    record, sums, ledger = (
        of[0] for of in (simulator.record, simulator.finished, simulator.ledger)
    )
    for name in sums.dtype.names:
        assert np.isfinite(sums[name]), name
    for name in ledger.dtype.names:
        assert np.isfinite(ledger[name]).all(), name
        if name in sums.dtype.names:
            assert ledger[name].sum() == pytest.approx(sums[name])
    records_are_finite(record)
    everybody_is_counted(scenario, record, sums)
    paid = [sums[name] for name in ("total_reward", "drain_reward", "total_cost")]
    # A prediction that was a violation too many is paid back: what cancels sets the precision.
    scale = sum(p.price for p in scenario.sla.values()) * scenario.violation_price * len(record)
    assert sum(paid) == pytest.approx(0.0, abs=1e-9 * (scale + abs(paid[0]) + abs(paid[2])))
    assert record["cost"].sum() == pytest.approx(sums["total_cost"])
    # A busy time is the difference of two instants, which may be years into the episode.
    rounding = sums["launches"] * np.spacing(sums["span"])
    busy = pytest.approx(sums["busy_seconds"], abs=rounding + 1e-9 * sums["busy_seconds"])
    assert sums["attributed_seconds"] == busy


def records_are_finite(record: Any) -> None:
    """But for what never happened: NaN before, and infinity for the completion of a dropped one."""
    dropped, ran = record["outcome"] == DROPPED, record["gpu"] >= 0
    for name in ALWAYS:
        assert np.isfinite(record[name]).all(), name
    for name in OF_THE_CLOUD:
        assert np.isfinite(record[name][ran]).all(), name
        assert not np.isinf(record[name]).any(), name
    assert np.isfinite(record["complete"][~dropped]).all()
    assert np.isposinf(record["complete"][dropped]).all()
    assert np.isfinite(record["finish"][dropped]).all()


def everybody_is_counted(scenario: Scenario, record: Any, sums: Any) -> None:
    outcome = record["outcome"]
    ends = {end: (outcome == end).sum() for end in (IN_TIME, LATE, DROPPED)}
    assert sum(ends.values()) == sums["total_requests"] == scenario.decisions
    # Of those dropped, they alone never became ready.
    assert sums["overflow"] == ((outcome == DROPPED) & np.isnan(record["ready"])).sum()
    counted = outcome[scenario.warmup : len(outcome) - scenario.warmup]
    assert sums["requests"] == len(counted)
    assert sums["violations"] == (counted != IN_TIME).sum()
    assert sums["dropped"] == (counted == DROPPED).sum()


fuzz = settings(deadline=None, suppress_health_check=list(HealthCheck))
NAMES = st.sampled_from(["sd-mobile", "regnet-camera", "mixed-tenants"])


@settings(fuzz, max_examples=80)
@given(st.data(), NAMES, st.integers(0, 2**63), st.booleans())
def test_only_finite_numbers_come_out_of_valid_scenarios(recordings, data, name, seed, randomise):
    changes = data.draw(overrides(name, recordings))
    check(load_scenario(name, changes), seed, randomise)


@pytest.mark.slow
@settings(fuzz, max_examples=1500)
@given(st.data(), NAMES, st.integers(0, 2**63), st.booleans())
def test_only_finite_numbers_come_out_of_many_more(recordings, data, name, seed, randomise):
    changes = data.draw(overrides(name, recordings))
    check(load_scenario(name, changes), seed, randomise)


def test_a_queue_of_one_drops_and_counts_whoever_comes_while_it_is_taken() -> None:
    # 4 s on the GPU, a request a second: in the hands of the cloud until the batch is launched, and
    # whoever comes in that instant takes the place.
    tables = toy_tables([[4.0]], [9.0], [(0, 1)])
    simulator = toy_simulator(tables, toy_settings(gap=[1.0], length=9), clients=1, queue=1)
    outcome = run(simulator, 1)[0]["outcome"]
    assert outcome.tolist() == [1, 1, 3, 3, 1, 3, 3, 3, 1]
    assert simulator.finished[0]["overflow"] == simulator.finished[0]["dropped"] == 5


def test_window_drop_loses_nobody() -> None:
    tables = toy_tables([[4.0]], [9.0], [(0, 1)], deadline=5.5)
    tables = tables._replace(discipline=DISCIPLINES["window-drop"])
    simulator = toy_simulator(tables, toy_settings(gap=[1.0], length=4), clients=1, queue=8)
    record = run(simulator, 1)[0]
    assert record["outcome"].tolist() == [1, DROPPED, DROPPED, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"violation_price": 1e39},  # more than a float32 reward holds
        {"sla.fast.price": 1e39},
        {"load": 1e-12},  # the next arrival is looked for hour by hour, for 30,000 years
        {"load_steps": [{"at_s": 1.0, "factor": 1e-12}]},
    ],
    ids=str,
)
def test_what_leads_to_infinity_or_takes_forever_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError):
        load_scenario("sd-mobile", change)
