"""Cells as annotations of DICOM, read back by highdicom, and the pictures that they name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from madeup import BARE, CELLS, HARMFUL, PLAIN, SIZE_WH, TURNED, UPWARDS, Made, detections, write_run
from madeup_dicom import MICROSCOPIC, PATIENT, content, dataset, whole_slide

from detector.counting.result import FieldResult
from detector.output.exchange import formats
from detector.output.exchange import run as runs
from detector.output.exchange.run import Identified, Run
from detector.output.files import portable
from detector.vision import images

ann = pytest.importorskip("highdicom.ann", reason="needs the dicom extra: pip install -e '.[dicom]'")
pydicom = pytest.importorskip("pydicom")


def export(run: Run, out: Path) -> tuple[Path, list[str]]:
    done = formats.write(run, ["dicom"], out)
    assert not done.failed
    return done.folders["dicom"], done.remarks


def corners(group: Any) -> list[tuple[float, ...]]:
    """Boxes of a group."""
    shapes = group.get_graphic_data(coordinate_type="2D")
    return [(*shape.min(axis=0).tolist(), *shape.max(axis=0).tolist()) for shape in shapes]


def of_dicom(tmp_path: Path, name: str, file: bytes, size_wh: tuple[int, int] = SIZE_WH) -> Run:
    """A run of one field in DICOM."""
    (tmp_path / name).write_bytes(file)
    cells = replace(detections(), size_wh=size_wh)
    write_run(tmp_path / "run", [FieldResult(name, "s", None, cells)], [])
    return runs.read(tmp_path / "run", {name: tmp_path / name})


def field() -> np.ndarray:
    return np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)


@pytest.mark.parametrize("name", [PLAIN, TURNED, HARMFUL])
def test_annotations_are_read_by_highdicom_with_the_boxes_of_the_picture_that_they_name(
    made: Made, tmp_path: Path, name: str
) -> None:
    folder, _ = export(made.run(), tmp_path / "out")
    read = ann.annread(folder / "annotations" / f"{portable(name)}.dcm")
    groups = read.get_annotation_groups()
    assert [group.label for group in groups] == ["RBC", "WBC", "Platelets"]
    for group, (_, *expected), score in zip(groups, CELLS, (0.5, 0.7, 0.9), strict=True):
        np.testing.assert_allclose(corners(group), [expected], atol=1e-5)
        _, values, _ = group.get_measurements()
        np.testing.assert_allclose(values, [[score]], atol=1e-6)
        assert group.algorithm_type.value == "AUTOMATIC"
    assert [group.annotated_property_type.value for group in groups] == ["41898006", "52501007", "16378004"]
    copy = pydicom.dcmread(folder / "images" / f"{portable(name)}.dcm")
    assert read.ReferencedImageSequence[0].ReferencedSOPInstanceUID == copy.SOPInstanceUID
    assert read.StudyInstanceUID == copy.StudyInstanceUID
    # As it is displayed: in its upright picture the boxes fit.
    np.testing.assert_array_equal(copy.pixel_array, images.read(made.pictures / name))
    np.testing.assert_array_equal(images.read(folder / "images" / f"{portable(name)}.dcm"), copy.pixel_array)


def test_cells_of_a_review_are_marked_as_such(made: Made, tmp_path: Path) -> None:
    run = made.run()
    folder, _ = export(replace(run, about={**run.about, "review": {"of": "run", "written": "2026-01-01"}}), tmp_path / "out")
    read = ann.annread(folder / "annotations" / f"{portable(PLAIN)}.dcm")
    assert {group.algorithm_type.value for group in read.get_annotation_groups()} == {"SEMIAUTOMATIC"}
    assert "reviewed by a person" in read.ContentDescription


def test_fields_without_cells_or_pictures_are_told(made: Made, tmp_path: Path) -> None:
    folder, remarks = export(made.run(), tmp_path / "out")
    assert not (folder / "annotations" / f"{BARE}.dcm").exists()
    assert "dicom: without annotations, for they have no cells: 1 field" in remarks
    missing = f"dicom: without annotations, for their pictures were not found, or are slides that are no DICOM: 1 field, first {UPWARDS}"
    assert missing in remarks


def test_a_dicom_picture_is_named_and_its_patient_is_not(tmp_path: Path) -> None:
    run = of_dicom(tmp_path, "a.dcm", content(dataset(field())))
    folder, _ = export(run, tmp_path / "out")
    assert [path.name for path in folder.rglob("*.dcm")] == ["a.dcm.dcm"]
    written = folder / "annotations" / "a.dcm.dcm"
    read = ann.annread(written)
    assert (read.StudyInstanceUID, read.ReferencedImageSequence[0].ReferencedSOPInstanceUID) == ("1.2.3", "1.2.3.4.5")
    assert read.ReferencedImageSequence[0].ReferencedSOPClassUID == MICROSCOPIC
    assert (read.PatientName, read.PatientID, read.PatientBirthDate, read.AccessionNumber) == ("", "", "", "")
    for private in (PATIENT, "pid-77", "19500101", "acc-9", "20260102"):
        assert private.encode() not in written.read_bytes()


def test_the_subject_is_the_one_that_the_user_gives(tmp_path: Path) -> None:
    run = replace(of_dicom(tmp_path, "a.dcm", content(dataset(field()))), identifiers={"s": Identified("p-1", "")})
    folder, _ = export(run, tmp_path / "out")
    assert ann.annread(folder / "annotations" / "a.dcm.dcm").PatientID == "p-1"


def test_annotations_of_a_slide_lie_in_its_matrix(tmp_path: Path) -> None:
    rgb = np.zeros((128, 256, 3), np.uint8)
    run = of_dicom(tmp_path, "a.dcm", whole_slide(rgb, 0.00025), (256, 128))
    folder, _ = export(run, tmp_path / "out")
    read = ann.annread(folder / "annotations" / "a.dcm.dcm")
    assert read.PixelOriginInterpretation == "VOLUME"
    assert corners(read.get_annotation_groups()[1])[0] == pytest.approx(CELLS[1][1:], abs=1e-4)


def test_a_doubtful_smear_leads_with_its_warning(tmp_path: Path) -> None:
    run = of_dicom(tmp_path, "a.dcm", content(dataset(field())))
    table = tmp_path / "run" / "smears.csv"
    # A single field has a warning of its own.
    assert "only one field" in table.read_text(encoding="utf-8")
    folder, _ = export(run, tmp_path / "out")
    read = ann.annread(folder / "annotations" / "a.dcm.dcm")
    assert read.ContentDescription.startswith("WARNING: only one field")
    assert read.AnnotationGroupSequence[0].AnnotationGroupDescription.startswith("only one field")


def test_the_same_run_has_the_same_uids_and_another_has_others(tmp_path: Path) -> None:
    run = of_dicom(tmp_path, "a.dcm", content(dataset(field())))
    first, again = (export(run, tmp_path / name)[0] / "annotations" / "a.dcm.dcm" for name in ("first", "again"))
    assert ann.annread(first).SOPInstanceUID == ann.annread(again).SOPInstanceUID
    about = tmp_path / "run" / "run.json"
    about.write_text(json.dumps({**json.loads(about.read_text(encoding="utf-8")), "started": "2026-01-01"}), encoding="utf-8")
    other, _ = export(runs.read(tmp_path / "run", {"a.dcm": tmp_path / "a.dcm"}), tmp_path / "other")
    assert ann.annread(other / "annotations" / "a.dcm.dcm").SOPInstanceUID != ann.annread(first).SOPInstanceUID


def test_a_picture_that_is_damaged_by_now_costs_the_others_nothing(tmp_path: Path) -> None:
    made = dataset(field())
    del made.StudyInstanceUID
    folder, remarks = export(of_dicom(tmp_path, "a.dcm", content(made)), tmp_path / "out")
    assert not list(folder.rglob("*.dcm"))
    assert "a.dcm: its picture has a DICOM header without the UIDs that annotations need, and has no annotations" in remarks[-1]
