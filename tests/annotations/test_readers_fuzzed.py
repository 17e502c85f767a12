"""Damaged and hostile label files, tables and manifests: whatever stands in them, a reader ends with one of our own errors."""

from __future__ import annotations

import json
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bad_input import in_bytes, in_structure, mutated
from detector.accuracy import tables
from detector.annotations import corrections, dataset, sources
from detector.engines import manifest
from detector.errors import SmearcountError

pytestmark = pytest.mark.slow

SECONDS = 1.0
"""How long each reader is fuzzed at most."""
ROUNDS = 2000


def fuzz(change: Callable[[random.Random], None], read: Callable[[], object]) -> None:
    """Read after each of many changes; anything but our own errors goes through, and no reading takes long."""
    ends = time.monotonic() + SECONDS
    refused = 0
    for seed in range(ROUNDS):
        change(random.Random(seed))
        started = time.monotonic()
        try:
            read()
        except SmearcountError as error:
            refused += bool(str(error))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - started < 10, f"seed {seed}"
        if time.monotonic() > ends and seed > 20:
            break
    assert refused


def test_coco(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "images" / "a.png", make.picture(1))
    document = json.loads(make.coco_json({"a.png": make.CELLS, "b\\c.png": make.CELLS[:1]}))
    for number, annotation in enumerate(document["annotations"]):
        annotation |= {"id": number, "iscrowd": number % 2, "segmentation": [[1, 2, 30, 2, 30, 40]]}
    document["annotations"][0] |= {"bbox": None, "segmentation": {"size": [64, 96], "counts": [300, 9, 96 * 64 - 309]}}
    fuzz(in_structure(tmp_path / "labels.json", document), lambda: sources.load_truth(tmp_path))


def test_voc(make: Any, tmp_path: Path) -> None:
    root = make.voc(tmp_path, {"a": make.CELLS})
    fuzz(in_bytes(root / "Annotations" / "a.xml"), lambda: tables.read_counts(root))


def test_yolo(make: Any, tmp_path: Path) -> None:
    root = make.yolo(tmp_path, {"a": make.CELLS})
    fuzz(in_bytes(root / "labels" / "a.txt"), lambda: tables.read_counts(root))


def test_a_file_of_class_names(make: Any, tmp_path: Path) -> None:
    root = make.yolo(tmp_path, {"train/a": make.CELLS})
    (root / "data.yaml").write_text("train: images/train\nnames:\n  0: WBC\n  1: RBC\n  2: [Platelet]\n", encoding="utf-8")
    fuzz(in_bytes(root / "data.yaml"), lambda: dataset.load(root / "data.yaml", "train"))


def test_tables_of_counts(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("field;smear;RBC;WBC;note\na.png;s;12,5;3;x\nb.png;s;7;;y\n", encoding="utf-8")
    fuzz(in_bytes(path), lambda: tables.read_counts(path))


def test_manifests(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("field,smear,um_per_px,domain\na/b.png,s,0.1,d\nc.png,t,,e\n", encoding="utf-8")
    fuzz(in_bytes(path), lambda: (manifest.read(path), manifest.read(path, domains=True)))


def test_corrections(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"{','.join(corrections.COLUMNS)}\na,relabel,RBC,1,2,30,40,WBC,why\n", encoding="utf-8")
    fuzz(in_bytes(path), lambda: corrections.read(path))


@pytest.mark.parametrize("name", ["<a>" * 100_000, "<annotation>" + "<object>" * 50_000])
def test_deep_xml_is_a_reason(make: Any, tmp_path: Path, name: str) -> None:
    root = make.voc(tmp_path, {"a": make.CELLS, "b": make.CELLS})
    (root / "Annotations" / "a.xml").write_text(name, encoding="utf-8")
    assert sources.load_truth(root).broken[0].startswith("Annotations/a.xml: not readable as XML")


def test_cvat(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    shapes = (
        '<box label="RBC" xtl="1" ytl="2" xbr="30.5" ybr="28" rotation="3"/><polygon label="WBC" points="1,2;30,4;8,60"/>'
        '<ellipse label="RBC" cx="20" cy="20" rx="9" ry="5"/><mask label="Platelets" rle="1" left="5" top="5" width="9" height="9"/>'
    )
    image = f'<image id="0" name="a.png" width="96" height="64">{shapes}</image>'
    path.write_text(f"<annotations><version>1.1</version>{image}<image name='b'/></annotations>", encoding="utf-8")
    fuzz(in_bytes(path), lambda: sources.load_truth(path))


def test_label_studio(tmp_path: Path) -> None:
    sides = {"original_width": 96, "original_height": 64, "image_rotation": 0}
    values = [
        {"rectanglelabels": ["RBC"], "x": 1, "y": 2, "width": 10, "height": 20, "rotation": 5},
        {"polygonlabels": ["WBC"], "points": [[1, 2], [30, 4], [8, 60]]},
        {"ellipselabels": ["RBC"], "x": 50, "y": 50, "radiusX": 9, "radiusY": 5},
    ]
    regions = [{**sides, "type": next(iter(value)), "value": value} for value in values]
    tasks = [
        {"data": {"image": address}, "annotations": [{"id": 1, "result": regions, "updated_at": "x", "was_cancelled": False}]}
        for address in ("/data/upload/1/0a1b2c3d-a.png", "/data/local-files/?d=s%2Fb.png")
    ]
    path = tmp_path / "export.json"
    fuzz(in_structure(path, tasks), lambda: sources.load_truth(path))


def test_qupath(tmp_path: Path) -> None:
    polygon = {"type": "Polygon", "coordinates": [[[1, 2], [30, 2], [30, 28], [1, 2]]]}
    features = [
        {"type": "Feature", "geometry": polygon, "properties": {"classification": {"name": "RBC"}}},
        {"type": "Feature", "geometry": polygon, "properties": {"classification": {"names": ["WBC", "x"]}}},
    ]
    path = tmp_path / "a.geojson"
    fuzz(in_structure(path, {"type": "FeatureCollection", "features": features}), lambda: sources.load_truth(path))


def test_rois(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile", reason="needs the exchange extra: pip install -e '.[exchange]'")
    path = tmp_path / "a.zip"
    outline = roifile.ImagejRoi.frompoints([[70, 10], [80.5, 12], [75, 21]], name="RBC-0001")
    plain = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, name="WBC-1", left=5, top=6, right=25, bottom=16)
    rois = [roi.tobytes() for roi in (outline, plain)]

    def change(rng: random.Random) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for number, roi in enumerate(rois):
                archive.writestr(f"{number}.roi", mutated(roi, rng))
        if rng.random() < 0.3:
            path.write_bytes(mutated(path.read_bytes(), rng))

    fuzz(change, lambda: sources.load_truth(path))


def test_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs the exchange extra: pip install -e '.[exchange]'")
    path = tmp_path / "truth.xlsx"
    book = openpyxl.Workbook()
    for row in (["field", "RBC", "WBC"], ["a", 12, 0.5], ["b", "3", None]):
        book.active.append(row)
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def change(rng: random.Random) -> None:
        chosen = rng.choice(list(members))
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, mutated(content, rng) if name == chosen else content)
        if rng.random() < 0.2:
            path.write_bytes(mutated(path.read_bytes(), rng))

    fuzz(change, lambda: tables.read_counts(path))
