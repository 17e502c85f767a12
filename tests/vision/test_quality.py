"""A field that is hard to count in is called doubtful for the right reason, and a sound one is not."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.counting.fields import FieldCount
from detector.counting.smears import judge
from detector.vision import doubts, finder, images, quality
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.quality import Quality

SAMPLES = sorted((Path(__file__).parents[2] / "datasets" / "samples").rglob("*.jpg"))
GROUND, CELL = (230, 225, 220), (190, 130, 140)

Rgb = NDArray[np.uint8]


def test_a_black_surround_is_no_part_of_the_field(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    plain = quality.measure(rgb, finder.find(model, rgb).cells)
    h, w = rgb.shape[:2]
    rows, columns = np.ogrid[:h, :w]
    circle = np.hypot(columns - w / 2, rows - h / 2) < h / 2
    seen = np.where(circle[:, :, None], rgb, 0).astype(np.uint8)
    detections = finder.find(model, seen).cells
    through = quality.measure(seen, detections)
    assert plain.surround == 0
    assert through.surround == pytest.approx(1 - circle.mean(), abs=0.02)
    assert through.background == pytest.approx(plain.background, abs=6)
    assert through.uneven < plain.uneven + 0.1
    assert through.unclaimed < plain.unclaimed + 0.05
    whole, part = (FieldCount.of(detections, "a", "b", 0.1, of) for of in (plain, through))
    assert part.parts[0].area_px == pytest.approx(whole.parts[0].area_px * (1 - through.surround))


@pytest.mark.parametrize("level", [0, 114, 255])
def test_margins_of_one_colour_are_no_part_of_the_field(model: Model, level: int) -> None:
    rgb = images.read(SAMPLES[0])
    framed = cv2.copyMakeBorder(rgb, 60, 40, 0, 90, cv2.BORDER_CONSTANT, value=(level, level, level))
    measured = quality.measure(framed, finder.find(model, framed).cells)
    assert measured.surround == pytest.approx(1 - rgb.size / framed.size, abs=0.02)


def test_white_around_a_circle_is_no_part_of_the_field(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    h, w = rgb.shape[:2]
    rows, columns = np.ogrid[:h, :w]
    circle = np.hypot(columns - w / 2, rows - h / 2) < h / 2
    seen = np.where(circle[:, :, None], rgb, 255).astype(np.uint8)
    assert quality.measure(seen, finder.find(model, seen).cells).surround == pytest.approx(1 - circle.mean(), abs=0.02)


def test_white_glass_and_even_glass_are_parts_of_the_field() -> None:
    rgb, detections = field([(x, y) for x in (150, 300, 450) for y in (150, 250, 350)])
    for changed in (np.minimum(rgb.astype(int) + 40, 255).astype(np.uint8), np.where(rgb > 190, GROUND, rgb).astype(np.uint8)):
        assert quality.measure(changed, detections).surround == 0


def test_a_field_with_little_light_has_no_surround() -> None:
    rgb, detections = field([(x, y) for x in (40, 150, 300, 450, 600) for y in (40, 150, 250, 350, 440)], 100)
    dark = (rgb * np.linspace(0.08, 0.18, rgb.shape[1])[None, :, None]).astype(np.uint8)
    measured = quality.measure(dark, detections)
    assert measured.surround == 0
    assert measured.covered == pytest.approx(quality.measure(rgb, detections).covered)
    assert quality.measure(dark, Detections.none(detections.size_wh)).surround > 0.3


def field(
    centres: list[tuple[float, float]], cell_px: float = 60, size_wh: tuple[int, int] = (640, 480)
) -> tuple[Rgb, Detections]:
    """Discs on an even ground with a little noise, and their boxes."""
    rgb = np.full((size_wh[1], size_wh[0], 3), GROUND, dtype=np.uint8)
    for x, y in centres:
        cv2.circle(rgb, (round(x * 16), round(y * 16)), round(cell_px * 8), CELL, -1, cv2.LINE_AA, 4)
    noise = np.random.default_rng(0).normal(0, 2, rgb.shape)
    at = np.array(centres).reshape(-1, 2)
    detections = Detections(
        np.concatenate([at - cell_px / 2, at + cell_px / 2], axis=1), np.full(len(at), 0.9), np.zeros(len(at), np.int64), size_wh
    )
    return (rgb + noise).clip(0, 255).astype(np.uint8), detections


def grid(step: float, cell_px: float = 60) -> tuple[Rgb, Detections]:
    return field([(x, y) for x in np.arange(50, 600, step) for y in np.arange(50, 440, step)], cell_px)


def doubt(rgb: Rgb, detections: Detections) -> str:
    return doubts.of_fields([quality.measure(rgb, detections)])[0]


def test_a_sound_field_is_not_doubtful() -> None:
    rgb, detections = grid(90)
    seen = quality.measure(rgb, detections)
    assert doubts.of_fields([seen]) == [""]
    assert seen.covered == pytest.approx(len(detections.label) * math.pi * 30**2 / rgb[:, :, 0].size, rel=0.05)
    assert seen.overlap == pytest.approx(0, abs=0.02)
    assert seen.background == pytest.approx(GROUND, abs=2)
    assert seen.contrast == pytest.approx(1 - CELL[1] / GROUND[1], abs=0.03)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 7), "out of focus"),
        (lambda rgb: rgb // 4, "dark: background 56 of 255"),
        (lambda rgb: (rgb * 0.05 + 200).astype(np.uint8), "faint"),
        (lambda rgb: (rgb.astype(np.uint16) + 110).clip(0, 255).astype(np.uint8), "overexposed"),
        (lambda rgb: (rgb * np.linspace(0.4, 1, 640)[:, None]).astype(np.uint8), "unevenly lit"),
    ],
)
def test_each_fault_has_its_reason(spoil: object, reason: str) -> None:
    rgb, detections = grid(90)
    assert reason in doubt(spoil(rgb), detections)  # type: ignore[operator]


def test_crowding_has_its_reason() -> None:
    assert "of the cells' area lies on another cell" in doubt(*grid(44))
    covered, detections = grid(57, 64)
    assert (
        "crowded: cells cover" in doubt(covered, detections) or quality.measure(covered, detections).covered < doubts.MOST_COVERED
    )
    rgb, every = grid(70)
    few = every[np.arange(len(every.label)) % 3 == 0]
    assert "uncounted matter" in doubt(rgb, few)
    assert "uncounted matter" not in doubt(rgb, every)


def test_a_field_without_red_cells_is_named() -> None:
    rgb, _ = field([])
    assert "no red cell" in doubt(rgb, Detections.none((640, 480)))


def test_a_field_without_red_cells_is_named_whatever_else_was_found() -> None:
    rgb, detections = grid(90)
    for label in (1, 2):
        others = Detections(detections.xyxy, detections.score, np.full(len(detections), label), detections.size_wh)
        assert "no red cell" in doubt(rgb, others)


@pytest.mark.parametrize("factors", [(1, 1, 1), (0.75, 0.9, 1.0), (0.6, 0.75, 1.0)])
def test_uncounted_matter_is_seen_in_any_light(factors: tuple[float, ...]) -> None:
    rgb, every = grid(70)
    lit = (rgb * factors).astype(np.uint8)
    assert "uncounted matter" in doubt(lit, every[np.arange(len(every)) % 2 == 0])
    assert "uncounted matter" not in doubt(lit, every)


def test_uncounted_matter_is_seen_where_green_light_tells_nothing() -> None:
    rgb, every = grid(70)
    rgb[:, :, 1] = np.random.default_rng(1).normal(180, 2, rgb.shape[:2])
    assert "uncounted matter" in doubt(rgb, every[np.arange(len(every)) % 2 == 0])
    assert "uncounted matter" not in doubt(rgb, every)


@pytest.mark.parametrize(
    ("counted", "unsure", "reason"),
    [
        ((20, 1, 2), (6, 0, 0), ""),
        ((20, 1, 2), (7, 0, 0), "uncertain cells: 7 red cells nearly counted, 20 counted"),
        ((3, 1, 2), (1, 0, 0), ""),
        ((20, 1, 2), (0, 1, 0), "uncertain cells: 1 white cell nearly counted, 1 counted"),
        ((2000, 40, 2), (0, 2, 0), ""),
        ((20, 0, 2), (0, 2, 0), "uncertain cells: 2 white cells nearly counted, 0 counted"),
        ((20, 1, 2), (0, 0, 5), "uncertain cells: 5 platelets nearly counted, 2 counted"),
        ((20, 1, 2), (0, 0, 4), ""),
        ((20, 1, 0), (0, 0, 2), ""),
    ],
)
def test_cells_that_nearly_were_counted_make_doubt(counted: tuple[int, ...], unsure: tuple[int, ...], reason: str) -> None:
    assert doubts.of_fields([replace(_sound(0), counted=counted, unsure=unsure)]) == [reason]


def test_what_is_measured_counts_the_unsure_cells() -> None:
    rgb, detections = grid(90)
    seen = quality.measure(rgb, replace(detections[:20], unsure=detections[20:]))
    assert (seen.counted, seen.unsure) == ((20, 0, 0), (len(detections) - 20, 0, 0))
    assert quality.measure(rgb, detections).unsure == (0, 0, 0)


def _sound(number: int) -> Quality:
    shift = number % 3
    return Quality(8.0 + 0.3 * shift, 0.5, 0.02, 0.01, (200 + shift, 190, 185), 0.3 + 0.01 * shift, 0.1)


def test_colours_in_cielab_are_those_of_opencv() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (1000, 3))
    theirs = cv2.cvtColor((rgb[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    np.testing.assert_allclose(quality.cielab(rgb), theirs, atol=0.5)  # theirs are interpolated in a table
    plain = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]])
    np.testing.assert_allclose(quality.cielab(plain), [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.03)


def test_a_field_unlike_its_smears_others_is_doubtful() -> None:
    usual = [_sound(number) for number in range(9)]
    odd = [
        replace(_sound(0), focus=4.5),
        replace(_sound(0), background=(200, 160, 205)),
        replace(_sound(0), contrast=0.12),
    ]
    assert doubts.of_fields([*usual, *odd]) == [
        *[""] * 9,
        "less sharp than the smear's other fields",
        "stain or light unlike the smear's other fields",
        "fainter than the smear's other fields",
    ]


def test_few_fields_are_not_compared_and_scatter_explains_itself() -> None:
    odd = replace(_sound(0), focus=4.5)
    assert doubts.of_fields([odd, *[_sound(number) for number in range(doubts.FEWEST_TO_COMPARE - 2)]]) == [""] * 4
    scattered = [replace(_sound(0), focus=focus) for focus in (4.5, 5.5, 7, 8, 9, 10.5, 12)]
    assert doubts.of_fields(scattered) == [""] * 7
    alike = [_sound(0)] * 6
    assert doubts.of_fields(alike) == [""] * 6


def test_focus_tells_blur_whatever_the_scale() -> None:
    sharp, detections = grid(90)
    values = [quality.measure(cv2.GaussianBlur(sharp, (0, 0), sigma), detections).focus for sigma in (0.5, 2, 4, 8)]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    double = np.asarray(cv2.resize(cv2.GaussianBlur(sharp, (0, 0), 3), None, fx=2, fy=2), dtype=np.uint8)
    larger = Detections(detections.xyxy * 2, detections.score, detections.label, (1280, 960))
    small = quality.measure(cv2.GaussianBlur(sharp, (0, 0), 3), detections).focus
    assert quality.measure(double, larger).focus == pytest.approx(small, rel=0.1)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (1, 500), (2000, 2)])
@pytest.mark.parametrize("level", [0, 255])
def test_the_smallest_and_plainest_fields_are_measured(size_wh: tuple[int, int], level: int) -> None:
    rgb = np.full((size_wh[1], size_wh[0], 3), level, dtype=np.uint8)
    whole = Detections(np.array([[0, 0, *size_wh]]), np.array([0.5]), np.array([0]), size_wh)
    for detections in (Detections.none(size_wh), whole):
        seen = quality.measure(rgb, detections)
        figures = (seen.covered, seen.overlap, seen.unclaimed, seen.contrast, seen.uneven)
        assert all(math.isfinite(one) and one >= 0 for one in figures)


def test_the_samples_are_sound_until_they_are_blurred(model: Model) -> None:
    for path in SAMPLES[::3]:
        rgb = images.read(path)
        detections = finder.find(model, rgb).cells
        assert doubt(rgb, detections) == "", path
        assert "out of focus" in doubt(cv2.GaussianBlur(rgb, (0, 0), 12).astype(np.uint8), detections), path


@pytest.mark.usefixtures("afresh")
def test_measuring_takes_little_of_what_finding_takes() -> None:
    model, rgb = Model.load(), images.read(SAMPLES[0])
    detections = finder.find(model, rgb).cells

    def least_s(work: object) -> float:
        times = []
        for _ in range(7):
            started = time.thread_time()
            work()  # type: ignore[operator]
            times.append(time.thread_time() - started)
        return min(times)

    assert least_s(lambda: quality.measure(rgb, detections)) < 0.25 * least_s(lambda: finder.find(model, rgb))


def test_the_same_picture_again_in_a_smear_is_doubtful_and_names_the_first(model: Model) -> None:
    first, other = (images.read(path) for path in SAMPLES[:2])
    counted = []
    for name, smear, rgb in [("a", "s", first), ("b", "s", other), ("c", "s", first), ("d", "t", first)]:
        detections = finder.find(model, rgb).cells
        counted.append(FieldCount.of(detections, name, smear, None, quality.measure(rgb, detections)))
    assert [field.doubt for field in judge(counted)] == ["", "", "the same picture as a: its cells are counted again", ""]


def test_fields_without_red_cells_are_not_taken_for_each_other() -> None:
    blank = quality.measure(np.full((100, 100, 3), 230, np.uint8), field([])[1])
    assert doubts.of_pictures({"a": blank, "b": blank}) == {}
