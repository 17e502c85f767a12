"""Damaged and hostile files end with a reason, soon and in little memory, and are left as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import bad_input
from detector.errors import ImageError

CHANGES = 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "corpus"
    bad_input.corpus(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links in folders differ on Windows")
def test_each_file_of_the_corpus_is_read_or_refused_with_a_reason(corpus: Path) -> None:
    before = bad_input._peak_mb()
    pictures = bad_input.pictures(corpus)
    assert pictures.faults == []
    assert pictures.read + pictures.refused > 500
    assert pictures.read > 25
    assert pictures.refused > 300
    slides = bad_input.pictures(corpus, bad_input._of_slide, "*.tif")
    assert slides.faults == []
    assert slides.refused > 50
    # The headers among them state sides of 65,535 px.
    assert bad_input._peak_mb() - before < 1000


def test_every_whole_form_is_read(tmp_path: Path) -> None:
    for name, content in bad_input.forms():
        (tmp_path / name).write_bytes(content)
    whole = bad_input.pictures(tmp_path)
    assert (whole.refused, whole.faults) == (0, [])
    assert whole.read >= 25


# Others stand in `tests/annotations/test_readers_fuzzed.py`.
@pytest.mark.parametrize(
    "name", ["settings", "journals of counts", "journals of streams", "metadata of models", "cards of models"]
)
def test_a_changed_file_is_read_or_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    outcome = bad_input.changed(bad_input.READERS[name](tmp_path), CHANGES, seed=3)
    assert outcome.faults == []
    assert outcome.read + outcome.refused == CHANGES
    assert outcome.refused


@pytest.mark.slow
@pytest.mark.parametrize("name", bad_input.NATIVE)
def test_a_changed_file_that_native_code_reads_is_read_or_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    outcome = bad_input.changed(bad_input.NATIVE[name](tmp_path), 15, seed=3)
    assert outcome.faults == []
    assert outcome.read + outcome.refused == 15
    assert outcome.refused


def test_what_is_no_reason_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a picture")

    def careless(path: Path) -> None:
        raise KeyError("bbox")

    def silent(path: Path) -> None:
        raise ImageError("")

    def writing(path: Path) -> None:
        path.write_bytes(b"mended")

    assert bad_input.pictures(tmp_path, careless).faults == ["a.jpg: KeyError: 'bbox'"]
    assert bad_input.pictures(tmp_path, silent).faults == ["a.jpg: refused without a reason"]
    assert bad_input.pictures(tmp_path, writing).faults == ["a.jpg: was changed by its reader"]
