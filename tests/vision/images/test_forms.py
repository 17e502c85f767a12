"""One field in every container, depth, layout, orientation and kind of colour: its pixels come back equal, or it is refused.

Of damaged copies of these files nothing but an error of ours is ever raised.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from detector.errors import ImageError
from detector.vision import images

SAMPLE = Path(__file__).parents[3] / "datasets" / "samples" / "smear_a" / "field_01.jpg"

RGB = images.read(SAMPLE)[100:183, 200:297].copy()
"""Part of a rendered field, of shape (83, 97, 3): odd sides, that meet the edges of tiles nowhere."""
GREY = np.ascontiguousarray(RGB[:, :, 1])
GREY_RGB = np.repeat(GREY[:, :, None], 3, axis=2)


def deep(values: np.ndarray, bits: int) -> np.ndarray:
    """The same in so many bits."""
    return (values.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)


def with_alpha(values: np.ndarray, alpha: int) -> np.ndarray:
    return np.dstack([values, np.full(values.shape[:2], alpha, dtype=values.dtype)])


def stored(values: np.ndarray, orientation: int) -> np.ndarray:
    """As a camera that was held so stores a picture."""
    undone = {5: (1, 0, 2), 6: (1, 0, 2), 7: (1, 0, 2), 8: (1, 0, 2)}
    flip_y, flip_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    flipped = values[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(flipped.transpose(undone[orientation]) if orientation in undone else flipped)


def pillow(values: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def opencv(values: np.ndarray, suffix: str, *options: int) -> bytes:
    if values.ndim == 3:
        values = values[:, :, [2, 1, 0, 3][: values.shape[2]]]
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(values), options)[1])


def tiff(values: np.ndarray, **options: Any) -> bytes:
    """A TIFF file, without tifffile's own remarks in it."""
    file = io.BytesIO()
    grey = values.ndim == 2
    tifffile.imwrite(file, values, **{"photometric": "minisblack" if grey else "rgb", "metadata": None, **options})
    return file.getvalue()


def packed(values: np.ndarray, bits: int) -> bytes:
    try:
        return tiff(values, bitspersample=bits, compression="none")
    except (NotImplementedError, TypeError):
        pytest.skip("needs tifffile and imagecodecs of 2026 or later, which write packed bits")


def planes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def channels(values: np.ndarray, *axes: str, **metadata: Any) -> bytes:
    """Red, green and blue as pages of their own, as ImageJ, as OME-TIFF or as tifffile describes arrays."""
    kind = {} if axes[0] == "tifffile" else {axes[0]: True}
    return tiff(values, photometric="minisblack", metadata={"axes": axes[1], **metadata}, **kind)


def lut(*colours: int) -> list[np.ndarray]:
    """Tables of colours as ImageJ has them: which of red, green and blue each channel is."""
    return [np.outer(np.eye(3, dtype=np.uint8)[colour], np.arange(256)).astype(np.uint8) for colour in colours]


def codec(name: str, values: np.ndarray, **options: Any) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs", reason="written with the extra slides")
    return bytes(getattr(imagecodecs, f"{name}_encode")(values, **options))


def jp2(values: np.ndarray, bits: int, form: str = "jp2") -> bytes:
    return codec("jpeg2k", values, level=0, reversible=True, bitspersample=bits, codecformat=form)


def pnm(values: np.ndarray, white: int, magic: bytes = b"P6", words: bool = False) -> bytes:
    """A file of the PNM family, whose header says which value is white."""
    head = b"%s\n%d %d\n%d\n" % (magic, values.shape[1], values.shape[0], white)
    stored = ">u2" if white > 255 else "u1"
    return head + (b" ".join(b"%d" % v for v in values.ravel()) + b"\n" if words else values.astype(stored).tobytes())


def shallow_palette(values: np.ndarray) -> bytes:
    """A palette of 8 bits, where TIFF asks for 16."""
    return tiff(values, photometric="palette", colormap=np.repeat(np.arange(256, dtype=np.uint16)[None], 3, axis=0))


def cmyk(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).convert("CMYK").save(file, "JPEG", quality=100)
    return file.getvalue()


def without_marker(content: bytes) -> bytes:
    """A JPEG without what Adobe's programs write into it."""
    place = content.index(b"\xff\xee")
    return content[:place] + content[place + 2 + int.from_bytes(content[place + 2 : place + 4], "big") :]


def without_strip(values: np.ndarray) -> bytes:
    """A TIFF whose second strip was never written."""
    content = bytearray(tiff(values, rowsperstrip=20, compression="deflate"))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tag: Any = file.pages[0].tags["StripByteCounts"]
        size = {3: 2, 4: 4}[int(tag.dtype)]
    content[tag.valueoffset + size : tag.valueoffset + 2 * size] = bytes(size)
    return bytes(content)


def weighed(values: np.ndarray, most: int) -> np.ndarray:
    """Colours that are multiplied by half of an alpha, of which `most` is opaque."""
    half = most // 2
    return np.dstack([values.astype(np.uint32) * half // most, np.full(values.shape[:2], half)]).astype(values.dtype)


Form = tuple[Callable[[], bytes], int]
"""What writes it, and by how many grey levels a pixel may be off."""

COLOUR: dict[str, Form] = {
    "png": (lambda: pillow(RGB, "PNG"), 0),
    "apng": (lambda: pillow(RGB, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]), 0),
    "bmp": (lambda: pillow(RGB, "BMP"), 0),
    "dib": (lambda: pillow(RGB, "DIB"), 0),
    "ppm": (lambda: pillow(RGB, "PPM"), 0),
    "webp": (lambda: pillow(RGB, "WEBP", lossless=True), 0),
    "jp2": (lambda: pillow(RGB, "JPEG2000"), 0),
    "j2k": (lambda: jp2(RGB, 8, "j2k"), 0),
    "avif": (lambda: pillow(RGB, "AVIF", quality=100, subsampling="4:4:4"), 6),
    "jpeg 4:4:4": (lambda: pillow(RGB, "JPEG", quality=100, subsampling=0), 4),
    "jpeg progressive": (lambda: pillow(RGB, "JPEG", quality=100, subsampling=0, progressive=True), 4),
    "jpeg turned": (lambda: pillow(stored(RGB, 6), "JPEG", quality=100, subsampling=0, exif=turned(6)), 4),
    "jpeg cmyk": (lambda: cmyk(RGB), 4),
    "tiff": (lambda: pillow(RGB, "TIFF"), 0),
    "tiff lzw": (lambda: pillow(RGB, "TIFF", compression="tiff_lzw"), 0),
    "tiff deflate": (lambda: pillow(RGB, "TIFF", compression="tiff_adobe_deflate"), 0),
    "tiff packbits": (lambda: pillow(RGB, "TIFF", compression="packbits"), 0),
    "tiff big endian": (lambda: tiff(RGB, byteorder=">"), 0),
    "tiff bigtiff": (lambda: tiff(RGB, bigtiff=True), 0),
    "tiff strips": (lambda: tiff(RGB, rowsperstrip=7), 0),
    "tiff tiles": (lambda: tiff(RGB, tile=(32, 48)), 0),
    "tiff predictor": (lambda: tiff(RGB, compression="deflate", predictor=True), 0),
    "tiff zstd": (lambda: tiff(RGB, compression="zstd"), 0),
    "tiff planes": (lambda: tiff(planes(RGB), planarconfig="separate"), 0),
    "tiff planes in tiles": (lambda: tiff(planes(RGB), planarconfig="separate", tile=(32, 48), compression="deflate"), 0),
    "png 16": (lambda: opencv(deep(RGB, 16), ".png"), 0),
    "png 12": (lambda: opencv(deep(RGB, 12), ".png"), 1),
    "png 10": (lambda: opencv(deep(RGB, 10), ".png"), 1),
    "ppm 16": (lambda: opencv(deep(RGB, 16), ".ppm"), 1),
    "ppm 12 in 16": (lambda: pnm(deep(RGB, 12), 65535), 1),
    "ppm 12": (lambda: pnm(deep(RGB, 12), 4095), 1),
    "ppm 12 in 16 as words": (lambda: pnm(deep(RGB, 12), 65535, b"P3", words=True), 1),
    "ppm of 1,000 levels": (lambda: pnm(RGB.astype(np.uint32) * 1000 // 255, 1000), 1),
    "jp2 10": (lambda: jp2(deep(RGB, 10), 10), 1),
    "jp2 12": (lambda: jp2(deep(RGB, 12), 12), 1),
    "jp2 14": (lambda: jp2(deep(RGB, 14), 14), 1),
    "jp2 16": (lambda: jp2(deep(RGB, 16), 16), 0),
    "j2k 12": (lambda: jp2(deep(RGB, 12), 12, "j2k"), 1),
    "tiff 16": (lambda: tiff(deep(RGB, 16)), 0),
    "tiff 14": (lambda: tiff(deep(RGB, 14)), 1),
    "tiff 12": (lambda: tiff(deep(RGB, 12)), 1),
    "tiff 10": (lambda: tiff(deep(RGB, 10)), 1),
    "tiff 8 in 16": (lambda: tiff(RGB.astype(np.uint16)), 0),
    "tiff 16 big endian": (lambda: tiff(deep(RGB, 16), byteorder=">"), 0),
    "tiff 16 bigtiff": (lambda: tiff(deep(RGB, 16), bigtiff=True), 0),
    "tiff 16 strips": (lambda: tiff(deep(RGB, 16), rowsperstrip=7), 0),
    "tiff 16 tiles": (lambda: tiff(deep(RGB, 16), tile=(32, 48)), 0),
    "tiff 16 deflate": (lambda: tiff(deep(RGB, 16), compression="deflate", predictor=True), 0),
    "tiff 16 lzw": (lambda: tiff(deep(RGB, 16), compression="lzw"), 0),
    "tiff 16 planes": (lambda: tiff(planes(deep(RGB, 16)), planarconfig="separate"), 0),
    "tiff 16 planes in strips": (lambda: tiff(planes(deep(RGB, 16)), planarconfig="separate", rowsperstrip=9), 0),
    "tiff 12 planes in tiles": (
        lambda: tiff(planes(deep(RGB, 12)), planarconfig="separate", tile=(32, 48), compression="deflate"),
        1,
    ),
    "tiff signed 16": (lambda: tiff(deep(RGB, 15).astype(np.int16)), 1),
    "tiff signed 12": (lambda: tiff(deep(RGB, 12).astype(np.int16)), 1),
    "tiff signed 32": (lambda: tiff(deep(RGB, 16).astype(np.int32)), 0),
    "tiff 16 in 32": (lambda: tiff(deep(RGB, 16).astype(np.uint32)), 0),
    "tiff whole floats": (lambda: tiff(RGB.astype(np.float32)), 0),
    "rgba png": (lambda: pillow(with_alpha(RGB, 255), "PNG"), 0),
    "rgba png 16": (lambda: opencv(with_alpha(deep(RGB, 16), 65535), ".png"), 0),
    "rgba tiff": (lambda: tiff(with_alpha(RGB, 255), extrasamples=["unassalpha"]), 0),
    "rgba tiff 16": (lambda: tiff(with_alpha(deep(RGB, 16), 65535), extrasamples=["unassalpha"]), 0),
    "rgba tiff 16 weighed": (lambda: tiff(with_alpha(deep(RGB, 16), 65535), extrasamples=["assocalpha"]), 0),
    **{
        f"weighed tiff 8 {name} {alpha}": (lambda values=values, o=o: tiff(values, extrasamples=["assocalpha"], **o), tolerance)
        for name, o in {"": {}, "lzw": {"compression": "lzw"}, "tiles": {"tile": (32, 48), "compression": "deflate"}}.items()
        for alpha, values, tolerance in (
            ("unused", with_alpha(RGB, 0), 0),
            ("of one", with_alpha(RGB, 1), 0),
            ("halved", weighed(RGB, 255), 2),
        )
    },
    "weighed tiff 8 planes unused": (
        lambda: tiff(planes(with_alpha(RGB, 0)), planarconfig="separate", extrasamples=["assocalpha"]),
        0,
    ),
    "weighed tiff 8 turned unused": (
        lambda: tiff(stored(with_alpha(RGB, 0), 6), extrasamples=["assocalpha"], extratags=[(274, "H", 1, 6, True)]),
        0,
    ),
    "weighed tiff 16 unused": (lambda: tiff(with_alpha(deep(RGB, 16), 0), extrasamples=["assocalpha"]), 0),
    "weighed tiff 16 of one": (lambda: tiff(with_alpha(deep(RGB, 16), 1), extrasamples=["assocalpha"]), 0),
    "weighed tiff 16 halved": (lambda: tiff(weighed(deep(RGB, 16), 65535), extrasamples=["assocalpha"]), 1),
    "weighed tiff 12": (lambda: tiff(with_alpha(deep(RGB, 12), 4095), extrasamples=["assocalpha"]), 1),
    "weighed tiff 12 in 16": (lambda: tiff(with_alpha(deep(RGB, 12), 65535), extrasamples=["assocalpha"]), 1),
    "packbits tiff with predictor": (lambda: tiff(RGB, compression="packbits", predictor=True), 0),
    "unused alpha png": (lambda: pillow(with_alpha(RGB, 0), "PNG"), 0),
    "unused alpha png 16": (lambda: opencv(with_alpha(deep(RGB, 16), 0), ".png"), 0),
    "unused alpha bmp": (lambda: opencv(with_alpha(RGB, 0), ".bmp"), 0),
    "unused alpha webp": (lambda: pillow(with_alpha(RGB, 0), "WEBP", lossless=True, exact=True), 0),
    "unused alpha tiff": (lambda: tiff(with_alpha(RGB, 0), extrasamples=["unassalpha"]), 0),
    "unused alpha tiff 16": (lambda: tiff(with_alpha(deep(RGB, 16), 0), extrasamples=["unassalpha"]), 0),
    "fourth sample tiff": (lambda: tiff(with_alpha(RGB, 7), extrasamples=["unspecified"]), 0),
    "fourth sample tiff 16": (lambda: tiff(with_alpha(deep(RGB, 16), 7), extrasamples=["unspecified"]), 0),
    "imagej composite": (lambda: channels(planes(RGB), "imagej", "CYX", mode="composite"), 0),
    "imagej composite 16": (lambda: channels(planes(deep(RGB, 16)), "imagej", "CYX", mode="composite"), 0),
    "imagej composite 12": (lambda: channels(planes(deep(RGB, 12)), "imagej", "CYX", mode="composite"), 1),
    "imagej composite of blue, green, red": (
        lambda: channels(planes(RGB[:, :, ::-1]), "imagej", "CYX", mode="composite", LUTs=lut(2, 1, 0)),
        0,
    ),
    "imagej planes of focus": (
        lambda: channels(np.stack([planes(RGB), planes(255 - RGB)]), "imagej", "ZCYX", mode="composite"),
        0,
    ),
    "imagej slices called red, green, blue": (
        lambda: channels(planes(RGB), "imagej", "ZYX", Labels=["Red", "Green", "Blue"]),
        0,
    ),
    "imagej greys called blue, green, red": (
        lambda: channels(planes(RGB[:, :, ::-1]), "imagej", "CYX", mode="grayscale", Labels=["Blue", "Green", "Red"]),
        0,
    ),
    "tifffile's channels": (lambda: channels(planes(RGB), "tifffile", "CYX"), 0),
    "tifffile's channels 12": (lambda: channels(planes(deep(RGB, 12)), "tifffile", "CYX"), 1),
    "tifffile's planes of focus": (
        lambda: channels(np.stack([planes(RGB), planes(255 - RGB)], axis=1), "tifffile", "CZYX"),
        0,
    ),
    "tifffile's blue, green, red": (
        lambda: channels(planes(RGB[:, :, ::-1]), "tifffile", "CYX", Channel={"Name": ["blue", "green", "red"]}),
        0,
    ),
    "ome": (lambda: channels(planes(RGB), "ome", "CYX"), 0),
    "ome of numbered channels": (
        lambda: channels(planes(RGB), "ome", "CYX", Channel={"Name": ["Channel 1", "Channel 2", "Channel 3"]}),
        0,
    ),
    "ome of channels B, G, R": (
        lambda: channels(planes(RGB[:, :, ::-1]), "ome", "CYX", Channel={"Name": ["Channel B", "Channel G", "Channel R"]}),
        0,
    ),
    "ome 16": (lambda: channels(planes(deep(RGB, 16)), "ome", "CYX"), 0),
    "ome rgb": (lambda: tiff(RGB, ome=True, metadata={"axes": "YXS"}), 0),
    "ome of blue, green, red": (
        lambda: channels(planes(RGB[:, :, ::-1]), "ome", "CYX", Channel={"Name": ["Blue", "Green", "Red"]}),
        0,
    ),
    "ome planes of focus first": (
        lambda: channels(np.stack([planes(RGB), planes(255 - RGB)], axis=1), "ome", "CZYX"),
        0,
    ),
    "ome channels first": (
        lambda: channels(np.stack([planes(RGB), planes(255 - RGB)]), "ome", "ZCYX"),
        0,
    ),
    **{
        f"{kind} turned {n}": (write, 0)
        for n in range(2, 9)
        for kind, write in {
            "png": lambda n=n: pillow(stored(RGB, n), "PNG", exif=turned(n)),
            "tiff": lambda n=n: tiff(stored(RGB, n), extratags=[(274, "H", 1, n, True)]),
            "tiff 16": lambda n=n: tiff(deep(stored(RGB, n), 16), extratags=[(274, "H", 1, n, True)]),
        }.items()
    },
}

GREYS: dict[str, Form] = {
    "png": (lambda: pillow(GREY, "PNG"), 0),
    "bmp": (lambda: pillow(GREY, "BMP"), 0),
    "gif": (lambda: pillow(GREY, "GIF"), 0),
    "pgm": (lambda: pillow(GREY, "PPM"), 0),
    "pgm 12": (lambda: pnm(deep(GREY, 12), 4095, b"P5"), 1),
    "pgm 12 in 16": (lambda: pnm(deep(GREY, 12), 65535, b"P5"), 1),
    "pgm 12 as words": (lambda: pnm(deep(GREY, 12), 4095, b"P2", words=True), 1),
    "tiff palette of 8 bits": (lambda: shallow_palette(GREY), 0),
    "weighed tiff": (
        lambda: tiff(
            np.dstack([GREY, np.zeros_like(GREY)]), planarconfig="contig", photometric="minisblack", extrasamples=["assocalpha"]
        ),
        0,
    ),
    "jp2": (lambda: pillow(GREY, "JPEG2000"), 0),
    "tiff": (lambda: tiff(GREY), 0),
    "tiff palette": (
        lambda: tiff(GREY, photometric="palette", colormap=np.repeat((np.arange(256) * 257)[None], 3, axis=0).astype(np.uint16)),
        0,
    ),
    "tiff white is zero": (lambda: tiff(255 - GREY, photometric="miniswhite"), 0),
    "tiff white is zero 16": (lambda: tiff(65535 - deep(GREY, 16), photometric="miniswhite"), 1),
    "tiff white is zero 12": (lambda: tiff(4095 - deep(GREY, 12), photometric="miniswhite"), 1),
    "tiff white is zero 16 in tiles": (
        lambda: tiff(65535 - deep(GREY, 16), photometric="miniswhite", tile=(32, 48), compression="deflate"),
        1,
    ),
    **{f"tiff {bits}": (lambda bits=bits: tiff(deep(GREY, bits)), 1) for bits in (10, 12, 14, 16)},
    **{f"png {bits}": (lambda bits=bits: opencv(deep(GREY, bits), ".png"), 1) for bits in (10, 12, 14, 16)},
    **{f"jp2 {bits}": (lambda bits=bits: jp2(deep(GREY, bits), bits), 1) for bits in (10, 12, 14, 16)},
    "png with alpha": (lambda: pillow(np.dstack([GREY, np.full_like(GREY, 255)]), "PNG"), 0),
    "png with unused alpha": (lambda: pillow(np.dstack([GREY, np.zeros_like(GREY)]), "PNG"), 0),
    "png 16 with alpha": (lambda: codec("png", np.dstack([deep(GREY, 16), np.full(GREY.shape, 65535, np.uint16)])), 0),
    "png 16 with unused alpha": (lambda: codec("png", np.dstack([deep(GREY, 16), np.zeros(GREY.shape, np.uint16)])), 0),
    "tiff packed 12": (lambda: packed(deep(GREY, 12), 12), 1),
    "tiff signed 16": (lambda: tiff(deep(GREY, 15).astype(np.int16)), 1),
    "ome": (lambda: tiff(GREY, ome=True, metadata={"axes": "YX"}), 0),
    "imagej": (lambda: tiff(GREY, imagej=True, metadata={"axes": "YX"}), 0),
    "imagej stack": (lambda: channels(np.stack([GREY, 255 - GREY]), "imagej", "ZYX"), 0),
}

_SIGNED = (RGB.astype(np.int16) - 128) * 256
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "tiff floats": (lambda: tiff(RGB.astype(np.float32) / 255), "holds floating-point values; save it with 8 or 16 bits"),
    "tiff grey floats": (lambda: tiff(GREY.astype(np.float32) / 255), "holds floating-point values; save it with 8 or 16 bits"),
    "tiff half floats": (lambda: tiff(RGB.astype(np.float16) / 255), "holds floating-point values; save it with 8 or 16 bits"),
    "tiff signed 16": (lambda: tiff(_SIGNED), "holds values below zero; save it with 8 or 16 bits"),
    "tiff signed 8": (lambda: tiff((RGB // 2).astype(np.int8)), "save it with 8 or 16 bits"),
    "tiff 32": (lambda: tiff(RGB.astype(np.uint32) * 16_843_009), "holds values of 32 bits; save it with 8 or 16 bits"),
    "tiff cmyk 16": (lambda: tiff(with_alpha(deep(RGB, 16), 0), photometric="separated"), "kind SEPARATED; save it as RGB"),
    "tiff five samples": (
        lambda: tiff(np.dstack([deep(RGB, 16)] * 2)[:, :, :5], extrasamples=["unspecified"] * 2),
        "has 5 samples a pixel .* save it as RGB",
    ),
    "imagej two channels": (lambda: channels(planes(RGB)[:2], "imagej", "CYX", mode="composite"), "holds 2 channels .* as RGB"),
    "ome four channels": (
        lambda: channels(planes(with_alpha(RGB, 9)), "ome", "CYX"),
        "holds 4 channels as pictures of their own; save it as RGB",
    ),
    "ome of dyes": (
        lambda: channels(planes(RGB), "ome", "CYX", Channel={"Name": ["DAPI", "FITC", "TRITC"]}),
        "three channels that are not red, green and blue; save it as RGB",
    ),
    "ome of wavelengths": (
        lambda: channels(planes(RGB), "ome", "CYX", Channel={"EmissionWavelength": [450, 550, 650]}),
        "three channels that are not red, green and blue; save it as RGB",
    ),
    "tifffile's two channels": (lambda: channels(planes(RGB)[:2], "tifffile", "CYX"), "holds 2 channels .* as RGB"),
    "tiff 8 deflate without a strip": (lambda: without_strip(RGB), "is truncated or damaged"),
    "tiff 16 deflate without a strip": (lambda: without_strip(deep(RGB, 16)), "a part of the picture was never written"),
    "pfm": (
        lambda: b"Pf\n97 83\n-1.0\n" + (GREY[::-1] / 255).astype("<f4").tobytes(),
        "holds floating-point values; save it with 8 or 16 bits",
    ),
    "jpeg cmyk without a marker": (
        lambda: without_marker(cmyk(RGB)),
        "CMYK that does not tell which value is ink; save it as RGB",
    ),
    "imagej red, red, green": (
        lambda: channels(planes(RGB), "imagej", "CYX", mode="composite", LUTs=lut(0, 0, 1)),
        "not red, green and blue; save it as RGB",
    ),
    "jpeg 12": (lambda: codec("jpeg8", deep(RGB, 12), bitspersample=12), "JPEG of a rare kind .*; save it as PNG or TIFF"),
    "jpeg ls": (lambda: codec("jpegls", RGB), "JPEG of a rare kind .*; save it as PNG or TIFF"),
    "jpeg xl": (lambda: codec("jpegxl", RGB), "is JPEG XL, which is not read; save it as"),
    "raw in tiff": (lambda: tiff(deep(GREY, 14), photometric=32803), "is a camera's raw file, .* develop it"),
    "dng": (lambda: tiff(RGB, extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]), "is a camera's raw file, .* develop it"),
}


def _assert_shows(content: bytes, expected: np.ndarray, tolerance: int) -> None:
    rgb = images.decode(content).rgb
    assert rgb.dtype == np.uint8
    assert rgb.shape == expected.shape
    assert rgb.flags.c_contiguous
    assert int(np.abs(rgb.astype(int) - expected).max()) <= tolerance


@pytest.mark.parametrize("form", COLOUR)
def test_the_field_in_colour_comes_back(form: str) -> None:
    write, tolerance = COLOUR[form]
    _assert_shows(write(), RGB, tolerance)


@pytest.mark.parametrize("form", GREYS)
def test_the_field_in_grey_comes_back(form: str) -> None:
    write, tolerance = GREYS[form]
    _assert_shows(write(), GREY_RGB, tolerance)


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_not_surely_known_is_refused_with_what_would_work(form: str) -> None:
    write, reason = REFUSED[form]
    with pytest.raises(ImageError, match=reason):
        images.decode(write())


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize(
    "write", [lambda values: opencv(values, ".png"), tiff, lambda values: tiff(planes(values), planarconfig="separate")]
)
def test_single_pixels_and_lines_of_a_broken_sensor_tell_no_depth(write: Callable[[np.ndarray], bytes], bits: int) -> None:
    values, expected = deep(RGB, bits), RGB.copy()
    for place, level in ((np.s_[20, 30], 65535), (np.s_[:, 50, 0], 50000), (np.s_[82, 96], 65535)):
        values[place], expected[place] = level, 255
    _assert_shows(write(values), expected, 0 if bits == 8 else 1)
    assert np.abs(images.of_array(values).astype(int) - expected).max() <= 1


PART = np.full(GREY.shape, 255, dtype=np.uint8)
"""An alpha that hides a part, and half of another."""
PART[:20, :30], PART[40:50, 40:60] = 0, 128
SEEN = np.rint(RGB * (PART[:, :, None] / 255) + 255 * (1 - PART[:, :, None] / 255)).astype(np.uint8)


def _partly(bits: int, opaque: int, multiplied: bool) -> np.ndarray:
    values = RGB.astype(np.uint16) if bits == 8 else deep(RGB, bits)
    colours = values * (PART[:, :, None] / 255) if multiplied else np.where(PART[:, :, None] > 0, values, 65535)
    return np.dstack([colours, PART * (opaque / 255)]).astype(np.uint16)


@pytest.mark.parametrize("full", [False, True], ids=["of the camera's depth", "of 16 bits"])
@pytest.mark.parametrize("multiplied", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_white_behind_a_deep_picture_is_white_in_its_depth(bits: int, multiplied: bool, full: bool) -> None:
    values = _partly(bits, 65535 if full else (1 << bits) - 1, multiplied)
    _assert_shows(tiff(values, extrasamples=["assocalpha" if multiplied else "unassalpha"]), SEEN, 2)
    if not multiplied:
        _assert_shows(opencv(values, ".png"), SEEN, 2)
        assert np.abs(images.of_array(values).astype(int) - SEEN).max() <= 2


def test_white_behind_a_deep_grey_picture() -> None:
    values = np.dstack([deep(GREY, 16), deep(PART, 16)])
    content = tiff(values, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    _assert_shows(content, np.repeat(SEEN[:, :, 1:2], 3, axis=2), 1)


@pytest.mark.parametrize("form", [name for name in COLOUR if "turned" not in name] + ["webp with losses", "jpeg"])
def test_a_file_that_was_cut_shows_all_or_is_refused(form: str) -> None:
    losses = {"webp with losses": "WEBP", "jpeg": "JPEG"}
    content = pillow(RGB, losses[form]) if form in losses else COLOUR[form][0]()
    whole = images.decode(content).rgb
    for length in np.linspace(0.02, 0.99, 24) * len(content):
        try:
            rgb = images.decode(content[: int(length)]).rgb
        except ImageError:
            continue
        assert np.array_equal(rgb, whole), f"{int(length)} of {len(content)} bytes"


def test_there_are_enough_forms() -> None:
    assert len(COLOUR) + len(GREYS) >= 60


WRITERS = {
    **{f"colour {name}": write for name, (write, _) in COLOUR.items()},
    **{f"grey {name}": write for name, (write, _) in GREYS.items()},
    **{f"refused {name}": write for name, (write, _) in REFUSED.items()},
    "mpo": lambda: pillow(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB)]),
    "gif of two": lambda: pillow(RGB, "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "tiff of four": lambda: pillow(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(255 - RGB)] * 3),
}


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A file with something wrong in it: single bytes, whole numbers, a part lost, doubled or emptied, or its end."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        # Headers are where readers go wrong.
        at = rng.randrange(min(len(changed), rng.choice((64, 400, len(changed)))))
        kind = rng.randrange(7)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[at : at + 4] = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 65535)).to_bytes(4, rng.choice(("big", "little")))
        elif kind == 3:
            del changed[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            changed[at:at] = changed[at : at + rng.randrange(1, 40)]
        elif kind == 5:
            changed[at : at + 30] = bytes(len(changed[at : at + 30]))
        else:
            del changed[max(1, at) :]
        if not changed:
            return b"\0"
    return bytes(changed)


@pytest.mark.parametrize("white", [1, 100, 254, 256, 1000, 4095, 65534])
@pytest.mark.parametrize("magic", [b"P5", b"P6"])
def test_a_white_of_a_files_own_is_scaled_as_pillow_scales_it(magic: bytes, white: int) -> None:
    shape = (7, 9) if magic == b"P5" else (7, 9, 3)
    most = 255 if white < 256 else 65535
    values = np.random.default_rng(white).integers(0, min(white + 20, most), shape, endpoint=True)
    content = pnm(values, white, magic)
    expected = np.asarray(Image.open(io.BytesIO(content))).astype(float)
    if expected.max() > 255:  # grey of more than 8 bits, which Pillow scales to 16
        expected = expected / 65535 * 255
    rgb = images.decode(content).rgb.astype(float)
    assert np.abs(rgb - expected.reshape(7, 9, -1)).max() <= (0 if magic == b"P6" or white < 256 else 0.51)
    with pytest.raises(ImageError, match="end too early"):
        images.decode(content[:-1])


def _try(form: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    content = WRITERS[form]()
    rng = random.Random(f"damage to {form}")
    reasons = []
    for _ in range(times):
        try:
            rgb = images.decode(mutated(content, rng)).rgb
        except ImageError as error:
            reasons.append(str(error))
            continue
        assert rgb.dtype == np.uint8
        assert rgb.shape[2:] == (3,)
    assert all(reason.isprintable() and reason for reason in reasons)


@pytest.mark.parametrize("form", WRITERS)
def test_a_damaged_file_is_read_or_is_an_image_error(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _try(form, 12, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
def test_many_damaged_files_are_read_or_are_image_errors(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _try(form, 120, monkeypatch)
