"""Pictures in DICOM through the commands: each takes them, with the scale that they state, and none tells of a patient."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from madeup_dicom import PATIENT, picture

from detector import convert, count, exchange
from detector.annotations import dataset
from detector.api import Detector
from detector.output.exchange import run as runs
from detector.review.opened import open_run
from detector.review.pictures import Pictures
from detector.vision import images
from detector.vision.cells import RBC_DIAMETER_UM
from detector.vision.model import Model

Run = Callable[..., int]
SAMPLE = next((Path(__file__).parents[2] / "datasets" / "samples").glob("smear_a/*.jpg"))
RBC_PX = 105
"""About how wide red cells are in the sample."""
SPACING_MM = f"{RBC_DIAMETER_UM / RBC_PX / 1000:.9f}"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def counted(tmp_path: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> Path:
    """A count of a sample in DICOM, with and without its scale, and with a wrong one."""
    rgb = images.read(SAMPLE)
    (tmp_path / "in").mkdir()
    for name, entries in {
        "bare": {},
        "scaled": {"PixelSpacing": [SPACING_MM, SPACING_MM]},
        "wrong": {"PixelSpacing": ["0.00025", "0.00025"]},
    }.items():
        folder = tmp_path / "in" / name
        folder.mkdir()
        (folder / "a.dcm").write_bytes(picture(rgb, **entries))
    assert run_command(count.main, tmp_path / "in", "--out", "run", "--threads", "1") == 0
    assert PATIENT not in "".join(capsys.readouterr())
    return Path("run")


@pytest.mark.slow
def test_dicom_goes_through_the_commands(counted: Path, run_command: Run, tmp_path: Path, model: Model) -> None:
    fields = {row["smear"]: row for row in rows(counted / "counts.csv")}
    assert {row["smear"]: row["scale"] for row in fields.values()} == {
        "bare": "cells of the field",
        "scaled": "the file",
        "wrong": "cells of the field",
    }
    assert float(fields["scaled"]["rbc_px"]) == pytest.approx(RBC_PX, rel=1e-4)
    assert "by its file red cells should be 30 px wide" in fields["wrong"]["reason"]
    smears = {(row["smear"], row["class"]): row for row in rows(counted / "smears.csv")}
    # Only a scale that the cells do not contradict gives an area.
    assert [smears[name, "RBC"]["per_mm2"] != "" for name in ("bare", "scaled", "wrong")] == [False, True, False]
    # The same in Python, and without the file.
    path = tmp_path / "in" / "scaled" / "a.dcm"
    counts = {name: int(fields["scaled"][name]) for name in ("RBC", "WBC", "Platelets")}
    for given in (path, path.read_bytes()):
        cells = Detector(threads=1).detect(given)
        assert cells.counts() == counts
        np.testing.assert_array_equal(cells.pixels(), images.read(SAMPLE))
    # Nothing of the patient in any file, and a review shows the picture.
    assert all(PATIENT.encode() not in file.read_bytes() for file in counted.rglob("*") if file.is_file())
    reviewed = open_run(counted)
    assert Pictures().picture(reviewed.fields[0])[:2] == b"\xff\xd8"
    review_counts = next(field.result.count() for field in reviewed.fields if field.result.smear == "scaled")
    assert review_counts.um_per_px == pytest.approx(RBC_DIAMETER_UM / RBC_PX, rel=1e-4)
    # Out as DICOM, and back from another form as a dataset that training reads.
    assert run_command(exchange.main, counted, "--to", "dicom", "--to", "coco", "--out", "out") == 0
    assert len(list(Path("out/dicom/annotations").rglob("*.dcm"))) == 3
    assert not Path("out/dicom/images").exists()
    assert run_command(convert.main, tmp_path / "in", "--labels", Path("out/coco/annotations.json"), "--out", "set") in (0, 1)
    copied = [record for split in ("train", "val", "test") for record in dataset.read(Path("set/data.yaml"), split)]
    assert {record.image.suffix for record in copied if record.image} == {".png"}


def test_identifiers_come_from_the_table_that_is_named(
    counted: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("who.csv").write_text("smear,subject,specimen\nscaled,p-1,s-1\n", encoding="utf-8")
    assert run_command(exchange.main, counted, "--to", "fhir", "--identifiers", "who.csv", "--out", "out") == 0
    assert "without a subject or specimen: 2 smears, first bare" in " ".join("".join(capsys.readouterr()).split())
    entries = json.loads(Path("out/fhir/scaled.json").read_text(encoding="utf-8"))["entry"]
    assert {entry["resource"].get("subject", {}).get("identifier", {}).get("value") for entry in entries} == {"p-1", None}
    assert runs.read(counted, {}).identifiers == {}
    assert run_command(exchange.main, counted, "--from", "x.json", "--identifiers", "who.csv", "--out", "set") == 2
    assert "--identifiers goes with --to" in "".join(capsys.readouterr())
