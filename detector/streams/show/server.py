"""The live page: the newest picture and the totals, for browsers on this computer."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2

from detector.errors import MissingExtraError, OutputError, UsageError
from detector.streams.live import Shown
from detector.vision.images import Rgb, as_jpeg

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK = "127.0.0.1"

_FILES = {"/": ("live.html", "text/html"), "/live.css": ("live.css", "text/css"), "/live.js": ("live.js", "text/javascript")}
_PAGE = Path(__file__).parent / "page"
_JPEG_QUALITY = 80
_LONG_PX = 1280
_HEADERS = {
    # The page may load its own files and nothing else, and no other page may hold it or read from it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_START_S = 10.0
_FAREWELL_S = 0.6
"""Time in which open pages learn why the run ended."""


def address(text: str) -> tuple[str, int]:
    """Host and port in `PORT` or `HOST:PORT`; without a host, this computer only. Port 0 takes one that is free.

    Raises:
        UsageError: it is neither, or names all addresses at once.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or LOOPBACK
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"--serve {text}: is not a port; give PORT such as 8000, or HOST:PORT to be reached from other computers"
        )
    try:
        everywhere = ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    if everywhere:
        raise UsageError(
            f"--serve {text}: name the one address by which others reach this computer, for example 192.168.1.20:{port}"
        )
    return host, int(port)


class Page:
    """Serves the page on a thread of its own; as a context manager it is closed however the block ends.

    A sink of `display.Display`. Requests that name another host are refused, so that no page from elsewhere can reach this
    one under a name of its own (DNS rebinding). It takes no commands.
    """

    def __init__(self, host: str, port: int, state: Callable[[], dict[str, Any]]) -> None:
        """Take the address; nothing is served yet.

        Args:
            state: what `state.json` holds; called at each request.

        Raises:
            MissingExtraError: the server's packages are not installed.
            OutputError: the address cannot be taken.
        """
        try:
            import uvicorn
        except ImportError:
            raise MissingExtraError("uvicorn", "serve", "--serve") from None
        self._state = state
        self._lock = threading.Lock()
        self._latest: Rgb | None = None
        self._jpeg: bytes | None = None
        self._asked = False
        self._socket = _listening(host, port)
        port = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        config = uvicorn.Config(self._app(host), log_level="critical", access_log=False, server_header=False, lifespan="off",
                                timeout_graceful_shutdown=1, ws="none")  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="page", daemon=True)

    def __enter__(self) -> Page:
        self._thread.start()
        until = time.monotonic() + _START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._asked:
            time.sleep(_FAREWELL_S)
        self._server.should_exit = True
        self._thread.join(_START_S)
        self._socket.close()

    def show(self, picture: Rgb, _shown: Shown) -> None:
        """Keep a drawn frame for who asks for it."""
        with self._lock:
            self._latest, self._jpeg = picture, None

    def close(self) -> None:
        """The last one stays, until the page itself is closed."""

    def _app(self, host: str) -> Any:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.routing import Route

        known = {host, "localhost", LOOPBACK} if host in (LOOPBACK, "localhost") else {host}
        routes = [Route(path, self._file, methods=["GET"]) for path in _FILES]
        routes += [Route("/state.json", self._json, methods=["GET"]), Route("/picture.jpg", self._picture, methods=["GET"])]
        return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=sorted(known))])

    def _file(self, request: Request) -> Response:
        from starlette.responses import Response

        name, kind = _FILES[request.url.path]
        return Response((_PAGE / name).read_bytes(), media_type=kind, headers=_HEADERS)

    def _json(self, _request: Request) -> Response:
        from starlette.responses import JSONResponse

        self._asked = True
        return JSONResponse(self._state(), headers=_HEADERS)

    def _picture(self, _request: Request) -> Response:
        from starlette.responses import Response

        jpeg = self._encoded()
        if jpeg is None:
            return Response("no picture yet", 503, headers=_HEADERS)
        return Response(jpeg, media_type="image/jpeg", headers=_HEADERS)

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


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OutputError(f"--serve: {host} is not an address of this computer ({error.strerror})") from None
    try:
        # A port that was left a moment ago may be taken again; on Windows this would let it be taken from others.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        listener.close()
        raise OutputError(f"--serve: {host}:{port} cannot be taken ({error.strerror}); choose another port, or 0") from None
    return listener
