"""How fluent the page of a review is in Chromium: time to its first cells, and pictures a second while it scrolls and moves.

    python -m benchmarks.review_page [--cells 100000] [--boxes 10000]

Cells are made up. The grid of cells is scrolled steadily, and a field full of boxes is drawn at a place that moves with each picture.
Asked for on two cores with nothing beside: first paint under a second, and 60 pictures a second.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from benchmarks import machine
from detector.arguments import Number, Parser
from detector.commandline import run as run_command
from detector.counting.fields import FieldCount
from detector.counting.result import FieldResult
from detector.counting.smears import aggregate
from detector.errors import MissingExtraError, SmearcountError
from detector.output import results
from detector.output.outcome import Outcome
from detector.vision.detections import Detections

if TYPE_CHECKING:
    from playwright.sync_api import Page

IN_FIELD = 2000
"""Cells of each field whose cells are scrolled."""
_SECONDS = 5
_SCREENS = 3
"""Screens of cells a second."""
_MOVED = """([what, seconds, screens]) => new Promise(done => {
    const grid = document.getElementById("grid"), stage = Konva.stages[0], times = [];
    const step = now => {
        times.push(now);
        const passed = (now - times[0]) / 1000;
        if (passed >= seconds) return done(times);
        if (what === "grid") grid.scrollTop = passed * screens * grid.clientHeight;
        else { stage.x(100 * Math.sin(passed)); stage.fire("dragmove", { target: stage }); }
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})"""
_SHOWN = (
    "(() => { const all = [...document.querySelectorAll('.tile .crop')];"
    "return all.length > 0 && all.every(i => i.style.backgroundImage); })()"
)


def write_run(folder: Path, fields: int, cells: int, size_wh: tuple[int, int] = (640, 480)) -> Path:
    """Write a count of so many fields with so many cells each, as a saved `Outcome` is, beside its pictures; gives its folder."""
    random = np.random.default_rng(1)
    pictures, out = folder / "fields" / "smear", folder / "out"
    pictures.mkdir(parents=True)
    out.mkdir()
    cv2.imwrite(str(pictures / "0000.png"), cv2.resize(random.integers(90, 255, (30, 40, 3), dtype=np.uint8), size_wh))
    read = []
    for number in range(fields):
        name = f"{number:04}.png"
        if number:
            os.link(pictures / "0000.png", pictures / name)
        corner = random.uniform(0, 1, (cells, 2)) * (np.array(size_wh) - 40)
        xyxy = np.concatenate([corner, corner + random.uniform(10, 40, (cells, 2))], axis=1)
        seen = Detections(xyxy, random.uniform(0.5, 1, cells), random.choice(3, cells, p=(0.8, 0.05, 0.15)), size_wh)
        read.append(FieldResult(f"smear/{name}", "smear", None, seen))
    counted = [result.count() for result in read]
    smears = aggregate([field for field in counted if isinstance(field, FieldCount)])
    run = {
        "settings": {"inputs": ["fields"], "manifest": None, "um_per_px": None, "rbc_per_ul": None, "ul_factor": None},
        "model": {"name": "none", "thresholds": {"RBC": 0.4, "WBC": 0.4, "Platelets": 0.4}},
        "finished": "2026-01-01T00:00:00+00:00",
    }
    results.write(out, Outcome(tuple(counted), tuple(smears)), run)
    results.write_cells(out, read)
    return out


def measure(*, cells: int, boxes: int, browser: str | None) -> None:
    """Print JSON: seconds to the first paint and to the first cells, and pictures a second while the page moves.

    Raises:
        MissingExtraError: the browser's driver is not installed. SmearcountError: there is no browser.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise MissingExtraError("playwright", "dev", "driving a browser") from None
    program = browser or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SmearcountError("no Chromium; install it, or name it by --browser")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        many = write_run(Path(place) / "many", -(-cells // IN_FIELD), IN_FIELD)
        dense = write_run(Path(place) / "dense", 1, boxes, (2000, 1500))
        chromium = driver.chromium.launch(executable_path=program)
        figures: dict[str, Any] = {"machine": machine.described(), "browser": chromium.version, "cells": cells, "boxes": boxes}
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        with started(many) as (_, address):
            figures |= _grid(page, address)
        with started(dense) as (_, address):
            page.goto(f"{address}#fields")
            _wait(page, "Boolean(window.Konva && Konva.stages.length && Konva.stages[0].getLayers().length > 1)")
            figures["moving a field of boxes"] = _moved(page, "field")
        print(json.dumps(figures, indent=2))


def _grid(page: Page, address: str) -> dict[str, Any]:
    began = time.monotonic()
    page.goto(f"{address}#cells")
    _wait(page, _SHOWN)
    shown_s = time.monotonic() - began
    _wait(page, "performance.getEntriesByName('first-contentful-paint').length > 0")
    paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.click("#classes label:last-of-type")
    _wait(page, _SHOWN)
    moved = _moved(page, "grid")
    began = time.monotonic()
    _wait(page, _SHOWN)
    return {
        "first paint, s": round(paint_ms / 1000, 2),
        "first cells, s": round(shown_s, 2),
        "scrolling the cells": moved,
        "all cells in view after scrolling, s": round(time.monotonic() - began, 2),
    }


def _wait(page: Page, condition: str, patience_s: float = 60.0) -> None:
    """Wait until an expression is true; the page forbids those that the driver would let it wait for itself."""
    end = time.monotonic() + patience_s
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise SmearcountError(f"the page did not come so far in {patience_s:g} s: {condition}")
        time.sleep(0.02)


def _moved(page: Page, what: str) -> dict[str, float]:
    times = page.evaluate(_MOVED, [what, _SECONDS, _SCREENS])
    between_ms = np.diff(np.array(times, dtype=np.float64))
    worst_ms = float(np.quantile(between_ms, 0.95))
    return {"pictures a second": round(1000 / float(between_ms.mean()), 1), "ms in the slowest twentieth": round(worst_ms, 1)}


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address of its page; it is killed at the end."""
    program = [sys.executable, "-m", "detector.review", str(folder), "--no-browser", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - our own words
        try:
            assert process.stderr is not None
            yield process, next(match[0] for line in process.stderr if (match := re.search(r"http://\S+", line)))
        finally:
            process.kill()


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.review_page", "[OPTION]...", __doc__)
    made.add_argument("--cells", type=Number(int, 1), default=100_000, help="cells in the grid")
    made.add_argument("--boxes", type=Number(int, 1), default=10_000, help="boxes in the field that is moved")
    made.add_argument("--browser", help="program of Chromium or Chrome; default: the one that is installed")
    return made


if __name__ == "__main__":
    run_command(measure, parser())
