"""`python -m detector.synth` from its options to its files and exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import synth

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command; gives exit code, standard output and standard error."""

    def called(*options: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["synth", *(str(option) for option in options)])
        with pytest.raises(SystemExit) as left:
            synth.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return called


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_fields_and_truth(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "neu é"
    code, printed, _ = call("--out", out, "--fields", 2, "--smears", 2, "--size", "320x240", "--stain", "mixed")
    assert code == 0
    assert printed.startswith("4 fields with ")
    fields = [f"smear_{s}/field_0{i}.jpg" for s in "ab" for i in (1, 2)]
    assert sorted(files(out)) == [*fields, "truth.csv", "truth.json"]
    with (out / "truth.csv").open(encoding="utf-8", newline="") as file:
        assert [row["field"] for row in csv.DictReader(file)] == fields
    coco = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in coco["images"]] == fields
    assert "seed 0" in coco["info"]["description"]
    for name in fields:
        assert cv2.imdecode(np.frombuffer((out / name).read_bytes(), np.uint8), cv2.IMREAD_COLOR).shape == (240, 320, 3)


def test_the_same_seed_gives_the_same_files(call: Call, tmp_path: Path) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert call("--out", tmp_path / folder, "--fields", 1, "--size", "200x150", "--seed", seed)[0] == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a") != files(tmp_path / "c")


@pytest.mark.slow
def test_varied_fields_are_written_with_their_ignore_regions(call: Call, tmp_path: Path) -> None:
    options = ("--fields", 12, "--size", "300x300", "--variety", "20-40", "--seed", 1)
    assert call("--out", tmp_path / "a", *options)[0] == 0
    assert call("--out", tmp_path / "b", *options)[0] == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    coco = json.loads((tmp_path / "a" / "truth.json").read_text(encoding="utf-8"))
    assert [category["name"] for category in coco["categories"]] == ["RBC", "WBC", "Platelets", "ignore"]
    assert all(7.6 / 40 - 1e-6 <= image["um_per_px"] <= 7.6 / 20 + 1e-6 for image in coco["images"])
    assert "rbc_px (20.0, 40.0)" in coco["info"]["description"]


def test_variety_needs_no_value(call: Call, tmp_path: Path) -> None:
    assert call("--out", tmp_path / "a", "--fields", 1, "--size", "100x100", "--variety")[0] == 0
    coco = json.loads((tmp_path / "a" / "truth.json").read_text(encoding="utf-8"))
    assert "rbc_px (20.0, 60.0)" in coco["info"]["description"]


def test_a_folder_that_is_not_empty_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    code, _, err = call("--out", tmp_path)
    assert code == 2
    assert "is not empty and nothing is overwritten" in err
    assert sorted(files(tmp_path)) == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "640"), "such as 640x480"),
        (("--size", "0x480"), "such as 640x480"),
        (("--stain", "gram"), "known: bccd, pbc, raabin, mixed"),
        (("--rbc", "90"), "of the glass"),
        (("--rbc", "-1"), "rbc must be a mean count of 0 or more"),
        (("--touching", "2"), "from 0 to 1"),
        (("--um-per-px", "0"), "um_per_px must be from"),
        (("--um-per-px", "nan"), "--um-per-px: must be a number"),
        (("--variety", "wide"), "such as 20-60"),
        (("--variety", "60-20"), "from 12 to 120 px wide"),
        (("--variety", "5-20"), "from 12 to 120 px wide"),
        (("--variety", "--stain", "pbc"), "leave out --um-per-px, --stain, --rbc"),
        (("--fields", "0"), "--fields"),
        (("--smears", "27"), "--smears"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_would_work(
    call: Call, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, printed, err = call("--out", tmp_path / "new", *options)
    assert code == 2
    assert message in " ".join(err.split())
    assert printed == ""
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_ends_with_3(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert call("--out", tmp_path / "file")[0] == 2
    code, _, err = call("--out", tmp_path / "file" / "deeper", "--fields", 1, "--size", "50x50")
    assert code == 3
    assert "name a folder that can be written" in err
