"""True counts from tables and from labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.accuracy.truth import of_records, read
from detector.annotations.records import Record
from detector.errors import AnnotationError, ManifestError


@pytest.mark.parametrize("name", ["manual.csv", "manual.TSV", "manual.txt"])
def test_a_table_is_told_by_its_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("field\tRBC\na\t3\n", encoding="utf-8")
    assert read(tmp_path / name).counts == {"a": {"RBC": 3}}


def test_what_is_no_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone.csv: cannot be read"):
        read(tmp_path / "gone.csv")
    with pytest.raises(AnnotationError, match="holds no label set"):
        read(tmp_path)
    (tmp_path / "counts.csv").write_text("field,RBC\na,3\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"is a folder of results; give .*counts\.csv"):
        read(tmp_path)


def test_counts_of_records_name_every_class() -> None:
    xyxy = np.zeros((3, 4), np.float32)
    records = [Record("a", None, (9, 9), xyxy, np.array([0, 2, 0])), Record("b", None, (9, 9), xyxy[:0], np.zeros(0, np.int64))]
    assert of_records(records) == {
        "a": {"RBC": 2, "WBC": 0, "Platelets": 1},
        "b": {"RBC": 0, "WBC": 0, "Platelets": 0},
    }
