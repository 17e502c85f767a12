"""Counting on this computer: several fields at a time, results in the order of the inputs."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.engines.inputs import FieldInput
from detector.engines.pool import in_order
from detector.errors import ImageError, OutputError, SmearcountError
from detector.output import overlay
from detector.output.report import pictures
from detector.vision import finder, images, quality
from detector.vision.detections import Detections, Unread
from detector.vision.model import Model
from detector.vision.quality import Quality
from detector.vision.scale import Estimate, Scale, estimate, of_smear, probes

_FEWEST_FIELDS = 3
"""Fields of a smear from which on several of them tell its scale; in fewer each tells its own."""


@dataclass(frozen=True)
class FieldResult:
    """What came of one field."""

    input: FieldInput
    found: Detections | Unread
    note: str = ""
    """What a user should know of a field that was read; else empty."""
    quality: Quality | None = None
    """How good the field is to count in; None where it was not read."""
    scale: Scale | None = None
    """The width of red cells that was taken; None where it was not read."""
    picture: bytes = b""
    """The field as a small JPEG, where one was asked for."""


class SmearScales:
    """The scale of each smear, found once from several of its fields, when the first of them is counted.

    It is the same whichever field is first, and however many are worked on at a time.
    """

    def __init__(self, model: Model, fields: Sequence[FieldInput]) -> None:
        """Take all fields of the smears, also those that are counted already."""
        self._model = model
        self._fields: dict[str, list[FieldInput]] = {}
        for one in fields:
            if one.um_per_px is None and not one.problem:
                self._fields.setdefault(one.smear, []).append(one)
        self._locks = {smear: threading.Lock() for smear in self._fields}
        self._known: dict[str, Scale] = {}

    def of(self, one: FieldInput) -> Scale | None:
        """The scale of a field as its user gave it, or of its smear; None where the field alone is to tell it."""
        if one.um_per_px is not None:
            return Scale.given(one.um_per_px)
        own = self._fields[one.smear]
        if len(own) < _FEWEST_FIELDS:
            return None
        with self._locks[one.smear]:
            if one.smear not in self._known:
                self._known[one.smear] = of_smear([self._estimate(own[i]) for i in probes(len(own))])
        return self._known[one.smear]

    def _estimate(self, one: FieldInput) -> Estimate | None:
        try:
            return estimate(self._model, images.load(one.path).rgb)
        except ImageError:
            return None


def detect_field(
    one: FieldInput, model: Model, scales: SmearScales, overlays: Path | None = None, picture_bytes: int = 0, workers: int = 1
) -> FieldResult:
    """Read and detect one field, and measure how good it is to count in.

    Args:
        scales: of the smears.
        overlays: folder to draw its cells in; None draws none.
        picture_bytes: most bytes of a small picture of it; with 0 none is made.
        workers: tiles of a large field that are looked at at a time.

    Raises:
        OutputError: the overlay cannot be written.
    """
    if one.problem:
        return FieldResult(one, Unread(one.field, one.problem))
    with images.room(one.path):
        return _detected(one, model, scales, overlays, picture_bytes, workers)


def _detected(
    one: FieldInput, model: Model, scales: SmearScales, overlays: Path | None, picture_bytes: int, workers: int
) -> FieldResult:
    """The same of a field for which there is room."""
    try:
        picture = images.load(one.path)
    except ImageError as error:
        return FieldResult(one, Unread(one.field, str(error)))
    try:
        searched = finder.find(model, picture.rgb, scales.of(one), workers=workers)
        found = searched.cells
        measured = quality.measure(picture.rgb, found)
    except SmearcountError:
        raise
    # Whatever one field does to the model (out of memory, a failure in native code) must not cost the others their counts.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return FieldResult(one, Unread(one.field, f"could not be searched for cells ({reason})"))
    if overlays is not None:
        target = overlay.path_of(overlays, one.field)
        try:
            overlay.write(picture.rgb, found, target)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from None
    small = pictures.small(picture.rgb, picture_bytes) if picture_bytes else b""
    note = "; ".join(filter(None, (picture.note, searched.note)))
    return FieldResult(one, found, note, measured, searched.scale, small)


def run(
    fields: Sequence[FieldInput],
    model: Model,
    workers: int,
    scales: SmearScales,
    overlays: Path | None = None,
    picture_bytes: int = 0,
) -> Generator[FieldResult]:
    """Results of the fields, in their order, while `workers` of them are worked on at a time.

    Each field, or each of its tiles, goes through the model by itself on one thread, so no result depends on what stands beside it.
    Where there are fewer fields than workers, several tiles of a field are looked at at a time.
    """
    spare = -(-workers // max(len(fields), 1))
    return in_order(lambda one: detect_field(one, model, scales, overlays, picture_bytes, spare), fields, workers)
