"""What came of one field: engines and streams make it, the journal keeps it, tables and report show it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from detector.counting.fields import FieldCount, UnreadField
from detector.counting.slides import SlideCount
from detector.vision.detections import Detections, Unread
from detector.vision.quality import Quality
from detector.vision.scale import Scale
from detector.vision.shapes import FieldShapes


@dataclass(frozen=True)
class FieldResult:
    """What came of one field, or of a slide."""

    field: str
    """Relative path of the image, with forward slashes."""
    smear: str
    um_per_px: float | None
    """Micrometres per pixel as given; None without."""
    cells: Detections | Unread
    note: str = ""
    """What a user should know of a field that was read; else empty."""
    quality: Quality | None = None
    """How good the field is to count in; None where it was not read."""
    picture: bytes = b""
    """The field as a small JPEG; empty where none was kept."""
    slide: SlideCount | None = None
    """Of a slide, what became of its tiles; None for a field."""
    scale: Scale | None = None
    """The width of red cells that a field was searched at; None for one that was not read, and for a slide, which has its own."""
    shapes: FieldShapes | None = None
    """Shapes of its red cells; None where they were not asked for, and of a slide."""

    @property
    def known_um_per_px(self) -> float | None:
        """Micrometres per pixel as given, or as the field's file states them and its cells do not contradict."""
        return self.um_per_px if self.um_per_px is not None or self.scale is None else self.scale.um_per_px

    def count(self) -> FieldCount | UnreadField:
        """Its counts; a slide is doubtful where tiles are missing in them."""
        if isinstance(self.cells, Unread):
            return UnreadField(self.field, self.smear, self.cells.reason)
        if self.slide is None:
            counted = FieldCount.of(self.cells, self.field, self.smear, self.known_um_per_px, self.quality)
            return replace(counted, scale=self.scale, note=self.note)
        counted = self.slide.field(self.cells, self.field, self.smear, self.um_per_px)
        return replace(counted, note=self.note, doubt=self.slide.doubt())
