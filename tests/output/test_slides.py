"""The tables and pictures of slides say what became of each tile."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from detector.counting.result import FieldResult
from detector.counting.slides import SlideCount, TileCount
from detector.output import slides
from detector.output.journal import Journal
from detector.vision import scan
from detector.vision.detections import Detections, Unread
from detector.vision.quality import Quality

GOOD = Quality(8.0, 0.5, 0.02, 0.01, (220, 210, 230), 0.4, 0.1)


def tile(column: int, row: int, status: str = scan.COUNTED, cells: int = 0, quality: Quality | None = GOOD) -> TileCount:
    """A tile of 1,000 px."""
    owned = (1000 * column, 1000 * row, 1000 * column + 1000, 1000 * row + 1000)
    counted = status == scan.COUNTED
    numbers = (cells, 0, 1) if counted else (0, 0, 0)
    return TileCount(
        owned, status, "the file ends too early" * (status == scan.UNREADABLE), numbers, numbers, quality if counted else None
    )


def entry(tiles: list[TileCount], um_per_px: float | None = 0.1) -> FieldResult:
    size_wh = tiles[-1].owned[2:]
    slide = SlideCount(um_per_px, 75.0, tuple(tiles))
    return FieldResult("a/b.svs", "a", None, Detections.none((size_wh[0], size_wh[1])), slide=slide)


MIXED = [tile(0, 0, cells=60), tile(1, 0, scan.EMPTY), tile(2, 0, scan.UNFOCUSED), tile(0, 1, cells=90), tile(1, 1, cells=30),
         tile(2, 1, scan.UNREADABLE)]  # fmt: skip


def test_every_tile_is_a_row_and_what_was_not_seen_is_no_zero(tmp_path: Path) -> None:
    unread = FieldResult("c.svs", "a", None, Unread("c.svs", "is empty"))
    passed = list(slides.write(tmp_path, [entry(MIXED), unread]))
    assert [field.field for field in passed] == ["a/b.svs", "c.svs"]
    with (tmp_path / "tiles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["RBC"]) for row in rows] == [
        ("counted", "60"), ("empty", "0"), ("out of focus", ""), ("counted", "90"), ("counted", "30"), ("unreadable", ""),
    ]  # fmt: skip
    assert rows[5]["reason"] == "the file ends too early"
    assert [row["monolayer"] for row in rows] == ["true", "false", "false", "true", "true", "false"]
    assert (tmp_path / "density" / "a" / "b.svs.png").read_bytes().startswith(b"\x89PNG")


def test_no_slide_leaves_no_table(tmp_path: Path) -> None:
    assert len(list(slides.write(tmp_path, [FieldResult("c.jpg", "a", None, Detections.none((5, 5)))]))) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("um_per_px", [0.1, None])
def test_the_densest_tile_is_drawn_brightest_and_only_what_was_counted_has_colour(um_per_px: float | None) -> None:
    one = entry(MIXED, um_per_px)
    picture = slides._class_panel(slides._base(one), one, 0).astype(int)
    centres = {(c, r): picture[slides._TITLE_PX + 200 + 300 * r, 120 + 300 * c] for c in range(3) for r in range(2)}
    light = {place: int(colour.sum()) for place, colour in centres.items()}
    assert light[0, 1] > light[0, 0] > light[1, 1]
    assert np.ptp(centres[1, 0]) == 0
    assert all(np.ptp(centres[place]) > 5 for place in ((0, 0), (0, 1), (1, 1)))


def test_a_slide_says_what_is_missing_in_its_counts() -> None:
    counted = entry(MIXED).slide
    assert counted is not None
    assert counted.note() == "3 of 6 tiles counted, 1 empty, 1 out of focus, 1 unreadable, 3 of the monolayer"
    assert "1 of 6 tiles could not be read and are not counted: at (2000, 1000) (the file ends too early)" in counted.doubt()
    assert "1 tiles are out of focus" in counted.doubt()
    assert entry([tile(0, 0), tile(1, 0, scan.EMPTY)]).slide.doubt() == ""  # type: ignore[union-attr]


def test_tiles_are_what_the_counts_of_a_slide_scatter_between() -> None:
    one = entry(MIXED)
    assert one.slide is not None
    field = one.slide.field(one.cells, "a/b.svs", "a", None)  # type: ignore[arg-type]
    assert field.raw == {"RBC": 180, "WBC": 0, "Platelets": 3}
    assert [part.raw["RBC"] for part in field.parts] == [60, 90, 30]
    assert sum(part.area_px for part in field.parts) == pytest.approx(3e6, rel=0.01)
    assert field.um_per_px == 0.1
    assert one.slide.field(one.cells, "a/b.svs", "a", 0.2).um_per_px == 0.2  # type: ignore[arg-type]


def test_a_slide_and_its_tiles_come_back_from_the_journal(tmp_path: Path) -> None:
    look = scan.TileResult(
        scan.COUNTED,
        "",
        Detections(np.array([[99_999.25, 3, 100_020.5, 17.75]]), np.array([0.5]), np.array([2]), (120_000, 50)),
        GOOD,
    )
    with Journal(tmp_path / "j", {}, resume=False) as journal:
        journal.add_tile("a/b.svs", "plan", 7, look)
        journal.add_tile("a/b.svs", "plan", 8, scan.TileResult(scan.UNREADABLE, "why", Detections.none((5, 5))))
        journal.add(entry(MIXED), (1, 2))
    with Journal(tmp_path / "j", {}, resume=True) as journal:
        assert journal.read("a/b.svs").slide == entry(MIXED).slide
        assert journal.tiles("a/b.svs", "other") == {}
        back = journal.tiles("a/b.svs", "plan")
    assert list(back) == [7, 8]
    np.testing.assert_allclose(back[7].detections.xyxy, look.detections.xyxy, atol=0.01)
    assert (back[7].quality, back[8].reason) == (GOOD, "why")
