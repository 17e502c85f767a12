"""The one reader of images: any common file becomes upright, 8-bit RGB, or says why it cannot."""

from detector.vision.images.files import SUFFIXES, UNREAD, encoded, opened
from detector.vision.images.pixels import (
    Rgb,
    as_jpeg,
    brightest,
    camera_depth,
    most_pixels,
    over_white,
    shrink,
    to_eight_bits,
)
from detector.vision.images.reading import (
    Field,
    Picture,
    decode,
    is_deep,
    load,
    of_array,
    of_picture,
    opener,
    pixels_of,
    read,
    size_of,
)
from detector.vision.images.room import room

__all__ = [
    "SUFFIXES",
    "UNREAD",
    "Field",
    "Picture",
    "Rgb",
    "as_jpeg",
    "brightest",
    "camera_depth",
    "decode",
    "encoded",
    "is_deep",
    "load",
    "most_pixels",
    "of_array",
    "of_picture",
    "opened",
    "opener",
    "over_white",
    "pixels_of",
    "read",
    "room",
    "shrink",
    "size_of",
    "to_eight_bits",
]
