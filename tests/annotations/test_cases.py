"""Label sets that users of such tools had trouble with, with the right outcome; they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.accuracy import tables
from detector.annotations import splits
from detector.annotations.conversion import Conversion, convert
from detector.errors import AnnotationError

RIGHT = {"RBC": 20, "WBC": 5, "Platelets": 9}


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Path:
    """The folder of a case by its name, or a skipped test."""
    path = Path(__file__).parents[2].parent / "shared" / "cases" / str(request.param)
    if not path.exists():
        pytest.skip(f"the case {path.name} is not beside this checkout")
    return path


@pytest.mark.parametrize(
    "case",
    [
        "coco_images_in_images_Train",
        "coco_masks_iscrowd",
        "coco_one_without_bbox",
        "coco_windows_paths",
        "voc_boxes_of_unrotated_image",
    ],
    indirect=True,
)
def test_a_set_that_is_read_right(case: Path, tmp_path: Path) -> None:
    audit = convert(Conversion(case, tmp_path / "out", plan=splits.plan("1/0/0")))
    assert audit.splits["train"].boxes == RIGHT
    assert audit.failed == ()
    counts = tables.read_counts(case).counts.values()
    assert {name: sum(field[name] for field in counts) for name in RIGHT} == RIGHT


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("coco_fraction_boxes", "in fractions of the picture; multiply them"),
        ("coco_same_image_id", r"image id 1 stands for field_01\.jpg and for field_02\.jpg"),
        ("yolo_pixel_coordinates", r"first labels/field_01\.txt, line 1 \(20 179 40 70\).*pixels; divide them"),
    ],
    indirect=["case"],
)
def test_a_set_that_is_refused_with_the_remedy(case: Path, tmp_path: Path, said: str) -> None:
    for read in (lambda: convert(Conversion(case, tmp_path / "out")), lambda: tables.read_counts(case)):
        with pytest.raises(AnnotationError, match=said):
            read()
