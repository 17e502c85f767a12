"""The live page: what it serves, to whom, and what a browser makes of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from staging import MjpegServer, StubMode, until

from detector.errors import MissingExtraError, OutputError, UsageError
from detector.streams.capture import Capture, Patience
from detector.streams.live import Live
from detector.streams.log import FrameLog
from detector.streams.show import status
from detector.streams.show.display import Display
from detector.streams.show.server import Page, address
from detector.streams.sources.forms import open_source

httpx = pytest.importorskip("httpx", reason="needs the dev extra: pip install -e '.[dev]'")
pytest.importorskip("uvicorn", reason="needs the serve extra: pip install -e '.[serve]'")

Browser = Any
"""What `conftest.Browser` is."""
NASTY = "<img src=x onerror=alert(1)>"


class Served:
    """A run of the network camera with its page."""

    def __init__(self, camera: MjpegServer, folder: Path) -> None:
        quick = Patience(read_s=0.4, backoff_s=(0.05, 0.1))
        self.log = FrameLog(folder)
        self.capture = Capture(open_source(camera.url), quick)
        self.display = Display([])
        self.live = Live(self.capture, StubMode(pause_s=0.01), self.log, self.display.put)
        self.page = Page("127.0.0.1", 0, lambda: status.state(self.live, f"{camera.url} {NASTY}"))
        self.display.add(self.page)


@pytest.fixture
def served(mjpeg: MjpegServer, tmp_path: Path) -> Iterator[Served]:
    one = Served(mjpeg, tmp_path)
    with one.log, one.capture, one.page, one.display, one.live:
        until(lambda: one.display.drawn > 3)
        yield one
        one.live.stop("stopped", "the test is over")


def test_it_serves_state_and_picture_and_nothing_else(served: Served) -> None:
    state = httpx.get(f"{served.page.url}state.json").json()
    frames = state["frames"]
    assert frames["received"] == frames["used"] + frames["dropped"] + frames["rejected"] > 0
    assert [one["name"] for one in state["classes"]] == ["RBC", "WBC", "Platelets"]
    assert state["camera"] == "running"
    assert state["ended"] is None
    picture = httpx.get(f"{served.page.url}picture.jpg?n=1")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content[:2] == b"\xff\xd8"
    for path in ("none", "../server.py", "live.html", "openapi.json"):
        assert httpx.get(served.page.url + path).status_code == 404
    assert httpx.post(f"{served.page.url}state.json").status_code == 405


def test_it_is_closed_to_other_pages(served: Served) -> None:
    for path in ("", "live.js", "state.json", "picture.jpg"):
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
            assert httpx.get(served.page.url + path, headers={"Host": host}).status_code == 400
        answer = httpx.get(served.page.url + path, headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "server" not in answer.headers
    port = int(served.page.url.rsplit(":", 1)[1].strip("/"))
    assert httpx.get(f"http://localhost:{port}/").status_code == 200


def test_only_this_computer_reaches_it(served: Served) -> None:
    assert served.page._socket.getsockname()[0] == "127.0.0.1"


def test_a_slow_or_silent_client_holds_nothing_up(served: Served) -> None:
    port = int(served.page.url.rsplit(":", 1)[1].strip("/"))
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        before = served.log.received
        until(lambda: served.log.received > before + 20)
        began = time.monotonic()
        assert httpx.get(f"{served.page.url}picture.jpg").status_code == 200
        assert time.monotonic() - began < 2
    finally:
        for one in silent:
            one.close()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("8000", ("127.0.0.1", 8000)),
        ("0", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("192.168.1.20:8000", ("192.168.1.20", 8000)),
        ("[::1]:8000", ("::1", 8000)),
    ],
)
def test_addresses(text: str, place: tuple[str, int]) -> None:
    assert address(text) == place


@pytest.mark.parametrize("text", ["", "http", "70000", "-1", "host:", "0.0.0.0:8000", "[::]:8000"])
def test_addresses_that_are_none_or_too_wide(text: str) -> None:
    with pytest.raises(UsageError, match=r"--serve"):
        address(text)


def test_a_port_that_is_taken_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match="choose another port, or 0"):
            Page("127.0.0.1", taken.getsockname()[1], dict)


def test_without_its_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'smearcount\[serve\]'"):
        Page("127.0.0.1", 0, dict)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_picture_and_totals_as_they_change(
    served: Served, mjpeg: MjpegServer, chromium: Browser, width: int, tmp_path: Path
) -> None:
    chromium.open(served.page.url, width)
    until(lambda: chromium.run("document.querySelectorAll('#totals tr').length") == 3)
    until(lambda: chromium.run("document.getElementById('picture').naturalWidth") == 160)
    counted = "Number(document.querySelector('#totals .count').textContent)"
    first, picture = chromium.run(counted), chromium.run("document.getElementById('picture').src")
    until(lambda: chromium.run(counted) > first)
    until(lambda: chromium.run("document.getElementById('picture').src") != picture)
    assert chromium.run("document.getElementById('state').textContent") == "counting"
    assert chromium.run("document.getElementById('source').textContent").endswith(NASTY)
    assert chromium.run("document.querySelectorAll('img').length") == 1
    assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.run("getComputedStyle(document.querySelector('.swatch')).backgroundColor") == "rgb(0, 114, 178)"
    mjpeg.kill()
    until(lambda: chromium.run("document.getElementById('state').textContent") == "camera lost, connecting again")
    until(lambda: chromium.run("document.querySelectorAll('#faults li').length") == 1)
    mjpeg.start()
    until(lambda: chromium.run("document.getElementById('state').textContent") == "counting")
    served.live.stop("stopped", "the test is over")
    until(lambda: chromium.run("document.getElementById('state').textContent") == "ended: the test is over")
    assert chromium.complaints == []
