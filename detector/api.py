"""Counting from Python, by the same functions that the commands call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.engines import inputs, job
from detector.engines import manifest as manifests
from detector.engines.pool import workers_for
from detector.errors import ImageError
from detector.output.outcome import Outcome
from detector.vision import backends, finder, images
from detector.vision.detections import Detections
from detector.vision.model import Model, processors
from detector.vision.scale import Scale

Field = str | PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""What `Detector.detect` takes for one field."""


class Detector:
    """A model ready to find and count cells; safe to share between threads."""

    def __init__(
        self, model: str | PathLike[str] | None = None, backend: str = backends.AUTO, threads: int | None = None
    ) -> None:
        """Load a model.

        Args:
            model: an `.onnx` file made by detector.train or detector.export; None is the one shipped.
            backend: what runs it, one of `detector.vision.backends.NAMES`; nobody has run those of `backends.EXPERIMENTAL`.
            threads: fields, or tiles of a large one, that are worked on at a time; None is one more than there are processors.

        Raises:
            ModelError: no such file, no model of ours, or not the one that its card describes.
            UsageError: the backend is not known or not there.
        """
        self._workers = workers_for(threads)
        self.model = Model.load(None if model is None else Path(model), backend, threads or processors())

    def __repr__(self) -> str:
        return f"Detector({str(self.model.path)!r}, backend={self.model.network.backend!r})"

    @overload
    def detect(self, field: Field, um_per_px: float | None = None, *, bgr: bool = False) -> Detections: ...

    @overload
    def detect(
        self, field: list[Any] | tuple[Field, ...], um_per_px: float | None = None, *, bgr: bool = False
    ) -> list[Detections]: ...

    def detect(
        self, field: Field | list[Any] | tuple[Field, ...], um_per_px: float | None = None, *, bgr: bool = False
    ) -> Detections | list[Detections]:
        """Cells of one field, or of each in a list.

        Args:
            field: an image file's path, its bytes or the file opened for reading bytes; a picture of Pillow's; or pixels of shape
                (h, w), (h, w, 3) or (h, w, 4), uint8 or uint16, in the order red, green, blue, alpha. Whatever it is, the cells
                are those of the same pixels in a file. A list or tuple of these gives a list.
            um_per_px: micrometres per pixel, where known.
            bgr: pixels given as arrays have the order blue, green, red, as OpenCV's have.

        Raises:
            ImageError: a file or picture cannot be read. ValueError: an array has another shape or type. TypeError: a field is
                nothing of these. Each names the file, or which image of a list it is.
        """
        if not isinstance(field, (list, tuple)):
            return self._detect(field, um_per_px, bgr, "image")
        return [
            self._detect(each, um_per_px, bgr, f"image {number} of {len(field)}") for number, each in enumerate(field, start=1)
        ]

    def _detect(self, field: Field, um_per_px: float | None, bgr: bool, name: str) -> Detections:
        if isinstance(field, (str, PathLike)):
            name = str(field)
        elif hasattr(field, "read"):
            name = str(getattr(field, "name", name))
        try:
            pixels = _pixels_of(field, bgr)
            rgb = pixels()
        except (ImageError, ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None
        scale = None if um_per_px is None else Scale.given(um_per_px)
        cells = finder.find(self.model, rgb, scale, workers=self._workers).cells
        return replace(cells, pixels=pixels)

    def count(
        self,
        *paths: str | PathLike[str],
        manifest: str | PathLike[str] | None = None,
        um_per_px: float | None = None,
    ) -> Outcome:
        """Counts of fields and smears in files, folders (each subfolder is a smear) and patterns; writes nothing.

        Args:
            manifest: CSV file with the columns `field,smear[,um_per_px]`.
            um_per_px: micrometres per pixel of fields for which the manifest gives none.

        Raises:
            NothingToDoError: there is no field. ManifestError: the manifest is not valid.
        """
        table = None if manifest is None else manifests.read(Path(manifest))
        fields = inputs.find([str(path) for path in paths], table, um_per_px)
        return job.count(fields, self.model, self._workers)


def _pixels_of(field: Field, bgr: bool) -> Callable[[], images.Rgb]:
    """What gives a field's pixels, as often as it is asked, and holds no more of them than was given."""
    if isinstance(field, np.ndarray):
        return partial(images.of_array, field, bgr)
    if isinstance(field, Image.Image):
        return partial(images.of_picture, field)
    if isinstance(field, (str, PathLike)):
        return partial(images.read, Path(field))
    content = field if isinstance(field, bytes) else field.read() if hasattr(field, "read") else None
    if not isinstance(content, bytes):
        raise TypeError(
            "a field is a path, bytes, a file opened for reading bytes ('rb'), a picture of Pillow's or an array, "
            f"got {type(field).__name__}{'' if content is None else ' that gives ' + type(content).__name__}"
        )
    if not content:
        raise ImageError("is empty (0 bytes)")
    return partial(_decoded, content)


def _decoded(content: bytes) -> images.Rgb:
    return images.decode(content).rgb
