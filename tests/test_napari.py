"""The plugin of napari, as npe2, which napari finds plugins with, sees it; napari itself is not needed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from madeup import CELLS, PLAIN, TURNED, Made, detections, save_picture, write_run

import detector
from detector import napari
from detector.counting.result import FieldResult
from detector.vision import images

npe2 = pytest.importorskip("npe2", reason="needs the dev extra: pip install -e '.[dev]'")
MANIFEST = Path(str(detector.__file__)).with_name("napari.yaml")
SAMPLE = Path(__file__).parents[1] / "datasets" / "samples" / "smear_a" / "field_01.jpg"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Two fields, one of which EXIF turns, and one without cells whose picture is gone."""
    pictures = tmp_path / "pictures"
    save_picture(pictures / PLAIN, 1)
    save_picture(pictures / TURNED, 2, orientation=6)
    fields = {PLAIN: detections(), TURNED: detections(), "gone.png": detections(())}
    write_run(tmp_path / "run", [FieldResult(name, "s", None, cells) for name, cells in fields.items()], [str(pictures)])
    return Made(tmp_path / "run", pictures)


def test_the_manifest_is_valid_and_named_by_the_package() -> None:
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    project = tomllib.loads((MANIFEST.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["napari.manifest"] == {manifest.name: "detector:napari.yaml"}


def test_napari_reads_the_cells_and_pictures_of_a_count(made: Made) -> None:
    manager = npe2.PluginManager.instance()
    manager.register(npe2.PluginManifest.from_file(MANIFEST))
    try:
        read = npe2.read([str(made.folder / "detections.json")], stack=False, plugin_name="smearcount")
    finally:
        manager.unregister("smearcount")
    kinds = [(settings["name"], kind, settings["visible"]) for _, settings, kind in read]
    assert kinds == [
        (PLAIN, "image", True), (f"{PLAIN}: cells", "shapes", True), (TURNED, "image", False), (f"{TURNED}: cells", "shapes", False),
        ("gone.png: cells", "shapes", False),
    ]  # fmt: skip
    assert np.array_equal(read[2][0], images.read(made.pictures / TURNED))
    rectangles, settings, _ = read[3]
    assert settings["features"]["class"] == [name for name, *_ in CELLS]
    low, high = np.min(rectangles, axis=1), np.max(rectangles, axis=1)
    np.testing.assert_allclose(np.hstack([low, high]) + 0.5, [(y1, x1, y2, x2) for _, x1, y1, x2, y2 in CELLS], atol=1e-4)
    assert read[4][0] == []


def test_other_files_are_left_to_others(made: Made) -> None:
    assert napari.reader(str(made.folder / "run.json")) is None
    assert napari.reader([str(made.folder / "detections.json")]) is None


def test_of_many_fields_the_first_are_opened_and_it_is_told(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(napari, "_MOST_FIELDS", 1)
    with pytest.warns(UserWarning, match="3 fields, of which the first 1 are opened"):
        assert len(napari.layers(str(made.folder / "detections.json"))) == 2


def test_the_widget_counts_what_the_detector_counts() -> None:
    layer = SimpleNamespace(data=images.read(SAMPLE), name="field")
    rectangles, settings, kind = napari.count(layer)
    cells = detector.Detector().detect(SAMPLE)
    assert kind == "shapes"
    assert settings["name"] == "field: " + ", ".join(f"{n} {name}" for name, n in cells.counts().items())
    np.testing.assert_allclose([rectangle[0] for rectangle in rectangles], cells.xyxy[:, [1, 0]] - 0.5, atol=1e-4)
