"""What is written down is what comes back, whatever happens to the end of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import OutputError
from detector.output.html import as_base64
from detector.output.journal import Entry, Journal
from detector.vision.detections import Detections, Unread
from detector.vision.quality import Quality

KEY = {"model_sha256": "abc"}


def _entry(name: str, n: int, seed: int = 0) -> Entry:
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, 500, (n, 2)).round(2)
    xyxy = np.concatenate([corner, corner + generator.uniform(1, 90, (n, 2)).round(2)], axis=1).round(2)
    found = Detections(xyxy, generator.uniform(0, 1, n).round(4), generator.integers(0, 3, n), (640, 480), saturated=n > 5)
    quality = Quality(
        generator.uniform(3, 12) if n else None, *generator.uniform(0, 1, 3), (200, 195, n), *generator.uniform(0, 1, 2),
        (n, 1, 2), (0, n, 1),
        plain_whites=n, stray=0.3, density=(0.1, 0.2, 0.3) if n else None, score=0.9 if n else None,
    )  # fmt: skip
    return Entry(name, "smear", 0.1, (12, 34), found, "a note", quality, as_base64(generator.bytes(7 * n)))


def _equal(a: Entry, b: Entry) -> bool:
    if isinstance(a.found, Unread) or isinstance(b.found, Unread):
        return a == b
    arrays = all(np.array_equal(getattr(a.found, k), getattr(b.found, k)) for k in ("xyxy", "score", "label"))
    keys = ("field", "smear", "um_per_px", "stamp", "note", "quality", "picture")
    found = all(getattr(a.found, k) == getattr(b.found, k) for k in ("size_wh", "saturated"))
    return arrays and found and all(getattr(a, k) == getattr(b, k) for k in keys)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), st.integers(0, 10**6), st.text(st.characters(codec=None), min_size=1, max_size=12))
def test_an_entry_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, name: str) -> None:
    path = tmp_path_factory.mktemp("j") / "j.jsonl"
    entry = _entry(name, n, seed)
    with Journal(path, KEY, resume=False) as journal:
        journal.add(entry)
        assert _equal(journal.read(name), entry)
    with Journal(path, KEY, resume=True) as journal:
        assert journal.has(name, (12, 34))
        assert not journal.has(name, (12, 35))
        assert _equal(journal.read(name), entry)


def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    entries = [_entry("a", 2), Entry("b", "s", None, None, Unread("b", "is empty")), _entry("c", 3)]
    with Journal(path, KEY, resume=False) as journal:
        for entry in entries:
            journal.add(entry)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0], len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        with Journal(path, KEY, resume=True) as journal:
            assert [journal.has(e.field, e.stamp) for e in entries] == [i < kept for i in range(3)]
            journal.add(entries[2])
            assert _equal(journal.read("c"), entries[2])


def test_a_second_entry_of_a_field_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False) as journal:
        journal.add(_entry("a", 2))
        journal.add(_entry("a", 4, seed=1))
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
            journal.add(_entry(name, 2))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00damage\n"
    path.write_bytes(b"".join(lines))
    with Journal(path, KEY, resume=True) as journal:
        assert [journal.has(name, (12, 34)) for name in "abc"] == [True, False, True]
        assert _equal(journal.read("c"), _entry("c", 2))


def test_an_existing_journal_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, KEY, resume=False):
        pass
    with pytest.raises(OutputError, match="exists already"):
        Journal(path, KEY, resume=False)
