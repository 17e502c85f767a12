"""What a comparison leaves for people and programs: tables in the terminal, `compare.csv`, and `report.html`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from detector.accuracy import matching, precision, terminal
from detector.accuracy.counts import Agreement
from detector.accuracy.figures import EvaluatedFields, agreements, count_cells
from detector.accuracy.intervals import WHY
from detector.accuracy.matching import Operating
from detector.accuracy.report.content import Entry, PageTable, as_number, as_percent, entry, table
from detector.accuracy.yardsticks import constant_baseline
from detector.annotations.records import Record
from detector.baselines import published
from detector.baselines.comparison import CELLS, SHAPES, Classified, MethodRun, TestSet, unlabelled
from detector.baselines.scores import Scores, score
from detector.counting.intervals import Interval
from detector.errors import writing
from detector.output import html
from detector.output.figures import many, short
from detector.output.files import write_csv
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread

CSV, FAILURES, REPORT = "compare.csv", "failures.csv", "report.html"
CONSTANT = "constant baseline"
CONSTANT_SOURCE = "the training fields' median count, whatever a field shows"
_COLUMNS = ("task", "data", "method", "preprocessing", "class", "figure", "value", "low", "high")
_TEMPLATES = Path(__file__).parent / "templates"
_COUNT_FIGURES = ("mae", "bias", "exact", "pooled_accuracy")
_RATES = ("precision", "recall", "f1")
_OVERALL = ("accuracy", "balanced", "precision", "f1")
_NONE = Entry("–")
_TASKS = {CELLS: "Cells by their class", SHAPES: "Red cells by their shape"}


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """One method, one test set, one class; None where the method finds no places, as the constant baseline."""

    data: str
    method: str
    class_name: str
    counts: Agreement
    clear: Agreement | None
    """Of the cells clear of the border."""
    rates: Operating | None
    ap50: Interval | None
    ms: float | None
    """Mean processor time for a field."""
    failed: int = 0
    """Fields on which the method failed; they are in none of its figures."""

    @property
    def title(self) -> str:
        """The method, with the number of its fields where some are wanting."""
        fields = self.counts.fields
        return f"{self.method}, {fields:,} of {fields + self.failed:,} fields" if self.failed else self.method


@dataclass(frozen=True)
class Failure:
    """What a method could not do, where others may have done it."""

    method: str
    data: str | None
    """Name of the test set; None where the method could not be fitted."""
    field: str | None
    """None where it is all of the test set, or the fit."""
    reason: str


@dataclass(frozen=True, eq=False)
class MethodsReport:
    """All that was measured."""

    fitted: Sequence[Record]
    """The fields that methods were fitted on."""
    tests: Sequence[TestSet]
    runs: Sequence[MethodRun]
    classified: Sequence[Classified]
    unread: Sequence[Unread]
    about: Mapping[str, str]
    """What was asked for, as names and values."""

    @cached_property
    def figures(self) -> list[ClassFigures]:
        """Of each test set, class and method."""
        return [figures for test in self.tests if test.records for figures in self._of_test(test)]

    def _of_test(self, test: TestSet) -> Iterator[ClassFigures]:
        truth = count_cells(test.records, clear=False)
        baseline = constant_baseline(count_cells(self.fitted, clear=False).tolist())
        constant = agreements(np.tile(baseline, (len(truth), 1)), truth)
        of_methods = [ClassFigures(test.name, CONSTANT, name, constant[name], None, None, None, None) for name in CLASSES]
        of_methods += [figures for run in self.runs if run.failed is None for figures in _of_run(run, test)]
        # A stable sort: by class, and the methods of each in their order.
        yield from sorted(of_methods, key=lambda figures: CLASSES.index(figures.class_name))

    @cached_property
    def scores(self) -> list[tuple[Classified, Scores]]:
        """Of each classifier that was fitted, on each test set that has crops."""
        return [
            (
                result,
                score(
                    result.crops.classes,
                    result.crops.label,
                    result.taken_for,
                    result.crops.smears or result.crops.fields,
                ),
            )
            for result in self.classified
            if result.failed is None and len(result.crops)
        ]

    @cached_property
    def claims(self) -> list[published.Held]:
        """What papers say of their methods, against what is measured here."""
        counting = {(of.data, of.method, of.class_name): of.counts.pooled_accuracy for of in self.figures}
        shapes = [(of.data, {"accuracy": scores.accuracy, "f1": scores.f1}) for of, scores in self.scores if of.task == SHAPES]
        return list(published.held(counting, shapes))

    @cached_property
    def failures(self) -> list[Failure]:
        """All that methods and classifiers could not do."""
        made: list[Failure] = []
        for run in self.runs:
            made += [Failure(run.name, None, None, run.failed)] if run.failed else []
            made += [
                Failure(run.name, data, field.source, field.reason) for data, of in run.detections.items() for field in of.failed
            ]
        return made + [
            Failure(f"{_title(result)} ({result.task})", result.data, None, result.failed)
            for result in self.classified
            if result.failed
        ]

    def remarks(self) -> list[tuple[str, str]]:
        """What a reader must know before the figures: of what, and the remark."""
        rows = list(self._failed())
        for result in self.classified:
            row = (
                f"classifiers of {result.task}",
                f"too few crops to learn {', '.join(result.unlearnt)}: no crop is ever taken for one of these",
            )
            rows += [row] if result.unlearnt and row not in rows else []
        for test in self.tests:
            if test.excluded:
                rows.append((test.name, f"{many(len(test.excluded), 'field')} left out on request (--exclude)"))
            if test.same_as_fitted:
                rows.append(
                    (test.name, f"{many(len(test.same_as_fitted), 'field')} left out for showing cells of the training fields")
                )
            if not test.records:
                rows.append((test.name, "has no test field that can be used"))
            elif missing := unlabelled(test):
                rows.append(
                    (
                        test.name,
                        f"no {' or '.join(missing)} labelled: if its fields show some, errors of these classes mean nothing",
                    )
                )
        for run in self.runs:
            missing = [name for label, name in enumerate(CLASSES) if label not in run.classes]
            if run.failed is None and missing:
                rows.append((run.name, f"looks for no {' or '.join(missing)}; they are in none of its figures"))
        return rows

    def _failed(self) -> Iterator[tuple[str, str]]:
        for run in self.runs:
            if run.failed:
                yield "not fitted", _named((run.name,), run.failed)
            for data, of in run.detections.items():
                if of.failed:
                    of_all = many(len(of.failed) + len(of.records), "field")
                    yield run.name, f"failed on {len(of.failed):,} of {of_all} of {data}; they are in none of its figures"
        alike: dict[tuple[str, str], list[str]] = {}
        for result in self.classified:
            if result.failed:
                alike.setdefault((result.task, result.failed), []).append(result.classifier)
        for (task, reason), names in alike.items():
            yield "not classified", f"{task}: {_named(tuple(dict.fromkeys(names)), reason)}"


def _of_run(run: MethodRun, test: TestSet) -> Iterator[ClassFigures]:
    detections = run.detections[test.name]
    if not detections.records:
        return
    fields = EvaluatedFields(detections.records, detections.counted, detections.searched)
    counts, clear = (agreements(fields.counted(zone), fields.truth(zone)) for zone in (False, True))
    rates = matching.operating_of(fields.confusions)
    ap50 = precision.average_precision(detections.records, detections.searched).ap50
    for label in run.classes:
        name = CLASSES[label]
        figures = (counts[name], clear[name], rates[name], ap50[name], float(np.mean(detections.ms)))
        yield ClassFigures(test.name, run.name, name, *figures, failed=len(detections.failed))


def _named(methods: tuple[str, ...], reason: str) -> str:
    """A reason with the methods that it is of; those that were foreseen name one themselves."""
    return reason if reason.startswith(methods[0]) else f"{', '.join(methods)}: {reason}"


def rows(comparison: MethodsReport) -> Iterator[tuple[object, ...]]:
    """Rows of `compare.csv`: one for each figure."""
    for of in comparison.figures:
        about = ("counting", of.data, of.method, None, of.class_name)
        yield (*about, "fields", of.counts.fields, None, None)
        yield (*about, "failed", of.failed, None, None)
        yield (*about, "truth", of.counts.truth, None, None)
        yield (*about, "counted", of.counts.counted, None, None)
        yield from ((*about, name, *_values(getattr(of.counts, name))) for name in _COUNT_FIGURES)
        if of.clear is not None and of.rates is not None:
            yield (*about, "mae_clear", *_values(of.clear.mae))
            yield from ((*about, name, *_values(getattr(of.rates, name))) for name in _RATES)
            yield (*about, "ap50", *_values(of.ap50))
            yield (*about, "ms_per_field", of.ms, None, None)
    for run in comparison.runs:
        if run.failed is None:
            yield ("counting", None, run.name, None, None, "fit_s", run.fit_s, None, None)
            yield ("counting", None, run.name, None, None, "size_bytes", run.size_bytes, None, None)
    for result, scores in comparison.scores:
        of_crops = (result.task, result.data, result.classifier, "on" if result.enhanced else "off")
        yield (*of_crops, "all", "crops", scores.crops, None, None)
        yield from ((*of_crops, "all", name, *_values(getattr(scores, name))) for name in _OVERALL)
        for name, of_class in scores.by_class.items():
            yield (*of_crops, name, "crops", of_class.crops, None, None)
            yield from ((*of_crops, name, rate, *_values(getattr(of_class, rate))) for rate in _RATES)
        yield (*of_crops, None, "fit_s", result.fit_s, None, None)
        yield (*of_crops, None, "size_bytes", result.size_bytes, None, None)
    for claim in published.CLAIMS:
        yield ("paper", claim.data, claim.method, None, claim.class_name, f"{claim.what}; {claim.paper}", claim.value, None, None)


def _values(figure: Interval | None) -> tuple[float | None, float | None, float | None]:
    if figure is None:
        return None, None, None
    return (figure.value, *(figure.limits or (None, None)))


def write(folder: Path, comparison: MethodsReport) -> None:
    """Write `compare.csv`, `failures.csv` and `report.html`; they take the place of earlier ones.

    Raises:
        OutputError: one of them cannot be written.
    """
    with writing(folder):
        write_csv(folder / CSV, _COLUMNS, rows(comparison))
        failures = [(of.method, of.data, of.field, of.reason) for of in comparison.failures]
        write_csv(folder / FAILURES, ("method", "data", "field", "reason"), failures)
        html.write(folder / REPORT, render(comparison))


def render(comparison: MethodsReport) -> str:
    """The page as HTML."""
    return html.render(
        _TEMPLATES,
        sentence=_sentence(comparison),
        remarks=comparison.remarks(),
        unread=comparison.unread,
        failures=_failures_table(comparison),
        sets=[
            (test.name, many(len(test.records), "field"), _counting_tables(comparison, test))
            for test in comparison.tests
            if test.records
        ],
        methods=_methods_table(comparison),
        sources=[(CONSTANT, CONSTANT_SOURCE), *((run.name, run.source) for run in comparison.runs)],
        crops=list(_crop_tables(comparison)),
        claims=_claims_table(comparison),
        about=comparison.about,
    )


def _sentence(comparison: MethodsReport) -> str:
    fields = f"{many(len(comparison.runs), 'method')}, fitted on {many(len(comparison.fitted), 'field')}"
    tested = ", ".join(f"{many(len(test.records), 'field')} of {test.name}" for test in comparison.tests)
    return f"{fields} and tested on {tested}, beside the constant baseline."


def _counting_tables(comparison: MethodsReport, test: TestSet) -> list[PageTable]:
    columns = ("", "mean absolute error", "clear of the border", "bias", "counted exactly", "precision", "recall", "F1", "AP50")
    return [
        table(
            name,
            columns,
            [(of.title, _entries(of)) for of in comparison.figures if of.data == test.name and of.class_name == name],
        )
        for name in CLASSES
    ]


def _entries(of: ClassFigures) -> list[Entry]:
    counts = [entry(of.counts.mae, as_number(2)), entry(of.clear.mae, as_number(2)) if of.clear else _NONE]
    counts += [entry(of.counts.bias, as_number(2)), entry(of.counts.exact, as_percent, WHY["exact"])]
    if of.rates is None:
        return [*counts, *[_NONE] * 4]
    rates = [entry(getattr(of.rates, name), as_percent, WHY[name]) for name in _RATES]
    return [*counts, *rates, entry(of.ap50, as_number(3), WHY["ap50"])]


def _failures_table(comparison: MethodsReport) -> PageTable:
    made = [(of.method, [Entry(of.data or "all"), Entry(of.field or "all"), Entry(of.reason)]) for of in comparison.failures]
    return table("Where methods failed", ("", "data", "field", "reason"), made)


def _methods_table(comparison: MethodsReport) -> PageTable:
    times = {(of.method, of.data): of.ms for of in comparison.figures if of.ms is not None}
    names = [test.name for test in comparison.tests if test.records]
    columns = ("", "fitted in", "size", *(f"per field of {name}" for name in names))
    made = [
        (
            run.name,
            _cost(run)
            + [Entry(f"{short(ms)} ms") if (ms := times.get((run.name, name))) is not None else _NONE for name in names],
        )
        for run in comparison.runs
        if run.failed is None
    ]
    return table("Processor time and size; a field's time is without reading its picture", columns, made)


def _claims_table(comparison: MethodsReport) -> PageTable:
    columns = ("paper and figure", "its data", "the paper's figure", "method here", "data here", "figure here", "")
    made = []
    for held in comparison.claims:
        claim, value = held.claim, as_percent(held.claim.value)
        about = (claim.data, f"≥ {value}" if claim.at_least else value, claim.method or "best classifier")
        measured = (Entry(held.here[0]), entry(held.here[1], as_percent)) if held.here else (_NONE, _NONE)
        made.append((f"{claim.paper}: {claim.class_name}, {claim.what}", [*map(Entry, about), *measured, Entry(held.verdict)]))
    return table("What papers say of their methods, and what is measured here", columns, made)


def _crop_tables(comparison: MethodsReport) -> Iterator[tuple[str, PageTable, list[PageTable], list[PageTable]]]:
    """Of each task and test set: its heading, figures of all classes, those of each class, and the confusions."""
    for task, data in dict.fromkeys((result.task, result.data) for result, _ in comparison.scores):
        chosen = [
            (_title(result), result, scores) for result, scores in comparison.scores if (result.task, result.data) == (task, data)
        ]
        classes = chosen[0][1].crops.classes
        smears = chosen[0][1].crops.smears
        unit = many(len(set(smears)), "smear") if smears else many(len(set(chosen[0][1].crops.fields)), "field")
        heading = f"{_TASKS[task]}: {data}, {many(chosen[0][2].crops, 'crop')} of {unit}"
        overall = [
            (title, [*(entry(getattr(scores, name), as_percent) for name in _OVERALL), *_cost(result)])
            for title, result, scores in chosen
        ]
        held = chosen[0][2].by_class
        columns = ("", *(f"{name} ({held[name].crops:,})" for name in classes))
        by_class = [
            table(
                f"{of} of each class, and its crops",
                columns,
                [
                    (title, [entry(getattr(scores.by_class[name], rate), as_percent, WHY[rate]) for name in classes])
                    for title, _, scores in chosen
                ],
            )
            for rate, of in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))
        ]
        yield (
            heading,
            table(
                "All classes", ("", "accuracy", "balanced accuracy", "mean precision", "mean F1", "fitted in", "size"), overall
            ),
            by_class,
            [_confusion(title, classes, scores) for title, _, scores in chosen],
        )


def _cost(of: MethodRun | Classified) -> list[Entry]:
    return [Entry(f"{short(of.fit_s)} s"), Entry(f"{short(of.size_bytes / 1024)} KiB")]


def _title(result: Classified) -> str:
    return f"{result.classifier}, preprocessed" if result.enhanced else result.classifier


def _confusion(title: str, classes: Sequence[str], scores: Scores) -> PageTable:
    numbers = [(name, [Entry(f"{n:,}") for n in row]) for name, row in zip(classes, scores.confusion, strict=True)]
    return table(f"{title}: crops by class (rows) and what they were taken for (columns)", ("", *classes), numbers)


def show(console: Console, errors: Console, comparison: MethodsReport) -> None:
    """Print the figures of counting and of crops, and on `errors` what a reader must know of them."""
    counting = terminal.empty_table(
        ("data", "class", "method", "mean error", "bias", "precision", "recall", "AP50", "ms"),
        "counts per field, with 95 % intervals",
        "mean error: absolute; ms: processor time for a field without reading it",
    )
    before = None
    for of in comparison.figures:
        if before is not None and before != (of.data, of.class_name):
            counting.add_section()
        first = before != (of.data, of.class_name)
        before = (of.data, of.class_name)
        rates = terminal.texts(of.rates, 2, "precision", "recall") if of.rates else ["", ""]
        ap50 = terminal.two_lines(of.ap50, 2, WHY["ap50"]) if of.rates else ""
        figures = (*terminal.texts(of.counts, 2, "mae", "bias"), *rates, ap50, "" if of.ms is None else short(of.ms))
        counting.add_row(escape(of.data) if first else "", of.class_name if first else "", of.title, *figures)
    crops: dict[str, Any] = {}
    for result, scores in comparison.scores:
        columns = ("data", "classifier", "accuracy", "balanced", "precision", "F1")
        title = f"{_TASKS[result.task].lower()}, with 95 % intervals"
        of_task = crops.setdefault(
            result.task, terminal.empty_table(columns, title, "balanced: mean recall; precision, F1: means over classes")
        )
        of_task.add_row(escape(result.data), _title(result), *terminal.texts(scores, 3, *_OVERALL))
    papers = terminal.empty_table(
        ("paper", "class", "its figure", "data here", "figure here", ""),
        "what papers say of their methods, and what is measured here",
        "pooled accuracy hides errors that cancel",
    )
    for held in comparison.claims:
        of_paper = (held.claim.paper.split(",")[0], held.claim.class_name, as_percent(held.claim.value))
        here = (escape(held.here[0]), as_percent(held.here[1].value)) if held.here else ("", "")
        papers.add_row(*of_paper, *here, held.verdict)
    terminal.show(console, [counting, *crops.values(), papers])
    for what, remark in comparison.remarks():
        errors.print(f"[yellow]{escape(what)}:[/] {escape(remark)}", soft_wrap=True)
    for run in comparison.runs:
        failed = [f"{data}/{field.source} ({field.reason})" for data, of in run.detections.items() for field in of.failed]
        terminal.print_names(errors, f"fields on which {run.name} failed", failed)
    terminal.print_names(errors, "unread", [f"{field.source} ({field.reason})" for field in comparison.unread])
