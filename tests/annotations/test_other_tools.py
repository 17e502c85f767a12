"""What CVAT, Label Studio, QuPath and ImageJ write beyond plain boxes, and what of it is refused."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.annotations import imagej, sources
from detector.errors import AnnotationError
from detector.vision import boxes


def cvat(path: Path, inner: str, name: str = "a.jpg") -> Path:
    image = f'<image id="0" name="{name}" width="100" height="80">{inner}</image>'
    path.write_text(f"<?xml version='1.0'?><annotations><version>1.1</version>{image}</annotations>", encoding="utf-8")
    return path


def boxes_of(path: Path) -> dict[str, list[list[float]]]:
    """Boxes by class; the set has one field."""
    source = sources.load(path)
    (item,) = source.items
    assert item.labels is not None, item.problem
    xyxy = item.labels.pixels((100, 80))
    return {name: xyxy[[n == name for n in item.labels.names]].round(3).tolist() for name in item.labels.names}


def problem_of(path: Path) -> str:
    (item,) = sources.load(path).items
    assert item.labels is None
    return str(item.problem)


def test_cvat_outlines_become_boxes(tmp_path: Path) -> None:
    inner = (
        '<box label="RBC" xtl="1.5" ytl="2" xbr="11.5" ybr="22"/>'
        '<box label="WBC" xtl="20" ytl="30" xbr="40" ybr="40" rotation="90"/>'
        '<polygon label="Platelets" points="50,50;60,52;55.5,61"/>'
        '<ellipse label="RBC" cx="70" cy="40" rx="10" ry="5" rotation="90"/>'
        '<mask label="WBC" rle="1,2" left="80" top="10" width="12" height="14"/>'
        '<tag label="blurred"/>'
    )
    boxes = boxes_of(cvat(tmp_path / "annotations.xml", inner))
    assert boxes == {"RBC": [[1.5, 2, 11.5, 22], [65, 30, 75, 50]], "WBC": [[25, 25, 35, 45], [80, 10, 92, 24]],
                     "Platelets": [[50, 50, 60, 61]]}  # fmt: skip


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ('<points label="RBC" points="1,2"/>', "no outline of a cell"),
        ('<polygon label="RBC" points="1,2;x"/>', "expected 'x,y;x,y;...'"),
        ('<box label="RBC" xtl="1" ytl="2" xbr="nan" ybr="3"/>', "not a finite number"),
        ('<box label="RBC" xtl="1" ytl="2" ybr="3"/>', "whose xbr is ''"),
    ],
)
def test_a_broken_shape_of_cvat_costs_its_field(tmp_path: Path, inner: str, reason: str) -> None:
    assert reason in problem_of(cvat(tmp_path / "annotations.xml", inner))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotations><version>1.1</version><track id='0'/></annotations>", "is an export for videos"),
        ("<annotations><version>1.1</version></annotations>", "holds no images of CVAT"),
        ("<annotations><image name='a'/><image name='a'/></annotations>", "a is in it twice"),
        ("<annotations><image/></annotations>", "an <image> has no name"),
        ("<annotations>", "not readable as XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "not readable as XML"),
    ],
)
def test_another_file_of_cvat_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "annotations.xml").write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=reason):
        sources.load(tmp_path / "annotations.xml")


def region(kind: str = "rectanglelabels", name: str = "RBC", **value: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 100, "original_height": 80, "image_rotation": 0, "value": {kind: [name], **value}}


def task(*regions: dict[str, Any], image: str = "/data/local-files/?d=s%2Fa.jpg", **annotation: Any) -> dict[str, Any]:
    return {"data": {"image": image}, "annotations": [{"id": 1, "result": list(regions), **annotation}]}


def label_studio(path: Path, *tasks: dict[str, Any]) -> Path:
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_label_studio_outlines_become_boxes(tmp_path: Path) -> None:
    half = math.sqrt(0.5)
    regions = (
        region(x=10, y=10, width=20, height=25, rotation=0),
        region(x=50, y=50, width=10, height=12.5, rotation=45, name="WBC"),
        region("polygonlabels", "Platelets", points=[[1, 1], [5, 2], [3, 10]]),
        region("ellipselabels", x=50, y=50, radiusX=10, radiusY=20),
        {"type": "choices", "value": {"choices": ["good"]}},
    )
    boxes = boxes_of(label_studio(tmp_path / "export.json", task(*regions)))
    assert boxes["RBC"] == [[10, 8, 30, 28], [40, 24, 60, 56]]
    assert boxes["Platelets"] == [[1, 0.8, 5, 8]]
    # Ten pixels by ten, turned about its first corner.
    np.testing.assert_allclose(boxes["WBC"], [[50 - 10 * half, 40, 50 + 10 * half, 40 + 20 * half]], atol=1e-3)


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("/data/local-files/?d=s%2Fa.jpg", "s/a"),
        ("/data/upload/3/0a1b2c3d-a.jpg", "a"),
        ("https://example.org/pictures/s/a.jpg", "pictures/s/a"),
        ("s3://bucket/s/a.jpg", "s/a"),
    ],
)
def test_label_studio_names_pictures_in_several_ways(tmp_path: Path, image: str, key: str) -> None:
    (item,) = sources.load(label_studio(tmp_path / "e.json", task(image=image))).items
    assert (item.key, item.name) == (key, "a")


def test_a_folder_with_an_export_of_label_studio_is_read(tmp_path: Path) -> None:
    label_studio(tmp_path / "export.json", task(region(x=0, y=0, width=10, height=10)), task(image="b.jpg"))
    source = sources.load(tmp_path)
    assert source.layout == "labelstudio"
    assert [item.labels.xyxy.tolist() for item in source.items if item.labels and item.labels.names] == [[[0, 0, 10, 8]]]


def test_of_several_annotations_one_is_taken_and_told(tmp_path: Path) -> None:
    first = task(region(x=0, y=0, width=10, height=10), updated_at="2024-01-01")
    newer = {"id": 2, "updated_at": "2024-02-01", "result": [region(x=50, y=0, width=10, height=10)]}
    dropped = {"id": 3, "updated_at": "2024-03-01", "was_cancelled": True, "result": []}
    first["annotations"] += [newer, dropped]
    waiting = {"data": {"image": "b.jpg"}, "annotations": [], "predictions": [{"result": []}]}
    source = sources.load(label_studio(tmp_path / "e.json", first, waiting))
    assert [item.labels.xyxy.tolist() for item in source.items if item.labels] == [[[50, 0, 60, 8]]]
    told = [remark for _, remark in source.remarks]
    assert told == [
        "s/a.jpg has 2 annotations; that with id 2 was taken",
        "1 task has no annotation that was submitted, and was left out",
    ]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (region("brushlabels", rle=[1]), "'brushlabels'; use rectanglelabels"),
        ({"type": "rectangle", "value": {"x": 1, "y": 1, "width": 5, "height": 5}}, "'rectangle'; use rectanglelabels"),
        ({"type": "rectanglelabels"}, "without a value"),
        ({**region(x=1, y=1, width=5, height=5), "image_rotation": 90}, "was turned in Label Studio"),
        (region(x=1, y="1", width=5, height=5), "where hundredths of the image are expected"),
        ({"type": "rectanglelabels", "value": {"rectanglelabels": ["RBC", "WBC"], "x": 1}}, "expected one"),
    ],
)
def test_a_broken_region_of_label_studio_costs_its_field(tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
    assert reason in problem_of(label_studio(tmp_path / "e.json", task(broken)))


def test_label_studio_without_submitted_tasks_is_refused(tmp_path: Path) -> None:
    waiting = {"data": {"image": "a.jpg"}, "predictions": [{"result": [region(x=1, y=1, width=5, height=5)]}]}
    with pytest.raises(AnnotationError, match="none of its 1 tasks has an annotation that was submitted"):
        sources.load(label_studio(tmp_path / "e.json", waiting))


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_qupath_outlines_become_boxes(tmp_path: Path) -> None:
    polygon = {"type": "Polygon", "coordinates": [[[1, 2], [11, 2], [11, 22.5], [1, 2]]]}
    several = {
        "type": "MultiPolygon",
        "coordinates": [[[[20, 20], [30, 20], [30, 30], [20, 20]]], [[[28, 28], [40, 35], [30, 40], [28, 28]]]],
    }
    features = [
        feature(polygon, classification={"name": "RBC"}),
        feature(several, classification={"names": ["WBC"]}),
        feature(polygon),
    ]
    path = tmp_path / "a.jpg.geojson"
    path.write_text(json.dumps(features), encoding="utf-8")
    assert boxes_of(path) == {"RBC": [[1, 2, 11, 22.5]], "WBC": [[20, 20, 40, 40]], "unclassified": [[1, 2, 11, 22.5]]}
    assert sources.load(path).items[0].name == "a"


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "the geometry 'Point', which is no outline"),
        (None, "the geometry 'None'"),
        ({"type": "Polygon", "coordinates": [[["a", 2]]]}, "no lists of x and y"),
        ({"type": "Polygon", "coordinates": []}, "without points"),
    ],
)
def test_a_broken_object_of_qupath_costs_its_field(tmp_path: Path, geometry: Any, reason: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(geometry)]}), encoding="utf-8")
    assert reason in problem_of(path)


def roi_set(path: Path, *rois: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, roi in enumerate(rois):
            archive.writestr(f"{number}.roi", roi.tobytes())
    return path


def test_rois_of_imagej_become_boxes(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile", reason="needs the exchange extra: pip install -e '.[exchange]'")
    rect, oval = roifile.ROI_TYPE.RECT, roifile.ROI_TYPE.OVAL
    by_hand = roifile.ImagejRoi(roitype=rect, name="0012-0034", group=2, left=5, top=6, right=25, bottom=16)
    renamed = roifile.ImagejRoi(roitype=oval, name="platelet 3-1", left=30, top=30, right=36, bottom=37)
    unnamed = roifile.ImagejRoi(roitype=rect, name="0050-0050", left=50, top=50, right=60, bottom=60)
    outline = roifile.ImagejRoi.frompoints([[70, 10], [80.5, 12], [75, 21]], name="RBC-0001")
    boxes = boxes_of(roi_set(tmp_path / "a.jpg.zip", by_hand, renamed, unnamed, outline))
    assert boxes == {"WBC": [[5, 6, 25, 16]], "platelet": [[30, 30, 36, 37]], imagej.UNNAMED: [[50, 50, 60, 60]],
                     "RBC": [[70, 10, 80.5, 21]]}  # fmt: skip


def test_broken_roi_sets_are_told(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile", reason="needs the exchange extra: pip install -e '.[exchange]'")
    both = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, name="RBC-0001", group=2, left=5, top=6, right=25, bottom=16)
    assert "in group 2, which is WBC" in problem_of(roi_set(tmp_path / "a.zip", both))
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, name="RBC-0001")
    assert "no outline of a cell" in problem_of(roi_set(tmp_path / "b.zip", line))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("x.roi", b"no roi")
    assert "which is no ROI" in problem_of(tmp_path / "c.zip")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("annotations.xml", b"<annotations/>")
    with pytest.raises(AnnotationError, match="is a zip without ROIs of ImageJ; unpack it"):
        sources.load(tmp_path / "d.zip")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_back_undoes_turning(orientation: int) -> None:
    stored_wh = (100, 80)
    displayed_wh = stored_wh[::-1] if orientation > 4 else stored_wh
    xyxy = np.array([[1.0, 2, 30, 50], [90, 70, 100, 80]])
    turned = boxes.turned(xyxy, orientation, stored_wh)
    assert (turned[:, 2:] <= displayed_wh).all()
    np.testing.assert_allclose(boxes.turned_back(turned, orientation, displayed_wh), xyxy)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_a_viewer_does(orientation: int) -> None:
    from PIL import Image, ImageOps

    pixels = np.zeros((8, 10), np.uint8)
    pixels[1:4, 2:7] = 255
    exif = Image.Exif()
    exif[274] = orientation
    picture = Image.fromarray(pixels)
    picture.info["exif"] = exif.tobytes()
    y, x = np.nonzero(np.asarray(ImageOps.exif_transpose(picture)))
    turned = boxes.turned(np.array([[2.0, 1, 7, 4]]), orientation, (10, 8))
    assert turned.tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
