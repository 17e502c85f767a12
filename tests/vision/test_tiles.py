"""Tiles own a field exactly, and give back every cell exactly once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.vision import boxes, tiles
from detector.vision.detections import Detections

sizes = st.tuples(st.integers(1, 900), st.integers(1, 700))


@given(sizes, st.integers(40, 300), st.integers(0, 19))
def test_owned_parts_divide_the_field_and_windows_surround_them(size_wh: tuple[int, int], tile_px: int, margin_px: int) -> None:
    w, h = size_wh
    owners = np.zeros((h, w), dtype=int)
    for tile in tiles.cut(size_wh, tile_px, margin_px):
        ox1, oy1, ox2, oy2 = tile.owned
        wx1, wy1, wx2, wy2 = tile.window
        owners[oy1:oy2, ox1:ox2] += 1
        assert ox1 < ox2
        assert oy1 < oy2
        assert (wx1, wy1) == (max(0, ox1 - margin_px) if w > tile_px else 0, max(0, oy1 - margin_px) if h > tile_px else 0)
        assert (wx2, wy2) == (min(w, ox2 + margin_px) if w > tile_px else w, min(h, oy2 + margin_px) if h > tile_px else h)
        assert wx2 - wx1 <= tile_px + 1
        assert wy2 - wy1 <= tile_px + 1
    assert (owners == 1).all()


def test_a_field_no_larger_than_a_tile_is_one_tile() -> None:
    assert tiles.cut((300, 200), 300, 40) == [tiles.Tile((0, 0, 300, 200), (0, 0, 300, 200))]


@pytest.mark.parametrize(("tile_px", "margin_px"), [(80, 40), (10, 40), (100, -1)])
def test_margins_that_leave_nothing_to_own_are_refused(tile_px: int, margin_px: int) -> None:
    with pytest.raises(ValueError, match="tile_px"):
        tiles.cut((500, 500), tile_px, margin_px)


def _cells(seed: int, size_wh: tuple[int, int], n: int) -> Detections:
    """Cells up to 36 px wide at random places, none over another by more than seams take for the same cell."""
    generator = np.random.default_rng(seed)
    kept = np.zeros((0, 4), dtype=np.float32)
    for _ in range(n):
        centre = generator.uniform(0, size_wh)
        half = generator.uniform(3, 18, size=2)
        box = boxes.clip(np.array([[*(centre - half), *(centre + half)]], dtype=np.float32), size_wh)
        if boxes.area(box)[0] > 4 and (boxes.iou(box, kept) <= 0.55).all():
            kept = np.concatenate([kept, box])
    score = generator.uniform(0.3, 1, len(kept)).astype(np.float32)
    return Detections(kept, score, generator.integers(0, 3, len(kept)), size_wh)


def _seen(tile: tiles.Tile, cells: Detections, jitter: np.ndarray) -> Detections:
    """What a perfect detector, but for `jitter` px, finds in a tile's window: every cell in it, cut by the window."""
    x1, y1, x2, y2 = tile.window
    moved = cells.xyxy + jitter - np.array([x1, y1, x1, y1], dtype=np.float32)
    cut = boxes.clip(moved, (x2 - x1, y2 - y1))
    visible = boxes.area(cut) > 0
    return Detections(cut[visible], cells.score[visible], cells.label[visible], (x2 - x1, y2 - y1))


def _rows(detections: Detections) -> list[tuple[float, ...]]:
    return sorted((*np.round(box, 2).tolist(), int(label)) for box, label in zip(detections.xyxy, detections.label, strict=True))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), sizes, st.integers(60, 250))
def test_random_cells_are_reassembled_exactly(seed: int, size_wh: tuple[int, int], tile_px: int) -> None:
    cells = _cells(seed, size_wh, 40)
    pieces = tiles.cut(size_wh, tile_px, 26)
    detections = [_seen(piece, cells, np.zeros(4, np.float32)) for piece in pieces]
    assert _rows(tiles.own(pieces, detections, size_wh, band_px=4.0)) == _rows(cells)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(80, 250))
def test_cells_placed_a_little_differently_by_each_tile_are_counted_once(seed: int, tile_px: int) -> None:
    size_wh = (600, 400)
    cells = _cells(seed, size_wh, 60)
    large = cells[boxes.area(cells.xyxy) > 300]
    apart = large[boxes.suppress(large.xyxy, large.score, np.zeros(len(large), np.int64), 0.2)]
    generator = np.random.default_rng(seed)
    pieces = tiles.cut(size_wh, tile_px, 26)
    detections = [_seen(p, apart, generator.uniform(-0.7, 0.7, (len(apart), 4)).astype(np.float32)) for p in pieces]
    assert len(tiles.own(pieces, detections, size_wh, band_px=3.0)) == len(apart)


def test_touching_cells_on_a_seam_both_count() -> None:
    size_wh = (400, 100)
    pieces = tiles.cut(size_wh, 220, 40)
    seam = pieces[0].owned[2]
    pair = np.array([[seam - 22, 30, seam - 1, 55], [seam - 1, 30, seam + 22, 55]], dtype=np.float32)
    cells = Detections(pair, np.array([0.9, 0.8]), np.array([0, 0]), size_wh)
    detections = [_seen(piece, cells, np.zeros(4, np.float32)) for piece in pieces]
    assert len(tiles.own(pieces, detections, size_wh, band_px=6.0)) == 2


def test_a_saturated_tile_makes_the_field_saturated() -> None:
    pieces = tiles.cut((200, 100), 150, 20)
    nothing = [Detections.none((1, 1)) for _ in pieces]
    full = [Detections(d.xyxy, d.score, d.label, d.size_wh, saturated=i == 0) for i, d in enumerate(nothing)]
    assert tiles.own(pieces, full, (200, 100), 2.0).saturated
    assert not tiles.own(pieces, nothing, (200, 100), 2.0).saturated


def test_what_is_unsure_stays_once_as_well() -> None:
    cut = tiles.cut((500, 400), 200, 40)
    whole = _cells(3, (500, 400), 60)
    parts = []
    for tile in cut:
        x1, y1, x2, y2 = tile.window
        near = (whole.xyxy[:, :2] >= (x1, y1)).all(axis=1) & (whole.xyxy[:, 2:] <= (x2, y2)).all(axis=1)
        seen = Detections(whole.xyxy[near] - np.array([x1, y1] * 2), whole.score[near], whole.label[near], (x2 - x1, y2 - y1))
        parts.append(replace(seen, unsure=seen))
    owned = tiles.own(cut, parts, (500, 400), band_px=5)
    assert owned.unsure is not None
    assert sorted(owned.unsure.xyxy.tolist()) == sorted(owned.xyxy.tolist())
    assert tiles.joined([whole], (500, 400)).unsure is None
