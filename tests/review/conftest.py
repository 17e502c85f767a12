"""A finished count to review."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.review_page import write_run
from detector import count
from detector.review.journal import ReviewJournal
from detector.review.opened import open_run
from detector.review.review import Review

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"
NASTY = "field <img src=x onerror=alert(1)>&'.jpg"


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of two smears in `fields`, one unread, one with markup in its name, and their count in `out`."""
    folder = tmp_path_factory.mktemp("counted")
    for smear, names in {"smear_a": ("field_01.jpg", "field_02.jpg"), "smear_b": (NASTY, "field_02.jpg")}.items():
        (folder / "fields" / smear).mkdir(parents=True)
        for sample, name in zip(("field_01.jpg", "field_02.jpg"), names, strict=True):
            shutil.copy(SAMPLES / smear / sample, folder / "fields" / smear / name)
    (folder / "fields" / "smear_b" / "empty.jpg").write_bytes(b"")
    options = ["--out", str(folder / "out"), "--um-per-px", "0.075", "--rbc-per-ul", "4.5e6", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["count", "fields", *options])
        with pytest.raises(SystemExit) as ended:
            count.main()
    assert ended.value.code == 1
    return folder


@pytest.fixture
def run_folder(counted: Path, tmp_path: Path) -> Path:
    """A copy of that count, to be changed, beside its pictures."""
    shutil.copytree(counted, tmp_path / "case")
    return tmp_path / "case" / "out"


Opening = Callable[[], Any]


@pytest.fixture
def opened(run_folder: Path) -> Opening:
    """Opens the review of that count, as a context manager."""

    @contextmanager
    def opening() -> Iterator[Review]:
        run = open_run(run_folder)
        with ReviewJournal(run_folder, run.sha256) as journal:
            yield Review(run, journal)

    return opening


@pytest.fixture
def many_fields(tmp_path: Path) -> Path:
    """A count of 200 fields with two cells each."""
    return write_run(tmp_path, 200, 2)
