"""What the numbers of a label set mean: told over the whole set, refused with the remedy, converted only where it is certain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from detector.annotations import dataset, sources, splits
from detector.annotations.audit import Audit
from detector.annotations.conversion import Conversion, convert
from detector.errors import AnnotationError, SmearcountError

Box = tuple[float, float, float, float]
SIZE = (320, 240)
_EXIF_ORIENTATION = 0x0112


def cells(seed: int, size_wh: tuple[int, int] = SIZE, number: int = 12) -> list[Box]:
    """Boxes of cells all over a field, some cut by its borders."""
    rng = np.random.default_rng(seed)
    w, h = size_wh
    centre = rng.uniform((0, 0), size_wh, (number, 2))
    half = rng.uniform(14, 30, (number, 2))
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half, (w, h))
    low, high = np.minimum(low, (w - 5, h - 5)), np.maximum(high, 5)
    return [(*map(float, a), *map(float, b)) for a, b in zip(low.round(1), high.round(1), strict=True)]


def field(path: Path, boxes: Sequence[Box], size_wh: tuple[int, int] = SIZE, orientation: int = 1) -> Path:
    """A picture with dark cells in the boxes of its displayed form, stored so that `orientation` turns it upright."""
    pixels = np.full((size_wh[1], size_wh[0]), 220, np.uint8)
    for x1, y1, x2, y2 in boxes:
        centre, axes = (round((x1 + x2) / 2), round((y1 + y2) / 2)), (round((x2 - x1) / 2), round((y2 - y1) / 2))
        cv2.ellipse(pixels, centre, axes, 0, 0, 360, 120, -1)
    backward = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.transpose(backward[orientation]) if orientation in backward else image).save(path, quality=95, exif=exif)
    return path


def stored(boxes: Sequence[Box], orientation: int, size_wh: tuple[int, int] = SIZE) -> list[Box]:
    """Boxes of the displayed picture as those of the stored one."""
    w, h = size_wh
    turn: dict[int, Callable[[float, float], tuple[float, float]]] = {
        3: lambda x, y: (w - x, h - y),
        6: lambda x, y: (y, w - x),
        8: lambda x, y: (h - y, x),
    }
    corners = [(*turn[orientation](x1, y1), *turn[orientation](x2, y2)) for x1, y1, x2, y2 in boxes]
    return [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]


FORMS: dict[str, Callable[[Box], Sequence[float]]] = {
    "corners": lambda b: b,
    "corner and size": lambda b: (b[0], b[1], b[2] - b[0], b[3] - b[1]),
    "centre and size": lambda b: ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]),
}


def numbers(boxes: Sequence[Box], form: str, fractions: bool, size_wh: tuple[int, int] = SIZE) -> list[list[float]]:
    sides = np.tile(size_wh, 2) if fractions else np.ones(4)
    return (np.array([FORMS[form](box) for box in boxes]) / sides).round(6).tolist()


def voc(root: Path, fields: dict[str, list[list[float]]], size_wh: tuple[int, int] | None = SIZE) -> Path:
    stated = f"<size><width>{size_wh[0]}</width><height>{size_wh[1]}</height></size>" if size_wh else ""
    (root / "Annotations").mkdir(parents=True, exist_ok=True)
    for name, rows in fields.items():
        tags = ("xmin", "ymin", "xmax", "ymax")
        boxes = ("".join(f"<{tag}>{v}</{tag}>" for tag, v in zip(tags, row, strict=True)) for row in rows)
        objects = "".join(f"<object><name>RBC</name><bndbox>{box}</bndbox></object>" for box in boxes)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{stated}{objects}</annotation>", encoding="utf-8")
    return root


def yolo(root: Path, fields: dict[str, list[list[float]]], size_wh: tuple[int, int] | None = None) -> Path:
    (root / "labels").mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("RBC\nWBC\nPlatelets\n", encoding="utf-8")
    for name, rows in fields.items():
        text = "".join(f"0 {' '.join(map(str, row))}\n" for row in rows)
        (root / "labels" / f"{name}.txt").write_text(text, encoding="utf-8")
    return root


def coco(root: Path, fields: dict[str, list[list[float]]], size_wh: tuple[int, int] | None = SIZE) -> Path:
    size = {"width": size_wh[0], "height": size_wh[1]} if size_wh else {}
    images = [{"id": i, "file_name": f"{name}.jpg", **size} for i, name in enumerate(fields)]
    annotations = [
        {"id": 1, "image_id": i, "category_id": 0, "bbox": row} for i, rows in enumerate(fields.values()) for row in rows
    ]
    root.mkdir(parents=True, exist_ok=True)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "RBC"}]}
    (root / "labels.json").write_text(json.dumps(document), encoding="utf-8")
    return root


LAYOUTS: dict[str, tuple[Callable[..., Path], str, str, bool]] = {
    "voc": (voc, "JPEGImages", "corners", False),
    "yolo": (yolo, "images", "centre and size", True),
    "coco": (coco, "images", "corner and size", False),
}


def made(root: Path, layout: str, form: str, fractions: bool, count: int = 2, pictures: bool = True) -> Path:
    """A set whose boxes stand in a form, which may be that of its layout or another."""
    write, folder, _, _ = LAYOUTS[layout]
    fields = {f"f{i}": cells(i) for i in range(count)}
    if pictures:
        for name, boxes in fields.items():
            field(root / folder / f"{name}.jpg", boxes)
    return write(root, {name: numbers(boxes, form, fractions) for name, boxes in fields.items()})


def converted(root: Path, **options: Any) -> tuple[Audit, dict[str, Any]]:
    """The audit, and the records by name."""
    out = root.parent / f"{root.name}_out"
    audit = convert(Conversion(root, out, plan=splits.plan("1/0/0"), **options))
    return audit, {record.name: record for record in dataset.read(out / "data.yaml", "train")}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fractions", [False, True])
@pytest.mark.parametrize("pictures", [True, False])
def test_a_set_in_another_form_is_refused_with_the_remedy(
    tmp_path: Path, layout: str, form: str, fractions: bool, pictures: bool
) -> None:
    root = made(tmp_path / "set", layout, form, fractions, pictures=pictures)
    _, _, own_form, own_fractions = LAYOUTS[layout]
    if (form, fractions) == (own_form, own_fractions):
        truth = sources.load_truth(root)
        assert [len(record.label) for record in truth.records.values()] == [12, 12]
        assert (truth.broken, truth.remarks) == ([], [])
        return
    place = {"voc": "Annotations/f0.xml, ", "yolo": "labels/f0.txt, line ", "coco": "labels.json, f0, box "}[layout]
    with pytest.raises(AnnotationError, match="of 24 boxes do not fit the pictures") as told:
        sources.load_truth(root)
    assert place in str(told.value)
    if fractions != own_fractions:
        unit, remedy = ("fractions of the picture", "multiply") if fractions else ("pixels", "divide")
        assert f"seem to be in {unit}" in str(told.value)
        assert f"; {remedy} them by the picture's width and height" in str(told.value)
    else:
        words = {
            "corners": "x1 y1 x2 y2",
            "corner and size": "x y width height",
            "centre and size": "centre-x centre-y width height",
        }
        assert f"they all fit as '{words[form]}'; write them as '{words[own_form]}'" in str(told.value)
    if pictures:
        with pytest.raises(AnnotationError, match="do not fit the pictures"):
            converted(root)


@pytest.mark.parametrize(("layout", "fractions"), [("voc", True), ("coco", True), ("yolo", False)])
def test_one_box_is_enough_where_pixels_and_fractions_are_mixed_up(tmp_path: Path, layout: str, fractions: bool) -> None:
    write, folder, form, _ = LAYOUTS[layout]
    field(tmp_path / "set" / folder / "a.jpg", [(100, 80, 160, 150)])
    write(tmp_path / "set", {"a": numbers([(100, 80, 160, 150)], form, fractions)})
    with pytest.raises(AnnotationError, match="the only box does not fit the picture,"):
        sources.load_truth(tmp_path / "set")


def test_a_dataset_to_train_on_is_judged_too(tmp_path: Path) -> None:
    root = made(tmp_path / "set", "yolo", "centre and size", fractions=False)
    (root / "data.yaml").write_text("names: [RBC, WBC, Platelets]\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match="seem to be in pixels"):
        dataset.load(root / "data.yaml", "train")


def test_sloppy_boxes_at_the_borders_are_mended_as_before(tmp_path: Path) -> None:
    fields = {}
    for i in range(3):
        boxes = cells(i)
        field(tmp_path / "set" / "JPEGImages" / f"f{i}.jpg", boxes)
        fields[f"f{i}"] = [[x1 - 9, y1 - 9, x2 + 9, y2 + 9] for x1, y1, x2, y2 in boxes]
    audit, records = converted(voc(tmp_path / "set", fields))
    assert {note.action for note in audit.boxes} == {"repaired"}
    assert sum(len(record.label) for record in records.values()) == 36


def test_a_file_in_pixels_among_files_in_fractions_is_named_and_costs_no_other(tmp_path: Path) -> None:
    root = made(tmp_path / "set", "yolo", "centre and size", fractions=True, count=4)
    yolo(root, {"f2": numbers(cells(2), "centre and size", fractions=False), "f3": [[100, 80, 40, 40]]})
    audit, records = converted(root)
    assert sorted(records) == ["f0", "f1"]
    failed = {note.file: note.reason for note in audit.failed}
    assert failed["labels/f2.txt"].startswith(
        "12 of 12 boxes lie outside the picture or are thinner than a pixel, first line 1 ("
    )
    assert failed["labels/f3.txt"] == "its box lies outside the picture or is thinner than a pixel, first line 1 (100 80 40 40)"
    assert sorted(line.split(":")[0] for line in sources.load_truth(root).broken) == ["labels/f2.txt", "labels/f3.txt"]


def test_where_most_label_files_are_of_no_use_the_set_is_refused(tmp_path: Path) -> None:
    root = made(tmp_path / "set", "voc", "corners", fractions=False, count=3)
    for name in ("f0", "f2"):
        (root / "Annotations" / f"{name}.xml").write_text("<annotation>", encoding="utf-8")
    told = r"the labels of 2 of 3 fields cannot be understood, first Annotations/f0\.xml: not readable as XML"
    for read in (sources.load_truth, converted):
        with pytest.raises(AnnotationError, match=told):
            read(root)


def test_where_most_boxes_would_be_changed_the_set_is_refused(tmp_path: Path) -> None:
    fields = {f"f{i}": [list(box) for box in cells(i)] for i in range(2)}
    for name, rows in fields.items():
        field(tmp_path / "set" / "JPEGImages" / f"{name}.jpg", [(*row,) for row in rows])
        for row in rows[:7]:
            row[:] = [row[2], row[3], row[0], row[1]]
    root = voc(tmp_path / "set", fields)
    for read in (sources.load_truth, converted):
        with pytest.raises(AnnotationError, match=r"14 of 24 boxes do not fit their pictures.* RBC .* corners were inverted"):
            read(root)


def test_boxes_that_a_truth_leaves_out_are_told(tmp_path: Path) -> None:
    rows = [list(box) for box in cells(1)]
    rows += [[400, 10, 430, 40], [10, 10, 10, 40], list(rows[0])]
    field(tmp_path / "set" / "JPEGImages" / "a.jpg", cells(1))
    assert sources.load_truth(voc(tmp_path / "set", {"a": rows})).remarks == [
        "1 box left out: outside the image, first in a",
        "1 box left out: one pixel wide or high, first in a",
        "1 box left out: the same box twice, first in a",
    ]


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("orientation", [6, 8])
def test_boxes_of_the_stored_picture_are_turned_where_its_size_is_stated(tmp_path: Path, layout: str, orientation: int) -> None:
    write, folder, form, _ = LAYOUTS[layout]
    fields = {f"f{i}": cells(i) for i in range(2)}
    for name, boxes in fields.items():
        field(tmp_path / "set" / folder / f"{name}.jpg", boxes, orientation=orientation)
    rows = {name: numbers(stored(boxes, orientation), form, fractions=False) for name, boxes in fields.items()}
    root = write(tmp_path / "set", rows, size_wh=SIZE[::-1])
    audit, records = converted(root)
    for name, boxes in fields.items():
        assert np.abs(records[name].xyxy - np.array(boxes)).max() < 0.02
    told = f"its boxes are of the picture as stored: turned as EXIF orientation {orientation} turns it"
    assert [note.reason for note in audit.remarks] == [told, told]
    assert audit.sizes == ()
    truth = sources.load_truth(root)
    assert np.abs(truth.records["f0"].xyxy - np.array(fields["f0"])).max() < 0.02
    assert told in truth.remarks[0]


def test_fields_that_fit_both_ways_go_with_those_that_do_not(tmp_path: Path) -> None:
    middle: list[Box] = [(60, 60, 100, 100), (120, 90, 170, 140)]
    fields = {"a": cells(4), "b": middle}
    for name, boxes in fields.items():
        field(tmp_path / "set" / "JPEGImages" / f"{name}.jpg", boxes, orientation=6)
    # The size is that of the stored picture, the boxes are of the displayed one.
    root = voc(tmp_path / "set", {name: [list(box) for box in boxes] for name, boxes in fields.items()}, size_wh=SIZE[::-1])
    audit, records = converted(root)
    assert audit.remarks == ()
    assert np.abs(records["b"].xyxy - np.array(middle)).max() < 0.02
    turned = {"c": stored(cells(5), 6)}
    field(root / "JPEGImages" / "c.jpg", cells(5), orientation=6)
    audit, records = converted(voc(root, {"c": [list(box) for box in turned["c"]]}, size_wh=SIZE[::-1]))
    # One fits one way only and one the other way only: nothing is certain of the third.
    assert sorted(records) == ["a", "c"]
    assert "its boxes fit both" in audit.failed[0].reason


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_boxes_in_fractions_are_judged_by_what_they_lie_on(tmp_path: Path, orientation: int) -> None:
    fields = {f"f{i}": cells(i) for i in range(3)}
    for name, boxes in fields.items():
        field(tmp_path / "set" / "images" / f"{name}.jpg", boxes, orientation=orientation)
    upright = {name: numbers(boxes, "centre and size", fractions=True) for name, boxes in fields.items()}
    audit, records = converted(yolo(tmp_path / "set", upright))
    assert (audit.remarks, audit.failed, len(records)) == ((), (), 3)
    size = SIZE if orientation == 3 else SIZE[::-1]
    lying = numbers(stored(fields["f1"], orientation), "centre and size", fractions=True, size_wh=size)
    audit, records = converted(yolo(tmp_path / "set", {"f1": lying}))
    assert sorted(records) == ["f0", "f2"]
    (note,) = audit.failed
    assert note.file == "labels/f1.txt"
    assert f"lie on cells of the picture as stored, which is displayed turned (EXIF orientation {orientation})" in note.reason


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("factor", [0.5, 2, 2.5])
def test_boxes_of_a_copy_in_another_size_are_scaled(tmp_path: Path, layout: str, factor: float) -> None:
    write, folder, form, _ = LAYOUTS[layout]
    fields = {f"f{i}": cells(i) for i in range(2)}
    for name, boxes in fields.items():
        field(tmp_path / "set" / folder / f"{name}.jpg", boxes)
    size = (round(SIZE[0] * factor), round(SIZE[1] * factor))
    rows = {name: (np.array(numbers(boxes, form, fractions=False)) * factor).tolist() for name, boxes in fields.items()}
    audit, records = converted(write(tmp_path / "set", rows, size_wh=size))
    for name, boxes in fields.items():
        assert np.abs(records[name].xyxy - np.array(boxes)).max() < 0.02
    told = f"its boxes are of a copy of {size[0]}x{size[1]}: scaled to 320x240"
    assert [note.reason for note in audit.remarks] == [told, told]


def test_a_wrong_size_costs_nothing_where_the_boxes_fit_the_picture(tmp_path: Path) -> None:
    for size in ((640, 480), (160, 120), (500, 500), (240, 320), (319, 240)):
        root = tmp_path / f"{size[0]}"
        field(root / "JPEGImages" / "a.jpg", cells(1))
        audit, records = converted(voc(root, {"a": [list(box) for box in cells(1)]}, size_wh=size))
        assert np.abs(records["a"].xyxy - np.array(cells(1))).max() < 0.02
        assert [note.declared_wh for note in audit.sizes] == [size]


def test_boxes_of_a_picture_of_another_shape_are_refused(tmp_path: Path) -> None:
    for name in "abc":
        field(tmp_path / "set" / "JPEGImages" / f"{name}.jpg", cells(1))
    root = voc(tmp_path / "set", {name: [list(box) for box in cells(1)] for name in "ab"})
    voc(root, {"c": [list(box) for box in cells(1, (700, 300))]}, size_wh=(700, 300))
    audit, records = converted(root)
    assert sorted(records) == ["a", "b"]
    assert [note.reason for note in audit.failed] == ["its boxes are of a picture of 700x300, and the picture has 320x240"]


def test_replacing_labels_are_judged_as_a_set_of_their_own(tmp_path: Path) -> None:
    root = made(tmp_path / "set", "voc", "corners", fractions=False)
    other = made(tmp_path / "other", "yolo", "centre and size", fractions=False, pictures=False)
    with pytest.raises(SmearcountError, match=r"other: .* seem to be in pixels"):
        converted(root, labels=other)


TURNED: dict[str, tuple[Callable[[Box], Box], str]] = {
    "rows before columns": (lambda b: (b[1], b[0], b[3], b[2]), "x and y are exchanged, as if rows stood before columns"),
    "y from below": (lambda b: (b[0], SIZE[1] - b[3], b[2], SIZE[1] - b[1]), "mirrored top to bottom, as if y were counted from"),
    "mirrored": (lambda b: (SIZE[0] - b[2], b[1], SIZE[0] - b[0], b[3]), "mirrored left to right"),
    "upside down": (lambda b: (SIZE[0] - b[2], SIZE[1] - b[3], SIZE[0] - b[0], SIZE[1] - b[1]), "turned by 180°"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", TURNED)
def test_boxes_that_lie_on_cells_only_if_turned_are_refused(tmp_path: Path, layout: str, kind: str) -> None:
    write, pictures, form, fractions = LAYOUTS[layout]
    turn, said = TURNED[kind]
    size_wh = SIZE if kind != "rows before columns" else (240, 240)
    of = {f"f{i}": cells(i, size_wh) for i in range(4)}
    for name, boxes in of.items():
        field(tmp_path / "set" / pictures / f"{name}.jpg", boxes, size_wh)
    write(
        tmp_path / "set",
        {name: numbers([turn(b) for b in boxes], form, fractions, size_wh) for name, boxes in of.items()},
        size_wh,
    )
    with pytest.raises(AnnotationError, match=said):
        convert(Conversion(tmp_path / "set", tmp_path / "out"))


def test_rows_before_columns_are_seen_in_pictures_that_are_not_square(tmp_path: Path) -> None:
    of = {f"f{i}": cells(i) for i in range(4)}
    for name, boxes in of.items():
        field(tmp_path / "set" / "images" / f"{name}.jpg", boxes)
    exchanged = {name: [[r[1], r[0], r[3], r[2]] for r in numbers(boxes, "centre and size", True)] for name, boxes in of.items()}
    yolo(tmp_path / "set", exchanged)
    with pytest.raises(AnnotationError, match="x and y are exchanged"):
        convert(Conversion(tmp_path / "set", tmp_path / "out"))


def test_boxes_of_a_few_cells_are_not_judged_by_where_they_lie(tmp_path: Path) -> None:
    field(tmp_path / "set" / "images" / "f0.jpg", boxes := cells(0, number=3))
    mirrored = [TURNED["mirrored"][0](b) for b in boxes]
    yolo(tmp_path / "set", {"f0": numbers(mirrored, "centre and size", True)})
    assert convert(Conversion(tmp_path / "set", tmp_path / "out")).failed == ()
