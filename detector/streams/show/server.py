"""The live page: the newest picture and the totals, for browsers on this computer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2

from detector.output import serving
from detector.streams.live import Shown
from detector.vision.images import Rgb, as_jpeg

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_FILES = {"/": "live.html", "/live.css": "live.css", "/live.js": "live.js"}
_PAGE = Path(__file__).parent / "page"
_JPEG_QUALITY = 80
_LONG_PX = 1280
_FAREWELL_S = 0.6
"""Time in which open pages learn why the run ended."""


class LivePage(serving.Server):
    """Serves the page on a thread of its own; as a context manager it is closed however the block ends.

    A sink of `display.Display`. It takes no commands.
    """

    def __init__(self, host: str, port: int, state: Callable[[], dict[str, Any]]) -> None:
        """Take the address; nothing is served yet.

        Args:
            state: what `state.json` holds; called at each request.

        Raises:
            MissingExtraError: the server's packages are not installed.
            OutputError: the address cannot be taken.
            UsageError: it is that of all networks at once.
        """
        super().__init__((host, port), self._routes, "--serve")
        self._state = state
        self._lock = threading.Lock()
        self._latest: Rgb | None = None
        self._jpeg: bytes | None = None
        self._asked = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._asked:
            time.sleep(_FAREWELL_S)
        super().__exit__(kind, error, trace)

    def show(self, picture: Rgb, _shown: Shown) -> None:
        """Keep a drawn frame for who asks for it."""
        with self._lock:
            self._latest, self._jpeg = picture, None

    def close(self) -> None:
        """The last one stays, until the page itself is closed."""

    def _routes(self) -> Sequence[BaseRoute]:
        from starlette.routing import Route

        routes = [Route(path, self._file, methods=["GET"]) for path in _FILES]
        return [*routes, Route("/state.json", self._json, methods=["GET"]), Route("/picture.jpg", self._picture, methods=["GET"])]

    def _file(self, request: Request) -> Response:
        return serving.file(_PAGE / _FILES["/" + request.url.path.rpartition("/")[2]])

    def _json(self, _request: Request) -> Response:
        from starlette.responses import JSONResponse

        self._asked = True
        return JSONResponse(self._state(), headers=serving.HEADERS)

    def _picture(self, _request: Request) -> Response:
        from starlette.responses import Response

        jpeg = self._encoded()
        if jpeg is None:
            return Response("no picture yet", 503, headers=serving.HEADERS)
        return Response(jpeg, media_type="image/jpeg", headers=serving.HEADERS)

    def _encoded(self) -> bytes | None:
        """The newest picture as JPEG, made once however many ask; None before the first."""
        with self._lock:
            if self._jpeg is None and self._latest is not None:
                picture = self._latest
                shrink = min(1.0, _LONG_PX / max(picture.shape[:2]))
                if shrink < 1:
                    picture = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
                self._jpeg = as_jpeg(picture, _JPEG_QUALITY)
            return self._jpeg


@contextmanager
def served(
    place: tuple[str, int] | None,
    state: Callable[[], dict[str, Any]],
    add: Callable[[LivePage], None],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Serve a page at a place, where one is asked for.

    Args:
        state: as of `LivePage`.
        add: takes the page, to hand it what it shows.
        say: tells the user its address, and who can reach it.
    """
    if place is None:
        yield
        return
    page = LivePage(*place, state)
    add(page)
    with page:
        say(f"live page: {page.url}")
        if page.warning:
            say(f"--serve: {page.warning}")
        yield
