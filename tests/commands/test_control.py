"""`detector.control`: reference fields photographed day by day."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import control
from detector.accuracy import control as log
from detector.accuracy.report import drawings

pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
SAMPLES = Path(__file__).parents[2] / "datasets" / "samples" / "smear_a"
Run = Callable[..., int]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two reference fields."""
    folder = tmp_path / "today"
    folder.mkdir()
    for field in sorted(SAMPLES.glob("*.jpg"))[:2]:
        shutil.copy(field, folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the charts, which take the time."""
    monkeypatch.setattr(drawings, "write", lambda folder, parts, *kinds: {part: [] for part in parts})


def dimmed(folder: Path, share: float) -> None:
    for path in folder.glob("*.jpg"):
        cv2.imwrite(str(path), np.round(cv2.imread(str(path)) * share).astype(np.uint8))


@pytest.mark.slow
def test_a_dying_lamp_is_seen_after_the_days_of_learning(
    photographs: Path, run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (photographs, "--log", "lamp.csv", "--days", 10)
    with monkeypatch.context() as patch:
        patch.setattr(drawings, "write", lambda folder, parts, *kinds: {part: [] for part in parts})
        assert run_command(control.main, *given) == 0
    assert "not judged yet; still learning, 1 of 10 days" in capsys.readouterr().out
    first = log.read(Path("lamp.csv")).entries[0]
    assert set(first.values) == {measure.name for measure in log.MEASURES}
    assert first.values["RBC"] > 10

    assert run_command(control.main, *given) == 2
    assert "these are the very pictures of" in capsys.readouterr().err
    assert len(log.read(Path("lamp.csv")).entries) == 1

    for day in range(1, 11):
        log.append(Path("lamp.csv"), replace(first, time=f"2020-01-{day:02}T08:00:00+00:00", pictures=f"{day:016x}"))
    dimmed(photographs, 0.97)
    assert run_command(control.main, *given) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "OUT OF CONTROL" in printed
    assert "lightness of the ground (CIELAB) (1_3s" in printed
    page = Path("lamp.html").read_text(encoding="utf-8")
    assert "<title>Daily control</title>" in page
    assert page.count("data:image/svg+xml") == len(log.MEASURES)
    assert len(log.read(Path("lamp.csv")).entries) == 12


@pytest.mark.slow
def test_unread_and_missing_fields_are_told_and_the_rest_is_judged(
    photographs: Path, undrawn: None, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(control.main, photographs, "--log", "lamp.csv") == 0
    dimmed(photographs, 0.99)
    next(photographs.glob("*.jpg")).write_bytes(b"no picture")
    assert run_command(control.main, photographs, "--log", "lamp.csv") == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "unread:" in told
    assert "1 field read, and 2 in the run before; photograph the same fields each time" in told
    for path in photographs.glob("*.jpg"):
        path.write_bytes(b"none either")
    assert run_command(control.main, photographs, "--log", "lamp.csv") == 3
    assert "no reference field could be read; nothing was added" in " ".join(capsys.readouterr().err.split())
    assert len(log.read(Path("lamp.csv")).entries) == 2


@pytest.mark.slow
def test_json_is_all_that_standard_output_holds(
    photographs: Path, undrawn: None, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("targets.csv").write_text("measure,mean,sd\nRBC,1000,1\nlightness,1,1000\n", encoding="utf-8")
    assert run_command(control.main, photographs, "--log", "lamp.csv", "--targets", "targets.csv", "--json") == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    (entry,) = log.read(Path("lamp.csv")).entries
    assert (document["format"], document["version"], document["out"]) == ("smearcount-control", 1, "lamp.html")
    assert (document["time"], document["fields"], document["verdict"]) == (entry.time, 2, "out")
    measures = document["measures"]
    # The log holds them rounded.
    assert {name: at["value"] for name, at in measures.items()} == {
        name: pytest.approx(value, abs=1e-3) for name, value in entry.values.items()
    }
    red, light, white = (measures[name] for name in ("RBC", "lightness", "WBC"))
    assert (red["mean"], red["sd"], red["verdict"], red["rules"]) == (1000, 1, "out", ["1_3s"])
    assert (light["verdict"], light["rules"]) == ("in control", [])
    assert (white["mean"], white["sd"], white["verdict"]) == (None, None, "learning")
    assert "OUT OF CONTROL" in printed.err
    assert "results: lamp.html" in printed.err


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (["--log", "log.html"], 2, "name it log.csv"),
        (["--log", "mine.csv"], 3, "mine.html: is no page of a control, and is not written over"),
        (["--log", "other.csv"], 2, "other.csv, line 1: is no log of a control"),
        (["--log", "l.csv", "--days", "5"], 2, "must be a whole number from 10 up"),
        (["--log", "l.csv", "--targets", "other.csv"], 2, "other.csv, line 1: has columns a, b"),
        ([], 2, "required: --log"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(
    photographs: Path, run_command: Run, capsys: pytest.CaptureFixture[str], given: list[str], code: int, message: str
) -> None:
    Path("mine.html").write_text("<p>mine</p>", encoding="utf-8")
    Path("other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert run_command(control.main, photographs, *given) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
