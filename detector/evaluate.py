"""`python -m detector.evaluate`: how well a model finds and counts labelled cells, or how far counts agree with true ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from detector.accuracy import labelled, model_tables, precision, tables
from detector.accuracy.evaluation import Candidate, evaluate
from detector.accuracy.fields import NO_DOMAIN, by_name
from detector.accuracy.plots import style
from detector.accuracy.printed import print_names
from detector.accuracy.report import about, folder
from detector.accuracy.tabled import evaluate_tables
from detector.annotations import dataset, domains
from detector.annotations.labels import SPLITS
from detector.annotations.records import Record
from detector.arguments import Parser
from detector.commandline import EXIT_DONE, EXIT_SOME_FAILED, console, errors, progress_bar, run
from detector.engines import manifest
from detector.errors import UsageError
from detector.vision.model import Model


def command(  # noqa: PLR0913
    data: Path | None = None, *, split: str | None = None, model: Path | None = None, exclude: Path | None = None,
    smears: Path | None = None, also: Path | None = None, counts: Path | None = None, truth: Path | None = None,
    against: Path | None = None, out: Path | None = None,
) -> int:  # fmt: skip
    """Compare a model with labels (--data), or counts of any origin with true counts (--counts and --truth).

    Writes report.html (for people), metrics.json, fields.csv and plots. Intervals are 95 %, by bootstrap over fields, or over smears
    where --smears tells these. Each domain has figures of its own: those that --smears tells, or else the prefixes of the fields'
    names. The constant baseline (the training fields' median) stands beside the counts: a model should beat it.
    """
    _check(data, counts, truth, {"--split": split, "--model": model, "--exclude": exclude, "--smears": smears, "--also": also})
    style.require()
    if data is not None:
        return _model(data, split or "test", model, exclude, smears, also, against, out)
    assert counts is not None
    assert truth is not None
    return _tables(counts, truth, against, out)


def _check(data: Path | None, counts: Path | None, truth: Path | None, with_data: dict[str, Any]) -> None:
    if (data is None) == (counts is None):
        raise UsageError(
            "give either --data datasets/NAME/data.yaml (a model against labels) or --counts counts.csv --truth manual.csv "
            "(counts against true counts)"
        )
    if (counts is None) != (truth is None):
        raise UsageError(
            "--counts and --truth belong together: the counts, and the CSV or the folder of labels to compare them with"
        )
    given = [name for name, value in with_data.items() if value is not None]
    if data is None and given:
        raise UsageError(f"{', '.join(given)} belongs to --data; a table of counts is compared as it is, without a model")
    if with_data["--split"] not in (None, *SPLITS):
        raise UsageError(f"--split {with_data['--split']}: no such split; known: {', '.join(SPLITS)}")


def _model(  # noqa: PLR0913
    data: Path,
    split: str,
    model: Path | None,
    exclude: Path | None,
    smears: Path | None,
    also: Path | None,
    against: Path | None,
    out: Path | None,
) -> int:
    precision.reference()
    loaded, other = Model.load(model), against and Model.load(against)
    fields = labelled.load(data, split, exclude)
    print_names(errors, f"names of {exclude} not in the split", fields.absent)
    of_smear, of_domain = _of_manifest(smears, fields.records)
    with folder.begun(out) as target:
        with progress_bar("evaluating", len(fields.records)) as advance:
            result = evaluate(
                _told(fields.records, advance),
                Candidate.of(loaded),
                train=dataset.load(data, "train").records,
                domain_of=(lambda name: of_domain.get(name, NO_DOMAIN)) if of_domain else domains.of_dataset(data),
                smears=of_smear or None,
                unread=fields.unusable,
                against=Candidate.of(other) if other else None,
                other_labels=labelled.every(also) if also else (),
            )
        model_tables.print_evaluation(console, errors, result)
        if also and not result.relabelled:
            errors.print(
                f"[yellow]no field of {escape(str(also))} is among those evaluated:[/] names must be the same", soft_wrap=True
            )
        folder.write_model(target, result, about.of_model(data, split, fields.left_out, smears, loaded, other or None, also))
    console.print(f"results: {target}", markup=False, soft_wrap=True)
    return EXIT_SOME_FAILED if result.unread else EXIT_DONE


def _of_manifest(path: Path | None, records: Sequence[Record]) -> list[dict[str, str]]:
    """The smear and the domain of each field by its name; empty where they are not told."""
    listed = manifest.read(path, domains=True) if path else manifest.Manifest(Path(), ())
    print_names(errors, f"remarks on {path}", listed.remarks)
    told = [by_name(((row.field, getattr(row, what)) for row in listed.rows), what) for what in ("smear", "domain")]
    if path and not any(record.name in of for record in records for of in told):
        raise UsageError(f"{path}: names none of the fields to evaluate; they are named like {records[0].name!r}")
    return told


def _tables(counts: Path, truth: Path, against: Path | None, out: Path | None) -> int:
    result = evaluate_tables(counts, truth, against)
    tables.print_tables(console, result)
    with folder.begun(out) as target:
        folder.write_tables(target, result, about.of_tables(counts, truth, against))
    console.print(f"results: {target}", markup=False, soft_wrap=True)
    return EXIT_SOME_FAILED if result.unread or result.against_unread else EXIT_DONE


def _told(records: Sequence[Record], advance: Callable[[int], None]) -> Iterator[Record]:
    for record in records:
        yield record
        advance(1)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("evaluate", "[OPTION]...", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, help="data.yaml of a dataset folder made by detector.convert.")
    add("--split", help="The split to evaluate: train, val or test (default).")
    add("--model", type=Path, help="An .onnx model. Default: the shipped one.")
    add("--exclude", type=Path, help="Text file of field names to leave out, one a line.")
    add("--smears", type=Path, help="CSV: field,smear or field,domain or field,smear,domain.")
    add("--also", type=Path, help="data.yaml of other labels of the same fields: figures by both.")
    add("--counts", type=Path, help="CSV of counts, for example counts.csv, in the place of --data.")
    add("--truth", type=Path, help="With --counts: CSV of true counts, or a folder of labels.")
    add("--against", type=Path, help="A second .onnx model, or a second CSV of counts, to compare.")
    add("--out", type=Path, help="Folder for the results; default: runs/evaluate/<time>.")
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser())


if __name__ == "__main__":
    main()
