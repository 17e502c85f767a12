"""`python -m detector.evaluate`: how well a model finds and counts the cells of a labelled dataset."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from detector.accuracy import tables
from detector.accuracy.evaluation import Evaluation, evaluate
from detector.accuracy.precision import MIN_SCORE
from detector.annotations import dataset, domains
from detector.annotations.labels import SPLITS
from detector.annotations.records import Record
from detector.commandline import EXIT_DONE, EXIT_SOME_FAILED, console, errors, progress_bar, run
from detector.errors import ConfigError, NothingToDoError, OutputError, UsageError
from detector.output.files import write_text
from detector.vision import finder
from detector.vision.model import Model


def command(
    data: Annotated[Path, typer.Option(help="data.yaml of a dataset folder made by detector.convert.")],
    split: Annotated[str, typer.Option(help="The split to evaluate: train, val or test.")] = "test",
    model: Annotated[Path | None, typer.Option(help="An .onnx model. Default: the shipped one.", show_default=False)] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Text file of field names to leave out, one a line.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.", show_default=False)] = None,
) -> int:
    """Compare a model with labels: average precision, precision and recall at its thresholds, and counts per field.

    Intervals are 95 %, by bootstrap over fields. The constant guess (median counts of the training split, without looking)
    stands beside the counts: a figure that does not beat it is worth nothing.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: no such split; known: {', '.join(SPLITS)}")
    loaded = Model.load(model)
    labelled = dataset.read(data, split)
    records = _without(labelled, exclude)
    if not records:
        raise NothingToDoError(f"{data}: split {split!r} has no fields to evaluate")
    with progress_bar("evaluating", len(records)) as advance:
        result = evaluate(
            _told(records, advance),
            find=lambda rgb: finder.find(loaded, rgb)[0],
            search=lambda rgb: finder.find(loaded, rgb, min_score=MIN_SCORE)[0],
            train=dataset.read(data, "train"),
            domain_of=domains.of_dataset(data),
        )
    _show(result)
    if out is not None:
        about: dict[str, str | int] = {"data": data.as_posix(), "split": split, "left_out": len(labelled) - len(records)}
        _write(out, result, {**about, "model": loaded.path.name, "model_sha256": loaded.sha256})
    return EXIT_SOME_FAILED if result.unread else EXIT_DONE


def _told(records: list[Record], advance: Callable[[int], None]) -> Iterator[Record]:
    for record in records:
        yield record
        advance(1)


def _without(records: list[Record], exclude: Path | None) -> list[Record]:
    if exclude is None:
        return records
    try:
        names = {line.strip() for line in exclude.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{exclude}: cannot be read as a list of names ({error})") from None
    absent = sorted(names - {record.name for record in records})
    if absent:
        errors.print(f"[yellow]not in the split:[/] {escape(', '.join(absent))} (of {escape(str(exclude))})", soft_wrap=True)
    return [record for record in records if record.name not in names]


def _show(result: Evaluation) -> None:
    for table in tables.of_evaluation(result):
        console.print(table)
    if result.saturated:
        errors.print(f"[yellow]too many cells to count all:[/] {escape(', '.join(result.saturated))}", soft_wrap=True)
    for field in result.unread:
        errors.print(f"[yellow]unread:[/] {escape(field.source)}: {escape(field.reason)}", soft_wrap=True)


def _write(out: Path, result: Evaluation, about: dict[str, str | int]) -> None:
    document = {"format": "smearcount-metrics", "version": 1, **about, **dataclasses.asdict(result)}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}") from None


def main() -> None:
    """Run the command line."""
    run(command, "python -m detector.evaluate")


if __name__ == "__main__":
    main()
