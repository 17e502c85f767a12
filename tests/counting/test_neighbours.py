"""Parts that lie side by side: how much their likeness widens an interval, and where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.field_intervals import Case, simulate
from detector.counting import neighbours
from detector.counting.intervals import rate
from detector.counting.neighbours import Places, Rect


def row(number: int, columns: int = 1000) -> list[Rect]:
    return [(i % columns * 64.0, i // columns * 48.0, i % columns * 64.0 + 64, i // columns * 48.0 + 48) for i in range(number)]


def width(counts: list[int], places: Places | None) -> float:
    interval = rate(counts, None, places)
    assert interval is not None
    assert interval.low <= np.mean(counts) <= interval.high
    return interval.high - interval.low


GRADIENT = [10, 12, 13, 15, 18, 20, 22, 25, 27, 30, 33, 36]
SHUFFLED = [22, 12, 33, 15, 30, 10, 27, 18, 36, 13, 25, 20]


def test_likeness_widens_and_its_lack_hardly() -> None:
    places = Places.of(row(12), ["s"] * 12)
    assert width(GRADIENT, places) > 1.4 * width(GRADIENT, None)
    assert width(SHUFFLED, places) < 1.25 * width(SHUFFLED, None)


def test_parts_of_several_surfaces_are_independent() -> None:
    places = Places.of(row(12), [str(i) for i in range(12)])
    assert width(GRADIENT, places) == width(GRADIENT, None)
    apart = Places.of([(x * 50, y, x * 50 + 64, y + 48) for x, y, _, _ in row(12)], ["s"] * 12)
    assert width(GRADIENT, apart) == width(GRADIENT, None)


def test_two_parts_tell_nothing_of_likeness() -> None:
    assert width([10, 30], Places.of(row(2), ["s"] * 2)) == width([10, 30], None)


def test_the_unit_of_places_does_not_matter() -> None:
    large = [tuple(7 * side for side in rect) for rect in row(12)]
    assert width(GRADIENT, Places.of(large, ["s"] * 12)) == pytest.approx(width(GRADIENT, Places.of(row(12), ["s"] * 12)))


def test_parts_that_no_likeness_explains_have_an_interval_all_the_same() -> None:
    """Parts of very different sizes, of which small ones hold many cells, as of a stream whose views hardly move."""
    areas = [2120, 3868, 1858, 4515, 814799, 24341, 14020, 4218, 774818, 6297, 976842]
    counts = [3000, 3000, 50, 0, 500, 500, 5, 0, 3000, 20000, 50]
    rects: list[Rect] = [(1000 * i, 0, 1000 * i + 1000, 1000) for i in range(len(counts))]
    interval = rate(counts, areas, Places.of(rects, ["s"] * len(counts)))
    assert interval is not None
    assert interval.low < interval.value < interval.high < np.inf


def test_very_many_parts_are_joined() -> None:
    number = 40 * neighbours.MOST_PARTS
    places = Places.of(row(number, 100), ["s"] * number)
    joined, blocks = places.joined()
    assert len(joined.xy) == len(joined.surface) == blocks.max() + 1 <= neighbours.MOST_PARTS
    assert np.bincount(blocks).max() <= 128
    counts = np.random.default_rng(0).poisson(5, number).tolist()
    assert 1.0 <= width(counts, places) / width(counts, None) < 1.5
    assert Places.of(row(9), ["s"] * 9).joined()[1].tolist() == list(range(9))


@pytest.mark.slow
@pytest.mark.parametrize(("alike", "least"), [(0.0, 0.94), (0.3, 0.93), (0.6, 0.88)])
@pytest.mark.parametrize(("columns", "number"), [(10, 10), (30, 30), (5, 25), (10, 100)])
def test_coverage_where_fields_lie_side_by_side(columns: int, number: int, alike: float, least: float) -> None:
    """Of 0.56 to 0.9 where they are taken for random."""
    case = Case(17, 0.3, (1.0,) * number, columns, alike)
    assert simulate(case, 250, placed=True).coverage >= least - 3 * np.sqrt(least * (1 - least) / 250)


def test_places_must_be_known_for_that() -> None:
    assert simulate(Case(17, 0.3, (1.0,) * 100, 10, 0.6), 250).coverage < 0.6
