"""Counts of smears as messages of HL7 version 2.5.1, ORU^R01: one for each smear."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from detector.output.exchange.clinical import INTERVAL, METHOD, REPORT, ClinicalMeasure, Program, Report, printable, reports
from detector.output.exchange.run import Run
from detector.output.files import portable

_OWN, _LOINC, _UCUM = "99SMC", "LN", "UCUM"
"""Names of code systems; a local one begins with 99 (HL7 table 0396)."""
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "&": "\\T\\"}
_NAME_NOT_GIVEN = "^^^^^^U"
"""A patient's name is required; U is a name that is not specified."""
_BLOOD = "BLD^Whole blood^HL70487"


def write_hl7(run: Run, folder: Path) -> list[str]:
    """`SMEAR.hl7`: a message for each smear, in UTF-8, its segments ended by carriage returns."""
    made, remarks = reports(run)
    for report in made:
        target = folder / f"{portable(report.smear)}.hl7"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes("".join(f"{line}\r" for line in _message(run, report)).encode("utf-8"))
    return remarks


def _message(run: Run, report: Report) -> list[str]:
    status, number = ("F" if report.signed_by else "P"), report.uid(run, REPORT[0]).hex
    made_at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    control = report.uid(run, f"message {made_at}").hex[:20]
    # What comes before MSH-3 are the separators themselves.
    header = {2: "smearcount", 6: made_at, 8: "ORU^R01^ORU_R01", 9: control, 10: "P", 11: "2.5.1", 17: "UNICODE UTF-8"}
    order = {
        1: "1",
        3: f"{number}^smearcount",
        4: "^".join((*REPORT, _OWN)),
        22: _time(report.issued),
        25: status,
    }
    lines = [_segment("MSH|^~\\&", header, first=2)]
    if report.of.subject:
        lines.append(_segment("PID", {1: "1", 3: _escaped(report.of.subject), 5: _NAME_NOT_GIVEN}))
    lines.append(_segment("OBR", order))
    lines += [
        _segment("NTE", {1: str(i), 2: "L", 3: _escaped(note)})
        for i, note in enumerate([*report.notes, f"Smear: {report.smear}"], 1)
    ]
    results = [line for i, measure in enumerate(report.measures, 1) for line in _results(run, report, measure, i)]
    lines += [_segment("OBX", {1: str(i), **fields, 11: fields.get(11, status)}) for i, fields in enumerate(results, 1)]
    if report.of.specimen:
        lines.append(_segment("SPM", {1: "1", 2: _escaped(report.of.specimen), 4: _BLOOD}))
    return lines


def _results(run: Run, report: Report, measure: ClinicalMeasure, group: int) -> list[dict[int, str]]:
    """Fields of the observations of a number: its value and, under the same sub-identifier, its interval."""
    own = f"{measure.code}^{_escaped(measure.text)}^{_OWN}"
    code = own if measure.loinc is None else f"{'^'.join(map(_escaped, measure.loinc))}^{_LOINC}^{own}"
    program = Program.of(run)
    devices = (f"smearcount {program.version}", f"model {program.model}", program.sha256 and f"SHA-256 {program.sha256}")
    common = {
        4: str(group),
        6: f"{measure.unit}^^{_UCUM}",
        17: f"^{METHOD}",
        18: "~".join(_escaped(device) for device in devices if device),
        19: _time(report.issued),
    }
    if measure.value is None:
        return [{2: "NM", 3: code, **common, 11: "X"}]
    value = {2: "NM", 3: code, **common, 5: _decimal(measure.value)}
    if measure.limits is None:
        return [value]
    low, high = map(_decimal, measure.limits)
    interval = f"{measure.code}-{INTERVAL[0]}^{_escaped(f'{measure.text}: {INTERVAL[1]}')}^{_OWN}"
    return [value, {2: "SN", 3: interval, **common, 5: f"^{low}^-^{high}"}]


def _segment(name: str, fields: dict[int, str], first: int = 1) -> str:
    return "|".join([name, *(fields.get(place, "") for place in range(first, max(fields) + 1))])


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(sign, sign) for sign in printable(text))


def _decimal(value: float) -> str:
    """A number without an exponent, which HL7 does not know."""
    return format(Decimal(repr(value)), "f")


def _time(text: str) -> str:
    """HL7's form of a time in ISO 8601; empty for none."""
    return datetime.fromisoformat(text).strftime("%Y%m%d%H%M%S+0000") if text else ""
