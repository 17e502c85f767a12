"""The page of a review: what it serves, and the changes that it takes."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.errors import ImageError, SmearcountError, UsageError
from detector.output import serving
from detector.output.exchange import FORMATS, formats
from detector.review import outcome
from detector.review.likeness import Likeness, distances, in_order, standardised
from detector.review.opened import OpenedField
from detector.review.pictures import CROP_PX, Pictures
from detector.review.review import Cell, FieldState, Review, StaleError, doubts_of_cells, proposed
from detector.texts import MEBIBYTE
from detector.vision import boxes
from detector.vision.cells import CLASSES
from detector.vision.drawing import HEX_COLOURS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

SORTS = ("doubt", "score", "size", "field")
"""By what cells are sorted, the first to look at first."""
LIKENESS = "likeness"
"""So that like cells stand together; or by how like they are to one of them."""
IN_LIST = 5
"""Numbers of each cell in a list of cells."""
MOST_CONNECTIONS = 512
MOST_CROPS = 100
"""Cells side by side in one picture: more than a row of the grid has."""
IDLE_S = 900.0
"""Longer than it takes to write a dataset of many fields."""
_MOST_REQUEST = 16 * MEBIBYTE
_PAGE = Path(__file__).parent / "page"
_FILES = ("review.html", "review.css", "review.js", "fields.js", "cells.js", "talk.js", "konva.min.js")
_KEPT = {**serving.HEADERS, "Cache-Control": "private, max-age=86400, immutable"}
"""Headers of a picture whose address changes with it."""
Answer = Callable[[Mapping[str, Any]], dict[str, Any]]
"""What is answered to what a page sent."""
_CONFLICT, _REFUSED, _TOO_LARGE, _NOT_FOUND = 409, 422, 413, 404


class ReviewPage(serving.Server):
    """Serves a review on a thread of its own; as a context manager it is closed however the block ends."""

    def __init__(self, place: tuple[str, int], review: Review, reader: str) -> None:
        """Take the address; nothing is served yet.

        Args:
            place: host and port; port 0 takes one that is free.
            reader: the name that a page begins with.

        Raises:
            MissingExtraError: the server's packages are not installed.
            OutputError: the address cannot be taken.
            UsageError: it is that of all networks at once.
        """
        super().__init__(place, Desk(review, reader, Pictures()).routes, "review", MOST_CONNECTIONS)
        self.idle_s = IDLE_S


class Desk:
    """A review as pages ask for it and change it."""

    def __init__(self, review: Review, reader: str, pictures: Pictures, start: str = "") -> None:
        """Serve a review.

        Args:
            reader: the name that a page begins with.
            pictures: where its pictures are kept while they are used.
            start: address of the page on which another count is chosen; empty where there is none.
        """
        self._review, self._reader, self._pictures, self._start = review, reader, pictures, start
        self._likeness = Likeness()
        self._writing = threading.Lock()

    def routes(self) -> Sequence[BaseRoute]:
        """What is served below the address of the review."""
        from starlette.routing import Route

        shown: dict[str, Callable[[Request], Response]] = {
            "/state.json": self._state,
            "/field.json": self._field,
            "/cells.json": self._cells,
            "/proposed.json": self._proposed,
            "/crops.jpg": self._crops,
            "/picture.jpg": self._picture,
        }
        taken: dict[str, Answer] = {
            "/change": self._change,
            "/undo": partial(self._undo, again=False),
            "/redo": partial(self._undo, again=True),
            "/write": self._write,
        }
        return [
            *pages("review.html", _FILES),
            *(Route(path, _shown(answer), methods=["GET"]) for path, answer in shown.items()),
            *taking(taken),
        ]

    # What is shown

    def _state(self, request: Request) -> Response:
        since = _number(request, "since", -1)
        about = {
            "folder": str(self._review.run.folder),
            "reader": self._reader,
            "classes": CLASSES,
            "colours": [HEX_COLOURS[name] for name in CLASSES],
            "crop_px": CROP_PX,
            "in_list": IN_LIST,
            "start": self._start,
            "formats": FORMATS,
        }
        return _json({**self._review.state(since), **(about if since < 0 else {})})

    def _field(self, request: Request) -> Response:
        number = self._field_number(request)
        return _json(self._review.cells_of(number))

    def _cells(self, request: Request) -> Response:
        label, sort = _number(request, "class", -1), request.query_params.get("sort", SORTS[0])
        if sort not in (*SORTS, LIKENESS):
            raise UsageError(f"cells are sorted by {', '.join((*SORTS, LIKENESS))}, got {sort!r}")
        states, _ = self._review.snapshot()
        # Each change is that of a field.
        version = max((state.version for state in states), default=0)
        if "since" in request.query_params:
            since = _number(request, "since", -1)
            fields = [n for n, state in enumerate(states) if state.version > since and not state.source.problem]
            return _json({"cells": _flat(_of_fields(states, fields)), "fields": fields, "version": version})
        if sort != LIKENESS:
            return _json({"cells": listed(states, self._review.run.thresholds, label, sort), "version": version})
        left = self._likeness.progress(states)
        if left is not None:
            return _json({"done": left[0], "total": left[1]})
        like = (_number(request, "f", -1), _number(request, "c", -1)) if "f" in request.query_params else None
        return _json({"cells": alike(states, self._likeness, label, like), "version": version})

    def _proposed(self, _request: Request) -> Response:
        states, _ = self._review.snapshot()
        return _json({"fields": proposed(states, self._review.run.thresholds)})

    def _crops(self, request: Request) -> Response:
        """Cells side by side; `of` is field.cell.version of each, of which the last one only makes another address of another crop."""
        wanted = request.query_params.get("of", "").split(",")
        if len(wanted) > MOST_CROPS:
            raise UsageError(f"up to {MOST_CROPS} cells are shown side by side, not {len(wanted)}")
        return _jpeg(self._pictures.crops([self._cell(one) for one in wanted]), _KEPT)

    def _cell(self, name: str) -> tuple[OpenedField, Cell]:
        try:
            number, cell = map(int, name.split(".")[:2])
            if number < 0:
                raise IndexError
            return self._review.fields[number].source, self._review.cell(number, cell)
        except (ValueError, IndexError, KeyError):
            raise UsageError("there is no such cell") from None

    def _picture(self, request: Request) -> Response:
        number = self._field_number(request)
        return _jpeg(self._pictures.picture(self._review.fields[number].source), _KEPT)

    def _field_number(self, request: Request) -> int:
        number = _number(request, "f", -1)
        if not 0 <= number < len(self._review.fields):
            raise UsageError("there is no such field")
        return number

    # What is changed

    def _change(self, content: Mapping[str, Any]) -> dict[str, Any]:
        self._review.change(content)
        return self._review.state(_since(content))

    def _undo(self, content: Mapping[str, Any], again: bool) -> dict[str, Any]:
        field = self._review.undo(content, again)
        return {**self._review.state(_since(content)), "field": field}

    def _write(self, content: Mapping[str, Any]) -> dict[str, Any]:
        names = content.get("formats", [])
        if not isinstance(names, list):
            raise UsageError("formats must be a list of names")
        wanted = formats.require(map(str, names), "export")
        with self._writing:
            written, remarks = [str(outcome.write(self._review, bool(content.get("pdf"))))], []
            if wanted:
                exported = outcome.export(self._review, wanted)
                written += map(str, exported.folders.values())
                remarks = [*exported.failed, *exported.remarks]
            if content.get("dataset"):
                written.append(str(outcome.write_dataset(self._review)))
        return {"written": written, "remarks": remarks}


def listed(states: Sequence[FieldState], thresholds: Mapping[str, float], label: int, sort: str) -> list[int]:
    """The cells of a class in the order of looking at them, as flat numbers.

    Each cell has `IN_LIST` of them: field, cell, class, score in thousandths and version.
    Cells of fields whose picture cannot be shown are left out.

    Args:
        label: the class; -1 for all.
        sort: one of `SORTS`.
    """
    by_smear: dict[str, list[FieldState]] = {}
    for state in states:
        by_smear.setdefault(state.source.result.smear, []).append(state)
    doubts: dict[str, NDArray[np.float64]] = {}
    for own in by_smear.values() if sort == SORTS[0] else ():
        # The median size is that of the smear, whose cells are all of one magnification.
        doubts |= {state.name: values for state, values in zip(own, doubts_of_cells(own, thresholds), strict=True)}
    table = np.concatenate(
        [*(_listed(n, state, sort, doubts.get(state.name)) for n, state in enumerate(states)), np.zeros((0, 1 + IN_LIST))]
    )
    if label >= 0:
        table = table[table[:, 3] == label]
    return _flat(table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))])


def alike(states: Sequence[FieldState], likeness: Likeness, label: int, like: tuple[int, int] | None) -> list[int]:
    """The cells of a class as `listed` gives them, so that like ones stand together, or by how like they are to one cell.

    Args:
        likeness: has nothing left to do for these fields.
        label: the class; -1 for all.
        like: numbers of the field and of the cell in it to which others are compared.

    Raises:
        UsageError: there is no such cell.
    """
    whole = [_listed(n, state, SORTS[-1], None) for n, state in enumerate(states)]
    parts = [likeness.of(state, part[:, 2].astype(int).tolist()) for state, part in zip(states, whole, strict=True) if len(part)]
    if not parts:
        return []
    table, vectors = np.concatenate(whole), standardised(np.concatenate(parts))
    chosen = np.flatnonzero(table[:, 3] == label) if label >= 0 else np.arange(len(table))
    if like is None:
        return _flat(table[chosen[in_order(vectors[chosen])]])
    index = np.flatnonzero((table[:, 1] == like[0]) & (table[:, 2] == like[1]))
    if not len(index):
        raise UsageError("the cell to which others are compared is not there any more; choose another one")
    far = distances(vectors, int(index[0]))
    far[index] = -1  # before others that are quite the same
    return _flat(table[chosen[np.argsort(far[chosen], kind="stable")]])


def _flat(table: NDArray[np.float64]) -> list[int]:
    return table[:, 1:].astype(np.int64).ravel().tolist()


def _of_fields(states: Sequence[FieldState], numbers: Iterable[int]) -> NDArray[np.float64]:
    """All cells of some fields, as `_listed` gives them."""
    return np.concatenate([*(_listed(n, states[n], SORTS[-1], None) for n in numbers), np.zeros((0, 1 + IN_LIST))])


def _listed(number: int, state: FieldState, sort: str, doubts: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """The cells of one field, of shape (n, 1 + `IN_LIST`): what they are sorted by, and the numbers of `listed`.

    There are none where it cannot be shown.
    """
    if state.source.problem:
        return np.zeros((0, 1 + IN_LIST))
    model = state.source.cells
    if state.revision:
        there = [(n, cell) for n, cell in state.cells.items() if cell is not None]
        numbers = np.array([n for n, _ in there], dtype=np.int64)
        versions = np.array([_version(state, n, cell) for n, cell in there], dtype=np.float64)
        cells = state.present()
    else:
        numbers, versions, cells = np.arange(len(model)), np.zeros(len(model)), model
    if sort == "doubt":
        # What readers drew is in no doubt.
        whole = np.concatenate([np.zeros(0) if doubts is None else doubts, np.zeros(len(state.cells) - len(model))])
        key = -whole[numbers]
    else:
        key = {"score": cells.score, "size": boxes.area(cells.xyxy), "field": np.zeros(len(numbers), np.float32)}[sort]
    columns = (key, np.full(len(numbers), number), numbers, cells.label, (1000 * cells.score).round(), versions)
    return np.column_stack([column.astype(np.float64) for column in columns]).reshape(-1, 1 + IN_LIST)


def _version(state: FieldState, number: int, cell: Cell) -> int:
    """Differs where a cell's crop does: 0 for a box of the model."""
    before = state.model_cells.get(number)
    return 0 if before is not None and before[:4] == cell[:4] else 1 + zlib.crc32(repr(cell[:4]).encode()) % 9999


def _since(content: Mapping[str, Any]) -> int:
    since = content.get("since", -1)
    return since if isinstance(since, int) else -1


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name} must be a whole number, got {text[:40]!r}") from None


def pages(start: str, names: Iterable[str]) -> list[BaseRoute]:
    """Routes of files of the page; `start` is the one that the bare address gives."""
    from starlette.routing import Route

    files = {"/": start, **{f"/{name}": name for name in names}}
    return [Route(path, partial(_file, name), methods=["GET"]) for path, name in files.items()]


def taking(taken: Mapping[str, Answer]) -> list[BaseRoute]:
    """Routes of what a page sends as JSON, by their paths, with what answers."""
    from starlette.routing import Route

    return [Route(path, _taken(answer), methods=["POST"]) for path, answer in taken.items()]


def _file(name: str, _request: Request) -> Response:
    return serving.file(_PAGE / name)


def _json(content: object, status: int = 200) -> Response:
    from starlette.responses import Response

    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(text, status, media_type="application/json", headers=serving.HEADERS)


def _jpeg(content: bytes, headers: Mapping[str, str]) -> Response:
    from starlette.responses import Response

    return Response(content, media_type="image/jpeg", headers=dict(headers))


def _shown(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """An answer, or the reason why there is none."""

    def guarded(request: Request) -> Response:
        try:
            return answer(request)
        except (ImageError, UsageError) as error:
            return _json({"error": str(error)}, _NOT_FOUND)

    return guarded


def _taken(answer: Answer) -> Callable[[Request], Any]:
    """Reads what a page sends, within a bound, and answers when it is done, or with the reason why it is not."""
    from starlette.concurrency import run_in_threadpool

    async def guarded(request: Request) -> Response:
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > _MOST_REQUEST:
                return _json({"error": f"a request may hold {_MOST_REQUEST // MEBIBYTE} MiB"}, _TOO_LARGE)
        return await run_in_threadpool(_answered, answer, bytes(content))

    return guarded


def _answered(answer: Answer, content: bytes) -> Response:
    try:
        request = json.loads(content)
        if not isinstance(request, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        return _json({"error": f"the request is not understood: {error}"}, _REFUSED)
    try:
        return _json(answer(request))
    except StaleError as error:
        return _json({"error": str(error), "stale": error.fields}, _CONFLICT)
    except SmearcountError as error:
        return _json({"error": str(error)}, _REFUSED)
