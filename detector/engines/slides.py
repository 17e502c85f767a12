"""Counting one slide: how it is cut, what some of its tiles show, and its counts from all of them.

On one machine `count_slide` does these in turn; on several, each is a task of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from detector.counting.result import FieldResult
from detector.counting.slides import SlideCount
from detector.engines.inputs import FieldInput
from detector.engines.local import Work, not_searched, unread
from detector.engines.pool import in_order
from detector.errors import ImageError, SmearcountError
from detector.output.journal import Stamp, stamp_of
from detector.output.report import pictures
from detector.vision import finder, scan, tiles
from detector.vision.images import Rgb
from detector.vision.scan import SlidePlan, TileResult
from detector.vision.slides import formats
from detector.vision.slides.slide import Slide

_PICTURE_BYTES = 200_000
"""Most bytes of the small picture of a slide, on which its cells' density is drawn."""
_BAND_TILES = 16
"""Fewest tiles of a band, but for the last."""
CHANGED = "changed while it was counted; count again with --resume"


@dataclass(frozen=True)
class Cut:
    """How a slide is cut into tiles, in a few numbers that travel to other machines."""

    size_wh: tuple[int, int]
    key: str
    """Says that a tile is the same as before: the file, the scale and how it is cut."""
    tile_px: int
    rbc_px: float
    um_per_px: float | None
    note: str
    bands: tuple[tuple[int, int], ...]
    """Rows of tiles that are searched together: the number of the first tile, and of the one after the last."""

    @classmethod
    def of(cls, stamp: Stamp, plan: SlidePlan, slide: Slide, tile_px: int) -> Cut:
        """Describe a plan for a slide whose file had this stamp."""
        return cls(slide.size_wh, _key(stamp, plan, slide), tile_px, plan.rbc_px, plan.um_per_px, plan.note, tuple(_bands(plan)))

    def plan(self, work: Work, slide: Slide) -> SlidePlan:
        """The plan that was described."""
        zoom = work.model.card.shown_px / self.rbc_px
        return SlidePlan(zoom, self.rbc_px, finder.cut(slide.size_wh, self.rbc_px, zoom, self.tile_px), self.um_per_px, self.note)


def count_slide(given: FieldInput, work: Work, tell: Callable[[float], None]) -> FieldResult:
    """Find the cells of a slide; a slide that cannot be read, or of which nothing could be, is unread with its reason.

    Tiles that the journal holds already are not searched again, unless the slide or the way it is cut has changed.

    Args:
        tell: called with the share of the slide that was done since the last call.
    """
    done = 0.0

    def partly(share: float) -> None:
        nonlocal done
        done += share
        tell(share)

    try:
        # Taken before the file is opened: a slide that changes while it is searched begins anew.
        stamp = stamp_of(given.path)
        with opened(given) as slide:
            overview, _ = slide.overview(scan.OVERVIEW_PX)
            plan = scan.plan(work.model, slide, overview, given.um_per_px, work.tile_px)
            searched = _tiles(given, work, slide, plan, _key(stamp, plan, slide), partly)
            return _counted(given, work, slide, plan, searched, overview)
    except ImageError as error:
        return unread(given, str(error))
    finally:
        tell(1 - done)


@contextmanager
def opened(given: FieldInput) -> Iterator[Slide]:
    """A slide for as long as a block lasts.

    Raises:
        ImageError: it cannot be opened, or what the block does with it failed.
    """
    try:
        with formats.open_slide(given.path) as slide:
            yield slide
    except SmearcountError:
        raise
    # Whatever one slide does to a codec or the model must not cost the others their counts.
    except Exception as error:
        raise ImageError(not_searched(error)) from error


def cut(given: FieldInput, work: Work, stamp: Stamp) -> Cut:
    """Choose a slide's scale, and cut it.

    Args:
        stamp: of its file, taken before.

    Raises:
        ImageError: it cannot be read, or its scale is not known.
    """
    with opened(given) as slide:
        overview, _ = slide.overview(scan.OVERVIEW_PX)
        return Cut.of(stamp, scan.plan(work.model, slide, overview, given.um_per_px, work.tile_px), slide, work.tile_px)


def search(given: FieldInput, work: Work, stamp: Stamp, way: Cut, numbers: Sequence[int]) -> Iterator[tuple[int, TileResult]]:
    """What some tiles of a slide show.

    Args:
        stamp: of its file as it is now.

    Raises:
        ImageError: it cannot be read, or has changed since it was cut.
    """
    with opened(given) as slide:
        yield from _searched(work, slide, _same(work, stamp, way, slide), numbers)


def join(given: FieldInput, work: Work, stamp: Stamp, way: Cut, searched: Mapping[int, TileResult]) -> FieldResult:
    """The counts of a slide, from what each of its tiles shows.

    Args:
        stamp: of its file as it is now.

    Raises:
        ImageError: it cannot be read, or has changed since it was cut, or nothing in it can be counted.
    """
    with opened(given) as slide:
        plan = _same(work, stamp, way, slide)
        overview, _ = slide.overview(scan.OVERVIEW_PX)
        return _counted(given, work, slide, plan, [searched[number] for number in range(len(plan.tiles))], overview)


def _same(work: Work, stamp: Stamp, way: Cut, slide: Slide) -> SlidePlan:
    plan = way.plan(work, slide)
    if _key(stamp, plan, slide) != way.key:
        raise ImageError(CHANGED)
    return plan


def _counted(
    given: FieldInput, work: Work, slide: Slide, plan: SlidePlan, searched: Sequence[TileResult], overview: Rgb
) -> FieldResult:
    owned = scan.settle(work.model, slide.size_wh, plan, [result.detections for result in searched])
    counted = SlideCount.of(plan, searched, owned, slide.size_wh)
    lost = counted.number(scan.UNREADABLE) + counted.number(scan.UNFOCUSED)
    if lost and not counted.number(scan.COUNTED):
        raise ImageError(f"nothing in it can be counted: {counted.note()}; {counted.doubt()}")
    note = "; ".join(filter(None, (slide.note, plan.note, counted.note())))
    picture = pictures.small(overview, _PICTURE_BYTES, long_px=pictures.SLIDE_PX)
    cells = tiles.joined(owned, slide.size_wh)
    return FieldResult(given.field, given.smear, given.um_per_px, cells, note, counted.quality(), picture, counted)


def _tiles(
    given: FieldInput, work: Work, slide: Slide, plan: SlidePlan, key: str, tell: Callable[[float], None]
) -> list[TileResult]:
    """What each tile shows, in the order of the tiles; from the journal where it is known.

    Args:
        key: of the tiles in the journal.
    """
    searched = work.journal.tiles(given.field, key) if work.journal else {}
    todo = [number for number in range(len(plan.tiles)) if number not in searched]
    share = 1 / len(plan.tiles)
    tell(share * len(searched))
    for number, result in _searched(work, slide, plan, todo):
        if work.journal:
            work.journal.add_tile(given.field, key, number, result)
        searched[number] = result
        tell(share)
    return [searched[number] for number in range(len(plan.tiles))]


def _searched(work: Work, slide: Slide, plan: SlidePlan, numbers: Sequence[int]) -> Iterator[tuple[int, TileResult]]:
    searched = in_order(lambda number: scan.look(work.model, slide, plan, plan.tiles[number]), numbers, work.workers)
    return zip(numbers, searched, strict=True)


def _bands(plan: SlidePlan) -> Iterator[tuple[int, int]]:
    """Whole rows of tiles, together at least `_BAND_TILES`."""
    first = after = 0
    for _, row in groupby(plan.tiles, key=lambda tile: tile.owned[1]):
        after += len(list(row))
        if after - first >= _BAND_TILES:
            yield first, after
            first = after
    if after > first:
        yield first, after


def _key(stamp: Stamp, plan: SlidePlan, slide: Slide) -> str:
    """What says that a tile is the same as before: the file, the scale and how it is cut."""
    what = [stamp, slide.size_wh, plan.zoom, [tile.window for tile in plan.tiles[:1]], len(plan.tiles)]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
