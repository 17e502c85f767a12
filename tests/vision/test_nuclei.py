"""A white cell without a nucleus and a nucleus without a white cell are seen in any light; red cells and platelets are neither."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.synthetic import stain
from detector.synthetic.layout import plan
from detector.synthetic.render import window
from detector.vision import border, doubts, nuclei, quality
from detector.vision.cells import RBC, WBC
from detector.vision.detections import Detections

Rgb = NDArray[np.uint8]
GROUND, RED, NUCLEUS, PALE = (230, 225, 220), (205, 150, 160), (90, 50, 120), (205, 165, 190)
WHITE_AT, STRAY_AT = (320, 240), (500, 360)

LIGHTS = {
    "plain": lambda rgb: rgb,
    "bluish lamp": lambda rgb: (rgb * (0.75, 0.9, 1.0)).astype(np.uint8),
    "blue ground": lambda rgb: (rgb * (0.6, 0.75, 1.0)).astype(np.uint8),
    "dim": lambda rgb: (rgb * 0.6).astype(np.uint8),
    "grey": lambda rgb: np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2),
}


def field(white: tuple[int, int, int] | None, stray_px: int = 0) -> tuple[Rgb, Detections]:
    """Red cells of 60 px around a white cell of 120 px, if its inside has a colour, and a dark disc beside it, if it has a width."""
    rgb = np.full((480, 640, 3), GROUND, dtype=np.uint8)
    boxes, labels = [], []
    for x, y in ((x, y) for x in range(50, 640, 90) for y in range(50, 450, 90)):
        if min(abs(x - WHITE_AT[0]) + abs(y - WHITE_AT[1]), abs(x - STRAY_AT[0]) + abs(y - STRAY_AT[1])) > 110:
            cv2.circle(rgb, (x, y), 30, RED, -1, cv2.LINE_AA)
            boxes.append((x - 30, y - 30, x + 30, y + 30))
            labels.append(RBC)
    if white is not None:
        x, y = WHITE_AT
        cv2.circle(rgb, WHITE_AT, 60, PALE, -1, cv2.LINE_AA)
        cv2.circle(rgb, WHITE_AT, 40, white, -1, cv2.LINE_AA)
        boxes.append((x - 60, y - 60, x + 60, y + 60))
        labels.append(WBC)
    if stray_px:
        cv2.circle(rgb, STRAY_AT, stray_px // 2, NUCLEUS, -1, cv2.LINE_AA)
    noisy = rgb + np.random.default_rng(0).normal(0, 2, rgb.shape)
    detections = Detections(np.array(boxes), np.full(len(boxes), 0.9), np.array(labels), (640, 480))
    return noisy.clip(0, 255).astype(np.uint8), detections


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize(
    ("white", "stray_px", "said"),
    [
        (NUCLEUS, 0, ""),
        (PALE, 0, "1 white cell without a nucleus darker than the red cells"),
        (RED, 0, "1 white cell without a nucleus darker than the red cells"),
        (NUCLEUS, 60, "dark as a nucleus but in no white cell: an object"),
        (None, 60, "dark as a nucleus but in no white cell: an object"),
        (None, 20, ""),
    ],
)
def test_nuclei_are_told_in_any_light(light: str, white: tuple[int, int, int] | None, stray_px: int, said: str) -> None:
    rgb, detections = field(white, stray_px)
    seen = quality.measure(np.ascontiguousarray(LIGHTS[light](rgb)), detections)
    (doubt,) = doubts.of_fields([seen])
    for rule in ("without a nucleus", "dark as a nucleus"):
        assert (rule in doubt) == (rule in said)
    assert said in doubt
    if stray_px == 60:
        assert seen.stray == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(("stray", "wide"), [(0.552, "0.6"), (9.94, "9.9"), (12.26, "12")])
def test_the_width_of_a_stray_object_is_given_in_red_cells(stray: float, wide: str) -> None:
    seen = replace(quality.measure(*field(NUCLEUS)), stray=stray)
    assert doubts.of_fields([seen]) == [f"dark as a nucleus but in no white cell: an object {wide} red cells wide"]


def test_without_red_cells_nothing_is_said() -> None:
    rgb, detections = field(PALE)
    white = detections[detections.label == WBC]
    assert nuclei.look(rgb, GROUND, white.xyxy, white.label, 60) == nuclei.Dark(None)


def test_density_is_the_same_in_any_light() -> None:
    rgb, detections = field(None)
    plain, lamp = (quality.measure(LIGHTS[one](rgb), detections).density for one in ("plain", "bluish lamp"))
    assert plain is not None
    assert lamp == pytest.approx(plain, rel=0.1)
    assert plain[1] == pytest.approx(np.log(GROUND[1] / RED[1]), rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_rendered_white_cells_have_their_nuclei(seed: int) -> None:
    drawn = window(plan((800, 600), stain.preset("pbc"), seed), 0, 0, 800, 600)
    rbc_px = border.rbc_px(drawn.xyxy, drawn.label, (800, 600))
    assert rbc_px is not None
    known, missed = (
        nuclei.look(drawn.image, _ground(drawn.image), drawn.xyxy[chosen], drawn.label[chosen], rbc_px)
        for chosen in (drawn.label >= 0, drawn.label != WBC)
    )
    assert known.plain_whites == 0
    assert known.stray <= doubts.MOST_STRAY
    assert missed.stray > known.stray + 0.1


def _ground(rgb: Rgb) -> tuple[int, int, int]:
    red, green, blue = (int(np.percentile(rgb[:, :, i], 90)) for i in range(3))
    return red, green, blue
