"""What is written down is what comes back, whatever happens to the end of the file."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting.result import FieldResult
from detector.errors import OutputError
from detector.output.journal import Journal, stamp_of
from detector.vision.detections import Detections, Unread
from detector.vision.quality import Quality
from detector.vision.scale import Scale

KEY = {"model_sha256": "abc"}
STAMP = (12, 34)
FORMER = Path(__file__).with_name("former_journal.jsonl")
"""A field, an unread one and a slide as version 0.1.0 wrote them down before its results had one type."""


def _entry(name: str, n: int, seed: int = 0) -> FieldResult:
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, 500, (n, 2)).round(2)
    xyxy = np.concatenate([corner, corner + generator.uniform(1, 90, (n, 2)).round(2)], axis=1).round(2)
    cells = Detections(xyxy, generator.uniform(0, 1, n).round(4), generator.integers(0, 3, n), (640, 480), saturated=n > 5)
    quality = Quality(
        generator.uniform(3, 12) if n else None, *generator.uniform(0, 1, 3), (200, 195, n), *generator.uniform(0, 1, 2),
        (n, 1, 2), (0, n, 1),
        plain_whites=n, stray=0.3, density=(0.1, 0.2, 0.3) if n else None, score=0.9 if n else None,
    )  # fmt: skip
    return FieldResult(name, "smear", 0.1, cells, "a note", quality, generator.bytes(7 * n))


def _equal(a: FieldResult, b: FieldResult) -> bool:
    if isinstance(a.cells, Unread) or isinstance(b.cells, Unread):
        return a == b
    arrays = all(np.array_equal(getattr(a.cells, k), getattr(b.cells, k)) for k in ("xyxy", "score", "label"))
    keys = ("field", "smear", "um_per_px", "note", "quality", "picture")
    cells = all(getattr(a.cells, k) == getattr(b.cells, k) for k in ("size_wh", "saturated"))
    return arrays and cells and all(getattr(a, k) == getattr(b, k) for k in keys)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), st.integers(0, 10**6), st.text(st.characters(codec=None), min_size=1, max_size=12))
def test_an_entry_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, name: str) -> None:
    path = tmp_path_factory.mktemp("j") / "j.jsonl"
    entry = _entry(name, n, seed)
    with Journal(path, KEY, resume=False) as journal:
        journal.add(entry, STAMP)
        assert _equal(journal.read(name), entry)
    with Journal(path, KEY, resume=True) as journal:
        assert journal.has(name, STAMP)
        assert not journal.has(name, (12, 35))
        assert _equal(journal.read(name), entry)


@pytest.mark.slow
def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    entries = [_entry("a", 2), FieldResult("b", "s", None, Unread("b", "is empty")), _entry("c", 3)]
    stamps = [STAMP, None, STAMP]
    with Journal(path, KEY, resume=False) as journal:
        for entry, stamp in zip(entries, stamps, strict=True):
            journal.add(entry, stamp)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0], len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        with Journal(path, KEY, resume=True) as journal:
            assert [journal.has(e.field, stamp) for e, stamp in zip(entries, stamps, strict=True)] == [i < kept for i in range(3)]
            journal.add(entries[2], STAMP)
            assert _equal(journal.read("c"), entries[2])


def test_a_second_entry_of_a_field_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False) as journal:
        journal.add(_entry("a", 2), STAMP)
        journal.add(_entry("a", 4, seed=1), STAMP)
    with Journal(path, KEY, resume=True) as journal:
        assert _equal(journal.read("a"), _entry("a", 4, seed=1))


@pytest.mark.parametrize("text", ["my own notes\nline two\n", "[1, 2]\n", '{"a": 1}\n'])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match="is not a journal"):
        Journal(path, KEY, resume=True)
    assert path.read_text(encoding="utf-8") == text


def test_a_damaged_line_costs_only_its_own_field(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False) as journal:
        for name in "abc":
            journal.add(_entry(name, 2), STAMP)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00damage\n"
    path.write_bytes(b"".join(lines))
    with Journal(path, KEY, resume=True) as journal:
        assert [journal.has(name, STAMP) for name in "abc"] == [True, False, True]
        assert _equal(journal.read("c"), _entry("c", 2))


def test_an_existing_journal_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False):
        pass
    with pytest.raises(OutputError, match="exists already"):
        Journal(path, KEY, resume=False)


def test_a_journal_of_the_former_version_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    shutil.copy(FORMER, path)
    with Journal(path, KEY, resume=True) as journal:
        assert journal.has("smear_a/field_01.jpg", STAMP)
        field, unread, slide = (journal.read(name) for name in ("smear_a/field_01.jpg", "b.jpg", "c.svs"))
        assert (field.smear, field.um_per_px, field.note, field.picture) == ("smear_a", None, "a remark", b"\xff\xd8\xff\xd9")
        assert isinstance(field.cells, Detections)
        np.testing.assert_allclose(field.cells.xyxy, [[10.25, 20, 110.5, 118], [300, 200, 420, 330.75]])
        np.testing.assert_allclose(field.cells.score, [0.91, 0.8765], atol=1e-6)
        assert field.cells.label.tolist() == [0, 1]
        assert field.scale == Scale(100.0, "cells of the field")
        assert field.quality is not None
        assert (field.quality.focus, field.quality.density, field.quality.counted) == (9.5, (0.1, 0.2, 0.3), (1, 1, 0))
        assert unread == FieldResult("b.jpg", "s", 0.1, Unread("b.jpg", "is empty (0 bytes)"))
        assert slide.slide is not None
        assert (slide.slide.um_per_px, slide.slide.rbc_px, slide.slide.tiles[0].raw) == (0.25, 30.0, (1, 1, 0))
        assert slide.slide.tiles[0].quality == field.quality
        for result, stamp in ((field, STAMP), (unread, None), (slide, (5, 6))):
            journal.add(result, stamp)
    lines = path.read_bytes().splitlines()
    assert [line[: -len(b',"crc32":"00000000"}')] + b"}" for line in lines[4:]] == lines[1:4]
    with Journal(path, KEY, resume=True) as journal:
        assert not journal.damaged


@pytest.mark.parametrize("field", range(1, 4))
def test_an_edited_line_of_the_former_version_is_counted_anew_and_never_a_traceback(tmp_path: Path, field: int) -> None:
    path = tmp_path / "j.jsonl"
    lines = FORMER.read_bytes().splitlines(keepends=True)
    content = json.loads(lines[field])
    for key, value in itertools.product(content, ("x", 7, [], {}, "[" * 5000, -1e400)):
        if key in ("note", "smear", "picture") and isinstance(value, str):
            continue  # text for a text is as good as what was written
        changed = json.dumps({**content, key: value}).encode() + b"\n"
        path.write_bytes(b"".join([*lines[:field], changed, *lines[field + 1 :]]))
        with Journal(path, KEY, resume=True) as journal:
            for name, stamp in (("smear_a/field_01.jpg", STAMP), ("b.jpg", None), ("c.svs", (5, 6))):
                if journal.has(name, stamp):
                    journal.read(name)


def test_a_changed_digit_is_counted_anew_and_told(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False) as journal:
        for name in "abc":
            journal.add(_entry(name, 2), STAMP)
        assert journal.remark == ""
    whole = path.read_bytes()
    start, end = (whole.index(f'"field":"{name}"'.encode()) - 1 for name in "bc")
    for at in range(start, end):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << (0, 3, 6)[at % 3]
        path.write_bytes(flipped)
        with Journal(path, KEY, resume=True) as journal:
            assert [journal.has(name, STAMP) for name in "abc"][:2] == [True, False]
            assert 3 in journal.damaged
    flipped = bytearray(whole)
    flipped[start + 20] ^= 1
    path.write_bytes(flipped + whole[start:end][:40])
    with Journal(path, KEY, resume=True) as journal:
        assert (
            journal.remark
            == f"{path}: lines 3, 5 are torn or changed; what stood there is counted again unless a later line holds it"
        )
        journal.add(_entry("b", 2), STAMP)
        assert _equal(journal.read("b"), _entry("b", 2))
        assert _equal(journal.read("c"), _entry("c", 2))


def test_a_line_without_its_checksum_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False) as journal:
        journal.add(_entry("a", 2), STAMP)
    header, line = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + line[: line.rindex(b',"crc32"')].replace(b'"note":"a note"', b'"note":"mine"') + b"}\n")
    with Journal(path, KEY, resume=True) as journal:
        assert not journal.has("a", STAMP)
        assert journal.damaged == [2]


def test_a_journal_that_another_writes_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False) as journal:
        journal.add(_entry("a", 2), STAMP)
        for _ in range(2):
            with pytest.raises(OutputError, match=f"{tmp_path.name}: another count writes into it; wait for its end"):
                Journal(path, KEY, resume=True)
        journal.add(_entry("b", 2), STAMP)
    with Journal(path, KEY, resume=True) as journal:
        assert journal.has("a", STAMP)
        assert journal.has("b", STAMP)


def test_of_a_name_that_the_system_cannot_be_asked_for_there_is_no_stamp() -> None:
    assert stamp_of(Path("a\0b")) is None
