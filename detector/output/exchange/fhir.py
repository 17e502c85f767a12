"""Counts of smears as resources of FHIR R4: for each a bundle that a server takes, with a report, its observations and the program.

The resources are the same in R4B. Sent again, also once a review is signed, a bundle updates what it made before, for it finds that by
its identifiers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from detector.output.exchange.clinical import (
    CODE_SYSTEM,
    INTERVAL,
    METHOD,
    REPORT,
    ClinicalMeasure,
    Program,
    Report,
    printable,
    reports,
)
from detector.output.exchange.run import Run
from detector.output.files import portable

_LOINC, _UCUM = "http://loinc.org", "http://unitsofmeasure.org"
_TERMS = "http://terminology.hl7.org/CodeSystem"
_URI = "urn:ietf:rfc:3986"
Resource = dict[str, Any]


def write_fhir(run: Run, folder: Path) -> list[str]:
    """`SMEAR.json`: a bundle for each smear."""
    made, remarks = reports(run)
    for report in made:
        target = folder / f"{portable(report.smear)}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(_bundle(run, report), ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
    return remarks


def _bundle(run: Run, report: Report) -> Resource:
    program = Program.of(run)
    device = f"urn:uuid:{program.uid}"
    observations = [_observation(run, report, measure, device) for measure in report.measures]
    resources = [_report(run, report, [f"urn:uuid:{report.uid(run, m.code)}" for m in report.measures]), *observations]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(resource) for resource in [*resources, _device(program, device)]],
    }


def _entry(resource: Resource) -> Resource:
    kind, name = resource["resourceType"], resource["identifier"][0]["value"]
    request = {"method": "PUT", "url": f"{kind}?identifier={_URI}|{name}"}
    return {"fullUrl": name, "resource": resource, "request": request}


def _report(run: Run, report: Report, observations: list[str]) -> Resource:
    code, text = REPORT
    return {
        "resourceType": "DiagnosticReport",
        **_common(run, report, code),
        "category": [_concept((f"{_TERMS}/v2-0074", "HM", "Hematology"))],
        "code": _concept((CODE_SYSTEM, code, text), text=text),
        "result": [{"reference": name} for name in observations],
        **({"resultsInterpreter": [{"display": printable(report.signed_by)}]} if report.signed_by else {}),
        "conclusion": ". ".join(map(printable, report.notes)) + ".",
    }


def _observation(run: Run, report: Report, measure: ClinicalMeasure, device: str) -> Resource:
    loinc = [] if measure.loinc is None else [(_LOINC, *measure.loinc)]
    observation: Resource = {
        "resourceType": "Observation",
        **_common(run, report, measure.code),
        "category": [_concept((f"{_TERMS}/observation-category", "laboratory", "Laboratory"))],
        "code": _concept(*loinc, (CODE_SYSTEM, measure.code, measure.text), text=measure.text),
        "method": {"text": METHOD},
        "device": {"reference": device},
    }
    if measure.value is None:
        observation["dataAbsentReason"] = _concept((f"{_TERMS}/data-absent-reason", "error", "Error"))
    else:
        observation["valueQuantity"] = _quantity(measure, measure.value)
    if report.warning:
        observation["note"] = [{"text": printable(report.notes[0])}]
    if measure.limits is not None:
        low, high = measure.limits
        limits = {"low": _quantity(measure, low), "high": _quantity(measure, high)}
        observation["component"] = [{"code": _concept((CODE_SYSTEM, *INTERVAL), text=INTERVAL[1]), "valueRange": limits}]
    return observation


def _common(run: Run, report: Report, code: str) -> Resource:
    """What a report and its observations have in common."""
    named: Resource = {"identifier": [{"system": _URI, "value": f"urn:uuid:{report.uid(run, code)}"}]}
    named["identifier"].append({"type": {"text": "smear"}, "value": printable(report.smear)})
    named["status"] = "final" if report.signed_by else "preliminary"
    if report.of.subject:
        named["subject"] = {"type": "Patient", "identifier": {"value": printable(report.of.subject)}}
    if report.of.specimen:
        specimen = {"type": "Specimen", "identifier": {"value": printable(report.of.specimen)}}
        named["specimen"] = [specimen] if code == REPORT[0] else specimen
    if report.issued:
        named["issued"] = report.issued
    return named


def _device(program: Program, name: str) -> Resource:
    versions = [("program", program.version), ("model", program.model), ("SHA-256 of the model", program.sha256)]
    return {
        "resourceType": "Device",
        "identifier": [{"system": _URI, "value": name}],
        "deviceName": [{"name": "smearcount", "type": "other"}],
        "version": [{"type": {"text": what}, "value": printable(value)} for what, value in versions if value],
    }


def _quantity(measure: ClinicalMeasure, value: float) -> Resource:
    return {"value": value, "unit": measure.unit, "system": _UCUM, "code": measure.unit}


def _concept(*codings: tuple[str, str, str], text: str = "") -> Resource:
    made: Resource = {"coding": [{"system": system, "code": code, "display": display} for system, code, display in codings]}
    return {**made, "text": text} if text else made
