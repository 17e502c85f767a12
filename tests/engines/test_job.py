"""A count gives the same table however it is worked through, and goes on where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.counting.result import FieldResult
from detector.engines import inputs, job, local
from detector.engines.local import Work
from detector.errors import OutputError
from detector.output.journal import Journal, stamp_of
from detector.output.outcome import Outcome
from detector.vision import finder
from detector.vision.model import Model

FORMER = Path(__file__).parents[1] / "output" / "former_journal.jsonl"


def _table(outcome: Outcome) -> list[object]:
    return [outcome.fields, outcome.smears]


@pytest.mark.slow
def test_workers_order_and_journal_change_nothing(fields: Path, tmp_path: Path, model: Model) -> None:
    given = inputs.search([str(fields)]).fields
    alone = job.count_fields(given, Work(model, 1))
    assert len(alone.read) == 4
    assert _table(job.count_fields(given, Work(model, 3))) == _table(alone)
    with Journal(tmp_path / "j.jsonl", job.journal_key(model), resume=False) as journal:
        assert _table(job.count_fields(given, Work(model, 2, journal))) == _table(alone)
    backwards = job.count_fields(given[::-1], Work(model, 2))
    assert backwards.smears == alone.smears
    assert backwards.fields == alone.fields[::-1]


def test_a_field_that_cannot_be_read_costs_no_other_its_count(fields: Path, model: Model) -> None:
    (fields / "smear_a" / "bad.jpg").write_bytes(b"no image")
    outcome = job.count_fields(inputs.search([str(fields)]).fields, Work(model, 2))
    assert len(outcome.read) == 4
    assert [(field.field, field.smear) for field in outcome.unread] == [("smear_a/bad.jpg", "smear_a")]
    assert outcome.smears[0].unread == 1
    assert outcome.smears[0].fields == 2


def test_a_field_that_the_model_fails_on_costs_no_other_its_count(
    fields: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = finder.find
    failures: list[Exception] = [MemoryError(), RuntimeError("native code failed")]

    def failing(*arguments: object, **named: object) -> object:
        if failures:
            raise failures.pop(0)
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(finder, "find", failing)
    outcome = job.count_fields(inputs.search([str(fields)]).fields, Work(model, 1))
    assert [field.reason for field in outcome.unread] == [
        "needs more memory than there is; save it smaller, or count fewer at a time (--threads 1)",
        "could not be searched for cells (native code failed)",
    ]
    assert len(outcome.read) == 2


@pytest.mark.slow
def test_an_interrupted_count_goes_on_and_ends_the_same(
    fields: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = inputs.search([str(fields)]).fields
    expected = job.count_fields(given, Work(model, 1))
    path, key = tmp_path / "j.jsonl", job.journal_key(model)

    def stop_after_two(done: int) -> None:
        seen.append(done)
        if sum(seen) == 2:
            raise KeyboardInterrupt

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt), Journal(path, key, resume=False) as journal:
        job.count_fields(given, Work(model, 1, journal), stop_after_two)
    path.write_bytes(path.read_bytes() + b'{"field":"smear_b/fie')

    worked: list[str] = []
    real = local.detect_field

    def spied(one: inputs.FieldInput, *rest: object) -> FieldResult:
        worked.append(one.field)
        return real(one, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "detect_field", spied)
    reported: list[str] = []
    with Journal(path, key, resume=True) as journal:
        assert _table(
            job.count_fields(given, Work(model, 1, journal), on_result=lambda result: reported.append(result.field))
        ) == _table(expected)
    assert worked == [field.field for field in given[2:]]
    assert reported == [field.field for field in given]


@pytest.mark.slow
@pytest.mark.parametrize(("fields_there", "workers", "at_a_time"), [(1, 3, 3), (2, 3, 2), (4, 3, 1), (4, 1, 1)])
def test_where_there_are_fewer_fields_than_workers_these_share_a_field(
    fields: Path, model: Model, monkeypatch: pytest.MonkeyPatch, fields_there: int, workers: int, at_a_time: int
) -> None:
    real, seen = finder.find, []

    def spied(*arguments: object, workers: int) -> object:
        seen.append(workers)
        return real(*arguments, workers=workers)  # type: ignore[misc]

    monkeypatch.setattr(finder, "find", spied)
    job.count_fields(inputs.search([str(fields)]).fields[:fields_there], Work(model, workers))
    assert seen == [at_a_time] * fields_there


def test_a_field_that_changed_is_counted_again(fields: Path, tmp_path: Path, model: Model) -> None:
    given = inputs.search([str(fields)]).fields
    path, key = tmp_path / "j.jsonl", job.journal_key(model)
    with Journal(path, key, resume=False) as journal:
        job.count_fields(given, Work(model, 1, journal))
    given[0].path.write_bytes(given[1].path.read_bytes())
    with Journal(path, key, resume=True) as journal:
        again = job.count_fields(given, Work(model, 1, journal))
    assert again.read[0].raw == again.read[1].raw


@pytest.mark.slow
def test_a_field_that_is_swapped_while_it_is_searched_is_counted_again(
    fields: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = inputs.search([str(fields)]).fields
    path, key = tmp_path / "j.jsonl", job.journal_key(model)
    real = local.detect_field

    def swapped(field: inputs.FieldInput, *rest: object) -> FieldResult:
        result = real(field, *rest)  # type: ignore[arg-type]
        if field == given[0]:
            field.path.write_bytes(given[1].path.read_bytes())
        return result

    monkeypatch.setattr(local, "detect_field", swapped)
    with Journal(path, key, resume=False) as journal:
        job.count_fields(given, Work(model, 1, journal))
    monkeypatch.setattr(local, "detect_field", real)
    with Journal(path, key, resume=True) as journal:
        again = job.count_fields(given, Work(model, 1, journal))
    assert again.read[0].raw == again.read[1].raw


@pytest.mark.slow
def test_overlays_asked_for_later_are_drawn(fields: Path, tmp_path: Path, model: Model) -> None:
    given = inputs.search([str(fields)]).fields
    path, key = tmp_path / "j.jsonl", job.journal_key(model)
    with Journal(path, key, resume=False) as journal:
        first = job.count_fields(given, Work(model, 1, journal))
    with Journal(path, key, resume=True) as journal:
        again = job.count_fields(given, Work(model, 1, journal, tmp_path / "overlays"))
    assert _table(again) == _table(first)
    assert len(list((tmp_path / "overlays").rglob("*.jpg"))) == 4


def test_a_count_of_the_former_version_goes_on(fields: Path, tmp_path: Path, model: Model) -> None:
    path, key = tmp_path / "j.jsonl", job.journal_key(model)
    given = inputs.search([str(fields)]).fields
    line = FORMER.read_text(encoding="utf-8").splitlines()[1]
    stamp = json.dumps(stamp_of(given[0].path), separators=(",", ":"))
    header = json.dumps({"layout": 4, "key": key})
    path.write_text(f"{header}\n{line.replace('[12,34]', stamp)}\n", encoding="utf-8")
    with Journal(path, key, resume=True) as journal:
        outcome = job.count_fields(given, Work(model, 1, journal))
    # Its cells stand in the journal; those of the others were found.
    assert outcome.read[0].raw == {"RBC": 1, "WBC": 1, "Platelets": 0}
    assert outcome.read[0].note == "a remark"
    assert [field.field for field in outcome.read] == [field.field for field in given]
    assert min(field.raw["RBC"] for field in outcome.read[1:]) > 5


def test_another_model_does_not_continue_a_count(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, {"model_sha256": "other"}, resume=False):
        pass
    with pytest.raises(OutputError, match="model_sha256"):
        Journal(path, job.journal_key(model), resume=True)


def test_tiles_of_another_size_do_not_continue_a_count(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, job.journal_key(model, 576), resume=False):
        pass
    with pytest.raises(OutputError, match=r"different settings \(tile_px\)"):
        Journal(path, job.journal_key(model), resume=True)


def test_a_smear_of_doubtful_fields_warns_and_expects_no_true_count(fields: Path, model: Model) -> None:
    for path in sorted((fields / "smear_a").glob("*.jpg")):
        cv2.imwrite(str(path), np.full((480, 640, 3), 220, dtype=np.uint8))
    outcome = job.count_fields(inputs.search([str(fields)]).fields, Work(model, 1))
    blank, sound = outcome.smears
    assert [field.field for field in outcome.doubtful] == ["smear_a/field_01.jpg", "smear_a/field_02.jpg"]
    assert all("no red cell" in field.doubt for field in outcome.doubtful)
    assert blank.warning == "2 of 2 fields are doubtful: do not use these counts before looking at them"
    assert blank.classes["RBC"].expected_total is None
    assert sound.warning == ""
    assert sound.classes["RBC"].expected_total is not None


@pytest.mark.slow
def test_fields_that_came_later_change_the_scale_of_their_whole_smear(fields: Path, tmp_path: Path, model: Model) -> None:
    """Three fields, then two more of half the size, with which the smear's scale is another."""
    folder = tmp_path / "one" / "smear"
    folder.mkdir(parents=True)
    sample = next((fields / "smear_a").glob("*.jpg"))
    bgr = cv2.imread(str(sample))
    for number, factor in enumerate((1.0, 1.05, 0.95, 0.5, 0.52)):
        if number == 3:
            with Journal(tmp_path / "j.jsonl", job.journal_key(model), resume=False) as journal:
                job.count_fields(inputs.search([str(folder)]).fields, Work(model, 2, journal))
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(bgr, None, fx=factor, fy=factor))
    given = inputs.search([str(folder)]).fields
    alone = job.count_fields(given, Work(model, 2))
    with Journal(tmp_path / "j.jsonl", job.journal_key(model), resume=True) as journal:
        before = journal.read("0.png").scale
        resumed = job.count_fields(given, Work(model, 2, journal))
        assert journal.read("0.png").scale != before
    assert _table(resumed) == _table(alone)
    # Nothing changed since, so nothing is counted again.
    length = (tmp_path / "j.jsonl").stat().st_size
    with Journal(tmp_path / "j.jsonl", job.journal_key(model), resume=True) as journal:
        assert _table(job.count_fields(given, Work(model, 2, journal))) == _table(alone)
    assert (tmp_path / "j.jsonl").stat().st_size == length
