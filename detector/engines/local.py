"""Counting on this computer: several fields at a time, results in the order of the inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from detector.counting.result import FieldResult
from detector.engines.inputs import FieldInput
from detector.engines.pool import in_order
from detector.errors import ImageError, SmearcountError, writing
from detector.output import overlay
from detector.output.journal import Journal
from detector.output.report import pictures
from detector.texts import one_line
from detector.vision import finder, images, quality, tiles
from detector.vision.detections import Unread
from detector.vision.model import Model
from detector.vision.scale import Estimate, Scale, estimate, of_smear, probes
from detector.vision.shapes import ShapeModel

Item = TypeVar("Item")

_FEWEST_FIELDS = 3
"""Fields of a smear from which on several of them tell its scale; in fewer each tells its own."""


@dataclass(frozen=True)
class Work:
    """What fields are worked through with."""

    model: Model
    workers: int
    """Fields, or tiles of a large one, that are worked on at a time."""
    journal: Journal | None = None
    """Where each is written as soon as it is done."""
    overlays: Path | None = None
    """Folder to draw each field's cells in; None draws none."""
    picture_bytes: int = 0
    """Most bytes of the small picture of each field; with 0 none is made."""
    tile_px: int = tiles.TILE_PX
    """Side of a slide's tiles in the model's own pixels."""
    shapes: ShapeModel | None = None
    """What tells the shapes of red cells; None where they are not asked for."""


class SmearScales:
    """The scale of each smear, found once from several of its fields, when the first of them is counted.

    It is the same whichever field is first, and however many are worked on at a time.
    """

    def __init__(self, model: Model, fields: Sequence[FieldInput]) -> None:
        """Take all fields of the smears, also those that are counted already."""
        self._model = model
        self._fields: dict[str, list[FieldInput]] = {}
        for given in fields:
            if given.um_per_px is None and not given.problem:
                self._fields.setdefault(given.smear, []).append(given)
        self._locks = {smear: threading.Lock() for smear in self._fields}
        self._scales: dict[str, Scale] = {}

    def of(self, given: FieldInput, picture: images.Picture | None = None) -> Scale | None:
        """The scale of a field as its user gave it, as its file states it, or of its smear; None where the field alone is to tell it.

        Args:
            picture: the field, for what its file states; None looks for the smear's.
        """
        own = own_scale(given, picture)
        if own is not None:
            return own
        telling = probed(self._fields[given.smear])
        if not telling:
            return None
        with self._locks[given.smear]:
            if given.smear not in self._scales:
                self._scales[given.smear] = of_smear([estimate_of(self._model, field.path) for field in telling])
        return self._scales[given.smear]


def own_scale(given: FieldInput, picture: images.Picture | None) -> Scale | None:
    """The scale of a field as its user gave it, or else as its file states it; None where neither does."""
    if given.um_per_px is not None:
        return Scale.given(given.um_per_px)
    return None if picture is None else Scale.stated(picture.um_per_px)


def probed(fields: Sequence[Item]) -> list[Item]:
    """The fields of a smear that tell its scale; none where they are so few that each tells its own.

    Args:
        fields: those of the smear that can be read and have no scale of their user's, in the order of their names.
    """
    return [fields[i] for i in probes(len(fields))] if len(fields) >= _FEWEST_FIELDS else []


def estimate_of(model: Model, path: Path) -> Estimate | None:
    """The width of red cells as one file tells it; None where it cannot be read, or shows too few."""
    try:
        return estimate(model, images.load(path).rgb)
    except ImageError:
        return None


def detect_field(
    given: FieldInput, work: Work, scale_of: Callable[[FieldInput, images.Picture], Scale | None], workers: int = 1
) -> FieldResult:
    """Read and detect one field, and measure how good it is to count in.

    Args:
        scale_of: gives the scale of the field's smear, or its own; None where the field alone is to tell it.
        workers: tiles of a large field that are looked at at a time.

    Raises:
        OutputError: the overlay cannot be written.
    """
    if given.problem:
        return unread(given, given.problem)
    with images.room(given.path):
        return _detected(given, work, scale_of, workers)


def _detected(
    given: FieldInput, work: Work, scale_of: Callable[[FieldInput, images.Picture], Scale | None], workers: int
) -> FieldResult:
    """The same of a field for which there is room."""
    try:
        picture = images.load(given.path)
    except ImageError as error:
        return unread(given, str(error))
    try:
        searched = finder.find(work.model, picture.rgb, scale_of(given, picture), workers=workers)
        cells = searched.cells
        measured = quality.measure(picture.rgb, cells)
        second = work.shapes
        looked = None if second is None else second.look(picture.rgb, cells, searched.scale.rbc_px, measured)
    except SmearcountError:
        raise
    # Whatever one field does to the model (out of memory, a failure in native code) must not cost the others their counts.
    except Exception as error:
        return unread(given, not_searched(error))
    if work.overlays is not None:
        target = overlay.path_of(work.overlays, given.field)
        with writing(target):
            overlay.write(picture.rgb, cells, target)
    small = pictures.small(picture.rgb, work.picture_bytes) if work.picture_bytes else b""
    note = "; ".join(filter(None, (picture.note, searched.note)))
    return FieldResult(
        given.field, given.smear, given.um_per_px, cells, note, measured, small, scale=searched.scale, shapes=looked
    )


def unread(given: FieldInput, reason: str) -> FieldResult:
    """What comes of a field or slide that cannot be counted."""
    return FieldResult(given.field, given.smear, given.um_per_px, Unread(given.field, reason))


def not_searched(error: Exception) -> str:
    """The reason why a field or slide on which the model or a codec failed is unread."""
    if images.out_of_memory(error):
        return images.TOO_LITTLE_MEMORY
    reason = one_line(error)
    return f"could not be searched for cells ({reason})"


def run(fields: Sequence[FieldInput], work: Work, scales: SmearScales) -> Generator[FieldResult]:
    """Results of the fields, in their order, while several of them are worked on at a time.

    Each field, or each of its tiles, goes through the model by itself on one thread, so no result depends on what stands beside it.
    Where there are fewer fields than workers, several tiles of a field are looked at at a time.
    """
    spare = -(-work.workers // max(len(fields), 1))
    return in_order(lambda given: detect_field(given, work, scales.of, spare), fields, work.workers)
