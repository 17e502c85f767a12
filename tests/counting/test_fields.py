"""Raw and frame counts of one field, and each cell once over adjoining fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.fields import FieldCount, edge_px, frame_area_px, frame_areas_mm2, in_frame
from detector.vision import border, boxes
from detector.vision.cells import RBC, WBC
from detector.vision.detections import Detections

W, H = 120, 90
"""A field of the adjoining fields below; its edge tolerance is 1 px."""


def detections(*rows: tuple[float, float, float, float], label: int = 0, size_wh: tuple[int, int] = (W, H)) -> Detections:
    n = len(rows)
    xyxy = np.array(rows, dtype=np.float32).reshape(n, 4)
    return Detections(xyxy, np.ones(n, np.float32), np.full(n, label), size_wh)


@pytest.mark.parametrize(
    ("box", "counted"),
    [
        ((40, 30, 60, 50), True),
        ((0, 30, 20, 50), False),
        ((40, 0, 60, 20), False),
        ((100, 30, 120, 50), True),
        ((40, 70, 60, 90), True),
        ((0, 0, 20, 20), False),
        ((100, 0, 120, 20), False),
        ((0, 70, 20, 90), False),
        ((100, 70, 120, 90), True),
        ((0.9, 30, 20, 50), False),
        ((1.1, 30, 20, 50), True),
    ],
)
def test_left_and_top_exclude(box: tuple[float, float, float, float], counted: bool) -> None:
    count = FieldCount.of(detections(box), "a.png", "s")
    assert count.raw == {"RBC": 1, "WBC": 0, "Platelets": 0}
    assert count.frame == {"RBC": int(counted), "WBC": 0, "Platelets": 0}


def test_empty_field_counts_zero_of_every_class() -> None:
    count = FieldCount.of(Detections.none((W, H)), "a.png", "s")
    assert count.raw == count.frame == {"RBC": 0, "WBC": 0, "Platelets": 0}


def test_classes_and_saturation_are_kept() -> None:
    xyxy = np.array([[10, 10, 20, 20], [0, 0, 9, 9]], dtype=np.float32)
    found = Detections(xyxy, np.ones(2, np.float32), np.array([2, 1]), (W, H), saturated=True)
    count = FieldCount.of(found, "b/c.png", "b", um_per_px=0.1)
    assert (count.raw["Platelets"], count.raw["WBC"], count.frame["WBC"]) == (1, 1, 0)
    assert count.saturated
    assert count.um_per_px == 0.1


@pytest.mark.parametrize("um_per_px", [0.0, -1.0, float("nan"), float("inf")])
def test_calibration_must_be_positive(um_per_px: float) -> None:
    with pytest.raises(ValueError, match="um_per_px must be positive"):
        FieldCount.of(Detections.none((W, H)), "a.png", "s", um_per_px)


@pytest.mark.parametrize(("size_wh", "edge"), [((100, 100), 1.0), ((640, 480), 1.92), ((575, 575), 2.3), ((9000, 9000), 8.0)])
def test_edge_tolerance(size_wh: tuple[int, int], edge: float) -> None:
    assert edge_px(size_wh) == pytest.approx(edge)


corner = st.tuples(st.floats(-40, 3 * W + 10), st.floats(-40, 3 * H + 10))
side = st.floats(2, 1.5 * W)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(corner, side, side), min_size=1, max_size=25))
def test_adjoining_fields_count_each_cell_once(cells: list[tuple[tuple[float, float], float, float]]) -> None:
    """Nine fields: their frame counts sum to the boxes that the region's own left and top edge do not cut."""
    xyxy = np.array([[x, y, x + w, y + h] for (x, y), w, h in cells], dtype=np.float32)
    # A cell that begins within the tolerance after a seam looks cut in its field: the area corrects it, not the count.
    start = xyxy[:, :2]
    begins = np.where(start < 0, np.inf, start % np.array([W, H], dtype=np.float32))
    xyxy = xyxy[(begins > edge_px((W, H))).all(axis=1)]
    expected = int(((xyxy[:, 0] > 0) & (xyxy[:, 1] > 0) & (xyxy[:, 0] < 3 * W) & (xyxy[:, 1] < 3 * H)).sum())
    counted = 0
    for column in range(3):
        for row in range(3):
            local = boxes.clip(xyxy - np.array([column * W, row * H] * 2, dtype=np.float32), (W, H))
            seen = local[boxes.area(local) > 0]
            found = detections(*map(tuple, seen.tolist()), label=WBC)
            counted += FieldCount.of(found, f"{column}-{row}", "s").frame["WBC"]
    assert counted == expected


@pytest.mark.parametrize("seed", range(20))
def test_adjoining_fields_count_each_red_cell_once_without_slivers(seed: int) -> None:
    """Nine fields of red cells of one size, of which none shows its slivers: each cell of the inner region counts once."""
    cell = 12.0
    at = np.random.default_rng(seed).uniform((-cell, -cell), (3 * W, 3 * H), (150, 2))
    # Within the tolerance around the two places where a cell changes its field, the area corrects the count.
    offset = np.stack([at % (W, H), (at + border.LEAST_SEEN * cell) % (W, H)])
    at = at[((offset > edge_px((W, H))) & (offset < np.array([W, H]) - 0.1)).all(axis=(0, 2))]
    xyxy = np.concatenate([at, at + cell], axis=1).astype(np.float32)
    limits = -border.LEAST_SEEN * cell, np.array([3 * W, 3 * H]) - border.LEAST_SEEN * cell
    expected = int(((at > limits[0]) & (at < limits[1])).all(axis=1).sum())
    counted = 0
    for column in range(3):
        for row in range(3):
            local = boxes.clip(xyxy - np.array([column * W, row * H] * 2, dtype=np.float32), (W, H))
            seen = local[boxes.area(local) > 0]
            seen = seen[~border.slivers(seen, np.full(len(seen), RBC), (W, H), cell)]
            counted += FieldCount.of(detections(*map(tuple, seen.tolist())), f"{column}-{row}", "s").frame["RBC"]
    assert counted == expected


@pytest.mark.parametrize("cell", [8, 30, 70])
def test_frame_count_over_frame_area_is_the_density(cell: int) -> None:
    """A cell of any size, moved over every place on a quarter-pixel grid, is counted in `frame_area_px` of them."""
    step = 0.25
    x, y = np.meshgrid(np.arange(-cell, W, step) + step / 2, np.arange(-cell, H, step) + step / 2)
    at = np.stack([x.ravel(), y.ravel(), x.ravel() + cell, y.ravel() + cell], axis=1).astype(np.float32)
    seen = boxes.clip(at, (W, H))
    seen = seen[boxes.area(seen) > 0]
    places = in_frame(seen, np.full(len(seen), WBC), (W, H)).sum() * step**2
    assert places == pytest.approx(frame_area_px((W, H)))


def test_red_cells_without_slivers_over_frame_area_are_the_density() -> None:
    """The same for red cells, of which slivers do not count; three whole ones stand by to show their size."""
    cell, step = 20.0, 0.25
    x, y = np.meshgrid(np.arange(-cell, W, step) + step / 2, np.arange(-cell, H, step) + step / 2)
    seen = boxes.clip(np.stack([x.ravel(), y.ravel(), x.ravel() + cell, y.ravel() + cell], axis=1).astype(np.float32), (W, H))
    seen = seen[boxes.area(seen) > 0]
    seen = seen[~border.slivers(seen, np.full(len(seen), RBC), (W, H), cell)]
    places = in_frame(seen, np.full(len(seen), RBC), (W, H)).sum() * step**2
    assert places == pytest.approx(frame_area_px((W, H)), rel=0.005)


def test_area_needs_every_field_calibrated() -> None:
    known = FieldCount.of(Detections.none((1001, 1001)), "a", "s", um_per_px=0.5)
    unknown = FieldCount.of(Detections.none((1001, 1001)), "b", "s")
    side_mm = (1001 - 1001 * 0.004) * 0.5 / 1000
    assert frame_areas_mm2([known]) == pytest.approx([side_mm**2])
    assert frame_areas_mm2([known, unknown]) is None
    assert frame_areas_mm2([]) is None


def test_a_field_of_one_pixel_has_no_area() -> None:
    tiny = FieldCount.of(Detections.none((1, 1)), "a", "s", um_per_px=0.5)
    assert frame_areas_mm2([tiny]) is None
