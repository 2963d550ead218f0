"""Each policy's colour on paper and in the dark: legible in both, and the same everywhere."""

from __future__ import annotations

import re

from agents.drawing import COLOURS, OTHER_COLOUR

PAPER, NIGHT = "#ffffff", "#16181b"
MARK, TEXT = 3.0, 4.6
"""Least contrast of marks and of text (WCAG 2.2 asks for 3 and 4.5)."""


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21, as WCAG defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def legible(colour: str, ground: str, least: float) -> str:
    """Return the colour, mixed with white or black just as far as the contrast takes."""
    towards = 255 if _luminance(ground) < 0.2 else 0
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    for step in range(51):
        mixed = [round(part + (towards - part) * step / 50) for part in parts]
        found = "#" + "".join(f"{part:02x}" for part in mixed)
        if contrast(found, ground) >= least:
            break
    return found


def style_of(name: str) -> str:
    """CSS class that carries a policy's colour: that of its split, for a pair."""
    return f"p-{name if name in COLOURS else _split(name)}"


def _split(name: str) -> str:
    split = re.split(r"[+:]", name)[0]
    return split if split in COLOURS else "other"


BY_NIGHT = {"all-cloud": "#ffffff"}
"""What black is in the dark, where all grey would be the colour of others."""


def style_sheet() -> str:
    """Rules that give each policy's class its colours: ``--mark`` and ``--text``."""
    colours = {**COLOURS, "other": OTHER_COLOUR}
    dark = _rules({**colours, **BY_NIGHT}, NIGHT, MARK)
    return _rules(colours, PAPER, 1.0) + f"@media screen and (prefers-color-scheme:dark){{{dark}}}"


def _rules(colours: dict[str, str], ground: str, least: float) -> str:
    """On paper marks keep the colours of all other pictures: their labels can be read anyhow."""
    return "".join(
        f".p-{name}{{--mark:{legible(colour, ground, least)};"
        f"--text:{legible(colour, ground, TEXT)}}}"
        for name, colour in colours.items()
    )
