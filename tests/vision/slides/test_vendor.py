"""Slides as scanners write them, read by OpenSlide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from detector.errors import ImageError
from detector.vision.images import dicom
from detector.vision.slides import formats, vendor
from detector.vision.slides.tiff import TiffSlide
from detector.vision.slides.vendor import VendorSlide

pytest.importorskip("openslide", reason="needs the extra slides")


def aperio(path: Path) -> np.ndarray:
    """Write a slide of two sizes as Aperio's scanners do, and give its pixels."""
    y, x = np.mgrid[:900, :1200]
    rgb = np.stack([x // 5, y // 4, (x + y) // 9], axis=2).astype(np.uint8)
    text = "Aperio Image Library v12.0.15\r\n1200x900 [0,0 1200x900] (240x240)|AppMag = 40|MPP = 0.2500"
    options = {"photometric": "rgb", "tile": (240, 240), "metadata": None, "compression": "deflate"}
    with tifffile.TiffWriter(path) as file:
        file.write(rgb, description=text, **options)
        file.write(rgb[::4, ::4], description=text, **options)
    return rgb


def test_windows_scale_and_sizes_of_a_scanners_slide(tmp_path: Path) -> None:
    rgb = aperio(tmp_path / "a.svs")
    with formats.open_slide(tmp_path / "a.svs") as slide:
        assert isinstance(slide, VendorSlide)
        assert (slide.size_wh, slide.um_per_px, slide.factors) == ((1200, 900), 0.25, (1.0, 0.25))
        np.testing.assert_array_equal(slide.read((37, 11, 700, 899)), rgb[11:899, 37:700])
        small = slide.read((400, 300, 800, 600), 0.25)
        assert np.abs(small.astype(int) - rgb[300:600:4, 400:800:4]).mean() < 2
        assert slide.overview(100)[0].shape == (75, 100, 3)


def test_a_scanners_tiff_is_known_by_its_content_and_any_other_is_not(tmp_path: Path) -> None:
    rgb = aperio(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", rgb, photometric="rgb", tile=(256, 256))
    for name, kind in (("a.tif", VendorSlide), ("b.tif", TiffSlide)):
        with formats.open_slide(tmp_path / name) as slide:
            assert isinstance(slide, kind)


def test_a_damaged_tile_costs_no_other(tmp_path: Path) -> None:
    aperio(tmp_path / "a.svs")
    with tifffile.TiffFile(tmp_path / "a.svs") as file:
        offset, length = file.pages[0].dataoffsets[6], file.pages[0].databytecounts[6]
    with (tmp_path / "a.svs").open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * length)
    with VendorSlide(tmp_path / "a.svs") as slide:
        before = slide.read((0, 0, 240, 240))
        with pytest.raises(ImageError, match="is damaged"):
            slide.read((240, 240, 480, 480))
        # OpenSlide itself answers nothing more after an error.
        np.testing.assert_array_equal(slide.read((0, 0, 240, 240)), before)


def test_an_svs_that_openslide_refuses_is_read_as_the_tiff_that_it_is(tmp_path: Path) -> None:
    rgb = np.zeros((300, 300, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.svs", rgb, photometric="rgb")
    with formats.open_slide(tmp_path / "a.svs") as slide:
        assert isinstance(slide, TiffSlide)
    (tmp_path / "b.svs").write_text("no slide", encoding="utf-8")
    with pytest.raises(ImageError, match="cannot be opened by OpenSlide"):
        formats.open_slide(tmp_path / "b.svs")


def test_files_of_one_dicom_slide_are_one_slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"a0.dcm": ("1", 50), "a1.dcm": ("1", 90), "b.dcm": ("2", 10), "broken.dcm": (None, 5), "field.png": (None, 5)}
    head = bytes(128) + b"DICM\x02\0\x02\0UI" + len(dicom.WHOLE_SLIDE).to_bytes(2, "little") + dicom.WHOLE_SLIDE.encode()
    for name, (_, size) in names.items():
        (tmp_path / name).write_bytes(head + b"x" * size)
    monkeypatch.setattr(vendor, "series", lambda path: names[path.name][0])
    assert formats.repeated(tmp_path / name for name in names) == {tmp_path / "a0.dcm"}
