"""The report in a real browser, on a laptop's and a phone's width."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from detector import count

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"
Window = Any
"""What `conftest.Window` is."""
NASTY = "long name with spaces and a tag <img src=x onerror=alert(1)>&'.jpg"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of five fields, of which one bears markup in its name and one is blurred, and of one that is unread."""
    folder = tmp_path_factory.mktemp("report")
    fields, out = folder / "fields", folder / "out"
    for smear, names in {"smear_a": ("field_01.jpg", "field_02.jpg"), "smear_b": (NASTY, "field_02.jpg")}.items():
        (fields / smear).mkdir(parents=True)
        for sample, name in zip(("field_01.jpg", "field_02.jpg"), names, strict=True):
            shutil.copy(SAMPLES / smear / sample, fields / smear / name)
    (fields / "smear_b" / "empty.jpg").write_bytes(b"")
    blurred = cv2.GaussianBlur(cv2.imread(str(fields / "smear_a" / "field_01.jpg")), (0, 0), 10)
    cv2.imwrite(str(fields / "smear_a" / "blurred.jpg"), blurred)
    options = ["--out", str(out), "--um-per-px", "0.075", "--rbc-per-ul", "4.5e6"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["count", str(fields), *options])
        with pytest.raises(SystemExit) as ended:
            count.main()
    assert ended.value.code == 1
    return out / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_window_and_complains_of_nothing(report: Path, chromium: Window, width: int) -> None:
    chromium.open(report, width)
    assert chromium.run("document.documentElement.scrollWidth") <= width
    beyond = """[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, svg, dialog')
        && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"""
    assert chromium.run(beyond) == []
    assert chromium.run("document.querySelectorAll('figure.field').length") == 5
    assert chromium.run(
        "[...document.images].filter(one => one.closest('figure')).every(one => one.complete && one.naturalWidth > 100)"
    )
    assert chromium.run("document.querySelector('main').textContent.includes('onerror=alert(1)')")
    assert chromium.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_texts_of_charts_are_legible_and_do_not_overlap(report: Path, chromium: Window, width: int) -> None:
    chromium.open(report, width)
    heights, overlaps = chromium.run("""(() => {
        const heights = [], overlaps = [];
        for (const chart of document.querySelectorAll('.chart svg')) {
            const texts = [...chart.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
            heights.push(...texts.map(([, box]) => Math.min(box.width, box.height) > 0 && Math.max(box.width, box.height)));
            texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
                if (p.left < q.right && q.left < p.right && p.top < q.bottom - 1 && q.top < p.bottom - 1) overlaps.push(`${a} ${b}`);
            }));
        }
        return [heights, overlaps];
    })()""")
    assert len(heights) > 60
    assert min(heights) >= 10
    assert overlaps == []


def test_boxes_are_filtered_by_class_and_score(report: Path, chromium: Window) -> None:
    chromium.open(report, 1280)
    chromium.run("document.getElementById('fields').scrollIntoView({behavior: 'instant'})")
    # Boxes are drawn when the browser says that their picture comes near the window.
    chromium.page.wait_for_function("document.querySelector('figure.field svg').children[0].getAttribute('d')")
    printed = chromium.run("document.getElementById('tally').textContent")
    drawn = "[0, 1, 2].map(i => (document.querySelectorAll('figure.field svg')[0].children[i].getAttribute('d').match(/M/g) || []).length)"
    numbers = chromium.run(drawn)
    shown = chromium.run("document.querySelector('figure.field .numbers').textContent")
    assert [int(one.split()[0]) for one in shown.split(", ")] == numbers
    assert printed.endswith("boxes in 5 fields")
    chromium.run("document.querySelectorAll('input[name=class]')[0].click()")
    assert chromium.run(drawn) == [0, *numbers[1:]]
    chromium.run("document.getElementById('score').value = 100")
    chromium.run("document.getElementById('score').dispatchEvent(new Event('input', {bubbles: true}))")
    assert chromium.run("document.getElementById('tally').textContent") == "0 boxes in 5 fields"
    assert chromium.run("document.getElementById('least').textContent") == "1.00"
    chromium.run("document.getElementById('holding').click()")
    assert chromium.run("document.querySelectorAll('figure.field:not([hidden])').length") == 0
    chromium.run("document.getElementById('holding').click(); document.getElementById('doubtful').click()")
    assert chromium.run("[...document.querySelectorAll('figure.field:not([hidden]) b')].map(one => one.textContent)") == [
        "smear_a/blurred.jpg"
    ]
    assert chromium.complaints == []


def test_pictures_enlarge_by_keyboard(report: Path, chromium: Window) -> None:
    chromium.open(report, 1280)
    chromium.run("document.querySelectorAll('.open')[0].focus()")
    chromium.page.keyboard.press("Enter")
    assert chromium.run("document.getElementById('large').open")
    first = chromium.run("document.querySelector('#large .caption').textContent")
    assert chromium.run("document.querySelector('#large svg').children[0].getAttribute('d').length") > 0
    chromium.page.keyboard.press("ArrowRight")
    assert chromium.run("document.querySelector('#large .caption').textContent") != first
    chromium.page.keyboard.press("Escape")
    assert not chromium.run("document.getElementById('large').open")
    assert chromium.run("document.activeElement.className") == "open"
    assert chromium.complaints == []


def test_without_scripts_tables_and_pictures_are_there(report: Path, chromium: Window) -> None:
    chromium.open(report, 390, scripts=False)
    assert chromium.run("document.querySelectorAll('table').length") >= 5
    assert chromium.run("document.querySelector('figure.field img').naturalWidth") > 100
    assert not chromium.run("document.getElementById('filters').checkVisibility()")


def test_it_prints_on_paper(report: Path, chromium: Window) -> None:
    chromium.open(report, 1280)
    pages = chromium.page.pdf(format="A4", print_background=True).count(b"/Type /Page\n")
    assert 2 <= pages <= 8
    chromium.page.emulate_media(media="print")
    assert not chromium.run("document.getElementById('filters').checkVisibility()")
    assert chromium.run("document.querySelectorAll('figure.field svg').length") == 5
