"""What a count has found so far, safe against a crash: one line of JSON per field, and per tile of a slide, only ever added to.

The first line says with which model and settings the rest was made, so that a run is continued by the same or not at all.
Each line ends with its checksum. What a torn, flipped or edited line held is counted again.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from detector.counting.result import FieldResult
from detector.counting.slides import SlideCount, TileCount
from detector.errors import OutputError, writing
from detector.output.files import lock, parsed, seal_holds, sealed, unsealed
from detector.output.html import as_base64
from detector.vision import checks
from detector.vision.detections import Detections, Unread
from detector.vision.quality import Quality
from detector.vision.scale import Scale
from detector.vision.scan import TileResult
from detector.vision.shapes import FieldShapes

Stamp = tuple[int, int] | None
"""Size in bytes and time of change in ns of a file; None where it cannot be asked."""
LAYOUT = 4
_SYNC_EVERY_S = 2.0
_QUALITY = tuple(measure.name for measure in fields(Quality))
_NAMED = 5
"""Most damaged lines that are named by their numbers."""


class OtherCountError(OutputError):
    """A journal that is to be continued was made with another model, version or setting, or is none."""


class Journal:
    """An open journal; as a context manager it is closed, and made durable, however the block ends."""

    def __init__(self, path: Path, key: Mapping[str, Any], resume: bool) -> None:
        """Open a journal.

        Args:
            key: what must be equal for a run to be continued: model hash and settings.
            resume: continue the journal that stands there; without it, a new one is begun.

        Raises:
            OutputError: it cannot be written, another process writes it, or the one to be continued was made with another key
                or is none.
        """
        self.path = path
        self.damaged: list[int] = []
        """Numbers of lines, from 1, that a crash, a disk or an editor changed; what they held is not in the journal."""
        self._offsets: dict[str, int] = {}
        self._stamps: dict[str, Stamp] = {}
        self._tiles: dict[tuple[str, str], dict[int, int]] = {}
        existing = resume and path.is_file()
        with writing(path):
            try:
                self._file = path.open("r+b" if existing else "x+b")
            except FileExistsError:
                raise OutputError(f"{path}: exists already; choose another --out, or continue with --resume") from None
        try:
            if not lock(self._file):
                raise OutputError(f"{path.parent}: another count writes into it; wait for its end, or choose another --out")
            length = self._index(key) if existing else 0
            with writing(path):
                self._file.truncate(length)
            self._synced = time.monotonic()
            if not length:
                self._append({"layout": LAYOUT, "key": dict(key)})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._sync()
        finally:
            self._file.close()

    @property
    def remark(self) -> str:
        """What to tell of damaged lines; empty where there are none."""
        if not self.damaged:
            return ""
        more = len(self.damaged) - _NAMED
        lines = ", ".join(map(str, self.damaged[:_NAMED])) + (f" and {more} more" if more > 0 else "")
        what = f"line {lines} is" if len(self.damaged) == 1 else f"lines {lines} are"
        return f"{self.path}: {what} torn or changed; what stood there is counted again unless a later line holds it"

    def has(self, field: str, stamp: Stamp) -> bool:
        """Whether a field stands in the journal and its file has not changed since."""
        return field in self._offsets and self._stamps[field] == stamp

    def add(self, result: FieldResult, stamp: Stamp) -> None:
        """Write one field down; it replaces an earlier entry of the same field.

        Args:
            stamp: of the image file, by `stamp_of`.

        Raises:
            OutputError: it cannot be written.
        """
        self._stamps[result.field] = stamp
        self._offsets[result.field] = self._append(_to_json(result, stamp))
        if time.monotonic() - self._synced > _SYNC_EVERY_S:
            self._sync()

    def read(self, field: str) -> FieldResult:
        """What was written down of one field.

        Raises:
            KeyError: it is not in the journal.
        """
        return _from_json(self._line(self._offsets[field]))

    def _line(self, offset: int) -> dict[str, Any]:
        self._file.flush()
        self._file.seek(offset)
        content: dict[str, Any] = json.loads(self._file.readline())
        return content

    def add_tile(self, field: str, plan: str, number: int, look: TileResult) -> None:
        """Write one tile of a slide down.

        Args:
            plan: says which file was cut into tiles and how; tiles of another plan are not the same tiles.

        Raises:
            OutputError: it cannot be written.
        """
        self._tiles.setdefault((field, plan), {})[number] = self._append(_tile_to_json(field, plan, number, look))
        if time.monotonic() - self._synced > _SYNC_EVERY_S:
            self._sync()

    def tiles(self, field: str, plan: str) -> dict[int, TileResult]:
        """The tiles of a slide that were written down, by their number."""
        return {number: _tile(self._line(offset)) for number, offset in self._tiles.get((field, plan), {}).items()}

    def _index(self, key: Mapping[str, Any]) -> int:
        """Find the entries of an existing journal, and give the length of its whole lines in bytes."""
        length = 0
        former = False
        for number, line in enumerate(self._file, 1):
            torn = not line.endswith(b"\n")
            if number == 1:
                if torn:
                    break
                former = seal_holds(line) is None
                self._check(parsed(line), key, former)
            elif torn or not self._note(line, length, former):
                self.damaged.append(number)
            length += 0 if torn else len(line)
        return length

    def _note(self, line: bytes, offset: int, former: bool) -> bool:
        """Remember what a line holds and where it stands; gives whether it is as it was written.

        Args:
            former: whether the journal was begun before lines had checksums, so that one without is believed.
        """
        holds = seal_holds(line)
        if holds is False or (holds is None and not former):
            return False
        try:
            content = json.loads(line)
            if "field" in content:
                if holds is None:
                    result = _from_json(content)
                    checks.text("note", result.note)
                    result.count()
                stamp = content["stamp"]
                self._stamps[content["field"]] = None if stamp is None else (stamp[0], stamp[1])
                self._offsets[content["field"]] = offset
            else:
                if holds is None:
                    _tile(content)
                self._tiles.setdefault((content["tile_of"], content["plan"]), {})[content["number"]] = offset
        # Without a checksum, a line may hold anything at any depth.
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return False
        return True

    def _check(self, header: Mapping[str, Any] | None, key: Mapping[str, Any], former: bool) -> None:
        made = None if header is None else header.get("key")
        if header is None or not isinstance(made, dict):
            raise OtherCountError(f"{self.path}: is not a journal of a count; choose another --out")
        # The former layout does not say all that is asked for now.
        names = made if former else {*made, *key}
        different = sorted(name for name in names if made.get(name) != key.get(name))
        if header.get("layout") != LAYOUT or different:
            what = ", ".join(different) or "another version"
            raise OtherCountError(f"{self.path}: was made with different settings ({what}); repeat them, or choose another --out")

    def _append(self, content: Mapping[str, Any]) -> int:
        with writing(self.path, "what was counted so far is kept"):
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(sealed(content))
            self._file.flush()
        return offset

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def results_in(path: Path) -> dict[str, tuple[FieldResult, Stamp]]:
    """The fields of a journal with the stamps of their pictures, by name; the file is only read, and damaged lines are passed over.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        entries = (from_line(line) for line in file)
        return {result.field: (result, stamp) for result, stamp in filter(None, entries)}


def as_line(result: FieldResult, stamp: Stamp) -> bytes:
    """A field as its line of a journal."""
    return sealed(_to_json(result, stamp))


def from_line(line: bytes) -> tuple[FieldResult, Stamp] | None:
    """The field of a journal's line and the stamp of its picture; None where the line is damaged, or holds something else."""
    content = unsealed(line)
    if content is None or "field" not in content:
        return None
    stamp = content["stamp"]
    return _from_json(content), None if stamp is None else (stamp[0], stamp[1])


def as_tile_line(field: str, plan: str, number: int, look: TileResult) -> bytes:
    """A tile of a slide as its line of a journal, as `Journal.add_tile` writes it."""
    return sealed(_tile_to_json(field, plan, number, look))


def from_tile_line(line: bytes, field: str, plan: str) -> tuple[int, TileResult] | None:
    """The number of a tile and what it showed; None where the line is damaged, or of another slide or plan."""
    content = unsealed(line)
    if content is None or (content.get("tile_of"), content.get("plan")) != (field, plan):
        return None
    return content["number"], _tile(content)


def is_written(path: Path) -> bool:
    """Whether a count, of this program or another, has a journal open; False also where nobody may write it."""
    try:
        with path.open("r+b") as file:
            return not lock(file)
    except OSError:
        return False


def stamp_of(path: Path) -> Stamp:
    """Size in bytes and time of change in ns of a file, or None where it cannot be asked."""
    try:
        status = path.stat()
    # Where names are of another encoding than the system's, some cannot even be asked for.
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _to_json(result: FieldResult, stamp: Stamp) -> dict[str, Any]:
    content: dict[str, Any] = {
        "field": result.field,
        "smear": result.smear,
        "um_per_px": result.um_per_px,
        "stamp": stamp,
        "note": result.note,
    }
    cells = result.cells
    if isinstance(cells, Unread):
        return {**content, "unread": cells.reason}
    quality = None if result.quality is None else {name: getattr(result.quality, name) for name in _QUALITY}
    seen = {"size_wh": cells.size_wh, "saturated": cells.saturated, "cells": _packed(cells)}
    slide = None if result.slide is None else asdict(result.slide)
    scale = None if result.scale is None else asdict(result.scale)
    whole = {**content, **seen, "quality": quality, "picture": as_base64(result.picture), "slide": slide, "scale": scale}
    return whole if result.shapes is None else {**whole, "shapes": asdict(result.shapes)}


def _from_json(content: Mapping[str, Any]) -> FieldResult:
    return FieldResult(
        content["field"],
        content["smear"],
        content["um_per_px"],
        Unread(content["field"], content["unread"]) if "unread" in content else _unpacked(content),
        content["note"],
        _quality(content.get("quality")),
        base64.b64decode(content.get("picture", "")),
        _slide(content.get("slide")),
        None if content.get("scale") is None else Scale(**content["scale"]),
        None if content.get("shapes") is None else FieldShapes(**content["shapes"]),
    )


def _tile_to_json(field: str, plan: str, number: int, look: TileResult) -> dict[str, Any]:
    quality = None if look.quality is None else asdict(look.quality)
    cells = look.detections
    return {"tile_of": field, "plan": plan, "number": number, "status": look.status, "reason": look.reason, "quality": quality,
            "size_wh": cells.size_wh, "saturated": cells.saturated, "cells": _packed(cells)}  # fmt: skip


def _tile(content: Mapping[str, Any]) -> TileResult:
    return TileResult(content["status"], content["reason"], _unpacked(content), _quality(content["quality"]))


def _packed(detections: Detections) -> str:
    """Boxes in hundredths of a pixel, scores in ten-thousandths, and labels, as text: a slide may hold a million."""
    boxes = np.rint(detections.xyxy.astype(np.float64) * 100).astype("<i4")
    scores = np.rint(detections.score.astype(np.float64) * 10_000).astype("<u2")
    return base64.b64encode(boxes.tobytes() + scores.tobytes() + detections.label.astype("u1").tobytes()).decode("ascii")


def _unpacked(content: Mapping[str, Any]) -> Detections:
    packed = base64.b64decode(content["cells"])
    n = len(packed) // 19
    boxes = (np.frombuffer(packed, "<i4", 4 * n).reshape(n, 4) / 100).astype(np.float32)
    scores = (np.frombuffer(packed, "<u2", n, 16 * n) / 10_000).astype(np.float32)
    w, h = content["size_wh"]
    return Detections(
        boxes, scores, np.frombuffer(packed, "u1", n, 18 * n).astype(np.int64), (w, h), saturated=content["saturated"]
    )


def _slide(content: Mapping[str, Any] | None) -> SlideCount | None:
    if content is None:
        return None
    tiles = [
        TileCount(
            tuple(tile["owned"]),
            tile["status"],
            tile["reason"],
            tuple(tile["raw"]),
            tuple(tile["frame"]),
            _quality(tile["quality"]),
        )
        for tile in content["tiles"]
    ]
    return SlideCount(content["um_per_px"], content["rbc_px"], tuple(tiles))


def _quality(content: Mapping[str, Any] | None) -> Quality | None:
    if content is None:
        return None
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
    return Quality(**given)
