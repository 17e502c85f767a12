"""Pages of a laboratory: what a study of its own found, in parts of tables and plots, for people, programs and the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.markup import escape

from detector.accuracy import terminal
from detector.accuracy.report import drawings
from detector.accuracy.report.content import Entry, PageTable
from detector.accuracy.report.drawings import Drawing, Plots
from detector.errors import writing
from detector.output import html
from detector.output.files import write_text

FORMAT = "smearcount-study"
VERSION = 1
TEMPLATES = Path(__file__).parent / "templates"
_TEMPLATE = "sheet.html.j2"


@dataclass(frozen=True)
class Part:
    """A part of a page; headings differ within a page."""

    heading: str
    tables: Sequence[PageTable] = ()
    plots: Sequence[Drawing] = ()
    remarks: Sequence[str] = ()
    wide: bool = False
    """Whether each plot has a row for itself."""
    printed: bool = True
    """Whether its tables are printed in the terminal too."""


@dataclass(frozen=True)
class Sheet:
    """A page."""

    title: str
    sentence: str
    """What was found, in one sentence."""
    parts: Sequence[Part]
    terms: Sequence[tuple[str, str]]
    """What is to be explained, with its meaning."""
    warnings: Sequence[str] = ()
    """What must be known before a figure is used."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """The figures for programs."""
    settings: Sequence[tuple[str, str]] = ()
    """Names and values of what it was made from."""
    format: str = FORMAT
    """Of the document."""


def write(target: Path, sheet: Sheet, names: tuple[str, str, str], about: Mapping[str, Any]) -> None:
    """Write the page, its figures as JSON, and its plots.

    Args:
        target: a folder.
        names: of the page, the figures and the folder of plots.
        about: what was compared, and `versions`, as plain values.

    Raises:
        OutputError: one of them cannot be written. MissingExtraError: matplotlib is not installed.
    """
    page, figures, plots = (target / name for name in names)
    content = document(sheet, about)
    with writing(target):
        write_text(figures, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        drawn = drawings.write(plots, _drawings(sheet))
        _write_page(page, sheet, drawn, about)


def document(sheet: Sheet, about: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a page for programs; `about` as of `write`."""
    return {"format": sheet.format, "version": VERSION, **about, **sheet.document, "warnings": list(sheet.warnings)}


def write_page(page: Path, sheet: Sheet, about: Mapping[str, Any]) -> None:
    """Write the page alone, which holds its plots; arguments as of `write`.

    Raises:
        OutputError: it cannot be written. MissingExtraError: matplotlib is not installed.
    """
    with writing(page), TemporaryDirectory() as folder:
        drawn = drawings.write(Path(folder), _drawings(sheet), ("svg",))
        _write_page(page, sheet, drawn, about)


def _drawings(sheet: Sheet) -> dict[str, Sequence[Drawing]]:
    return {part.heading: part.plots for part in sheet.parts}


def _write_page(page: Path, sheet: Sheet, drawn: Plots, about: Mapping[str, Any]) -> None:
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    given = [(name, value) for name, value in about.items() if isinstance(value, str)]
    shown = replace(sheet, settings=[*sheet.settings, *given, ("versions", versions)])
    made = f"smearcount {about['versions']['smearcount']}"
    html.write(page, html.render(TEMPLATES, _TEMPLATE, sheet=shown, plots=drawn, made=made))


def print_sheet(console: Console, errors: Console, sheet: Sheet, target: Path) -> None:
    """Print what was found, its tables and where it was written, and on `errors` what must be known first."""
    for warning in sheet.warnings:
        errors.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    tables = []
    for part in sheet.parts:
        for table in part.tables if part.printed else ():
            shown = terminal.empty_table((escape(column) for column in table.columns), f"{part.heading}: {table.caption}")
            for row in table.rows:
                shown.add_row(escape(row.name), *(escape(_lines(entry)) for entry in row.entries))
            tables.append(shown)
    terminal.show(console, tables)
    console.print(sheet.sentence, markup=False, soft_wrap=True)
    console.print(f"results: {target}", markup=False, soft_wrap=True)


def _lines(entry: Entry) -> str:
    below = f"{entry.interval[0]} to {entry.interval[1]}" if entry.interval else entry.why
    return f"{entry.text}\n{below}".strip()
