"""`python -m detector.count` from its options to its files and exit codes."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector import count
from detector.engines import job
from detector.output.journal import Journal
from detector.vision.catalogue import SHIPPED
from detector.vision.model import Model
from detector.vision.sums import FieldSums, ValSums

Run = Callable[..., int]
ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "datasets" / "samples"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_samples_are_counted_nearly_as_in_truth(run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, SAMPLES, "--out", "out", "--truth", SAMPLES / "truth.csv") == 0
    printed = capsys.readouterr().out
    assert "smear_a" in printed
    assert "Against truth, 8 fields" in printed
    for row in rows(Path("out/agreement.csv")):
        most = 0.12 if row["class"] == "Platelets" else 0.05
        assert abs(int(row["counted"]) - int(row["truth"])) <= most * int(row["truth"]), row["class"]


def test_every_file_tells_the_same(fields: Path, run_command: Run) -> None:
    assert run_command(count.main, fields, "--out", "out", "--overlays") == 0
    counts, smears = rows(Path("out/counts.csv")), rows(Path("out/smears.csv"))
    assert list(counts[0]) == [
        "field", "smear", "status", "reason", "RBC", "WBC", "Platelets", "RBC_frame", "WBC_frame", "Platelets_frame",
        "width_px", "height_px", "rbc_px", "scale", "saturated", "focus", "covered", "doubt",
    ]  # fmt: skip
    assert [row["field"] for row in counts] == [
        "smear_a/field_01.jpg", "smear_a/field_02.jpg", "smear_b/field_01.jpg", "smear_b/field_02.jpg",
    ]  # fmt: skip
    assert {row["status"] for row in counts} == {"ok"}
    document = json.loads(Path("out/detections.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in document["categories"]}
    for image, row in zip(document["images"], counts, strict=True):
        mine = [annotation for annotation in document["annotations"] if annotation["image_id"] == image["id"]]
        for name in ("RBC", "WBC", "Platelets"):
            assert sum(names[annotation["category_id"]] == name for annotation in mine) == int(row[name])
            assert int(row[f"{name}_frame"]) <= int(row[name])
        assert image["file_name"] == row["field"]
        drawn = cv2.imread(str(Path("out/overlays") / row["field"]))
        assert drawn.shape[1] == int(row["width_px"])
    for row in smears:
        own = [one for one in counts if one["smear"] == row["smear"]]
        assert int(row["total"]) == sum(int(one[row["class"]]) for one in own)
        assert float(row["mean_low"]) <= float(row["mean_per_field"]) <= float(row["mean_high"])
        assert row["per_mm2"] == ""
    run = json.loads(Path("out/run.json").read_text(encoding="utf-8"))
    assert run["fields"] == {"read": 4, "unread": 0, "saturated": 0}
    assert run["model"]["sha256"] == json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]


def test_json_is_all_that_standard_output_holds(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (fields / "smear_b" / "empty.jpg").write_bytes(b"")
    assert run_command(count.main, fields, "--out", "out", "--json") == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["format"], document["version"], document["out"]) == ("smearcount", 1, "out")
    for name in ("counts", "smears"):
        written = rows(Path(f"out/{name}.csv"))
        assert [list(row) for row in document[name]] == [list(row) for row in written]
    assert [row["RBC"] for row in document["counts"]] == [
        int(row["RBC"]) if row["RBC"] else None for row in rows(Path("out/counts.csv"))
    ]
    assert "Counts, with" in printed.err
    assert "4 fields counted, 1 unread" in printed.err
    assert run_command(count.main, fields, "--out", "quiet", "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "unread: smear_b/empty.jpg: is empty (0 bytes)\n"
    assert Path("quiet/counts.csv").read_bytes() == Path("out/counts.csv").read_bytes()


def test_the_backend_is_chosen_told_and_kept_to(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--out", "out", "--backend", "cpu") == 0
    document = json.loads(Path("out/run.json").read_text(encoding="utf-8"))["backend"]
    assert (document["name"], document["precision"]) == ("cpu", "float32")
    assert document["program"].startswith("ONNX Runtime ")
    assert run_command(count.main, fields, "--out", "none", "--backend", "abacus") == 2
    assert "backend 'abacus' is unknown; available: auto, cpu" in " ".join(capsys.readouterr().err.split())
    assert not Path("none").exists()
    # Half of a table by one backend and half by another would be no table of either.
    journal = Path("out/journal.jsonl")
    journal.write_text(journal.read_text(encoding="utf-8").replace('"backend":"cpu"', '"backend":"openvino"'), encoding="utf-8")
    assert run_command(count.main, fields, "--out", "out", "--backend", "cpu", "--resume") == 3
    assert "different settings (backend)" in " ".join(capsys.readouterr().err.split())


def test_the_help_says_which_backends_are_experimental(run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, "--help") == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert "auto, cpu, openvino; experimental, never run yet: cuda, coreml, directml" in help_text


@pytest.mark.slow
def test_the_report_shows_all_and_is_the_same_after_an_interruption(fields: Path, run_command: Run) -> None:
    name = "<img src=x onerror=alert(1)>&'.png" if os.name != "nt" else "&'.png"
    blurred = cv2.GaussianBlur(cv2.imread(str(fields / "smear_a" / "field_01.jpg")), (0, 0), 10)
    cv2.imwrite(str(fields / "smear_a" / "blurred.png"), blurred)
    (fields / "smear_b" / name).write_bytes((fields / "smear_a" / "field_02.jpg").read_bytes())
    (fields / "smear_b" / "empty.jpg").write_bytes(b"")
    assert run_command(count.main, fields, "--out", "out") == 1
    text = Path("out/report.html").read_text(encoding="utf-8")
    by_field = {row["field"]: row for row in rows(Path("out/counts.csv"))}
    assert "out of focus" in by_field["smear_a/blurred.png"]["doubt"]
    assert [field for field, row in by_field.items() if row["doubt"]] == ["smear_a/blurred.png"]
    assert "<li><b>smear_a/blurred.png</b> out of focus" in text
    assert "<li><b>smear_b/empty.jpg</b> is empty (0 bytes)</li>" in text
    assert f"smear_b/{html.escape(name).replace('&#x27;', '&#39;')}" in text
    assert "<img src=x" not in text
    assert text.count("data:image/jpeg") == 6
    assert json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["sha256"] in text
    journal = Path("out/journal.jsonl")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    assert run_command(count.main, fields, "--out", "out", "--resume") == 1
    again = Path("out/report.html").read_text(encoding="utf-8")
    assert again.split('id="made"')[0].split('id="problems"')[1] == text.split('id="made"')[0].split('id="problems"')[1]


def test_calibrated_fields_give_densities_and_volumes_with_their_source(fields: Path, run_command: Run) -> None:
    assert run_command(count.main, fields, "--out", "a", "--um-per-px", 0.075, "--ul-factor", 500) == 0
    assert run_command(count.main, fields, "--out", "b", "--rbc-per-ul", 4.5e6) == 0
    for row in rows(Path("a/smears.csv")):
        assert float(row["per_ul"]) == pytest.approx(500 * float(row["per_mm2"]), rel=1e-4)
        assert "500 mm² per µL as given" in row["per_ul_source"]
    for row in rows(Path("b/smears.csv")):
        if row["class"] == "RBC":
            assert row["per_ul"] == ""
        else:
            assert float(row["per_ul"]) == pytest.approx(4.5e6 * float(row["per_rbc"]), rel=1e-4)
            assert "4.5e+06 red cells per µL as given" in row["per_ul_source"]


def test_each_smear_has_the_red_cell_count_of_its_row_in_the_manifest(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{smear}/{path.name}" for smear in ("smear_a", "smear_b") for path in sorted((fields / smear).glob("*.jpg"))]
    lines = [f"{name},{name[:7]},{'5e6' if name.startswith('smear_a') else ''}" for name in names]
    manifest = fields / "manifest.csv"
    manifest.write_text("\n".join(["field,smear,rbc_per_ul", *lines]), encoding="utf-8")
    assert run_command(count.main, "--manifest", manifest, "--rbc-per-ul", 4e6, "--out", "a", fields) == 0
    for row in rows(Path("a/smears.csv")):
        if row["class"] == "RBC":
            assert (row["per_1000_rbc"], row["per_ul"], row["e9_per_litre"]) == ("", "", "")
            continue
        of_analyser = 5e6 if row["smear"] == "smear_a" else 4e6
        assert float(row["per_ul"]) == pytest.approx(of_analyser * float(row["per_rbc"]), rel=1e-4)
        assert f"{of_analyser:g} red cells per µL" in row["per_ul_source"]
        for end in ("", "_low", "_high"):
            assert float(row[f"per_1000_rbc{end}"]) == pytest.approx(1000 * float(row[f"per_rbc{end}"]), rel=6e-3)
            assert float(row[f"e9_per_litre{end}"]) == pytest.approx(float(row[f"per_ul{end}"]) / 1000, rel=6e-3)
            assert len(row[f"e9_per_litre{end}"].replace(".", "").strip("0")) <= 3
    report = Path("a/report.html").read_text(encoding="utf-8")
    assert "per 1,000 red cells" in report
    assert "10⁹ per litre" in report
    assert run_command(count.main, "--manifest", manifest, "--ul-factor", 500, "--um-per-px", 0.1, "--out", "b", fields) == 2
    assert "--ul-factor and the column rbc_per_ul of" in capsys.readouterr().err


SUMS = FieldSums(fields=30, true=450, false=0, missed=50, counted_squared=6750, truth_squared=8400, counted_truth=7500)
"""A detector that misses one cell in ten."""


def _told_of_its_error(monkeypatch: pytest.MonkeyPatch, val_sums: ValSums | None) -> None:
    """Let commands use the shipped model with such sums on its card."""
    model = Model.load()
    model.card = replace(model.card, val_sums=val_sums)
    monkeypatch.setattr(Model, "load", lambda *_: model)


def test_expected_true_counts_stand_beside_the_raw_ones(
    fields: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _told_of_its_error(monkeypatch, None)
    assert run_command(count.main, fields, "--out", "plain") == 0
    assert "expected" not in capsys.readouterr().out
    _told_of_its_error(monkeypatch, {"RBC": {"a": SUMS, "b": SUMS}, "WBC": {"a": SUMS}})
    assert run_command(count.main, fields, "--out", "out") == 0
    printed = capsys.readouterr().out
    assert "expected true" in printed
    assert "expected true counts of Platelets are not known: the model's validation fields hold too few" in printed
    new = [name for name in rows(Path("out/smears.csv"))[0] if name.startswith("expected_")]
    assert new == [f"expected_{what}{limit}" for what in ("total", "mean") for limit in ("", "_low", "_high")]
    for row, plain in zip(rows(Path("out/smears.csv")), rows(Path("plain/smears.csv")), strict=True):
        assert {plain[name] for name in new} == {""}
        assert {name: row[name] for name in row if name not in new} == {name: plain[name] for name in plain if name not in new}
        if row["class"] == "Platelets":
            assert {row[name] for name in new} == {""}
            continue
        for one in (new[:3], new[3:]):
            value, low, high = (float(row[name]) for name in one)
            assert 0 <= low <= value <= high
        assert float(row["expected_total"]) == pytest.approx(int(row["total"]) / 0.9, rel=0.01)
        assert float(row["expected_mean"]) == pytest.approx(float(row["expected_total"]) / int(row["fields"]), rel=1e-4)
    document = json.loads(Path("out/run.json").read_text(encoding="utf-8"))
    assert document["model"]["true_per_counted"]["RBC"]["value"] == pytest.approx(1 / 0.9, rel=0.01)
    assert document["model"]["true_per_counted"]["Platelets"] is None
    assert Path("out/counts.csv").read_bytes() == Path("plain/counts.csv").read_bytes()


def _bad_images(folder: Path) -> dict[str, str]:
    """Files that are no images, by name, with a word of the reason that each must get."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("RBC 12\n", encoding="utf-8")
    (folder / "pages.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return {"truncated.jpg": "truncated", "zero.jpg": "empty", "text.jpg": "not an image", "pages.png": ""}


def _odd_images(folder: Path, sample: Path) -> list[str]:
    """Images of unusual kinds that can all be counted, by name."""
    folder.mkdir()
    picture = Image.open(sample)
    rgb = np.asarray(picture)
    picture.convert("L").save(folder / "grey.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=turned)
    cv2.imwrite(str(folder / "deep.png"), (rgb[:, :, ::-1].astype(np.uint16) * 16))
    Image.new("RGB", (1, 1), "white").save(folder / "dot.png")
    shutil.copy(sample, folder / "name with spaces äß 細胞.jpg")
    return ["grey.png", "alpha.png", "cmyk.jpg", "turned.jpg", "deep.png", "dot.png", "name with spaces äß 細胞.jpg"]


def test_no_file_of_a_folder_is_passed_over_in_silence(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (fields / "smear_a" / "field_02.jpg").rename(fields / "smear_a" / "field_02.jfif")
    (fields / "smear_b" / "notes.txt").write_text("RBC 12\n", encoding="utf-8")
    assert run_command(count.main, fields, "--out", "out") == 0
    assert [row["status"] for row in rows(Path("out/counts.csv"))] == ["ok"] * 4
    assert "skipped: smear_b/notes.txt; such names are not those of pictures" in capsys.readouterr().err
    (fields / "smear_b" / "phone.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
    assert run_command(count.main, fields, "--out", "out2") == 1
    assert "smear_b/phone.heic: is HEIC, which is not read; save it as JPEG" in capsys.readouterr().err


def test_bad_images_get_their_line_and_cost_no_other_its_count(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = _bad_images(fields / "bad")
    odd = _odd_images(fields / "odd", fields / "smear_a" / "field_01.jpg")
    assert run_command(count.main, fields, "--out", "out") == 1
    by_field = {row["field"]: row for row in rows(Path("out/counts.csv"))}
    for name, reason in expected.items():
        row = by_field[f"bad/{name}"]
        assert row["status"] == "unread"
        assert reason in row["reason"]
        assert row["reason"]
        assert (row["RBC"], row["width_px"], row["saturated"]) == ("", "", "")
    for name in odd:
        assert by_field[f"odd/{name}"]["status"] == "ok", name
    right = by_field["smear_a/field_01.jpg"]
    same = by_field["odd/name with spaces äß 細胞.jpg"]
    assert [same[name] for name in ("RBC", "WBC", "Platelets")] == [right[name] for name in ("RBC", "WBC", "Platelets")]
    assert int(by_field["odd/deep.png"]["RBC"]) == pytest.approx(int(right["RBC"]), abs=2)
    turned = by_field["odd/turned.jpg"]
    assert (turned["width_px"], turned["height_px"]) == (right["height_px"], right["width_px"])
    assert by_field["odd/dot.png"]["RBC"] == "0"
    bad = [row for row in rows(Path("out/smears.csv")) if row["smear"] == "bad"]
    assert {(row["fields"], row["unread"], row["total"]) for row in bad} == {("0", "4", "")}
    assert "truncated.jpg" in capsys.readouterr().err


def test_all_unread_is_nothing_done(tmp_path: Path, run_command: Run) -> None:
    _bad_images(tmp_path / "bad")
    assert run_command(count.main, tmp_path / "bad", "--out", "out") == 3
    assert {row["status"] for row in rows(Path("out/counts.csv"))} == {"unread"}


def test_a_manifest_says_which_smear_a_field_is_of(fields: Path, run_command: Run) -> None:
    text = "field,smear,um_per_px\nsmear_a/field_01.jpg,P1,0.075\nsmear_b/field_01.jpg,P1,0.075\nsmear_a/field_02.jpg,P2,\ngone.jpg,P2,\n"
    (fields / "manifest.csv").write_text(text, encoding="utf-8")
    assert run_command(count.main, fields, "--manifest", fields / "manifest.csv", "--out", "out") == 1
    assert [(row["field"], row["smear"], row["status"]) for row in rows(Path("out/counts.csv"))] == [
        ("smear_a/field_01.jpg", "P1", "ok"),
        ("smear_b/field_01.jpg", "P1", "ok"),
        ("gone.jpg", "P2", "unread"),
        ("smear_a/field_02.jpg", "P2", "ok"),
    ]
    densities = {row["smear"]: row["per_mm2"] for row in rows(Path("out/smears.csv"))}
    assert densities["P1"] != ""
    assert densities["P2"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coco", "csv"])
def test_truth_of_several_kinds_gives_the_same_error(run_command: Run, kind: str) -> None:
    truth = SAMPLES / ("truth.json" if kind == "coco" else "truth.csv")
    assert run_command(count.main, SAMPLES, "--out", "out", "--truth", truth) == 0
    by_class = {row["class"]: row for row in rows(Path("out/agreement.csv"))}
    assert {name: row["truth"] for name, row in by_class.items()} == {"RBC": "130", "WBC": "27", "Platelets": "46"}
    errors = rows(Path("out/errors.csv"))
    assert len(errors) == 24
    for row in errors:
        assert int(row["error"]) == int(row["counted"]) - int(row["truth"])
    mae = sum(abs(int(row["error"])) for row in errors if row["class"] == "RBC") / 8
    assert float(by_class["RBC"]["mae"]) == pytest.approx(mae, abs=1e-5)


def test_fields_without_truth_are_named(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (fields / "manual.csv").write_text("field,RBC\nsmear_a/field_01.jpg,15\nother.jpg,3\n", encoding="utf-8")
    assert run_command(count.main, fields, "--out", "out", "--truth", fields / "manual.csv") == 0
    printed = capsys.readouterr().out
    assert "3 counted without truth" in printed
    assert "1 truth without a counted field: other.jpg" in printed


def _unwritable(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    return tmp_path / "file" / "out"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no INPUT"),
        (["gone"], 3, "does not exist"),
        (["bare"], 3, "no images in it"),
        (["text"], 3, "no images in it"),
        (["fields", "--bogus"], 2, "unknown option --bogus; python -m detector.count --help lists"),
        (["fields", "--model", "gone.onnx"], 3, "no such model file"),
        (["fields", "--model", "text/a.txt"], 3, "not an ONNX model"),
        (["fields", "--manifest", "gone.csv"], 2, "cannot be read"),
        (["fields", "--manifest", "text/a.txt"], 2, "no column field"),
        (["fields", "--um-per-px", "0"], 2, "--um-per-px: 0 micrometres per pixel is not a scale"),
        (["fields", "--um-per-px", "13.3"], 2, "--um-per-px: 13.3 micrometres per pixel is not a scale"),
        (["fields", "--um-per-px", "nan"], 2, "--um-per-px: must be a number, got 'nan'"),
        (["fields", "--um-per-px", "wide"], 2, "--um-per-px: must be a number, got 'wide'"),
        (["fields", "--rbc-per-ul", "inf"], 2, "--rbc-per-ul must be a positive number"),
        (["fields", "--rbc-per-ul", "4.6"], 2, "--rbc-per-ul must be in cells per µL, between"),
        (["fields", "--ul-factor", "3"], 2, "--ul-factor needs cells per mm²"),
        (["fields", "--ul-factor", "3", "--um-per-px", "1", "--rbc-per-ul", "4e6"], 2, "two ways"),
        (["fields", "--resume"], 2, "--resume needs --out"),
        (["fields", "--resume", "--out", "new"], 3, "no count to resume"),
        (["fields", "--out", "file/out"], 3, "cannot be written"),
        (["fields", "--threads", "0"], 2, "--threads: must be a whole number from 1 up, got '0'"),
        (["fields", "--truth", "gone"], 3, "gone"),
    ],
)
def test_wrong_use_is_one_line_and_its_exit_code(
    fields: Path,
    tmp_path: Path,
    run_command: Run,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x\n", encoding="utf-8")
    _unwritable(tmp_path)
    assert run_command(count.main, *arguments) == code
    printed = capsys.readouterr().err
    assert message in " ".join(printed.split())
    assert "Traceback" not in printed


def test_results_are_never_overwritten(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--out", "out") == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert run_command(count.main, fields, "--out", "out") == 3
    assert "holds journal.jsonl, counts.csv" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert run_command(count.main, fields, "--out", "out", "--resume") == 0
    assert Path("out/counts.csv").read_bytes() == before["counts.csv"]


def test_a_changed_journal_is_told_and_what_stood_there_counted_again(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(count.main, fields, "--out", "out") == 0
    expected = Path("out/counts.csv").read_bytes()
    journal = Path("out/journal.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = re.sub(rb'"cells":"....', b'"cells":"AAAA', lines[2])
    journal.write_bytes(b"".join(lines) + b'{"field":"smear_b/fie')
    part = Path("out/.detections.json.12.34.part")
    part.touch()
    capsys.readouterr()
    assert run_command(count.main, fields, "--out", "out", "--resume", "--quiet") == 0
    printed = capsys.readouterr().err
    assert printed == (
        f"warning: {journal}: lines 3, 6 are torn or changed; what stood there is counted again unless a later line holds it\n"
    )
    assert Path("out/counts.csv").read_bytes() == expected
    assert not part.exists()
    # The changed line still stands there, and one that is sound stands below it.
    assert run_command(count.main, fields, "--out", "out", "--resume", "--quiet") == 0
    assert "line 3 is torn or changed" in capsys.readouterr().err


def test_a_second_count_into_a_folder_is_refused_with_the_reason(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str], model: Model
) -> None:
    Path("out").mkdir()
    with Journal(Path("out/journal.jsonl"), job.journal_key(model), resume=False):
        before = Path("out/journal.jsonl").read_bytes()
        assert run_command(count.main, fields, "--out", "out", "--resume") == 3
        assert "out: another count writes into it; wait for its end" in capsys.readouterr().err
        assert run_command(count.main, fields, "--out", "out") == 3
        assert "holds journal.jsonl already" in capsys.readouterr().err
        assert Path("out/journal.jsonl").read_bytes() == before
    assert run_command(count.main, fields, "--out", "out", "--resume", "--tile-px", 640) == 3
    assert "different settings (tile_px)" in capsys.readouterr().err
    assert run_command(count.main, fields, "--out", "out", "--resume") == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
@pytest.mark.parametrize("wait_s", [0, 0.07, 0.4])
def test_a_count_interrupted_soon_after_it_began_ends_with_130_in_one_line(fields: Path, tmp_path: Path, wait_s: float) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(200):
        shutil.copy(fields / "smear_a" / "field_01.jpg", many / f"{number:03}.jpg")
    command = [sys.executable, "-m", "detector.count", str(many), "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "journal.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(wait_s)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.strip() == "interrupted; continue with the same command and: --out out --resume"


@pytest.mark.parametrize("name", ["counts.csv", "run.json", "overlays"])
def test_a_users_own_file_of_the_same_name_is_never_overwritten(fields: Path, run_command: Run, name: str) -> None:
    own = fields / name
    own.write_text("field,RBC\nsmear_a/field_01.jpg,99\n", encoding="utf-8")
    assert run_command(count.main, fields, "--out", fields) == 3
    assert own.read_text(encoding="utf-8") == "field,RBC\nsmear_a/field_01.jpg,99\n"


def test_results_inside_the_input_folder_are_no_fields(fields: Path, run_command: Run) -> None:
    assert run_command(count.main, fields, "--out", fields / "out", "--overlays") == 0
    (fields / "out" / "run.json").unlink()
    assert run_command(count.main, fields, "--out", "again") == 0
    assert len(rows(Path("again/counts.csv"))) == 4


def test_truth_that_is_partly_broken_is_used_and_told(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fields / "truth" / "Annotations"
    folder.mkdir(parents=True)
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>90</xmax><ymax>90</ymax></bndbox>"
    cells = "".join(f"<object><name>{name}</name>{box}</object>" for name in ("RBC", "Lymphocyte"))
    size = "<size><width>640</width><height>480</height><depth>3</depth></size>"
    for name in ("smear_a/field_01", "broken"):
        text = f"<annotation>{size}{cells}</annotation>" if name != "broken" else "<annotation>"
        (folder / f"{Path(name).name}.xml").write_text(text, encoding="utf-8")
    (fields / "smear_b" / "field_01.jpg").unlink()
    assert run_command(count.main, fields, "--out", "out", "--truth", fields / "truth") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 parts of the truth could not be used" in printed
    assert "broken.xml" in printed
    assert "Lymphocyte" in printed
    assert {row["class"]: row["truth"] for row in rows(Path("out/agreement.csv"))} == {"RBC": "1", "WBC": "0", "Platelets": "0"}


@pytest.mark.slow
def test_a_terminal_of_another_encoding_costs_nothing(fields: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "detector.count", str(fields), "--out", "out", "--um-per-px", "0.075"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp932"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


def test_inputs_are_left_as_they_are(fields: Path, run_command: Run) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in fields.rglob("*") if path.is_file()}
    assert run_command(count.main, fields, "--out", "out", "--overlays") == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in fields.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_an_interrupted_count_says_how_to_go_on_and_ends_the_same(fields: Path, tmp_path: Path, run_command: Run) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(120):
        shutil.copy(fields / "smear_a" / "field_01.jpg", many / f"{number:03}.jpg")
    command = [sys.executable, "-m", "detector.count", str(many), "--out", "out", "--threads", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    journal = tmp_path / "out" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 5) and time.monotonic() < deadline:
        time.sleep(0.02)
    # Not SIGINT, which a shell lets its background jobs ignore.
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--out out --resume" in printed
    assert "Traceback" not in printed
    done = journal.read_bytes().count(b"\n") - 1
    assert 5 <= done < 120
    assert [one.name for one in journal.parent.iterdir()] == ["journal.jsonl"]
    assert run_command(count.main, many, "--out", "out", "--threads", "2", "--resume") == 0
    counts = rows(Path("out/counts.csv"))
    assert len(counts) == 120
    assert len({tuple(row[name] for name in ("RBC", "WBC", "Platelets")) for row in counts}) == 1
