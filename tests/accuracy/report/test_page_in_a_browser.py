"""The page of an evaluation in a real browser, on a laptop's and a phone's width, and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Window = Any
"""What `conftest.Window` is."""


@pytest.fixture(params=["of_model", "of_tables"])
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param)) / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_window_and_complains_of_nothing(page: Path, chromium: Window, width: int) -> None:
    chromium.open(page, width)
    assert chromium.run("document.documentElement.scrollWidth") <= width
    beyond = """[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, svg')
        && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"""
    assert chromium.run(beyond) == []
    assert chromium.run("[...document.images].every(one => one.complete && one.naturalWidth > 100 && one.alt)")
    # A plot that is shown much smaller than it was drawn has texts that nobody reads.
    shown = chromium.run("[...document.querySelectorAll('.plot img')].map(one => one.getBoundingClientRect().width)")
    assert min(shown) >= 320
    # Tables of figures are seen whole, with each interval in one line where there is room.
    assert chromium.run("[...document.querySelectorAll('.figures')].every(one => one.offsetWidth <= one.parentNode.clientWidth)")
    lines = "[...document.querySelectorAll('.interval')].map(one => one.getBoundingClientRect().height)"
    assert width < 600 or max(chromium.run(lines)) < 25
    assert chromium.run("document.querySelectorAll('script, iframe, object, link').length") == 0
    assert chromium.run("document.querySelectorAll('[onerror], img[src=x]').length") == 0
    assert chromium.run("document.querySelector('main').textContent.includes('onerror=alert(1)')")
    assert chromium.complaints == []


def test_links_of_the_page_lead_somewhere(page: Path, chromium: Window) -> None:
    chromium.open(page, 1280)
    assert chromium.run("[...document.querySelectorAll('nav a')].filter(one => !document.querySelector(one.hash)).length") == 0
    assert chromium.run("[...document.querySelectorAll('main > section')].length") == chromium.run(
        "document.querySelectorAll('nav a').length"
    )


def test_boxes_lie_on_the_pictures_and_differ_without_colour(of_model: Path, chromium: Window) -> None:
    chromium.open(of_model / "report.html", 1280)
    apart = """[...document.querySelectorAll('.worst .frame')].map(one => {
        const a = one.querySelector('img').getBoundingClientRect(), b = one.querySelector('svg').getBoundingClientRect();
        return Math.max(Math.abs(a.left - b.left), Math.abs(a.top - b.top), Math.abs(a.right - b.right), Math.abs(a.bottom - b.bottom));
    })"""
    distances = chromium.run(apart)
    assert distances
    assert max(distances) < 1
    dashes = "['hit', 'missed', 'false'].map(kind => getComputedStyle(document.querySelector(`.key .${kind}`)).strokeDasharray)"
    assert len(set(chromium.run(dashes))) == 3


def test_it_prints_on_paper(page: Path, chromium: Window) -> None:
    chromium.open(page, 1280)
    assert 3 <= chromium.page.pdf(format="A4", print_background=True).count(b"/Type /Page\n") <= 16
    chromium.page.emulate_media(media="print")
    assert not chromium.run("document.querySelector('nav').checkVisibility()")
