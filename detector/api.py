"""Counting from Python, by the same functions that the commands call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, overload

from detector.counting.result import FieldResult
from detector.engines import job
from detector.engines.local import Work
from detector.engines.options import CountOptions
from detector.engines.pool import workers_for
from detector.errors import ImageError
from detector.output.outcome import Outcome
from detector.output.report import pictures
from detector.vision import backends, finder, images, scan
from detector.vision.detections import Detections
from detector.vision.images import Field
from detector.vision.model import Model, processors
from detector.vision.scale import Scale
from detector.vision.shapes import ShapeModel

Place = str | PathLike[str]
"""A file, a folder or a pattern."""


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
        self._backend, self._threads, self._workers = backend, threads, workers_for(threads)
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
            self._detect(image, um_per_px, bgr, f"image {number} of {len(field)}") for number, image in enumerate(field, start=1)
        ]

    def _detect(self, field: Field, um_per_px: float | None, bgr: bool, name: str) -> Detections:
        if isinstance(field, (str, PathLike)):
            name = str(field)
        elif hasattr(field, "read"):
            name = str(getattr(field, "name", name))
        try:
            give = images.picture_of(field, bgr)
            picture = give()
        except (ImageError, ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None
        scale = Scale.stated(picture.um_per_px) if um_per_px is None else Scale.given(um_per_px)
        cells = finder.find(self.model, picture.rgb, scale, workers=self._workers).cells
        return replace(cells, pixels=partial(images.pixels_of, give))

    def count(
        self,
        *inputs: Place | Sequence[Place],
        manifest: Place | None = None,
        um_per_px: float | None = None,
        rbc_per_ul: float | None = None,
        ul_factor: float | None = None,
        truth: Place | None = None,
        tile_px: int = CountOptions.tile_px,
        shapes: bool = False,
    ) -> Outcome:
        """Counts of fields and smears, as `detector.count` gives them; writes nothing before `Outcome.save`.

        Args:
            inputs: images, slides, folders (each subfolder is a smear) and patterns, or lists of these.
            manifest: CSV or .xlsx file with the columns `field,smear[,um_per_px][,rbc_per_ul]`.
            um_per_px: micrometres per pixel of fields for which the manifest gives none: gives counts per mm².
            rbc_per_ul: red cells per µL from an analyser, of smears for which the manifest gives none: gives counts per µL.
            ul_factor: your own factor from cells per mm² to cells per µL, in mm² per µL.
            truth: labels (VOC, YOLO, COCO) or a CSV or .xlsx file of manual counts to compare with.
            tile_px: side of a slide's tiles in the model's own pixels.
            shapes: shares of red cell shapes too: `Outcome.shapes`.

        Raises:
            NothingToDoError: there is no field. ManifestError: the manifest or the truth is not valid. UsageError: a calibration is not
                possible. AnnotationError: labels that are none.
        """
        started = time.time()
        names, listed, labels = list(_names(inputs)), _path(manifest), _path(truth)
        options = CountOptions(
            names, listed, um_per_px, rbc_per_ul, ul_factor, labels, self._backend, self._threads, tile_px, shapes=shapes
        )
        searched = job.search(options)
        fields = searched.fields
        scan.check_tile(tile_px, self.model.card)
        true_counts = None if options.truth is None else job.truth_of(options.truth)
        results: list[FieldResult] = []
        small = pictures.most_bytes(len(fields))
        work = Work(self.model, self._workers, picture_bytes=small, tile_px=tile_px, shapes=ShapeModel.load() if shapes else None)
        outcome = job.completed(job.count_fields(fields, work, on_result=results.append), options, searched, self.model, started)
        outcome = replace(outcome, results=tuple(results))
        if true_counts is None:
            return outcome
        from detector.accuracy.report import metrics  # imports much, which few counts need

        compared = metrics.against_truth(job.compare(outcome, true_counts), true_counts.remarks)
        return replace(outcome, against_truth=compared)


def _names(inputs: Sequence[Place | Sequence[Place]]) -> Iterator[str]:
    for given in inputs:
        yield from [str(given)] if isinstance(given, (str, PathLike)) else map(str, given)


def _path(given: Place | None) -> Path | None:
    return None if given is None else Path(given)
