"""From a count to another tool and back, through the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from madeup import BARE, CELLS, HARMFUL, PLAIN, SIZE_WH, TURNED, UPWARDS, Made, detections, save_picture, write_run

from detector import convert, count, exchange
from detector.annotations import dataset, sources
from detector.counting.result import FieldResult
from detector.output.exchange import FORMATS
from detector.output.files import portable
from detector.vision.cells import CLASSES

Run = Callable[..., int]
BACK = {
    "coco": "annotations.json",
    "voc": "",
    "yolo": "",
    "cvat": "annotations.xml",
    "labelstudio": "export.json",
    "qupath": "",
    "imagej": "",
}
"""What of each format's folder comes back."""


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Two smears with fields of the same names, a picture that EXIF turns, a field without cells, and odd names."""
    pictures = tmp_path / "pictures"
    again = "smear_b/f 1.jpg"
    for seed, name in enumerate((PLAIN, again, BARE, HARMFUL)):
        save_picture(pictures / name, seed)
    save_picture(pictures / TURNED, 9, orientation=6)
    cells = {PLAIN: CELLS, again: CELLS[1:], BARE: (), HARMFUL: CELLS, TURNED: CELLS}
    results = [FieldResult(name, name.partition("/")[0], None, detections(boxes)) for name, boxes in cells.items()]
    write_run(tmp_path / "run", results, [str(pictures)])
    return Made(tmp_path / "run", pictures)


def submitted(folder: Path) -> None:
    """What Label Studio exports when each prediction was submitted as it is."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    for number, task in enumerate(tasks):
        task["annotations"] = [{"id": number, "was_cancelled": False, "result": task["predictions"][0]["result"]}]
    (folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")


@pytest.mark.parametrize("name", BACK)
def test_what_goes_out_comes_back_to_the_pixel(made: Made, run_command: Run, name: str) -> None:
    if name == "imagej":
        pytest.importorskip("roifile", reason="needs the exchange extra: pip install -e '.[exchange]'")
    assert run_command(exchange.main, made.folder, "--to", name, "--out", "out") == 0
    if name == "labelstudio":
        submitted(Path("out") / name)
    assert run_command(exchange.main, made.folder, "--from", Path("out") / name / BACK[name], "--out", "set") == 0
    fields = [record for split in ("train", "val", "test") for record in dataset.read(Path("set/data.yaml"), split)]
    # Fields of one name are numbered in a split, and told apart here by their cells.
    records = {(record.name.removesuffix("-2"), len(record.label)): record for record in fields}
    expected = {(Path(field).stem, 3): CELLS for field in (PLAIN, TURNED, HARMFUL)} | {("f 1", 2): CELLS[1:]}
    if name != "imagej":  # whose sets hold a cell at least
        expected[("bare", 0)] = ()
    assert records.keys() == expected.keys()
    for key, cells in expected.items():
        record = records[key]
        assert record.size_wh == SIZE_WH
        assert [CLASSES[label] for label in record.label] == [name for name, *_ in cells]
        corners = np.array([corners for _, *corners in cells]).reshape(-1, 4)
        np.testing.assert_allclose(record.xyxy, corners, atol=0.006)


@pytest.mark.parametrize("name", BACK)
def test_fields_that_are_all_in_folders_come_back(tmp_path: Path, run_command: Run, name: str) -> None:
    """As from a count of a folder whose subfolders are smears."""
    if name == "imagej":
        pytest.importorskip("roifile", reason="needs the exchange extra: pip install -e '.[exchange]'")
    smears = {"smear_a": CELLS, "smear_b": CELLS[1:]}
    for seed, smear in enumerate(smears):
        save_picture(tmp_path / "pictures" / smear / "1.png", seed)
    results = [FieldResult(f"{smear}/1.png", smear, None, detections(cells)) for smear, cells in smears.items()]
    write_run(tmp_path / "run", results, [str(tmp_path / "pictures")])
    assert run_command(exchange.main, tmp_path / "run", "--to", name, "--out", "out") == 0
    if name == "labelstudio":
        submitted(Path("out") / name)
    assert run_command(exchange.main, tmp_path / "run", "--from", Path("out") / name / BACK[name], "--out", "set") == 0
    fields = [record for split in ("train", "val", "test") for record in dataset.read(Path("set/data.yaml"), split)]
    assert sorted(len(record.label) for record in fields) == [2, 3]


@pytest.mark.parametrize("name", ["coco", "cvat", "qupath"])
def test_corrections_come_back_and_other_fields_stay_out(
    made: Made, run_command: Run, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell deleted, one renamed, one moved; fields without labels are left out, and told."""
    assert run_command(exchange.main, made.folder, "--to", name, "--out", "out") == 0
    folder = Path("out") / name
    if name == "coco":
        path = folder / "annotations.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        chosen = [image for image in document["images"] if image["file_name"] == PLAIN]
        cells = [a for a in document["annotations"] if a["image_id"] == chosen[0]["id"]]
        cells = [{**cells[1], "category_id": 3}, {**cells[2], "bbox": [60, 30, 8, 8]}]
        path.write_text(json.dumps({**document, "images": chosen, "annotations": cells}), encoding="utf-8")
    elif name == "cvat":
        path = folder / "annotations.xml"
        root = ElementTree.parse(path).getroot()
        for image in root.findall("image"):
            if image.get("name") != PLAIN:
                root.remove(image)
                continue
            first, second, third = image.findall("box")
            image.remove(first)
            second.set("label", "Platelets")
            third.attrib |= {"xtl": "60", "ytl": "30", "xbr": "68", "ybr": "38"}
        path.write_bytes(ElementTree.tostring(root))
    else:
        path = folder / f"{PLAIN}.geojson"
        for other in folder.rglob("*.geojson"):
            if other != path:
                other.unlink()
        _, second, third = json.loads(path.read_text(encoding="utf-8"))["features"]
        second["properties"]["classification"]["name"] = "Platelets"
        third["geometry"]["coordinates"] = [[[60, 30], [68, 30], [68, 38], [60, 38], [60, 30]]]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [second, third]}), encoding="utf-8")
    corrected = folder if name == "qupath" else path
    assert run_command(exchange.main, made.folder, "--from", corrected, "--out", "set") == 0
    assert "left out: 4 fields" in capsys.readouterr().out
    records = [record for split in ("train", "val", "test") for record in dataset.read(Path("set/data.yaml"), split)]
    assert [record.name for record in records] == ["f 1"]
    assert records[0].label.tolist() == [2, 2]
    np.testing.assert_allclose(records[0].xyxy, [[100.13, 40.07, 120, 80], [60, 30, 68, 38]], atol=0.006)


def test_labels_that_could_be_of_two_fields_are_of_none(made: Made, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(exchange.main, made.folder, "--to", "qupath", "--out", "out") == 0
    alone = Path("out/qupath") / f"{PLAIN}.geojson"
    assert run_command(exchange.main, made.folder, "--from", alone, "--out", "set") == 3
    assert "could be of several fields" in capsys.readouterr().err


def test_names_that_could_leave_the_folder_come_back_too(made: Made, run_command: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "odd", [FieldResult(UPWARDS, "s", None, detections())], [])
    assert run_command(exchange.main, tmp_path / "odd", "--to", "qupath", "--out", "out") == 0
    assert (tmp_path / "out/qupath" / f"{portable(UPWARDS)}.geojson").is_file()
    again = ("--images", made.pictures, "--out", "set")
    assert run_command(exchange.main, tmp_path / "odd", "--from", "out/qupath", *again) == 3  # no picture of that name there
    shutil.copy(made.pictures / HARMFUL, made.pictures / "outside.png")
    assert run_command(exchange.main, tmp_path / "odd", "--from", "out/qupath", *again) == 0
    assert len(sources.load_truth(Path("set")).records) == 1


def test_convert_takes_labels_of_other_tools(made: Made, run_command: Run) -> None:
    """Fields of one name in two smears get their own labels."""
    assert run_command(exchange.main, made.folder, "--to", "cvat", "--to", "qupath", "--out", "out") == 0
    for name in ("cvat/annotations.xml", "qupath"):
        shutil.rmtree("set", ignore_errors=True)
        assert run_command(convert.main, made.pictures, "--labels", Path("out") / name, "--out", "set") == 0
        records = sources.load_truth(Path("set")).records
        assert sorted(len(record.label) for record in records.values()) == [0, 2, 3, 3, 3]


def test_a_count_exports_what_it_counted(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--out", "run", "--export", "qupath", "--export", "csv", "--quiet") == 0
    assert {path.name for path in Path("run/exchange").iterdir()} == {"qupath", "csv"}
    cells = json.loads(Path("run/detections.json").read_text(encoding="utf-8"))["annotations"]
    assert Path("run/exchange/csv/cells.csv").read_text(encoding="utf-8").count("\n") == len(cells) + 1
    assert run_command(exchange.main, "run", "--to", "csv") == 3
    assert "run/exchange/csv: exists already" in capsys.readouterr().err
    assert run_command(count.main, fields, "--out", "other", "--export", "tiff") == 2
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}"], "give either --to FORMAT (several can be given) or --from PATH"),
        (["{run}", "--to", "coco", "--from", "x"], "give either --to FORMAT"),
        (["{run}", "--from", "x"], "--from needs --out"),
        (["{run}", "--to", "tiff"], "no such format; known: coco"),
        (["nowhere", "--to", "csv"], "is no folder of results"),
        (["{run}", "--to", "csv", "--images", "nowhere"], "is not a folder"),
    ],
)
def test_wrong_use_is_told(
    made: Made, run_command: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_command(exchange.main, *(word.format(run=made.folder) for word in arguments)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_every_format_is_in_the_help(capsys: pytest.CaptureFixture[str], run_command: Run) -> None:
    assert run_command(exchange.main, "--help") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in FORMATS)
