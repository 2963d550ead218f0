"""What an explanation says in words and tables."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from agents.explain.imitation import Saving, Search
from agents.explain.importance import Importance
from agents.explain.maps import LOADS, Map
from agents.statistics import Interval


def map_table(found: list[Map], policy: str, rules: list[str]) -> Table:
    """Lay out mean split ratios by device and load, the policy's beside each rule's."""
    view = Table(
        title=f"Cloud share in the states that {policy} meets",
        caption="mean split ratio in %, by load; the pictures divide them by bandwidth too",
        header_style="bold",
    )
    for words in ("model", "device"):
        view.add_column(words, no_wrap=True)
    for who in (policy, *rules):
        view.add_column(f"{who}\n{', '.join(LOADS)}", justify="right")
    for each in found:
        for row, device in enumerate(each.devices):
            shares = [_by_load(each, each.share[who], row) for who in (policy, *rules)]
            view.add_row(each.model if row == 0 else "", device, *shares)
        view.add_section()
    return view


def _by_load(of: Map, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], row: int) -> str:
    known = ~np.isnan(values[:, row])
    counts = of.count[:, row] * known
    sums = (np.nan_to_num(values[:, row]) * counts).sum(axis=1)
    means = [s / c if c else np.nan for s, c in zip(sums, counts.sum(axis=1), strict=True)]
    return "  ".join("  -" if np.isnan(mean) else f"{100 * mean:3.0f}" for mean in means)


def map_finding(of: Map, policy: str, rule: str) -> str:
    """Say in a line where a policy's cloud share differs from a rule's."""
    apart = 100 * of.difference(policy, rule)
    by_device = 100 * of.by_device(policy, rule)
    if np.isnan(by_device).all():
        return f"{policy} met too few states to be compared with {rule}"
    most = int(np.nanargmax(np.abs(by_device)))
    if abs(by_device[most]) < 1:
        return f"{policy} gives the cloud what {rule} does, on every device"
    points = round(abs(apart))
    more = f"{points} point{'s' * (points > 1)} {'more' if apart > 0 else 'less'} than"
    first = f"{policy} gives the cloud {more if points else 'as much as'} {rule}"
    return f"{first}, on {of.devices[most]} {by_device[most]:+.0f}"


def hold_finding(of: Map, policy: str, rule: str) -> str:
    """Say in a line how a policy's holds differ from a rule's."""
    mine, theirs = (100 * _mean(of, of.hold[who]) for who in (policy, rule))
    return f"{policy} holds requests for {mine:.0f}% of their slack, {rule} for {theirs:.0f}%"


def _mean(of: Map, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    counts = of.count * ~np.isnan(values)
    return float((np.nan_to_num(values) * counts).sum() / max(1, counts.sum()))


def importance_table(measured: list[Importance], constant: list[str]) -> Table:
    """Lay out what the policy loses without each group of features."""
    idle = [each.group for each in measured if each.changed == 0]
    unused = f"; changes no decision: {', '.join(idle)}" if idle else ""
    unused += f"; never varies here: {', '.join(constant)}" if constant else ""
    view = Table(
        title="What the policy loses without knowing",
        caption="a feature's values come from other requests; cost and GPU in all-cloud requests, "
        f"± half a 95% interval{unused}",
        header_style="bold",
    )
    view.add_column("features", no_wrap=True)
    for words in ("cost", "GPU", "late points", "decisions changed %", "split moved"):
        view.add_column(words, justify="right", no_wrap=True)
    for each in measured:
        if each.changed == 0:
            continue
        view.add_row(
            each.group,
            _with_half(each.cost, 1, 3),
            _with_half(each.gpu, 1, 3),
            _with_half(each.violations, 100, 2),
            f"{100 * each.changed:.0f}",
            f"{each.moved:.3f}",
        )
    return view


def _with_half(of: Interval, factor: float, digits: int) -> str:
    spread = "" if of.half != of.half else f" ± {factor * of.half:.{digits}f}"
    return f"{factor * of.value:+.{digits}f}{spread}"


def importance_finding(measured: list[Importance], policy: str, cost: float) -> str:
    """Say in a line what matters most."""
    first = measured[0]
    if first.cost.value <= 0:
        return f"{policy} draws on no feature: without any a request costs no more"
    return (
        f"{policy} draws most on {first.group}: without, a request costs "
        f"{100 * first.cost.value / cost:.0f}% more"
    )


def tree_finding(search: Search, judged: Saving, policy: str) -> str:
    """Say in a line how plain a tree does what the policy does."""
    leaves = search.root.leaves
    size = "One leaf keeps" if leaves == 1 else f"A tree of {leaves} leaves keeps"
    less = "" if search.enough else "No small tree will do: "
    late = 100 * judged.attainment.value
    return (
        f"{less}{size if not less else size[0].lower() + size[1:]} "
        f"{100 * judged.kept.value:.0f}% of {policy}'s saving, attainment {late:+.2f} points"
    )
