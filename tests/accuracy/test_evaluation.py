"""A detector over labelled fields, with fakes in the place of a model, and which fields of a split these are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.accuracy import evaluation
from detector.accuracy.evaluation import Candidate, evaluate
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import ConfigError, NothingToDoError
from detector.vision.detections import Detections, Unread

Find = Callable[[np.ndarray], Detections]
THRESHOLDS = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


def candidate(find: Find, search: Find | None = None) -> Candidate:
    return Candidate(lambda rgb: (find(rgb), (search or find)(rgb)), THRESHOLDS)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Three fields, told apart by their grey value: two whole red cells and a cut one in each, a white cell in the first."""
    made = []
    for i in range(3):
        path = tmp_path / f"field{i}.png"
        cv2.imwrite(str(path), np.full((100, 120, 3), i, np.uint8))
        rows = [[20.0, 20, 40, 40], [60, 20, 80, 40], [0, 60, 15, 80], [60, 60, 90, 90]][: 4 if i == 0 else 3]
        made.append(Record(f"field{i}", path, (120, 100), np.array(rows, np.float32), np.array([0, 0, 0, 1][: len(rows)])))
    return made


def finds(records: list[Record], keep: Callable[[Record], np.ndarray]) -> Find:
    def find(rgb: np.ndarray) -> Detections:
        record = records[int(rgb[0, 0, 0])]
        mask = keep(record)
        return Detections(record.xyxy[mask], np.full(int(mask.sum()), 0.9), record.label[mask], record.size_wh)

    return find


def test_a_perfect_detector(records: list[Record]) -> None:
    find = finds(records, lambda r: np.ones(len(r.label), bool))
    result = evaluate(records, candidate(find), train=records)
    assert (result.fields, result.unread, result.saturated) == (3, [], [])
    assert result.average_precision.mean_ap50_95 is not None
    assert result.average_precision.mean_ap50_95.value == pytest.approx(1)
    assert result.average_precision.ap50["Platelets"] is None
    assert result.operating["RBC"].true == 9
    assert result.all_cells["RBC"].mae is not None
    assert result.all_cells["RBC"].mae.value == 0
    assert result.all_cells["RBC"].truth == 9
    assert result.clear_cells["RBC"].truth == 6
    assert result.clear_cells["WBC"].truth == 1
    assert result.constant_baseline is not None
    assert result.constant_baseline["WBC"].counted == 0
    assert result.constant_baseline["RBC"].counted == 9


def test_cut_cells_weigh_on_all_cells_alone(records: list[Record]) -> None:
    """A detector that leaves cut cells out is wrong by one in each field, and right about cells clear of the border."""
    find = finds(records, lambda r: r.xyxy[:, 0] > 0)
    result = evaluate(records, candidate(find))
    bias, clear = result.all_cells["RBC"].bias, result.clear_cells["RBC"].bias
    assert bias is not None
    assert clear is not None
    assert (bias.value, clear.value) == (-1, 0)
    assert result.constant_baseline is None


def test_search_serves_average_precision_and_find_the_counts(records: list[Record]) -> None:
    everything, nothing = (
        finds(records, lambda r: np.ones(len(r.label), bool)),
        finds(records, lambda r: np.zeros(len(r.label), bool)),
    )
    result = evaluate(records, candidate(nothing, everything))
    assert result.average_precision.ap50["RBC"] is not None
    assert result.average_precision.ap50["RBC"].value == pytest.approx(1)
    assert result.all_cells["RBC"].counted == 0
    assert result.operating["RBC"].missed == 9


def test_what_cannot_be_read_is_listed(records: list[Record], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    broken = Record("broken", tmp_path / "broken.png", (9, 9), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    bare = Record("bare", None, (9, 9), broken.xyxy, broken.label)
    other = Record("other", records[0].image, (60, 50), broken.xyxy, broken.label)
    find = finds(records, lambda r: np.ones(len(r.label), bool))
    result = evaluate([broken, *records, bare, other], candidate(find))
    assert result.fields == 3
    assert [u.source for u in result.unread] == ["broken", "bare", "other"]
    assert "120x100 px, its labels are for 60x50 px" in result.unread[2].reason
    with pytest.raises(NothingToDoError):
        evaluate([broken], candidate(find))


def test_saturated_fields_are_named(records: list[Record]) -> None:
    def find(rgb: np.ndarray) -> Detections:
        empty = Detections.none((120, 100))
        return Detections(empty.xyxy, empty.score, empty.label, empty.size_wh, saturated=bool(rgb[0, 0, 0] == 1))

    assert evaluate(records, candidate(find)).saturated == ["field1"]


def test_figures_can_be_written_as_strict_json(records: list[Record]) -> None:
    find = finds(records, lambda r: np.zeros(len(r.label), bool))
    document = json.loads(json.dumps(evaluate(records, candidate(find)).document(), allow_nan=False))
    assert document["operating"]["RBC"]["precision"] is None
    assert document["all_cells"]["Platelets"]["pooled_accuracy"] is None
    assert document["worst"] == [
        {"field": "field0", "off": 4, "mistakes": 4},
        {"field": "field1", "off": 3, "mistakes": 3},
        {"field": "field2", "off": 3, "mistakes": 3},
    ]
    assert document["curves"]["Platelets"] is None
    assert "per_field" not in document


def test_each_part_is_of_the_fields_that_were_read(records: list[Record]) -> None:
    find = finds(records, lambda r: r.xyxy[:, 0] > 0)
    absent = Record("absent", None, (9, 9), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    known = Unread("known", "has no labels")
    result = evaluate([absent, *records], candidate(find), domain_of=lambda name: name[-1], unread=[known])
    assert [u.source for u in result.unread] == ["known", "absent"]
    assert [row.field for row in result.per_field] == ["field0", "field1", "field2"]
    assert [row.domain for row in result.per_field] == ["0", "1", "2"]
    assert result.confusion.cells[0] == (6, 0, 0, 3)
    assert result.slices[0].fields == 3
    assert result.curves["RBC"] is not None
    assert result.curves["RBC"].operating == 0.5
    assert result.per_smear is None
    assert [w.record.name for w in result.worst] == ["field0", "field1", "field2"]


def test_smears_are_summed_and_drawn_whole(records: list[Record]) -> None:
    """The first field's cells are all found, of the others none."""
    find = finds(records, lambda r: np.full(len(r.label), r.name == "field0"))
    smears = {"field0": "a", "field1": "a", "field2": "b"}
    result = evaluate(records, candidate(find), smears=smears, domain_of=lambda name: "x")
    assert result.per_smear is not None
    red = result.per_smear["RBC"]
    assert (red.fields, red.counted, red.truth) == (2, 3, 9)
    assert red.bias is not None
    assert red.bias.value == -3
    assert [row.smear for row in result.per_field] == ["a", "a", "b"]
    alone = evaluate(records, candidate(find))
    assert result.all_cells["RBC"].bias != alone.all_cells["RBC"].bias
    assert result.operating["RBC"].recall != alone.operating["RBC"].recall
    assert result.without_smear == []


def test_a_field_of_no_known_smear_is_named_and_drawn_by_itself(records: list[Record]) -> None:
    find = finds(records, lambda r: np.ones(len(r.label), bool))
    result = evaluate(records, candidate(find), smears={"field0": "a", "field1": "b", "elsewhere": "c"})
    assert result.without_smear == ["field2"]
    assert result.fields == 3
    assert result.per_smear is not None
    assert result.per_smear["RBC"].fields == 2
    assert evaluate(records, candidate(find), smears={"field0": "a"}).per_smear is None


def test_another_detector_sees_the_same_fields(records: list[Record]) -> None:
    everything, some = finds(records, lambda r: np.ones(len(r.label), bool)), finds(records, lambda r: r.xyxy[:, 0] > 0)
    result = evaluate(records, candidate(everything), against=candidate(some))
    assert result.against is not None
    assert result.against.other.fields == 3
    assert result.against.other.all_cells["RBC"].counted == 6
    difference = result.against.all_cells["RBC"].bias
    assert difference is not None
    assert difference.value == 1
    json.dumps(result.document(), allow_nan=False)
    assert evaluate(records, candidate(everything)).against is None


def test_what_is_found_in_an_ignore_region_is_neither_right_nor_wrong(records: list[Record]) -> None:
    """In the first field an unlabelled red cell, and the labelled white one, lie in a region over its lower right part."""
    first = replace(records[0], ignore=np.array([[50, 50, 120, 100]], np.float32))
    extra = np.array([[92, 60, 112, 80]], np.float32)

    def find(rgb: np.ndarray) -> Detections:
        record = records[int(rgb[0, 0, 0])]
        xyxy, label = np.concatenate([record.xyxy, extra]), np.append(record.label, 0)
        return Detections(xyxy, np.full(len(label), 0.9), label, record.size_wh)

    with_region, without = (evaluate([one], candidate(find)) for one in (first, records[0]))
    assert (with_region.operating["RBC"].true, with_region.operating["RBC"].false) == (3, 0)
    assert (without.operating["RBC"].true, without.operating["RBC"].false) == (3, 1)
    assert with_region.operating["WBC"].true == 1
    assert (with_region.all_cells["RBC"].counted, without.all_cells["RBC"].counted) == (3, 4)
    # A labelled cell is missed in a region as elsewhere.
    none = evaluate([first], candidate(lambda _: Detections.none((120, 100))))
    assert none.operating["WBC"].missed == 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fields `a` to `d` to test on, `d` without labels, and `t` to train on."""
    made = []
    for name in "abcdt":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((60, 80, 3), 200, np.uint8))
        cell = np.array([[10, 10, 30, 30]], np.float32), np.zeros(1, np.int64)
        made.append(Record(name, tmp_path / f"{name}.png", (80, 60), *cell, "train" if name == "t" else "test"))
    dataset.write(tmp_path / "set", made)
    (tmp_path / "set" / "labels" / "test" / "d.txt").unlink()
    return tmp_path / "set" / "data.yaml"


def names(tmp_path: Path, *listed: str) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(listed), encoding="utf-8")
    return tmp_path / "names.txt"


def test_all_fields_of_use(data: Path) -> None:
    made = evaluation.load_split(data, "test")
    assert [record.name for record in made.records] == ["a", "b", "c"]
    assert [field.source for field in made.unusable] == ["d"]
    assert (made.left_out, made.absent) == (0, [])


def test_what_is_left_out_is_not_asked_for(data: Path, tmp_path: Path) -> None:
    """Nor is anything said of its faults."""
    made = evaluation.load_split(data, "test", names(tmp_path, "a", " d ", "", "nowhere"))
    assert [record.name for record in made.records] == ["b", "c"]
    assert made.unusable == []
    assert (made.left_out, made.absent) == (2, ["nowhere"])


def test_nothing_left(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match=r"'val' has no fields to evaluate \(of images train has 1, test has 4\)$"):
        evaluation.load_split(data, "val")
    with pytest.raises(NothingToDoError, match="d: has no label file"):
        evaluation.load_split(data, "test", names(tmp_path, "a", "b", "c"))
    with pytest.raises(ConfigError, match=r"none\.txt: cannot be read as a list of names"):
        evaluation.load_split(data, "test", tmp_path / "none.txt")


def test_other_labels_are_those_of_all_splits(data: Path) -> None:
    assert sorted(record.name for record in evaluation.load_all_splits(data)) == ["a", "b", "c", "t"]
