"""Raw and frame counts of one field, and each cell once over adjoining fields."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import counting_frame
from detector.counting.fields import FieldCount, frame_area_px, frame_areas_mm2, in_frame
from detector.vision import border, boxes
from detector.vision.cells import CLASSES, RBC, WBC
from detector.vision.detections import Detections

W, H = 120, 90
"""A field of the adjoining fields below."""


def detections(*rows: tuple[float, float, float, float], label: int = 0, size_wh: tuple[int, int] = (W, H)) -> Detections:
    n = len(rows)
    xyxy = np.array(rows, dtype=np.float32).reshape(n, 4)
    return Detections(xyxy, np.ones(n, np.float32), np.full(n, label), size_wh)


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize(
    ("box", "counted"),
    [
        ((40, 30, 60, 50), True),
        ((0, 30, 11, 50), True),
        ((0, 30, 9, 50), False),
        ((40, 0, 60, 11), True),
        ((40, 0, 60, 9), False),
        ((109, 30, 120, 50), True),
        ((111, 30, 120, 50), False),
        ((40, 79, 60, 90), True),
        ((40, 81, 60, 90), False),
        ((0, 30, 20, 50), True),
        ((1.4, 30, 9, 50), False),
        ((3, 30, 10, 50), True),
    ],
)
def test_a_cell_counts_where_its_centre_lies(box: tuple[float, float, float, float], counted: bool, label: int) -> None:
    count = FieldCount.of(detections(box, label=label), "a.png", "s")
    name = CLASSES[label]
    assert count.raw[name] == 1
    assert count.frame[name] == int(counted)


@pytest.mark.parametrize(
    ("corner", "counted"),
    [((0, 0, 11, 11), True), ((0, 0, 9, 15), False), ((0, 0, 15, 9), False), ((0, 0, 6, 6), False), ((114, 84, 120, 90), False),
     ((109, 79, 120, 90), True), ((0, 79, 11, 90), True), ((109, 0, 120, 11), True)],
)  # fmt: skip
def test_in_a_corner_the_size_of_whole_cells_tells(corner: tuple[float, float, float, float], counted: bool) -> None:
    """With one whole cell of 20 px as well as with three."""
    for whole in (1, 3):
        cells = detections(corner, *[(30.0 * i, 40, 30.0 * i + 20, 60) for i in range(1, whole + 1)])
        assert FieldCount.of(cells, "a.png", "s").frame["RBC"] == whole + int(counted)


def test_in_a_corner_white_cells_are_as_large_beside_red_ones_as_labels_say() -> None:
    """A red cell of 20 px: white cells are 37 px, so 19 px of one show its centre, and 18 px do not."""
    for side, counted in ((19, 1), (18, 0)):
        xyxy = np.array([[40, 40, 60, 60], [0, 0, side, side]], dtype=np.float32)
        cells = Detections(xyxy, np.ones(2, np.float32), np.array([RBC, WBC]), (W, H))
        assert FieldCount.of(cells, "a.png", "s").frame["WBC"] == counted


def test_empty_field_counts_zero_of_every_class() -> None:
    count = FieldCount.of(Detections.none((W, H)), "a.png", "s")
    assert count.raw == count.frame == {"RBC": 0, "WBC": 0, "Platelets": 0}


def test_classes_and_saturation_are_kept() -> None:
    xyxy = np.array([[10, 10, 20, 20], [0, 0, 9, 9]], dtype=np.float32)
    cells = Detections(xyxy, np.ones(2, np.float32), np.array([2, 1]), (W, H), saturated=True)
    count = FieldCount.of(cells, "b/c.png", "b", um_per_px=0.1)
    assert (count.raw["Platelets"], count.raw["WBC"], count.frame["WBC"]) == (1, 1, 1)
    assert count.saturated
    assert count.um_per_px == 0.1


@pytest.mark.parametrize("um_per_px", [0.0, -1.0, float("nan"), float("inf")])
def test_calibration_must_be_positive(um_per_px: float) -> None:
    with pytest.raises(ValueError, match="um_per_px must be positive"):
        FieldCount.of(Detections.none((W, H)), "a.png", "s", um_per_px)


@pytest.mark.parametrize(("size_wh", "edge"), [((100, 100), 1.0), ((640, 480), 1.92), ((575, 575), 2.3), ((9000, 9000), 8.0)])
def test_edge_tolerance(size_wh: tuple[int, int], edge: float) -> None:
    assert border.edge_px(size_wh) == pytest.approx(edge)


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("seed", range(10))
def test_adjoining_fields_count_each_round_cell_once(seed: int, label: int) -> None:
    """Nine fields: their frame counts sum to the cells of one size whose centre lies in the region, slivers seen or not."""
    side, rng = 12.0, np.random.default_rng(seed)
    middle = rng.uniform((-side, -side), (3 * W + side, 3 * H + side), (150, 2))
    # At half its width either side of a seam rounding decides.
    middle = middle[(np.abs((middle + np.array([W, H]) / 2) % (W, H) - np.array([W, H]) / 2) > 0.01).all(axis=1)]
    expected = int(((middle > 0) & (middle < (3 * W, 3 * H))).all(axis=1).sum())
    for least in (0.0, 0.3):
        counted = 0
        for column in range(3):
            for row in range(3):
                local = np.concatenate([middle - side / 2, middle + side / 2], axis=1) - np.array([column * W, row * H] * 2)
                seen = boxes.clip(local.astype(np.float32), (W, H))
                seen = seen[boxes.area(seen) > least * side**2]
                counted += FieldCount.of(detections(*map(tuple, seen.tolist()), label=label), "field", "s").frame[CLASSES[label]]
        assert counted == expected


@pytest.mark.slow
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize(("width", "height"), [(8, 8), (30, 30), (60, 60), (30, 24), (24, 30)])
def test_frame_count_over_frame_area_is_the_density(width: float, height: float, label: int) -> None:
    """A cell moved over every place on a quarter-pixel grid, beside a whole one, is counted in `frame_area_px` of them.

    Of cells that are longer than wide, those that lie across make up for it, to 2 % in a field of four cells' width.
    """
    step, places = 0.25, 0.0
    for w, h in {(width, height), (height, width)}:
        x, y = np.meshgrid(np.arange(-w, W, step) + step / 2, np.arange(-h, H, step) + step / 2)
        at = np.stack([x.ravel(), y.ravel(), x.ravel() + w, y.ravel() + h], axis=1).astype(np.float32)
        seen = boxes.clip(at, (W, H))
        seen = seen[boxes.area(seen) > 0]
        whole = np.array([[20, 15, 20 + w, 15 + h]], dtype=np.float32)
        counted = in_frame(np.concatenate([seen, whole]), np.full(len(seen) + 1, label), (W, H))
        places += (counted.sum() - 1) * step**2 / len({(width, height), (height, width)})
    assert places == pytest.approx(frame_area_px((W, H)), rel=0.002 if width == height else 0.02)


@pytest.mark.parametrize(("label", "side"), [(0, 24.0), (1, 44.0), (2, 9.0)])
def test_ellipses_at_random_places_are_counted_without_bias(label: int, side: float) -> None:
    """Cells of unlike size and shape, by the box of the part that is seen, beside one whole red cell; slivers seen or not."""
    rng, size_wh, cells = np.random.default_rng(label), (160, 120), 40_000
    shape, size = np.exp(rng.normal(0, 0.12, cells)), np.maximum(rng.normal(side, 0.1 * side, cells), 2)
    half = np.stack([size * np.sqrt(shape), size / np.sqrt(shape)], axis=1) / 2
    middle = rng.uniform(-half, half + size_wh)
    whole = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
    parts = counting_frame.parts_of_ellipses(whole, size_wh)
    truth = int(((middle >= 0) & (middle < size_wh)).all(axis=1).sum())
    for least in (0.0, 0.2):
        seen = parts[boxes.area(parts) > least * side**2]
        xyxy = np.concatenate([seen, np.array([[60, 60, 84, 84]], dtype=np.float32)])
        detections = Detections(xyxy, np.ones(len(xyxy), np.float32), np.array([*[label] * len(seen), RBC]), size_wh)
        counted = FieldCount.of(detections, "field", "s").frame[CLASSES[label]] - (label == RBC)
        assert counted == pytest.approx(truth, rel=0.01)


def test_area_needs_every_field_calibrated() -> None:
    known = FieldCount.of(Detections.none((1001, 1001)), "a", "s", um_per_px=0.5)
    unknown = FieldCount.of(Detections.none((1001, 1001)), "b", "s")
    side_mm = 1001 * 0.5 / 1000
    assert frame_areas_mm2([known]) == pytest.approx([side_mm**2])
    assert frame_areas_mm2([known, unknown]) is None
    assert frame_areas_mm2([]) is None
