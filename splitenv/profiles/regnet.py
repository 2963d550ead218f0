"""RegNet chains from their public definitions: MACs and output size of every unit.

A RegNet is defined by six numbers (Radosavovic et al., *Designing Network Design Spaces*, 2020):
depth, the linear width rule ``w_0 + w_a * i`` quantised to powers of ``w_m``, the group width, and
the squeeze-excitation ratio (zero in the X family). Everything here follows from them for a
224x224 image; a multiply-accumulate counts as one, pooling and normalisation as none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

IMAGE_SIDE = 224
STEM_WIDTH = 32
CLASSES = 1000


@dataclass(frozen=True)
class Definition:
    """The six numbers that define a RegNet, and how widths were rounded to whole groups.

    torchvision never loses more than a tenth of a width; the paper rounds to the nearest. They
    differ for Y-800MF and Y-8GF, where ours are torchvision's, and for X-4GF, which torchvision
    does not have.
    """

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group_width: int
    se_ratio: float = 0.0
    paper_rounding: bool = False


@dataclass(frozen=True)
class ComputedUnit:
    """One unit of the chain: its kind, its MACs, and the elements of the tensor it hands on."""

    kind: str
    macs: int
    elements: int


DEFINITIONS = {
    "regnet-x-3.2gf": Definition(25, 88, 26.31, 2.25, 48),
    "regnet-x-4gf": Definition(23, 96, 38.65, 2.43, 40, paper_rounding=True),
    "regnet-x-32gf": Definition(23, 320, 69.86, 2.0, 168),
    "regnet-y-400mf": Definition(16, 48, 27.89, 2.09, 8, 0.25),
    "regnet-y-800mf": Definition(14, 56, 38.84, 2.4, 16, 0.25),
    "regnet-y-1.6gf": Definition(27, 48, 20.71, 2.65, 24, 0.25),
    "regnet-y-3.2gf": Definition(21, 80, 42.63, 2.66, 24, 0.25),
    "regnet-y-8gf": Definition(17, 192, 76.82, 2.19, 56, 0.25),
    "regnet-y-16gf": Definition(18, 200, 106.23, 2.48, 112, 0.25),
    "regnet-y-32gf": Definition(20, 232, 115.89, 2.53, 232, 0.25),
    "regnet-y-128gf": Definition(27, 456, 160.83, 2.52, 264, 0.25),
}


def chain_units(definition: Definition) -> list[ComputedUnit]:
    """Compute the chain: ``stem``, one ``block`` per residual block, ``head``."""
    side = IMAGE_SIDE // 2
    units = [ComputedUnit("stem", 3 * STEM_WIDTH * 9 * side**2, STEM_WIDTH * side**2)]
    width_in = STEM_WIDTH
    for width, blocks in _stages(definition):
        group = min(definition.group_width, width)
        for block in range(blocks):
            stride = 2 if block == 0 else 1
            macs = _block_macs(width_in, width, group, side, stride, definition.se_ratio)
            side //= stride
            units.append(ComputedUnit("block", macs, width * side**2))
            width_in = width
    return [*units, ComputedUnit("head", width_in * CLASSES, CLASSES)]


def _block_macs(
    width_in: int, width: int, group: int, side: int, stride: int, se_ratio: float
) -> int:
    """1x1, grouped 3x3 with the stride, squeeze-excitation, 1x1, and the projected shortcut."""
    inside, outside = side**2, (side // stride) ** 2
    macs = width_in * width * inside + width * group * 9 * outside + width * width * outside
    if se_ratio:
        macs += 2 * width * round(se_ratio * width_in)
    if stride != 1 or width_in != width:
        macs += width_in * width * outside
    return macs


def _stages(definition: Definition) -> list[tuple[int, int]]:
    """Quantise the linear width rule into stages of equal width: (width, blocks) in order."""
    counts: dict[int, int] = {}
    for index in range(definition.depth):
        linear = definition.w_0 + definition.w_a * index
        power = round(math.log(linear / definition.w_0) / math.log(definition.w_m))
        width = round(definition.w_0 * definition.w_m**power / 8) * 8
        counts[width] = counts.get(width, 0) + 1
    return [(_to_groups(width, definition), blocks) for width, blocks in counts.items()]


def _to_groups(width: int, definition: Definition) -> int:
    group = min(definition.group_width, width)
    if definition.paper_rounding:
        return round(width / group) * group
    rounded = max(group, (width + group // 2) // group * group)
    return rounded if rounded >= 0.9 * width else rounded + group
