"""Labels after their corrections: what a row fits, what it does, and why it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.annotations.corrections import Applied, Correction, CorrectionOutcome, CorrectionSheet
from detector.annotations.labels import Labels
from detector.annotations.repair import mend
from detector.annotations.revision import CorrectableField, apply
from detector.vision import cells

SIZE = (100, 80)
Cell = tuple[str, float, float, float, float]
RED: Cell = ("RBC", 10, 10, 30, 30)
WHITE: Cell = ("WBC", 50, 10, 90, 50)


def field(*boxes: Cell, name: str = "a", splits: tuple[str, ...] = ("train",)) -> CorrectableField:
    xyxy = np.array([corners for _, *corners in boxes], dtype=np.float64).reshape(-1, 4)
    return CorrectableField(name, Labels(tuple(n for n, *_ in boxes), xyxy), SIZE, splits)


def row(action: str, cell: Cell, new: str | None = None, image: str = "a") -> tuple[str, Cell, str | None, str]:
    return action, cell, new, image


def sheet(*rows: tuple[str, Cell, str | None, str]) -> CorrectionSheet:
    """Rows on lines 2 and on, as in a file."""
    written = (
        Correction(line, image, action, cells.label_of(n), corners, None if new is None else cells.label_of(new), "why")
        for line, (action, (n, *corners), new, image) in enumerate(rows, start=2)
    )
    return CorrectionSheet(Path("sheet.csv"), "0" * 64, tuple(written))


def boxes(labels: Labels) -> list[Cell]:
    """Boxes as conversion writes them."""
    mended = mend(labels, SIZE)
    return [(cells.CLASSES[k], *box) for k, box in zip(mended.label, mended.xyxy.round(3).tolist(), strict=True)]


def corrected(
    of: CorrectableField, *rows: tuple[str, Cell, str | None, str]
) -> tuple[list[Cell], dict[int, str], CorrectionOutcome]:
    (labels,), outcome = apply(sheet(*rows), [of])
    return boxes(labels), {refused.line: refused.reason for refused in outcome.not_applied}, outcome


def test_each_action() -> None:
    cells, refused, outcome = corrected(
        field(RED, WHITE, ("platelet", 40, 60, 48, 68)),
        row("add", ("Platelets", 1, 60, 9, 70)),
        row("relabel", WHITE, "RBC"),
        row("remove", RED),
    )
    assert cells == [("RBC", 50, 10, 90, 50), ("Platelets", 40, 60, 48, 68), ("Platelets", 1, 60, 9, 70)]
    assert refused == {}
    assert outcome.applied == (
        Applied("remove", "RBC", None, 1),
        Applied("relabel", "WBC", "RBC", 1),
        Applied("add", "Platelets", None, 1),
    )
    assert [outcome.rows(action) for action in ("remove", "relabel", "add")] == [1, 1, 1]
    assert (outcome.file, outcome.sha256, outcome.absent) == ("sheet.csv", "0" * 64, {})


def test_fractions_of_the_image_become_pixels() -> None:
    labels = Labels(("RBC", "WBC"), np.array([[0.1, 0.125, 0.3, 0.375], [0.5, 0.125, 0.9, 0.625]]), normalised=True)
    (after,), outcome = apply(
        sheet(row("remove", RED), row("add", RED, image="a")), [CorrectableField("a", labels, SIZE, ("val",))]
    )
    assert boxes(after) == [WHITE, RED]
    assert outcome.not_applied == ()


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (("RBC", 10, 10, 30, 28.1), None),  # IoU 0.905
        (("RBC", 10, 10, 30, 27.9), "fits no labelled RBC box with an IoU of at least 0.9; the nearest has 0.89"),
        (("Platelets", 10, 10, 30, 30), "fits no labelled Platelets box with an IoU of at least 0.9"),
        (("WBC", 10, 10, 30, 30), "fits no labelled WBC box with an IoU of at least 0.9"),
    ],
)
@pytest.mark.parametrize("action", ["remove", "relabel"])
def test_a_row_fits_a_box_of_its_class_or_nothing_changes(action: str, box: Cell, reason: str | None) -> None:
    new = next(name for name in ("WBC", "Platelets") if name != box[0]) if action == "relabel" else None
    cells, refused, _ = corrected(field(RED, WHITE), row(action, box, new))
    assert refused == ({2: reason} if reason else {})
    assert (RED in cells) == (reason is not None)
    assert WHITE in cells


def test_each_box_is_used_once_and_by_the_row_that_fits_it_best() -> None:
    wider = ("RBC", 10, 10, 31, 30)
    # The first row alone would take either box; the second fits only one exactly.
    cells, refused, _ = corrected(field(wider, RED), row("remove", ("RBC", 10, 10, 30.4, 30)), row("relabel", RED, "WBC"))
    assert (cells, refused) == ([("WBC", 10, 10, 30, 30)], {})
    cells, refused, _ = corrected(field(RED, WHITE), row("remove", RED), row("remove", RED))
    assert (cells, refused) == ([WHITE], {3: "the RBC box that it fits is another row's"})


def test_exact_repetitions_are_one_box() -> None:
    twice = field(RED, ("rbc", 10, 10, 30, 30.1), ("RBC", 12, 10, 30, 30), WHITE)
    assert corrected(twice, row("remove", RED))[0] == [("RBC", 12, 10, 30, 30), WHITE]
    second = ("RBC", 10, 10, 30, 30.1)
    assert corrected(twice, row("remove", second))[0] == [("RBC", 12, 10, 30, 30), WHITE]
    assert corrected(twice, row("relabel", RED, "PLT"))[0] == [
        ("Platelets", 10, 10, 30, 30),
        ("RBC", 12, 10, 30, 30),
        WHITE,
    ]


def test_a_repetition_of_a_repetition_goes_with_the_first() -> None:
    chain = field(("RBC", 0, 0, 90, 50), ("RBC", 0, 0, 90.6, 50), ("RBC", 0, 0, 91.2, 50), WHITE)
    assert boxes(chain.labels) == [("RBC", 0, 0, 90, 50), WHITE]
    assert corrected(chain, row("remove", ("RBC", 0, 0, 90, 50)))[0] == [WHITE]


def test_a_row_speaks_of_the_box_as_it_is_written_in_the_dataset() -> None:
    raw = field(("RBC", 30, 30, 10, 10), ("WBC", 80, 60, 140, 100), ("smudge", 1, 1, 9, 9))
    cells, refused, _ = corrected(raw, row("remove", RED), row("relabel", ("WBC", 80, 60, 100, 80), "RBC"))
    assert (cells, refused) == ([("RBC", 80, 60, 100, 80)], {})


def test_boxes_that_are_there_already() -> None:
    near = ("WBC", 50, 10, 90, 49)
    cells, refused, _ = corrected(
        field(RED, ("RBC", 50, 10, 90, 50), near),
        row("add", ("RBC", 10, 10, 30, 29)),
        row("relabel", ("RBC", 50, 10, 90, 50), "WBC"),
        row("add", ("Platelets", 1, 60, 9, 70)),
        row("add", ("Platelets", 1, 60, 9, 70)),
        row("add", ("WBC", 10, 10, 30, 30)),
    )
    assert refused == {
        2: "a box of class RBC is there already",
        3: "a box of class WBC is there already; remove this one instead",
        5: "a box of class Platelets is there already",
    }
    assert cells == [RED, ("RBC", 50, 10, 90, 50), near, ("Platelets", 1, 60, 9, 70), ("WBC", 10, 10, 30, 30)]


def test_a_box_that_was_removed_can_be_added_anew() -> None:
    moved = ("RBC", 10, 10, 30, 29)
    cells, refused, _ = corrected(field(RED, WHITE), row("add", moved), row("remove", RED))
    assert (cells, refused) == ([WHITE, moved], {})


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((80, 60, 100.1, 80.1), None),
        ((-0.1, 60, 10, 80), None),
        ((80, 60, 100.2, 80), "the box reaches outside the image, which is 100x80"),
        ((80, 60, 100, 81), "the box reaches outside the image, which is 100x80"),
        ((-1, 60, 10, 80), "the box reaches outside the image, which is 100x80"),
        ((10, 60, 20, 61), "the box has a side under 1.5 px"),
    ],
)
def test_where_a_box_may_be_added(box: tuple[float, float, float, float], reason: str | None) -> None:
    cells, refused, _ = corrected(field(WHITE), row("add", ("RBC", *box)))
    assert refused == ({2: reason} if reason else {})
    assert len(cells) == (1 if reason else 2)


def test_a_row_outside_of_the_image_fits_nothing() -> None:
    cells, refused, _ = corrected(field(("WBC", 80, 60, 140, 100)), row("remove", ("WBC", 80, 60, 140, 100)))
    assert refused == {2: "the box reaches outside the image, which is 100x80"}
    assert cells == [("WBC", 80, 60, 100, 80)]


@pytest.mark.parametrize("splits", [("test",), ("train", "test")])
def test_test_fields_stay_as_published(splits: tuple[str, ...]) -> None:
    fields = [field(RED, splits=splits), field(RED, name="b", splits=("val",))]
    rows = [row("remove", RED), row("add", WHITE), row("relabel", RED, "WBC"), row("remove", RED, image="b")]
    (first, second), outcome = apply(sheet(*rows), fields)
    assert first is fields[0].labels
    assert boxes(second) == []
    assert [(refused.line, refused.reason) for refused in outcome.not_applied] == [
        (line, "the field is in split test, whose labels stay as published") for line in (2, 3, 4)
    ]
    assert outcome.applied == (Applied("remove", "RBC", None, 1),)


def test_images_that_are_not_there_or_there_twice() -> None:
    fields = [field(RED), field(RED, name="twin"), field(RED, name="twin", splits=("val",)), field(RED, name="x.1")]
    rows = [row("remove", RED, image=name) for name in ("ghost", "ghost", "a.jpg", "twin", "x.1")]
    after, outcome = apply(sheet(*rows), fields)
    assert outcome.absent == {"ghost": 2}
    assert {refused.line: refused.reason for refused in outcome.not_applied} == {
        4: "image names stand without their extension: a",
        5: "2 fields have this name",
    }
    assert [len(boxes(labels)) for labels in after] == [1, 1, 1, 0]


def test_a_field_without_boxes() -> None:
    assert corrected(field(), row("remove", RED), row("add", WHITE))[:2] == (
        [WHITE],
        {2: "fits no labelled RBC box with an IoU of at least 0.9"},
    )


cell = st.builds(
    lambda name, x, y, w, h: (name, x, y, x + w, y + h),
    st.sampled_from(cells.CLASSES),
    st.integers(0, 60),
    st.integers(0, 40),
    st.integers(2, 40),
    st.integers(2, 40),
)


@given(st.lists(cell, max_size=6), st.data())
def test_every_row_is_accounted_for_and_boxes_add_up(labelled: list[Cell], data: st.DataObject) -> None:
    seen = boxes(field(*labelled).labels)
    targets = st.one_of(cell, st.sampled_from(seen)) if seen else cell
    new = {"RBC": "WBC", "WBC": "Platelets", "Platelets": "RBC"}
    asked = data.draw(st.lists(st.tuples(st.sampled_from(("remove", "relabel", "add")), targets), max_size=6))
    rows = [row(action, target, new[target[0]] if action == "relabel" else None) for action, target in asked]
    (after,), outcome = apply(sheet(*rows), [field(*labelled)])
    assert sum(kind.rows for kind in outcome.applied) + len(outcome.not_applied) == len(rows)
    assert len(boxes(after)) == len(seen) - outcome.rows("remove") + outcome.rows("add")
