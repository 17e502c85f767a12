"""Counts as systems of laboratories take them, each form read back by its own library."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import steps
from madeup import CELLS, Made, detections, write_run

from benchmarks import review_page
from detector.counting.result import FieldResult
from detector.errors import ManifestError
from detector.output.exchange import clinical, formats
from detector.output.exchange import run as runs
from detector.output.exchange.run import Identified, Run
from detector.output.files import sealed
from detector.review import outcome
from detector.review.journal import ReviewJournal
from detector.review.opened import open_run
from detector.review.review import Review
from detector.vision.detections import Unread

ODD = 'smear|^~\\& "1"\n<b>'
LOINC = {"49498-9": "Leukocytes [#/volume] in Blood by Estimate", "49497-1": "Platelets [#/volume] in Blood by Estimate"}
"""All codes of LOINC that are given, with the names that loinc.org has for them."""
SHA256 = "a" * 64


def counted(folder: Path) -> Run:
    """A smear of two fields, one of an odd name, and one of which no field was read."""
    results = [FieldResult(f"s/{i}.jpg", smear, 0.1, detections(CELLS)) for i, smear in enumerate(("plain", "plain", ODD))]
    lost = FieldResult("s/lost.jpg", "empty", None, Unread("s/lost.jpg", "is empty"))
    write_run(folder, [*results, lost], [])
    about = {
        "versions": {"smearcount": "0.1.0"},
        "model": {"name": "m", "sha256": SHA256, "thresholds": {"RBC": 0.25}},
        "started": "2026-01-02T03:00:00+00:00",
        "finished": "2026-01-02T03:04:05+00:00",
    }
    (folder / "run.json").write_text(json.dumps(about), encoding="utf-8")
    change(folder, "plain", "WBC", per_ul="5123.25", per_ul_low="4000.5", per_ul_high="6000.0001", per_ul_source="as given")
    return runs.read(folder, {})


def change(folder: Path, smear: str, name: str, **values: str) -> None:
    """Set cells in `smears.csv`."""
    with (folder / "smears.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if (row["smear"], row["class"]) == (smear, name):
            row.update(values)
    write_table(folder / "smears.csv", rows)


def write_table(target: Path, rows: Sequence[dict[str, str]]) -> None:
    target.parent.mkdir(exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def sign(folder: Path, smear: str, by: str = "Dr. Ä", at: str = "2026-02-03T04:05:06+00:00", total: str = "7") -> None:
    """Leave what a review leaves that was signed."""
    with (folder / "smears.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        own = row["smear"] == smear
        row.update({"fields_looked_at": "2", "signed_by": by * own, "signed_at": at * own, "readers": by})
        row["total"] = total if own else row["total"]
    write_table(folder / "reviewed" / "smears.csv", rows)
    digest = hashlib.sha256((folder / "detections.json").read_bytes()).hexdigest()
    mark = {"n": 1, "sets": [["signed", smear, 0, None, {"by": by, "at": at}]]}
    (folder / "review.jsonl").write_bytes(sealed({"layout": 1, "cells_sha256": digest}) + sealed(mark))


def export(run: Run, name: str, out: Path) -> tuple[dict[str, Path], list[str]]:
    """Files of a format by the beginnings of their names, and remarks."""
    done = formats.write(run, [name], out)
    assert not done.failed
    return {path.name.partition(".")[0]: path for path in done.folders[name].rglob("*") if path.is_file()}, done.remarks


def odd(files: dict[str, Path]) -> Path:
    (path,) = (path for name, path in files.items() if name not in ("plain", "empty"))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return counted(tmp_path / "run")


def bundle(path: Path) -> Any:
    pytest.importorskip("fhir.resources", reason="needs the dev extra: pip install -e '.[dev]'")
    from fhir.resources.R4B.bundle import Bundle

    return Bundle.model_validate_json(path.read_text(encoding="utf-8"))


def resources(path: Path) -> dict[str, list[Any]]:
    """Resources of a bundle by their kinds."""
    kinds: dict[str, list[Any]] = {}
    for entry in bundle(path).entry:
        kinds.setdefault(entry.resource.get_resource_type(), []).append(entry.resource)
    return kinds


def own_code(resource: Any) -> str:
    (coding,) = (coding for coding in resource.code.coding if coding.system == clinical.CODE_SYSTEM)
    return str(coding.code)


def test_fhir_is_read_by_its_models_with_exact_numbers(run: Run, tmp_path: Path) -> None:
    files, _ = export(run, "fhir", tmp_path / "out")
    read = resources(files["plain"])
    observations = {own_code(resource): resource for resource in read["Observation"]}
    rows = {
        row[1]: dict(zip(run.table("smears.csv")[0], row, strict=True)) for row in run.table("smears.csv")[1] if row[0] == "plain"
    }
    for name, column, code in [
        ("RBC", "total", "rbc-count"),
        ("WBC", "mean_per_field", "wbc-per-field"),
        ("Platelets", "per_mm2", "platelets-per-mm2"),
        ("WBC", "per_rbc", "wbc-per-rbc"),
        ("WBC", "per_ul", "wbc-per-ul"),
    ]:
        assert float(observations[code].valueQuantity.value) == rows[name][column]
        assert observations[code].valueQuantity.system == "http://unitsofmeasure.org"
    limits = observations["wbc-per-ul"].component[0].valueRange
    assert (float(limits.low.value), float(limits.high.value)) == (4000.5, 6000.0001)
    assert observations["wbc-per-ul"].valueQuantity.code == "/uL"
    assert {resource.status for resource in [*read["Observation"], *read["DiagnosticReport"]]} == {"preliminary"}
    (device,), (report,) = read["Device"], read["DiagnosticReport"]
    assert resources(files["empty"])["Device"][0].identifier[0].value == device.identifier[0].value
    assert {version.type.text: version.value for version in device.version} == {
        "program": "0.1.0",
        "model": "m",
        "SHA-256 of the model": SHA256,
    }
    named = {entry.fullUrl for entry in bundle(files["plain"]).entry}
    assert {result.reference for result in report.result} | {o.device.reference for o in observations.values()} <= named
    assert report.conclusion.count("must not be used for diagnosis") == 1
    assert "not an analyser's absolute count" in report.conclusion


def test_loinc_stands_only_where_it_fits(run: Run, tmp_path: Path) -> None:
    change(run.folder, "plain", "RBC", per_ul="5000000")
    change(run.folder, "plain", "Platelets", per_ul="250000")
    files, _ = export(run, "fhir", tmp_path / "out")
    given = {
        (own_code(resource), coding.code, coding.display)
        for resource in resources(files["plain"])["Observation"]
        for coding in resource.code.coding
        if coding.system == "http://loinc.org"
    }
    assert given == {("wbc-per-ul", "49498-9", LOINC["49498-9"]), ("platelets-per-ul", "49497-1", LOINC["49497-1"])}


def test_nothing_is_said_of_a_patient_but_what_the_user_gives(run: Run, tmp_path: Path) -> None:
    files, _ = export(run, "fhir", tmp_path / "out")
    for resource in resources(files["plain"])["Observation"]:
        assert (resource.subject, resource.specimen) == (None, None)
    known = replace(run, identifiers={"plain": Identified("p-1|x", "s-2")})
    files, remarks = export(known, "fhir", tmp_path / "known")
    read = resources(files["plain"])
    assert {resource.subject.identifier.value for resource in read["Observation"] + read["DiagnosticReport"]} == {"p-1|x"}
    assert {resource.specimen.identifier.value for resource in read["Observation"]} == {"s-2"}
    assert read["DiagnosticReport"][0].specimen[0].identifier.value == "s-2"
    assert set(read) == {"DiagnosticReport", "Observation", "Device"}
    assert any(remark.startswith("fhir: without a subject or specimen: 2 smears") for remark in remarks)


def test_a_smear_without_fields_has_no_number(run: Run, tmp_path: Path) -> None:
    files, _ = export(run, "fhir", tmp_path / "out")
    read = resources(files["empty"])
    assert {resource.dataAbsentReason.coding[0].code for resource in read["Observation"]} == {"error"}
    assert all(resource.valueQuantity is None for resource in read["Observation"])
    assert read["DiagnosticReport"][0].conclusion.startswith("WARNING: no image of this smear could be read")
    files, _ = export(run, "hl7", tmp_path / "out")
    assert {(line.split("|")[5], line.split("|")[11]) for line in segments(files["empty"], "OBX")} == {("", "X")}


@pytest.mark.parametrize("name", ["fhir", "hl7"])
def test_a_doubtful_smear_leads_with_its_warning(run: Run, tmp_path: Path, name: str) -> None:
    change(run.folder, "plain", "RBC", warning="2 of 2 fields are doubtful", fields_doubtful="2")
    files, _ = export(run, name, tmp_path / "out")
    if name == "fhir":
        read = resources(files["plain"])
        assert read["DiagnosticReport"][0].conclusion.startswith("WARNING: 2 of 2 fields are doubtful")
        assert {resource.note[0].text for resource in read["Observation"]} == {"WARNING: 2 of 2 fields are doubtful"}
    else:
        assert segments(files["plain"], "NTE")[0] == "NTE|1|L|WARNING: 2 of 2 fields are doubtful"


@pytest.mark.parametrize("name", ["fhir", "hl7"])
def test_only_a_signed_review_is_final(run: Run, tmp_path: Path, name: str) -> None:
    before, _ = export(run, name, tmp_path / "before")
    sign(run.folder, "plain")
    files, remarks = export(run, name, tmp_path / "out")
    assert any(
        remark.startswith(f"{name}: preliminary, for want of a signed review: 2 smears, first empty") for remark in remarks
    )
    if name == "fhir":
        read, raw = resources(files["plain"]), resources(before["plain"])
        assert {resource.status for resource in read["Observation"] + read["DiagnosticReport"]} == {"final"}
        assert {float(o.valueQuantity.value) for o in read["Observation"] if own_code(o).endswith("-count")} == {7}
        assert read["DiagnosticReport"][0].resultsInterpreter[0].display == "Dr. Ä"
        assert read["DiagnosticReport"][0].issued.isoformat() == "2026-02-03T04:05:06+00:00"
        # A server is told to replace what was preliminary.
        assert [o.identifier[0].value for o in read["Observation"]] == [o.identifier[0].value for o in raw["Observation"]]
        assert {resource.status for resource in resources(files["empty"])["Observation"]} == {"preliminary"}
    else:
        assert {line.split("|")[11] for line in segments(files["plain"], "OBX")} == {"F"}
        assert segments(files["plain"], "OBR")[0].split("|")[25] == "F"
        assert segments(files["plain"], "OBR")[0].split("|")[3] == segments(before["plain"], "OBR")[0].split("|")[3]


def test_a_review_that_is_not_of_these_cells_or_was_changed_since_is_not_believed(run: Run, tmp_path: Path) -> None:
    sign(run.folder, "plain")
    journal = run.folder / "review.jsonl"
    first, mark = journal.read_bytes().splitlines(keepends=True)
    nobody = ["", "", ""]

    def signed_by(*lines: bytes) -> list[str]:
        journal.write_bytes(b"".join(lines))
        return [report.signed_by for report in clinical.reports(run)[0]]

    assert signed_by(first, mark) == ["", "Dr. Ä", ""]
    # Taken back, as an edit does.
    taken_back = sealed({"n": 2, "sets": [["signed", "plain", 0, {"by": "Dr. Ä", "at": ""}, None]]})
    assert signed_by(first, mark, taken_back) == nobody
    assert signed_by(sealed({"layout": 1, "cells_sha256": "other"}), mark) == nobody
    assert signed_by(first[:-1]) == nobody
    again = sealed({"n": 3, "sets": [["signed", "plain", 0, None, {"by": "Dr. B", "at": "2026-03-01T00:00:00+00:00"}]]})
    with pytest.raises(ManifestError, match="is older than the signature of plain; let the review write its results again"):
        signed_by(first, mark, taken_back, again)
    damaged = mark.replace(b"plain", b"pla1n")
    for lines in ([damaged, mark], [first, mark, damaged], [b"{}\n"]):
        with pytest.raises(ManifestError, match="cannot be read; open it with the review, which tells what is damaged"):
            signed_by(*lines)
    # The review told, and took the marks away.
    assert signed_by(first, mark, damaged, sealed({"damaged": 1})) == nobody
    assert signed_by(first, damaged, sealed({"damaged": 1}), mark) == ["", "Dr. Ä", ""]


def test_what_the_review_itself_signs_and_writes_is_final(tmp_path: Path) -> None:
    folder = review_page.write_run(tmp_path, fields=2, cells=5)
    opened = open_run(folder)
    with ReviewJournal(folder, opened.sha256) as journal:
        review = Review(opened, journal)
        steps.looked_at_all(review)
        review.change({"id": "sign-0001", "by": "Ann", "smears": [{"smear": "smear", "signed": True}]})
        outcome.write(review)
        (report,), remarks = clinical.reports(runs.read(folder, {}))
        assert (report.signed_by, remarks) == ("Ann", [])
        assert sum(measure.value or 0 for measure in report.measures if measure.code.endswith("-count")) == 10
        steps.change(review, 0, "Bob", cells=[{"cell": 0, "removed": True}])
        (report,), _ = clinical.reports(runs.read(folder, {}))
        assert report.signed_by == ""


def segments(path: Path, name: str) -> list[str]:
    """Segments of a kind, as they stand in the file."""
    return [line for line in path.read_bytes().decode("utf-8").split("\r") if line.startswith(f"{name}|")]


def test_hl7_is_read_by_hl7_with_exact_numbers(run: Run, tmp_path: Path) -> None:
    hl7 = pytest.importorskip("hl7", reason="needs the dev extra: pip install -e '.[dev]'")
    known = replace(run, identifiers={"plain": Identified("p|1", "s^2")})
    files, _ = export(known, "hl7", tmp_path / "out")
    message = hl7.parse(files["plain"].read_bytes().decode("utf-8"))
    assert str(message["MSH"][0][9]) == "ORU^R01^ORU_R01"
    results = {str(segment[3]).split("^")[-3 if str(segment[2]) == "NM" else 0]: segment for segment in message["OBX"]}
    assert (str(results["wbc-per-ul"][5]), str(results["wbc-per-ul"][6])) == ("5123.25", "/uL^^UCUM")
    assert str(results["wbc-per-ul"][3]).startswith(f"49498-9^{LOINC['49498-9']}^LN^wbc-per-ul^")
    interval = results["wbc-per-ul-interval-95"]
    assert (str(interval[2]), str(interval[5])) == ("SN", "^4000.5^-^6000.0001")
    assert str(interval[4]) == str(results["wbc-per-ul"][4])
    rows = {
        row[1]: dict(zip(run.table("smears.csv")[0], row, strict=True)) for row in run.table("smears.csv")[1] if row[0] == "plain"
    }
    assert float(str(results["platelets-per-mm2"][5])) == rows["Platelets"]["per_mm2"]
    assert message.unescape(str(message["PID"][0][3])) == "p|1"
    assert message.unescape(str(message["SPM"][0][2])) == "s^2"
    notes = [str(segment[3]) for segment in message["NTE"]]
    assert sum("must not be used for diagnosis" in note for note in notes) == 1


def test_hl7_has_the_structure_of_an_oru(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("hl7apy", reason="needs the dev extra: pip install -e '.[dev]'")
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.parser import parse_message

    known = replace(run, identifiers={"plain": Identified("p-1", "s-2")})
    files, _ = export(known, "hl7", tmp_path / "out")
    message = parse_message(files["plain"].read_bytes().decode("utf-8"), validation_level=VALIDATION_LEVEL.STRICT)
    assert message.name == "ORU_R01"


def test_odd_names_stay_text_in_each_form(run: Run, tmp_path: Path) -> None:
    hl7 = pytest.importorskip("hl7", reason="needs the dev extra: pip install -e '.[dev]'")
    files, _ = export(run, "fhir", tmp_path / "out")
    assert resources(odd(files))["DiagnosticReport"][0].identifier[1].value == ODD.replace("\n", " ")
    files, _ = export(run, "hl7", tmp_path / "out")
    message = hl7.parse(odd(files).read_bytes().decode("utf-8"))
    assert message.unescape(str(message["NTE"][-1][3])) == f"Smear: {ODD}".replace("\n", " ")


def test_hl7_has_numbers_without_exponent(run: Run, tmp_path: Path) -> None:
    change(run.folder, "plain", "WBC", per_ul="1e-07", per_ul_low="0", per_ul_high="1.5e+16")
    files, _ = export(run, "hl7", tmp_path / "out")
    values = {line.split("|")[5] for line in segments(files["plain"], "OBX") if "wbc-per-ul" in line}
    assert values == {"0.0000001", "^0^-^15000000000000000"}
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", line.split("|")[5]) for line in segments(files["plain"], "OBX") if "|NM|" in line)


def test_a_run_that_does_not_say_when_or_by_what_is_written_too(made: Made, tmp_path: Path) -> None:
    files, _ = export(made.run(), "fhir", tmp_path / "out")
    (path,) = files.values()
    assert resources(path)["DiagnosticReport"][0].issued is None
    assert export(made.run(), "hl7", tmp_path / "out")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smear,name\na,b\n", "lacks the column smear, or both subject and specimen"),
        ("subject,specimen\na,b\n", "lacks the column smear"),
        ("smear,subject\na,b\na,c\n", "line 3: smear a has another subject or specimen above"),
    ],
)
def test_a_table_of_identifiers_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        clinical.identifiers(tmp_path / "a.csv")


def test_a_manifest_tells_of_whom_smears_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("field,smear,subject,specimen\n1.jpg,a,p1,s1\n2.jpg,a,,s1\n3.jpg,b,,s2\n", encoding="utf-8")
    assert clinical.identifiers(tmp_path / "a.csv") == {"a": Identified("p1", "s1"), "b": Identified("", "s2")}
