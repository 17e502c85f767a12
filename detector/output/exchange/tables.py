"""Tables of a count: a row for each cell as CSV or Parquet, and an Excel workbook of counts, smears and method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.output.exchange.run import Run
from detector.output.files import as_entry, readable
from detector.output.results import COUNTS, SMEARS

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_CELL = 32_767
"""Characters that Excel takes in a cell."""
_MOST_ROWS = 1_048_576
"""Rows that Excel takes in a sheet."""
NOTICE = "smearcount assists people who count cells; it is not a medical device and must not be used for diagnosis"
"""What other programs are to show with the numbers."""


def cells_frame(run: Run) -> pd.DataFrame:
    """A row for each cell: `field`, `smear`, `class`, `score`, and the box `x1`, `y1`, `x2`, `y2` in pixels of the upright picture."""
    import pandas as pd

    lengths = [len(field.cells) for field in run.fields]
    columns = {
        "field": np.repeat(np.array([readable(field.name) for field in run.fields], dtype=object), lengths),
        "smear": np.repeat(np.array([readable(field.smear) for field in run.fields], dtype=object), lengths),
        "class": np.array([name for field in run.fields for name in field.names], dtype=object),
        "score": np.array([score for field in run.fields for score in field.scores], dtype=np.float64),
    }
    boxes = np.array([corners for field in run.fields for corners in field.corners], dtype=np.float64).reshape(-1, 4)
    return pd.DataFrame({**columns, **dict(zip(("x1", "y1", "x2", "y2"), boxes.T, strict=True))})


def write_csv(run: Run, folder: Path) -> list[str]:
    """`cells.csv`; names that a spreadsheet would take for a formula begin with `'`."""
    frame = cells_frame(run)
    for column in ("field", "smear"):
        disarmed = {name: as_entry(name) for name in frame[column].unique()}
        frame[column] = frame[column].map(disarmed)
    # Line breaks are as in our other tables, on each system.
    frame.to_csv(folder / "cells.csv", index=False, encoding="utf-8", lineterminator="\n")
    return []


def write_parquet(run: Run, folder: Path) -> list[str]:
    """`cells.parquet`."""
    types = {"field": "string", "smear": "string", "class": "string"}
    cells_frame(run).astype(types).to_parquet(folder / "cells.parquet", engine="pyarrow", index=False)
    return []


def write_xlsx(run: Run, folder: Path) -> list[str]:
    """`counts.xlsx` with the sheets `counts` and `smears`, as the tables of those names, and `method`, as `run.json`."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    remarks = [
        *_sheet(book, "counts", *run.table(COUNTS)),
        *_sheet(book, "smears", *run.table(SMEARS)),
        *_sheet(book, "method", ["key", "value"], [["notice", NOTICE], *map(list, _flat(run.about))]),
    ]
    book.save(folder / "counts.xlsx")
    return remarks


def _sheet(book: Any, title: str, columns: list[str], rows: list[list[Any]]) -> list[str]:
    """Add a sheet; says what of it Excel does not take."""
    from openpyxl.styles import Font

    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    for number, column in enumerate(columns):
        longest = max([len(column), *(len(str(row[number])) for row in rows[:200])])
        sheet.column_dimensions[_letters(number)].width = min(longest + 2, 60)
    head = [_excel_cell(sheet, column) for column in columns]
    for heading in head:
        heading.font = Font(bold=True)
    sheet.append(head)
    for row in rows[: _MOST_ROWS - 1]:
        sheet.append([_excel_cell(sheet, value) if isinstance(value, str) else value for value in row])
    left_out = len(rows) - (_MOST_ROWS - 1)
    return [f"{left_out} rows of the sheet {title} were left out: Excel takes no more"] if left_out > 0 else []


def _letters(number: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(number + 1))


def _excel_cell(sheet: Any, text: str) -> Any:
    """A cell that holds a text as it is: never a formula, and without signs that a workbook cannot hold."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    clean = readable(ILLEGAL_CHARACTERS_RE.sub("�", text))[:_LONGEST_CELL]
    made = WriteOnlyCell(sheet, clean)
    made.data_type = "s"
    return made


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested objects with the names on the way to them."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", value
