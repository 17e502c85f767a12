"""Documents to print and sign, as PDF on A4: headings, sentences, tables that go on over pages, and lines to sign on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from detector.errors import MissingExtraError, writing
from detector.output.files import write_bytes
from detector.output.report.content import FigureRow
from detector.texts import harmless

if TYPE_CHECKING:
    from fpdf import FPDF

MOST_ROWS = 500
"""Rows of a table of fields."""
_FAMILY = "DejaVu"
_MARGIN_MM, _BOTTOM_MM = 18.0, 20.0
_TEXT_PT, _SMALL_PT, _TITLE_PT, _HEAD_PT = 9.5, 8.0, 17.0, 12.5
_LINE = 1.35
"""Height of a line as a multiple of the font's."""
_MM_PER_PT = 25.4 / 72
_INK, _QUIET, _RULE, _WARN, _RAISED = (27, 31, 36), (87, 96, 106), (190, 197, 205), (138, 59, 0), (244, 246, 248)
_SIGNATURE_MM = 30.0
NOT_KNOWN = "–"


def require(option: str) -> None:
    """Refuse where the packages that write PDF are not installed.

    Raises:
        MissingExtraError: they are not.
    """
    for package in ("fpdf", "matplotlib"):
        if find_spec(package) is None:
            raise MissingExtraError({"fpdf": "fpdf2"}.get(package, package), "pdf", option)


class Document:
    """A document that grows from its top to its end."""

    def __init__(self, title: str, foot: str) -> None:
        """Begin with the title.

        Args:
            foot: stands below each page, beside the number of the page.

        Raises:
            MissingExtraError: the packages that write PDF are not installed.
        """
        require("a PDF")
        self._pdf = _sheet(_printable(foot))
        self._pdf.set_title(_printable(title))
        self._pdf.add_page()
        self._text(title, _TITLE_PT, bold=True)
        self._pdf.ln(1)

    def heading(self, text: str, space_mm: float = 0.0) -> None:
        """A heading, on the same page as so much of what follows it."""
        if self._pdf.will_page_break(space_mm + 2 * _HEAD_PT * _MM_PER_PT * _LINE):
            self._pdf.add_page()
        else:
            self._pdf.ln(3)
        self._text(text, _HEAD_PT, bold=True)
        self._pdf.ln(0.5)

    def sentence(self, text: str, *, small: bool = False, warning: bool = False) -> None:
        """A paragraph; a warning is bold and of another colour."""
        self._text(text, _SMALL_PT if small else _TEXT_PT, bold=warning, colour=_WARN if warning else _QUIET if small else _INK)
        self._pdf.ln(0.8)

    def counts(self, classes: Sequence[str], rows: Iterable[FigureRow]) -> None:
        """A smear's table: a figure with its interval for each class."""
        shown = [[row.name, *map(_figure, row.entries)] for row in rows]
        self.table(["", *classes], shown, [2.2, *(1.6 for _ in classes)])

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[float], words: int = 0) -> None:
        """A table whose head stands on each of its pages.

        Args:
            widths: of the columns, beside each other's.
            words: so many last columns hold words, and are not aligned to the right.
        """
        from fpdf.enums import TableBordersLayout
        from fpdf.fonts import FontFace

        self._style(_SMALL_PT + 0.5)
        self._pdf.set_draw_color(*_RULE)
        figures = len(columns) - 1 - words
        with self._pdf.table(
            width=self._pdf.epw,
            col_widths=tuple(widths),
            text_align=("LEFT", *["RIGHT"] * figures, *["LEFT"] * words),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            line_height=_SMALL_PT * _MM_PER_PT * _LINE * 1.05,
            padding=(0.9, 1.2),
            headings_style=FontFace(emphasis="BOLD", color=_INK, fill_color=_RAISED),
        ) as table:
            for cells in (columns, *rows):
                row = table.row()
                for text in cells:
                    row.cell(_printable(text))
        self._pdf.ln(2)

    def signature(self, facts: Sequence[str]) -> None:
        """Lines for a name, a date and a signature, below what is known of who looked; all on one page."""
        if self._pdf.will_page_break(_SIGNATURE_MM):
            self._pdf.add_page()
        for fact in facts:
            self.sentence(fact)
        self._pdf.ln(9)
        self._style(_SMALL_PT, colour=_QUIET)
        gap, y = 6.0, self._pdf.get_y()
        width = (self._pdf.epw - 2 * gap) / 3
        self._pdf.set_draw_color(*_INK)
        for number, name in enumerate(("Name", "Date", "Signature")):
            x = self._pdf.l_margin + number * (width + gap)
            self._pdf.line(x, y, x + width, y)
            self._pdf.set_xy(x, y + 0.8)
            self._pdf.cell(width, 4, name)
        self._pdf.set_xy(self._pdf.l_margin, y + 8)

    def write(self, target: Path) -> None:
        """Write it.

        Raises:
            OutputError: it cannot be written.
        """
        with writing(target):
            write_bytes(target, bytes(self._pdf.output()))

    def _text(self, text: str, size_pt: float, bold: bool = False, colour: tuple[int, int, int] = _INK) -> None:
        self._style(size_pt, bold, colour)
        self._pdf.multi_cell(0, size_pt * _MM_PER_PT * _LINE, _printable(text), align="L", new_x="LMARGIN", new_y="NEXT")

    def _style(self, size_pt: float, bold: bool = False, colour: tuple[int, int, int] = _INK) -> None:
        self._pdf.set_font(_FAMILY, "B" if bold else "", size_pt)
        self._pdf.set_text_color(*colour)


def moment(text: str) -> str:
    """A time in ISO 8601 of UTC, as people write it, to the minute."""
    return f"{text[:10]} {text[11:16]} UTC"


def _sheet(foot: str) -> FPDF:
    """An empty document with its fonts and its foot."""
    from fpdf import FPDF

    class Paper(FPDF):
        def footer(self) -> None:
            self.set_y(12 - _BOTTOM_MM)
            self.set_font(_FAMILY, "", _SMALL_PT - 1)
            self.set_text_color(*_QUIET)
            self.cell(self.epw - 24, 4, foot)
            self.cell(24, 4, f"page {self.page_no()} of {{nb}}", align="R")

    sheet = Paper(format="A4")
    sheet.set_margins(_MARGIN_MM, _MARGIN_MM)
    sheet.set_auto_page_break(True, _BOTTOM_MM)
    for style, name in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
        sheet.add_font(_FAMILY, style, _fonts() / name)
    sheet.set_lang("en")
    return sheet


def _fonts() -> Path:
    """Where Matplotlib's fonts lie, which have Greek, Cyrillic, Arabic and raised figures."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache
def _signs() -> frozenset[int]:
    """Code points that the font has."""
    from fontTools.ttLib import TTFont

    with TTFont(_fonts() / "DejaVuSans.ttf") as font:
        return frozenset(font.getBestCmap())


def _printable(text: str) -> str:
    """Text with what the font does not have as escapes, so that no name is shortened without a word."""
    safe = harmless(text)
    if safe.isascii():
        return safe
    return "".join(
        sign if sign == "\n" or ord(sign) in _signs() else sign.encode("unicode_escape").decode("ascii") for sign in safe
    )


def _figure(entry: tuple[str, tuple[str, str] | None]) -> str:
    value, limits = entry
    return (value or NOT_KNOWN) + (f"\n{limits[0]}–{limits[1]}" if limits else "")
