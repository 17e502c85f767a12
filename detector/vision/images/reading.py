"""From a file's bytes, an array or a picture of Pillow's to upright RGB."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import IO, Any, BinaryIO

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from detector.errors import ImageError
from detector.texts import one_line
from detector.vision.images import dicom, files, pixels
from detector.vision.images.pixels import Rgb

Field = str | PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""What a user may give for one field."""

SWAPS_SIDES = (5, 6, 7, 8)
"""Orientations in which a picture lies on its side as stored."""
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "JPEG2000", "AVIF", "PPM")
"""What Pillow opens. It knows some thirty formats more, and starts another program for one of them."""

_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file")
"""How libjpeg's warnings of lost data begin."""
_MOST_SCANS = 500
"""A progressive JPEG has some ten scans, each of which goes over the whole picture."""
_WHITE_OF_16 = (1 << 16) - 1
_JP2_COMPONENTS = 40
"""Place of the number of components after the start of a JPEG 2000 codestream (ISO/IEC 15444-1, A.5.1)."""


class _UnknownFormatError(ImageError):
    """Pillow knows no such picture."""


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it."""

    size_wh: tuple[int, int]
    """Width and height as displayed, after EXIF rotation."""
    orientation: int
    """How the stored picture is turned for display, as EXIF numbers it; 1 is not at all."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as it is displayed."""

    rgb: Rgb
    """Shape (h, w, 3), uint8, EXIF rotation applied, transparency laid over white."""
    note: str
    """What a user should know of it: that only the first of several pages was read, or that it is damaged; else empty."""
    um_per_px: float | None = None
    """Micrometres per pixel as the file states them, whether or not that may be a smear's; None where it does not."""


def read(path: Path) -> Rgb:
    """Pixels of an image file, of shape (h, w, 3), uint8 RGB, upright.

    Raises:
        ImageError: the file cannot be opened or is no complete image.
    """
    return load(path).rgb


def load(path: Path) -> Picture:
    """An image file and what a user should know of it.

    Eight bits a channel are read by Pillow, and most JPEG by libjpeg-turbo without it, which gives the same pixels in a
    third of the time; deeper TIFF by tifffile, and other deeper pictures by OpenCV, which Pillow would cut to the high byte.
    A deeper image is scaled by the smallest usual camera depth (8, 10, 12, 14, 16 bits) that holds its brightest value,
    single pixels and lines aside.

    Raises:
        ImageError: the file cannot be opened or is no complete image.
    """
    return decode(files.encoded(path))


def decode(content: bytes) -> Picture:
    """The image in the bytes of a file.

    Raises:
        ImageError: the bytes are no complete image, or of a format that is not read.
    """
    with _guarded():
        if reason := files.named(content[:64]):
            raise ImageError(reason)
        if dicom.is_dicom(content):
            rgb, um_per_px = dicom.pixels(content)
            return Picture(rgb, "", um_per_px)
        return _tiff_picture(content) if files.is_tiff(content) else _picture(content)


def of_array(values: NDArray[Any], bgr: bool = False) -> Rgb:
    """An array as the same pixels in a lossless file would be read.

    Args:
        values: shape (h, w) or (h, w, 1) for grey, (h, w, 3) for RGB or (h, w, 4) for RGBA, uint8 or uint16.
        bgr: the colours are in the order blue, green, red, as OpenCV has them.

    Raises:
        ValueError: the array has another shape or type, or is empty.
    """
    grey = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 1)
    if (
        not (grey or (values.ndim == 3 and values.shape[2] in (3, 4)))
        or values.dtype not in (np.uint8, np.uint16)
        or not values.size
    ):
        raise ValueError(
            "pixels must have shape (h, w), (h, w, 3) or (h, w, 4) and type uint8 or uint16, "
            f"got {values.shape} and {values.dtype}"
        )
    if grey:
        values = np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    elif bgr:
        values = values[:, :, [2, 1, 0, 3][: values.shape[2]]]
    if values.dtype == np.uint16:
        return np.ascontiguousarray(pixels.to_camera_depth(pixels.whole_over_white(values) if values.shape[2] == 4 else values))
    return np.ascontiguousarray(values) if values.shape[2] == 3 else _pixels(Image.fromarray(values))


def of_picture(picture: Image.Image) -> Rgb:
    """A picture of Pillow's as its file would be read; the picture itself stays as it is.

    Raises:
        ImageError: it cannot be decoded, or holds floating-point values.
    """
    with _guarded():
        if picture.format in ("TIFF", "JPEG2000", "PPM") or _is_deep(picture):
            # Pillow keeps the high byte of deep colour only, which is dark for most cameras: its file tells more.
            content = _content_of(picture)
            if content:
                return decode(content).rgb
        return _pixels(picture.copy())


def picture_of(field: Field, bgr: bool = False) -> Callable[[], Picture]:
    """What gives a field's picture, as often as it is asked, and holds no more of it than was given.

    Args:
        bgr: pixels given as an array have the order blue, green, red.

    Raises:
        ImageError: what a file gave is empty. TypeError: it is nothing that a field may be.
    """
    if isinstance(field, np.ndarray):
        return partial(_bare, partial(of_array, field, bgr))
    if isinstance(field, Image.Image):
        return partial(_bare, partial(of_picture, field))
    if isinstance(field, (str, PathLike)):
        return partial(load, Path(field))
    content = field if isinstance(field, bytes) else field.read() if hasattr(field, "read") else None
    if not isinstance(content, bytes):
        raise TypeError(
            "a field is a path, bytes, a file opened for reading bytes ('rb'), a picture of Pillow's or an array, "
            f"got {type(field).__name__}{'' if content is None else ' that gives ' + type(content).__name__}"
        )
    if not content:
        raise ImageError("is empty (0 bytes)")
    return partial(decode, content)


def pixels_of(picture: Callable[[], Picture]) -> Rgb:
    """The pixels of what `picture_of` gave."""
    return picture().rgb


def _bare(pixels: Callable[[], Rgb]) -> Picture:
    return Picture(pixels(), "")


def header_of(path: Path) -> Header:
    """Size and orientation, from the head of the file.

    Raises:
        ImageError: the file is no image.
    """
    with files.opened(path) as file, _guarded():
        if _is_dicom(file):
            return Header(dicom.stated(file.read(files.MOST_BYTES)).size_wh, 1)
        try:
            image = _identify(file)
        except _UnknownFormatError:
            raise ImageError("is not an image") from None
        width, height = image.size
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    turned = orientation in SWAPS_SIDES
    return Header((height, width) if turned else (width, height), orientation if orientation in range(1, 9) else 1)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height as displayed, from the head of the file.

    Raises:
        ImageError: the file is no image.
    """
    return header_of(path).size_wh


def is_deep(path: Path) -> bool:
    """Whether a file holds more than programs take from it that read 8 bits a channel of a first page; false for what is no image."""
    try:
        content = files.encoded(path)
        with _guarded():
            if dicom.is_dicom(content):
                return True
            if files.is_tiff(content):
                from detector.vision.images.tiff import Tiff

                return not Tiff(content).is_plain
            image = _identify(io.BytesIO(content))
            return _is_deep(image) or _jp2_bits(content, image) > 8
    except ImageError:
        return False


def stored_pixels(file: BinaryIO) -> int:
    """Pixels of a picture by the head of its file.

    Raises:
        ImageError: the file is of no format that is read, or holds too many pixels.
    """
    with _guarded():
        wh = dicom.stated(file.read(files.MOST_BYTES)).size_wh if _is_dicom(file) else _identify(file).size
    return wh[0] * wh[1]


def _is_dicom(file: BinaryIO) -> bool:
    head = file.read(dicom.HEAD_BYTES)
    file.seek(0)
    return dicom.is_dicom(head)


@contextmanager
def _guarded() -> Iterator[None]:
    """Whatever goes wrong in a block is an ImageError.

    Decoders raise almost anything on damaged data: OSError, SyntaxError, struct.error, ValueError, ...
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        if files.out_of_memory(error):
            raise ImageError(files.TOO_LITTLE_MEMORY) from None
        raise ImageError(f"is truncated or damaged ({one_line(error)})") from None


def opener() -> Callable[..., ImageFile.ImageFile]:
    """Pillow's own `Image.open`.

    Ultralytics, once imported, puts another in its place, which installs a package for each file that is no image.
    """
    return getattr(sys.modules.get("ultralytics.utils.patches"), "_image_open", Image.open)


def _identify(file: BinaryIO) -> ImageFile.ImageFile:
    try:
        # Pillow's guard against decompression bombs stays on: it warns first, then refuses at twice the size.
        with files.quiet():
            return opener()(file, formats=_formats())
    except UnidentifiedImageError:
        raise _UnknownFormatError("is not an image (its content is no known image format)") from None
    except Image.DecompressionBombError:
        raise ImageError(pixels.too_many_pixels()) from None


def _formats() -> tuple[str, ...]:
    """Those of the formats that this build of Pillow has."""
    if not all(name in Image.OPEN for name in _FORMATS):
        Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _picture(content: bytes) -> Picture:
    try:
        image = _identify(io.BytesIO(content))
    except _UnknownFormatError as error:
        raise ImageError(_rare_jpeg(content) or str(error)) from None
    bits = _jp2_bits(content, image)
    damage = ""
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        raise ImageError("is a JPEG in CMYK that does not tell which value is ink; save it as RGB")
    if _is_scaled_pnm(image):
        rgb = _pnm_pixels(content, image)
    elif _is_deep(image) or bits > 8:
        rgb = _deep_pixels(content, image, bits)
    elif _is_plain_jpeg(image):
        rgb, damage = _jpeg_pixels(content, image)
    else:
        rgb = _pixels(image)
    return Picture(rgb, "; ".join(filter(None, (_paged(image), damage))))


def _paged(image: Image.Image) -> str:
    """What is to be said of further pictures in the file."""
    if image.format == "GIF":
        # To number them, all would be searched for.
        return "first of several pictures" if getattr(image, "is_animated", False) else ""
    number = getattr(image, "n_frames", 1)
    return f"first of {number} pages" if number > 1 and image.format != "MPO" else ""


def _tiff_picture(content: bytes) -> Picture:
    from detector.vision.images.tiff import CodecMissingError, Tiff  # takes a tenth of a second, which JPEG does not need

    tiff = Tiff(content)
    if tiff.is_plain:
        try:
            image = _identify(io.BytesIO(content))
            return Picture(_weighed_pixels(image) if tiff.is_weighed else _pixels(image), tiff.note)
        except _UnknownFormatError:
            return Picture(tiff.rgb(), tiff.note)
    try:
        return Picture(tiff.rgb(), tiff.note)
    except CodecMissingError:
        if not tiff.is_simple:
            raise
        return Picture(_deep_pixels(content, _identify(io.BytesIO(content))), tiff.note)


def _is_deep(image: Image.Image) -> bool:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F") or _stated_white(image) == _WHITE_OF_16:
        return True
    # Sixteen-bit colour shows only in the raw mode of the encoded data, for example RGB;16B.
    return any(";16" in _raw_mode(tile[3]) for tile in getattr(image, "tile", []))


def _stated_white(image: Image.Image) -> int:
    """The value that a file of the PNM family says is white; 0 for all others, and where it is the usual 255."""
    arguments = [tile[3] for tile in getattr(image, "tile", []) if image.format == "PPM" and isinstance(tile[3], tuple)]
    white = arguments[0][-1] if arguments else 0
    return white if isinstance(white, int) and white != 255 else 0


def _raw_mode(arguments: object) -> str:
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _jp2_bits(content: bytes, image: Image.Image) -> int:
    """Bits a channel of a JPEG 2000 picture; 0 for others.

    Raises:
        ImageError: its values are signed, or its channels have several depths.
    """
    if image.format != "JPEG2000":
        return 0
    start = content.index(b"\xff\x4f\xff\x51") + _JP2_COMPONENTS
    number = int.from_bytes(content[start : start + 2], "big")
    depths = set(content[start + 2 : start + 2 + 3 * number : 3])
    deepest = max(depths)
    if deepest & 0x80 or (len(depths) > 1 and deepest > 7):
        raise ImageError("holds signed values, or channels of several depths; save it as TIFF or PNG with 8 or 16 bits a channel")
    return deepest + 1


def _is_plain_jpeg(image: Image.Image) -> bool:
    return image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(ExifTags.Base.Orientation, 1) == 1


def _jpeg_pixels(content: bytes, image: Image.Image) -> tuple[Rgb, str]:
    """Pixels, and what is wrong with them where a part of the data is damaged, which Pillow passes over in silence."""
    _check_scans(content, image)
    try:
        return simplejpeg.decode_jpeg(content, "RGB"), ""
    except ValueError as error:
        damaged = str(error).startswith(_DAMAGE)
        return _pixels(image), f"is damaged, parts of it may be wrong ({one_line(error)})" if damaged else ""


def _check_scans(content: bytes, image: Image.Image) -> None:
    if "progressive" in image.info and content.count(b"\xff\xda") > _MOST_SCANS:
        raise ImageError(f"has more than {_MOST_SCANS} scans, as no camera writes; save it anew")


def _rare_jpeg(content: bytes) -> str:
    """Why a JPEG of a rare kind is not read; empty for all others."""
    place = 2
    while content[:3] == b"\xff\xd8\xff" and content[place : place + 1] == b"\xff":
        marker = content[place + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if marker in (0xC3, 0xF7) or content[place + 4] != 8:
                return "is a JPEG of a rare kind (lossless, or more than 8 bits a channel); save it as PNG or TIFF"
            return ""
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return ""


def _pixels(image: Image.Image) -> Rgb:
    image.load()
    # In place, and converted only where there is need: copies cost as much as decoding.
    ImageOps.exif_transpose(image, in_place=True)
    if "A" in image.getbands() or "transparency" in image.info:
        return _without_alpha(image if image.mode == "RGBA" else image.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))


def _weighed_pixels(image: ImageFile.ImageFile) -> Rgb:
    """Pixels of a TIFF that says that its colours are multiplied by alpha.

    They are taken as they are stored: Pillow divides them by alpha, which loses them where it is 0 or the file says wrong.
    """
    for i, tile in enumerate(image.tile):
        if isinstance(tile.args, tuple):
            image.tile[i] = tile._replace(args=(_raw_mode(tile.args).replace("RGBa", "RGBA"), *tile.args[1:]))
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode not in ("RGBA", "La"):
        return _pixels(image)
    values = np.asarray(image)
    rgba = values if image.mode == "RGBA" else values[:, :, [0, 0, 0, 1]]
    return np.ascontiguousarray(pixels.whole_over_white(rgba, weighed=True))


def _without_alpha(image: Image.Image) -> Rgb:
    """Colours laid over white. The largest alpha is opaque: some write 1 for it, and one that is 0 everywhere was never filled."""
    alpha = image.getchannel("A")
    least, most = int(np.asarray(alpha).min()), int(np.asarray(alpha).max())
    if least == most:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")))
    if most < 255:
        image.putalpha(alpha.point([min(255, round(255 * value / most)) for value in range(256)]))
    width, height = image.size
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    # By bands of rows, for a large picture would be held four times over.
    rows = max(1, (1 << 20) // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        rgb[top : top + rows] = np.asarray(Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB"))
    return rgb


def _deep_pixels(content: bytes, image: Image.Image, bits: int = 0) -> Rgb:
    """Pixels of more than 8 bits a channel; `bits` is their depth where the file tells, else 0."""
    if image.format == "PNG":
        _check_chunks(content)
    if image.mode == "F":
        raise ImageError(pixels.FLOATING)
    white = _stated_white(image)
    # Pillow finds truncation, which OpenCV passes over in silence.
    image.load()
    if 255 < white < _WHITE_OF_16:
        # Pillow has made white 65,535.
        return _pixels(Image.fromarray(pixels.to_eight_bits(np.asarray(image), 16)))
    values = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise ImageError("is truncated or damaged, or of a kind that cannot be read; save it as 8- or 16-bit PNG or TIFF")
    if values.ndim == 2 or values.shape[2] == 1:
        values = np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    elif values.shape[2] == 4:
        values = pixels.whole_over_white(values, depth=bits) if "A" in image.getbands() else values[:, :, :3]
    eight = pixels.to_eight_bits(values, bits) if 8 < bits < 16 else pixels.to_camera_depth(values)
    return pixels.upright(eight[:, :, ::-1], image.getexif().get(ExifTags.Base.Orientation, 1))


def _is_scaled_pnm(image: ImageFile.ImageFile) -> bool:
    """Whether it is a binary file of the PNM family whose values Pillow would scale one by one, in many seconds."""
    return image.format == "PPM" and bool(image.tile) and image.tile[0][0] == "ppm"


def _pnm_pixels(content: bytes, image: ImageFile.ImageFile) -> Rgb:
    """Pixels of such a file: its white is another value than 255. That of 16 bits says nothing, as cameras of 12 bits write it too."""
    white, start = _stated_white(image), image.tile[0][2]
    shape = (image.height, image.width, len(image.getbands()))
    stored = np.dtype(">u2" if white > 255 else np.uint8)
    if len(content) - start < math.prod(shape) * stored.itemsize:
        raise ImageError("is truncated or damaged (its pixels end too early)")
    values = np.frombuffer(content, stored, math.prod(shape), start).reshape(shape)
    if white == _WHITE_OF_16:
        eight = pixels.to_camera_depth(values.astype(np.uint16))
    else:
        levels = np.rint(np.arange(white + 1) / white * 255).astype(np.uint8)
        eight = levels[np.minimum(values, white)]
    return np.ascontiguousarray(np.broadcast_to(eight, (*shape[:2], 3)))


def _check_chunks(content: bytes) -> None:
    """Refuse a PNG with a part that is longer than the file, for which OpenCV takes as much memory as it says."""
    place = 8
    while place + 8 <= len(content):
        place += 12 + int.from_bytes(content[place : place + 4], "big")
        if place > len(content):
            raise ImageError("is truncated or damaged (a part of it is longer than the file)")


def _content_of(picture: Image.Image) -> bytes:
    """The file of a picture whose first page is not decoded yet; else a file of its values, or nothing where they are 8 bits."""
    file = getattr(picture, "fp", None)
    if file is not None and getattr(picture, "tile", None) and not picture.tell():
        place = file.tell()
        file.seek(0)
        content: bytes = file.read()
        file.seek(place)
        return content
    if not _is_deep(picture):
        return b""
    if picture.mode == "F":
        raise ImageError(pixels.FLOATING)
    written = io.BytesIO()
    picture.save(written, "TIFF" if picture.mode == "I" else "PNG")
    return written.getvalue()
