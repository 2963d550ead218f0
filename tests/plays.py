"""Random episodes for both simulators: public tables, a world, and what is done in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from splitenv.disciplines import DISCIPLINES, FIRST_COME, NEVER
from splitenv.state import Tables
from splitenv.truth import Settings
from tests.toy import GpuType, mix_tables, toy_settings, toy_tables


class Play(NamedTuple):
    """All that an episode is made of."""

    tables: Tables
    settings: Settings
    clients: int
    queue: int
    seed: int
    actions: list[int]


# Round figures make events fall into one instant, crooked ones keep them apart. The latter have few
# enough binary places that sums of them are exact, in whatever order.
round_figures = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])
crooked_figures = st.integers(3000, 200_000).map(lambda figure: figure / 2**16)
figures = st.one_of(round_figures, crooked_figures)


def some_or(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual value in about half of all cases."""
    return st.sampled_from([*[usual] * len(others), *others])


# --- Public tables.


@st.composite
def models(draw: st.DrawFn, shared: dict[str, Any]) -> Tables:
    segments = draw(st.integers(1, 4))
    limit = draw(st.integers(1, 6))
    kinds = draw(st.sampled_from([[0, 1, 2, 3], [0, 0, 0, 1], [0, 1, 1, 2], [0, 1, 0, 1]]))
    kinds = kinds[:segments]
    per_unit = [draw(unit_curves(limit)) for _ in range(max(kinds) + 1)]
    units = draw(st.lists(st.sampled_from([1, 1, 2, 5]), min_size=segments, max_size=segments))
    scale = draw(st.sampled_from([0.25, 1.0]))
    curve = [
        [scale * count * time for time in per_unit[kind]]
        for kind, count in zip(kinds, units, strict=True)
    ]
    per_segment = st.lists(figures, min_size=segments, max_size=segments)
    device = draw(per_segment | per_segment | st.just([0.0] * segments))
    spans = draw(st.sampled_from(["cloud first", "device first", "middle"]).map(SPANS.get))(
        segments
    )
    spans.sort(key=lambda span: span[1] - span[0])
    size = figures.map(lambda x: 1e3 * x)
    sizes = st.lists(size, min_size=len(spans), max_size=len(spans)) | st.just([0.0] * len(spans))
    return toy_tables(
        curve,
        device,
        spans,
        up=draw(sizes),
        down=draw(sizes),
        units=units,
        kinds=kinds,
        also=draw(figures),
        **shared,
    )


SPANS = {
    "cloud first": lambda n: [(0, j) for j in range(1, n + 1)],
    "device first": lambda n: [(i, n) for i in range(n - 1, -1, -1)],
    "middle": lambda n: [(i, j) for i in range(n) for j in range(i + 1, n + 1)],
}


@st.composite
def unit_curves(draw: st.DrawFn, limit: int) -> list[float]:
    steps = draw(st.lists(figures, min_size=limit, max_size=limit))
    steps[0] += 0.25
    if draw(st.booleans()):  # little gain from company, so that slack runs out while it waits
        steps = [steps[0]] * limit
    return [float(time) for time in np.cumsum(steps)]


factors = st.sampled_from([0.25, 0.5, 1.0, 1.0, 1.5, 2.0, 4.0])
gpu_types = st.builds(
    GpuType,
    time=factors,
    other=factors,
    overhead=factors,
    price=st.sampled_from([0.5, 1.0, 3.0]),
    limit=st.sampled_from([1, 2, 3, 64]),
)


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[GpuType], list[int]]:
    """Types of GPU, and the type of each; the first one is always of the first type."""
    others = draw(st.sampled_from([0, 1, 1, 1, 2]))
    types = [GpuType(), *draw(st.lists(gpu_types, min_size=others, max_size=others))]
    rest = draw(st.lists(st.integers(0, others), max_size=3))
    return types, [0, *rest, *([others] if others not in rest else [])]


@st.composite
def public_tables(draw: st.DrawFn, serving: str, discipline: str) -> Tables:
    shared = {
        "overhead": draw(figures),
        "drop_late": discipline == "edf-drop" or draw(st.booleans()),
        "violation_price": draw(st.sampled_from([0.0, 10.0])),
    }
    parts = draw(st.lists(models(shared), min_size=1, max_size=2))
    types, pool = draw(pools())
    reference = max(float(part.reference[0]) for part in parts)
    tight = st.sampled_from([1.0, 1.25, 1.5, 2.0, 3.0]).map(lambda times: times * reference)
    loose = st.sampled_from([4.0, 8.0, 16.0, 32.0, 100.0]) | st.floats(0.5, 30.0)
    deadline = draw(st.lists(tight | tight | loose, min_size=1, max_size=2))
    devices = draw(st.lists(factors | crooked_figures, min_size=1, max_size=2))
    return mix_tables(
        parts,
        devices=devices,
        able=[[draw(st.integers(0, 4)) > 0 for _ in parts] for _ in devices],
        gpus=types,
        pool=pool,
        deadline=deadline,
        weight=[1.0, 2.0][: len(deadline)],
        control_delay=draw(st.sampled_from([0.0, 0.0, 0.25, 0.01])),
    )._replace(
        continuous=int(serving == "continuous"),
        initial_window=draw(some_or(0.0, 50.0, 100.0, 400.0)),
        **draw(disciplines(discipline)),
    )


@st.composite
def disciplines(draw: st.DrawFn, name: str) -> dict[str, Any]:
    sizes = [64]
    if name == "preferred":
        sizes = sorted(draw(st.sets(st.sampled_from([1, 2, 3, 4, 6, 9]), min_size=1, max_size=3)))
    if name in ("window", "window-drop"):
        sizes = [draw(st.sampled_from([1, 2, 3, 4, 64]))]
    waits = name in FIRST_COME
    return {
        "discipline": DISCIPLINES[name],
        "by_deadline": int(not waits),
        "window": draw(figures) if waits else 0.0,
        "preferred": np.array(sizes, np.int32),
        "spare": draw(st.integers(0, 1)) if name == "deferred" else 0,
        "guard": draw(figures) if name == "deferred" else 0.0,
        "target": draw(st.sampled_from([2.0, 5.0, 20.0, 100.0])) if name == "aimd" else 0.0,
    }


# --- The world.


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """One or two, each fitted or recorded."""
    count = draw(st.integers(1, 2))
    session = np.zeros((count, 3, 4))
    session[:, :, 0] = np.log(1e3), np.log(2e3), draw(st.sampled_from([-np.inf, -2.3, -0.7]))
    session[:, :, 1:] = draw(st.sampled_from([0.0, 0.5]))
    multiples = st.sampled_from([[1.0], [1.0, 1.0, 0.0], [0.5, 2.0], [1.3, 0.7, 0.02, 0.0]])
    rates = draw(multiples)
    rtts = draw(st.sampled_from([[1.0], [0.5, 1.5], [1.0, 1.1, 3.0]]))
    series, spans = [np.zeros((0, 3))], []
    for _ in range(count):
        recorded = draw(recordings()) if draw(st.booleans()) else np.zeros((0, 3))
        spans.append((sum(map(len, series)), len(recorded)))
        series.append(recorded)
    endless = all(rates) and spans[-1] == (0, 0)
    blocks = st.sampled_from([0.25, 1.0, 1.7, 1e12 if endless else 0.5])
    return {
        "network_share": np.linspace(0, 1, count + 1)[1:],
        "session": session,
        "normal": np.array(draw(st.sampled_from([[0.0], [-1.0, 0.0, 1.0]]))),
        "rate": np.tile(np.array(rates), (count, 2, 1)),
        "block": np.full((count, 2), draw(blocks)),
        "rtt": np.tile(np.array(rtts), (count, 1)),
        "series": np.concatenate(series),
        "series_span": np.array(spans, np.int64),
        "report": np.array(draw(st.sampled_from([[1.0], [0.7, 1.4]]))),
        "report_lag": draw(st.sampled_from([0.0, 1.0])),
    }


@st.composite
def recordings(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Blocks of uplink, downlink and RTT; never an outage for good."""
    length = draw(st.integers(1, 5))
    rates = st.sampled_from([0.0, 250.0, 1e3, 2e3, 3.3e3])
    row = st.tuples(rates, rates, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    rows = np.array(draw(st.lists(row, min_size=length, max_size=length)))
    rows[0, :2] += 500.0
    return rows


@st.composite
def device_conditions(draw: st.DrawFn, devices: int) -> dict[str, Any]:
    warm = np.array(draw(some_or([1.0, 1.0], [1.5, 1.0], [2.0, 3.0])))[:devices]
    return {
        "device_share": np.linspace(0, 1, devices + 1)[1:],
        "device_speed": np.array(draw(st.sampled_from([[1.0, 1.0], [0.5, 2.0]]))),
        "jitter": draw(st.sampled_from([0.0, 0.15])),
        "throttle": warm,
        "throttle_time": np.array(draw(st.sampled_from([[0.5, 5.0], [10.0, 60.0]])))[:devices],
        "throttles": int(warm.max() > 1.0),
        "background": np.array(draw(some_or([1.0], [2.0, 2.0], [1.5, 1.0, 1.0], [4.0, 1.0]))),
        "background_block": draw(st.sampled_from([0.25, 1.0, 1.7, 10.0, NEVER])),
    }


@st.composite
def demand(draw: st.DrawFn, tables: Tables) -> dict[str, Any]:
    """Who asks for what, and when."""
    models, classes = len(tables.placements), len(tables.deadline)
    jobs = [(model, sla) for model in range(models) for sla in range(classes)]
    phases = draw(st.sampled_from([[1.0], [0.25, 8.0], [1.0, 1000.0]]))
    steps = draw(some_or([(0.0, 1.0)], [(0.0, 1.0), (4.0, 3.0), (9.0, 0.25)]))
    return {
        "job_share": np.linspace(0, 1, len(jobs) + 1)[1:],
        "job_model": np.array([model for model, _ in jobs], np.int32),
        "job_sla": np.array([sla for _, sla in jobs], np.int32),
        "phase_rate": np.array(phases),
        "phase_dwell": np.full(len(phases), 3.0),
        "step_at": np.array([at for at, _ in steps]),
        "step_rate": np.array([rate for _, rate in steps]),
        "replay": np.array(draw(st.sampled_from([[], [], [], [0.0, 0.0, 2.0, 1.0, 0.5], [1.25]]))),
        "lanes": draw(some_or(0, 1, 2, 3)),
        "session_requests": draw(st.sampled_from([1, 3, 10])),
    }


@st.composite
def worlds(draw: st.DrawFn, tables: Tables) -> Settings:
    gpus = len(tables.pool)
    fewest = gpus if tables.pool.any() else draw(st.integers(1, gpus))
    return toy_settings(
        load=draw(st.sampled_from([0.2, 0.5, 1.0, 2.0, 5.0])),
        gap=draw(st.sampled_from([[], [1.0], [0.0, 2.0], [0.0, 0.0, 0.0, 4.0], [1e-9, 1.0, 2.0]])),
    )._replace(
        bandwidth=np.array(draw(st.sampled_from([[1.0, 1.0], [0.5, 2.0]]))),
        gpus=np.array([fewest, gpus], np.int64),
        **draw(networks()),
        **draw(device_conditions(tables.head.shape[0])),
        **draw(demand(tables)),
    )


# --- Episodes.


@st.composite
def plays(draw: st.DrawFn, serving: str, discipline: str) -> Play:
    tables = draw(public_tables(serving, discipline))
    last = len(tables.action_placement) - 1
    action = st.integers(0, last)
    length = draw(st.sampled_from([1, 3, 10, *[40] * 4, *[80] * 4]))
    actions = draw(st.lists(action, min_size=length, max_size=length))
    if draw(st.booleans()):  # few ways to the cloud, and long holds
        some = [*draw(st.lists(action, min_size=1, max_size=2)), last]
        actions = [some[chosen % len(some)] for chosen in actions]
    if draw(st.booleans()):  # little on the device alone
        actions = [last - chosen for chosen in actions]
    warmup = draw(st.integers(0, 2)) if length > 5 else 0
    return Play(
        tables,
        draw(worlds(tables))._replace(length=len(actions), warmup=warmup),
        draw(st.sampled_from([1, 2, 5, 1000])),
        draw(st.sampled_from([4096, 4096, 4096, 3])),
        draw(st.integers(0, 2**32)),
        actions,
    )
