"""The report of a count as a PDF: what stands in it, and that it goes on over pages."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import count
from detector.output import pdf
from detector.output.pdf import Document

pytest.importorskip("fpdf", reason="needs the pdf extra: pip install -e '.[pdf]'")


def words_of(path: Path) -> str:
    """The text of a PDF, by an independent reader."""
    if (reader := shutil.which("pdftotext")) is None:
        pytest.skip("needs pdftotext: apt-get install poppler-utils")
    return subprocess.run([reader, "-layout", str(path), "-"], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_count_writes_its_report_to_print(run_command: Callable[..., int], fields: Path) -> None:
    (fields / "smear_b" / "bad.jpg").write_bytes(b"")
    assert run_command(count.main, fields, "--out", "out", "--pdf", "--quiet") == 1
    flat = " ".join(words_of(Path("out/report.pdf")).split())
    assert "4 fields of 2 smears counted, 1 unread" in flat
    assert flat.count("Signature") == 2
    assert "Unread: smear_b/bad.jpg: is empty" in flat
    assert "expected true count per field" in flat


def test_a_long_table_has_its_head_on_each_page_and_odd_names_stay_whole(tmp_path: Path) -> None:
    document = Document("Many", "foot")
    rows = [[f"{n}_\u2069血_{'x' * 90}.jpg", str(n), "\x1b[0m"] for n in range(80)]
    document.table(["field", "RBC", "remarks"], rows, (3, 1, 1), words=1)
    document.write(tmp_path / "many.pdf")
    text = words_of(tmp_path / "many.pdf")
    pages = text.split("\f")[:-1]
    assert len(pages) > 2
    assert all("remarks" in page and f"page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1))
    whole = "".join(text.split())
    assert "\\u2069\\u8840_" in whole
    assert "\\x1b[0m" in whole


def test_without_its_packages_it_says_what_to_install(
    run_command: Callable[..., int], fields: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda _name: None)
    assert run_command(count.main, fields, "--out", "out", "--pdf") == 2
    assert "pip install 'smearcount[pdf]'" in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()
