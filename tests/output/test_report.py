"""The report says what the tables say, holds everything it shows, stays small, and runs nothing that a file's name holds."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from detector.counting import density
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.result import FieldResult
from detector.counting.smears import aggregate
from detector.output.outcome import Outcome
from detector.output.report import charts, content, page, pictures
from detector.vision.detections import Detections, Unread
from detector.vision.quality import Quality

NASTY = "<img src=x onerror=alert(1)>&\"'.png"
RUN = {
    "versions": {"smearcount": "0.1.0", "python": "3.11"},
    "model": {"name": "m", "file": "m.onnx", "sha256": "ab" * 32, "thresholds": {"RBC": 0.4, "WBC": 0.5, "Platelets": 0.3},
              "nms_iou": 0.6, "image_px": 320},
    "settings": {"inputs": ["slides/</script><b>"], "um_per_px": None, "threads": 2},
    "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:01:00+00:00", "seconds": 60.0,
}  # fmt: skip
SOUND = Quality(9.0, 0.5, 0.01, 0.01, (200, 195, 190), 0.3, 0.05)
VOID = {"area", "br", "img", "input", "link", "meta", "path", "rect", "wbr"}


class Reader(HTMLParser):
    """Text, tags and attributes of a page; fails where its tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data", "poster")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def entry(name: str, smear: str, n: int, seed: int = 0, um_per_px: float | None = None, saturated: bool = False) -> FieldResult:
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, 540, (n, 2)) * [1, 0.7]
    xyxy = np.concatenate([corner, corner + generator.uniform(20, 90, (n, 2))], axis=1)
    cells = Detections(xyxy, generator.uniform(0.5, 1, n).round(4), np.arange(n) % 3, (640, 480), saturated=saturated)
    rgb = np.asarray(cv2.resize(generator.integers(0, 255, (48, 64, 3), dtype=np.uint8), (640, 480)), dtype=np.uint8)
    return FieldResult(name, smear, um_per_px, cells, "", SOUND, pictures.small(rgb, 3000))


def outcome_of(entries: Iterable[FieldResult], doubts: dict[str, str]) -> Outcome:
    counted = [one.count() for one in entries]
    fields = [replace(field, doubt=doubts.get(field.field, "")) if isinstance(field, FieldCount) else field for field in counted]
    read = [field for field in fields if isinstance(field, FieldCount)]
    smears = aggregate(read, [field for field in fields if isinstance(field, UnreadField)])
    return Outcome(tuple(fields), tuple(smears))


@pytest.fixture(scope="module")
def entries() -> list[FieldResult]:
    return [
        entry("a/1.jpg", "a", 12, 1, 0.1),
        entry("a/2.jpg", "a", 20, 2, 0.1, saturated=True),
        FieldResult("a/3.jpg", "a", None, Unread("a/3.jpg", "is empty (0 bytes)")),
        entry(NASTY, "A", 7, 4),
        entry("A/blurred.jpg", "A", 9, 5),
    ]


@pytest.fixture(scope="module")
def outcome(entries: list[FieldResult]) -> Outcome:
    return outcome_of(entries, {"A/blurred.jpg": "out of focus", NASTY: "crowded: cells cover 85 %"})


@pytest.fixture(scope="module")
def text(outcome: Outcome, entries: list[FieldResult]) -> str:
    calibrated = (outcome.smears[0], density.from_area(outcome.smears[1], 500))
    return page.render(replace(outcome, smears=calibrated), entries, RUN)


def test_it_says_what_the_tables_say(text: str, outcome: Outcome) -> None:
    printed = " ".join(" ".join(Reader(text).text).split())
    assert "4 fields of 2 smears counted, 1 unread, 1 saturated, 2 doubtful." in printed
    warning = "A: 2 of 2 fields are doubtful: do not use these counts before looking at them"
    assert printed.index(warning) < printed.index("4 fields of 2 smears counted")
    assert "Expected true counts are therefore not given" in printed
    assert "a: " not in printed[: printed.index("4 fields of")]
    assert "a/3.jpg is empty (0 bytes)" in printed
    assert "A/blurred.jpg out of focus" in printed
    assert f"{NASTY} crowded: cells cover 85 %" in printed
    assert printed.count("Not for diagnosis") == 1
    for known in (
        "ab" * 32,
        "RBC 0.4",
        "m.onnx",
        "python 3.11",
        "threads 2",
        "overlap suppressed IoU above 0.6",
        "size, µm",
        "size, px",
    ):
        assert known in printed, known
    mean = outcome.smears[1].classes["RBC"].mean
    assert mean is not None
    assert f"{mean.value:.3g} {mean.low:.3g}– {mean.high:.3g}" in printed
    assert "Per µL: cells per mm² x a factor of 500 mm² per µL as given." in printed
    assert "none of" not in printed
    assert "None" not in printed


def test_names_with_markup_do_no_harm(text: str) -> None:
    read = Reader(text)
    assert read.handlers == []
    assert html.escape("<img src=x", quote=False) in text
    assert "<img src=x" not in text
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "slides/&lt;/script&gt;&lt;b&gt;" in text


def test_it_asks_nothing_of_a_network(text: str) -> None:
    assert "http:" not in text
    assert "https:" not in text
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in Reader(text).addresses)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


def test_pictures_and_cells_are_those_of_the_fields(text: str, entries: list[FieldResult]) -> None:
    packed = json.loads(re.search(r'id="cells">(.*?)</script>', text, re.DOTALL)[1])["fields"]  # type: ignore[index]
    shown = [one for one in sorted(entries, key=lambda one: one.smear) if one.picture]
    numbers = [int(one) for one in re.findall(r'data-number="(\d+)"', text)]
    for place, one in zip(numbers, shown, strict=True):
        assert isinstance(one.cells, Detections)
        values = np.frombuffer(base64.b64decode(packed[place]), "<u2").reshape(-1, 5).astype(float)
        assert np.abs(values[:, :2] / 65535 * [640, 480] - one.cells.xyxy[:, :2]).max() < 0.02
        assert np.abs(values[:, 2:4] / 65535 * [640, 480] - (one.cells.xyxy[:, 2:] - one.cells.xyxy[:, :2])).max() < 0.02
        assert (values[:, 4] // 1000).tolist() == one.cells.label.tolist()
        assert np.abs(values[:, 4] % 1000 / 100 - one.cells.score).max() <= 0.0101
    assert text.count("data:image/jpeg") == 4


@pytest.mark.slow
def test_a_thousand_fields_stay_small_and_quick() -> None:
    model = entry("x", "s", 100, um_per_px=0.1)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    # Noise makes the largest pictures.
    picture = pictures.small(noise, pictures.most_bytes(1000))
    many = [
        replace(model, field=f"smear {n // 50}/field {n:04}.jpg", smear=f"smear {n // 50}", picture=picture) for n in range(1000)
    ]
    outcome = outcome_of(many, {many[999].field: "out of focus"})
    started = time.process_time()
    text = page.render(outcome, many, RUN)
    assert time.process_time() - started < 20
    assert len(text.encode()) < 15_000_000
    assert text.count("data:image/jpeg") == 1000
    Reader(text)


@pytest.mark.slow
def test_more_than_a_page_holds_is_said_and_doubtful_fields_come_first() -> None:
    model = entry("x", "s", 400)
    picture = b"x" * pictures.most_bytes(4000)
    many = [replace(model, field=f"{n:04}.jpg", picture=picture) for n in range(4000)]
    outcome = outcome_of(many, {many[3998].field: "out of focus"})
    text = page.render(outcome, many, RUN)
    assert len(text.encode()) < 15_000_000
    shown = text.count("data:image/jpeg")
    assert 500 < shown < 4000
    assert f"{shown:,} of 4,000 fields are shown" in text
    assert 'alt="Field 3998.jpg"' in text
    assert "2,000 fields more stand in counts.csv" in text


def test_charts_that_are_left_out_are_said() -> None:
    model = entry("x", "s", 5)
    for smears, told in ((60, 0), (61, 1)):
        many = [replace(model, field=f"{n}/{i}.jpg", smear=str(n), picture=b"") for n in range(smears) for i in range(2)]
        text = page.render(outcome_of(many, {}), many, RUN)
        assert text.count(f"Charts are drawn for the first 60 of {smears} smears") == told
        assert text.count("<h4>Cells in each field</h4>") == 60


@pytest.mark.parametrize("most", [3500, 20_000])
def test_a_picture_keeps_to_its_size_and_shape(most: int) -> None:
    for size_wh in [(640, 480), (4000, 300), (1, 1), (50, 2000)]:
        rgb = np.random.default_rng(0).integers(0, 255, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
        jpeg = pictures.small(rgb, most)
        assert len(jpeg) <= most
        h, w = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert w <= size_wh[0]
        assert w / h == pytest.approx(size_wh[0] / size_wh[1], rel=0.35)


def test_a_count_in_which_nothing_was_read_has_a_report() -> None:
    lost = [FieldResult("1.jpg", "s", None, Unread("1.jpg", "is empty"))]
    text = page.render(outcome_of(lost, {}), lost, RUN)
    assert "0 fields of 1 smear counted, 1 unread" in text
    Reader(text)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 7), (3, 3.2), (0.001, 0.9), (0, 98_765)])
def test_ticks_are_few_round_and_span_all(low: float, high: float) -> None:
    ticks = charts.ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_charts_stay_in_their_frame(outcome: Outcome, entries: list[FieldResult]) -> None:
    sizes = content.Sizes()
    for one in entries:
        if isinstance(one.cells, Detections):
            sizes.add(one.cells, one.um_per_px)
    doubted = replace(outcome.read[0], doubt="x")
    assert doubted.field == "a/1.jpg"
    drawn = [*sizes.charts(), *content.counts_charts(outcome.smears[1], [doubted, *outcome.fields[1:3]])]
    assert len(drawn) == 6
    for chart in drawn:
        for path in (chart.bars, chart.dots, chart.rings, chart.crosses):
            for x, y in re.findall(r"M([\d.]+) ([\d.]+)", path):
                assert charts.LEFT - 4 <= float(x) <= charts.WIDTH
                assert 0 <= float(y) <= charts.HEIGHT - charts.BOTTOM
        assert all(charts.LEFT - 1 <= x <= charts.WIDTH - charts.RIGHT + 1 for x, _ in chart.x_ticks)
    counts = drawn[3]
    assert [counts.dots.count("M"), counts.rings.count("a3.5") // 2, counts.crosses.count("l6 6")] == [1, 1, 1]
