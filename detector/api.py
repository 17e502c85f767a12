"""Counting from Python, by the same functions that the commands call."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.engines import inputs, job
from detector.engines import manifest as manifests
from detector.engines.pool import workers_for
from detector.output.outcome import Outcome
from detector.vision import backends, finder, images
from detector.vision.detections import Detections
from detector.vision.model import Model, processors
from detector.vision.scale import Scale


class Detector:
    """A model ready to find and count cells; safe to share between threads."""

    def __init__(
        self, model: str | PathLike[str] | None = None, backend: str = backends.AUTO, threads: int | None = None
    ) -> None:
        """Load a model.

        Args:
            model: an `.onnx` file made by detector.train or detector.export; None is the one shipped.
            backend: what runs it, one of `detector.vision.backends.NAMES`.
            threads: fields, or tiles of a large one, that are worked on at a time; None is one more than there are processors.

        Raises:
            ModelError: no such file, no model of ours, or not the one that its card describes.
            UsageError: the backend is not known or not there.
        """
        self._workers = workers_for(threads)
        self.model = Model.load(None if model is None else Path(model), backend, threads or processors())

    def detect(self, field: str | PathLike[str] | NDArray[np.uint8], um_per_px: float | None = None) -> Detections:
        """Cells of one field.

        Args:
            field: an image file, or pixels of shape (h, w, 3), uint8, red, green, blue.
            um_per_px: micrometres per pixel, where known.

        Raises:
            ImageError: the file cannot be read. ValueError: the array has another shape or type.
        """
        if isinstance(field, np.ndarray):
            if field.ndim != 3 or field.shape[2] != 3 or field.dtype != np.uint8 or not field.size:
                raise ValueError(f"pixels must have shape (h, w, 3) and type uint8, got {field.shape} and {field.dtype}")
            rgb = field
        else:
            rgb = images.read(Path(field))
        scale = None if um_per_px is None else Scale.given(um_per_px)
        return finder.find(self.model, rgb, scale, workers=self._workers).cells

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
