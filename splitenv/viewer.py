"""Drawings of a running environment: a few lines of text, or a timeline of the last requests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from splitenv.tables import fleet

if TYPE_CHECKING:
    from splitenv.env import SplitInferenceEnv

__all__ = ["ansi", "rgb"]

SHOWN = 28
"""Requests on the timeline."""

# Okabe and Ito's colours, which the colour-blind can tell apart.
LINK, HOLD, WAIT, GPU, DEVICE = "#56B4E9", "#F0E442", "#E69F00", "#0072B2", "#009E73"
LATE, INK, FAINT = "#D55E00", "#222222", "#BBBBBB"
PHASES = (
    ("upload, download", LINK),
    ("hold", HOLD),
    ("wait for a GPU", WAIT),
    ("GPU", GPU),
    ("device", DEVICE),
)
OUTCOMES = ("under way", "in time", "late", "dropped")


def ansi(env: SplitInferenceEnv) -> str:
    """Say in a few lines what the scheduler sees and what it did last."""
    return "\n".join((*_request_lines(env), *_cloud_lines(env), _last_line(env)))


def _request_lines(env: SplitInferenceEnv) -> Iterator[str]:
    clock = env.simulator.belief.clock[0]
    tables = env.context.tables
    model, horizon = int(clock["model"]), clock["deadline"] - clock["arrival"]
    done, length = _progress(env)
    device = fleet(env.scenario)[clock["device"]]
    free = env.simulator.belief.client[0, clock["client"]]["device_free"]
    busy = max(0.0, free - clock["arrival"])
    yield (
        f"request {done + 1} of {length} at {clock['arrival']:.2f} s: "
        f"{env.scenario.models[model].model}, class {list(env.scenario.sla)[clock['sla']]}, "
        f"due in {horizon:g} s"
    )
    speed = f", {device.faster:g}x faster" if device.faster != 1.0 else ""
    yield (
        f"device   {device.name} ({device.tier}{speed}), "
        + (f"busy for {busy:.2f} s more" if busy > 0.0 else "idle")
        + f"; reports {_mbit(clock['uplink'])} up, {_mbit(clock['downlink'])} down, "
        f"RTT {1e3 * clock['rtt']:.0f} ms"
    )
    seen = env.simulator.observation
    slack = env.context.slack(seen)[0] * horizon
    gpu = env.context.gpu_share(seen)[0] * tables.reference[model]
    can = tables.can[clock["device"], model]
    shown = [s for s in range(int(tables.placements[model])) if can[s]]
    yield "cloud    " + " ".join(f"{tables.ratio[model, s]:>7.0%}" for s in shown)
    yield "slack, s " + " ".join(f"{slack[s]:>7.2f}" for s in shown)
    yield "GPU, s   " + " ".join(f"{gpu[s]:>7.2f}" for s in shown)


def _cloud_lines(env: SplitInferenceEnv) -> Iterator[str]:
    belief = env.simulator.belief
    now = belief.clock[0]["now"]
    busy = np.maximum(belief.gpu[0]["free_at"][: belief.clock[0]["gpus"]] - now, 0.0)
    states = ", ".join(f"busy for {left:.2f} s" if left > 0.0 else "idle" for left in busy)
    yield f"GPUs     {', '.join(env.scenario.pool.types)}: {states}"
    queues = ", ".join(
        f"{workload.model}: {queue['size']} ready, {queue['uploading']} on their way"
        for workload, queue in zip(env.scenario.models, belief.queue[0], strict=True)
    )
    yield f"queue    {queues}"


def _last_line(env: SplitInferenceEnv) -> str:
    done, _ = _progress(env)
    if done == 0:
        return "last     nothing yet"
    life = env.simulator.record[0, done - 1]
    if life["placement"] == 0:
        choice = "all on the device"
    else:
        share = env.context.tables.ratio[life["model"], life["placement"]]
        hold = env.context.tables.action_hold[life["action"]]
        choice = f"{share:.0%} in the cloud, hold {hold:g} of the slack"
    return f"last     request {done}: {choice}; {OUTCOMES[life['outcome']]}"


def _progress(env: SplitInferenceEnv) -> tuple[int, int]:
    world = env.simulator.truth.world[0]
    return int(world["decisions"]), int(world["length"])


def _mbit(rate: float) -> str:
    return f"{rate * 8e-6:.3g} Mbit/s"


class Life(NamedTuple):
    """What is known of one request's life; NaN for what has not come yet."""

    number: int
    arrival: float
    deadline: float
    ready: float
    held: float
    start: float
    finish: float
    download: float
    complete: float
    on_device: bool
    outcome: int


def rgb(env: SplitInferenceEnv) -> npt.NDArray[np.uint8]:
    """Draw the last requests: batches on the GPUs, the queue, and each request's way.

    Returns
    -------
    uint8 array, shape (H, W, 3)
    """
    lives = _lives(env, SHOWN)
    now = float(env.simulator.belief.clock[0]["now"])
    left, right = _window(lives, now)
    figure = Figure(figsize=(10.0, 7.2), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    gpus = int(env.simulator.belief.clock[0]["gpus"])
    heights = [0.45 * gpus + 0.3, 1.3, 7.2 - 0.45 * gpus]
    pool, queue, ways = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    _draw_pool(pool, env, gpus, (left, right))
    _draw_queue(queue, _lives(env, 4 * SHOWN), now)
    _draw_ways(ways, lives, now)
    for axes in (pool, queue, ways):
        axes.axvspan(now, right, color="white", alpha=0.55, linewidth=0, zorder=3)
        axes.axvline(now, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color=FAINT, linewidth=0.4)
    ways.set_xlim(left, right)
    ways.set_xlabel("time, s")
    pool.text(
        now,
        1.02,
        "now, and what is fixed already →",
        transform=pool.get_xaxis_transform(),
        fontsize=8,
    )
    figure.suptitle(_title(env, lives), x=0.01, ha="left", fontsize=11)
    _legend(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _title(env: SplitInferenceEnv, lives: list[Life]) -> str:
    ended = [life for life in lives if life.outcome > 0]
    late = sum(life.outcome > 1 for life in ended)
    seconds = env.simulator.record[0]["gpu_seconds"][[life.number for life in ended]]
    spent = f"{np.mean(seconds):.3g} GPU seconds each, " if ended else ""
    return (
        f"{env.scenario.title}\nlast {len(lives)} requests: {len(ended)} with their end known, "
        f"{spent}{late} past the deadline"
    )


def _legend(figure: Figure) -> None:
    handles: list[Any] = [Patch(color=colour, label=label) for label, colour in PHASES]
    handles.append(Line2D([], [], color=INK, marker="|", linestyle="", label="deadline"))
    handles.append(Patch(color=LATE, label="past the deadline"))
    handles.append(Line2D([], [], color=LATE, marker="x", linestyle="", label="dropped"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8,
        handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip


def _lives(env: SplitInferenceEnv, count: int) -> list[Life]:
    """List the last requests, oldest first, with what has become of them."""
    done, _ = _progress(env)
    waiting = _ready_requests(env)
    tables = env.context.tables
    lives = []
    for index in range(max(0, done - count), done):
        life = env.simulator.record[0, index]
        known = (float(life["ready"]), float(life["gpu_deadline"]))
        ready, limit = waiting.get(index, known)
        alone = tables.alone[tables.pool[0], life["model"], life["placement"], 1]
        lives.append(
            Life(
                number=index,
                arrival=float(life["arrival"]),
                deadline=float(life["deadline"]),
                ready=ready,
                held=ready + tables.action_hold[life["action"]] * max(0.0, limit - ready - alone),
                start=float(life["start"]),
                finish=float(life["finish"]),
                download=float(life["download"]),
                complete=float(life["complete"]),
                on_device=bool(life["placement"] == 0),
                outcome=int(life["outcome"]),
            )
        )
    return lives


def _ready_requests(env: SplitInferenceEnv) -> dict[int, tuple[float, float]]:
    """Ready time and D of the requests that wait now, by number."""
    belief = env.simulator.belief
    waiting = {}
    for row, line in enumerate(belief.line[0]):
        here = slice(line["first"], line["first"] + line["size"])
        for request in belief.request[belief.waiting[0, row, here], 0]:
            times = (float(request["ready"]), float(request["gpu_deadline"]))
            waiting[int(request["index"])] = times
    return waiting


def _window(lives: list[Life], now: float) -> tuple[float, float]:
    first = min([life.arrival for life in lives], default=now)
    ends = [life.deadline for life in lives]
    ends += [life.complete for life in lives if math.isfinite(life.complete)]
    last = max(ends, default=now)
    # A straggler on a slow device must not squeeze the rest.
    last = min(max(last, now), now + max(now - first, 1e-3))
    margin = 0.02 * (last - first) + 1e-6
    return first - margin, last + margin


def _draw_pool(axes: Axes, env: SplitInferenceEnv, gpus: int, window: tuple[float, float]) -> None:
    done, _ = _progress(env)
    record = env.simulator.record[0, :done]
    ran = record[(record["gpu"] >= 0) & (record["finish"] > window[0])]
    for launch in np.unique(ran["launch"]):
        members = ran[ran["launch"] == launch]
        start, end = float(members["start"][0]), float(members["finish"].max())
        lane, size = int(members["gpu"][0]), int(members["batch"][0])
        axes.barh(lane, end - start, left=start, height=0.7, color=GPU, edgecolor="white")
        begin, stop = max(start, window[0]), min(end, window[1])
        if stop - begin > 0.008 * (window[1] - window[0]):
            where: dict[str, Any] = {"ha": "center", "va": "center", "clip_on": True}
            axes.text((begin + stop) / 2, lane, str(size), color="white", fontsize=8, **where)
    axes.set_ylim(gpus - 0.5, -0.5)
    types, pool = env.scenario.pool.types, env.simulator.tables.pool
    axes.set_yticks(range(gpus), [f"{types[pool[gpu]]} {gpu + 1}" for gpu in range(gpus)])
    axes.set_title("batches on the GPUs, with their members", fontsize=9, loc="left")


def _draw_queue(axes: Axes, lives: list[Life], now: float) -> None:
    """Ready requests over time: those within their hold, and those that wait for a GPU."""
    lives = [life for life in lives if math.isfinite(life.ready) and life.ready <= now]
    ends = [min(life.start, now) if math.isfinite(life.start) else now for life in lives]
    holds = [min(life.held, end) for life, end in zip(lives, ends, strict=True)]
    moments = np.unique([*(life.ready for life in lives), *ends, *holds, now])
    starts = np.array([life.ready for life in lives])
    held = _count(moments, starts, np.array(holds))
    waiting = _count(moments, np.array(holds), np.array(ends))
    axes.stackplot(moments, held, waiting, colors=(HOLD, WAIT), step="post")
    axes.set_ylim(0, max(2.0, 1.15 * float((held + waiting).max(initial=0))))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_ylabel("requests", fontsize=8)
    axes.set_title("ready requests in the queue", fontsize=9, loc="left")


def _count(moments: npt.NDArray[Any], begin: Any, end: Any) -> npt.NDArray[np.int64]:
    """How many of the intervals [begin, end) contain each moment."""
    inside = (begin <= moments[:, None]) & (moments[:, None] < end)
    return np.asarray(inside.sum(axis=1), np.int64)


def _draw_ways(axes: Axes, lives: list[Life], now: float) -> None:
    """One row a request, from its arrival to its end."""
    for row, life in enumerate(lives):
        for start, end, colour in _phases(life, now):
            axes.barh(row, end - start, left=start, height=0.62, color=colour)
        missed = life.outcome > 1 or (life.outcome == 0 and now > life.deadline)
        colour = LATE if missed else INK
        axes.plot(life.deadline, row, "|", color=colour, markersize=9, markeredgewidth=1.8)
        if life.outcome == 3:
            axes.plot(life.arrival, row, "x", color=LATE, markeredgewidth=1.8)
        elif life.outcome == 2:
            past = life.complete - life.deadline
            axes.barh(row, past, left=life.deadline, height=0.62, color=LATE)
    axes.set_ylim(max(len(lives), 1) - 0.3, -0.8)
    rows = range(0, len(lives), 3)
    axes.set_yticks(rows, [str(lives[row].number + 1) for row in rows])
    axes.set_ylabel("request", fontsize=8)
    axes.set_title("each request, arrival to completion", fontsize=9, loc="left")


def _phases(life: Life, now: float) -> Iterator[tuple[float, float, str]]:
    """Stretches (start, end, colour) of a request's way, as far as they are known."""
    if life.outcome == 3:
        return
    if life.on_device:
        yield life.arrival, life.complete, DEVICE
        return
    if not math.isfinite(life.ready):
        yield life.arrival, now, LINK
        return
    launched = life.start if math.isfinite(life.start) else now
    held = min(life.held, launched)
    yield life.arrival, life.ready, LINK
    yield life.ready, held, HOLD
    yield held, launched, WAIT
    if math.isfinite(life.start):
        yield life.start, life.finish, GPU
        yield life.finish, life.download, LINK
        yield life.download, life.complete, DEVICE
