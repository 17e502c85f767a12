"""Formats of label tools as the libraries of these tools read and write them.

CVAT itself imports and exports with Datumaro. No extra brings these libraries, for they ask for older packages than this program does
and for many others. They are installed by hand (`docs/exchange.md`); elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from madeup import BARE, CELLS, HARMFUL, PLAIN, TURNED, UPWARDS, Made, save_picture

from detector.annotations import sources
from detector.output.exchange import formats
from detector.output.files import portable

NAMES = [name for name, *_ in CELLS]
EDGES = [corners for _, *corners in CELLS]
FIELDS = {PLAIN: len(CELLS), TURNED: len(CELLS), BARE: 0, HARMFUL: len(CELLS), portable(UPWARDS): len(CELLS)}
"""Fields as formats name them, with how many cells they have."""

Cells = tuple[list[str], list[list[float]]]


def imported(name: str, package: str) -> Any:
    """A package of another tool, or a skipped test; what it warns of when it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"needs {package}, which is in no extra: docs/exchange.md", exc_type=ImportError)


def export(made: Made, name: str) -> Path:
    """The folder of one format."""
    done = formats.write(made.run(), [name], made.folder / "exchange")
    assert not done.failed
    return done.folders[name]


def read_by_datumaro(place: Path, layout: str) -> tuple[dict[str, Cells], Any]:
    """Names and edges of the cells of each item, by its name without the ending; and the dataset itself."""
    components = imported("datumaro.components.dataset", "datumaro")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = components.Dataset.import_from(str(place), layout)
        (labels,) = [c for kind, c in read.categories().items() if kind.name == "label"]
        found: dict[str, Cells] = {}
        for item in read:
            drawn = [cell for cell in item.annotations if cell.type.name == "bbox"]
            assert len(drawn) == len(item.annotations)
            corners = [[x, y, x + w, y + h] for x, y, w, h in (cell.get_bbox() for cell in drawn)]
            found[item.id] = ([labels[cell.label].name for cell in drawn], corners)
    return found, read


def assert_same(found: dict[str, Cells], atol: float) -> None:
    """All fields are there by their names, each with its classes and edges."""
    by_name = {name: (NAMES[:n], EDGES[:n]) for name, n in FIELDS.items()}
    assert sorted(found) == sorted(by_name)
    for name, (names, edges) in by_name.items():
        # Each class is there once; Datumaro gives those of COCO in another order.
        order = sorted(range(len(names)), key=lambda number: NAMES.index(found[name][0][number]))
        assert [found[name][0][number] for number in order] == names, name
        corners = np.reshape(found[name][1], (-1, 4))[order]
        np.testing.assert_allclose(corners, np.reshape(edges, (-1, 4)), atol=atol, err_msg=name)


def with_endings(found: dict[str, Cells]) -> dict[str, Cells]:
    """The same by the whole names of the fields, of which readers drop the ending."""
    whole = {str(Path(name).with_suffix("")): name for name in FIELDS}
    return {whole[name]: cells for name, cells in found.items()}


def images_beside(made: Made, folder: Path) -> None:
    """The pictures below `images`, as a task of CVAT or an export of COCO has them."""
    for name in (PLAIN, TURNED, BARE, HARMFUL):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made.pictures / name, folder / "images" / name)
    save_picture(folder / "images" / portable(UPWARDS), 1)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["cvat", "voc", "coco"])
def test_datumaro_reads_each_cell(made: Made, layout: str) -> None:
    folder = export(made, layout)
    if layout != "voc":
        images_beside(made, folder)
    if layout == "coco":
        # Where and under which name Datumaro looks for it.
        (folder / "annotations").mkdir()
        (folder / "annotations.json").rename(folder / "annotations" / "instances_default.json")
    found, _ = read_by_datumaro(folder, layout)
    assert_same(with_endings(found), atol=1e-4)


@pytest.mark.slow
def test_what_datumaro_writes_for_cvat_comes_back(made: Made, tmp_path: Path) -> None:
    folder = export(made, "cvat")
    images_beside(made, folder)
    _, read = read_by_datumaro(folder, "cvat")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read.export(str(tmp_path / "again"), "cvat", save_media=True)
    (written,) = (tmp_path / "again").rglob("*.xml")
    source = sources.load(written)
    assert source.layout == "cvat"
    found = {}
    for item in source.items:
        assert item.labels is not None, item.problem
        found[item.key] = (list(item.labels.names), item.labels.pixels((120, 80)).tolist())
    # Datumaro rounds to hundredths.
    assert_same(with_endings(found), atol=0.0051)


def label_interface(folder: Path) -> Any:
    """Label Studio's own view of the labelling set-up."""
    sdk = imported("label_studio_sdk.label_interface", "label-studio-sdk")
    return sdk.LabelInterface((folder / "config.xml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_label_studio_finds_no_fault_with_set_up_and_tasks(made: Made) -> None:
    folder = export(made, "labelstudio")
    interface = label_interface(folder)
    interface.validate()
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    assert len(tasks) == len(FIELDS)
    for task in tasks:
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
    # It does look: a class that the set-up lacks is a fault.
    wrong = next(prediction for task in tasks for prediction in task["predictions"] if prediction["result"])
    wrong["result"][0]["value"]["rectanglelabels"] = ["Leukocyte"]
    assert interface.validate_prediction(wrong, return_errors=True) != []


@pytest.mark.slow
def test_label_studio_converts_submitted_tasks(made: Made, tmp_path: Path) -> None:
    folder = export(made, "labelstudio")
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, start=1):
        # As the server does when somebody submits what was predicted.
        results = [region for prediction in task.pop("predictions") for region in prediction["result"]]
        task |= {"id": number, "annotations": [{"id": number, "result": results}]}
    submitted = tmp_path / "export.json"
    submitted.write_text(json.dumps(tasks), encoding="utf-8")
    converter = imported("label_studio_sdk.converter", "label-studio-sdk")
    made_of = converter.Converter(config=str(folder / "config.xml"), project_dir=str(tmp_path), download_resources=False)
    made_of.convert(str(submitted), str(tmp_path / "min"), "JSON_MIN", is_dir=False)
    made_of.convert(str(submitted), str(tmp_path / "coco"), "COCO", is_dir=False)
    (small,) = (tmp_path / "min").glob("*.json")
    found = {}
    for row in json.loads(small.read_text(encoding="utf-8")):
        regions = row.get("cell", [])
        corners = [
            [value / 100 * side for value, side in zip((x, y, x + w, y + h), (120, 80, 120, 80), strict=True)]
            for x, y, w, h in ((region["x"], region["y"], region["width"], region["height"]) for region in regions)
        ]
        found[row["field"]] = ([region["rectanglelabels"][0] for region in regions], corners)
    assert_same(found, atol=1e-9)
    document = json.loads((tmp_path / "coco" / "result.json").read_text(encoding="utf-8"))
    classes = {category["id"]: category["name"] for category in document["categories"]}
    boxes = [cell["bbox"] for cell in document["annotations"]]
    times = sum(1 for n in FIELDS.values() if n)
    assert [classes[cell["category_id"]] for cell in document["annotations"]] == NAMES * times
    np.testing.assert_allclose(boxes, [[a, b, c - a, d - b] for a, b, c, d in EDGES] * times, atol=1e-9)
    # The same export is what a user hands back.
    source = sources.load(submitted)
    assert source.layout == "labelstudio"
    back = {}
    for item in source.items:
        assert item.labels is not None, item.problem
        back[item.key] = (list(item.labels.names), item.labels.pixels((120, 80)).tolist())
    assert_same(with_endings(back), atol=1e-4)
