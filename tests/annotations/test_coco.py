"""COCO files as tools write them: masks, ids, paths and numbers of their own ways."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.annotations import coco, sources
from detector.annotations.conversion import Conversion, convert
from detector.errors import AnnotationError

Document = dict[str, Any]
MASK = {"size": [64, 96], "counts": [4 * 64 + 6, 22, 42, 22, 96 * 64 - 4 * 64 - 6 - 86]}
"""Two columns of 22 pixels, from x = 4 and y = 6 on."""


@pytest.fixture
def document(make: Any) -> Document:
    """One field with three cells."""
    made: Document = json.loads(make.coco_json({"a.png": make.CELLS}))
    for number, annotation in enumerate(made["annotations"], start=1):
        annotation["id"] = number
    return made


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Document | str], Path]:
    def write(document: Document | str) -> Path:
        path = tmp_path / "labels.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return path

    return write


def only(path: Path) -> coco.Entry:
    (entry,) = coco.read(path)
    return entry


def corners(entry: coco.Entry) -> list[list[float]]:
    assert entry.labels is not None, entry.problem
    return [list(map(float, box)) for box in entry.labels.xyxy]


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ([[10, 20, 30, 20, 30, 44.5, 10, 44.5]], [10, 20, 30, 44.5]),
        ([[10, 20, 30, 20, 30, 40], [50, 5, 60, 5, 60, 9]], [10, 5, 60, 40]),
        ([10, 20, 30, 20, 30, 40], [10, 20, 30, 40]),
        (json.dumps([[10, 20, 30, 20, 30, 40]]), [10, 20, 30, 40]),
        (MASK, [4, 6, 6, 28]),
        (json.dumps(MASK), [4, 6, 6, 28]),
        ({"size": [4, 3], "counts": [3, 2, 7]}, [0, 0, 2, 4]),
        ({"size": [4, 3], "counts": [0, 12]}, [0, 0, 3, 4]),
        ({"size": [4, 3], "counts": "327"}, [0, 0, 2, 4]),
        (json.dumps({"size": [4, 3], "counts": "327"}), [0, 0, 2, 4]),
    ],
)
@pytest.mark.parametrize("bbox", [None, [], [0, 0, 0, 0], "absent"])
def test_a_cell_without_a_box_has_that_of_its_outline(
    document: Document, written: Any, segmentation: Any, box: list[float], bbox: Any
) -> None:
    # Masks of other sizes than the image's are refused where the file states that.
    del document["images"][0]["width"]
    annotation = document["annotations"][0]
    annotation["segmentation"], annotation["bbox"] = segmentation, bbox
    if bbox == "absent":
        del annotation["bbox"]
    entry = only(written(document))
    assert corners(entry)[0] == box
    assert len(corners(entry)) == 3


def test_compressed_masks_are_read_as_the_reference_reads_them(document: Document, written: Any) -> None:
    mask = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: pip install -e '.[dev]'")
    rng = np.random.default_rng(3)
    for _ in range(40):
        pixels = np.zeros((64, 96), dtype=np.uint8, order="F")
        for _ in range(int(rng.integers(1, 5))):
            y, x = int(rng.integers(0, 60)), int(rng.integers(0, 90))
            pixels[y : y + int(rng.integers(1, 30)), x : x + int(rng.integers(1, 30))] = 1
        encoded = mask.encode(pixels)
        x, y, w, h = mask.toBbox(encoded).tolist()
        xs = np.nonzero(pixels)[1]
        annotation = document["annotations"][0]
        annotation["segmentation"] = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        annotation.pop("bbox", None)
        box = corners(only(written(document)))[0]
        assert box[0] == x == xs.min()
        assert box[2] == x + w == xs.max() + 1
        # A run that goes on in the next column is taken to fill both, by the reference too.
        assert (box[1], box[3]) == (y, y + h)


@pytest.mark.parametrize("marked", [1, True, "1", "true", 1.0])
def test_a_file_of_painted_masks_marked_iscrowd_holds_cells(document: Document, written: Any, marked: Any) -> None:
    for annotation in document["annotations"]:
        annotation["iscrowd"] = marked
    entry = only(written(document))
    assert len(corners(entry)) == 3
    assert (entry.crowd_cells, entry.crowd_regions) == (3, 0)
    truth = sources.load_truth(written(document))
    assert truth.records["a"].label.tolist() == [0, 1, 2]
    assert truth.remarks == ["labels.json: 3 annotations are marked iscrowd; each was taken for one cell"]


@pytest.mark.parametrize("marked", [0, False, "0", "false", "", None])
def test_what_is_not_marked_is_a_cell(document: Document, written: Any, marked: Any) -> None:
    document["annotations"][0]["iscrowd"] = marked
    entry = only(written(document))
    assert len(corners(entry)) == 3
    assert entry.crowd_cells == entry.crowd_regions == 0


def test_among_boxes_a_mask_of_a_heap_is_an_ignore_region_and_one_of_a_cell_is_a_cell(document: Document, written: Any) -> None:
    document["annotations"] += [
        {"id": 8, "image_id": 7, "category_id": 8, "bbox": [50, 5, 22, 20], "iscrowd": 1},
        {"id": 9, "image_id": 7, "category_id": 8, "bbox": [30, 20, 60, 40], "iscrowd": "1"},
    ]
    entry = only(written(document))
    assert entry.labels is not None
    assert entry.labels.names == ("RBC", "WBC", "Platelets", "RBC", "ignore")
    assert (entry.crowd_cells, entry.crowd_regions) == (1, 1)
    record = sources.load_truth(written(document)).records["a"]
    assert (len(record.label), record.ignore.tolist()) == (4, [[30, 20, 90, 60]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": None}, "annotation 1 has neither bbox nor segmentation"),
        ({"bbox": [1, 2, 3]}, r"annotation 1 has the bbox \[1, 2, 3\], expected x, y, width, height"),
        ({"bbox": {"x": 1}}, r"annotation 1 has the bbox \{'x': 1\}"),
        ({"bbox": [1, 2, "wide", 4]}, "annotation 1 has 'wide' in bbox, which is no number"),
        ({"bbox": [1, 2, None, 4]}, "annotation 1 has None in bbox"),
        ({"bbox": [1, 2, True, 4]}, "annotation 1 has True in bbox"),
        ({"bbox": [1, 2, [3], 4]}, r"annotation 1 has \[3\] in bbox"),
        ({"bbox": [1, 2, float("nan"), 4]}, "annotation 1 has nan in bbox"),
        ({"bbox": [1, 2, float("inf"), 4]}, "annotation 1 has inf in bbox"),
        ({"bbox": [1, 2, 10**400, 4]}, r"annotation 1 has 10+\.\.\. in bbox"),
        ({"bbox": [1, 2, 1e300, 4]}, "a box has the coordinate 1e.300, which lies in no picture"),
        ({"bbox": [1e308, 2, 1e308, 4]}, "not a finite number"),
        ({"bbox": None, "segmentation": 5}, "has the segmentation 5, expected polygons or a mask"),
        ({"bbox": None, "segmentation": "{"}, "has the segmentation '{', which is none"),
        ({"bbox": None, "segmentation": [[1, 2, 3]]}, "has a polygon that is no list"),
        ({"bbox": None, "segmentation": [[1, 2, 3, "x"]]}, "has 'x' in segmentation"),
        ({"bbox": None, "segmentation": {"counts": [1]}}, "has a mask without its size"),
        ({"bbox": None, "segmentation": {"size": [9, 9]}}, "has a mask without counts"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": [80]}}, "whose runs do not fill its 9x9 pixels"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": [81]}}, "has an empty mask"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": [-1, 82]}}, "whose runs do not fill"),
        ({"bbox": None, "segmentation": {"size": [10**9, 10**9], "counts": [1]}}, "impossible size"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": "ooooooooooooooo"}}, "compressed counts are damaged"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": "é"}}, "compressed counts are damaged"),
        ({"bbox": None, "segmentation": {"size": [9, 9], "counts": "o"}}, "compressed counts are cut off"),
        ({"category_id": [1]}, r"has the id \[1\], which is neither a whole number nor text"),
    ],
)
def test_an_annotation_that_cannot_be_understood_is_named_and_costs_its_field_only(
    make: Any, document: Document, written: Any, change: dict[str, Any], reason: str
) -> None:
    other = {"id": 50, "image_id": 8, "category_id": 7, "bbox": [1, 2, 30, 40]}
    document["images"].append({"id": 8, "file_name": "b.png", "width": 96, "height": 64})
    document["annotations"] = [document["annotations"][0] | change, *document["annotations"][1:], other]
    broken, sound = coco.read(written(document))
    assert broken.labels is None
    assert re.search(reason, str(broken.problem)), broken.problem
    assert len(corners(sound)) == 1
    truth = sources.load_truth(written(document))
    assert list(truth.records) == ["b"]
    assert len(truth.broken) == 1
    assert truth.broken[0].startswith("labels.json, a: ")


def test_an_image_id_of_two_files_is_refused_with_both(document: Document, written: Any) -> None:
    document["images"].append({"id": 7, "file_name": "b.png"})
    with pytest.raises(AnnotationError, match=r"image id 7 stands for a\.png and for b\.png"):
        coco.read(written(document))
    document["images"][1]["id"] = "7"
    with pytest.raises(AnnotationError, match=r"image id 7 stands for"):
        coco.read(written(document))


def test_an_image_that_is_listed_twice_is_one(document: Document, written: Any) -> None:
    document["images"] += [dict(document["images"][0]), {**document["images"][0], "id": 9}]
    document["annotations"].append({"id": 4, "image_id": "9", "category_id": "8", "bbox": [60, 20, 20, 20]})
    assert len(corners(only(written(document)))) == 4
    document["images"][-1]["width"] = 95
    with pytest.raises(AnnotationError, match=r"a\.png is listed twice, with different sizes"):
        coco.read(written(document))


def test_a_category_id_of_two_names_is_refused_and_of_one_is_one(document: Document, written: Any) -> None:
    document["categories"].append(dict(document["categories"][0]))
    assert len(corners(only(written(document)))) == 3
    document["categories"][-1]["name"] = "smudge"
    with pytest.raises(AnnotationError, match=r"category id 7 stands for '.*' and for 'smudge'"):
        coco.read(written(document))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"annotations": [3]}, "'annotations' is no list of objects"),
        ({"annotations": {}}, "'annotations' is no list of objects"),
        ({"categories": None}, "'categories' is no list of objects"),
        ({"categories": [{"id": 1}]}, "a category has no id or no name"),
        ({"categories": [{"id": 1, "name": "x" * 300}]}, "a class has a name of 300 characters"),
        ({"images": [{"file_name": "a.png"}]}, "an image has no id or no file_name"),
        ({"images": [{"id": 1, "file_name": 3}]}, "an image has no id or no file_name"),
        ({"images": [{"id": [1], "file_name": "a.png"}]}, r"has the id \[1\]"),
        ({"images": [{"id": True, "file_name": "a.png"}]}, "has the id True"),
        ({"annotations": [{"bbox": [1, 2, 3, 4]}]}, "an annotation without id has no image_id"),
        ({"annotations": [{"image_id": 70}]}, "names image_id 70, which is not among the images"),
    ],
)
def test_what_is_no_coco_file_says_why(document: Document, written: Any, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(AnnotationError, match=rf"labels\.json: .*{reason}"):
        coco.read(written({**document, **change}))


def test_a_stated_size_that_is_none_is_not_believed(document: Document, written: Any) -> None:
    for width in (0, -1, None, "wide", 1e300, float("nan"), 10**400):
        document["images"][0]["width"] = width
        labels = only(written(document)).labels
        assert labels is not None
        assert labels.declared_wh is None


@pytest.mark.parametrize(
    ("file_name", "place"),
    [
        ("a.png", "images/Train/a.png"),
        ("a.png", "data/a.png"),
        ("a.png", "deep/down/below/a.png"),
        ("JPEGImages\\a.png", "JPEGImages/a.png"),
        ("JPEGImages\\a.png", "JPEGImages/A.PNG"),
        ("C:\\Users\\me\\set\\a.png", "images/a.png"),
        ("/home/me/set/a.png", "set/a.png"),
        ("./images/a.png", "images/a.png"),
        ("gone/a.png", "elsewhere/a.png"),
        ("a.jpg", "images/a.png"),
        ("caf\u00e9.png", "images/cafe\u0301.png"),
    ],
)
@pytest.mark.parametrize("labels", ["labels.json", "annotations/instances_Train.json"])
def test_pictures_are_found_where_tools_put_them(make: Any, tmp_path: Path, file_name: str, place: str, labels: str) -> None:
    picture = make.save(tmp_path / place, make.picture(1))
    (tmp_path / labels).parent.mkdir(exist_ok=True)
    (tmp_path / labels).write_text(make.coco_json({file_name: make.CELLS}), encoding="utf-8")
    for given in (tmp_path, tmp_path / labels):
        (item,) = sources.load(given).items
        assert item.image == picture
        assert item.name == ("caf\u00e9" if "caf" in file_name else "a")
    audit = convert(Conversion(tmp_path, tmp_path.parent / f"{tmp_path.name}_out"))
    assert sum(sum(tally.boxes.values()) for tally in audit.splits.values()) == 3


def test_of_two_pictures_the_one_with_more_of_the_path_or_of_the_split_is_taken(make: Any, tmp_path: Path) -> None:
    for folder in ("images/Train", "images/Val", "other/x"):
        make.save(tmp_path / folder / "a.png", make.picture(len(folder)))
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "instances_Val.json"

    def found(file_name: str) -> tuple[Path | None, str | None]:
        path.write_text(make.coco_json({file_name: make.CELLS}), encoding="utf-8")
        (item,) = sources.load(tmp_path).items
        return item.image, item.problem

    assert found("a.png") == (tmp_path / "images" / "Val" / "a.png", None)
    assert found("Train/a.png") == (tmp_path / "images" / "Train" / "a.png", None)
    assert found("x\\a.png") == (tmp_path / "other" / "x" / "a.png", None)
    path = path.rename(tmp_path / "labels.json")
    image, problem = found("a.png")
    assert image is None
    assert "a.png could be 3 pictures, such as" in str(problem)
    with pytest.raises(AnnotationError, match="could be 3 pictures"):
        convert(Conversion(tmp_path, tmp_path.parent / "out"))


def test_names_longer_than_the_system_takes_are_no_pictures(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "b.png", make.picture(1))
    long = "x" * 300 + ".png"
    (tmp_path / "labels.json").write_text(
        make.coco_json({long: make.CELLS, "b.png": make.CELLS, "a\0.png": ()}), encoding="utf-8"
    )
    audit = convert(Conversion(tmp_path, tmp_path.parent / f"{tmp_path.name}_out"))
    assert sum(tally.images for tally in audit.splits.values()) == 1
    assert sorted(note.reason[:24] for note in audit.failed) == ["there is no image for a\0", "there is no image for xx"]


def test_a_field_with_labels_in_two_files_is_refused(make: Any, tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text(make.coco_json({"a.png": make.CELLS}), encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"field a has labels in two places, one\.json, a and two\.json, a"):
        sources.load_truth(tmp_path)


@pytest.mark.parametrize("size", [[96, 64], [128, 192]])
def test_a_mask_of_another_size_than_its_image_is_refused(document: Document, written: Any, size: list[int]) -> None:
    pixels = size[0] * size[1]
    document["annotations"][0] |= {"bbox": None, "segmentation": {"size": size, "counts": [100, 20, pixels - 120]}}
    entry = only(written(document))
    assert entry.labels is None
    assert entry.problem is not None
    assert f"has a mask of {size[1]}x{size[0]}, and its image has 96x64; a mask's size is height, width" in entry.problem


@pytest.mark.parametrize("marked", [1, True, "1"])
def test_what_is_to_be_ignored_is_no_cell(document: Document, written: Any, marked: Any) -> None:
    document["annotations"][0]["ignore"] = marked
    entry = only(written(document))
    assert entry.labels is not None
    assert entry.labels.names == ("ignore", "WBC", "Platelets")


def test_a_file_without_annotations_is_no_set_of_empty_fields(document: Document, written: Any) -> None:
    del document["annotations"]
    with pytest.raises(AnnotationError, match="expected an object with 'images', 'annotations' and 'categories'"):
        coco.read(written(document))


def test_a_key_that_stands_twice_is_refused(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text(json.dumps(document)[:-1] + ', "annotations": []}', encoding="utf-8")
    with pytest.raises(AnnotationError, match="'annotations' stands twice in one object"):
        coco.read(path)
