"""Slides through a whole count: beside fields, interrupted in the middle, damaged, and of formats that need more packages."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from detector import count
from detector.engines import inputs, job
from detector.engines.local import Work
from detector.output.journal import Journal
from detector.review import command
from detector.synthetic import layout, render, stain
from detector.synthetic.render import RenderedField
from detector.vision import scan
from detector.vision.model import Model
from detector.vision.slides import formats

pytestmark = pytest.mark.slow

Run = Callable[..., int]
SIDE = 1500
TILE_PX = 576
"""Small enough to cut these slides into four."""


@pytest.fixture(autouse=True)
def _small_files_are_slides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "WINDOWED_PX", 1_000_000)


@pytest.fixture(scope="module")
def region() -> RenderedField:
    """A smear at which a red cell is 100 px wide."""
    return render.window(layout.plan((SIDE, SIDE), stain.preset("bccd"), 5), 0, 0, SIDE, SIDE)


def aperio(path: Path, rgb: np.ndarray, **options: object) -> Path:
    """Write a slide as Aperio's scanners do."""
    pytest.importorskip("imagecodecs", reason="JPEG needs the extra slides")
    h, w = rgb.shape[:2]
    text = f"Aperio Image Library v12.0.15\r\n{w}x{h} [0,0 {w}x{h}] (240x240) JPEG/RGB Q=70|AppMag = 100|MPP = 0.0750"
    tiled = {"photometric": "rgb", "tile": (240, 240), "compression": "jpeg", "compressionargs": {"level": 92}, "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(rgb, description=text, **tiled, **options)
        file.write(cv2.resize(rgb, (w // 4, h // 4), interpolation=cv2.INTER_AREA), description=text, **tiled)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_slide_beside_fields_is_a_row_with_its_tiles_and_a_picture(
    tmp_path: Path, fields: Path, region: RenderedField, run_command: Run
) -> None:
    pytest.importorskip("openslide", reason="needs the extra slides")
    aperio(fields / "smear_a" / "slide.svs", region.image)
    assert run_command(count.main, fields, "--out", "out", "--overlays", "--tile-px", TILE_PX) == 0
    counts = {row["field"]: row for row in rows(Path("out/counts.csv"))}
    assert len(counts) == 5
    slide = counts["smear_a/slide.svs"]
    truth = region.counts()
    assert int(slide["RBC"]) == pytest.approx(truth["RBC"], rel=0.03)
    assert "0.075 µm per px" in slide["reason"]
    assert "4 of 4 tiles counted" in slide["reason"]
    tiles = rows(Path("out/tiles.csv"))
    for name in ("RBC", "WBC", "Platelets"):
        assert sum(int(tile[name]) for tile in tiles) == int(slide[name])
    assert sum(int(tile["width_px"]) * int(tile["height_px"]) for tile in tiles) == SIDE * SIDE
    assert cv2.imread("out/density/smear_a/slide.svs.png") is not None
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert 'alt="Density of each cell class over smear_a/slide.svs"' in report
    assert report.count('<figure class="mosaic">') == 1
    document = json.loads(Path("out/detections.json").read_text(encoding="utf-8"))
    numbers = {image["file_name"]: image["id"] for image in document["images"]}
    mine = [annotation for annotation in document["annotations"] if annotation["image_id"] == numbers["smear_a/slide.svs"]]
    assert len(mine) == sum(int(slide[name]) for name in truth)
    assert [annotation["id"] for annotation in document["annotations"]] == list(range(1, len(document["annotations"]) + 1))
    # Its tiles are what the counts of its smear scatter between.
    smear = next(row for row in rows(Path("out/smears.csv")) if (row["smear"], row["class"]) == ("smear_a", "RBC"))
    assert float(smear["mean_per_field"]) == pytest.approx(int(smear["total"]) / 3, rel=1e-4)
    assert smear["per_mm2"] == ""
    assert run_command(count.main, fields, "--out", "out", "--resume", "--overlays", "--tile-px", TILE_PX) == 0
    assert rows(Path("out/tiles.csv")) == tiles


def test_a_review_says_what_becomes_of_slides(
    tmp_path: Path, fields: Path, region: RenderedField, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slides").mkdir()
    for folder in (tmp_path / "slides", fields / "smear_a"):
        tifffile.imwrite(folder / "a.tif", region.image, photometric="rgb", tile=(256, 256))
    for inputs_of, out in (("slides", "alone"), (fields, "mixed")):
        assert run_command(count.main, inputs_of, "--out", out, "--tile-px", TILE_PX, "--quiet") == 0
    assert run_command(command.main, "alone") == 2
    assert "alone: a.tif is a whole slide, whose cells are not reviewed here" in capsys.readouterr().err
    assert run_command(command.main, "mixed", "--write") == 0
    told = capsys.readouterr().err
    assert "1 of 5 fields cannot be looked at: smear_a/a.tif: a whole slide" in told
    assert "detector.exchange RUN --to qupath" in told
    counted, reviewed = (
        {row["field"]: row["RBC"] for row in rows(Path(name))} for name in ("mixed/counts.csv", "mixed/reviewed/counts.csv")
    )
    assert counted == reviewed


def test_a_slide_alone_has_densities_from_its_own_scale(tmp_path: Path, region: RenderedField, model: Model) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        region.image,
        photometric="rgb",
        tile=(256, 256),
        resolution=(1e4 / 0.075,) * 2,
        resolutionunit="centimeter",
    )
    outcome = job.count_fields(inputs.search([str(tmp_path)]).fields, Work(model, 2, tile_px=TILE_PX))
    one = outcome.smears[0].classes["RBC"]
    mm2 = (SIDE * 0.075 / 1000) ** 2
    assert one.per_mm2 is not None
    assert one.per_mm2.value == pytest.approx(one.frame_total / mm2, rel=0.01)
    assert one.mean is not None
    assert one.mean.value == pytest.approx(one.total)
    assert one.mean.low < one.total < one.mean.high
    assert len(outcome.read[0].parts) == 4


def test_a_slide_interrupted_in_the_middle_goes_on_where_it_was(
    tmp_path: Path, region: RenderedField, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", region.image, photometric="rgb", tile=(256, 256))
    fields = inputs.search([str(tmp_path / "a.tif")], um_per_px=0.075).fields
    whole = job.count_fields(fields, Work(model, 2, tile_px=TILE_PX))
    look, seen = scan.look, []

    def interrupted(*arguments: object) -> scan.TileResult:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(arguments[-1])
        return look(*arguments)

    monkeypatch.setattr(scan, "look", interrupted)
    with Journal(tmp_path / "j.jsonl", {"key": 1}, resume=False) as journal, pytest.raises(KeyboardInterrupt):
        job.count_fields(fields, Work(model, 1, journal, tile_px=TILE_PX))
    again: list[object] = []
    monkeypatch.setattr(scan, "look", lambda *arguments: again.append(arguments[-1]) or look(*arguments))
    shares: list[float] = []
    with Journal(tmp_path / "j.jsonl", {"key": 1}, resume=True) as journal:
        resumed = job.count_fields(fields, Work(model, 1, journal, tile_px=TILE_PX), shares.append)
        assert resumed == whole
        assert len(again) + len(seen) <= 5
        assert again[0] not in seen[:2]
        assert sum(shares) == pytest.approx(1)
        # The finished slide comes from the journal, and another tile is another count.
        again.clear()
        assert job.count_fields(fields, Work(model, 1, journal, tile_px=TILE_PX)) == whole
        assert not again
    with Journal(tmp_path / "j.jsonl", {"key": 1}, resume=True) as journal:
        assert journal.read("a.tif").slide is not None


def test_what_of_a_truncated_slide_can_be_read_is_counted_and_the_rest_named(
    tmp_path: Path, region: RenderedField, model: Model
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", region.image, photometric="rgb", tile=(256, 256))
    with (tmp_path / "a.tif").open("r+b") as file:
        file.truncate(file.seek(0, 2) * 3 // 4)
    fields = inputs.search([str(tmp_path)], um_per_px=0.075).fields
    outcome = job.count_fields(fields, Work(model, 2, tile_px=TILE_PX))
    assert 0 < outcome.read[0].raw["RBC"] < region.counts()["RBC"]
    assert "of 4 tiles could not be read and are not counted: at (0, " in outcome.read[0].doubt
    assert "unreadable" in outcome.read[0].note
    with (tmp_path / "a.tif").open("r+b") as file:
        file.truncate(20_000)
    outcome = job.count_fields(fields, Work(model, 2, tile_px=TILE_PX))
    assert not outcome.read
    assert "nothing in it can be counted" in outcome.unread[0].reason


def test_slides_that_cannot_be_opened_cost_no_other_its_count(
    tmp_path: Path, region: RenderedField, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.svs").write_text("no slide", encoding="utf-8")
    (tmp_path / "empty.ndpi").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "field.png"), region.image[:480, :640, ::-1])
    outcome = job.count_fields(inputs.search([str(tmp_path)]).fields, Work(model, 2))
    assert [field.field for field in outcome.read] == ["field.png"]
    assert {field.field: field.reason.split(" (")[0] for field in outcome.unread} == {
        "empty.ndpi": "is empty",
        "text.svs": "cannot be opened by OpenSlide",
    }
    monkeypatch.setitem(sys.modules, "openslide", None)
    outcome = job.count_fields(inputs.search([str(tmp_path)]).fields, Work(model, 2))
    reason = next(field.reason for field in outcome.unread if field.field == "text.svs")
    assert "pip install 'smearcount[slides]'" in reason


def test_a_tile_of_the_wrong_size_is_wrong_use(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--tile-px", 50) == 2
    assert "--tile-px 50: a tile must be" in capsys.readouterr().err


def test_the_same_counts_whatever_the_number_of_workers(tmp_path: Path, region: RenderedField, model: Model) -> None:
    tifffile.imwrite(tmp_path / "a.tif", region.image, photometric="rgb", rowsperstrip=16)
    fields = inputs.search([str(tmp_path)], um_per_px=0.075).fields
    assert job.count_fields(fields, Work(model, 1)) == job.count_fields(fields, Work(model, 4))


def test_a_given_scale_that_a_slides_cells_contradict_warns(tmp_path: Path, region: RenderedField, model: Model) -> None:
    tifffile.imwrite(tmp_path / "a.tif", region.image, photometric="rgb", tile=(256, 256))
    for um_per_px, warnings in ((0.25, 1), (0.075, 0)):
        outcome = job.count_fields(inputs.search([str(tmp_path / "a.tif")], um_per_px=um_per_px).fields, Work(model, 1))
        assert len(outcome.warnings) == warnings
        assert all(
            "in 1 of 1 fields: in a.tif, by the given scale red cells should be 30 px wide, but on" in field
            for field in outcome.warnings
        )
