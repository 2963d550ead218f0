from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agents.drawing import COLOURS, MARKERS
from agents.html.svg import Box, Labels, Picture, Scale, marker_path, nice_step
from agents.html.tones import NIGHT, PAPER, contrast, legible, style_of


@given(some.floats(1e-6, 1e6), some.floats(1.5, 1e4))
def test_ticks_are_round_and_within_the_scale(low: float, factor: float) -> None:
    for kind in ("linear", "log"):
        scale = Scale(low, low * factor, 0.0, 300.0, kind)
        ticks = scale.ticks()
        assert ticks == sorted(ticks)
        assert all(low * (1 - 1e-9) <= tick <= low * factor * (1 + 1e-9) for tick in ticks)


def test_violations_are_linear_where_they_are_rare_and_then_logarithmic() -> None:
    scale = Scale(0.0, 100.0, 0.0, 360.0, "rare")

    assert scale(0.0) == 0.0
    assert scale(0.05) == pytest.approx(scale(0.1) / 2)
    assert scale(10) - scale(1) == pytest.approx(scale(100) - scale(10))
    assert scale(100) == pytest.approx(360.0)


@pytest.mark.parametrize(("rough", "step"), [(0.9, 1.0), (1.0, 1.0), (3.1, 5.0), (0.012, 0.02)])
def test_steps_are_one_two_or_five(rough: float, step: float) -> None:
    assert nice_step(rough) == pytest.approx(step)


def test_a_line_leaves_out_what_makes_no_difference_and_keeps_its_turns() -> None:
    picture = Picture(100, 100)
    picture.lines([(0, 0), (1, 1), (2, 2), (3, 3), (3, 9), (3, 4), (50, 4)], "line")

    assert 'd="M0 0L3 3L3 9L3 4L50 4"' in picture.render()


def test_labels_cover_neither_marks_nor_each_other_nor_leave_the_frame() -> None:
    picture, labels = Picture(300, 200), Labels(Box(0, 0, 300, 200))
    marks = [(150.0 + 3 * k, 100.0) for k in range(6)]
    for mark in marks:
        labels.avoid(mark, 5)

    placed = [labels.place(picture, mark, "joint-greedy") for mark in marks]

    boxes = labels.taken[len(marks) :]
    assert all(placed)
    for place, box in enumerate(boxes):
        assert 0 <= box.left < box.right <= 300
        assert not any(box.meets(other) for other in labels.taken[: len(marks) + place])


def test_a_label_without_room_is_left_out() -> None:
    labels = Labels(Box(0, 0, 60, 200))

    assert not labels.place(Picture(60, 200), (30, 100), "latency-bound+control-limit")


@pytest.mark.parametrize("kind", sorted(set(MARKERS.values()) - {"o"}))
def test_markers_are_centred(kind: str) -> None:
    path = marker_path(kind, (50.0, 50.0), 5.0)
    spots = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]

    assert sum(x for x, _ in spots) / len(spots) == pytest.approx(50.0, abs=0.1)
    assert all(2.0 < math.dist((50.0, 50.0), spot) < 7.0 or kind in "XP" for spot in spots)


def test_what_is_written_into_a_picture_is_escaped() -> None:
    picture = Picture(10, 10)
    picture.text((0, 0), "a<b & c")
    picture.rect(0, 0, 1, 1, "mark", 'say "<b>"')

    assert "a&lt;b &amp; c" in picture.render()
    assert 'data-tip="say &quot;&lt;b&gt;&quot;"' in picture.render()


@pytest.mark.parametrize("ground", [PAPER, NIGHT])
@pytest.mark.parametrize("colour", COLOURS.values())
def test_every_colour_becomes_legible_as_text(colour: str, ground: str) -> None:
    assert contrast(legible(colour, ground, 4.5), ground) >= 4.5


def test_a_colour_that_is_legible_stays_as_it_is() -> None:
    assert legible("#0072b2", PAPER, 4.5) == "#0072b2"
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


def test_a_pair_has_the_colour_of_its_split_and_a_run_of_its_kind() -> None:
    assert style_of("joint-greedy+symphony") == "p-joint-greedy"
    assert style_of("latency-bound-batching") == "p-latency-bound-batching"
    assert style_of("ppo:runs/x") == "p-ppo"
    assert style_of("somebody") == "p-other"
