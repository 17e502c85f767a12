"""The server of pages: how it ends."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from detector.output import serving

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

pytest.importorskip("uvicorn", reason="needs the serve extra: pip install -e '.[serve]'")


def test_a_connection_whose_answer_is_still_being_made_is_closed() -> None:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    asked, answer = threading.Event(), threading.Event()

    def slow(request: Request) -> Response:
        asked.set()
        answer.wait(30)
        return PlainTextResponse("too late")

    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always", ResourceWarning)
        with serving.Server((serving.LOOPBACK, 0), lambda: [Route("/slow", slow)], "serve") as server:
            url = urlsplit(server.url)
            client = socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=10)
            client.sendall(f"GET {url.path}slow HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
            assert asked.wait(10)
            # What uvicorn waits for when it ends is bounded by a second; the answer comes after that.
            threading.Timer(2.0, answer.set).start()
        with client:
            assert client.recv(1) == b""
        gc.collect()
    assert [str(complaint.message) for complaint in complaints] == []
