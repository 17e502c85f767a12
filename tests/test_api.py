"""The same count from Python, in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detector import Detector, count
from detector.errors import ImageError, ModelError, NothingToDoError
from detector.vision import images


def test_a_path_and_its_pixels_give_the_same_cells(fields: Path) -> None:
    detector = Detector()
    path = fields / "smear_a" / "field_01.jpg"
    from_path, from_pixels = detector.detect(path), detector.detect(images.read(path))
    assert from_path.counts() == from_pixels.counts()
    assert np.array_equal(from_path.xyxy, from_pixels.xyxy)
    assert len(from_path) > 5


def test_folders_are_counted_by_smear_and_nothing_is_written(
    fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    detector = Detector()
    outcome = detector.count(fields, um_per_px=0.075)
    assert [smear.smear for smear in outcome.smears] == ["smear_a", "smear_b"]
    one = detector.detect(fields / "smear_a" / "field_01.jpg", um_per_px=0.075)
    assert outcome.read[0].raw == one.counts()
    assert outcome.smears[0].classes["RBC"].per_mm2 is not None
    assert list(Path.cwd().iterdir()) == []


def test_tables_are_those_of_the_files(fields: Path, tmp_path: Path, run_command: Callable[..., int]) -> None:
    (fields / "smear_b" / "bad.jpg").write_bytes(b"")
    outcome = Detector().count(fields, um_per_px=0.075)
    assert run_command(count.main, fields, "--out", "out", "--um-per-px", 0.075) == 1
    written = pd.read_csv("out/counts.csv").convert_dtypes()
    pd.testing.assert_frame_equal(outcome.counts_table().replace("", pd.NA), written, check_dtype=False)
    smears = pd.read_csv("out/smears.csv").convert_dtypes()
    mine = outcome.smears_table()
    assert list(mine.columns) == [name for name in smears.columns if not name.startswith("per_ul")]
    pd.testing.assert_frame_equal(mine, smears[mine.columns], check_dtype=False, rtol=1e-5)


def test_wrong_input_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        Detector(tmp_path / "none.onnx")
    detector = Detector()
    with pytest.raises(ImageError, match="No such file"):
        detector.detect(tmp_path / "none.jpg")
    with pytest.raises(NothingToDoError, match="does not exist"):
        detector.count(tmp_path / "none")
    for wrong in (np.zeros((5, 5, 2), np.uint8), np.zeros((5, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"^image: pixels must have shape"):
            detector.detect(wrong)
    with pytest.raises(ImageError, match=r"none\.jpg: cannot be opened \(No such file"):
        detector.detect([tmp_path / "none.jpg"])
    white = np.full((4, 4, 3), 255, np.uint8)
    with pytest.raises(ImageError, match=r"^image 2 of 3: is empty"):
        detector.detect([white, b"", white])
    with pytest.raises(ValueError, match=r"^image 1 of 2: pixels must"):
        detector.detect((white[:, :, :2], white))
    with pytest.raises(TypeError, match=r"^image: a field is a path, bytes.* got int"):
        detector.detect(7)  # type: ignore[call-overload]
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    with (tmp_path / "text.jpg").open("rb") as file, pytest.raises(ImageError, match=r"text\.jpg: is not an image"):
        detector.detect(file)


def test_a_field_comes_in_any_form(fields: Path) -> None:
    path = fields / "smear_a" / "field_01.jpg"
    rgb = images.read(path)
    detector = Detector(threads=1)
    with path.open("rb") as file, Image.open(path) as picture:
        found = detector.detect([path, str(path), path.read_bytes(), file, picture, rgb])
    found.append(detector.detect(np.ascontiguousarray(rgb[:, :, ::-1]), bgr=True))
    assert len(found) == 7
    for cells in found:
        assert np.array_equal(cells.xyxy, found[0].xyxy)
        assert np.array_equal(cells.draw(), found[0].draw())
    assert "\n" not in repr(detector)
    assert repr(found[0]).startswith("Detections(")
