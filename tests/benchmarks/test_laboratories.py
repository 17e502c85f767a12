"""Each source has its own errors beside those of the constant baseline and of a model that never saw it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import laboratories, sources
from detector.accuracy.figures import EvaluatedFields
from detector.annotations.records import Record
from detector.errors import AnnotationError
from detector.vision.catalogue import SHIPPED
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

Run = Callable[..., int]


@pytest.fixture
def looked() -> laboratories.Looked:
    """Ten fields with three red cells, of which one at the border and one within are not found."""
    xyxy = np.array([[0, 10, 30, 40], [50, 10, 80, 40], [50, 60, 80, 90]], np.float32)
    record = Record("1", None, (200, 200), xyxy, np.zeros(3, np.int64))
    detections = Detections(xyxy[[2]], np.full(1, 0.9, np.float32), np.zeros(1, np.int64), (200, 200), CLASSES)
    source = sources.Source("lab", [record] * 10, [Record("2", None, (200, 200), xyxy[:2], np.zeros(2, np.int64))])
    return laboratories.Looked(
        source, laboratories.GIVEN, EvaluatedFields([record] * 10, [detections] * 10, [detections] * 10), [detections] * 10
    )


def test_errors_recall_and_the_constant_baseline_are_of_the_source(looked: laboratories.Looked) -> None:
    row = laboratories.class_table([looked], 0).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert cells[:4] == ["lab", "given", "10", "30"]
    assert [cell.split(" (")[0] for cell in cells[4:7]] == ["2.00", "1.00", "1.00"]
    assert cells[7].startswith("33.3 (")


def test_a_class_without_labels_has_no_figures(looked: laboratories.Looked) -> None:
    row = laboratories.class_table([looked], 1).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split(" | ")] == ["lab", "given", "10", "-", "-", "-", "-", "-"]


def test_points_are_counted_by_type_where_they_lie(looked: laboratories.Looked) -> None:
    points = laboratories.Points(np.array([[60, 70], [65, 75], [60, 20]], np.float32), np.array([0, 4, 4]))
    rows = laboratories.point_table([looked], {"1": points}).splitlines()[4:]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert [(row[1], row[4], row[5].split(" ")[0], row[6]) for row in cells] == [
        ("all", "30", "66.7", "0"),
        ("normal cell", "10", "100.0", "0"),
        ("target cell", "20", "50.0", "0"),
    ]


def test_damaged_lines_are_told_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.txt").write_text("10 20 0\r\n30 40\n50 60 13\n-1 2 3\n1 x 2\n\n70 80 12\n", encoding="utf-8")
    points = laboratories.read_points(tmp_path, ["1", "2"])["1"]
    assert (points.xy.tolist(), points.kind.tolist()) == ([[10, 20], [70, 80]], [0, 12])
    printed = " ".join(capsys.readouterr().err.split())
    assert [f"line {n}:" in printed for n in range(1, 8)] == [False, True, True, True, True, False, False]
    with pytest.raises(AnnotationError, match=r"no file NAME\.txt"):
        laboratories.read_points(tmp_path, ["2"])


@pytest.mark.slow
def test_a_source_is_counted_by_a_model_that_never_saw_it_too(
    rendered: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copy(SHIPPED, rendered.parent / "other.onnx")
    assert run_command(laboratories.main, "--split", "val", "--left-out", f"rendered/all={other}", "--data", rendered) == 0
    printed = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in printed if line.startswith("| rendered/")]
    models = [("rendered/all", "given"), ("rendered/all", "left out"), ("rendered/white", "given")]
    assert [tuple(row[:2]) for row in rows] == models * 3
    assert [row[3:] for row in rows if row[0] == "rendered/white"][0::2] == [["-"] * 5] * 2
    assert rows[0][2:] == rows[1][2:]
    assert max(len(line) for line in printed) <= 130


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--left-out", "elsewhere=a.onnx"], 2, "there are rendered/all, rendered/white"),
        (["--left-out", "rendered"], 2, "must be SOURCE=MODEL.onnx"),
        (["--left-out", "rendered=none.onnx"], 3, "no such model file"),
        (["--points", "nowhere"], 3, "has no file NAME.txt"),
        (["--split", "test"], 3, "no fields of the split 'test'"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], code: int, said: str, rendered: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(laboratories.main, "--data", rendered, "--split", "val", *arguments) == code
    printed = " ".join(capsys.readouterr().err.split())
    assert said in printed
    assert "Traceback" not in printed
