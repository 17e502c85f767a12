"""Each format as an independent reader, mostly the tool's own, sees it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from madeup import BARE, CELLS, HARMFUL, PLAIN, SIZE_WH, TURNED, UPWARDS, Made, detections, write_run

from detector.counting.result import FieldResult
from detector.errors import MissingExtraError, OutputError, UsageError
from detector.output.exchange import FORMATS, formats
from detector.output.exchange import run as runs
from detector.output.files import portable
from detector.vision.detections import Detections

W, H = SIZE_WH
LYING = [(y1, W - x2, y2, W - x1) for _, x1, y1, x2, y2 in CELLS]
"""The cells in a picture that is stored lying on its side, and displayed after a quarter turn clockwise (EXIF orientation 6)."""
UPRIGHT = [tuple(corners) for _, *corners in CELLS]
NAMES = [name for name, *_ in CELLS]


def export(made: Made, name: str) -> Path:
    """The folder of one format."""
    done = formats.write(made.run(), [name], made.folder / "exchange")
    assert not done.failed
    return done.folders[name]


def test_each_format_has_a_writer() -> None:
    assert list(formats.WRITERS) == list(FORMATS)


def test_coco_is_read_by_pycocotools(made: Made) -> None:
    pytest.importorskip("pycocotools", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    from pycocotools.coco import COCO

    read = COCO(str(export(made, "coco") / "annotations.json"))
    ids = {image["file_name"]: key for key, image in read.imgs.items()}
    assert set(ids) == {PLAIN, TURNED, BARE, HARMFUL, portable(UPWARDS)}
    cells = read.loadAnns(read.getAnnIds([ids[TURNED]]))
    assert [read.cats[cell["category_id"]]["name"] for cell in cells] == NAMES
    assert [cell["bbox"] for cell in cells] == [pytest.approx([a, b, c - a, d - b]) for a, b, c, d in UPRIGHT]
    assert read.getAnnIds([ids[BARE]]) == []


def test_voc_names_pixels_and_copies_pictures(made: Made) -> None:
    folder = export(made, "voc")
    root = ElementTree.parse(folder / "Annotations" / "smear_a" / "turned.xml").getroot()
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height")] == [str(W), str(H)]
    assert [element.findtext("name") for element in root.iter("object")] == NAMES
    assert [tuple(float(edge.text or "") for edge in box) for box in root.iter("bndbox")] == UPRIGHT
    assert (folder / "JPEGImages" / TURNED).read_bytes() == (made.pictures / TURNED).read_bytes()
    assert not list(ElementTree.parse(folder / "Annotations" / "smear_a" / "bare.xml").getroot().iter("object"))


@pytest.mark.slow
def test_voc_is_read_by_torchvision(made: Made) -> None:
    datasets = pytest.importorskip("torchvision.datasets", reason="needs the train extra: pip install -e '.[train]'")
    folder = export(made, "voc")
    for name in ("smear_a/f 1", "smear_a/turned"):
        document = ElementTree.parse(folder / "Annotations" / f"{name}.xml").getroot()
        read = datasets.VOCDetection.parse_voc_xml(document)["annotation"]
        assert (read["size"]["width"], read["size"]["height"], read["size"]["depth"]) == (str(W), str(H), "3")
        assert [item["name"] for item in read["object"]] == NAMES
        boxes = [[float(item["bndbox"][edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] for item in read["object"]]
        np.testing.assert_allclose(boxes, UPRIGHT, atol=0.005)


@pytest.mark.slow
def test_yolo_is_read_by_ultralytics(made: Made) -> None:
    pytest.importorskip("ultralytics", reason="needs the train extra: pip install -e '.[train]'")
    from ultralytics.data.utils import check_det_dataset, verify_image_label

    folder = export(made, "yolo")
    described = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    assert described["names"] == {0: "RBC", 1: "WBC", 2: "Platelets"}
    for picture in (PLAIN, TURNED, HARMFUL):
        image = folder / "images" / picture
        label_file = (folder / "labels" / picture).with_suffix(".txt")
        _, rows, shape, _, _, missing, _, empty, corrupt, message = verify_image_label(
            (str(image), str(label_file), "", False, 3, 0, 0, False)
        )
        assert (shape, missing, empty, corrupt, message) == ((H, W), 0, 0, 0, "")
        assert [described["names"][int(number)] for number in rows[:, 0]] == NAMES
        low, sides = (rows[:, 1:3] - rows[:, 3:] / 2) * [W, H], rows[:, 3:] * [W, H]
        np.testing.assert_allclose(np.hstack([low, low + sides]), UPRIGHT, atol=0.005)
    assert (folder / "labels" / BARE).with_suffix(".txt").read_text(encoding="utf-8") == ""


def test_csv_has_a_row_for_each_cell_and_no_formula(made: Made) -> None:
    with (export(made, "csv") / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["field"] for row in rows} == {PLAIN, TURNED, f"'{HARMFUL}", UPWARDS}
    assert {row["smear"] for row in rows} == {"'=smear()"}
    first = [row for row in rows if row["field"] == TURNED]
    assert [row["class"] for row in first] == NAMES
    assert [tuple(float(row[key]) for key in ("x1", "y1", "x2", "y2")) for row in first] == UPRIGHT
    assert [float(row["score"]) for row in first] == [0.5, 0.7, 0.9]


def test_parquet_is_read_by_pyarrow(made: Made) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the exchange extra: pip install -e '.[exchange]'")
    rows = parquet.read_table(export(made, "parquet") / "cells.parquet").to_pylist()
    chosen = [row for row in rows if row["field"] == HARMFUL]
    assert [(row["class"], row["x1"], row["y1"], row["x2"], row["y2"]) for row in chosen] == list(CELLS)
    assert chosen[0]["smear"] == "=smear()"


def test_a_workbook_holds_the_tables_and_no_formula(made: Made) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs the exchange extra: pip install -e '.[exchange]'")
    workbook = export(made, "xlsx") / "counts.xlsx"
    book = openpyxl.load_workbook(workbook)
    assert book.sheetnames == ["counts", "smears", "method"]
    header, *rows = book["counts"].iter_rows(values_only=True)
    counts = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(counts) == {PLAIN, TURNED, BARE, HARMFUL, UPWARDS, "smear_a/lost.jpg"}
    assert [counts[HARMFUL][key] for key in ("smear", "RBC", "WBC", "width_px", "saturated", "doubt")] == [
        "=smear()",
        1,
        1,
        W,
        False,
        None,
    ]
    assert (counts[BARE]["RBC"], counts["smear_a/lost.jpg"]["RBC"], counts["smear_a/lost.jpg"]["reason"]) == (0, None, "is empty")
    assert dict(book["method"].iter_rows(values_only=True))["model.thresholds.RBC"] == 0.25
    with zipfile.ZipFile(workbook) as archive:
        sheets = [archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/")]
    assert len(sheets) == 3
    assert not any(b"<f>" in sheet or b"<f " in sheet for sheet in sheets)


def test_label_studio_gets_hundredths_and_the_picture(made: Made) -> None:
    folder = export(made, "labelstudio")
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    asked = {parse_qs(urlsplit(task["data"]["image"]).query)["d"][0]: task for task in tasks}
    assert set(asked) == {PLAIN, TURNED, BARE, HARMFUL, portable(UPWARDS)}
    regions = asked[TURNED]["predictions"][0]["result"]
    boxes = [
        tuple(r["value"][key] * r[side] / 100 for key, side in (("x", "original_width"), ("y", "original_height"),
                                                                  ("width", "original_width"), ("height", "original_height")))
        for r in regions
    ]  # fmt: skip
    np.testing.assert_allclose(boxes, [(a, b, c - a, d - b) for a, b, c, d in UPRIGHT], atol=1e-9)
    assert [region["value"]["rectanglelabels"] for region in regions] == [[name] for name in NAMES]
    classes = ElementTree.parse(folder / "config.xml").getroot().findall("RectangleLabels/Label")
    assert [element.get("value") for element in classes] == ["RBC", "WBC", "Platelets"]


def test_cvat_gets_edges_and_classes(made: Made) -> None:
    folder = export(made, "cvat")
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    images = {image.get("name"): image for image in root.findall("image")}
    assert set(images) == {PLAIN, TURNED, BARE, HARMFUL, portable(UPWARDS)}
    boxes = images[HARMFUL].findall("box")
    assert [box.get("label") for box in boxes] == NAMES
    assert [tuple(float(box.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr")) for box in boxes] == UPRIGHT
    assert [label["name"] for label in json.loads((folder / "labels.json").read_text(encoding="utf-8"))] == [
        "RBC",
        "WBC",
        "Platelets",
    ]


@pytest.mark.parametrize(("field", "expected"), [(PLAIN, UPRIGHT), (TURNED, LYING)])
def test_qupath_gets_boxes_of_the_picture_as_stored(made: Made, field: str, expected: list[tuple[float, ...]]) -> None:
    shapely = pytest.importorskip("shapely.geometry", reason="needs the train extra: pip install -e '.[train]'")
    document = json.loads((export(made, "qupath") / f"{field}.geojson").read_text(encoding="utf-8"))
    shapes = [shapely.shape(feature["geometry"]) for feature in document["features"]]
    assert all(shape.is_valid for shape in shapes)
    np.testing.assert_allclose([shape.bounds for shape in shapes], expected, atol=1e-6)
    classes = [feature["properties"]["classification"] for feature in document["features"]]
    assert [given["name"] for given in classes] == NAMES
    assert all(len(given["color"]) == 3 for given in classes)


@pytest.mark.parametrize(("field", "expected"), [(PLAIN, UPRIGHT), (TURNED, LYING)])
def test_roi_sets_are_read_by_roifile(made: Made, field: str, expected: list[tuple[float, ...]]) -> None:
    roifile = pytest.importorskip("roifile", reason="needs the exchange extra: pip install -e '.[exchange]'")
    rois = roifile.roiread(export(made, "imagej") / f"{field}.zip")
    assert [roi.name for roi in rois] == ["RBC-0001", "WBC-0001", "Platelets-0001"]
    boxes = [(roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd) for roi in rois]
    np.testing.assert_allclose(boxes, expected, atol=1e-4)


MACRO = """
setBatchMode(true);
roiManager("Open", getArgument());
newImage("field", "8-bit", 80, 120, 1);
for (i = 0; i < roiManager("count"); i++) {
    roiManager("select", i);
    Roi.getFloatBounds(x, y, w, h);
    print(Roi.getName + "," + d2s(x, 2) + "," + d2s(y, 2) + "," + d2s(x + w, 2) + "," + d2s(y + h, 2) + "," + Roi.getProperty("score"));
}
"""


@pytest.mark.slow
def test_imagej_opens_a_roi_set(made: Made, tmp_path: Path) -> None:
    jar = Path("/usr/share/java/ij.jar")
    if not jar.is_file() or shutil.which("java") is None or shutil.which("xvfb-run") is None:
        pytest.skip("needs ImageJ and a virtual screen: apt-get install imagej xvfb xauth")
    (tmp_path / "read.ijm").write_text(MACRO, encoding="utf-8")
    roi_set = export(made, "imagej") / f"{TURNED}.zip"
    command = ["xvfb-run", "-a", "java", "-cp", str(jar), "ij.ImageJ", "-batch", str(tmp_path / "read.ijm"), str(roi_set)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    rows = [line.split(",") for line in done.stdout.splitlines() if line.count(",") == 5]
    assert [row[0] for row in rows] == ["RBC-0001", "WBC-0001", "Platelets-0001"], done.stdout + done.stderr
    np.testing.assert_allclose([[float(edge) for edge in row[1:5]] for row in rows], LYING, atol=0.006)
    assert [row[5] for row in rows] == ["0.5", "0.7", "0.9"]


def test_remarks_tell_of_unread_turned_and_missing_pictures(made: Made) -> None:
    done = formats.write(made.run(), ["qupath", "imagej", "voc"], made.folder / "exchange")
    assert done.remarks[0] == "1 field was not read and has no cells in the files, first smear_a/lost.jpg"
    told = "\n".join(done.remarks)
    assert (
        f"qupath: 1 picture is turned by EXIF for display, first {TURNED}; the boxes are those of the pictures as stored" in told
    )
    assert f"imagej: 1 picture was not found, first {UPWARDS}" in told
    assert "imagej: 1 field without cells has no ROI set" in told
    assert "voc: the pictures of 1 field were not copied" in told.replace("field was", "field were")


def test_a_picture_of_another_size_is_not_taken(made: Made) -> None:
    shutil.copy(made.pictures / TURNED, made.pictures / "smear_a" / "f 1.jpg")
    with_wrong = runs.read(made.folder, {PLAIN: made.pictures / "x.jpg"})
    assert with_wrong.fields[0].picture is None
    from PIL import Image

    Image.new("RGB", (60, 40)).save(made.pictures / PLAIN)
    run = made.run()
    assert run.fields[0].picture is None
    assert "is another one than was counted: 60x40 pixels, not 120x80" in run.remarks[0]


def test_nothing_is_written_outside_the_folder(made: Made, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    done = formats.write(made.run(), FORMATS, tmp_path / "out")
    assert not done.failed
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert new
    assert all((tmp_path / "out") in path.parents and ".." not in path.parts for path in new)


def test_what_stands_there_is_kept_and_costs_the_other_formats_nothing(made: Made, tmp_path: Path) -> None:
    (tmp_path / "out" / "coco").mkdir(parents=True)
    # Even a dataset of ours, which a conversion would replace.
    (tmp_path / "out" / "coco" / "audit.json").write_text('{"format": "smearcount-audit"}', encoding="utf-8")
    done = formats.write(made.run(), ["coco", "csv"], tmp_path / "out")
    assert list(done.folders) == ["csv"]
    assert "choose another --out" in done.failed[0]
    assert [path.name for path in (tmp_path / "out" / "coco").iterdir()] == ["audit.json"]


def test_a_format_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--to coco,voc: no such format; give --to once for each format; known: coco, voc"):
        formats.require(["coco,voc"], "--to")
    with pytest.raises(UsageError, match="--to tiff: no such format; known: coco, voc"):
        formats.require(["coco", "tiff"], "--to")
    monkeypatch.setattr(formats, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match="--export xlsx needs openpyxl"):
        formats.require(["xlsx"], "--export")
    assert formats.require(["csv", "coco", "csv"], "--to") == ["csv", "coco"]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("detections.json", None, UsageError, "is no folder of results, for it has no detections.json"),
        ("detections.json", b"{", OutputError, "not readable as JSON"),
        (
            "detections.json",
            b'{"images": [{"file_name": 1}], "annotations": [], "categories": []}',
            OutputError,
            "does not hold the cells",
        ),
        ("run.json", None, UsageError, "it has no run.json"),
    ],
)
def test_a_folder_that_is_none_of_results_is_refused(
    made: Made, name: str, content: bytes | None, error: type[Exception], message: str
) -> None:
    if content is None:
        (made.folder / name).unlink()
    else:
        (made.folder / name).write_bytes(content)
    with pytest.raises(error, match=message):
        made.run()


@pytest.mark.slow
def test_many_cells_of_one_field_are_written_in_seconds(tmp_path: Path) -> None:
    n = 10_000
    low = np.random.default_rng(1).uniform(0, 49_000, (n, 2)).astype(np.float32)
    cells = Detections(np.hstack([low, low + 40]), np.full(n, 0.9, np.float32), np.arange(n) % 3, (50_000, 50_000))
    write_run(tmp_path / "run", [FieldResult("slide.svs", "s", None, cells)], [])
    started = time.process_time()
    done = formats.write(runs.read(tmp_path / "run", {}), FORMATS, tmp_path / "out")
    assert not done.failed
    # All formats took 3 s of processor time; what grows with the square of the cells would take minutes.
    assert time.process_time() - started < 8
    assert len(json.loads((tmp_path / "out" / "qupath" / "slide.svs.geojson").read_text(encoding="utf-8"))["features"]) == n


def test_labels_of_two_pictures_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    results = [FieldResult("s/a.jpg", "s", None, detections(CELLS[:1])), FieldResult("s/a.png", "s", None, detections(CELLS))]
    write_run(tmp_path / "run", results, [])
    folder = formats.write(runs.read(tmp_path / "run", {}), ["voc"], tmp_path / "out").folders["voc"]
    numbers = {path.name: path.read_text(encoding="utf-8").count("<object>") for path in folder.rglob("*.xml")}
    assert numbers == {"a.jpg.xml": 1, "a.png.xml": 3}
