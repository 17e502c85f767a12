"""What was seen of the smear: its area, and a picture of it."""

from __future__ import annotations

import numpy as np
import pytest

from detector.streams.mosaic import Mosaic, Plane, SeenArea
from detector.streams.unique_cells import UniqueCells
from detector.vision.cells import WBC
from detector.vision.detections import Detections


def test_the_area_that_was_seen_is_that_of_the_union() -> None:
    area = SeenArea()
    assert area.unseen((0, 0, 400, 300)) == 1
    assert len(area.add((0, 0, 400, 300))) * area.STEP_PX**2 == area.area_px == 400 * 300
    assert area.unseen((200, 0, 600, 300)) == pytest.approx(0.5, abs=0.02)
    area.add((200, -100, 600, 200))
    assert area.area_px == pytest.approx(400 * 300 * 2 - 200 * 200, rel=0.02)
    points = np.array([[10.0, 10.0], [-10.0, 10.0], [598.0, 0.0], [300.0, 299.0]])
    assert area.holds(points).tolist() == [True, False, True, True]
    assert area.holds(points, 20).tolist() == [False, False, False, False]


def test_a_plane_holds_what_was_written_on_both_sides_of_zero() -> None:
    plane = Plane(np.uint8, (3,))
    values = np.random.default_rng(0).integers(0, 255, (150, 170, 3)).astype(np.uint8)
    plane.write((-80, -70, 90, 80), values)
    assert np.array_equal(plane.read((-80, -70, 90, 80)), values)
    assert plane.read((200, 200, 210, 210)).max() == 0
    x1, y1, x2, y2 = plane.bounds()
    assert x1 <= -80
    assert y1 <= -70
    assert x2 >= 90
    assert y2 >= 80


def test_a_mosaic_shows_what_was_seen_with_its_cells_and_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.streams.mosaic.MOST_PX", 400_000)
    mosaic = Mosaic()
    view = np.full((300, 400, 3), 120, np.uint8)
    for i in range(40):
        mosaic.add(1, view, (i * 390.0, -i * 100.0))
    mosaic.add(2, np.full((300, 400, 3), 60, np.uint8), (0.0, 0.0))
    assert mosaic.scale < 0.5
    cells = UniqueCells(1)
    box = np.array([[100, 100, 190, 190]], np.float32)
    cells.add(Detections(box, np.full(1, 0.9), np.array([WBC]), (400, 300)), (0.0, 0.0))
    picture = mosaic.draw({2: cells})
    assert max(picture.shape[:2]) <= 6000
    assert (picture == 120).any()
    assert (picture == 60).any()
    assert (picture == np.array([213, 94, 0])).all(axis=2).any()


def test_a_mosaic_of_nothing_is_a_picture_too() -> None:
    assert Mosaic().draw({}).shape == (64, 64, 3)
    assert Mosaic().crop(1, (0, 0, 100, 50)).shape == (25, 50, 3)
