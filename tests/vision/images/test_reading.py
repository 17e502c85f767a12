"""One reader for whatever a microscope, a scanner or a mail program made of a field."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector.errors import ImageError
from detector.vision import images


@pytest.fixture
def rgb() -> np.ndarray:
    """A picture whose corners and channels differ, of shape (40, 60, 3)."""
    picture = np.full((40, 60, 3), (210, 190, 170), dtype=np.uint8)
    picture[:20, :30] = (150, 40, 90)
    picture[20:, 30:] = (60, 120, 200)
    return picture


def _close(a: np.ndarray, b: np.ndarray, tolerance: int = 6) -> bool:
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= tolerance


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a b ü 細胞.png"])
def test_lossless_kinds_come_back_as_they_are(tmp_path: Path, rgb: np.ndarray, name: str) -> None:
    Image.fromarray(rgb).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    read = images.read(tmp_path / name)
    assert read.dtype == np.uint8
    assert np.array_equal(read, rgb)


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), dtype=np.uint8)
    red[..., 0] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red[:, :, ::-1])
    assert images.read(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:2", "4:2:0", "4:1:1", "4:4:0", "progressive", "rgb", "restarts", "grey", "cmyk"])
def test_jpeg_of_any_kind_has_the_pixels_that_pillow_gives(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    smooth = cv2.resize(noise, (169, 131), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "a.jpg"
    if kind == "4:4:0":
        factors = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440
        cv2.imwrite(str(path), smooth, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors])
    else:
        settings = {"subsampling": kind} if ":" in kind else {}
        settings |= {"progressive": {"progressive": True}, "rgb": {"keep_rgb": True}, "restarts": {"restart_marker_rows": 1}}.get(
            kind, {}
        )
        Image.fromarray(smooth).convert({"grey": "L", "cmyk": "CMYK"}.get(kind, "RGB")).save(path, **settings)
    with Image.open(path) as image:
        assert np.array_equal(images.read(path), np.asarray(image.convert("RGB")))


def test_jpeg_damaged_in_its_middle_is_read_and_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (200, 300, 3), dtype=np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    assert images.load(path).note == ""
    del content[len(content) // 2 : len(content) // 2 + 50]
    path.write_bytes(content)
    picture = images.load(path)
    assert picture.rgb.shape == (200, 300, 3)
    assert "is damaged, parts of it may be wrong (Corrupt JPEG data" in picture.note
    path.write_bytes(path.read_bytes() + b"what a microscope adds")
    assert images.load(path).note == picture.note


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, rgb: np.ndarray, orientation: int) -> None:
    stored = Image.fromarray(rgb)
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(images.read(tmp_path / "turned.png"), rgb)


def test_grey_alpha_palette_and_cmyk_become_rgb(tmp_path: Path, rgb: np.ndarray) -> None:
    picture = Image.fromarray(rgb)
    picture.convert("L").save(tmp_path / "grey.png")
    picture.quantize(16).save(tmp_path / "palette.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    grey = images.read(tmp_path / "grey.png")
    assert grey.shape == rgb.shape
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert _close(images.read(tmp_path / "palette.png"), rgb)
    assert images.read(tmp_path / "cmyk.jpg").shape == rgb.shape
    assert np.abs(images.read(tmp_path / "cmyk.jpg").astype(int) - rgb).mean() < 5


@pytest.mark.parametrize("kind", ["grey", "rgb", "rgba", "grey 12 bits", "rgb 12 bits", "rgb 16 bits", "rgba 16 bits"])
def test_arrays_and_pictures_are_read_as_their_files(tmp_path: Path, rgb: np.ndarray, kind: str) -> None:
    values: np.ndarray = rgb[:, :, 0] if "grey" in kind else rgb
    if "rgba" in kind:
        values = np.dstack([rgb, rgb[:, :, 1]])
    if "bits" in kind:
        values = values.astype(np.uint16) * (16 if "12" in kind else 257)
    bgr = values if "grey" in kind else values[:, :, [2, 1, 0, 3][: values.shape[2]]]
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), bgr)
    read = images.read(path)
    assert np.array_equal(images.of_array(values), read)
    assert np.array_equal(images.of_array(bgr, bgr=True), read)
    with Image.open(path) as picture:
        assert np.array_equal(images.of_picture(picture), read)
        picture.load()
        if "bits" not in kind or "grey" in kind:
            assert np.array_equal(images.of_picture(picture), read)
            assert picture.mode == {"grey": "L", "rgb": "RGB", "rgba": "RGBA"}.get(kind, picture.mode)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    see_through = Image.new("RGBA", (10, 10), (200, 0, 0, 0))
    see_through.putpixel((0, 0), (200, 0, 0, 255))
    see_through.save(tmp_path / "alpha.png")
    read = images.read(tmp_path / "alpha.png")
    assert read[0, 0].tolist() == [200, 0, 0]
    assert read[5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_images_keep_their_brightness(tmp_path: Path, rgb: np.ndarray, depth: int, colour: bool, suffix: str) -> None:
    bright = rgb.copy()
    bright[0, 0] = 255
    deep = (bright.astype(np.uint32) * ((1 << depth) - 1) // 255).astype(np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), deep[:, :, ::-1] if colour else deep[:, :, 0])
    expected = bright if colour else np.repeat(bright[:, :, :1], 3, axis=2)
    assert _close(images.read(path), expected, tolerance=1)


def test_deep_transparency_lies_over_white_too(tmp_path: Path) -> None:
    deep = np.zeros((6, 6, 4), dtype=np.uint16)
    deep[0, 0] = (0, 0, 65535, 65535)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    read = images.read(tmp_path / "a.png")
    assert read[0, 0].tolist() == [255, 0, 0]
    assert read[3, 3].tolist() == [255, 255, 255]


def test_eight_bits_are_not_taken_for_sixteen_by_a_number_in_their_header(tmp_path: Path) -> None:
    for width in (16, 160, 161, 616):
        Image.new("RGB", (width, 4), (10, 20, 30)).save(tmp_path / "a.bmp")
        assert not images.is_deep(tmp_path / "a.bmp")
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((4, 4, 3), dtype=np.uint16))
    assert images.is_deep(tmp_path / "deep.png")
    assert not images.is_deep(tmp_path / "none.png")


def test_the_first_of_several_pages_is_read_and_said_so(tmp_path: Path, rgb: np.ndarray) -> None:
    first, second = Image.fromarray(rgb), Image.fromarray(255 - rgb)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    picture = images.load(tmp_path / "pages.tif")
    assert np.array_equal(picture.rgb, rgb)
    assert picture.note == "first of 2 pages"


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    assert images.read(tmp_path / "dot.png").tolist() == [[[1, 2, 3]]]


def _encoded(rgb: np.ndarray, suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_image_is_no_image(tmp_path: Path, rgb: np.ndarray, suffix: str, share: float) -> None:
    content = _encoded(rgb, suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=r"truncated|not an image"):
        images.read(path)


def test_a_truncated_deep_image_is_no_image(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4095, (200, 200), dtype=np.uint16)
    content = cv2.imencode(".png", noise)[1].tobytes()
    path = tmp_path / "cut.png"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="truncated"):
        images.read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"RBC, WBC\n1, 2\n", "not an image"), (b"\xff\xd8\xff\xe0", "image"), (b"\x89PNG\r\n\x1a\n", "image")],
)
def test_what_is_no_image_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "field.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        images.read(path)


def test_a_missing_file_and_a_folder_say_why(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        images.read(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be opened"):
        images.read(tmp_path)


def test_reading_leaves_pillows_guard_on(tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    guard = Image.MAX_IMAGE_PIXELS
    images.read(tmp_path / "a.png")
    assert guard == Image.MAX_IMAGE_PIXELS
    assert guard
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 40 // 3)
    with pytest.raises(ImageError, match="million pixels"):
        images.read(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 40 - 1)
    assert images.read(tmp_path / "a.png").shape == rgb.shape


def test_a_picture_as_jpeg_keeps_its_colours() -> None:
    rgb = np.zeros((16, 24, 3), dtype=np.uint8)
    rgb[:] = (200, 60, 20)
    read = images.decode(images.as_jpeg(rgb, 95)).rgb
    assert read.shape == rgb.shape
    np.testing.assert_allclose(read.astype(int), rgb.astype(int), atol=4)
