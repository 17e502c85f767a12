"""What a stream has counted so far, and what is made of it after a crash."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from staging import StubMode, picture

from detector.errors import OutputError
from detector.streams import journal
from detector.streams.capture import Gap, Passed
from detector.streams.journal import Journalled
from detector.streams.log import FrameLog
from detector.streams.sources.source import Fault, Frame

HEADER = {"started": 1.0, "model": "0", "settings": {}}


class Recording(StubMode):
    """A mode whose records are its frames."""

    def record(self) -> dict[str, object]:
        return {"taken": list(self.taken)}


def kept(folder: Path, frames: int) -> Path:
    with Journalled(Recording(), folder, HEADER) as mode:
        for number in range(frames):
            mode._written = 0.0
            mode.take(Frame(number, 0.0, picture(number)))
    return folder / "journal.jsonl"


def test_records_come_back_up_to_the_first_that_is_torn_or_changed(tmp_path: Path) -> None:
    path = kept(tmp_path, 4)
    header, records = journal.read(tmp_path)
    assert header == {"layout": journal.LAYOUT, **HEADER}
    assert [record["taken"][-1] for record in records] == [0, 1, 2, 3]
    content = path.read_bytes()
    for cut in range(1, 30):
        path.write_bytes(content[:-cut])
        assert len(journal.read(tmp_path)[1]) == 3
    lines = content.splitlines(keepends=True)
    for line in range(1, len(lines)):
        changed = [*lines[:line], lines[line].replace(b"[0", b"[7"), *lines[line + 1 :]]
        path.write_bytes(b"".join(changed))
        assert len(journal.read(tmp_path)[1]) == line - 1


@pytest.mark.parametrize("content", [None, b"", b"\n", b"text\n", b'{"layout":1}\n', b"00000000 \n"])
def test_what_is_no_journal_says_so(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "journal.jsonl").write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot be read|is not a journal of a stream"):
        journal.read(tmp_path)


def test_that_of_a_count_is_none(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text(json.dumps({"layout": 4, "key": {}}) + "\n")
    with pytest.raises(OutputError, match="is not a journal of a stream"):
        journal.read(tmp_path)


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="needs locks on files")
    with Journalled(Recording(), tmp_path, HEADER), pytest.raises(OutputError, match="in use by a run that goes on"):
        journal.read(tmp_path)


def test_a_record_is_written_every_two_seconds_and_costs_little(tmp_path: Path) -> None:
    with Journalled(Recording(), tmp_path, HEADER) as mode:
        for number in range(50):
            mode.take(Frame(number, 0.0, picture(number)))
        assert len(journal_lines(tmp_path)) == 1
        mode._written = time.monotonic() - 2.1
        mode.take(Frame(50, 0.0, picture(50)))
        assert len(journal_lines(tmp_path)) == 2


def journal_lines(folder: Path) -> list[bytes]:
    return (folder / "journal.jsonl").read_bytes().splitlines()


def test_where_it_cannot_be_written_the_count_goes_on(tmp_path: Path) -> None:
    with Journalled(Recording(), tmp_path / "none", HEADER) as mode:
        mode._written = 0.0
        mode.take(Frame(0, 0.0, picture(0)))
        assert mode.problem == "journal.jsonl: cannot be written any more (No such file or directory); the count goes on"
        assert mode.totals().fields == 1


def test_the_sums_of_a_log_are_taken_up(tmp_path: Path) -> None:
    mode = StubMode()
    with FrameLog(tmp_path) as log:
        for number in range(10):
            log.verdict(number / 25, mode.take(Frame(number, 0.0, picture(number))), 3.0)
        log.passed(Passed(10, 0.4, True, "a newer one came"))
        log.passed(Passed(11, 0.5, False, "frozen picture"))
        log.fault(Fault(0.6, "lost", "no answer: none"))
        log.gap(Gap(0.6, 2.0, 3))
        expected = log.summary()
    with (tmp_path / "frames.csv").open("a") as file:
        file.write("12,0.7,us")
    taken_up = FrameLog(tmp_path, finish=True).summary()
    assert taken_up == {**expected, "latency_ms": {}}
