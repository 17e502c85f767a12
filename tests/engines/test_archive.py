"""Workers of a distributed count come to what one machine comes to, whatever happens to them; Ray itself is in test_ray.py."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from detector import count
from detector.engines import archive, job, local, shards, slides
from detector.engines.archive import Archive, Flow, Task
from detector.engines.inputs import by_smear, search
from detector.engines.options import CountOptions
from detector.engines.shards import ArchiveSmear, ShardWorker
from detector.engines.store import Store
from detector.errors import NothingToDoError, OutputError, SmearcountError, UsageError
from detector.output import results, tables
from detector.output.partitions import Totals
from detector.vision import scan
from detector.vision.model import Model
from detector.vision.slides import formats

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the dev extra: pip install -e '.[dev]'")

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"
Run = Callable[..., int]


class Lost(BaseException):
    """A worker was killed."""


def here(
    flow: Flow, worker: ShardWorker, lose: Callable[[Task], bool] = lambda _task: False, order: random.Random | None = None
) -> None:
    """Do all tasks in this process, several at a time in a random order; `lose` says with which task a worker is lost."""
    flow.ahead = 4
    given: list[Task] = []
    while True:
        while len(given) < 4 and (task := flow.next()) is not None:
            given.append(task)
        if not given:
            return
        task = given.pop((order or random).randrange(len(given)))
        try:
            answer = getattr(worker, task.method)(*task.arguments)
        except Lost:
            flow.lost(task)
            continue
        if lose(task):
            flow.lost(task)
        else:
            flow.done(task, answer)


def counted(options: CountOptions, model: Model, lose: Callable[[Task], bool] = lambda _task: False) -> Totals:
    """A count by one worker in this process."""
    key = job.journal_key(model, options.tile_px)
    archive.check(options, str)
    with archive.folder_of(options, key) as store:
        flow = Flow(Archive(options).smears(), lambda _done: None)
        here(flow, ShardWorker(archive.setup_of(options, store, key)), lose, random.Random(1))
        archive.finish(store, flow.totals, options, model, 0.0)
    return flow.totals


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows of all partitions of a table, in the order of smears and fields."""
    entries = [row for path in sorted((folder / table).iterdir()) for row in parquet.read_table(path).to_pylist()]
    return sorted(entries, key=lambda row: (row["smear"], row.get("field", "")))


def of_local(options: CountOptions, model: Model) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Rows of fields and smears, and cells, as the engine of one machine has them."""
    listing = search(options.inputs, None, options.um_per_px)
    cells: list[tuple[Any, ...]] = []

    def keep(result: Any) -> None:
        boxes = getattr(result.cells, "xyxy", [])
        cells.extend((result.field, *(f"{side:.2f}" for side in box.tolist())) for box in boxes)

    outcome = job.count_fields(listing.fields, local.Work(model, 2, tile_px=options.tile_px), on_result=keep)
    outcome = job.completed(outcome, options, listing, model, 0.0)
    return tables.of_fields(outcome.fields).records(), tables.of_smears(outcome.smears).records(), sorted(cells)


def assert_same(folder: Path, expected: tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[Any, ...]]]) -> None:
    fields, smears, cells = expected
    assert rows(folder, "counts") == fields
    assert rows(folder, "smears") == smears
    boxes = [(row["field"], *(f"{row[side]:.2f}" for side in ("x1", "y1", "x2", "y2"))) for row in rows(folder, "cells")]
    assert sorted(boxes) == cells


@pytest.fixture
def smears(tmp_path: Path) -> Path:
    """A smear of five fields, which tell its scale together, one of two, and what is no picture."""
    folder = tmp_path / "fields"
    (folder / "a" / "deep").mkdir(parents=True)
    (folder / "b").mkdir()
    samples = [cv2.imread(str(path)) for path in sorted(SAMPLES.glob("smear_a/*.jpg"))]
    names = [*(f"a/{number}" for number in range(5)), "a/deep/0", "a/deep/1", "b/one"]
    for number, name in enumerate(names):
        # A part of each, which is counted sooner.
        cv2.imwrite(str(folder / f"{name}.jpg"), samples[number % len(samples)][:240, 30 * (number // 4) :][:, :320])
    (folder / "b" / "bad.jpg").write_bytes(b"no image")
    (folder / "b" / "notes.txt").write_text("seen")
    return folder


@pytest.fixture
def options(smears: Path, tmp_path: Path) -> CountOptions:
    return CountOptions([str(smears)], out=tmp_path / "out", rbc_per_ul=4.6e6, engine="ray")


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SLICE", 2)
    monkeypatch.setattr(archive, "_PARTITION_FIELDS", 3)


@pytest.mark.slow
def test_counts_are_those_of_one_machine(options: CountOptions, model: Model, tmp_path: Path) -> None:
    totals = counted(options, model)
    expected = of_local(options, model)
    assert_same(tmp_path / "out", expected)
    assert totals.numbers["read"] == 8
    assert totals.unread == [("b/bad.jpg", rows(tmp_path / "out", "counts")[-2]["reason"])]
    assert totals.numbers["RBC"] == sum(row["RBC"] or 0 for row in expected[0])
    assert json.loads((tmp_path / "out" / "run.json").read_text())["fields"] == {"read": 8, "unread": 1, "saturated": 0}
    assert Archive(options).skipped_line() == ""


@pytest.mark.slow
def test_each_worker_that_is_lost_costs_time_and_nothing_else(options: CountOptions, model: Model, tmp_path: Path) -> None:
    chance = random.Random(3)
    counted(options, model, lose=lambda task: task.lost < 2 and chance.random() < 0.4)
    assert_same(tmp_path / "out", of_local(options, model))


def test_a_field_that_kills_its_workers_is_unread_and_the_others_are_counted(
    options: CountOptions, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local.detect_field

    def killing(given: Any, *rest: Any) -> Any:
        if given.field == "a/3.jpg":
            raise Lost
        return real(given, *rest)

    monkeypatch.setattr(local, "detect_field", killing)
    totals = counted(options, model)
    assert ("a/3.jpg", shards.KILLED) in totals.unread
    assert totals.numbers["read"] == 7
    monkeypatch.setattr(local, "detect_field", real)
    assert counted(replace(options, resume=True), model).numbers["read"] == 8
    assert_same(tmp_path / "out", of_local(options, model))


@pytest.mark.slow
def test_a_field_whose_scale_cannot_be_told_for_want_of_memory_is_unread(
    options: CountOptions, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local.estimate_of

    def failing(model: Model, path: Path) -> Any:
        if path.name == "0.jpg" and path.parent.name == "a":
            raise MemoryError
        return real(model, path)

    monkeypatch.setattr(local, "estimate_of", failing)
    counted(options, model)
    assert {row["field"] for row in rows(tmp_path / "out", "counts") if row["status"] == "unread"} == {"a/0.jpg", "b/bad.jpg"}
    monkeypatch.setattr(local, "estimate_of", real)
    counted(replace(options, resume=True), model)
    assert_same(tmp_path / "out", of_local(options, model))


def test_a_smear_that_kills_its_workers_is_named(options: CountOptions, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def killing(*_: Any) -> None:
        raise Lost

    monkeypatch.setattr(ShardWorker, "scale", killing)
    with pytest.raises(SmearcountError, match=r"smear a: 3 workers were lost"):
        counted(options, model)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of fields that are searched for cells."""
    names: list[str] = []
    real = local.detect_field
    monkeypatch.setattr(local, "detect_field", lambda given, *rest: names.append(given.field) or real(given, *rest))
    return names


@pytest.mark.slow
def test_what_stands_in_the_journal_is_not_counted_again(
    options: CountOptions, model: Model, smears: Path, looks: list[str], tmp_path: Path
) -> None:
    counted(options, model)
    assert sorted(looks) == sorted(str(path.relative_to(smears).as_posix()) for path in smears.rglob("*.jpg"))
    again = replace(options, resume=True)
    looks.clear()
    counted(again, model)
    assert looks == ["b/bad.jpg"]  # unread ones are tried again

    # A new field moves the borders of the slices; only it is counted, for it does not tell the smear's scale.
    shutil.copy(smears / "a" / "3.jpg", smears / "a" / "deep" / "0a.jpg")
    os.utime(smears / "a" / "deep" / "1.jpg", (1, 1))
    (smears / "b" / "bad.jpg").unlink()
    looks.clear()
    counted(again, model)
    # Three fields of a smear tell its scale together, so all of that one are counted by it.
    assert sorted(looks) == ["a/deep/0.jpg", "a/deep/0a.jpg", "a/deep/1.jpg"]
    looks.clear()
    shutil.copy(smears / "a" / "3.jpg", smears / "b" / "another.jpg")
    counted(again, model)
    assert looks == ["b/another.jpg"]
    assert_same(tmp_path / "out", of_local(options, model))


@pytest.mark.slow
def test_a_damaged_piece_is_counted_again(options: CountOptions, model: Model, looks: list[str], tmp_path: Path) -> None:
    counted(options, model)
    piece = next(path for path in sorted((tmp_path / "out" / "journal").glob("*/*.jsonl")) if b"a/0.jpg" in path.read_bytes())
    piece.write_bytes(piece.read_bytes().replace(b'"note":""', b'"note":"x"', 1))
    looks.clear()
    counted(replace(options, resume=True), model)
    assert set(looks) == {"a/0.jpg", "b/bad.jpg"}
    assert_same(tmp_path / "out", of_local(options, model))


def test_a_piece_that_vanishes_is_told_and_not_left_out_of_the_sums(
    options: CountOptions, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShardWorker, "count", lambda *_: None)
    with pytest.raises(OutputError, match=r"was damaged or removed while the count ran; count again with --resume"):
        counted(options, model)


def test_a_folder_of_another_run_is_refused(options: CountOptions, model: Model, tmp_path: Path, run_command: Run) -> None:
    with pytest.raises(OutputError, match="no count of this engine to resume"):
        counted(replace(options, resume=True), model)
    counted(options, model)
    with pytest.raises(OutputError, match=r"holds journal/header.json already; choose another --out"):
        counted(options, model)
    with pytest.raises(OutputError, match=r"different settings \(tile_px\); repeat them"):
        counted(replace(options, resume=True, tile_px=512), model)
    assert run_command(count.main, *options.inputs, "--out", options.out) == 3
    other = tmp_path / "other"
    other.mkdir()
    (other / results.COUNTS).touch()
    with pytest.raises(OutputError, match=r"holds counts.csv already"):
        counted(replace(options, out=other), model)


def test_only_one_driver_writes_into_a_folder(options: CountOptions, model: Model) -> None:
    key = job.journal_key(model)
    with (
        archive.folder_of(options, key),
        pytest.raises(OutputError, match="another count writes into it"),
        archive.folder_of(replace(options, resume=True), key),
    ):
        pass


def test_a_worker_must_be_like_its_driver(options: CountOptions, model: Model, tmp_path: Path) -> None:
    setup = archive.setup_of(options, Store(tmp_path), job.journal_key(model))
    with pytest.raises(UsageError, match=r"worker on .*: has numpy .* instead of 1\.0; install the driver's versions"):
        ShardWorker(replace(setup, versions={**setup.versions, "numpy": "1.0"}))
    with pytest.raises(SmearcountError, match=r"worker on .*gone\.onnx.*put the model at the same path on each machine"):
        ShardWorker(replace(setup, model=tmp_path / "gone.onnx"))
    with pytest.raises(SmearcountError, match=r"is another model than the driver's"):
        ShardWorker(replace(setup, key={**setup.key, "model_sha256": "0"}))


@pytest.mark.parametrize(
    ("option", "value"),
    [("overlays", True), ("pdf", True), ("shapes", True), ("export", ["csv"]), ("json", True), ("truth", Path("t"))],
)
def test_what_a_cluster_does_not_do_is_refused(options: CountOptions, option: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{option}: not with engine ray"):
        archive.check(replace(options, **{option: value}), str)


def test_a_factor_without_a_scale_is_refused(options: CountOptions) -> None:
    with pytest.raises(UsageError, match="ul_factor needs cells per mm²"):
        archive.check(replace(options, rbc_per_ul=None, ul_factor=1e4), str)


def test_smears_come_as_a_search_finds_them(smears: Path) -> None:
    everything = sorted(field for _, fields in by_smear([str(smears)], None, set()) for field in map(str, fields))
    assert everything == sorted(map(str, search([str(smears)]).fields))
    twice = [str(smears), str(smears / "a"), str(smears / "a" / "1.jpg")]
    assert sorted(str(field) for _, fields in by_smear(twice, None, set()) for field in fields) == everything
    pattern = [str(smears / "a" / "*.jpg")]
    assert [field.field for _, fields in by_smear(pattern, None, set()) for field in fields] == [f"{n}.jpg" for n in range(5)]
    with pytest.raises(NothingToDoError, match="does not exist"):
        list(by_smear([str(smears / "gone")], None, set()))
    (smears / "fields").mkdir()
    for folder in (smears, smears / "fields"):
        shutil.copy(smears / "a" / "1.jpg", folder)
    with pytest.raises(UsageError, match="two folders would make this one smear"):
        list(by_smear([str(smears)], None, set()))


def test_nothing_to_count_is_told(tmp_path: Path, model: Model) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError, match="no images in it"):
        counted(CountOptions([str(tmp_path / "empty")], out=tmp_path / "out"), model)


def test_a_manifest_names_fields_smears_and_red_cells(smears: Path, tmp_path: Path, model: Model) -> None:
    text = io.StringIO()
    lines = [["field", "smear", "rbc_per_ul"], ["a/1.jpg", "y", "5e6"], ["b/one.jpg", "x", ""], ["gone.jpg", "x", ""]]
    csv.writer(text).writerows(lines)
    (tmp_path / "m.csv").write_text(text.getvalue())
    options = CountOptions([str(smears)], manifest=tmp_path / "m.csv", out=tmp_path / "out")
    totals = counted(options, model)
    assert [field for field, _ in totals.unread] == ["gone.jpg"]
    per_ul = {(row["smear"], row["class"]): row["per_ul_source"] for row in rows(tmp_path / "out", "smears")}
    assert "5e+06 red cells" in per_ul["y", "WBC"]
    assert per_ul["x", "WBC"] is None


def test_partitions_and_memory_of_the_driver_do_not_grow(model: Model) -> None:
    """However many smears there are, a flow holds those that are worked on, and takes no more than it is asked for."""
    taken = 0

    def many() -> Iterator[ArchiveSmear]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield ArchiveSmear(str(number), (shards.ArchiveField("p", f"{number}/f", str(number)),))

    flow = Flow(many(), lambda _done: None)
    ended, most = 0, 0
    while (task := flow.next()) is not None:
        most = max(most, len(flow._open) + len(flow._counted))
        assert taken <= ended + 10
        ended += task.method == "count"
        flow.done(task, {"scale": shards.SettledScale(None, {}), "count": None, "sum": Totals()}[task.method])
    assert ended == taken == 1000
    assert most <= 5


SLIDE = "a/2.tif"


@pytest.fixture
def of_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountOptions:
    """A slide between two fields of its smear, cut into three bands of four tiles."""
    monkeypatch.setattr(formats, "WINDOWED_PX", 200_000)
    monkeypatch.setattr(slides, "_BAND_TILES", 4)
    sample = cv2.imread(str(next(SAMPLES.glob("smear_a/*.jpg"))))
    folder = tmp_path / "fields" / "a"
    folder.mkdir(parents=True)
    for name in "13":
        cv2.imwrite(str(folder / f"{name}.jpg"), sample[:240, :320])
    rgb = cv2.cvtColor(np.tile(sample, (2, 2, 1)), cv2.COLOR_BGR2RGB)
    tifffile.imwrite(tmp_path / "fields" / SLIDE, rgb, photometric="rgb", tile=(128, 128))
    return CountOptions([str(tmp_path / "fields")], out=tmp_path / "out", tile_px=300, engine="ray")


@pytest.mark.slow
def test_a_slide_is_spread_over_workers_and_counted_as_on_one_machine(
    of_tiles: CountOptions, model: Model, tmp_path: Path
) -> None:
    methods: list[str] = []

    def lose(task: Task) -> bool:
        """The first worker with each kind of task."""
        methods.append(task.method)
        return methods.count(task.method) == 1

    counted(of_tiles, model, lose)
    expected = of_local(of_tiles, model)
    assert_same(tmp_path / "out", expected)
    assert [row["field"] for row in expected[0]] == ["a/1.jpg", SLIDE, "a/3.jpg"]
    assert {name: methods.count(name) for name in methods} == {"scale": 2, "count": 2, "cut": 2, "tiles": 4, "join": 2, "sum": 2}
    tiles = parquet.read_table(tmp_path / "out" / "tiles").to_pylist()
    assert {tile["slide"] for tile in tiles} == {SLIDE}
    assert len(tiles) == 12
    for name in ("RBC", "WBC", "Platelets"):
        assert sum(tile[name] or 0 for tile in tiles) == expected[0][1][name]
    assert cv2.imread(str(tmp_path / "out" / "density" / f"{SLIDE}.png")) is not None
    # Only what is counted stays of its tiles.
    assert not list((tmp_path / "out" / "journal").glob("*/*-*.jsonl"))


@pytest.mark.slow
def test_tiles_of_a_slide_are_not_searched_again(
    of_tiles: CountOptions, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, searched = scan.look, []

    def stops(*arguments: Any) -> Any:
        if len(searched) == 6:
            raise KeyboardInterrupt
        searched.append(arguments[-1])
        return look(*arguments)

    monkeypatch.setattr(scan, "look", stops)
    with pytest.raises(KeyboardInterrupt):
        counted(of_tiles, model)
    again: list[Any] = []
    monkeypatch.setattr(scan, "look", lambda *arguments: again.append(arguments[-1]) or look(*arguments))
    counted(replace(of_tiles, resume=True), model)
    assert len(again) == 8
    assert not set(again) & set(searched[:4])
    assert_same(tmp_path / "out", of_local(of_tiles, model))


def test_a_tile_that_kills_its_workers_is_missing_in_its_slide(
    of_tiles: CountOptions, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = scan.look

    def killing(*arguments: Any) -> Any:
        if arguments[-1].owned[:2] == (0, 0):
            raise Lost
        return look(*arguments)

    monkeypatch.setattr(scan, "look", killing)
    counted(of_tiles, model)
    row = next(row for row in rows(tmp_path / "out", "counts") if row["field"] == SLIDE)
    assert row["status"] == "ok"
    assert shards.KILLED in row["doubt"]
    assert "at (0, 0)" in row["doubt"]


@pytest.mark.slow
def test_a_slide_that_changes_or_is_none_is_unread(
    of_tiles: CountOptions, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fields" / "broken.svs").write_bytes(b"no slide")
    look = scan.look

    def changes(*arguments: Any) -> Any:
        os.utime(tmp_path / "fields" / SLIDE, ns=(1, 1))
        return look(*arguments)

    monkeypatch.setattr(scan, "look", changes)
    counted(of_tiles, model)
    reasons = {row["field"]: row["reason"] for row in rows(tmp_path / "out", "counts") if row["status"] == "unread"}
    assert reasons.keys() == {"broken.svs", SLIDE}
    assert reasons[SLIDE] == slides.CHANGED
    monkeypatch.setattr(scan, "look", look)
    counted(replace(of_tiles, resume=True), model)
    assert_same(tmp_path / "out", of_local(of_tiles, model))
