"""A large picture's scale, tiles and cells, against pictures whose cells are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from detector.errors import ImageError, UsageError
from detector.synthetic import layout, render, stain
from detector.synthetic.layout import Density
from detector.synthetic.render import RenderedField
from detector.vision import boxes, finder, scan, tiles
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.slides.tiff import TiffSlide

pytestmark = pytest.mark.slow

SIDE = 3000


@pytest.fixture(scope="module")
def region() -> RenderedField:
    """A smear of 3,000 x 3,000 px at which a red cell is 100 px wide."""
    plan = layout.plan((SIDE, SIDE), stain.preset("bccd"), 11)
    return render.window(plan, 0, 0, SIDE, SIDE)


def written(path: Path, rgb: np.ndarray) -> Path:
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(256, 256))
    return path


def searched(model: Model, slide: TiffSlide, um_per_px: float | None) -> tuple[scan.SlidePlan, list[scan.TileResult], Detections]:
    plan = scan.plan(model, slide, slide.overview(512)[0], um_per_px, tile_px=576)
    looks = [scan.look(model, slide, plan, tile) for tile in plan.tiles]
    owned = scan.settle(model, slide.size_wh, plan, [look.detections for look in looks])
    return plan, looks, tiles.joined(owned, slide.size_wh)


def unmatched(a: Detections | RenderedField, b: Detections | RenderedField) -> np.ndarray:
    """Which cells of `a` no cell of their class in `b` lies on."""
    lies = (boxes.iou(a.xyxy, b.xyxy) >= 0.3) & (a.label[:, None] == b.label)
    return ~lies.any(axis=1)


def test_a_large_region_is_counted_as_well_at_the_seams_as_elsewhere(tmp_path: Path, region: RenderedField, model: Model) -> None:
    with TiffSlide(written(tmp_path / "a.tif", region.image)) as slide:
        plan, looks, owned = searched(model, slide, 0.075)
    assert len(plan.tiles) >= 16
    assert {look.status for look in looks} == {scan.COUNTED}
    seams = {v for tile in plan.tiles for v in (tile.owned[0], tile.owned[1]) if v}
    near, true_near = (
        np.min([np.abs(boxes.centre(one.xyxy) - v).min(axis=1) for v in seams], axis=0) <= plan.rbc_px for one in (owned, region)
    )
    missed, extra = unmatched(region, owned), unmatched(owned, region)
    for label, (name, most) in enumerate([("RBC", 0.01), ("WBC", 0.0), ("Platelets", 0.06)]):
        assert abs(owned.counts()[name] - region.counts()[name]) <= max(1, most * region.counts()[name]), name
        for wrong, one, here in ((missed, region, true_near), (extra, owned, near)):
            for place in (here, ~here):
                cells = (one.label == label) & place
                assert (wrong & cells).sum() <= max(1, most * cells.sum()), name
    assert true_near.sum() > 100
    overlap = boxes.iou(owned.xyxy, owned.xyxy) - np.eye(len(owned), dtype=np.float32)
    assert overlap.max() < tiles.SEAM_OVERLAP


def test_the_scale_is_estimated_from_cells_that_lie_far_from_the_middle(
    tmp_path: Path, region: RenderedField, model: Model
) -> None:
    glass = np.full((3600, 4200, 3), np.percentile(region.image, 95, axis=(0, 1)).astype(np.uint8))
    glass[:900, :1200] = region.image[:900, :1200]
    with TiffSlide(written(tmp_path / "a.tif", glass)) as slide:
        plan, looks, owned = searched(model, slide, None)
    inside = ((region.xyxy[:, 2] <= 1190) & (region.xyxy[:, 3] <= 890)).sum()
    assert plan.rbc_px == pytest.approx(107, rel=0.1)
    assert plan.um_per_px is None
    assert "estimated from red cells" in plan.note
    assert inside <= len(owned) <= inside + 30
    kinds = [look.status for look in looks]
    assert kinds.count(scan.EMPTY) > len(kinds) / 2
    # No tile was skipped that owns a cell.
    centres = boxes.centre(region.xyxy[(region.xyxy[:, 2] <= 1190) & (region.xyxy[:, 3] <= 890)])
    for tile, look in zip(plan.tiles, looks, strict=True):
        x1, y1, x2, y2 = tile.owned
        own = ((centres >= (x1, y1)) & (centres < (x2, y2))).all(axis=1).sum()
        assert not own or look.status == scan.COUNTED


def test_without_red_cells_and_scale_it_says_what_to_give(tmp_path: Path, model: Model) -> None:
    plan = layout.plan((900, 900), stain.preset("bccd"), 1, Density(0, 0, 300, 0))
    with TiffSlide(written(tmp_path / "a.tif", render.window(plan, 0, 0, 900, 900).image)) as slide:
        overview, _ = slide.overview(512)
        with pytest.raises(ImageError, match="give --um-per-px"):
            scan.plan(model, slide, overview, None)
        assert scan.plan(model, slide, overview, 0.075).um_per_px == 0.075


def test_a_scale_that_the_cells_speak_against_is_kept_and_told(tmp_path: Path, region: RenderedField, model: Model) -> None:
    with TiffSlide(written(tmp_path / "a.tif", region.image[:1500, :1500])) as slide:
        overview, _ = slide.overview(512)
        kept = scan.plan(model, slide, overview, 0.25)
        assert (kept.um_per_px, kept.rbc_px) == (0.25, 30)
        assert kept.note.startswith(f"{finder.CONTRADICTED} 30 px wide, but on the slide they are about 1")
        assert scan.plan(model, slide, overview, 0.075).note == ""


@pytest.mark.parametrize(("unit", "believed"), [("CENTIMETER", True), ("INCH", False)])
def test_a_files_scale_is_believed_unless_the_cells_speak_against_it(
    tmp_path: Path, region: RenderedField, model: Model, unit: str, believed: bool
) -> None:
    """A file says 0.075 µm per pixel, as it is, or the same number of pixels an inch, which is 0.19."""
    rgb = region.image[:1500, :1500]
    tifffile.imwrite(
        tmp_path / "a.tif", rgb, photometric="rgb", tile=(256, 256), resolution=[1e4 / 0.075] * 2, resolutionunit=unit
    )
    with TiffSlide(tmp_path / "a.tif") as slide:
        planned = scan.plan(model, slide, slide.overview(512)[0], None)
        # Files hold it as a ratio of whole numbers, which older versions of tifffile round further.
        assert slide.um_per_px == pytest.approx(0.075 if believed else 0.1905, rel=1e-4)
    if believed:
        assert (planned.um_per_px, planned.rbc_px) == (pytest.approx(0.075, rel=1e-4), pytest.approx(100, rel=1e-4))
        assert planned.note == "scale from the TIFF resolution: 0.075 µm per px"
    else:
        assert planned.um_per_px is None
        assert planned.rbc_px == pytest.approx(107, rel=0.15)
        assert planned.note.startswith("by the TIFF resolution red cells should be 39 px wide, but on the slide they are about 1")
        assert planned.note.endswith("the measured width was used, and no area in mm² is known")


def test_a_slide_of_a_wrong_unit_is_counted_by_its_cells(model: Model) -> None:
    pytest.importorskip("imagecodecs", reason="JPEG tiles need the extra slides")
    path = Path(__file__).parents[2].parent / "shared" / "cases" / "scale_unit_wrong" / "cm_value_inch_unit.tif"
    if not path.exists():
        pytest.skip(f"the case {path.name} is not beside this checkout")
    with TiffSlide(path) as slide:
        planned, _, owned = searched(model, slide, None)
    counts = owned.counts()
    assert "the measured width was used" in planned.note
    assert counts["RBC"] == pytest.approx(194, abs=10)
    assert counts["WBC"] == pytest.approx(14, abs=2)
    assert counts["Platelets"] == pytest.approx(25, abs=6)


@pytest.mark.parametrize("tile_px", [0, 50, 230, 5000])
def test_a_tile_too_small_for_cells_or_too_large_is_refused_with_the_least(model: Model, tile_px: int) -> None:
    least = 3 * int(np.ceil(1.6 * model.card.shown_px))
    with pytest.raises(UsageError, match=f"must be {least} to"):
        scan.check_tile(tile_px, model.card)
    scan.check_tile(least, model.card)


def test_a_tile_that_cannot_be_read_costs_only_itself(tmp_path: Path, region: RenderedField, model: Model) -> None:
    path = written(tmp_path / "a.tif", region.image[:1500, :1500])
    with path.open("r+b") as file:
        file.truncate(file.seek(0, 2) * 3 // 4)
    with TiffSlide(path) as slide:
        _, looks, owned = searched(model, slide, 0.075)
    kinds = [look.status for look in looks]
    assert set(kinds) == {scan.COUNTED, scan.UNREADABLE}
    assert all(("too early" in look.reason) == (look.status == scan.UNREADABLE) for look in looks)
    upper = region.xyxy[(region.xyxy[:, 3] < 700) & (region.xyxy[:, 2] < 1500)]
    assert (boxes.iou(upper, owned.xyxy).max(axis=1) > 0.5).mean() > 0.95
