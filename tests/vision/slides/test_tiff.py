"""Windows of TIFF files of many kinds are the very pixels that were written, and what cannot be read says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from detector.errors import ImageError
from detector.vision.slides import formats
from detector.vision.slides.tiff import TiffSlide

WINDOWS = [(0, 0, 300, 200), (37, 11, 150, 199), (255, 127, 257, 130), (299, 199, 300, 200)]


def picture(dtype: Any = np.uint8, samples: int = 3) -> np.ndarray:
    """A smooth picture with some detail, of shape (200, 300, samples)."""
    y, x = np.mgrid[:200, :300]
    planes = [(x * (i + 1) // 4 + y * 2 // (i + 2) + (x // 40 + y // 40) % 2 * 60) % 256 for i in range(samples)]
    return np.stack(planes, axis=2).astype(dtype)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (64, 48)},
        {"tile": (64, 48), "bigtiff": True, "byteorder": ">"},
        {"tile": (64, 48), "planarconfig": "separate"},
        {"tile": (64, 48), "compression": "deflate", "predictor": True},
        {"rowsperstrip": 7},
        {"rowsperstrip": 200},
        {"rowsperstrip": 200, "planarconfig": "separate"},
        {"rowsperstrip": 7, "compression": "deflate"},
        {"tile": (64, 48), "compression": "lzw"},
    ],
    ids=str,
)
def test_every_layout_gives_the_pixels_that_were_written(tmp_path: Path, options: dict[str, Any]) -> None:
    if options.get("compression") == "lzw":
        pytest.importorskip("imagecodecs", reason="LZW needs the extra slides")
    rgb = picture()
    stored = rgb.transpose(2, 0, 1) if options.get("planarconfig") == "separate" else rgb
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    with TiffSlide(tmp_path / "a.tif") as slide:
        assert slide.size_wh == (300, 200)
        for x1, y1, x2, y2 in WINDOWS:
            np.testing.assert_array_equal(slide.read((x1, y1, x2, y2)), rgb[y1:y2, x1:x2])


def test_jpeg_tiles_grey_depth_alpha_and_inverted_grey_become_rgb(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="JPEG needs the extra slides")
    rgb = picture()
    grey = rgb[:, :, 0]
    alpha = np.dstack([rgb, np.full(grey.shape, 255, np.uint8)])
    alpha[:50, :, 3] = 0
    cases = {
        "jpeg.tif": (rgb, {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 98}, "tile": (64, 64)}, rgb),
        "grey.tif": (grey, {"photometric": "minisblack", "tile": (64, 64)}, np.dstack([grey] * 3)),
        "white.tif": (255 - grey, {"photometric": "miniswhite", "tile": (64, 64)}, np.dstack([grey] * 3)),
        "deep.tif": (rgb.astype(np.uint16) * 16, {"photometric": "rgb", "tile": (64, 64)}, rgb),
        "alpha.tif": (
            alpha,
            {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 64)},
            np.where(np.arange(200)[:, None, None] < 50, np.uint8(255), rgb),
        ),
    }
    for name, (stored, options, seen) in cases.items():
        tifffile.imwrite(tmp_path / name, stored, **options)
        with TiffSlide(tmp_path / name) as slide:
            off = np.abs(slide.read((20, 10, 280, 190)).astype(int) - seen[10:190, 20:280])
            assert off.mean() < 2.5, name
            assert np.percentile(off, 95) < 10, name


@pytest.mark.parametrize("planes", [False, True])
def test_an_alpha_channel_that_is_0_everywhere_is_unused(tmp_path: Path, planes: bool) -> None:
    rgba = np.dstack([picture(), np.zeros((200, 300), np.uint8)])
    stored = rgba.transpose(2, 0, 1) if planes else rgba
    layout = {"planarconfig": "separate"} if planes else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64), **layout)
    with TiffSlide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 300, 200)), picture())
    rgba[150:, :, 3] = 255
    stored = rgba.transpose(2, 0, 1) if planes else rgba
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64), **layout)
    with TiffSlide(tmp_path / "a.tif") as slide:
        assert (slide.read((0, 0, 300, 150)) == 255).all()
        np.testing.assert_array_equal(slide.read((0, 150, 300, 200)), picture()[150:])


@pytest.mark.parametrize("options", [{"tile": (64, 64)}, {"rowsperstrip": 200}, {"tile": (64, 64), "alpha": True}], ids=str)
def test_neither_a_hot_pixel_nor_alpha_tells_the_depth(tmp_path: Path, options: dict[str, Any]) -> None:
    rgb = picture()
    deep = rgb.astype(np.uint16) * 16
    deep[30, 40], rgb[30, 40] = 65535, 255
    if options.pop("alpha", False):
        options["extrasamples"] = ["unassalpha"]
        deep = np.dstack([deep, np.full(deep.shape[:2], 65535, np.uint16)])
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", **options)
    with TiffSlide(tmp_path / "a.tif") as slide:
        assert np.abs(slide.read((0, 0, 300, 200)).astype(int) - rgb).max() <= 1


def pyramid(path: Path, rgb: np.ndarray, **options: Any) -> None:
    """Write a tiled pyramid of three sizes, each half of the one before."""
    with tifffile.TiffWriter(path) as file:
        file.write(rgb, subifds=2, photometric="rgb", tile=(64, 64), **options)
        for step in (2, 4):
            h, w = rgb.shape[0] // step, rgb.shape[1] // step
            small = rgb[: h * step, : w * step].reshape(h, step, w, step, 3).mean(axis=(1, 3)).astype(np.uint8)
            file.write(small, subfiletype=1, photometric="rgb", tile=(64, 64), resolution=options.get("resolution"))


def test_small_views_come_from_the_pyramid_and_show_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = picture()
    pyramid(tmp_path / "a.tif", rgb)
    with TiffSlide(tmp_path / "a.tif") as slide:
        assert slide.factors == (1.0, 0.5, 0.25)
        assert slide.factor_for(0.3) == 0.5
        calls: list[int] = []
        level = slide.level
        monkeypatch.setattr(slide, "level", lambda index, window: calls.append(index) or level(index, window))
        quarter = slide.read((40, 40, 280, 160), 0.25)
        small, factor = slide.overview(75)
        assert set(calls) == {2}
    mean = rgb[40:160, 40:280].reshape(30, 4, 60, 4, 3).mean(axis=(1, 3))
    assert np.abs(quarter - mean).mean() < 1.5
    assert (small.shape, factor) == ((50, 75, 3), 0.25)


def test_an_overview_without_a_pyramid_has_no_seams(tmp_path: Path) -> None:
    rgb = picture()
    large = np.kron(rgb, np.ones((9, 9, 1), np.uint8))
    tifffile.imwrite(tmp_path / "a.tif", large, photometric="rgb", tile=(256, 256))
    with TiffSlide(tmp_path / "a.tif") as slide:
        small, factor = slide.overview(300)
    assert factor == pytest.approx(1 / 9)
    assert np.abs(small.astype(int) - rgb).mean() < 4


@pytest.mark.parametrize(
    ("written", "um_per_px"),
    [
        ({"resolution": (40_000, 40_000), "resolutionunit": "centimeter"}, 0.25),
        ({"resolution": (72, 72), "resolutionunit": "inch"}, None),
        ({"resolution": (96, 96), "resolutionunit": "inch"}, None),
        ({"resolution": (1, 1), "resolutionunit": "none"}, None),
        ({"description": "Aperio Image Library v1\n300x200 |AppMag = 40|MPP = 0.2520"}, 0.252),
        ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 80, "PhysicalSizeXUnit": "nm"}}, 0.08),
        ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}}, None),
    ],
    ids=str,
)
def test_the_scale_is_taken_from_what_can_be_trusted_alone(
    tmp_path: Path, written: dict[str, Any], um_per_px: float | None
) -> None:
    options = {"photometric": "rgb", "tile": (64, 64), "metadata": None, **written}
    tifffile.imwrite(tmp_path / "a.tif", picture(), **options)
    with TiffSlide(tmp_path / "a.tif") as slide:
        assert slide.um_per_px == (None if um_per_px is None else pytest.approx(um_per_px))
        assert bool(slide.scale_source) == (um_per_px is not None)


def test_a_truncated_file_is_read_where_it_is_whole(tmp_path: Path) -> None:
    rgb = picture()
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", tile=(64, 64))
    with (tmp_path / "a.tif").open("r+b") as file:
        file.truncate(file.seek(0, 2) * 2 // 3)
    with TiffSlide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 64, 64)), rgb[:64, :64])
        with pytest.raises(ImageError, match=r"ends .* bytes too early"):
            slide.read((250, 150, 300, 200))
        assert slide.overview(100)[0].shape == (67, 100, 3)


@pytest.mark.parametrize(
    ("stored", "options", "reason"),
    [
        (picture().astype(np.float32), {"photometric": "rgb"}, "8 or 16 bits"),
        (picture(samples=4), {"photometric": "separated"}, "save it as RGB"),
        (picture()[:, :, 0], {"extratags": [(274, "H", 1, 6, True)]}, "save it upright"),
        (picture().transpose(2, 0, 1), {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}}, "save it as RGB"),
    ],
)
def test_what_cannot_be_shown_says_what_would_work(
    tmp_path: Path, stored: np.ndarray, options: dict[str, Any], reason: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    with pytest.raises(ImageError, match=reason):
        TiffSlide(tmp_path / "a.tif")


def test_one_compressed_strip_of_a_large_picture_asks_for_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.vision.slides.tiff._SEGMENT_BYTES", 100_000)
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="rgb", rowsperstrip=200, compression="deflate")
    with pytest.raises(ImageError, match="save it with tiles"):
        TiffSlide(tmp_path / "a.tif")


def test_a_damaged_header_is_an_image_error(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="rgb", tile=(64, 64))
    whole = (tmp_path / "a.tif").read_bytes()
    for content in (b"", whole[:6], whole[:100], b"II*\0" + b"\xff" * 60, b"no picture at all"):
        (tmp_path / "b.tif").write_bytes(content)
        with pytest.raises(ImageError):
            TiffSlide(tmp_path / "b.tif")


def test_decoded_tiles_that_are_kept_stay_within_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.vision.slides.tiff._CACHE_BYTES", 30_000)
    rgb = picture()
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", tile=(32, 32))
    with TiffSlide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 300, 200)), rgb)
        assert slide._cached <= 30_000
        assert slide._cached == sum(one.nbytes for one in slide._cache.values())


def test_large_tiffs_and_pyramids_are_slides_and_small_ones_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_PYRAMID_PX", 250)
    pyramid(tmp_path / "pyramid.tif", picture())
    tifffile.imwrite(tmp_path / "field.tif", picture(), photometric="rgb")
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    (tmp_path / "slide.svs").write_bytes(b"")
    assert formats.is_slide(tmp_path / "pyramid.tif")
    assert formats.is_slide(tmp_path / "slide.svs")
    assert not formats.is_slide(tmp_path / "damaged.tif")
    assert not formats.is_slide(tmp_path / "field.tif")
    monkeypatch.setattr(formats, "WINDOWED_PX", 50_000)
    assert formats.is_slide(tmp_path / "field.tif")


def test_without_its_codec_a_file_says_what_to_install_and_no_other_suffers(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="LZW needs the extra slides to be written")
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="rgb", compression="lzw")
    tifffile.imwrite(tmp_path / "b.tif", picture(), photometric="rgb", compression="deflate")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from pathlib import Path; from detector.vision.slides.tiff import TiffSlide\n"
        "print(TiffSlide(Path('b.tif')).read((0, 0, 300, 200)).sum())\n"
        "TiffSlide(Path('a.tif'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(picture().sum())
    assert "compressed by LZW, which needs imagecodecs: pip install 'smearcount[slides]'" in done.stderr
