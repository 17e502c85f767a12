"""`--shapes`: what a count says of red cell shapes, that a resumed count says the same, and that nothing changes without it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import Detector, OutputError, UsageError, commandline, count, shapes
from detector.counting.shapes import ABOVE, WITHIN
from detector.output.journal import Journal
from detector.vision.shapes import NORMAL, NOT_SURE, ShapeModel

Run = Callable[..., int]
CHULA = Path(__file__).parents[2].parent / "shared" / "data" / "chula"


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "shapes.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_count_tells_the_shares_of_each_smear(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commandline.console, "width", 80)
    assert run_command(count.main, fields, "--out", "out", "--shapes") == 0
    rows = _rows(Path("out"))
    names = [*ShapeModel.load().card.shapes, NOT_SURE]
    assert [(row["smear"], row["shape"]) for row in rows] == [(smear, name) for smear in ("smear_a", "smear_b") for name in names]
    for smear in ("smear_a", "smear_b"):
        own = [row for row in rows if row["smear"] == smear]
        assert sum(int(row["called"]) for row in own) == int(own[0]["rbc_clear"]) > 0
        assert sum(float(row["share"]) for row in own) == pytest.approx(1)
        assert all(float(row["share_low"]) <= float(row["share"]) <= float(row["share_high"]) for row in own)
    assert all((row["verdict"] in (ABOVE, WITHIN)) == (row["shape"] not in (NORMAL, NOT_SURE)) for row in rows)
    printed = capsys.readouterr().out
    # Rows that are too wide for the terminal are broken, with no sign of it in the words.
    assert ";\n  true share" in printed
    assert "\\n" not in printed
    assert "a flag for a reader, never a diagnosis" in printed
    assert "learned from one laboratory" in printed
    assert "expected calibration error" in printed
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "never a diagnosis" in report
    assert "Less sure than a reader needs" in report
    run = json.loads(Path("out/run.json").read_text(encoding="utf-8"))
    assert run["settings"]["shapes"] is True
    assert run["shapes"]["sha256"] == ShapeModel.load().sha256


@pytest.mark.slow
def test_without_the_option_nothing_of_shapes_is_written(fields: Path, run_command: Run) -> None:
    assert run_command(count.main, fields, "--out", "plain") == 0
    assert run_command(count.main, fields, "--out", "shaped", "--shapes") == 0
    assert not Path("plain/shapes.csv").exists()
    for name in ("counts.csv", "smears.csv", "detections.json"):
        assert Path("plain", name).read_bytes() == Path("shaped", name).read_bytes()
    for name in ("run.json", "journal.jsonl", "report.html"):
        assert "shapes" not in Path("plain", name).read_text(encoding="utf-8"), name


@pytest.mark.slow
def test_a_resumed_count_says_the_same_of_shapes(fields: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(count.main, fields, "--out", "whole", "--shapes", "--threads", 1) == 0
    real, added = Journal.add, []

    def failing(self: Journal, result: object, stamp: object) -> None:
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(result)
        real(self, result, stamp)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", failing)
        assert run_command(count.main, fields, "--out", "parts", "--shapes", "--threads", 1) == 130
    assert run_command(count.main, fields, "--out", "parts", "--resume") == OutputError.exit_code
    assert run_command(count.main, fields, "--out", "parts", "--shapes", "--resume") == 0
    assert Path("parts/shapes.csv").read_bytes() == Path("whole/shapes.csv").read_bytes()


@pytest.mark.slow
def test_shapes_from_python_and_as_json(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--out", "out", "--shapes", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    finder = Detector(threads=2)
    outcome = finder.count(fields, shapes=True)
    assert outcome.shapes_table()["called"].tolist() == [row["called"] for row in document["shapes"]]
    outcome.save("saved")
    assert Path("saved/shapes.csv").read_bytes() == Path("out/shapes.csv").read_bytes()
    plain = finder.count(fields)
    assert plain.shapes is None
    with pytest.raises(UsageError, match="shapes=True"):
        plain.shapes_table()


def test_training_refuses_what_is_no_data_of_shapes(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx", reason="needs the train extra: pip install -e '.[train]'")
    assert run_command(shapes.main, "--data", fields, "--splits", "none") == 2
    assert "train.txt and test.txt" in capsys.readouterr().err
    Path("lists").mkdir()
    for name in ("train", "test"):
        Path("lists", f"{name}.txt").write_text("1\n", encoding="utf-8")
    assert run_command(shapes.main, "--data", fields, "--splits", "lists") == 2
    assert "no folders 'images' and 'points'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not CHULA.is_dir(), reason="needs the pictures of Chula RBC-12, which are not in the repository")
def test_smears_of_known_shape_are_told_apart(run_command: Run) -> None:
    folder = Path("given")
    # Of the test split: in the first most cells are burr cells, in the second most are stomatocytes.
    for smear, numbers in {"burr": ("445", "450"), "stomata": ("316", "320")}.items():
        (folder / smear).mkdir(parents=True)
        for number in numbers:
            shutil.copy(CHULA / "images" / f"{number}.jpg", folder / smear)
    assert run_command(count.main, folder, "--out", "out", "--shapes") == 0
    share = {(row["smear"], row["shape"]): float(row["share"]) for row in _rows(Path("out"))}
    assert share["stomata", "target cell or stomatocyte"] > share["burr", "target cell or stomatocyte"]
    assert share["burr", "burr cell"] > share["stomata", "burr cell"]
