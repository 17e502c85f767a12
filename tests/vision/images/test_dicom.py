"""Pictures in DICOM files: the same pixels as in other files, their scale, and a reason for each that is not read."""

from __future__ import annotations

import builtins
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from madeup_dicom import BASELINE, PATIENT, PLAIN, SECONDARY_CAPTURE, TOMOGRAPHY, content, dataset, picture, whole_slide
from PIL import Image

from detector.errors import ImageError
from detector.vision import images
from detector.vision.images import dicom
from detector.vision.scale import OF_FILE, Scale
from detector.vision.slides import formats

RLE, JPEG2000, JPEG_LS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"
LOSSLESS_JPEG, MPEG, DEFLATED = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.1.99"
IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def field(h: int = 40, w: int = 60) -> np.ndarray:
    """A smooth picture."""
    y, x = np.mgrid[:h, :w]
    return np.stack([200 - x, 180 - y, 160 + (x + y) // 2], axis=2).astype(np.uint8)


RGB = field()
GREY = RGB[:, :, 0]
TO_YBR = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
"""JPEG's, which DICOM's YBR_FULL has too (PS3.3, C.7.6.3.1.2)."""
YBR = np.rint(RGB @ TO_YBR.T + [0, 128, 128]).astype(np.uint8)
TWELVE = RGB.astype(np.uint16) * 16 + 15


def in_planes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values.transpose(2, 0, 1)).tobytes()


def palette(entries: int = 256, bits: int = 8) -> dict[str, Any]:
    """A palette in which the index i is the colour i, 255 - i, i // 2."""
    made: dict[str, Any] = {}
    index = np.arange(entries)
    for name, values in (("Red", index), ("Green", 255 - index), ("Blue", index // 2)):
        table = values.astype(np.uint8) if bits == 8 else values.astype(np.uint16) * 257
        made[f"{name}PaletteColorLookupTableDescriptor"] = [entries, 0, bits]
        made[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    return made


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(lambda: picture(RGB), id="plain"),
        pytest.param(lambda: picture(RGB, SOPClassUID=SECONDARY_CAPTURE), id="secondary capture"),
        pytest.param(lambda: picture(RGB, syntax=IMPLICIT), id="implicit"),
        pytest.param(lambda: picture(RGB, syntax=BIG_ENDIAN), id="big-endian"),
        pytest.param(lambda: picture(RGB, PlanarConfiguration=1, PixelData=in_planes(RGB)), id="planes"),
        pytest.param(lambda: picture(RGB, compress=RLE), id="rle"),
        pytest.param(lambda: picture(RGB, compress=JPEG2000), id="jpeg 2000"),
        pytest.param(lambda: picture(RGB, compress=JPEG_LS), id="jpeg-ls"),
        pytest.param(lambda: picture(TWELVE, BitsStored=12, HighBit=11), id="12 bits"),
        pytest.param(lambda: picture(TWELVE), id="16 bits of a 12-bit camera"),
        pytest.param(lambda: picture(TWELVE, BitsStored=12, HighBit=11, compress=JPEG2000), id="12 bits in jpeg 2000"),
        pytest.param(lambda: picture(RGB, NumberOfFrames="1"), id="one frame"),
    ],
)
def test_colours_are_those_of_other_files(file: Any) -> None:
    np.testing.assert_array_equal(images.decode(file()).rgb, RGB)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(lambda: picture(GREY, "MONOCHROME2"), id="black is 0"),
        pytest.param(lambda: picture(255 - GREY, "MONOCHROME1"), id="white is 0"),
        pytest.param(lambda: picture(TWELVE[:, :, 0], "MONOCHROME2", BitsStored=12, HighBit=11), id="12 bits"),
        pytest.param(lambda: picture(4095 - TWELVE[:, :, 0], "MONOCHROME1", BitsStored=12, HighBit=11), id="12 bits, white is 0"),
    ],
)
def test_grey_is_that_of_other_files(file: Any) -> None:
    np.testing.assert_allclose(images.decode(file()).rgb, np.repeat(GREY[:, :, None], 3, axis=2), atol=1)


def test_colour_by_brightness_and_by_palette() -> None:
    assert np.abs(images.decode(picture(YBR, "YBR_FULL")).rgb.astype(int) - RGB).max() <= 1
    expected = np.stack([GREY, 255 - GREY, GREY // 2], axis=2)
    for bits in (8, 16):
        np.testing.assert_array_equal(images.decode(picture(GREY, "PALETTE COLOR", **palette(bits=bits))).rgb, expected)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_jpeg_has_the_pixels_of_its_file(subsampling: str) -> None:
    jpeg = simplejpeg.encode_jpeg(RGB, quality=90, colorsubsampling=subsampling)
    np.testing.assert_array_equal(images.decode(picture(RGB, "YBR_FULL_422", BASELINE, jpeg)).rgb, images.decode(jpeg).rgb)


def test_a_grey_jpeg_and_one_of_rgb() -> None:
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "JPEG", quality=95)
    grey = images.decode(picture(GREY, "MONOCHROME2", BASELINE, file.getvalue())).rgb
    np.testing.assert_array_equal(grey, images.decode(file.getvalue()).rgb)
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG", quality=95, keep_rgb=True)
    assert np.abs(images.decode(picture(RGB, "RGB", BASELINE, file.getvalue())).rgb.astype(int) - RGB).mean() < 2


def test_lossless_jpeg_is_exact() -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="writes it; needs the slides extra: pip install -e '.[slides]'")
    colour = picture(RGB, "RGB", LOSSLESS_JPEG, imagecodecs.jpeg_encode(RGB, lossless=True))
    np.testing.assert_array_equal(images.decode(colour).rgb, RGB)
    deep = picture(TWELVE[:, :, 0], "MONOCHROME2", LOSSLESS_JPEG, imagecodecs.ljpeg_encode(TWELVE[:, :, 0]))
    np.testing.assert_allclose(images.decode(deep).rgb[:, :, 0], GREY, atol=1)


def test_header_room_and_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(picture(RGB, compress=JPEG2000))
    assert images.header_of(path) == images.Header((60, 40), 1)
    assert images.is_deep(path)  # what is copied for training is decoded first
    with images.room(path):
        pass
    assert not formats.is_slide(path)
    # The content decides, not the name.
    np.testing.assert_array_equal(images.read(path.rename(tmp_path / "a.jpg")), RGB)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        (["0.0001", "0.0001"], 0.1),
        (["0.0001", "0.000104"], None),
        (["0.0001"], None),
        (["0", "0"], None),
        (["-0.0001", "-0.0001"], None),
    ],
)
def test_square_pixels_state_a_scale(spacing: list[str], expected: float | None) -> None:
    assert images.decode(picture(RGB, PixelSpacing=spacing)).um_per_px == pytest.approx(expected)


def test_only_the_scale_of_a_smear_is_taken() -> None:
    # Pixels of a screen, in a secondary capture, are a quarter of a millimetre.
    assert Scale.stated(images.decode(picture(RGB, PixelSpacing=["0.25", "0.25"])).um_per_px) is None
    assert Scale.stated(0.1) == Scale(75.0, OF_FILE)
    assert Scale.stated(None) is None


def cut(file: bytes, share: float) -> bytes:
    return file[: int(len(file) * share)]


def with_garbage(syntax: str) -> bytes:
    return picture(RGB, "RGB", syntax, bytes(range(256)) * 8)


def many_entries() -> bytes:
    head, mark, tail = content(dataset(RGB)).partition(b"\x28\0\x02\0US")
    return head + b"\x11\0\x10\0LO\0\0" * 25_000 + mark + tail


def nested() -> bytes:
    head, mark, tail = content(dataset(RGB)).partition(b"\x28\0\x02\0US")
    return head + b"\x09\0\x10\0SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000 + mark + tail


def bomb() -> bytes:
    """A small header, and a JPEG that says it is large."""
    return picture(RGB, "YBR_FULL_422", BASELINE, simplejpeg.encode_jpeg(np.zeros((4000, 6000, 3), np.uint8)))


def endless_run() -> bytes:
    frame = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\x81\xff" * 1_000_000
    return picture(GREY, "MONOCHROME2", RLE, frame)


REFUSED = {
    "half of it": (lambda: cut(picture(RGB), 0.5), "is truncated or damaged (its pixels: "),
    "half of its header": (lambda: content(dataset(RGB))[:300], "ends before it (no pixel data)"),
    "only a signature": (lambda: bytes(128) + b"DICM", "states no transfer syntax"),
    "no pixels": (lambda: picture(RGB, PixelData=None), "without a picture in it, or ends before it (no pixel data); export"),
    "no size": (lambda: picture(RGB, Rows=None), "does not state Rows"),
    "no width": (lambda: picture(RGB, Columns=0), "holds no pixels"),
    "too large": (lambda: picture(RGB, Rows=60000, Columns=60000), "has more than 178 million pixels"),
    "frames": (lambda: picture(RGB, NumberOfFrames=5), "holds 5 frames; save each that is to be counted as a file of its own"),
    "another kind": (
        lambda: picture(GREY, "MONOCHROME2", SOPClassUID=TOMOGRAPHY),
        "another kind (CT Image Storage), and no photograph",
    ),
    "signed": (lambda: picture(GREY, "MONOCHROME2", PixelRepresentation=1), "holds signed values"),
    "one bit": (
        lambda: picture(GREY, "MONOCHROME2", BitsAllocated=1, BitsStored=1, HighBit=0),
        "holds 1 bits in 1; save it with 8 or 16",
    ),
    "32 bits": (lambda: picture(GREY, "MONOCHROME2", BitsAllocated=32, BitsStored=32, HighBit=31), "holds 32 bits in 32"),
    "unusual colours": (lambda: picture(RGB, "HSV"), "has 3 samples a pixel of kind HSV; save it as RGB"),
    "video": (lambda: with_garbage(MPEG), "is compressed in a way that is not read (MPEG2 Main Profile"),
    "deflated": (lambda: picture(RGB, syntax=DEFLATED), "with a deflated header; save it as Explicit VR Little Endian"),
    "garbage for JPEG": (lambda: with_garbage(BASELINE), "its pixels are not compressed as its header says"),
    "garbage for JPEG 2000": (lambda: with_garbage(JPEG2000), "its pixels are not compressed as its header says"),
    "garbage for JPEG-LS": (lambda: with_garbage(JPEG_LS), "its pixels are not compressed as its header says"),
    "garbage for RLE": (lambda: with_garbage(RLE), "is "),
    "no items": (lambda: with_garbage(BASELINE).replace(b"\xfe\xff\0\xe0", b"\xfe\xff\x01\xe0"), "is truncated or damaged"),
    "a bomb": (bomb, "is damaged (its picture is of another size than its header says)"),
    "endless run": (endless_run, "is damaged (its picture is of another size than its header says)"),
    "endless header": (many_entries, "has a DICOM header of more than 10,000 entries; export the picture alone"),
    "nested header": (nested, "is truncated or damaged (its DICOM header cannot be read)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_bad_file_has_its_reason(name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    make, reason = REFUSED[name]
    with caplog.at_level(logging.WARNING), pytest.raises(ImageError) as caught:
        images.decode(make())
    assert reason in str(caught.value)
    assert PATIENT not in f"{caught.value}{caplog.text}{''.join(capsys.readouterr())}"


def test_a_damaged_jpeg_is_refused() -> None:
    jpeg = bytearray(simplejpeg.encode_jpeg(np.random.default_rng(1).integers(0, 255, (200, 300, 3), dtype=np.uint8)))
    with pytest.raises(ImageError, match="is truncated or damaged"):
        images.decode(picture(np.zeros((200, 300, 3), np.uint8), "YBR_FULL_422", BASELINE, bytes(jpeg[: len(jpeg) // 2])))


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_byte_gives_a_picture_or_a_reason(seed: int) -> None:
    random = np.random.default_rng(seed)
    file = bytearray(picture(RGB, compress=(RLE, JPEG2000, JPEG_LS)[seed % 3]) if seed % 4 else picture(RGB))
    for place in random.integers(132, len(file), 8).tolist():
        file[place] = int(random.integers(256))
    try:
        reason = f"{images.decode(bytes(file)).rgb.dtype}"
    except ImageError as error:
        reason = str(error)
    assert reason
    assert PATIENT not in reason


def test_without_pydicom_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "pydicom":
            raise ImportError(name)
        return real(name, *args, **more)

    file = picture(RGB)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r"is DICOM, which needs pydicom: pip install 'smearcount\[dicom\]'"):
        images.decode(file)


def test_a_whole_slide_is_opened_by_openslide(tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="needs the slides extra: pip install -e '.[slides]'")
    rgb = field(128, 256)
    path = tmp_path / "a.dcm"
    path.write_bytes(whole_slide(rgb, 0.00025))
    assert dicom.kind(path.read_bytes()) == dicom.FileKind(dicom.WHOLE_SLIDE, BASELINE)
    assert formats.is_slide(path)
    with formats.open_slide(path) as slide:
        assert (slide.size_wh, slide.um_per_px) == ((256, 128), 0.25)
        assert np.abs(slide.read((0, 0, 256, 128)).astype(int) - rgb).mean() < 2
    with pytest.raises(ImageError, match=r"is a whole slide in DICOM; give it the ending \.dcm"):
        images.read(path.rename(tmp_path / "a.png"))


def test_the_kind_is_known_without_pydicom() -> None:
    assert dicom.kind(picture(RGB)).transfer_syntax == PLAIN
    assert dicom.kind(b"") == dicom.FileKind("", "")
