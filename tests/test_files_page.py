"""The page of files names each column and key that is written, and none else."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detector import control, convert, count, evaluate, factor, stream
from detector.accuracy.report import drawings
from detector.output import slides
from detector.review import outcome
from detector.review.journal import JOURNAL, ReviewJournal
from detector.review.opened import open_run
from detector.review.review import Review
from detector.service import counting, jobs
from detector.streams import modes
from detector.streams.survey import Survey
from detector.vision import catalogue
from detector.vision.card import Card
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

PAGE = Path(__file__).parents[1] / "docs" / "files.md"
SAMPLES = Path(__file__).parents[1] / "datasets" / "samples"
NAMED_BY_DATA = ("versions", "settings", "reasons", "faults", "key", "splits", "cells")
OF_A_STUDY = (*NAMED_BY_DATA, "classes", "samples", "groups", "variances", "bias")
"""Objects whose keys are names that the page does not list; and those of a study, which has figures in them."""
IN_SHORT = (
    "boxes",
    "failed",
    "left_out",
    "sizes",
    "twins",
    "against",
    "corrections",
    "slide",
    "stream.overlay_latency_ms",
    "shapes.figures",
)
"""Of what lies below these paths the page names nothing."""

Run = Callable[..., int]


def documented(name: str) -> set[str]:
    """Columns and keys of a file on the page; CLASS stands for each class."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    names = [one for cell in cells for one in re.findall(r"`([^`]+)`", cell)]
    return {one.replace("CLASS", c) for one in names for c in (CLASSES if "CLASS" in one else ("",))}


def header(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return set(next(csv.reader(file)))


def keys(
    content: Any, path: str = "", named: tuple[str, ...] = NAMED_BY_DATA, short: tuple[str, ...] = IN_SHORT
) -> Iterator[str]:
    """Paths of all keys, as the page writes them; `named` are objects whose keys are names, and nothing is told from below `short`."""
    last = path.removesuffix("[]").rpartition(".")[2]
    if isinstance(content, list):
        for one in content if path not in short else ():
            yield from keys(one, f"{path}[]", named, short)
    elif isinstance(content, dict) and path not in short:
        for name, one in content.items():
            at = f"{path}.{'NAME' if last in named else name}".removeprefix(".")
            yield at
            yield from keys(one, at, named, short)


def without_limits(content: Any) -> Any:
    """The same with each figure as its value alone."""
    if isinstance(content, dict):
        is_figure = content.keys() == {"value", "low", "high"}
        return content["value"] if is_figure else {name: without_limits(one) for name, one in content.items()}
    return [without_limits(one) for one in content] if isinstance(content, list) else content


@pytest.fixture
def counted(fields: Path, run_command: Run) -> Path:
    """The folder of a count of fields, one of them no picture, against their truth."""
    (fields / "smear_b" / "bad.jpg").write_bytes(b"")
    options = ("--truth", SAMPLES / "truth.csv", "--um-per-px", 0.075, "--rbc-per-ul", 4.6e6, "--shapes")
    assert run_command(count.main, fields, "--out", "out", *options) == 1
    return Path("out").resolve()


def test_a_count_writes_what_the_page_names(counted: Path) -> None:
    for name in ("counts.csv", "smears.csv", "shapes.csv", "errors.csv", "agreement.csv"):
        assert header(counted / name) == documented(name), name
    assert set(slides.COLUMNS) == documented("tiles.csv")
    document = set(keys(json.loads((counted / "detections.json").read_text(encoding="utf-8"))))
    assert document == documented("detections.json")
    run = set(keys(json.loads((counted / "run.json").read_text(encoding="utf-8"))))
    assert run == {one for one in documented("run.json") if not one.startswith(("stream", "review"))}
    lines = (counted / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert {one for line in lines for one in keys(json.loads(line))} == documented("journal.jsonl")


def test_a_review_writes_what_the_page_names(counted: Path) -> None:
    run = open_run(counted)
    with ReviewJournal(counted, run.sha256) as journal:
        review = Review(run, journal)
        look = {"field": 0, "revision": 0, "looked": True, "cells": [{"cell": 0, "removed": True}]}
        review.change({"id": "a-change", "by": "Ann", "fields": [look]})
        for number, again in enumerate((False, True)):
            review.undo({"id": f"a-step-{number}", "by": "Ann"}, again)
        folder = outcome.write(review)
    with (counted / JOURNAL).open("ab") as file:
        file.write(b"damaged\n")
    with ReviewJournal(counted, run.sha256) as journal:
        Review(run, journal)
    lines = [line for line in (counted / JOURNAL).read_text(encoding="utf-8").splitlines() if line != "damaged"]
    written = {one for line in lines for one in json.loads(line)}
    assert written == {name.removesuffix("[]") for name in documented("review.jsonl")}
    for name in ("counts.csv", "smears.csv"):
        assert header(folder / name) == documented(name) | documented(f"reviewed/{name}"), name
    assert header(folder / "confusion.csv") == documented("reviewed/confusion.csv")
    about = set(keys(json.loads((folder / "run.json").read_text(encoding="utf-8"))))
    assert about == {one for one in documented("run.json") if not one.startswith("stream")}


def test_the_page_names_what_a_streams_journal_holds() -> None:
    survey = Survey(lambda _frame: Detections.none((1, 1)), 2)
    assert set(survey.record()) == documented("journal.jsonl of a stream")


def test_a_stream_writes_what_the_page_names(run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from staging import StubMode, write_video

    monkeypatch.setattr(modes, "fields", lambda *_: StubMode())
    write_video(Path("v.avi"), 30)
    # A video that ends in the middle: a fault.
    content = Path("v.avi").read_bytes()
    Path("v.avi").write_bytes(content[: len(content) * 2 // 3])
    assert run_command(stream.main, "v.avi", "--out", "out") in (0, 1)
    for name in ("counts.csv", "smears.csv", "frames.csv"):
        assert header(Path("out") / name) == documented(name), name
    document = set(keys(json.loads(Path("out/run.json").read_text(encoding="utf-8"))))
    # Of the stub's fields and faults there may be none.
    free = (
        "review",
        "scales[]",
        "shapes",
        "stream.segments[]",
        "stream.frames.incidents[]",
        "stream.frames.faults.",
        "stream.frames.reasons.",
    )
    missing = {one for one in documented("run.json") - document if not one.startswith(free)}
    assert (document - documented("run.json"), missing) == (set(), set())


OF_CARDS = ("versions", "domains", "datasets", "val_count_error_per_field", "ranges", "boxes_dropped", "same_cells_across_splits")
"""Objects of cards whose keys are names."""


def test_the_page_names_what_the_shipped_cards_hold() -> None:
    short = ("training", *(f"val_sums.{name}" for name in CLASSES))
    short += tuple(f"{part}[].{name}" for part in ("figures", "left_out") for name in ("domains", "failures"))
    card = without_limits(json.loads(catalogue.SHIPPED.with_suffix(".json").read_text(encoding="utf-8")))
    assert set(keys(card, named=OF_CARDS, short=short)) == documented("smearcount.json")
    # What a model brings along in its own file is what its card says.
    assert {field.name for field in dataclasses.fields(Card)} <= documented("smearcount.json")
    shapes = json.loads(catalogue.SHIPPED.with_name("shapes.json").read_text(encoding="utf-8"))
    assert set(keys(shapes, named=(*OF_CARDS, "errors"), short=("training",))) == documented("shapes.json")


def test_the_page_names_what_stands_in_a_job(tmp_path: Path, model: Model) -> None:
    store = jobs.JobStore(tmp_path)
    intake = store.intake()
    shutil.copy(SAMPLES / "smear_a" / "field_01.jpg", intake.place("smear_a/field_01.jpg", ""))
    job, _ = store.accept(intake, jobs.Settings(0.075), jobs.new_id())
    said: list[Any] = []
    settings = {"threads": 1, "backend": "cpu", "most_pixels": 10**8}
    counting.Worker(model, settings, said.append).answer({"id": job.id, "folder": str(store.folder(job.id)), "keep": True})
    store.finish(job, "done")
    store.close()
    assert said[-1]["end"] == "done", said
    for name in (jobs.REQUEST, jobs.OUTCOME):
        content = json.loads((store.folder(job.id) / name).read_text(encoding="utf-8"))
        assert set(keys(content, named=())) == documented(name), name
    # What is below is in tables and in `run.json`, as elsewhere on the page.
    content = json.loads((store.folder(job.id) / jobs.DOCUMENT).read_text(encoding="utf-8"))
    assert set(content) == documented(jobs.DOCUMENT)
    assert set(content["counts"][0]) == documented("counts.csv")
    assert set(content["smears"][0]) == documented("smears.csv")


def test_a_conversion_writes_what_the_page_names(run_command: Run) -> None:
    assert run_command(convert.main, SAMPLES / "truth.json", "--splits", "0.4/0.3/0.3", "--out", "set") == 0
    assert set(keys(json.loads(Path("set/audit.json").read_text(encoding="utf-8")))) == documented("audit.json")


def test_cells_and_a_control_are_written_as_the_page_names_them(fields: Path, run_command: Run) -> None:
    assert run_command(count.main, fields, "--out", "out", "--export", "csv") == 0
    assert header(Path("out/exchange/csv/cells.csv")) == documented("cells.csv")
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    assert run_command(control.main, fields, "--log", "control.csv") == 0
    assert header(Path("control.csv")) == documented("control.csv")


def write_table(path: str, lines: Iterable[str]) -> None:
    Path(path).write_text("\n".join(lines), encoding="utf-8")


def test_studies_write_what_the_page_names(run_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    # The plots take the time.
    monkeypatch.setattr(drawings, "write", lambda _folder, parts, *_kinds: {part: [] for part in parts})
    monkeypatch.chdir(tmp_path)
    write_table(
        "again.csv", ["smear,day,run,RBC", *(f"p,{day},{run},{90 + 7 * day + run}" for day in (1, 2) for run in (1, 2, 2))]
    )
    write_table("ours.csv", ["smear,RBC", *(f"s{i},{100 + 9 * i + i % 3}" for i in range(12))])
    write_table("hand.csv", ["smear,RBC", *(f"s{i},{100 + 9 * i}" for i in range(12))])
    write_table("readers.csv", ["sample,reader,a,b", *(f"{i},{reader},{90 + i},{110 - i}" for i in range(3) for reader in "AB")])
    write_table("smears.csv", ["smear,class,warning,per_mm2", *(f"s{i},Platelets,,{100 + i}" for i in range(12))])
    write_table("analyser.csv", ["smear,PLT 10^9/L", *(f"s{i},{50 + i}" for i in range(12))])
    studies = {
        "repeatability": ("--counts", "again.csv"),
        "methods": ("--counts", "ours.csv", "--truth", "hand.csv"),
        "readers": ("--counts", "readers.csv"),
    }
    for name, given in studies.items():
        assert run_command(evaluate.main, "--protocol", name, *given, "--out", name) == 0
    assert run_command(factor.main, "smears.csv", "--analyser", "analyser.csv", "--out", "factor") == 0
    written = [json.loads(Path(name, "metrics.json").read_text(encoding="utf-8")) for name in (*studies, "factor")]
    assert {one for document in written for one in keys(without_limits(document), named=OF_A_STUDY)} == documented(
        "metrics.json of a study"
    )


def test_the_page_of_methods_names_the_columns_of_a_comparison() -> None:
    page = (PAGE.parent / "methods.md").read_text(encoding="utf-8")
    table = page.split("| column of `compare.csv` |")[1].split("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    report = pytest.importorskip("detector.baselines.report", reason="needs the baselines extra: pip install -e '.[baselines]'")
    assert [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)] == list(report._COLUMNS)
