"""Whole streams against exact truth, what becomes of each frame, and what is left behind at the end."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.stream_accuracy import Perfect, follow
from detector.output import results
from detector.output.report import page
from detector.streams import modes
from detector.streams.modes import CONFIRMATIONS, FieldsMode, ScanMode
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Fault, Frame
from detector.streams.survey import BLURRED, MOVING, NOTHING_NEW, Survey
from detector.vision.detections import Detections
from detector.vision.model import Model

SMALL = "width=320&height=240&um_per_px=0.15"


LARGE = f"{SMALL}&rows=3&columns=4&speed=16"


STREAMS = [
    ("scan", f"fake:serpentine?{LARGE}"),
    ("scan", f"fake:revisit?{SMALL}&columns=6&speed=16"),
    ("scan", f"fake:rough?{LARGE}&defocus=0.1"),
    ("fields", f"fake:fields?{LARGE}&speed=60&vibration=0.3&drift=0.2&rest=6"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "address"), STREAMS)
def test_cells_are_counted_once_to_two_percent(mode: str, address: str) -> None:
    truth = counted = np.zeros(3, dtype=np.int64)
    for seed in (1, 2):
        fake = SimulatedCamera(f"{address}&seed={seed}")
        run = follow(fake, mode, Perfect(fake, jitter_px=0.75))
        assert run.segments == 1
        truth, counted = truth + run.truth, counted + run.counted
    assert truth.sum() > 120
    assert abs(counted.sum() / truth.sum() - 1) <= 0.02
    assert (np.abs(counted - truth) <= np.maximum(2, 0.02 * truth)).all()


@pytest.mark.slow
def test_the_shipped_model_counts_as_many_on_the_way_as_there_are(model: Model) -> None:
    fake = SimulatedCamera("fake:serpentine?rows=2&columns=2&speed=40&vibration=0.3&drift=0.2&seed=1")
    counting = modes.scan(model)
    seen = np.zeros(len(fake.microscope.smear.label), dtype=bool)
    for item in fake:
        assert isinstance(item, Frame)
        if counting.take(item).status == "used":
            seen |= fake.in_view(item.index)
    assert abs(counting.totals().cells - int(seen.sum())) <= 3


def survey(fake: SimulatedCamera, confirmations: int = CONFIRMATIONS) -> tuple[Survey, Perfect]:
    search = Perfect(fake, jitter_px=0.75)
    return Survey(search, confirmations, fake.microscope.script.um_per_px), search


@pytest.mark.slow
def test_every_frame_is_used_or_rejected_with_a_reason_and_a_lost_place_begins_a_segment() -> None:
    fake = SimulatedCamera(f"fake:lost?{LARGE}&lost=60&seed=3&defocus=0.25")
    looked, _ = survey(fake)
    counting = ScanMode(looked)
    verdicts = []
    for item in fake:
        if isinstance(item, Fault):
            counting.fault(item)
        else:
            verdicts.append(counting.take(item))
    assert [one.index for one in verdicts] == list(range(len(verdicts)))
    statuses = Counter(one.status for one in verdicts)
    assert statuses["used"] + statuses["rejected"] == len(verdicts)
    assert all(one.reason for one in verdicts if one.status == "rejected")
    assert any(one.reason == BLURRED for one in verdicts)
    finished = counting.finish()
    assert len(finished.segments) == 2
    assert "no picture" in finished.segments[1].began
    assert any("segments" in remark for remark in finished.remarks)
    assert sum(one.cells for one in finished.segments) == finished.totals.cells
    assert {name.split("/")[1][:10] for name in (entry.field for entry in finished.entries)} == {"segment_01", "segment_02"}


@pytest.mark.slow
def test_a_view_at_rest_is_taken_once_and_one_that_moves_or_is_blurred_is_not() -> None:
    fake = SimulatedCamera(f"fake:fields?{SMALL}&rows=2&columns=2&speed=30&rest=30&seed=4&defocus=0.2")
    looked, search = survey(fake, 1)
    counting = FieldsMode(looked)
    verdicts = [counting.take(item) for item in fake if isinstance(item, Frame)]
    reasons = Counter(one.reason for one in verdicts if one.status == "rejected")
    assert {MOVING, BLURRED, NOTHING_NEW} <= set(reasons)
    taken = [one for one in verdicts if one.status == "used"]
    assert len(taken) == search.views == counting.totals().fields
    assert all(one.new.any() for one in taken)
    assert not any(one.new.any() for one in verdicts if one.status == "rejected")
    for one in taken:
        assert fake.microscope.blur_px(fake.step_of[one.index]) < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fields", "scan"])
def test_a_second_of_black_is_rejected_and_the_count_goes_on(kind: str) -> None:
    path = "fields?rows=2&columns=2&speed=30&rest=8" if kind == "fields" else "serpentine?rows=2&columns=2&speed=16"
    fake = SimulatedCamera(f"fake:{path}&{SMALL}&seed=4")
    taken = [item for item in fake if isinstance(item, Frame)]
    middle = len(taken) // 2

    def cells(black: int, noise: float) -> int:
        looked, _ = survey(fake, 1 if kind == "fields" else CONFIRMATIONS)
        counting = FieldsMode(looked) if kind == "fields" else ScanMode(looked)
        random = np.random.default_rng(1)
        for frame in taken[:middle]:
            counting.take(frame)
        for _ in range(black):
            rgb = random.poisson(noise, (240, 320, 3)).astype(np.uint8)
            verdict = counting.take(Frame(taken[middle].index, 0.0, rgb))
            assert (verdict.status, verdict.reason, verdict.focus) == ("rejected", "nothing visible in the view", None)
        for frame in taken[middle:]:
            counting.take(frame)
        totals = counting.totals()
        assert totals.segments == 1
        return totals.cells

    without = cells(0, 0.0)
    assert without > 20
    for noise in (0.0, 3.0):
        assert abs(cells(30, noise) - without) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["scan", "fields"])
def test_from_its_records_comes_the_same_count(mode: str) -> None:
    path = "path=serpentine&speed=16" if mode == "scan" else "path=fields&speed=40&rest=8"
    fake = SimulatedCamera(f"fake:lost?{SMALL}&rows=2&columns=3&lost=20&seed=3&{path}")
    looked, search = survey(fake, CONFIRMATIONS if mode == "scan" else 1)
    again = Survey(search, CONFIRMATIONS, fake.microscope.script.um_per_px)
    first, second = (ScanMode(looked), ScanMode(again)) if mode == "scan" else (FieldsMode(looked), FieldsMode(again))
    records = []
    for number, item in enumerate(fake):
        first.take(item) if isinstance(item, Frame) else first.fault(item)
        if number % 7 == 0:
            records.append(json.loads(json.dumps(first.record())))
    finished = first.finish()
    records.append(json.loads(json.dumps(first.record())))
    second.restore(records)
    restored = second.finish()
    assert restored.outcome == finished.outcome
    assert restored.segments == finished.segments
    assert restored.totals.classes == finished.totals.classes
    assert finished.totals.cells > 20
    for one, other in zip(restored.entries, finished.entries, strict=True):
        assert (one.field, one.note, one.quality) == (other.field, other.note, other.quality)
        for name in ("xyxy", "score", "label"):
            np.testing.assert_array_equal(getattr(one.cells, name), getattr(other.cells, name))


@pytest.mark.slow
def test_a_field_that_overlaps_others_adds_only_its_new_area() -> None:
    fake = SimulatedCamera(f"fake:fields?{SMALL}&rows=2&columns=2.4&speed=30&rest=8&seed=2")
    looked, _ = survey(fake, 1)
    counting = FieldsMode(looked)
    for item in fake:
        assert isinstance(item, Frame)
        counting.take(item)
    totals = counting.totals()
    assert totals.fields == 6
    # Three views a row and two rows, each 0.7 of a view from the last.
    assert totals.area_views == pytest.approx(2.4 * 1.7, rel=0.03)
    assert totals.area_mm2 == pytest.approx(totals.area_px * 0.15**2 / 1e6)
    shares = [field.parts[0].area_px / (320 * 240) for field in counting.finish().outcome.read]
    assert shares[0] == pytest.approx(1, abs=0.03)
    assert max(shares[1:]) < 0.75


def test_the_verdict_names_the_cells_in_view_and_those_that_are_new() -> None:
    fake = SimulatedCamera(f"fake:pan?{SMALL}&columns=2&speed=16&seed=6")
    looked, _ = survey(fake)
    counting = ScanMode(looked)
    new = 0
    for item in fake:
        assert isinstance(item, Frame)
        verdict = counting.take(item)
        assert verdict.cells.size_wh == (320, 240)
        assert len(verdict.new) == len(verdict.cells)
        assert {"focus", "registration"} <= set(verdict.stages_ms)
        new += int(verdict.new.sum())
    # One that is found no more is taken back.
    assert 0 <= new - counting.totals().cells <= 2


@pytest.mark.slow
def test_not_every_view_is_searched_and_one_at_rest_is_searched_twice() -> None:
    fake = SimulatedCamera(f"fake:still?{SMALL}&rest=30&seed=6")
    looked, search = survey(fake)
    follow_all(ScanMode(looked), fake)
    assert search.views == 2
    fake = SimulatedCamera(f"fake:pan?{SMALL}&columns=3&speed=5&seed=6")
    looked, search = survey(fake)
    follow_all(ScanMode(looked), fake)
    assert search.views < len(fake.microscope.places) / 3


def follow_all(counting: ScanMode | FieldsMode, fake: SimulatedCamera) -> None:
    for item in fake:
        assert isinstance(item, Frame)
        counting.take(item)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "address"),
    [
        ("scan", "fake:pan?columns=2.2"),
        ("scan", "fake:pan?columns=2.2&vibration=3"),
        ("fields", "fake:fields?rows=2&columns=1.6&overlap=0.6&speed=40&rest=8"),
    ],
)
def test_the_mean_per_field_is_what_views_hold(mode: str, address: str) -> None:
    """Vibration reaches rims of the grid's next squares, and fields that overlap add parts of views: neither lowers the mean."""
    former, inside, means = 0.0, [], []
    for seed in range(2):
        fake = SimulatedCamera(f"{address}&{SMALL}&seed={seed}")
        looked, _ = survey(fake, CONFIRMATIONS if mode == "scan" else 1)
        counting = ScanMode(looked) if mode == "scan" else FieldsMode(looked)
        follow_all(counting, fake)
        finished = counting.finish()
        (smear,) = finished.outcome.smears
        inside.append(np.mean([fake.in_view(step).sum() for step in range(len(fake.microscope.places))]))
        means.append(sum(count.mean.value for count in smear.classes.values() if count.mean))
        former += sum(count.total for count in smear.classes.values()) / smear.fields / 2
        for name, total in finished.totals.classes.items():
            assert smear.classes[name].mean.value == pytest.approx(total.per_field.value, rel=1e-6)  # type: ignore[union-attr]
    assert np.mean(means) == pytest.approx(np.mean(inside), rel=0.1)
    assert former < 0.85 * np.mean(inside)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["scan", "fields"])
def test_what_is_left_behind_is_what_a_count_leaves(mode: str, tmp_path: Path, model: Model) -> None:
    fake = SimulatedCamera(f"fake:fields?{SMALL}&rows=2&columns=2.4&speed=30&rest=8&seed=2")
    looked, _ = survey(fake, CONFIRMATIONS if mode == "scan" else 1)
    counting = ScanMode(looked) if mode == "scan" else FieldsMode(looked)
    follow_all(counting, fake)
    finished = counting.finish()
    run = results.describe_run(model, {}, finished.outcome.fields, 0.0, 1.0)
    results.write(tmp_path, finished.outcome, run)
    results.write_cells(tmp_path, finished.entries)
    page.write(tmp_path / "report.html", finished.outcome, finished.entries, run)
    fields, smears = pd.read_csv(tmp_path / "counts.csv"), pd.read_csv(tmp_path / "smears.csv").set_index("class")
    for name, one in finished.totals.classes.items():
        assert fields[name].sum() == fields[f"{name}_frame"].sum() == smears.loc[name, "total"] == one.count
        assert smears.loc[name, "per_mm2"] == pytest.approx(one.count / finished.totals.area_mm2, rel=1e-4)
    assert sum(len(entry.cells) for entry in finished.entries) == finished.totals.cells  # type: ignore[arg-type]
    assert all(entry.picture for entry in finished.entries)
    assert finished.mosaic.ndim == 3


def test_a_stream_without_a_frame_ends_too() -> None:
    for counting in (
        ScanMode(Survey(lambda _frame: Detections.none((1, 1)), 2)),
        FieldsMode(Survey(lambda _frame: Detections.none((1, 1)), 1)),
    ):
        finished = counting.finish()
        assert finished.totals.cells == 0
        assert not finished.totals.enough
        assert finished.outcome.fields == ()
        assert finished.segments == ()


@pytest.mark.slow
def test_memory_stays_where_it_is_on_a_bounded_area() -> None:
    fake = SimulatedCamera(f"fake:revisit?{SMALL}&columns=2&speed=40&seed=1")
    taken = [item for item in fake if isinstance(item, Frame)]
    looked, _ = survey(fake)
    counting = ScanMode(looked)
    sizes = []
    tracemalloc.start()
    for lap in range(6):
        for frame in taken if lap % 2 == 0 else taken[::-1]:
            counting.take(frame)
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # Of views, only the sharpness of the last thousand is kept: eight thousand bytes and the list around them.
    assert sizes[-1] - sizes[1] < 60_000
    cells = counting.totals().cells
    counting.take(taken[0])
    assert counting.totals().cells == cells
