"""Files are whole or absent, and tables run nothing."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detector.output import files, overlay
from detector.output.tables import Table
from detector.vision.detections import Detections


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "counts.csv"
    files.write_text(target, "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(target, "new")
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["counts.csv"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_text_that_a_spreadsheet_would_run_is_disarmed(tmp_path: Path, text: str) -> None:
    files.write_csv(tmp_path / "t.csv", ["field"], [[text]])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["field"], [f"'{text}"]]


def test_a_name_with_a_line_break_stays_in_its_row(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "t.csv", ["field", "n"], [["a\r=1\nb", 3]])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "field,n\na =1 b,3\n"


def test_numbers_truth_and_nothing_have_one_form(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "t.csv", list("abcdef"), [[-3, -0.5, 1 / 3, None, True, "plain"]])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a,b,c,d,e,f\n-3,-0.5,0.333333,,true,plain\n"


@given(st.lists(st.sampled_from(["a", "ü b", "..", "x.y", "c:"]), max_size=3), st.sampled_from(["f.jpg", "f.PNG", "f"]))
def test_overlays_stay_in_their_folder(parts: list[str], name: str) -> None:
    root = Path("results") / "overlays"
    target = overlay.path_of(root, "/".join([*parts, name]))
    assert root in target.parents
    assert ".." not in target.parts
    assert target.suffix == ".jpg"


@pytest.mark.parametrize("letter", ["a", "ä", "細", "\udcff"])
def test_the_overlay_of_a_field_with_the_longest_name_can_be_written(tmp_path: Path, letter: str) -> None:
    length = (255 - len(".png")) // len(os.fsencode(letter))
    names = [letter * length + ending for ending in (".png", ".bmp")]
    targets = [overlay.path_of(tmp_path, name) for name in names]
    assert targets[0] != targets[1]
    for name, target in zip(names, targets, strict=True):
        (tmp_path / name).touch()
        target.touch()
        assert target.suffix == ".jpg"


def test_overlays_of_fields_above_the_folder_meet_no_other() -> None:
    assert overlay.path_of(Path("o"), "../a.jpg") != overlay.path_of(Path("o"), "a.jpg")


def test_an_overlay_of_a_huge_field_is_made_smaller(tmp_path: Path) -> None:
    rgb = np.zeros((20, 40_000, 3), dtype=np.uint8)
    detections = Detections(np.array([[39_000, 2, 39_900, 18]]), np.array([0.9]), np.array([0]), (40_000, 20))
    overlay.write(rgb, detections, tmp_path / "o.jpg")
    with Image.open(tmp_path / "o.jpg") as drawn:
        assert drawn.size[0] == 16_000


def test_overlays_of_one_name_and_two_kinds_differ() -> None:
    assert overlay.path_of(Path("o"), "a/f.jpg") != overlay.path_of(Path("o"), "a/f.png")


@pytest.mark.parametrize(
    "pair",
    [
        ("a:b.jpg", "a_b.jpg"), ("a:b.png", "a_b.png"), ("../f.jpg", "__/f.jpg"), ("/a/f.jpg", "a/f.jpg"), ("a//f.jpg", "a/f.jpg"),
        ("f.png", "f.png.jpg"), ("f", "f.jpg"), ("f.JPG", "f.jpg"), ("f.svs", "f.svs.jpg"), ("f.png.jpg", "f.png.jpg.jpg"),
        ("f.v2", "f.v2.jpg"), ("a:b:c.jpg", "a:b_c.jpg"),
    ],
)  # fmt: skip
def test_no_two_overlays_are_one_file(pair: tuple[str, str]) -> None:
    first, second = (overlay.path_of(Path("o"), field) for field in pair)
    assert first != second
    assert overlay.path_of(Path("o"), pair[0]) == first


@pytest.mark.parametrize(
    ("field", "path"),
    [("a/f.jpg", "a/f.jpg"), ("f.JPG", "f.JPG"), ("f.png", "f.png.jpg"), ("f.1.tif", "f.1.tif.jpg"), ("c.svs", "c.svs.jpg")],
)
def test_overlays_are_named_as_their_fields(field: str, path: str) -> None:
    assert overlay.path_of(Path("o"), field) == Path("o") / path


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [".counts.csv.123.456.part", "overlays/a/.f.jpg.1.2.part"]
    kept = ["counts.csv", ".mine.part", "notes.1.2.part", "overlays/a/f.jpg"]
    for name in left + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files.remove_parts(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_a_name_that_is_no_utf8_stands_in_a_table_as_an_escape(tmp_path: Path) -> None:
    table = Table(("field", "RBC"), [("f\udce9ld", 3)])
    table.write(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "field,RBC\nf\\udce9ld,3\n"
    assert table.frame()["field"].tolist() == ["f\\udce9ld"]
