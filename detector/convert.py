"""`python -m detector.convert`: turn a labelled set of fields into a dataset folder to train and measure on, with an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from detector.annotations import conversion, download, splits
from detector.annotations.audit import Audit
from detector.annotations.corrections import ADD, COLUMNS, RELABEL, REMOVE, CorrectionOutcome
from detector.annotations.repair import DROPPED, REPAIRED, UNKNOWN
from detector.arguments import Number, Parser
from detector.commandline import console, errors, progress_bar, run
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, UsageError
from detector.vision.cells import CLASSES

_DOWNLOADS = Path("datasets/downloads")
_SHOWN = 5
_SPLITS = (
    "'official' (the source's own), a folder with train.txt, val.txt and test.txt (image names), or shares such as 0.8/0.1/0.1, drawn "
    "with --seed so that fields showing the same cells stay together; default: official if the source has splits, else 0.8/0.1/0.1"
)


@dataclass(frozen=True)
class ConvertOptions:
    """The options by their names; `parser` says what they are."""

    out: Path
    source: Path | None = None
    download: str | None = None
    splits: str | None = None
    seed: int = 0
    labels: Path | None = None
    only_relabelled: bool = False
    corrections: Path | None = None
    against: Sequence[Path] = ()


def command(options: ConvertOptions) -> int:
    """Turn labelled fields into a YOLO dataset folder, and list the faults of the labels.

    The source is never changed. The exit code is 1 if some files could not be used or some corrections could not be applied;
    audit.md in the dataset folder lists them.
    """
    plan = splits.plan(options.splits)
    request = conversion.Conversion(
        source=_source(options.source, options.download),
        out=options.out,
        plan=plan,
        seed=options.seed,
        labels=options.labels,
        only_relabelled=options.only_relabelled,
        against=tuple(options.against),
        corrections=options.corrections,
    )
    with errors.status("reading and comparing the images"):
        audit = conversion.convert(request)
    show(audit, options.out)
    stale = audit.corrections is not None and audit.corrections.not_applied
    return EXIT_SOME_FAILED if audit.failed or stale else EXIT_DONE


def _source(source: Path | None, download_name: str | None) -> Path:
    if (source is None) == (download_name is None):
        raise UsageError("give either SOURCE, a folder or COCO file, or --download NAME")
    if source is not None:
        return source
    dataset = download.descriptor(str(download_name))
    with progress_bar(f"fetching {dataset.name}", len(dataset.files)) as advance:
        return download.fetch(dataset, _DOWNLOADS / dataset.name, lambda _done, _all: advance(1))


def show(audit: Audit, out: Path) -> None:
    """Tell what a conversion found, repaired and left out."""
    table = Table("split", "images", *CLASSES, "without RBC", title=escape(out.as_posix()))
    for split, tally in audit.splits.items():
        boxes = (str(tally.boxes[name]) for name in CLASSES)
        table.add_row(split, str(tally.images), *boxes, str(len(tally.without_rbc)))
    console.print(table)
    leaks = sum(pair.leaks for pair in audit.twins)
    console.print(f"boxes: {len(audit.changed(REPAIRED))} repaired, {len(audit.changed(DROPPED))} dropped")
    console.print(f"fields that show the same cells: {len(audit.twins) - leaks} pairs within a split, {leaks} across splits")
    for other in audit.against:
        console.print(f"fields also in {escape(other.folder)}: {len({(pair.first, pair.first_split) for pair in other.twins})}")
    if audit.left_out:
        console.print(f"left out: {len(audit.left_out)} fields")
    unknown = Counter(note.name for note in audit.changed(DROPPED) if note.reason == UNKNOWN)
    _warn("left out", [f"{number} boxes of the unknown class {name!r}" for name, number in sorted(unknown.items())])
    _warn("could not be used", [f"{note.file}: {note.reason}" for note in audit.failed])
    _warn("need a look", [f"{note.file}: {note.reason}" for note in audit.remarks])
    if audit.corrections is not None:
        _show_corrections(audit.corrections)
    console.print(f"audit: {escape((out / 'audit.md').as_posix())}", soft_wrap=True)


def _show_corrections(outcome: CorrectionOutcome) -> None:
    removed, relabelled, added = (outcome.rows(action) for action in (REMOVE, RELABEL, ADD))
    elsewhere = f", {sum(outcome.absent.values())} for fields that are not converted" if outcome.absent else ""
    console.print(
        f"corrections: {removed} removed, {relabelled} relabelled, {added} added, "
        f"{len(outcome.not_applied)} could not be applied{elsewhere}",
        soft_wrap=True,
    )
    rows = outcome.not_applied
    _warn("could not be applied", [f"{outcome.file}, line {row.line}: {row.image}: {row.reason}" for row in rows])


def _warn(what: str, lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        errors.print(f"[yellow]{what}:[/] {escape(line)}", soft_wrap=True)
    if len(lines) > _SHOWN:
        errors.print(f"and {len(lines) - _SHOWN} more that {what}")


def parser() -> Parser:
    """What the command takes."""
    made = Parser("convert", "[OPTION]... --out <path> [SOURCE]", command.__doc__)
    add = made.add_argument
    layouts = "a folder in the layout of BCCD (Pascal VOC), CBC or YOLO, a COCO .json file, or files of CVAT, Label Studio, QuPath, ImageJ"
    add("source", metavar="SOURCE", type=Path, nargs="?", help=layouts)
    add("--out", type=Path, required=True, help="dataset folder to write; an earlier conversion there is replaced")
    fetch = f"download a public dataset into {_DOWNLOADS} and convert it: bccd"
    add("--download", help=fetch)
    add("--splits", help=_SPLITS)
    add("--seed", type=Number(int), default=0, help="random seed of the splits")
    add("--labels", type=Path, help="a label set, with or without images, that replaces the source's labels by image name")
    add("--only-relabelled", action="store_true", help="keep only fields that have labels in --labels")
    columns = ", ".join(COLUMNS)
    corrected = f"a reviewed CSV file of boxes to remove, relabel or add ({columns}); test labels are never corrected"
    add("--corrections", type=Path, help=corrected)
    again = "another dataset in which to look for the same cells; can be given several times"
    add("--against", type=Path, action="append", default=[], help=again)
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser(), ConvertOptions)


if __name__ == "__main__":
    main()
