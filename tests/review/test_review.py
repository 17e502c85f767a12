"""Changes of a review: what they make of the counts, that they come back, and that none is lost or overwrites another."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steps import change, counts, looked_at_all, undo

from detector.errors import OutputError, UsageError
from detector.output import tables
from detector.review.journal import JOURNAL, ReviewJournal
from detector.review.opened import open_run
from detector.review.review import PROPOSED, FieldState, Review, StaleError, proposed
from detector.vision import boxes
from detector.vision.cells import RBC
from detector.vision.quality import Quality

Opening = Callable[[], Any]


def test_without_changes_the_counts_are_those_of_the_count(opened: Opening, run_folder: Path) -> None:
    with opened() as review:
        rows = tables.of_fields(state.counted for state in review.fields)
        rows.write(run_folder / "again.csv")
        assert (run_folder / "again.csv").read_bytes() == (run_folder / "counts.csv").read_bytes()
        again = tables.of_smears(review.smear(name) for name in review.smears)
        with (run_folder / "smears.csv").open(encoding="utf-8", newline="") as file:
            raw = list(csv.DictReader(file))
        again.write(run_folder / "again.csv")
        with (run_folder / "again.csv").open(encoding="utf-8", newline="") as file:
            for row, before in zip(csv.DictReader(file), raw, strict=True):
                for name, value in row.items():
                    assert value == ("" if name.startswith("expected") else before[name]), name


def test_a_look_alone_changes_no_count(opened: Opening) -> None:
    with opened() as review:
        before = [state.counted for state in review.fields]
        smears = {name: review.smear(name).classes["WBC"].per_ul for name in review.smears}
        looked_at_all(review)
        assert [state.counted for state in review.fields] == before
        assert {name: review.smear(name).classes["WBC"].per_ul for name in review.smears} == smears
        assert all(smears.values())


def test_only_slivers_that_readers_drew_are_told(opened: Opening) -> None:
    with opened() as review:
        state = review.fields[0]
        new, width = max(state.cells) + 1, state.source.cells.size_wh[0]
        seen = state.present()
        side = float(np.median(boxes.sides_clear_of_border(seen.xyxy[seen.label == RBC], seen.size_wh)))
        thin, thick = 0.15 * side, 0.25 * side
        drawn = [
            ([0, 50, thin, 50 + side], 0),
            ([0, 50, thick, 50 + side], 0),
            ([width - thin, 50, width, 50 + side], 0),
            ([0, 50, thin, 50 + side], 2),
            ([50, 50, 50 + thin, 50 + side], 0),
        ]
        change(review, cells=[{"box": box, "label": label} for box, label in drawn])
        assert review.cells_of(0)["slivers"] == [new, new + 2]
        change(review, cells=[{"cell": new, "removed": True}, {"cell": new + 2, "box": [width - thick, 50, width, 50 + side]}])
        assert review.cells_of(0)["slivers"] == []
        change(review, cells=[{"cell": number, "removed": True} for number in range(new - 1)])
        assert state.slivers() == []


def test_red_cell_counts_of_a_manifest_go_before_the_option(run_folder: Path) -> None:
    document = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    names = ["smear_a/field_01.jpg,smear_a,5000000", "smear_a/field_02.jpg,smear_a,", "smear_b/field_02.jpg,smear_b,"]
    manifest = run_folder.parent / "fields" / "manifest.csv"
    manifest.write_text("\n".join(["field,smear,rbc_per_ul", *names]), encoding="utf-8")
    document["settings"]["manifest"] = "fields/manifest.csv"
    (run_folder / "run.json").write_text(json.dumps(document), encoding="utf-8")
    run = open_run(run_folder)
    assert (run.rbc_per_ul, run.remarks) == ({"smear_a": 5e6, "smear_b": 4.5e6}, [])
    manifest.unlink()
    run = open_run(run_folder)
    assert set(run.rbc_per_ul.values()) == {None}
    assert "counts per µL are not given" in run.remarks[0]


def test_tables_that_contradict_the_cells_are_told_or_refused(opened: Opening, run_folder: Path) -> None:
    table = (run_folder / "counts.csv").read_text(encoding="utf-8")
    header, first, *others = table.splitlines()
    columns, values = header.split(","), first.split(",")
    for column, outcome in (("RBC_frame", "told"), ("RBC", "refused")):
        changed = list(values)
        changed[columns.index(column)] = str(int(changed[columns.index(column)]) + 1)
        (run_folder / "counts.csv").write_text("\n".join([header, ",".join(changed), *others]), encoding="utf-8")
        if outcome == "told":
            with opened() as review:
                assert review.remarks[0].startswith("1 of 5 fields")
                assert "counted by another version" in review.remarks[0]
        else:
            with pytest.raises(OutputError, match=r"counts other cells in smear_a/field_01\.jpg"):
                open_run(run_folder)


@pytest.mark.parametrize("saved", [True, False])
def test_a_count_without_a_journal_is_opened_too(opened: Opening, run_folder: Path, saved: bool) -> None:
    with opened() as review:
        before = review.state()
    if saved:
        (run_folder / "journal.jsonl").unlink()
    with opened() as review:
        after = review.state()
    assert [(f["name"], f["counts"], f["doubt"], f["problem"]) for f in before["fields"]] == [
        (f["name"], f["counts"], f["doubt"], f["problem"]) for f in after["fields"]
    ]


def test_pictures_are_found_from_anywhere_or_told_missing(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir("/")
    assert [bool(field.problem) for field in open_run(run_folder).fields] == [False, False, True, False, False]
    pictures = run_folder.parent / "fields"
    pictures.rename(tmp_path / "elsewhere")
    lost = open_run(run_folder)
    assert all("with --pictures, give the folder in which smear_" in field.problem or not field.is_read for field in lost.fields)
    opened = open_run(run_folder, tmp_path / "elsewhere")
    assert sum(not field.problem for field in opened.fields) == 4
    with (tmp_path / "elsewhere" / "smear_a" / "field_01.jpg").open("ab") as file:
        file.write(b"x")
    assert "has changed since" in open_run(run_folder, tmp_path / "elsewhere").fields[0].problem
    with pytest.raises(UsageError, match="is not a folder"):
        open_run(run_folder, tmp_path / "none")


def test_what_is_no_count_is_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"detections\.json, counts\.csv, run\.json is missing"):
        open_run(tmp_path)
    for name, content in (("run.json", "[]"), ("run.json", "{"), ("run.json", '{"settings": {}}'), ("detections.json", "{}")):
        before = (run_folder / name).read_text(encoding="utf-8")
        (run_folder / name).write_text(content, encoding="utf-8")
        with pytest.raises(OutputError):
            open_run(run_folder)
        (run_folder / name).write_text(before, encoding="utf-8")
    (run_folder / "run.json").write_text('{"stream": {}}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"is the result of a stream.*photograph fields of the smear"):
        open_run(run_folder)


def test_cells_are_changed_undone_and_made_again(opened: Opening) -> None:
    with opened() as review:
        red, white, platelets = counts(review)
        first = review.fields[0].cells[0]
        assert first is not None
        change(review, cells=[{"cell": 0, "label": (first[4] + 1) % 3}])
        after = counts(review)
        assert sum(after) == red + white + platelets
        assert after != [red, white, platelets]
        change(review, cells=[{"cell": 1, "removed": True}, {"box": [10, 10, 60, 70], "label": 1}])
        change(review, cells=[{"cell": 0, "box": [1, 2, 30, 40]}])
        assert review.fields[0].cells[0] == (1.0, 2.0, 30.0, 40.0, (first[4] + 1) % 3)
        assert review.fields[0].edits() == {"added": 1, "removed": 1, "relabelled": 1, "moved": 1}
        for _ in range(3):
            undo(review)
        assert counts(review) == [red, white, platelets]
        assert review.fields[0].edits() == {"added": 0, "removed": 0, "relabelled": 0, "moved": 0}
        with pytest.raises(UsageError, match="nothing to undo of Ann"):
            undo(review)
        for _ in range(3):
            undo(review, again=True)
        assert review.fields[0].edits() == {"added": 1, "removed": 1, "relabelled": 1, "moved": 1}
        undo(review)
        change(review, looked=True)
        with pytest.raises(UsageError, match="nothing to redo of Ann"):
            undo(review, again=True)


def test_a_review_goes_on_where_it_ended(opened: Opening) -> None:
    with opened() as review:
        change(review, cells=[{"cell": 0, "removed": True}, {"box": [10, 10, 60, 70], "label": 1}])
        change(review, 1, "Bob", cells=[{"cell": 0, "label": 2}])
        undo(review, "Bob")
        looked_at_all(review)
        review.change({"id": "sign-smear-a", "by": "Ann", "smears": [{"smear": "smear_a", "signed": True}]})
        before, cells = review.state(), [review.cells_of(number) for number in range(5)]
    with opened() as review:
        assert review.state() == before
        assert [review.cells_of(number) for number in range(5)] == cells
        assert undo(review, "Bob", again=True) == 1
        # Ann's signature and her mark of that field ended with it; what she did elsewhere can be undone all the same.
        ended = "another reader has changed the same since"
        with pytest.raises(UsageError, match=ended):
            undo(review)
        assert [undo(review), undo(review)] == [4, 3]
        with pytest.raises(UsageError, match=ended):
            undo(review)
        assert [undo(review), undo(review)] == [0, 0]
        assert review.fields[0].edits()["removed"] == 0
        assert review.readers() == ["Ann", "Bob"]


def test_what_was_answered_survives_a_kill(run_folder: Path) -> None:
    script = f"""
import itertools, os, sys
from pathlib import Path
from detector.review.journal import ReviewJournal
from detector.review.opened import open_run
from detector.review.review import Review
folder = Path({str(run_folder)!r})
run = open_run(folder)
review = Review(run, ReviewJournal(folder, run.sha256))
for i in itertools.count():
    box = {{"box": [i % 300, 10, i % 300 + 20, 40], "label": i % 3}}
    review.change({{"id": f"change-{{i:05}}", "by": "Ann", "fields": [{{"field": 0, "revision": i, "cells": [box]}}]}})
    os.write(1, f"{{i}}\\n".encode())
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 40:
                break
        with pytest.raises(OutputError, match="another program reviews this count"):
            ReviewJournal(run_folder, open_run(run_folder).sha256)
        process.send_signal(signal.SIGKILL)
        answered = 40 + len(process.stdout.read().splitlines())
    run = open_run(run_folder)
    with ReviewJournal(run_folder, run.sha256) as journal:
        review = Review(run, journal)
        assert review.fields[0].edits()["added"] in (answered + 1, answered + 2)
        assert review.remarks == []


def test_a_torn_last_line_is_forgotten_and_a_damaged_one_takes_all_marks(opened: Opening, run_folder: Path) -> None:
    with opened() as review:
        change(review, cells=[{"cell": 0, "removed": True}])
        change(review, cells=[{"box": [10, 10, 60, 70], "label": 1}])
        looked_at_all(review)
    journal = run_folder / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"n":99,"sets":[[')
    with opened() as review:
        assert review.remarks == []
        assert review.fields[0].looked is not None
    assert journal.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], lines[1].replace(b"Ann", b"Eve"), *lines[2:]]))
    for _ in range(2):
        with opened() as review:
            assert "1 of its changes cannot be read any more" in review.remarks[0]
            assert review.fields[0].edits() == {"added": 1, "removed": 0, "relabelled": 0, "moved": 0}
            assert not any(state.looked for state in review.fields)
    with opened() as review:
        change(review, looked=True)
    with opened() as review:
        assert review.fields[0].looked is not None
        assert review.remarks


def test_a_journal_of_another_count_or_of_something_else_is_refused(opened: Opening, run_folder: Path) -> None:
    with opened() as review:
        change(review, looked=True)
    kept = (run_folder / JOURNAL).read_bytes()
    with pytest.raises(OutputError, match="belongs to another count"):
        ReviewJournal(run_folder, "other")
    for text in (b"my notes", b"my notes\n", b'{"layout":9}\n'):
        (run_folder / JOURNAL).write_bytes(text)
        with pytest.raises(OutputError, match="is not a review"):
            ReviewJournal(run_folder, "other")
        assert (run_folder / JOURNAL).read_bytes() == text
    (run_folder / JOURNAL).write_bytes(kept[:20])
    with opened() as review:
        assert review.version == 0


def test_two_pages_do_not_overwrite_each_other(opened: Opening) -> None:
    with opened() as review:
        first = {"field": 0, "revision": 0, "cells": [{"cell": 0, "removed": True}]}
        second = {"field": 0, "revision": 0, "cells": [{"cell": 0, "label": 2}]}
        third = {"field": 1, "revision": 0, "cells": [{"cell": 0, "label": 2}]}
        review.change({"id": "page-one-1", "by": "Ann", "fields": [first]})
        with pytest.raises(StaleError) as refused:
            review.change({"id": "page-two-1", "by": "Bob", "fields": [third, second]})
        assert refused.value.fields == [0]
        assert review.fields[1].revision == 0
        assert review.version == 1
        # A page that got no answer asks again.
        assert review.change({"id": "page-one-1", "by": "Ann", "fields": [first]}) == 1


def test_parallel_changes_are_all_kept(opened: Opening) -> None:
    def draw(number: int) -> None:
        for _ in range(5):
            while True:
                try:
                    change(review, number % 2, f"reader {number}", cells=[{"box": [number, 5, number + 20, 25], "label": 1}])
                    break
                except StaleError:
                    continue

    with opened() as review:
        threads = [threading.Thread(target=draw, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [review.fields[number].edits()["added"] for number in (0, 1)] == [50, 50]
        before = [review.cells_of(number) for number in (0, 1)]
    with opened() as review:
        assert [review.cells_of(number) for number in (0, 1)] == before


def test_marks_and_signatures_end_where_somebody_changes_something(opened: Opening) -> None:
    with opened() as review:
        sign = {"by": "Ann", "smears": [{"smear": "smear_a", "signed": True}]}
        with pytest.raises(UsageError, match=r"field_01.jpg is not marked as looked at"):
            review.change({"id": "sign-0001", **sign})
        looked_at_all(review)
        review.change({"id": "sign-0002", **sign})
        assert review.state()["smears"][0]["signed"]["by"] == "Ann"
        change(review, cells=[{"cell": 0, "removed": True}])
        # Who marked it saw what she changed; the smear is another than that which was signed.
        assert review.fields[0].looked is not None
        assert review.state()["smears"][0]["signed"] is None
        undo(review)
        assert review.state()["smears"][0]["signed"]["by"] == "Ann"
        change(review, by="Bob", cells=[{"cell": 0, "removed": True}])
        assert review.fields[0].looked is None
        with pytest.raises(UsageError, match="another reader has changed the same since"):
            undo(review)
        undo(review, "Bob")
        assert review.fields[0].looked is not None


def test_expected_counts_hold_no_error_of_the_detector_once_all_was_looked_at(opened: Opening) -> None:
    with opened() as review:
        change(review, cells=[{"cell": 0, "removed": True}])
        change(review, 0, looked=True)
        assert review.smear("smear_a").classes["RBC"].expected_total is None
        looked_at_all(review)
        for smear in ("smear_a", "smear_b"):
            for count in review.smear(smear).classes.values():
                assert count.expected_total is not None
                assert count.expected_total.limits == (count.total, count.total)
                assert count.expected_mean == count.mean
            assert review.smear(smear).doubtful == 0


@pytest.mark.parametrize(
    "what",
    [
        {"cells": [{"cell": 10_000, "label": 1}]},
        {"cells": [{"cell": 0, "label": 3}]},
        {"cells": [{"cell": 0, "label": True}]},
        {"cells": [{"cell": 0, "label": "1; drop"}]},
        {"cells": [{"cell": 0, "box": [1, 2, 3]}]},
        {"cells": [{"cell": 0, "box": [1, 2, 1.5, 40]}]},
        {"cells": [{"cell": 0, "box": [float("nan"), 2, 30, 40]}]},
        {"cells": [{"cell": 0, "box": [-500, -500, -400, -400]}]},
        {"cells": [{"cell": 0, "removed": True}, {"cell": 0, "label": 2}]},
        {"cells": [{"box": [1, 2, 30, 40]}]},
        {"cells": [7]},
        {"cells": 7},
        {"field": 99},
        {"field": -1},
        {"field": "x"},
        {"revision": None},
    ],
)
def test_what_cannot_be_made_is_refused_and_changes_nothing(opened: Opening, run_folder: Path, what: dict[str, Any]) -> None:
    with opened() as review:
        before, cells = (run_folder / JOURNAL).read_bytes(), review.cells_of(0)
        with pytest.raises(UsageError):
            review.change({"id": "bad-change", "by": "Ann", "fields": [{"field": 0, "revision": 0, **what}]})
        assert review.cells_of(0) == cells
        assert (run_folder / JOURNAL).read_bytes() == before


@pytest.mark.parametrize("by", [None, "", "  ", "x" * 81, "a\x1b[0m", 7])
def test_a_change_needs_a_name(opened: Opening, by: object) -> None:
    with opened() as review, pytest.raises(UsageError, match="reader's name"):
        review.change({"id": "nameless", "by": by, "fields": [{"field": 0, "revision": 0, "looked": True}]})


def test_a_field_that_was_not_read_cannot_be_looked_at(opened: Opening) -> None:
    with opened() as review:
        number = next(n for n, state in enumerate(review.fields) if not state.source.is_read)
        with pytest.raises(UsageError, match="not read: is empty"):
            change(review, number, looked=True)


def test_a_change_that_cannot_be_written_is_not_made(opened: Opening, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with opened() as review:
        change(review, cells=[{"cell": 0, "removed": True}])
        cells = review.cells_of(0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left"):
                change(review, cells=[{"cell": 1, "removed": True}])
        assert review.cells_of(0) == cells
        change(review, cells=[{"cell": 2, "removed": True}])
        cells = review.cells_of(0)
    with opened() as review:
        assert review.cells_of(0) == cells


def with_quality(state: FieldState, focus: float, doubt: str = "") -> FieldState:
    """A field whose cells are all surely found, with another focus."""
    surely = replace(state.source.cells, score=np.ones(len(state.source.cells.score), np.float32))
    seen = Quality(focus=focus, covered=0.3, overlap=0.0, unclaimed=0.0, background=(200, 200, 200), contrast=0.3, uneven=0.1)
    result = replace(state.source.result, cells=surely, quality=seen)
    return FieldState(replace(state.source, result=result, doubt=doubt), state.model_cells, dict(state.cells), state.looked)


def test_doubtful_and_unlike_fields_are_proposed_first(many_fields: Path) -> None:
    run = open_run(many_fields)
    with ReviewJournal(many_fields, run.sha256) as journal:
        states = Review(run, journal).fields[:6]
    assert [proposed([], run.thresholds), len(proposed(states, run.thresholds))] == [[], 6]
    focus = [5.0, 5.0, 9.0, 5.1, 5.0, 7.0]
    states = [
        with_quality(state, at, "crowded" if i == 3 else "") for i, (state, at) in enumerate(zip(states, focus, strict=True))
    ]
    # Once the doubtful one was taken, the one least like it comes next, and then the one least like both.
    assert proposed(states, run.thresholds)[:3] == [3, 2, 5]
    states[2].looked = {"by": "Ann", "at": ""}
    left = proposed(states, run.thresholds)
    assert left[0] == 3
    assert 2 not in left
    states[5].source.problem = "its picture is gone"
    assert 5 not in proposed(states, run.thresholds)


def test_a_few_fields_are_proposed_at_a_time(many_fields: Path) -> None:
    run = open_run(many_fields)
    with ReviewJournal(many_fields, run.sha256) as journal:
        chosen = proposed(Review(run, journal).fields, run.thresholds)
    assert len(set(chosen)) == PROPOSED
