"""Counting one slide: its tiles several at a time, each in the journal as soon as it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence

from detector.counting.result import FieldResult
from detector.counting.slides import SlideCount
from detector.engines.inputs import FieldInput
from detector.engines.local import Work, not_searched, unread
from detector.engines.pool import in_order
from detector.errors import ImageError, SmearcountError
from detector.output.journal import Stamp, stamp_of
from detector.output.report import pictures
from detector.vision import scan, tiles
from detector.vision.scan import SlidePlan, TileResult
from detector.vision.slides import formats
from detector.vision.slides.slide import Slide

_PICTURE_BYTES = 200_000
"""Most bytes of the small picture of a slide, on which its cells' density is drawn."""


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
        with formats.open_slide(given.path) as slide:
            return _count(given, work, slide, stamp, partly)
    except ImageError as error:
        return unread(given, str(error))
    except SmearcountError:
        raise
    # Whatever one slide does to a codec or the model must not cost the others their counts.
    except Exception as error:
        return unread(given, not_searched(error))
    finally:
        tell(1 - done)


def _count(given: FieldInput, work: Work, slide: Slide, stamp: Stamp, tell: Callable[[float], None]) -> FieldResult:
    overview, _ = slide.overview(scan.OVERVIEW_PX)
    plan = scan.plan(work.model, slide, overview, given.um_per_px, work.tile_px)
    key = _key(stamp, plan, slide)
    looks = _looks(given, work, slide, plan, key, tell)
    owned = scan.settle(work.model, slide.size_wh, plan, [look.detections for look in looks])
    counted = SlideCount.of(plan, looks, owned, slide.size_wh)
    lost = counted.number(scan.UNREADABLE) + counted.number(scan.UNFOCUSED)
    if lost and not counted.number(scan.COUNTED):
        return unread(given, f"nothing in it can be counted: {counted.note()}; {counted.doubt()}")
    note = "; ".join(filter(None, (slide.note, plan.note, counted.note())))
    picture = pictures.small(overview, _PICTURE_BYTES, long_px=pictures.SLIDE_PX)
    cells = tiles.joined(owned, slide.size_wh)
    return FieldResult(given.field, given.smear, given.um_per_px, cells, note, counted.quality(), picture, counted)


def _looks(
    given: FieldInput, work: Work, slide: Slide, plan: SlidePlan, key: str, tell: Callable[[float], None]
) -> list[TileResult]:
    """What each tile shows, in the order of the tiles; from the journal where it is known.

    Args:
        key: of the tiles in the journal.
    """
    looks = work.journal.tiles(given.field, key) if work.journal else {}
    todo = [number for number in range(len(plan.tiles)) if number not in looks]
    share = 1 / len(plan.tiles)
    tell(share * len(looks))
    for number, look in _searched(work, slide, plan, todo):
        if work.journal:
            work.journal.add_tile(given.field, key, number, look)
        looks[number] = look
        tell(share)
    return [looks[number] for number in range(len(plan.tiles))]


def _searched(work: Work, slide: Slide, plan: SlidePlan, numbers: Sequence[int]) -> Iterator[tuple[int, TileResult]]:
    looks = in_order(lambda number: scan.look(work.model, slide, plan, plan.tiles[number]), numbers, work.workers)
    return zip(numbers, looks, strict=True)


def _key(stamp: Stamp, plan: SlidePlan, slide: Slide) -> str:
    """What says that a tile is the same as before: the file, the scale and how it is cut."""
    what = [stamp, slide.size_wh, plan.zoom, [tile.window for tile in plan.tiles[:1]], len(plan.tiles)]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
