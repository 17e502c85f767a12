"""Writing the cells of a count in several formats, each into a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from detector.annotations.dataset import fresh
from detector.errors import MissingExtraError, SmearcountError, UsageError
from detector.output.exchange import FORMATS, datasets, dicom, fhir, hl7v2, tables, viewers
from detector.output.exchange.run import Run

Writer = Callable[[Run, Path], list[str]]
"""Writes a run into an empty folder; returns what a user should know of what it wrote."""

WRITERS: dict[str, Writer] = {
    "coco": datasets.write_coco,
    "voc": datasets.write_voc,
    "yolo": datasets.write_yolo,
    "csv": tables.write_csv,
    "parquet": tables.write_parquet,
    "xlsx": tables.write_xlsx,
    "imagej": viewers.write_imagej,
    "qupath": viewers.write_qupath,
    "labelstudio": datasets.write_labelstudio,
    "cvat": datasets.write_cvat,
    "fhir": fhir.write_fhir,
    "hl7": hl7v2.write_hl7,
    "dicom": dicom.write_dicom,
}
"""By the names in `FORMATS`."""
MESSAGES = frozenset(("fhir", "hl7"))
"""Those that are written from the folder of a count, of which they take what was signed in its review."""
_PACKAGES = {
    "parquet": ("pyarrow", "exchange"),
    "xlsx": ("openpyxl", "exchange"),
    "imagej": ("roifile", "exchange"),
    "dicom": ("highdicom", "dicom"),
}
"""What formats need, and of which extra."""


@dataclass
class Exported:
    """What became of each format that was asked for."""

    folders: dict[str, Path] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def require(names: Iterable[str], option: str) -> list[str]:
    """The formats that are asked for, each once.

    Raises:
        UsageError: there is no such format. MissingExtraError: a package that one needs is not installed.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in WRITERS:
            each = f"; give {option} once for each format" if "," in name else ""
            raise UsageError(f"{option} {name}: no such format{each}; known: {', '.join(FORMATS)}")
        package, extra = _PACKAGES.get(name, ("", ""))
        if package and find_spec(package) is None:
            raise MissingExtraError(package, extra, f"{option} {name}")
    return wanted


def write(run: Run, names: Iterable[str], out: Path) -> Exported:
    """Write a run in each format into a folder of the format's name in `out`; one that cannot be written costs the others nothing."""
    done = Exported(remarks=[*_of_unread(run), *run.remarks])
    for name in names:
        if (out / name).exists():
            done.failed.append(f"{out / name}: exists already, and may have been changed; choose another --out, or remove it")
            continue
        try:
            with fresh(out / name) as folder:
                remarks = WRITERS[name](run, folder)
        except SmearcountError as error:
            done.failed.append(str(error))
            continue
        done.folders[name] = out / name
        done.remarks += [f"{name}: {remark}" for remark in remarks]
    return done


def _of_unread(run: Run) -> list[str]:
    if not run.unread:
        return []
    fields = f"{len(run.unread)} field{'s were' if len(run.unread) > 1 else ' was'} not read and {'have' if len(run.unread) > 1 else 'has'}"
    return [f"{fields} no cells in the files, first {next(iter(run.unread))}"]
