"""The counts of a slide: its tiles, each of which owns a part of it, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.counting.fields import CountedPart, FieldCount, in_frame
from detector.vision import doubts, scan, tiles
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.quality import Quality

MONOLAYER_COVERED = (0.25, doubts.MOST_COVERED)
"""Share of a tile under cells in a monolayer: completely labelled fields of BCCD, PBC and Raabin-WBC have 0.34 to 0.77."""
MOST_UNFOCUSED = 0.1
"""Share of a slide's tiles with something in them that may be out of focus before the slide is doubtful."""
_NAMED = 5


@dataclass(frozen=True)
class TileCount:
    """What became of one tile of a slide."""

    owned: tuple[int, int, int, int]
    """The part of the slide that it owns: x1, y1, x2, y2 in pixels, half-open."""
    status: str
    """`counted`, `empty`, `out of focus` or `unreadable`."""
    reason: str
    """Why it could not be read; else empty."""
    raw: tuple[int, ...]
    """Cells that it owns, in the order of `cells.CLASSES`."""
    frame: tuple[int, ...]
    """Those that the slide's counting frame counts."""
    quality: Quality | None
    """Of what it shows, with the context around its part; None where it was not searched for cells."""

    @property
    def monolayer(self) -> bool:
        """Whether it shows cells side by side and in focus, as counting needs them."""
        seen = self.quality
        if seen is None or seen.focus is None or seen.focus < doubts.LEAST_FOCUS:
            return False
        low, high = MONOLAYER_COVERED
        return low <= seen.covered <= high and seen.overlap <= doubts.MOST_OVERLAP


@dataclass(frozen=True)
class SlideCount:
    """The tiles of a slide, and its scale."""

    um_per_px: float | None
    """Micrometres per pixel as given or as the file says it; None where it was estimated from the cells themselves."""
    rbc_px: float
    """Width of a red cell at the slide's scale, in pixels."""
    tiles: tuple[TileCount, ...]
    """Row by row; their parts divide the slide without gap or overlap."""

    @classmethod
    def of(
        cls, plan: scan.SlidePlan, searched: Sequence[scan.TileResult], owned: Sequence[Detections], size_wh: tuple[int, int]
    ) -> SlideCount:
        """Count a slide.

        Args:
            searched: what each tile showed.
            owned: the cells that each tile owns, in the slide's coordinates.
        """
        whole = tiles.joined(owned, size_wh)
        framed = np.split(in_frame(whole.xyxy, whole.label, size_wh), np.cumsum([len(cells) for cells in owned])[:-1])
        rows = [
            TileCount(tile.owned, result.status, result.reason, _numbers(mine), _numbers(mine[mask]), result.quality)
            for tile, result, mine, mask in zip(plan.tiles, searched, owned, framed, strict=True)
        ]
        return cls(plan.um_per_px, plan.rbc_px, tuple(rows))

    def number(self, status: str) -> int:
        """Tiles of a status."""
        return sum(tile.status == status for tile in self.tiles)

    def parts(self, field: str) -> tuple[CountedPart, ...]:
        """The tiles that were counted, as the parts between which the counts of the slide, a field of that name, scatter."""
        return tuple(
            CountedPart(_named(tile.raw), _named(tile.frame), _area_px(tile.owned), tile.owned, field)
            for tile in self.tiles
            if tile.status == scan.COUNTED
        )

    def note(self) -> str:
        """How many tiles were counted and what became of the others, in words."""
        phrases = [f"{self.number(scan.COUNTED):,} of {len(self.tiles):,} tiles counted"]
        phrases += [
            f"{self.number(status):,} {status}" for status in (scan.EMPTY, scan.UNFOCUSED, scan.UNREADABLE) if self.number(status)
        ]
        return ", ".join([*phrases, f"{sum(tile.monolayer for tile in self.tiles):,} of the monolayer"])

    def doubt(self) -> str:
        """What of the slide is missing in its counts, in words; empty where nothing to speak of is."""
        lost = [tile for tile in self.tiles if tile.status == scan.UNREADABLE]
        blurred, counted = self.number(scan.UNFOCUSED), self.number(scan.COUNTED)
        phrases = []
        if lost:
            reason, _ = Counter(tile.reason for tile in lost).most_common(1)[0]
            places = ", ".join(f"({tile.owned[0]}, {tile.owned[1]})" for tile in lost[:_NAMED])
            more = f" and {len(lost) - _NAMED:,} more" if len(lost) > _NAMED else ""
            phrases.append(
                f"{len(lost):,} of {len(self.tiles):,} tiles could not be read and are not counted: at {places}{more} ({reason})"
            )
        if blurred > MOST_UNFOCUSED * (blurred + counted):
            phrases.append(f"{blurred:,} tiles are out of focus and not counted")
        return "; ".join(phrases)

    def quality(self) -> Quality | None:
        """Of the tiles that were counted, taken together."""
        return _together([tile.quality for tile in self.tiles if tile.quality is not None])

    def field(self, detections: Detections, field: str, smear: str, um_per_px: float | None) -> FieldCount:
        """The slide as a field of its smear.

        Args:
            detections: all of its cells.
            um_per_px: as the user gave it; None takes what the file says.
        """
        raw, frame = (
            {name: sum(numbers[i] for numbers in tile_counts) for i, name in enumerate(CLASSES)}
            for tile_counts in ([tile.raw for tile in self.tiles], [tile.frame for tile in self.tiles])
        )
        scale = self.um_per_px if um_per_px is None else um_per_px
        return FieldCount(
            field, smear, detections.size_wh, raw, frame, detections.saturated, scale, self.quality(), self.parts(field)
        )


def _together(parts: Sequence[Quality]) -> Quality | None:
    """The quality of a slide, from that of its tiles: medians of what is measured on cells or light, means of shares, and sums of
    cells, those between tiles in each; None without."""
    if not parts:
        return None
    focus = [quality.focus for quality in parts if quality.focus is not None]
    red, green, blue = np.median([quality.background for quality in parts], axis=0)
    return Quality(
        focus=float(np.median(focus)) if focus else None,
        covered=float(np.mean([quality.covered for quality in parts])),
        overlap=float(np.mean([quality.overlap for quality in parts])),
        unclaimed=float(np.mean([quality.unclaimed for quality in parts])),
        background=(int(red), int(green), int(blue)),
        contrast=float(np.median([quality.contrast for quality in parts])),
        uneven=float(np.median([quality.uneven for quality in parts])),
        counted=_sums([quality.counted for quality in parts]),
        unsure=_sums([quality.unsure for quality in parts]),
        plain_whites=sum(quality.plain_whites for quality in parts),
        stray=float(np.median([quality.stray for quality in parts])),
    )


def _sums(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip(*rows, strict=True))


def _numbers(detections: Detections) -> tuple[int, ...]:
    counts = detections.counts()
    return tuple(counts[name] for name in CLASSES)


def _named(numbers: Sequence[int]) -> Mapping[str, int]:
    return dict(zip(CLASSES, numbers, strict=True))


def _area_px(owned: tuple[int, int, int, int]) -> float:
    x1, y1, x2, y2 = owned
    return float((x2 - x1) * (y2 - y1))
