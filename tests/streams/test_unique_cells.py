"""Each cell once: what is one cell, what is not decided yet, and what is let go of."""

from __future__ import annotations

import numpy as np
import pytest

from detector.streams.unique_cells import UniqueCells
from detector.vision.cells import PLATELETS, RBC, WBC
from detector.vision.detections import Detections

WH = (400, 300)


def seen(*rows: tuple[float, float, float, float, int], score: float = 0.9) -> Detections:
    """Cells of a view as x, y of the upper left corner, width, height and label; cut by the view's border."""
    box = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], dtype=np.float32).reshape(-1, 4)
    box = np.clip(box, 0, np.array([*WH, *WH], dtype=np.float32))
    return Detections(box, np.full(len(rows), score), np.array([row[4] for row in rows], dtype=np.int64), WH)


def counts(cells: UniqueCells) -> list[int]:
    return [sum(cell.counted == label for cell in cells) for label in (RBC, WBC, PLATELETS)]


def test_a_cell_counts_once_however_often_and_from_wherever_it_is_seen() -> None:
    cells = UniqueCells(2)
    rng = np.random.default_rng(0)
    for x in range(0, 200, 20):
        jitter = rng.normal(0, 1.5, 2)
        cells.add(seen((250 - x + jitter[0], 100 + jitter[1], 50, 50, RBC)), (float(x), 0.0))
    assert counts(cells) == [1, 0, 0]
    (cell,) = cells
    assert cell.centre == pytest.approx((275, 125), abs=1.5)


def test_a_cell_is_confirmed_by_a_second_view_and_is_undecided_until_then() -> None:
    cells = UniqueCells(2)
    view = (0.0, 0.0, 400.0, 300.0)
    cells.add(seen((100, 100, 50, 50, RBC)), (0.0, 0.0))
    assert counts(cells) == [0, 0, 0]
    assert cells.undecided(view)
    assert not cells.undecided(view, (10.0, 0.0))
    assert cells.undecided(view, (140.0, 0.0))
    cells.add(seen((100, 100, 50, 50, RBC)), (0.0, 0.0))
    assert counts(cells) == [1, 0, 0]
    assert not cells.undecided(view)


def test_what_is_found_in_few_of_the_views_that_could_show_it_does_not_count_and_is_let_go_of() -> None:
    cells = UniqueCells(2)
    for detections in (seen((100, 100, 50, 50, RBC)), seen(), seen(), seen((100, 100, 50, 50, RBC)), seen()):
        cells.add(detections, (0.0, 0.0))
    assert counts(cells) == [0, 0, 0]
    assert len(list(cells)) == 1
    cells.add(seen(), (1000.0, 0.0))
    assert list(cells) == []


def test_two_cells_that_touch_are_two() -> None:
    cells = UniqueCells(2)
    for x in (0, 10, 20):
        cells.add(
            seen((100 - x, 100, 50, 50, RBC), (140 - x, 110, 50, 50, RBC), (120 - x, 150, 16, 16, PLATELETS)), (float(x), 0.0)
        )
    assert counts(cells) == [2, 0, 1]


def test_the_class_for_which_most_speaks_is_the_cells() -> None:
    cells = UniqueCells(2)
    for label in (RBC, WBC, WBC):
        cells.add(seen((100, 100, 90, 90, label)), (0.0, 0.0))
    assert counts(cells) == [0, 1, 0]


def test_a_cut_cell_becomes_the_whole_one_that_is_seen_later() -> None:
    cells = UniqueCells(2)
    for x in (0, 15, 30, 60):
        # At first its right part lies beyond the view.
        cells.add(seen((380 - x, 100, 50, 50, RBC)), (float(x), 0.0))
    (cell,) = cells
    assert cell.whole
    assert cell.box == pytest.approx([380, 100, 430, 150], abs=1)
    assert counts(cells) == [1, 0, 0]


@pytest.mark.parametrize(("inside_px", "counted"), [(30, 1), (20, 0)])
def test_a_cell_that_is_never_seen_whole_counts_where_its_centre_is_seen(inside_px: float, counted: int) -> None:
    cells = UniqueCells(2)
    chord = 2 * np.sqrt(2 * 25 * inside_px - inside_px**2) if inside_px < 25 else 50
    for _ in range(2):
        cells.add(seen((400 - inside_px, 125 - chord / 2, inside_px, chord, RBC)), (0.0, 0.0))
    assert counts(cells) == [counted, 0, 0]


def test_the_scatter_of_many_sights_of_a_cut_cell_does_not_take_it_in() -> None:
    rng = np.random.default_rng(1)
    taken = 0
    for _ in range(60):
        cells = UniqueCells(2)
        for _ in range(25):
            inside = 24 + rng.normal(0, 1.5)
            cells.add(seen((400 - inside, 100, inside, 50, RBC)), (0.0, 0.0))
        taken += counts(cells)[0]
    assert taken < 15


def test_nothing_new_is_taken_where_it_may_not_be() -> None:
    cells = UniqueCells(1)
    cells.add(seen((100, 100, 50, 50, RBC), (200, 100, 50, 50, RBC)), (0.0, 0.0), taken=np.array([True, False]))
    assert counts(cells) == [1, 0, 0]


def test_changes_are_told_so_that_sums_can_be_kept() -> None:
    told: list[tuple[int, int]] = []
    cells = UniqueCells(1, lambda cell, before: told.append((before, cell.counted)))
    cells.add(seen((100, 100, 90, 90, RBC)), (0.0, 0.0))
    cells.add(seen((100, 100, 90, 90, WBC), score=1.0), (0.0, 0.0))
    cells.add(seen(), (0.0, 0.0))
    for _ in range(4):
        cells.add(seen(), (0.0, 0.0))
    assert told == [(-1, RBC), (RBC, WBC), (WBC, -1)]
