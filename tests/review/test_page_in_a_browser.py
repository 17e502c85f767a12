"""The page of a review in a real browser: by mouse, by keys alone, on a laptop's and a phone's width, and after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from steps import change, counts, undo

from benchmarks.review_page import started, write_run
from detector.output import figures
from detector.review.journal import JOURNAL, ReviewJournal
from detector.review.opened import open_run
from detector.review.pictures import CROP_PX
from detector.review.review import Review
from detector.review.server import ReviewPage
from detector.review.start import Start

pytestmark = pytest.mark.slow
pytest.importorskip("uvicorn", reason="needs the serve extra: pip install -e '.[serve]'")

Opening = Callable[[], Any]
Window = Any
"""What `conftest.Window` is."""
HEIGHT = {1366: 768, 390: 844}


class Shown:
    """A review in a browser."""

    def __init__(self, review: Review, url: str, window: Window) -> None:
        self.review, self.url, self.window = review, url, window
        self.touch: Any = None
        """Sends what a touch screen sends."""

    def open(self, view: str, width: int = 1366) -> None:
        """Open a view, and wait until it shows its cells or its picture."""
        self.window.open(f"{self.url}#{view}", width, HEIGHT[width])
        ready = {
            "cells": "document.querySelectorAll('.tile').length > 0",
            "fields": "window.Konva && Konva.stages[0]?.find('Image')[0]?.image() != null",
            "smears": "document.querySelectorAll('#smear-rows tr').length > 0",
        }[view]
        # Not by the driver's own waiting, which evaluates text in the page: the page forbids that.
        self.wait(lambda: bool(self.window.run(ready)))

    def show_all_classes(self) -> None:
        """Choose cells of all classes, and wait until they are there: until then the grid holds the former ones."""
        self.window.page.click("#classes label:last-of-type")
        self.wait(lambda: not self.window.run("document.getElementById('grid').hasAttribute('aria-busy')"))

    def settle(self) -> None:
        """Wait until the page shows the review as it is: a change is made before the page has heard of it."""
        state = (
            "import('./talk.js').then(talk =>"
            "document.querySelector('#picture[aria-busy], #grid[aria-busy]') ? -1 : talk.review.version)"
        )
        self.wait(lambda: bool(self.window.run(state) == self.review.version))

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.window.page.keyboard.press(key)

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; the browser goes on meanwhile."""
        until = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < until, self.window.run("document.getElementById('say').textContent")
            self.window.page.wait_for_timeout(30)

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the picture is in the window."""
        left, top, scale = self.window.run(
            "(() => { const s = Konva.stages[0], b = s.container().getBoundingClientRect();"
            "return [b.left + s.x(), b.top + s.y(), s.scaleX()]; })()"
        )
        return left + x * scale, top + y * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw the mouse from one place to another."""
        mouse = self.window.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=3)
        mouse.move(*end, steps=3)
        mouse.up()

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.window.page.text_content(selector))


@pytest.fixture
def shown(opened: Opening, chromium: Window) -> Iterator[Shown]:
    with opened() as review, ReviewPage(("127.0.0.1", 0), review, "Ann") as page:
        yield Shown(review, page.url, chromium)
        chromium.page.goto("about:blank")


def test_cells_are_given_another_class_by_key_and_by_rubber_band(shown: Shown, run_folder: Path) -> None:
    before = [sum(state.counted.raw[name] for state in shown.review.fields if state.source.is_read) for name in ("RBC", "WBC")]
    shown.open("cells")
    whites = before[1]
    assert shown.window.run("document.querySelectorAll('.tile').length") == whites
    shown.press("ArrowRight", "1")
    shown.wait(lambda: shown.review.version == 1)
    shown.wait(lambda: shown.text("#cell-1 .class") == "RBC")
    assert f"WBC{whites - 1}" in shown.text("#classes")
    first = shown.window.page.locator("#cell-0").bounding_box()
    third = shown.window.page.locator("#cell-2").bounding_box()
    shown.drag((first["x"] - 4, first["y"] + 20), (third["x"] + 20, third["y"] + 40))
    shown.wait(lambda: shown.text("#chosen").startswith("3 of"))
    shown.press("3")
    shown.wait(lambda: shown.review.version == 2)
    total = [
        sum(state.counted.raw[name] for state in shown.review.fields if state.source.is_read)
        for name in ("RBC", "WBC", "Platelets")
    ]
    assert total[:2] == [before[0], before[1] - 3]
    # What the page says is done is on disk.
    lines = [json.loads(line) for line in (run_folder / JOURNAL).read_bytes().splitlines()]
    assert [len(line["sets"]) for line in lines[1:]] == [1, 3]
    shown.press("x")
    shown.wait(lambda: shown.window.run("document.querySelectorAll('.tile.removed').length") == 3)
    shown.press("z", "z", "z")
    shown.wait(lambda: shown.review.version == 6)
    shown.wait(lambda: shown.window.run("document.querySelectorAll('.tile.removed').length") == 0)
    shown.wait(lambda: shown.text("#cell-1 .class") == "WBC")
    assert [sum(s.counted.raw[name] for s in shown.review.fields if s.source.is_read) for name in ("RBC", "WBC")] == before
    assert shown.window.complaints == []


def test_a_box_is_drawn_moved_deleted_and_undone_by_mouse(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    before = counts(shown.review, number)
    new = max(state.cells) + 1
    shown.window.page.click("#draw")
    shown.press("2")
    shown.drag(shown.on_screen(40, 30), shown.on_screen(140, 110))
    shown.wait(lambda: new in state.cells)
    assert state.cells[new][4] == 1
    assert state.cells[new][:4] == pytest.approx((40, 30, 140, 110), abs=1.5)
    shown.wait(lambda: f"WBC{before[1] + 1}" in shown.text("#field-totals"))
    shown.settle()
    shown.window.page.click("#draw")
    shown.drag(shown.on_screen(90, 70), shown.on_screen(140, 100))
    shown.wait(lambda: state.revision == 2)
    assert state.cells[new][:4] == pytest.approx((90, 60, 190, 140), abs=2.5)
    # By its lower right handle.
    shown.settle()
    assert shown.window.run("Konva.stages[0].find('Transformer')[0].nodes().length") == 1
    shown.drag(shown.on_screen(*state.cells[new][2:4]), shown.on_screen(230, 190))
    shown.wait(lambda: state.revision == 3)
    assert state.cells[new][:4] == pytest.approx((90, 60, 230, 190), abs=3.5)
    shown.settle()
    shown.press("Delete")
    shown.wait(lambda: state.cells[new] is None)
    for revision in range(5, 9):
        shown.window.page.click("#undo")
        shown.wait(lambda revision=revision: state.revision == revision)
    assert counts(shown.review, number) == before
    shown.settle()
    assert f"WBC{before[1]}" in shown.text("#field-totals")
    shown.window.page.click("#redo")
    shown.wait(lambda: state.cells[new] is not None)
    assert shown.window.complaints == []


def test_a_cell_is_chosen_by_a_click_and_given_another_class(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    least = min(
        state.model_cells,
        key=lambda n: (state.model_cells[n][2] - state.model_cells[n][0]) * (state.model_cells[n][3] - state.model_cells[n][1]),
    )
    x1, y1, x2, y2, label = state.model_cells[least]
    shown.window.page.mouse.click(*shown.on_screen((x1 + x2) / 2, (y1 + y2) / 2))
    shown.press(str((label + 1) % 3 + 1))
    shown.wait(lambda: state.revision == 1)
    assert state.cells[least] == (x1, y1, x2, y2, (label + 1) % 3)


def test_keys_alone_suffice(shown: Shown) -> None:
    shown.open("cells")
    shown.press("Shift+ArrowRight", "3")
    shown.wait(lambda: shown.review.version == 1)
    shown.press("Escape", "Enter")
    shown.wait(lambda: bool(shown.window.run("Konva.stages[0]?.find('Transformer')[0]?.nodes().length === 1")))
    shown.wait(lambda: bool(shown.window.run("Konva.stages[0].find('Image')[0].image() != null")))
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    new, revision = max(state.cells) + 1, state.revision
    shown.press("Escape", "1", "a")
    shown.wait(lambda: new in state.cells)
    shown.wait(lambda: shown.window.run("Konva.stages[0].find('Transformer')[0].nodes().length") == 1)
    box = state.cells[new][:4]
    shown.press("ArrowRight", "Shift+ArrowDown", "Alt+ArrowRight")
    shown.wait(lambda: state.revision == revision + 4)
    assert state.cells[new][:4] == pytest.approx((box[0] + 1, box[1] + 10, box[2] + 2, box[3] + 10))
    shown.press("x")
    shown.wait(lambda: state.cells[new] is None)
    for marked in range(1, 5):
        shown.press("l")
        shown.wait(lambda marked=marked: sum(state.looked is not None for state in shown.review.fields) == marked)
        shown.settle()
    assert sum(state.looked is not None for state in shown.review.fields) == 4
    shown.press("s")
    shown.wait(lambda: shown.window.run("!document.getElementById('smears').hidden"))
    for _ in range(60):
        shown.press("Tab")
        if shown.window.run("document.activeElement.textContent") == "Mark as reviewed":
            break
    shown.press("Enter")
    shown.wait(lambda: shown.review.state()["smears"][0]["signed"] is not None)
    shown.settle()
    for _ in range(60):
        shown.press("Tab")
        if shown.window.run("document.activeElement.id") == "write":
            break
    shown.press("Enter")
    shown.wait(lambda: shown.text("#written").startswith("Written: "))
    assert (shown.review.run.folder / "reviewed" / "report.html").is_file()
    assert shown.window.complaints == []


def test_a_finger_scrolls_and_taps(shown: Shown) -> None:
    shown.open("cells", 390)
    tile = shown.window.page.locator("#cell-1").bounding_box()
    finger = {"pointerType": "touch", "clientX": tile["x"] + 30, "clientY": tile["y"] + 30}
    shown.window.page.dispatch_event("#grid", "pointerdown", {**finger, "bubbles": True})
    assert shown.text("#chosen").startswith("0 of")
    shown.window.run(
        f"document.getElementById('grid').dispatchEvent(new PointerEvent('click', {json.dumps({**finger, 'bubbles': True})}))"
    )
    shown.wait(lambda: shown.text("#chosen").startswith("1 of"))
    assert shown.window.page.get_attribute("#cell-1", "aria-selected") == "true"


def touched(shown: Shown, kind: str, *fingers: tuple[float, float]) -> None:
    """Tell the page of fingers as a touch screen does."""
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
    shown.touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def seen(shown: Shown) -> tuple[float, float, float]:
    """Scale and place of the picture."""
    scale, x, y = shown.window.run("(() => { const s = Konva.stages[0]; return [s.scaleX(), s.x(), s.y()]; })()")
    return scale, x, y


@pytest.mark.parametrize("width", [390, 1366])
def test_two_fingers_zoom_and_change_nothing(shown: Shown, width: int) -> None:
    shown.open("fields", width)
    shown.touch = shown.window.page.context.new_cdp_session(shown.window.page)
    shown.window.run("document.getElementById('picture').scrollIntoView()")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    box = shown.window.page.locator("#picture").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    scale, left, top = seen(shown)
    under = ((x - box["x"] - left) / scale, (y - box["y"] - top) / scale)
    touched(shown, "touchStart", (x - 30, y), (x + 30, y))
    for apart in range(35, 95, 5):
        touched(shown, "touchMove", (x - apart, y), (x + apart, y))
    shown.wait(lambda: seen(shown)[0] == pytest.approx(3 * scale, rel=0.02))
    scale, left, top = seen(shown)
    # What was between the fingers still is.
    assert ((x - box["x"] - left) / scale, (y - box["y"] - top) / scale) == pytest.approx(under, abs=1)
    touched(shown, "touchMove", (x - 70, y + 10), (x + 110, y + 10))
    shown.wait(lambda: seen(shown)[1:] == pytest.approx((left + 20, top + 10), abs=1))
    touched(shown, "touchEnd")
    # A box that one finger has begun to move stays where it is when a second one comes.
    shown.window.page.focus("#picture")
    shown.press("0", "n")
    shown.wait(lambda: shown.window.run("Konva.stages[0].find('Transformer')[0].nodes().length") == 1)
    x1, y1, x2, y2, _ = state.model_cells[min(state.model_cells)]
    x, y = shown.on_screen((x1 + x2) / 2, (y1 + y2) / 2)
    touched(shown, "touchStart", (x, y))
    touched(shown, "touchMove", (x + 12, y + 12))
    touched(shown, "touchStart", (x + 12, y + 12), (x + 60, y + 12))
    touched(shown, "touchMove", (x + 12, y + 12), (x + 80, y + 12))
    touched(shown, "touchEnd")
    shown.window.page.wait_for_timeout(300)
    assert (shown.review.version, state.revision) == (0, 0)
    handle = shown.window.run(
        "(() => { const h = Konva.stages[0].find('Rect').find(one => one.draggable()); return [h.x(), h.y()]; })()"
    )
    assert handle == pytest.approx([x1, y1], abs=0.1)
    assert shown.window.complaints == []


def test_cells_are_sorted_by_likeness_and_more_like_one_are_shown(shown: Shown) -> None:
    shown.open("cells")
    order = "document.getElementById('grid').getAttribute('aria-label')"
    source = "document.getElementById('cell-{}').dataset.cell"
    shown.show_all_classes()
    shown.window.page.select_option("#sort", "likeness")
    total = sum(len(state.model_cells) for state in shown.review.fields)
    shown.wait(
        lambda: shown.text("#chosen") == f"0 of {total} selected" and shown.window.run(order) == "Cells, like ones together"
    )
    fifth = shown.window.run(source.format(5))
    shown.window.page.click("#cell-5")
    shown.press("m")
    shown.wait(lambda: shown.window.run(order) == "Cells, the most alike first")
    assert shown.window.run(source.format(0)) == fifth
    assert shown.window.run("document.getElementById('sort').value") == "like"
    shown.press("ArrowRight", "ArrowRight")
    second = shown.window.run(source.format(2))
    shown.window.page.click("#more")
    shown.wait(lambda: shown.window.run(source.format(0)) == second)
    shown.window.page.select_option("#sort", "doubt")
    shown.wait(lambda: shown.window.run(order) == "Cells, the most doubtful first")
    assert shown.window.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1366, "light"), (390, "dark")])
def test_a_folder_is_chosen_counted_and_reviewed_on_the_page(
    fields: Path, monkeypatch: pytest.MonkeyPatch, chromium: Window, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the dev extra: pip install -e '.[dev]'")
    monkeypatch.chdir(fields.parent)
    (fields / "<img src=x onerror=alert(1)>").mkdir()
    with Start(0, fields.parent, "Ann") as page:
        shown = Shown(None, page.url, chromium)  # type: ignore[arg-type]
        chromium.open(page.url, width, HEIGHT[width])
        chromium.page.emulate_media(color_scheme=scheme)
        shown.wait(lambda: "fields" in shown.text("#inner"))
        chromium.page.click("#inner button:has-text('fields')")
        shown.wait(lambda: "smear_a" in shown.text("#inner"))
        assert "<img src=x onerror=alert(1)>" in shown.text("#inner")
        assert "0 pictures in it, 4 in its folders" in shown.text("#holds")
        assert chromium.run("document.documentElement.scrollWidth") <= width
        assert serious(axe, chromium) == []
        # A path that leads nowhere is told, and the folder that was shown stays.
        chromium.page.fill("#path", str(fields / "none"))
        chromium.page.press("#path", "Enter")
        shown.wait(lambda: "cannot be opened" in shown.text("#say"))
        chromium.page.focus("#count")
        shown.press("Enter")
        shown.wait(lambda: "/run/0/" in chromium.page.url)
        shown.wait(lambda: chromium.run("document.querySelectorAll('.tile').length") > 0)
        assert chromium.run("document.documentElement.scrollWidth") <= width
        chromium.page.click("#start")
        shown.wait(lambda: "fields" in shown.text("#inner"))
        chromium.page.fill("#path", str(fields))
        chromium.page.press("#path", "Enter")
        shown.wait(lambda: shown.text("#count") == "Count anew")
        assert serious(axe, chromium) == []
        chromium.page.click("#counts button")
        shown.wait(lambda: "/run/0/" in chromium.page.url)
        assert [words for words in chromium.complaints if "status of 422" not in words] == []
        chromium.page.goto("about:blank")


def test_each_cell_has_its_own_part_of_the_picture_of_its_row(shown: Shown) -> None:
    shown.open("cells")
    shown.show_all_classes()
    columns = shown.window.run("Math.floor((document.getElementById('grid').clientWidth - 6) / 114)")
    place = (
        "(() => {{ const {{ backgroundImage, backgroundPositionX }} = document.querySelector('#cell-{} .crop').style;"
        "return [backgroundImage, backgroundPositionX]; }})()"
    )
    shown.wait(lambda: shown.window.run(place.format(columns + 2))[0] != "")
    picture, left = shown.window.run(place.format(columns + 2))
    assert left == f"{-2 * CROP_PX}px"
    cells = picture.split("of=")[1].rstrip('")').split(",")
    assert len(cells) == columns
    assert cells[2].rsplit(".", 1)[0] == shown.window.run(f"document.getElementById('cell-{columns + 2}').dataset.cell")
    assert shown.window.run(place.format(columns))[0] == picture != shown.window.run(place.format(0))[0]


def test_what_is_changed_in_a_field_is_seen_among_the_cells(shown: Shown) -> None:
    shown.open("cells")
    shown.press("ArrowRight", "Enter")
    shown.wait(lambda: bool(shown.window.run("Konva.stages[0]?.find('Transformer')[0]?.nodes().length === 1")))
    shown.press("x")
    shown.wait(lambda: shown.review.version == 1)
    shown.press("c")
    shown.wait(lambda: shown.text("#cell-1 .class") == "removed")
    assert shown.window.run("document.querySelectorAll('.tile.removed').length") == 1


def test_cells_that_are_changed_elsewhere_come_after_those_that_are_there(shown: Shown) -> None:
    shown.open("cells", 390)
    shown.window.page.click("#classes label:nth-of-type(1)")
    shown.wait(lambda: shown.text("#cell-0 .class") == "RBC")
    shown.window.page.locator("#grid").focus()
    shown.press("Space")
    shown.window.run("document.getElementById('grid').scrollTop = 200")
    shown.window.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    before = shown.window.run(
        "Object.fromEntries([...document.querySelectorAll('.tile')].map(tile => [tile.id, tile.dataset.cell]))"
    )
    state, kinds = shown.review.fields[0], [cell[4] for cell in shown.review.fields[0].model_cells.values()]
    total, new, white, red = (
        sum(s.counted.raw["RBC"] for s in shown.review.fields if s.source.is_read),
        len(kinds),
        kinds.index(1),
        int(next(name for name in before.values() if name.startswith("0."))[2:]),
    )
    moved = [4.0, 6.0, 64.0, 36.0]
    cells = [
        {"box": [30, 30, 90, 90], "label": 0},
        {"cell": white, "label": 0},
        {"cell": red, "box": moved},
        {"box": [50, 50, 90, 90], "label": 2},
    ]
    place = (
        "(() => {{ const tile = document.querySelector('[data-cell=\"0.{}\"]');"
        "return tile && [tile.id, tile.querySelector('.crop').style.backgroundImage]; }})()"
    )
    shown.wait(lambda: shown.window.run(place.format(red))[1] != "")
    crop = shown.window.run(place.format(red))[1]
    change(shown.review, cells=cells)
    shown.wait(lambda: shown.text("#chosen") == f"1 of {total + 2} selected")
    assert (
        shown.window.run("Object.fromEntries([...document.querySelectorAll('.tile')].map(tile => [tile.id, tile.dataset.cell]))")
        == before
    )
    assert shown.window.run("document.getElementById('grid').scrollTop") == 200
    # What was moved has another crop at the same place.
    shown.wait(lambda: shown.window.run(place.format(red))[1] not in (crop, ""))
    shown.press("End")
    shown.wait(lambda: shown.window.run(place.format(new)) is not None)
    assert {shown.window.run(place.format(number))[0] for number in (white, new)} == {f"cell-{total}", f"cell-{total + 1}"}
    undo(shown.review)
    shown.wait(lambda: shown.text(f"#cell-{total} .class") != "RBC" and shown.text(f"#cell-{total + 1} .class") != "RBC")
    assert {shown.text(f"#cell-{total + n} .class") for n in (0, 1)} == {"WBC", "removed"}
    assert state.cells[red] == state.model_cells[red]
    assert shown.window.complaints == []


def test_the_first_cell_of_a_class_is_shown_when_it_is_drawn(shown: Shown) -> None:
    for number, state in enumerate(shown.review.fields):
        if whites := [n for n, cell in state.model_cells.items() if cell[4] == 1]:
            change(shown.review, number, cells=[{"cell": n, "removed": True} for n in whites])
    shown.window.open(f"{shown.url}#cells", 1366, HEIGHT[1366])
    shown.wait(lambda: shown.window.page.is_visible("#none"))
    change(shown.review, 0, cells=[{"box": [30, 30, 90, 90], "label": 1}])
    shown.wait(lambda: shown.window.page.is_visible("#cell-0"))
    assert not shown.window.page.is_visible("#none")
    shown.wait(lambda: shown.window.run("document.querySelector('#cell-0 .crop').style.backgroundImage") != "")


def test_while_cells_are_on_their_way_nothing_is_changed(shown: Shown) -> None:
    shown.open("cells")
    held: list[Any] = []
    shown.window.page.route("**/cells.json?class=0*", lambda route: held.append(route))
    shown.window.page.click("#classes label:nth-of-type(1)")
    shown.wait(lambda: len(held) == 1)
    # Chosen by the mouse, keys go to the cells again.
    assert shown.window.run("document.activeElement.id") == "grid"
    shown.press("3", "x", "ArrowRight", "Enter", "m", "Control+a")
    assert shown.text("#say") == "other cells are on their way; nothing was changed"
    shown.window.page.click("#cell-actions button:last-of-type")
    shown.window.page.click("#cell-2")
    assert shown.text("#chosen").startswith("0 of")
    assert shown.window.run("document.getElementById('fields').hidden")
    held[0].continue_()
    shown.wait(lambda: shown.text("#cell-0 .class") == "RBC")
    shown.press("3")
    shown.wait(lambda: shown.text("#cell-0 .class") == "Platelets")
    assert shown.review.version == 1
    # Where they do not come, the choice is again that of the cells that are there.
    shown.window.page.unroute("**/cells.json?class=0*")
    shown.window.page.route("**/cells.json?class=2*", lambda route: route.fulfill(status=404, body='{"error": "no such cells"}'))
    shown.window.page.click("#classes label:nth-of-type(3)")
    shown.wait(lambda: shown.text("#say") == "no such cells")
    assert shown.window.run("document.getElementById('choice').elements.class.value") == "0"
    shown.press("z")
    shown.wait(lambda: shown.text("#cell-0 .class") == "RBC")


def test_cells_without_their_pictures_are_told_from_no_cells(opened: Opening, run_folder: Path, chromium: Window) -> None:
    pictures = run_folder.parent / "fields"
    pictures.rename(run_folder.parent / "elsewhere")
    with opened() as review, ReviewPage(("127.0.0.1", 0), review, "Ann") as page:
        shown = Shown(review, page.url, chromium)
        chromium.open(f"{page.url}#cells", 1366, HEIGHT[1366])
        shown.wait(lambda: shown.text("#none").startswith("Its cells cannot be shown"))
        assert chromium.run("document.getElementById('none').hidden") is False
        chromium.page.goto("about:blank")


def test_a_page_down_shows_other_cells(shown: Shown) -> None:
    shown.open("cells", 390)
    shown.show_all_classes()
    shown.wait(lambda: bool(shown.window.run("document.getElementById('cell-9') !== null")))
    shown.window.run("document.getElementById('grid').focus()")
    rows = shown.window.run("Math.floor(document.getElementById('grid').clientHeight / 114)")
    shown.press("PageDown")
    assert shown.window.run("document.getElementById('grid').scrollTop") == rows * 114
    shown.press("PageUp")
    assert shown.window.run("document.getElementById('grid').scrollTop") == 0
    assert shown.window.page.get_attribute("#grid", "aria-activedescendant") == "cell-0"


def test_a_box_below_smaller_ones_is_reached_by_clicking_again(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    new = max(state.cells) + 1
    shown.window.page.click("#draw")
    for index, box in enumerate(((40, 30, 140, 110), (38, 28, 142, 112))):
        shown.drag(shown.on_screen(*box[:2]), shown.on_screen(*box[2:]))
        shown.wait(lambda index=index: new + index in state.cells)
        shown.settle()
    shown.window.page.click("#draw")
    shown.press("Escape")
    # The smallest first, those of the model that may lie there too.
    x, y = 91, 71
    under = [cell for cell in state.cells.values() if cell and cell[0] <= x <= cell[2] and cell[1] <= y <= cell[3]]
    under.sort(key=lambda cell: (cell[2] - cell[0]) * (cell[3] - cell[1]))
    for cell in [*under, *under]:
        shown.window.page.mouse.click(*shown.on_screen(x, y))
        chosen = shown.window.run(
            "(() => { const h = Konva.stages[0].find('Transformer')[0].nodes()[0]; return [h.x(), h.y()]; })()"
        )
        assert chosen == pytest.approx(cell[:2], abs=0.1)
    largest = next(n for n, cell in state.cells.items() if cell == under[-1])
    shown.press("x")
    shown.wait(lambda: state.cells[largest] is None)
    assert {state.cells[new], state.cells[new + 1]} & set(under[:-1])


def test_a_click_right_after_another_counts_though_the_page_is_drawn_before_its_release(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    x1, y1, x2, y2, *_ = next(cell for cell in shown.review.fields[number].cells.values() if cell)
    x, y = shown.on_screen((x1 + x2) / 2, (y1 + y2) / 2)
    said = shown.window.run(
        """async ([clientX, clientY]) => {
            const canvas = Konva.stages[0].content.lastChild, line = document.getElementById("say");
            const pointer = { clientX, clientY, pointerId: 1, pointerType: "mouse", isPrimary: true, bubbles: true, cancelable: true };
            const send = kind => canvas.dispatchEvent(new PointerEvent(kind, pointer));
            const said = [];
            for (const click of [1, 2]) {
                line.textContent = "";
                send("pointerdown");
                if (click === 2) await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
                send("pointerup");
                said.push(line.textContent);
            }
            return said;
        }""",
        [x, y],
    )
    assert all("score" in words for words in said), said


def test_numbers_are_rounded_as_in_the_report(shown: Shown) -> None:
    shown.open("smears")
    values = [0, 3, 14.25, 14.35, 0.125, 9.995, 0.01234, 99.96, 100.5, 101.5, 999.7, 1234567.5, 1.81e19]
    said = shown.window.run("values => import('./talk.js').then(talk => values.map(talk.short))", values)
    assert said == [figures.short(value) for value in values]


def test_while_boxes_are_drawn_a_class_is_that_of_the_next_ones(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    new = max(state.cells) + 1
    shown.press("d")
    for index, key in enumerate("13"):
        shown.press(key)
        shown.wait(lambda: "boxes that you draw are" in shown.text("#say"))
        shown.drag(shown.on_screen(40, 30 + 60 * index), shown.on_screen(90, 80 + 60 * index))
        shown.wait(lambda index=index: new + index in state.cells)
        top = pytest.approx(30 + 60 * index, abs=1.5)
        shown.wait(lambda top=top: shown.window.run("Konva.stages[0].find('Transformer')[0].nodes()[0]?.y()") == top)
    shown.press("2")
    shown.wait(lambda: "boxes that you draw are WBC" in shown.text("#say"))
    assert (state.cells[new][4], state.cells[new + 1][4], state.revision) == (0, 2, 2)
    shown.press("d", "2")
    shown.wait(lambda: state.cells[new + 1][4] == 1)


def test_a_sliver_that_is_drawn_is_told(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    state = shown.review.fields[number]
    new = max(state.cells) + 1
    shown.window.page.click("#draw")
    shown.press("1")
    shown.drag(shown.on_screen(1, 30), shown.on_screen(6, 90))
    shown.wait(lambda: new in state.cells)
    shown.wait(lambda: "by the border rule it does not count" in shown.text("#say"))
    assert shown.text("#slivers").startswith("1 red cell that was drawn at the border")
    # Drawn by a small box: its handles do not hide it.
    assert shown.window.run("Konva.stages[0].find('Transformer')[0].anchorSize()") < 9
    shown.press("x")
    shown.wait(lambda: state.cells[new] is None)
    shown.wait(lambda: shown.text("#slivers") == "")


def test_two_pages_do_not_overwrite_each_other(shown: Shown) -> None:
    shown.open("fields")
    number = shown.window.run("Number(document.querySelector('#names [aria-current]').dataset.field)")
    other = {
        "id": "another-page",
        "by": "Bob",
        "fields": [{"field": number, "revision": 0, "cells": [{"cell": 0, "removed": True}]}],
    }
    shown.press("n")
    # The page asks again and again what was changed: not before the key is pressed.
    held: list[Any] = []
    shown.window.page.route("**/state.json*", lambda route: held.append(route))
    shown.review.change(other)
    shown.press("3")
    shown.window.page.unroute("**/state.json*")
    for route in held:
        route.continue_()
    shown.wait(lambda: "changed on another page meanwhile" in shown.text("#say"))
    assert shown.review.version == 1
    shown.wait(lambda: "1 changed" in shown.text("#names [aria-current]"))
    shown.settle()
    shown.press("n", "3")
    shown.wait(lambda: shown.review.version == 2)


def test_a_kill_between_changes_loses_nothing(run_folder: Path, chromium: Window) -> None:
    with started(run_folder, "--reader", "Ann") as (_, url):
        shown = Shown(None, url, chromium)  # type: ignore[arg-type]
        shown.open("cells")
        shown.press("1")
        shown.wait(lambda: "1 cell: RBC" in shown.text("#say"))
    shown.press("ArrowRight", "1")
    shown.wait(lambda: "not saved yet" in shown.text("#say") or "does not answer" in shown.text("#say"))
    assert shown.text("#cell-1 .class") == "WBC"
    with started(run_folder) as (_, url):
        shown = Shown(None, url, chromium)  # type: ignore[arg-type]
        shown.open("fields")
        assert shown.text("#names").count("1 changed") == 1
        chromium.page.goto("about:blank")


def serious(axe: Any, window: Window) -> list[Any]:
    """What axe finds that keeps people from using the page, and where."""
    violations = axe.Axe().run(window.page).response["violations"]
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1366, "light"), (390, "dark")])
def test_it_fits_the_window_and_axe_finds_nothing_serious(shown: Shown, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the dev extra: pip install -e '.[dev]'")
    shown.review.change({"id": "so-that-all-is-shown", "by": "Ann", "fields": [{"field": 0, "revision": 0, "looked": True}]})
    for view in ("cells", "fields", "smears"):
        shown.open(view, width)
        shown.window.page.emulate_media(color_scheme=scheme)
        if view == "cells":
            shown.press("Shift+ArrowRight")
        assert shown.window.run("document.documentElement.scrollWidth") <= width
        violations = axe.Axe().run(shown.window.page).response["violations"]
        assert [
            (fault["id"], [node["html"] for node in fault["nodes"]])
            for fault in violations
            if fault["impact"] in ("serious", "critical")
        ] == []
        assert shown.window.complaints == []
    shown.press("?")
    assert shown.window.run("document.getElementById('help').open")
    assert serious(axe, shown.window) == []


def test_markup_in_a_name_is_text(shown: Shown) -> None:
    shown.open("fields")
    number = next(n for n, state in enumerate(shown.review.fields) if "onerror" in state.name)
    shown.window.page.click(f"#names button[data-field='{number}']")
    shown.wait(lambda: "onerror" in shown.text("#name"))
    assert shown.window.run("document.querySelectorAll('img[src=x]').length") == 0
    shown.window.page.click("nav a[data-view=cells]")
    shown.wait(lambda: shown.window.run("document.querySelectorAll('.tile').length") > 0)
    assert shown.window.run("document.querySelectorAll('img[src=x]').length") == 0
    assert shown.window.complaints == []


def test_a_hundred_thousand_cells_and_ten_thousand_boxes_are_shown(tmp_path: Path, chromium: Window) -> None:
    many, dense = write_run(tmp_path / "many", 50, 2000), write_run(tmp_path / "dense", 1, 10_000, (4000, 3000))
    run = open_run(many)
    with ReviewJournal(many, run.sha256) as journal, ReviewPage(("127.0.0.1", 0), Review(run, journal), "Ann") as page:
        shown = Shown(Review, page.url, chromium)  # type: ignore[arg-type]
        shown.open("cells")
        chromium.page.click("#classes label:last-of-type")
        shown.wait(lambda: "of 100,000 selected" in shown.text("#chosen"))
        # Only what is in view is there, at the end of the scroll too.
        chromium.run("document.getElementById('grid').focus()")
        shown.press("End")
        shown.wait(lambda: chromium.run("document.getElementById('cell-99999') !== null"))
        assert chromium.run("document.querySelectorAll('.tile').length") < 300
        shown.press("Control+a")
        shown.wait(lambda: "100,000 of 100,000" in shown.text("#chosen"))
        chromium.page.goto("about:blank")
    run = open_run(dense)
    with ReviewJournal(dense, run.sha256) as journal, ReviewPage(("127.0.0.1", 0), Review(run, journal), "Ann") as page:
        shown = Shown(Review, page.url, chromium)  # type: ignore[arg-type]
        shown.open("fields")
        drawing_ms = chromium.run(
            "(() => { const layer = Konva.stages[0].getLayers()[1], began = performance.now();"
            "for (let i = 0; i < 5; i++) layer.draw(); return (performance.now() - began) / 5; })()"
        )
        assert drawing_ms < 500
        # Twelve megapixels come in their own pixels, and are shown one to one.
        size = "(() => { const shown = Konva.stages[0].find('Image')[0].image(); return [shown.width, shown.height]; })()"
        assert chromium.run(size) == [4000, 3000]
        shown.press("p")
        shown.wait(lambda: seen(shown)[0] == pytest.approx(1 / chromium.run("devicePixelRatio")))
        assert chromium.complaints == []
        chromium.page.goto("about:blank")
