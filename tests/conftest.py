"""What tests of several wings share."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from hypothesis import settings

from detector import commandline
from detector.vision.model import Model

# How long an example takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """With `-n`, keep the tests of a file in one process, so that what they share is made once."""
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadfile"


ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "datasets" / "samples"


# The console is made while no test has set a width of text; with -n, pytest's workers have one in their environment.
os.environ.pop("COLUMNS", None)
assert commandline.console is not None


@pytest.fixture(scope="session")
def model() -> Model:
    """The shipped model, on one thread."""
    return Model.load()


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A folder of two smears with two fields each, copied from the samples."""
    folder = tmp_path / "fields"
    for smear in ("smear_a", "smear_b"):
        (folder / smear).mkdir(parents=True)
        for field in sorted((SAMPLES / smear).glob("*.jpg"))[:2]:
            shutil.copy(field, folder / smear)
    return folder


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run a command's `main` with arguments in an empty folder, as a shell would, and give its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(main: Callable[[], None], *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""A browser for pages; None where there is none."""

_PATIENCE_S = 60

# Chromium reads commands from descriptor 3 and writes answers to 4, which may be taken.
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD_CLOEXEC, 100) for one in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page in a browser; as a context manager it is closed however the block ends."""

    def __init__(self, profile: Path) -> None:
        """Start a browser that keeps its files in the folder `profile`."""
        assert CHROMIUM is not None
        self.complaints: list[str] = []
        """What the page wrote to the console, the exceptions in it, and what it asked of others than its own place."""
        self._own = ("file:", "data:", "about:")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(to_read), str(to_write), CHROMIUM, *options],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self._target = ""
        self.renew()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait(30)
        os.close(self._to)
        os.close(self._from)

    def renew(self) -> None:
        """A new page, with nothing left of the one before."""
        self._session, old = None, self._target
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        if old:
            self.call("Target.closeTarget", targetId=old)
        self.complaints.clear()

    def open(self, page: Path | str, width: int, height: int = 900) -> None:
        """Open a file or an address in a window of so many CSS pixels, and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        url = page.resolve().as_uri() if isinstance(page, Path) else page
        self._own = ("file:", "data:") if isinstance(page, Path) else (url, "data:")
        self.call("Page.navigate", url=url)
        # Not by an event, which does not come where scripts are switched off.
        while self.run("location.protocol !== 'about:' && document.readyState") != "complete":
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """What a JavaScript expression comes to; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, name: str) -> None:
        """Press a key by its name, for example `Enter` or `ArrowRight`."""
        text = {"text": "\r"} if name == "Enter" else {}
        code = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}[name]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text)

    def picture(self, target: Path, whole: bool = False) -> None:
        """Write what is in the window, or the whole page, as PNG."""
        target.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        printed = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        return base64.b64decode(printed["data"])

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], _PATIENCE_S)[0], "the browser does not answer"
            more = os.read(self._from, 1 << 20)
            assert more, "the browser ended"
            self._rest += more
        line, self._rest = self._rest.split(b"\0", 1)
        return json.loads(line)

    def _note(self, event: Any) -> None:
        parameters = event.get("params", {})
        if event.get("sessionId") != self._session:
            return
        if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(parameters)[:500])
        if event.get("method") == "Network.requestWillBeSent" and not parameters["request"]["url"].startswith(self._own):
            self.complaints.append(f"asked for {parameters['request']['url'][:200]}")


@pytest.fixture(scope="session")
def started_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that all tests share, for it takes a while to start."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def chromium(started_chromium: Browser) -> Browser:
    """A browser with a new page; the test is skipped where there is none."""
    started_chromium.renew()
    return started_chromium
