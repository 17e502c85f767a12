"""A public dataset is fetched file by file, and nothing that is not the pinned file is kept."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detector.annotations.download import Descriptor, descriptor, fetch
from detector.errors import DownloadError, UsageError

# The fetcher leaves the answer of a refused request open; it is collected before the next test.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

FILES = {"Annotations/a.xml": b"<annotation/>", "JPEGImages/a.jpg": b"\xff\xd8pixels"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a web server for FILES, on this machine alone."""
    for name, content in FILES.items():
        path = tmp_path / "served" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    thread.join()
    httpd.server_close()
    gc.collect()


def pinned(url: str) -> Descriptor:
    files = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    return Descriptor("tiny", "A tiny set", "https://example.org/tiny", url, files)


def test_files_are_fetched_once(server: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = fetch(pinned(server), tmp_path / "kept", lambda done, total: told.append((done, total)))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert told == [(1, 2), (2, 2)]
    fetch(pinned("http://127.0.0.1:9/"), tmp_path / "kept")


def test_a_file_that_is_not_the_pinned_one_is_refused(server: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "JPEGImages" / "a.jpg").write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"JPEGImages/a\.jpg: is not the file that was pinned.*pass its folder as SOURCE"):
        fetch(pinned(server), tmp_path / "kept")
    assert [p.name for p in (tmp_path / "kept").rglob("*") if p.is_file() and p.name != "a.xml"] == []


@pytest.mark.parametrize("path", ["", "nothing-here/"])
def test_an_address_that_fails_is_named_with_the_way_on(server: str, tmp_path: Path, path: str) -> None:
    url = f"{server}{path}" if path else "http://127.0.0.1:9/"
    with pytest.raises(DownloadError) as caught:
        fetch(pinned(url), tmp_path / "kept")
    assert str(caught.value).startswith(url)
    assert "https://example.org/tiny" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p for p in (tmp_path / "kept").rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out", "a/../../out", "C:/out", "a\\..\\out"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "evil.sha256").write_text(f"{'0' * 64}  {name}\n", encoding="utf-8")
    (tmp_path / "evil.yaml").write_text(
        "title: t\nhomepage: h\nurl: http://127.0.0.1:9/\nmanifest: evil.sha256\n", encoding="utf-8"
    )
    with pytest.raises(DownloadError, match="leads out of the dataset's folder"):
        descriptor("evil", tmp_path)


def test_an_unknown_dataset_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="no dataset of that name; known: bccd"):
        descriptor("nowhere")
    with pytest.raises(UsageError, match="known: bccd"):
        descriptor("../bccd")


def test_the_shipped_manifest_pins_every_file_of_bccd(real: Callable[[str], Path]) -> None:
    files = descriptor("bccd").files
    assert sum(name.endswith(".xml") for name in files) == sum(name.endswith(".jpg") for name in files) == 364
    folder = real("bccd")
    for name in sorted(files)[::40]:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == files[name]
