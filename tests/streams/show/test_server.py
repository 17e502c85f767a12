"""The live page: what it serves, to whom, and what a browser makes of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from staging import MjpegServer, StubMode, until

from detector.errors import MissingExtraError, OutputError, UsageError
from detector.output import serving
from detector.output.serving import address
from detector.streams.capture import Capture, Patience
from detector.streams.live import Live
from detector.streams.log import FrameLog
from detector.streams.show import status
from detector.streams.show.display import Display
from detector.streams.show.server import LivePage
from detector.streams.sources import open_source

httpx = pytest.importorskip("httpx", reason="needs the dev extra: pip install -e '.[dev]'")
# A client of certificates would read those of all authorities.
get, post = (partial(ask, verify=False) for ask in (httpx.get, httpx.post))
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
        self.page = LivePage("127.0.0.1", 0, lambda: status.state(self.live, f"{camera.url} {NASTY}"))
        self.display.add(self.page)


@pytest.fixture
def served(mjpeg: MjpegServer, tmp_path: Path) -> Iterator[Served]:
    one = Served(mjpeg, tmp_path)
    with one.log, one.capture, one.page, one.display, one.live:
        until(lambda: one.display.drawn > 3)
        yield one
        one.live.stop("stopped", "the test is over")


def test_it_serves_state_and_picture_and_nothing_else(served: Served) -> None:
    state = get(f"{served.page.url}state.json").json()
    frames = state["frames"]
    assert frames["received"] == frames["used"] + frames["dropped"] + frames["rejected"] > 0
    assert [one["name"] for one in state["classes"]] == ["RBC", "WBC", "Platelets"]
    assert state["camera"] == "running"
    assert state["ended"] is None
    picture = get(f"{served.page.url}picture.jpg?n=1")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content[:2] == b"\xff\xd8"
    for path in ("none", "../server.py", "live.html", "openapi.json"):
        assert get(served.page.url + path).status_code == 404
    assert post(f"{served.page.url}state.json").status_code == 405


def test_it_is_closed_to_other_pages(served: Served) -> None:
    for path in ("", "live.js", "state.json", "picture.jpg"):
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
            assert get(served.page.url + path, headers={"Host": host}).status_code == 400
        answer = get(served.page.url + path, headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "server" not in answer.headers
    assert get(served.page.url.replace("127.0.0.1", "localhost")).status_code == 200


def test_without_its_token_nothing_is_shown(served: Served) -> None:
    page = httpx.URL(served.page.url)
    token = page.path.strip("/")
    assert len(token) >= 22
    for path in (
        "",
        "state.json",
        "picture.jpg",
        f"{token[:-1]}/state.json",
        f"{token}x/",
        f"x/{token}/state.json",
        "%00/",
        "//",
    ):
        answer = get(f"http://127.0.0.1:{page.port}/{path}")
        assert answer.status_code == 404
        assert token not in answer.text
    with LivePage("127.0.0.1", 0, dict) as other:
        assert httpx.URL(other.url).path != page.path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{own}"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "{own}"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 400),
        ({"Host": "["}, 400),
        # Through `ssh -L 9000:127.0.0.1:PORT`.
        ({"Host": "127.0.0.1:9000", "Origin": "http://127.0.0.1:9000"}, 200),
    ],
)
def test_what_another_page_sends_is_refused(served: Served, headers: dict[str, str], status: int) -> None:
    own = served.page.url.rsplit("/", 2)[0]
    for path in ("", "state.json", "picture.jpg"):
        given = {name: value.format(own=own) if "own" in value else value for name, value in headers.items()}
        assert get(served.page.url + path, headers=given).status_code == status


def test_only_this_computer_reaches_it(served: Served) -> None:
    assert served.page._socket.getsockname()[0] == "127.0.0.1"


def test_a_slow_or_silent_client_holds_nothing_up(served: Served) -> None:
    port = httpx.URL(served.page.url).port
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        before = served.log.received
        until(lambda: served.log.received > before + 20)
        began = time.monotonic()
        assert get(f"{served.page.url}picture.jpg").status_code == 200
        assert time.monotonic() - began < 2
    finally:
        for one in silent:
            one.close()


def _ended(slow: socket.socket) -> bool:
    """Whether a connection that goes on sending was ended."""
    try:
        slow.sendall(b"X")
    except OSError:
        return True
    return False


def test_idle_connections_are_bounded_in_number_and_time(served: Served) -> None:
    served.page.idle_s = 0.5
    place = ("127.0.0.1", httpx.URL(served.page.url).port)
    held = served.page._server.server_state.connections
    idle = []
    try:
        for number in range(400):
            idle.append(socket.create_connection(place))
            if number % 2:
                idle[-1].sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        with httpx.Client(verify=False) as client:
            assert client.get(f"{served.page.url}state.json").status_code == 200
            assert len(held) <= serving.MOST_CONNECTIONS
            until(lambda: len(held) <= 1)
            # Who asks again and again stays.
            assert client.get(f"{served.page.url}state.json").status_code == 200
        # Neither may a request come in drops.
        slow = socket.create_connection(place)
        idle.append(slow)
        until(lambda: _ended(slow), 10)
    finally:
        for one in idle:
            one.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits of another kind")
def test_results_are_written_though_1500_connections_are_idle(mjpeg: MjpegServer, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("needs 2000 open files")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from staging import StubMode\nfrom detector import stream\nfrom detector.streams import modes\n"
        "modes.fields = lambda *_: StubMode(0.005)\nstream.main()\n"
    )
    command = [sys.executable, "-c", script, mjpeg.url, "--out", "out", "--serve", "0", "--seconds", "8"]
    idle: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert run.stderr is not None
            port = next(httpx.URL(line.split()[-1]).port for line in run.stderr if line.startswith("live page"))
            for _ in range(1500):
                # The run may have ended.
                with suppress(OSError):
                    idle.append(socket.create_connection(("127.0.0.1", port)))
            assert len(idle) > 300
            assert run.wait(60) == 0, run.stderr.read()
        finally:
            run.kill()
            for one in idle:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {"counts.csv", "run.json", "report.html"} <= {file.name for file in (tmp_path / "out").iterdir()}


def test_who_can_reach_it_is_told() -> None:
    with LivePage("127.0.0.1", 0, dict) as page:
        assert page.warning == ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("needs an address in a network")
        own = probe.getsockname()[0]
    with LivePage(own, 0, dict) as page:
        assert f"can reach {own}: whoever has the page's whole address sees the picture" in page.warning
        assert get(page.url).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "0x0", "::", "::ffff:0.0.0.0"])
def test_the_address_that_is_taken_is_judged(host: str) -> None:
    with pytest.raises((UsageError, OutputError), match=r"name the one address|is not an address|cannot be taken"):
        LivePage(host, 0, dict)


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http",
        "70000",
        "-1",
        "host:",
        "0.0.0.0:8000",
        "[::]:8000",
        "0:8000",
        "0x0:8000",
        "00:8000",
        "0.0:8000",
        "[::ffff:0.0.0.0]:8000",
        "[0:0::]:0",
    ],
)
def test_addresses_that_are_none_or_too_wide(text: str) -> None:
    with pytest.raises(UsageError, match=r"--serve"):
        address(text)


def test_a_port_that_is_taken_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match="choose another port, or 0"):
            LivePage("127.0.0.1", taken.getsockname()[1], dict)


def test_without_its_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'smearcount\[serve\]'"):
        LivePage("127.0.0.1", 0, dict)


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
    until(lambda: chromium.run("document.getElementById('state').textContent") == "counting")
    assert chromium.run("document.getElementById('source').textContent").endswith(NASTY)
    assert chromium.run("document.querySelectorAll('img').length") == 1
    assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.run("getComputedStyle(document.querySelector('.swatch')).backgroundColor") == "rgb(0, 114, 178)"
    mjpeg.kill()
    until(lambda: chromium.run("document.getElementById('state').textContent") == "camera lost, connecting again")
    # On a busy machine a picture may have come late before.
    until(lambda: chromium.run("document.querySelectorAll('#faults li').length") > 0)
    mjpeg.start()
    until(lambda: chromium.run("document.getElementById('state').textContent") == "counting")
    served.live.stop("stopped", "the test is over")
    until(lambda: chromium.run("document.getElementById('state').textContent") == "ended: the test is over")
    assert chromium.complaints == []
