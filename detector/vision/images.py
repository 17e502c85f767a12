"""The one reader of images: any common file becomes upright, 8-bit RGB, or says why it cannot."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from detector.errors import ImageError

Rgb = NDArray[np.uint8]
"""A picture of shape (h, w, 3), channels red, green, blue."""
Field = str | PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""What a user may give for one field."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2"})
"""File name endings, lower case, that are taken for images when a folder is searched."""

_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file")
"""How libjpeg's warnings of lost data begin."""
_warnings_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as it is displayed."""

    rgb: Rgb
    """Shape (h, w, 3), uint8, EXIF rotation applied, transparency laid over white."""
    note: str
    """What a user should know of it: that only the first of several pages was read, or that it is damaged; else empty."""


def read(path: Path) -> Rgb:
    """Pixels of an image file, of shape (h, w, 3), uint8 RGB, upright.

    Raises:
        ImageError: the file cannot be opened or is no complete image.
    """
    return load(path).rgb


def load(path: Path) -> Picture:
    """An image file and what a user should know of it.

    Eight bits a channel are read by Pillow, and most JPEG by libjpeg-turbo without it, which gives the same pixels in a
    third of the time; deeper ones by OpenCV, which Pillow would cut to the high byte. A deeper image is scaled by the
    smallest usual camera depth (8, 10, 12, 14, 16 bits) that holds its brightest value.

    Raises:
        ImageError: the file cannot be opened or is no complete image.
    """
    return decode(encoded(path))


def encoded(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: it cannot be opened or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be opened ({error.strerror or error})") from None
    if not content:
        raise ImageError("is empty (0 bytes)")
    return content


def decode(content: bytes) -> Picture:
    """The image in the bytes of a file.

    Raises:
        ImageError: the bytes are no complete image.
    """
    image = _identify(content)
    pages = getattr(image, "n_frames", 1)
    paged = f"first of {pages} pages" if pages > 1 and image.format != "MPO" else ""
    try:
        damage = ""
        if _is_deep(image):
            rgb = _deep_pixels(content, image)
        elif _is_plain_jpeg(image):
            rgb, damage = _jpeg_pixels(content, image)
        else:
            rgb = _pixels(image)
    except ImageError:
        raise
    # Decoders raise almost anything on damaged data: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise ImageError(f"is truncated or damaged ({_one_line(error)})") from None
    return Picture(rgb, "; ".join(filter(None, (paged, damage))))


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
        return np.ascontiguousarray(_to_camera_depth(over_white(values) if values.shape[2] == 4 else values))
    return np.ascontiguousarray(values) if values.shape[2] == 3 else _pixels(Image.fromarray(values))


def of_picture(picture: Image.Image) -> Rgb:
    """A picture of Pillow's as its file would be read; the picture itself stays as it is.

    Raises:
        ImageError: it cannot be decoded, or holds floating-point values.
    """
    try:
        if _is_deep(picture):
            # Pillow keeps the high byte of deep colour only, which is dark for most cameras: its file tells more.
            return decode(_content_of(picture)).rgb
        return _pixels(picture.copy())
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"is truncated or damaged ({_one_line(error)})") from None


def pixels_of(field: Field, bgr: bool = False) -> Callable[[], Rgb]:
    """What gives a field's pixels, as often as it is asked, and holds no more of them than was given.

    Args:
        bgr: pixels given as an array have the order blue, green, red.

    Raises:
        ImageError: what a file gave is empty. TypeError: it is nothing that a field may be.
    """
    if isinstance(field, np.ndarray):
        return partial(of_array, field, bgr)
    if isinstance(field, Image.Image):
        return partial(of_picture, field)
    if isinstance(field, (str, PathLike)):
        return partial(read, Path(field))
    content = field if isinstance(field, bytes) else field.read() if hasattr(field, "read") else None
    if not isinstance(content, bytes):
        raise TypeError(
            "a field is a path, bytes, a file opened for reading bytes ('rb'), a picture of Pillow's or an array, "
            f"got {type(field).__name__}{'' if content is None else ' that gives ' + type(content).__name__}"
        )
    if not content:
        raise ImageError("is empty (0 bytes)")
    return partial(_decoded, content)


def as_jpeg(rgb: Rgb, quality: int) -> bytes:
    """A picture as a JPEG file, of a quality from 0 to 100."""
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def shrink(rgb: Rgb, factor: float) -> Rgb:
    """A picture made smaller, or as it is where `factor` is 1; by whole steps first, which is quick and takes in every pixel."""
    h, w = rgb.shape[:2]
    wh = (max(1, round(w * factor)), max(1, round(h * factor)))
    step = int(1 / factor)
    if 1 < step <= min(h, w):
        whole = rgb[: h // step * step, : w // step * step]
        rgb = np.asarray(cv2.resize(whole, (w // step, h // step), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if wh == (rgb.shape[1], rgb.shape[0]):
        return rgb
    return np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def most_pixels() -> int:
    """Pixels of the largest picture that is read whole: Pillow's guard against decompression bombs."""
    return 2 * (Image.MAX_IMAGE_PIXELS or 0)


def over_white(rgba: NDArray[Any]) -> NDArray[Any]:
    """Colour of shape (h, w, 3) of a picture of shape (h, w, 4), whatever the order of its colours, laid over white."""
    white = np.iinfo(rgba.dtype).max
    if (rgba[:, :, 3] == white).all():
        return rgba[:, :, :3]
    alpha = rgba[:, :, 3:] / np.float64(white)
    return np.asarray(np.rint(rgba[:, :, :3] * alpha + white * (1 - alpha)), dtype=rgba.dtype)


def camera_depth(brightest: int) -> int:
    """Bits of the smallest usual camera depth that holds a value."""
    return next((bits for bits in (8, 10, 12, 14, 16) if brightest < 1 << bits), 16)


def to_eight_bits(values: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    """Values of so many bits as 8 bits; larger ones are white."""
    if values.dtype == np.uint8:
        return values
    return np.asarray((values.astype(np.uint32) * 255 // ((1 << depth) - 1)).clip(0, 255), dtype=np.uint8)


def is_deep(path: Path) -> bool:
    """Whether an image file holds more than 8 bits a channel; false for what is no image."""
    try:
        return _is_deep(_identify(path.read_bytes()))
    except (OSError, ImageError):
        return False


def _decoded(content: bytes) -> Rgb:
    return decode(content).rgb


def opener() -> Callable[..., ImageFile.ImageFile]:
    """Pillow's own `Image.open`.

    Ultralytics, once imported, puts another in its place, which installs a package for each file that is no image.
    """
    return getattr(sys.modules.get("ultralytics.utils.patches"), "_image_open", Image.open)


def _identify(content: bytes) -> Image.Image:
    try:
        # Pillow's guard against decompression bombs stays on: it warns first, then refuses at twice the size.
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return opener()(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ImageError("is not an image (its content is no known image format)") from None
    except Image.DecompressionBombError:
        limit = most_pixels() // 10**6
        raise ImageError(
            f"has more than {limit} million pixels; save it as a tiled TIFF, or cut it into smaller fields"
        ) from None
    except Exception as error:
        raise ImageError(f"is truncated or damaged ({_one_line(error)})") from None


def _is_deep(image: Image.Image) -> bool:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        return True
    # Sixteen-bit colour shows only in the raw mode of the encoded data, for example RGB;16B.
    return any(";16" in _raw_mode(tile[3]) for tile in getattr(image, "tile", []))


def _raw_mode(arguments: object) -> str:
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _is_plain_jpeg(image: Image.Image) -> bool:
    return image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(ExifTags.Base.Orientation, 1) == 1


def _jpeg_pixels(content: bytes, image: Image.Image) -> tuple[Rgb, str]:
    """Pixels, and what is wrong with them where a part of the data is damaged, which Pillow passes over in silence."""
    try:
        return simplejpeg.decode_jpeg(content, "RGB"), ""
    except ValueError as error:
        damaged = str(error).startswith(_DAMAGE)
        return _pixels(image), f"is damaged, parts of it may be wrong ({_one_line(error)})" if damaged else ""


def _pixels(image: Image.Image) -> Rgb:
    image.load()
    # In place, and converted only where there is need: copies cost as much as decoding.
    ImageOps.exif_transpose(image, in_place=True)
    if "A" in image.getbands() or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))


def _deep_pixels(content: bytes, image: Image.Image) -> Rgb:
    if image.mode == "F":
        raise ImageError("holds floating-point values; save it with 8 or 16 bits a channel")
    # Pillow finds truncation, which OpenCV passes over in silence.
    image.load()
    buffer = np.frombuffer(content, dtype=np.uint8)
    bgr = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if "A" in image.getbands():
        bgra = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        bgr = None if bgra is None else over_white(bgra)
    if bgr is None:
        raise ImageError("is truncated or damaged, or of a kind that cannot be read; save it as 8- or 16-bit PNG or TIFF")
    if bgr.dtype != np.uint8:
        bgr = _to_camera_depth(bgr)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _to_camera_depth(values: NDArray[Any]) -> NDArray[np.uint8]:
    return to_eight_bits(values, camera_depth(int(values.max())))


def _content_of(picture: Image.Image) -> bytes:
    """The file of a picture whose first page is not decoded yet; else a file of its values."""
    file = getattr(picture, "fp", None)
    if file is not None and getattr(picture, "tile", None) and not picture.tell():
        place = file.tell()
        file.seek(0)
        content: bytes = file.read()
        file.seek(place)
        return content
    if picture.mode == "F":
        raise ImageError("holds floating-point values; save it with 8 or 16 bits a channel")
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
