"""The convert command: what it prints, writes and ends with."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import convert
from detector.annotations import download

ROOT = Path(__file__).parents[2]


def field(path: Path, seed: int, text: str = "1 0.5 0.5 0.25 0.25\n") -> None:
    """An image and its YOLO labels below a folder."""
    noise = np.random.default_rng(seed).normal(size=(64, 96, 3)).astype(np.float32)
    pixels = np.clip(128 + 500 * cv2.GaussianBlur(noise, (0, 0), 4), 0, 255).astype(np.uint8)
    for kind, suffix, content in (
        ("images", ".png", cv2.imencode(".png", pixels)[1].tobytes()),
        ("labels", ".txt", text.encode()),
    ):
        target = path.parent / kind / f"{path.name}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "set with spaces"
    for i in range(10):
        field(root / f"f{i}", i)
    (root / "classes.txt").write_text("WBC\nRBC\nPlatelet\n", encoding="utf-8")
    return root


def corrections_file(path: Path, *rows: str) -> Path:
    """A corrections file of those rows, the first of which is line 2."""
    path.write_text("\n".join(["image,action,label,x1,y1,x2,y2,new_label,reason", *rows, ""]), encoding="utf-8")
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        convert.main()
    return int(ended.value.code or 0)


def test_all_well(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, source, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "boxes: 0 repaired, 0 dropped" in printed
    assert "audit.md" in printed
    audit = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert {split: tally["images"] for split, tally in audit["splits"].items()} == {"train": 8, "val": 1, "test": 1}
    assert audit["splits"]["train"]["boxes"] == {"RBC": 8, "WBC": 0, "Platelets": 0}
    assert (audit["split_plan"], audit["seed"]) == ("0.8/0.1/0.1", 0)


def test_slivers_go_from_the_labels_to_train_on_and_stay_in_those_to_test_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    whole = "".join(f"1 {0.2 + 0.3 * i:.1f} 0.5 0.2 0.2\n" for i in range(3))
    for i in range(10):
        field(root / f"f{i}", i, whole + "1 0.01 0.5 0.02 0.2\n" + "1 0.5 0.05 0.2 0.1\n")
    (root / "classes.txt").write_text("WBC\nRBC\nPlatelet\n", encoding="utf-8")
    assert run(monkeypatch, root, "--out", tmp_path / "out", "--splits", "0.6/0.2/0.2") == 0
    assert "8 dropped" in capsys.readouterr().out
    for split, lines in (("train", 4), ("val", 4), ("test", 5)):
        for labels in (tmp_path / "out" / "labels" / split).iterdir():
            assert len(labels.read_text(encoding="utf-8").splitlines()) == lines, labels


def test_some_inputs_failed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "images" / "f3.png").write_bytes(b"")
    assert run(monkeypatch, source, "--out", tmp_path / "out", "--splits", "0.6/0.2/0.2", "--seed", 1) == 1
    assert "images/f3.png" in capsys.readouterr().err
    assert (tmp_path / "out" / "data.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "the following arguments are required: --out"),
        (["--out", "out"], 2, "give either SOURCE"),
        (["nowhere", "--out", "out"], 3, "nowhere: no such file or folder"),
        (["{source}", "--out", "out", "--download", "bccd"], 2, "give either SOURCE"),
        (["--out", "out", "--download", "coco"], 2, "known: bccd"),
        (["{source}", "--out", "out", "--splits", "0.5/0.6/0.1"], 2, "must sum to 1"),
        (["{source}", "--out", "out", "--splits", "official"], 2, "no splits of its own"),
        (["{source}", "--out", "out", "--only-relabelled"], 2, "needs --labels"),
        (["{source}", "--out", "out", "--labels", "nowhere"], 3, "nowhere: no such file or folder"),
        (["{source}", "--out", "out", "--against", "nowhere"], 3, "nowhere: no such folder"),
        (["{source}", "--out", "out", "--corrections", "nowhere.csv"], 3, "nowhere.csv: cannot be read"),
        (["{source}", "--out", "out", "--corrections", "file"], 3, "file: has no column image"),
        (
            ["{source}", "--out", "out", "--corrections", "bad.csv"],
            3,
            "bad.csv, line 3: action is 'shrink', expected remove, relabel",
        ),
        (["{source}", "--out", "out", "--corrections", "out/c.csv"], 2, "lies in or around"),
        (["{source}", "--out", "{source}"], 2, "lies in or around"),
        (["{source}/images", "--out", "out"], 3, "holds no label set"),
        (["{source}/classes.txt", "--out", "out"], 3, "not a label set"),
        (["{source}", "--out", "{source}/classes.txt/out"], 2, "lies in or around"),
        (["{source}", "--out", "file/out"], 3, "cannot be written"),
        (["{source}", "--out", "file"], 3, "exists and is not an earlier conversion"),
    ],
)
def test_wrong_use(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    corrections_file(tmp_path / "bad.csv", "f0,add,RBC,1,1,9,9,,why", "f0,shrink,RBC,1,1,9,9,,why")
    assert run(monkeypatch, *(argument.format(source=source) for argument in arguments)) == code
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def listed(source: Path, tmp_path: Path) -> Path:
    """Lists that put f8 into val, f9 into test and all others but f7 into train."""
    folder = tmp_path / "lists"
    folder.mkdir()
    for split, numbers in (("train", range(7)), ("val", [8]), ("test", [9])):
        (folder / f"{split}.txt").write_text("".join(f"f{i}\n" for i in numbers), encoding="utf-8")
    return folder


# The labelled box of every field, as pixels.
MIDDLE = "36,24,60,40"


def test_corrections_are_applied(
    source: Path, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = corrections_file(
        tmp_path / "corrections.csv",
        f"f0,remove,RBC,{MIDDLE},,no cell in the box",
        f"f1,relabel,RBC,{MIDDLE},WBC,a neutrophil",
        "f1,add,PLT,1,2,9,10.5,,a platelet without a box",
        f"f8,remove,erythrocyte,{MIDDLE},,no cell in the box",
    )
    plain = ("--splits", listed, "--out", tmp_path / "out")
    assert run(monkeypatch, source, *plain) == 0
    assert "corrections:" not in capsys.readouterr().out
    before = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert before["corrections"] is None
    assert run(monkeypatch, source, *plain, "--corrections", sheet) == 0
    printed = capsys.readouterr()
    assert "corrections: 2 removed, 1 relabelled, 1 added, 0 could not be applied\n" in printed.out
    assert printed.err == ""
    labels = tmp_path / "out" / "labels"
    assert (labels / "train" / "f0.txt").read_text(encoding="utf-8") == ""
    assert [line.split()[0] for line in (labels / "train" / "f1.txt").read_text(encoding="utf-8").splitlines()] == ["1", "2"]
    assert (labels / "train" / "f2.txt").read_text(encoding="utf-8").startswith("0 0.5")
    audit = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert audit["version"] == before["version"]
    assert audit["splits"]["train"]["boxes"] == {"RBC": 5, "WBC": 1, "Platelets": 1}
    assert audit["splits"]["val"]["without_rbc"] == ["f8"]
    assert audit["corrections"] == {
        "file": sheet.as_posix(),
        "sha256": hashlib.sha256(sheet.read_bytes()).hexdigest(),
        "applied": [
            {"action": "remove", "name": "RBC", "new_name": None, "rows": 2},
            {"action": "relabel", "name": "RBC", "new_name": "WBC", "rows": 1},
            {"action": "add", "name": "Platelets", "new_name": None, "rows": 1},
        ],
        "not_applied": [],
        "absent": {},
    }
    page = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert audit["corrections"]["sha256"] in page
    assert "- remove: 2 (RBC 2)\n- relabel: 1 (RBC to WBC 1)\n- add: 1 (Platelets 1)\n- could not be applied: 0\n" in page


def test_corrections_that_cannot_be_applied_are_told_and_the_others_are(
    source: Path, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = corrections_file(
        tmp_path / "corrections.csv",
        f"f9,remove,RBC,{MIDDLE},,no cell in the box",
        f"f0,remove,WBC,{MIDDLE},,no cell in the box",
        f"f2,add,RBC,{MIDDLE},,a red cell without a box",
        "f3,add,RBC,90,50,97,60,,a red cell without a box",
        f"f0,relabel,RBC,{MIDDLE},WBC,a neutrophil",
        f"f7,remove,RBC,{MIDDLE},,no cell in the box",
        f"ghost,remove,RBC,{MIDDLE},,no cell in the box",
        f"ghost,add,WBC,{MIDDLE},,a white cell without a box",
        f"f4,remove,RBC,{MIDDLE},,no cell in the box",
        f"f4,remove,RBC,{MIDDLE},,twice",
        "f5,add,RBC,0,0,1,9,,a sliver",
    )
    assert run(monkeypatch, source, "--splits", listed, "--out", tmp_path / "out", "--corrections", sheet) == 1
    printed = capsys.readouterr()
    summary = "corrections: 1 removed, 1 relabelled, 0 added, 6 could not be applied, 3 for fields that are not converted"
    assert summary in " ".join(printed.out.split())
    told = [
        (2, "f9", "the field is in split test, whose labels stay as published"),
        (3, "f0", "fits no labelled WBC box with an IoU of at least 0.9"),
        (4, "f2", "a box of class RBC is there already"),
        (5, "f3", "the box reaches outside the image, which is 96x64"),
        (11, "f4", "the RBC box that it fits is another row's"),
        (12, "f5", "the box has a side under 1.5 px"),
    ]
    for line, image, reason in told[:5]:
        assert f"could not be applied: {sheet}, line {line}: {image}: {reason}\n" in printed.err
    assert "and 1 more that could not be applied" in printed.err
    audit = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    refused = audit["corrections"]["not_applied"]
    assert [(row["line"], row["image"], row["reason"]) for row in refused] == told
    assert (refused[3]["action"], refused[3]["name"], refused[3]["xyxy"]) == ("add", "RBC", [90, 50, 97, 60])
    assert audit["remarks"] == [
        {"file": "f7", "reason": "has 1 correction and is not converted"},
        {"file": "ghost", "reason": "has 2 corrections and is not in the source"},
    ]
    assert audit["splits"]["train"]["boxes"] == {"RBC": 5, "WBC": 1, "Platelets": 0}
    assert audit["splits"]["test"]["boxes"] == {"RBC": 1, "WBC": 0, "Platelets": 0}
    page = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert "- line 5: `f3`: add RBC [90, 50, 97, 60]: the box reaches outside the image" in page


def test_corrections_of_fields_that_are_all_elsewhere_are_no_failure(
    source: Path, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = corrections_file(tmp_path / "corrections.csv", "ghost,add,RBC,1,1,9,9,,why")
    assert run(monkeypatch, source, "--splits", listed, "--out", tmp_path / "out", "--corrections", sheet) == 0
    assert "0 could not be applied, 1 for fields that are not converted" in " ".join(capsys.readouterr().out.split())


def test_corrections_come_after_the_labels_of_another_set(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    field(other / "f1", 1, "0 0.5 0.5 0.25 0.25\n")
    (other / "classes.txt").write_text("WBC\nRBC\nPlatelet\n", encoding="utf-8")
    sheet = corrections_file(tmp_path / "corrections.csv", f"f1,relabel,WBC,{MIDDLE},Platelets,a giant platelet")
    options = ("--splits", "1/0/0", "--labels", other, "--only-relabelled", "--corrections", sheet)
    assert run(monkeypatch, source, *options, "--out", tmp_path / "out") == 0
    audit = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert audit["splits"]["train"]["boxes"] == {"RBC": 0, "WBC": 0, "Platelets": 1}


def test_a_bad_corrections_file_leaves_the_earlier_conversion(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, source, "--out", out) == 0
    before = (out / "audit.json").read_bytes()
    sheet = corrections_file(tmp_path / "bad.csv", "f0,add,cat,1,1,9,9,,why")
    assert run(monkeypatch, source, "--out", out, "--corrections", sheet) == 3
    assert (out / "audit.json").read_bytes() == before


def test_download_then_convert(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[str] = []

    def fetched(dataset: download.Descriptor, folder: Path, told: object) -> Path:
        calls.append(f"{dataset.url} {folder.as_posix()}")
        return source

    monkeypatch.setattr(download, "fetch", fetched)
    assert run(monkeypatch, "--download", "bccd", "--out", "out") == 0
    (line,) = calls
    assert line.startswith("https://")
    assert line.endswith("/BCCD/ datasets/downloads/bccd")


def test_the_module_runs_as_a_program_without_torch(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from detector import convert; convert.run = lambda *a: None; convert.main(); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
    command = [sys.executable, "-m", "detector.convert", str(source), "--out", str(tmp_path / "out"), "--against", str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "fields also in" in done.stdout
    assert done.stderr == ""
