"""What conversion found, mended, left out and could not read: kept beside the data, as JSON for programs and text for people.

The card of a model that was trained on the data tells it in short (`provenance`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detector.annotations.corrections import ACTIONS, Applied, CorrectionOutcome
from detector.annotations.dataset import AUDIT, FORMAT, is_ours
from detector.annotations.labels import SPLITS
from detector.annotations.records import Record
from detector.annotations.repair import DROPPED, REPAIRED
from detector.shipped import sources
from detector.vision.cells import CLASSES, RBC

VERSION = 1


@dataclass(frozen=True)
class Note:
    """A file or name, and what is to be said of it."""

    file: str
    reason: str


@dataclass(frozen=True)
class BoxNote:
    """A box that was repaired or dropped."""

    field: str
    split: str
    action: str
    """`repaired` or `dropped`."""
    reason: str
    name: str
    """Class name as the label file has it."""
    xyxy: tuple[float, float, float, float]
    """The box as the label file has it, in pixels."""


@dataclass(frozen=True)
class SizeNote:
    """A label file that states another image size than the image has."""

    field: str
    declared_wh: tuple[int, int]
    actual_wh: tuple[int, int]


@dataclass(frozen=True)
class Twins:
    """Two fields that show the same cells."""

    first: str
    first_split: str
    second: str
    second_split: str
    """Empty where the other dataset has no splits."""
    similarity: float
    """Correlation at the best shift, at most 1."""
    identical: bool
    """Whether the files are the same to the byte."""

    @property
    def leaks(self) -> bool:
        """Whether the two lie in different splits."""
        return self.first_split != self.second_split


@dataclass(frozen=True)
class SharedFields:
    """Fields that another dataset has too."""

    folder: str
    twins: tuple[Twins, ...]


@dataclass(frozen=True)
class Tally:
    """What one split holds."""

    images: int
    boxes: dict[str, int]
    """Boxes by class name, zeros included."""
    ignore: int
    """Regions that could not be labelled surely."""
    without_rbc: tuple[str, ...]
    """Fields that have no red-cell box, which in a smear is a missing label more often than the truth."""


@dataclass(frozen=True)
class Audit:
    """Everything that is to be known of a converted dataset before a figure measured on it is quoted."""

    source: str
    layout: str
    labels: str
    """Where the labels come from: the source itself, or the set that replaced them."""
    split_plan: str
    seed: int | None
    """Seed of the split where it was drawn."""
    splits: dict[str, Tally]
    boxes: tuple[BoxNote, ...]
    failed: tuple[Note, ...]
    """Files that could not be understood, and label files without an image."""
    left_out: tuple[Note, ...]
    """Fields left out on purpose."""
    remarks: tuple[Note, ...]
    """Fields that were renamed, and names in lists that the source does not have."""
    sizes: tuple[SizeNote, ...]
    twins: tuple[Twins, ...]
    against: tuple[SharedFields, ...]
    corrections: CorrectionOutcome | None = None
    """What became of the corrections file, where one was given; audits of earlier conversions do not have this."""

    def changed(self, action: str) -> list[BoxNote]:
        """Boxes that were `repaired` or `dropped`."""
        return [note for note in self.boxes if note.action == action]

    def document(self) -> dict[str, Any]:
        """The audit as plain JSON values, in a layout that `version` names."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    def write(self, folder: Path) -> None:
        """Write `audit.json` and `audit.md` into a folder."""
        text = json.dumps(self.document(), indent=1, ensure_ascii=False)
        (folder / AUDIT).write_text(f"{text}\n", encoding="utf-8")
        (folder / "audit.md").write_text(markdown(self), encoding="utf-8")


def tally(records: Sequence[Record]) -> dict[str, Tally]:
    """What each split of a set of records holds, empty splits included."""
    return {split: _tally([record for record in records if record.split == split]) for split in SPLITS}


def _tally(records: Sequence[Record]) -> Tally:
    label = np.concatenate([record.label for record in records]) if records else np.zeros(0, dtype=np.int64)
    counts = np.bincount(label, minlength=len(CLASSES))
    without = tuple(sorted(record.name for record in records if not (record.label == RBC).any()))
    regions = sum(len(record.ignore) for record in records)
    return Tally(len(records), {name: int(count) for name, count in zip(CLASSES, counts, strict=True)}, regions, without)


def markdown(audit: Audit) -> str:
    """The audit as a page for people."""
    blocks = [
        f"# Audit of {_code(audit.source)}",
        _facts(audit),
        _splits_table(audit),
        _section("Could not be used", (f"{_code(note.file)}: {note.reason}" for note in audit.failed)),
        _section("The same cells in two splits", (_twins(pair) for pair in audit.twins if pair.leaks)),
        *(_section(f"Also in {_code(other.folder)}", (_twins(pair) for pair in other.twins)) for other in audit.against),
        _section("The same cells twice in one split", (_twins(pair) for pair in audit.twins if not pair.leaks)),
        _section("Corrections", _corrections(audit.corrections)),
        _section("Boxes dropped", (_box(note) for note in audit.changed(DROPPED))),
        _section("Boxes repaired", (_box(note) for note in audit.changed(REPAIRED))),
        _section("Fields without a red-cell box", (f"{split}: {_listed(t.without_rbc)}" for split, t in audit.splits.items())),
        _section("Image size other than stated", (_size(note) for note in audit.sizes)),
        _section("Remarks", (f"{_code(note.file)}: {note.reason}" for note in audit.remarks)),
        _section("Left out", _by_reason(audit.left_out)),
    ]
    return "\n\n".join(blocks) + "\n"


def _facts(audit: Audit) -> str:
    drawn = "" if audit.seed is None else f", drawn with seed {audit.seed}"
    return f"- layout: {audit.layout}\n- labels: {_code(audit.labels)}\n- splits: {_code(audit.split_plan)}{drawn}"


def _splits_table(audit: Audit) -> str:
    rows = [f"| split | images | {' | '.join(CLASSES)} | ignore regions | without RBC |", "|---|" + "---:|" * (len(CLASSES) + 3)]
    for split, t in audit.splits.items():
        boxes = " | ".join(str(t.boxes[name]) for name in CLASSES)
        rows.append(f"| {split} | {t.images} | {boxes} | {t.ignore} | {len(t.without_rbc)} |")
    return "\n".join(rows)


def _section(title: str, lines: Iterable[str]) -> str:
    body = [f"- {line}" for line in lines]
    return "\n".join([f"## {title}", "", *(body or ["none"])])


def _twins(pair: Twins) -> str:
    how = "identical" if pair.identical else f"similarity {pair.similarity:.2f}"
    second = f" ({pair.second_split})" if pair.second_split else ""
    return f"{_code(pair.first)} ({pair.first_split}) and {_code(pair.second)}{second}: {how}"


def _box(note: BoxNote) -> str:
    return f"{_code(note.field)} ({note.split}): {note.name} {_corners(note.xyxy)} {note.reason}"


def _corners(xyxy: tuple[float, float, float, float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in np.round(xyxy, 2))}]"


def _corrections(outcome: CorrectionOutcome | None) -> Iterable[str]:
    if outcome is None:
        return
    yield f"{_code(outcome.file)}, SHA-256 `{outcome.sha256}`"
    for action in ACTIONS:
        kinds = ", ".join(f"{_kind(kind)} {kind.rows}" for kind in outcome.applied if kind.action == action)
        yield f"{action}: {outcome.rows(action)}{f' ({kinds})' if kinds else ''}"
    yield f"could not be applied: {len(outcome.not_applied)}"
    for row in outcome.not_applied:
        yield f"line {row.line}: {_code(row.image)}: {row.action} {row.name} {_corners(row.xyxy)}: {row.reason}"


def _kind(kind: Applied) -> str:
    return f"{kind.name} to {kind.new_name}" if kind.new_name else kind.name


def _size(note: SizeNote) -> str:
    return f"{_code(note.field)}: stated {note.declared_wh[0]}x{note.declared_wh[1]}, is {note.actual_wh[0]}x{note.actual_wh[1]}"


def _by_reason(notes: Sequence[Note]) -> Iterable[str]:
    reasons = dict.fromkeys(note.reason for note in notes)
    return (f"{reason}: {_listed([note.file for note in notes if note.reason == reason])}" for reason in reasons)


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(_code(name) for name in names)}" if names else "none"


def _code(text: str) -> str:
    """Text that Markdown shows as it is, whatever a file name holds."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


def provenance(data_yaml: Path, descriptors: Path | None = None) -> dict[str, Any]:
    """Licence, credits, splits, shared cells and corrections of a dataset folder, as plain JSON values for a model's card.

    Licence and credits stand in the descriptor that has the name of the dataset folder, or else of the folder that it was converted
    from; a dataset without one has neither, and one that was not converted by us has no more than these.

    Args:
        descriptors: folder of the descriptors of public datasets; None stands for the shipped ones.
    """
    folder = data_yaml.resolve().parent
    audit = _written(folder)
    names = [folder.name, *(Path(audit[key]).name for key in ("source", "labels") if key in audit)]
    return {**_credit(names, descriptors or sources()), **_found(audit)}


def _written(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / AUDIT).read_bytes())) if is_ours(folder) else {}


def _credit(names: list[str], descriptors: Path) -> dict[str, Any]:
    paths = {path.stem: path for path in descriptors.glob("*.yaml")}
    for name in names:
        if name.casefold() in paths:
            fields = yaml.safe_load(paths[name.casefold()].read_text(encoding="utf-8"))
            return {key: fields[key] for key in ("title", "homepage", "licence", "credits")}
    return {}


def _found(audit: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit says of splits, of fields that show the same cells in two of them, of dropped boxes and of corrections."""
    if not audit:
        return {}
    leaks = Counter(
        " and ".join(sorted((pair["first_split"], pair["second_split"]), key=SPLITS.index))
        for pair in audit["twins"]
        if pair["first_split"] != pair["second_split"]
    )
    return {
        "fields": {split: tally["images"] for split, tally in audit["splits"].items()},
        "same_cells_across_splits": dict(sorted(leaks.items())),
        "boxes_dropped": dict(Counter(box["reason"] for box in audit["boxes"] if box["action"] == DROPPED)),
        "corrections": _corrected(audit.get("corrections")),
    }


def _corrected(outcome: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    rows = {action: sum(kind["rows"] for kind in outcome["applied"] if kind["action"] == action) for action in ACTIONS}
    # The name alone, for the path is one of the machine that converted.
    return {
        "file": Path(outcome["file"]).name,
        "sha256": outcome["sha256"],
        **rows,
        "not_applied": len(outcome["not_applied"]),
    }
