"""Counting on this computer: several fields at a time, results in the order of the inputs."""

from __future__ import annotations

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


@dataclass(frozen=True)
class FieldResult:
    """What came of one field."""

    input: FieldInput
    found: Detections | Unread
    note: str = ""
    """What a user should know of a field that was read; else empty."""
    quality: Quality | None = None
    """How good the field is to count in; None where it was not read."""
    picture: bytes = b""
    """The field as a small JPEG, where one was asked for."""


def detect_field(
    one: FieldInput, model: Model, overlays: Path | None = None, picture_bytes: int = 0, workers: int = 1
) -> FieldResult:
    """Read and detect one field, and measure how good it is to count in.

    Args:
        overlays: folder to draw its cells in; None draws none.
        picture_bytes: most bytes of a small picture of it; with 0 none is made.
        workers: tiles of a large field that are looked at at a time.

    Raises:
        OutputError: the overlay cannot be written.
    """
    if one.problem:
        return FieldResult(one, Unread(one.field, one.problem))
    try:
        picture = images.load(one.path)
    except ImageError as error:
        return FieldResult(one, Unread(one.field, str(error)))
    try:
        found, note = finder.find(model, picture.rgb, one.um_per_px, workers=workers)
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
    return FieldResult(one, found, "; ".join(filter(None, (picture.note, note))), measured, small)


def run(
    fields: Sequence[FieldInput], model: Model, workers: int, overlays: Path | None = None, picture_bytes: int = 0
) -> Generator[FieldResult]:
    """Results of the fields, in their order, while `workers` of them are worked on at a time.

    Each field, or each of its tiles, goes through the model by itself on one thread, so no result depends on what stands beside it.
    Where there are fewer fields than workers, several tiles of a field are looked at at a time.
    """
    spare = -(-workers // max(len(fields), 1))
    return in_order(lambda one: detect_field(one, model, overlays, picture_bytes, spare), fields, workers)
