"""The same count from Python, in a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detector import Detections, Detector, count
from detector.errors import ImageError, ModelError, NothingToDoError, OutputError, UsageError
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


@pytest.mark.slow
def test_tables_are_those_of_the_files(fields: Path, tmp_path: Path, run_command: Callable[..., int]) -> None:
    (fields / "smear_b" / "bad.jpg").write_bytes(b"")
    outcome = Detector().count(fields, um_per_px=0.075)
    assert run_command(count.main, fields, "--out", "out", "--um-per-px", 0.075) == 1
    written = pd.read_csv("out/counts.csv").convert_dtypes()
    pd.testing.assert_frame_equal(outcome.counts_table().replace("", pd.NA), written, check_dtype=False)
    smears = pd.read_csv("out/smears.csv").convert_dtypes()
    mine = outcome.smears_table()
    pd.testing.assert_frame_equal(mine, smears, check_dtype=False, rtol=1e-5)


TABLES = ("counts.csv", "smears.csv", "detections.json", "errors.csv", "agreement.csv")


@pytest.mark.slow
def test_what_is_saved_is_what_the_command_writes(fields: Path, run_command: Callable[..., int]) -> None:
    (fields / "smear_b" / "bad.jpg").write_bytes(b"")
    (fields / "manual.csv").write_text("field,RBC,WBC\nsmear_a/field_01.jpg,15,2\nother.jpg,3,0\n", encoding="utf-8")
    options = ("--um-per-px", 0.075, "--rbc-per-ul", 4.6e6, "--truth", fields / "manual.csv")
    assert run_command(count.main, fields, "--out", "out", *options) == 1
    outcome = Detector().count(fields, um_per_px=0.075, rbc_per_ul=4.6e6, truth=fields / "manual.csv")
    outcome.save("mine")
    for name in TABLES:
        assert Path("mine", name).read_bytes() == Path("out", name).read_bytes(), name
    runs = [json.loads(Path(folder, "run.json").read_text(encoding="utf-8")) for folder in ("mine", "out")]
    for name in ("started", "finished", "seconds"):
        assert [run.pop(name) is not None for run in runs] == [True, True]
    assert runs[0] == runs[1]
    for folder in ("mine", "out"):
        report = Path(folder, "report.html").read_text(encoding="utf-8")
        assert report.count("data:image/jpeg") == 4
        assert "4 fields of 2 smears counted, 1 unread" in report
        assert "Per µL: cells per red cell x 4.6e+06 red cells per µL as given." in report
    assert sorted(path.name for path in Path("mine").iterdir()) == sorted({*TABLES, "run.json", "report.html"})
    # Boxes, calibration and truth are there without any file.
    white = outcome.smears[0].classes["WBC"]
    assert white.per_ul is not None
    assert "red cells per µL as given" in white.per_ul_source
    assert [result.field for result in outcome.results] == [field.field for field in outcome.fields]
    assert isinstance(outcome.results[0].cells, Detections)
    assert outcome.results[0].cells.counts() == outcome.read[0].raw
    assert outcome.against_truth is not None
    assert "truth without a counted field: other.jpg" in outcome.against_truth.remarks
    assert len(outcome.errors_table()) == 2
    assert list(outcome.agreement_table()["class"]) == ["RBC", "WBC"]
    # Nothing is overwritten, and a saved folder is not counted as one of fields.
    with pytest.raises(OutputError, match=r"holds counts\.csv.* already; choose another folder"):
        outcome.save("mine")
    outcome.save(fields / "saved")
    (fields / "saved" / "density").mkdir()
    Image.new("RGB", (9, 9)).save(fields / "saved" / "density" / "slide.png")
    assert len(Detector().count(fields).fields) == 5


@pytest.mark.slow
def test_inputs_come_as_for_the_command(fields: Path, tmp_path: Path) -> None:
    detector = Detector(threads=1)
    names = sorted(str(path) for path in fields.rglob("*.jpg"))
    for given in ([fields], [names], names, [fields / "smear_a", [fields / "smear_b"]], [str(fields / "*" / "*.jpg")]):
        assert [field.field.split("/")[-2:] for field in detector.count(*given).read] == [name.split("/")[-2:] for name in names]
    (tmp_path / "list.csv").write_text("field,smear,um_per_px\nsmear_a/field_01.jpg,P1,0.075\n", encoding="utf-8")
    outcome = detector.count(fields, manifest=tmp_path / "list.csv", ul_factor=500)
    assert [(field.field, field.smear) for field in outcome.read] == [("smear_a/field_01.jpg", "P1")]
    red = outcome.smears[0].classes["RBC"]
    assert red.per_mm2 is not None
    assert red.per_ul == red.per_mm2.times(500)
    with pytest.raises(UsageError, match=r"^nothing was compared"):
        outcome.agreement_table()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"um_per_px": 50}, "^um_per_px: 50 micrometres per pixel is not a scale"),
        ({"rbc_per_ul": -1}, "^rbc_per_ul must be a positive number"),
        ({"ul_factor": 3}, "^ul_factor needs cells per mm²: give um_per_px too"),
        ({"ul_factor": 3, "rbc_per_ul": 4e6, "um_per_px": 0.1}, "^rbc_per_ul and ul_factor are two ways"),
        ({"tile_px": 5}, "^tile_px 5: a tile must be"),
    ],
)
def test_a_wrong_calibration_is_refused_by_its_name(fields: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Detector().count(fields, **options)


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
        detections = detector.detect([path, str(path), path.read_bytes(), file, picture, rgb])
    detections.append(detector.detect(np.ascontiguousarray(rgb[:, :, ::-1]), bgr=True))
    assert len(detections) == 7
    for cells in detections:
        assert np.array_equal(cells.xyxy, detections[0].xyxy)
        assert np.array_equal(cells.draw(), detections[0].draw())
    assert "\n" not in repr(detector)
    assert repr(detections[0]).startswith("Detections(")
