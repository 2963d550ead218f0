"""How large the batches were that requests were served in."""

from __future__ import annotations

from agents.closeups import Closeup
from agents.html.figure import Figure
from agents.html.section import Section
from agents.html.svg import Picture, Scale
from agents.html.tones import style_of

ROW = 74.0


def batches(section: Section) -> Figure:
    """Draw a row of bars a policy: the share of cloud requests by size of their batch."""
    means = {label: _mean(each) for label, each in section.closeups.items()}
    fullest = max(means, key=means.__getitem__)
    others = [label for label in means if label != fullest]
    finding = (
        f"{fullest} serves a request in company of {max(means[fullest] - 1, 0):.1f} on average"
    )
    if others:
        least = min(others, key=means.__getitem__)
        finding += f", {least} of {max(means[least] - 1, 0):.1f}"
    return Figure(
        finding=finding,
        explanation="Of the requests that reached a GPU, the share that was served in a batch of "
        "each size.",
        alternative="Mean batch of a cloud request: "
        + ", ".join(f"{label} {mean:.1f}" for label, mean in means.items()),
        panels=(lambda width: _draw(section, width),),
    )


def _mean(each: Closeup) -> float:
    counts: list[int] = each["batches"]
    return sum(size * n for size, n in enumerate(counts)) / max(sum(counts), 1)


def _draw(section: Section, width: float) -> Picture:
    picture = Picture(width, ROW * len(section.closeups) + 40)
    most = max(2, *(len(each["batches"]) - 1 for each in section.closeups.values()))
    top = max(max(_shares(each), default=0.0) for each in section.closeups.values()) or 1.0
    x = Scale(0.5, most + 0.5, 34, width - 8)
    wide = x(1) - x(0)
    for place, (label, each) in enumerate(section.closeups.items()):
        base = ROW * (place + 1) - 4
        y = Scale(0.0, top, base, base - ROW + 28)
        picture.line((34, base), (width - 8, base), "axis")
        picture.line((34, y(top)), (width - 8, y(top)), "grid")
        picture.text((29, y(top) + 4), f"{top:.0f}%", "tick", "end")
        picture.text((29, base + 4), "0", "tick", "end")
        with picture.group(style_of(section.row(label).name)):
            for size, share in enumerate(_shares(each), start=1):
                if share > 0:
                    tip = f"{label}: {share:.1f}% in a batch of {size}"
                    picture.rect(x(size) - 0.42 * wide, y(share), 0.84 * wide, base - y(share),
                                 "mark", tip)  # fmt: skip
            words = label if sum(each["batches"]) else f"{label}: nothing reached a GPU"
            picture.text((width - 8, base - ROW + 22), words, "label", "end")
    bottom = ROW * len(section.closeups)
    step = next(s for s in (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 100) if wide * s >= 22)
    for size in range(step if step > 1 else 1, most + 1, step):
        picture.text((x(size), bottom + 12), f"{size}", "tick", "middle")
    picture.text(((34 + width) / 2, bottom + 30), "requests in the batch", "what", "middle")
    return picture


def _shares(each: Closeup) -> list[float]:
    counts = each["batches"][1:]
    return [100 * n / max(sum(counts), 1) for n in counts]
