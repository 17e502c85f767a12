"""What tests of several wings share."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

from detector import commandline
from detector.vision import backends, catalogue
from detector.vision.model import Model, processors

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

# How long an example takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """With `-n`, keep the tests of a file in one process, so that what they share is made once."""
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadfile"
        # In the order of collection, whose last files are short: files of few tests, the default's last, take long.
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`, one process more than there are cores: programs that tests start and wait for leave a core idle."""
    return processors() + 1


ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "datasets" / "samples"


# The console is made while no test has set a width of text; with -n, pytest's workers have one in their environment.
os.environ.pop("COLUMNS", None)
assert commandline.console is not None

# Threads of PyTorch that spin while they wait take the time of other processes; a training then lasts several times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session")
def model() -> Model:
    """The shipped model, on one thread."""
    return Model.load()


_open_network = backends.open_network
_answers: dict[bytes, np.ndarray] = {}


@lru_cache
def _shipped_network(backend: str, workers: int, threads: int) -> backends.Network:
    network = _open_network(catalogue.SHIPPED, backend, workers, threads)

    def run(pixels: np.ndarray, least: np.ndarray) -> np.ndarray:
        asked = sha256(repr((network.backend, threads, pixels.shape, least.tolist())).encode() + pixels.tobytes()).digest()
        if asked not in _answers:
            _answers[asked] = network.run(pixels, least)
        return _answers[asked].copy()

    return replace(network, run=run)


def _remembered(path: Path, backend: str = backends.AUTO, workers: int = 1, threads: int = 1) -> backends.Network:
    """What the shipped network answered once it answers again from memory: tests count the same few fields hundreds of times.

    That it answers alike each time is held by `engines/test_determinism.py` and `vision/test_model.py`, which ask it afresh.
    """
    if path == catalogue.SHIPPED:
        return _shipped_network(backend, workers, threads)
    return _open_network(path, backend, workers, threads)


backends.open_network = _remembered


@pytest.fixture(scope="module")
def afresh() -> Iterator[None]:
    """The shipped network itself, for tests of what it answers."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backends, "open_network", _open_network)
        yield


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A folder of two smears with two fields each, copied from the samples."""
    folder = tmp_path / "fields"
    for smear in ("smear_a", "smear_b"):
        (folder / smear).mkdir(parents=True)
        for field in sorted((SAMPLES / smear).glob("*.jpg"))[:2]:
            shutil.copy(field, folder / smear)
    return folder


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Leave Ctrl-C to pytest, whatever a command of a test made of it."""
    signals = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = [signal.getsignal(number) for number in signals]
    yield
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def one_thread_of_torch() -> None:
    """Give PyTorch one thread in this process: beside other tests a second one has no core of its own."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


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


_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _BROWSERS)), None)
"""A browser for pages, the one without a window first, which takes half the time; None where there is none."""


class Window:
    """A window of Chromium, and what its page complains of."""

    page: Page
    """What was opened last."""

    def __init__(self, browser: Browser) -> None:
        """Show nothing yet."""
        self._browser = browser
        self.complaints: list[str] = []
        """What the page wrote to the console, the exceptions in it, and what it asked of others than its own place."""

    def open(self, target: Path | str, width: int, height: int = 900, scripts: bool = True) -> None:
        """Open a file or an address in a window of so many CSS pixels, with nothing left of the one before."""
        self.close()
        url, own = (target.resolve().as_uri(), "file:") if isinstance(target, Path) else (target, target.partition("#")[0])
        viewport: ViewportSize = {"width": width, "height": height}
        context = self._browser.new_context(viewport=viewport, is_mobile=width < 600, java_script_enabled=scripts)
        self.page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, (own, "data:")))
        self.page.goto(url)

    def _note(self, url: str, own: tuple[str, str]) -> None:
        if not url.startswith(own):
            self.complaints.append(f"asked for {url[:200]}")

    def run(self, script: str, given: object = None) -> Any:
        """What a JavaScript expression comes to, or a function of what is given; a promise is waited for."""
        return self.page.evaluate(script, given)

    def close(self) -> None:
        """Close what is open."""
        for context in self._browser.contexts:
            context.close()
        self.complaints.clear()


@pytest.fixture(scope="module")
def started_chromium() -> Iterator[Browser]:
    """A browser that the tests of a file share, for it takes a while to start; playwright keeps the thread's event loop until it ends."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the dev extra: pip install -e '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium-headless-shell")
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=["--disable-dev-shm-usage"]) as started,
    ):
        yield started


@pytest.fixture
def chromium(started_chromium: Browser) -> Iterator[Window]:
    """A window of the browser; the test is skipped where there is none."""
    window = Window(started_chromium)
    yield window
    window.close()
