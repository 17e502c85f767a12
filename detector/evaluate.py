"""`python -m detector.evaluate`: how well a model finds and counts labelled cells, or how far counts agree with true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from detector.accuracy import evaluation, precision, terminal
from detector.accuracy.comparison import evaluate_tables
from detector.accuracy.evaluation import Candidate, evaluate
from detector.accuracy.failures import NO_DOMAIN
from detector.accuracy.plots import style
from detector.accuracy.report import folder, protocols, sheets
from detector.annotations import dataset
from detector.annotations.labels import SPLITS
from detector.arguments import Parser, option
from detector.commandline import errors, for_people, print_json, run, tracked
from detector.engines import manifest
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, UsageError
from detector.vision.model import Model


@dataclass(frozen=True)
class EvaluateOptions:
    """The options by their names; `parser` says what they are."""

    data: Path | None = None
    split: str | None = None
    model: Path | None = None
    exclude: Path | None = None
    smears: Path | None = None
    also: Path | None = None
    counts: Path | None = None
    truth: Path | None = None
    against: Path | None = None
    protocol: str | None = None
    levels: Sequence[str] = ()
    out: Path | None = None
    json: bool = False


def command(options: EvaluateOptions) -> int:
    """Compare a model with labels (--data), or any counts with true counts (--counts and --truth).

    With --protocol, counts are validated as laboratories do it: the same slides again, another method, or two readers.

    Writes report.html (for people), metrics.json, fields.csv and plots. Figures have 95 % intervals by bootstrap over fields, or
    over smears if --smears names them. Each domain has its own figures; domains are named by --smears, or else by prefixes of the
    field names. Errors stand beside those of the constant baseline (the training fields' median), which a model should beat.
    """
    style.require()
    if options.protocol is not None or options.levels:
        study, about = protocols.study(options)
        target, document, code = folder.write_study(options.out, study, about), sheets.document(study, about), EXIT_DONE
        sheets.print_sheet(for_people(options.json), errors, study, target)
    else:
        _check(options)
        target, document, code = _tables(options) if options.data is None else _model(options, options.data)
        for_people(options.json).print(f"results: {target}", markup=False, soft_wrap=True)
    if options.json:
        print_json({"out": str(target), **document})
    return code


def _check(options: EvaluateOptions) -> None:
    if (options.data is None) == (options.counts is None):
        raise UsageError("give either --data (a model against labels) or --counts and --truth (counts against true counts)")
    if (options.counts is None) != (options.truth is None):
        raise UsageError("--counts and --truth belong together: counts, and a CSV or a folder of labels to compare them with")
    given = [option(name) for name in ("split", "model", "exclude", "smears", "also") if getattr(options, name) is not None]
    if options.data is None and given:
        raise UsageError(f"{', '.join(given)} belongs to --data; a table of counts is compared as it is, without a model")
    if options.split not in (None, *SPLITS):
        raise UsageError(f"--split {options.split}: no such split; known: {', '.join(SPLITS)}")


def _model(options: EvaluateOptions, data: Path) -> tuple[Path, dict[str, Any], int]:
    precision.reference()
    split, also = options.split or "test", options.also
    model, other = Model.load(options.model), options.against and Model.load(options.against)
    fields = evaluation.load_split(data, split, options.exclude)
    terminal.print_names(errors, f"names of {options.exclude} not in the split", fields.absent)
    of_smear, of_domain, remarks = manifest.groups(options.smears, [record.name for record in fields.records])
    terminal.print_names(errors, f"remarks on {options.smears}", remarks)
    with folder.begun(options.out) as target:
        with tracked("evaluating", fields.records) as records:
            result = evaluate(
                records,
                Candidate.of(model),
                train=dataset.load(data, "train").records,
                domain_of=(lambda name: of_domain.get(name, NO_DOMAIN)) if of_domain else dataset.domains(data),
                smears=of_smear or None,
                unread=fields.unusable,
                against=Candidate.of(other) if other else None,
                other_labels=evaluation.load_all_splits(also) if also else (),
            )
        terminal.print_evaluation(for_people(options.json), errors, result)
        if also and not result.relabelled:
            missing = f"no field of {escape(str(also))} is among those evaluated"
            errors.print(f"[yellow]{missing}:[/] names must be the same", soft_wrap=True)
        about = folder.about_model(data, split, fields.left_out, options.smears, model, other or None, also)
        document = folder.write_model(target, result, about)
    return target, document, EXIT_SOME_FAILED if result.unread else EXIT_DONE


def _tables(options: EvaluateOptions) -> tuple[Path, dict[str, Any], int]:
    # Both are there, as was checked.
    counts, truth = (path for path in (options.counts, options.truth) if path is not None)
    result = evaluate_tables(counts, truth, options.against)
    terminal.print_table_evaluation(for_people(options.json), result)
    with folder.begun(options.out) as target:
        document = folder.write_tables(target, result, folder.about_tables(counts, truth, options.against))
    return target, document, EXIT_SOME_FAILED if result.unread or result.against_unread else EXIT_DONE


def parser() -> Parser:
    """What the command takes."""
    made = Parser("evaluate", "[OPTION]...", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, help="data.yaml of a dataset folder made by detector.convert")
    add("--split", help="split to evaluate: train, val or test; default: test")
    add("--model", type=Path, help="an .onnx model, or the name of one that adapt made; default: the shipped one")
    add("--exclude", type=Path, help="text file with the names of fields to leave out, one a line")
    add("--smears", type=Path, help="CSV or .xlsx file with each field's smear, domain or both: field,smear,domain")
    add("--also", type=Path, help="data.yaml of other labels for the same fields; adds the figures by these labels")
    add("--counts", type=Path, help="CSV or .xlsx file of counts, for example counts.csv; in place of --data")
    true = "with --counts: CSV or .xlsx file of true counts or of an analyser's values, or a folder of labels"
    add("--truth", type=Path, help=true)
    studies = "; ".join(f"{name}: {protocol.about}" for name, protocol in protocols.PROTOCOLS.items())
    add("--protocol", help=f"with --counts: a study for validation. {studies}")
    levels = "with --protocol methods: values at which the bias is wanted; can be given several times"
    add("--levels", metavar="CLASS=VALUE,...", action="append", default=[], help=levels)
    add("--against", type=Path, help="a second .onnx model, or a second file of counts, to compare with the first")
    add("--out", type=Path, help="folder for the results; default: runs/evaluate/<time>")
    made.add_json()
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser(), EvaluateOptions)


if __name__ == "__main__":
    main()
