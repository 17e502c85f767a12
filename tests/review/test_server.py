"""The page of a review as a client sees it: what is served, to whom, and that no change is lost."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.review_page import started
from detector.counting.result import FieldResult
from detector.review import command
from detector.review.journal import JOURNAL, ReviewJournal
from detector.review.opened import OpenedField, open_run
from detector.review.pictures import CROP_PX, Pictures
from detector.review.review import Review
from detector.review.server import IN_LIST, MOST_CROPS, ReviewPage, listed
from detector.vision.detections import Detections

httpx = pytest.importorskip("httpx", reason="needs the dev extra: pip install -e '.[dev]'")
pytest.importorskip("uvicorn", reason="needs the serve extra: pip install -e '.[serve]'")

Opening = Callable[[], Any]
Run = Callable[..., int]
SHOWN = (
    "",
    "review.js",
    "konva.min.js",
    "state.json",
    "field.json?f=0",
    "cells.json?class=-1",
    "crops.jpg?of=0.0,0.1",
    "picture.jpg?f=0",
)
TAKEN = ("change", "undo", "redo", "write")


class Served:
    """A review with its page."""

    def __init__(self, review: Review, page: ReviewPage, session: Any) -> None:
        self.review, self.page, self.session = review, page, session

    def get(self, path: str, **how: Any) -> Any:
        """The answer to a question."""
        return self.session.get(self.page.url + path, **how)

    def post(self, path: str, **content: Any) -> Any:
        """The answer to what a page sends."""
        return self.session.post(self.page.url + path, json=content)


@pytest.fixture
def served(opened: Opening) -> Iterator[Served]:
    # Nothing is encrypted here, and preparing for it takes longer than most answers.
    with opened() as review, ReviewPage(("127.0.0.1", 0), review, "Ann") as page, httpx.Client(verify=False) as session:
        yield Served(review, page, session)


def decoded(jpeg: bytes) -> np.ndarray:
    """The pixels of a picture."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_it_serves_the_review_and_nothing_else(served: Served) -> None:
    for path in SHOWN:
        assert served.get(path).status_code == 200, path
    state = served.get("state.json").json()
    assert [field["counts"] for field in state["fields"] if field["read"]] == [
        list(state.counted.raw.values()) for state in served.review.fields if state.source.is_read
    ]
    for path in (
        "none",
        "../server.py",
        "%2e%2e/server.py",
        "..%2f..%2fserver.py",
        "report.html.j2",
        "konva.LICENSE.txt",
        "openapi.json",
    ):
        assert served.get(path).status_code == 404, path
    for query in ("f=99", "f=-1", "f=x", "f=../../etc/passwd", ""):
        for path in ("field.json", "picture.jpg"):
            answer = served.get(f"{path}?{query}")
            assert answer.status_code == 404, (path, query)
            assert set(answer.json()) == {"error"}
    for names in ("", "0", "x.0", "0.x", "99.0", "-1.0", "0.99999", "0.0,", ",".join(["0.0"] * (MOST_CROPS + 1))):
        answer = served.get(f"crops.jpg?of={names}")
        assert (answer.status_code, set(answer.json())) == (404, {"error"}), names
    assert served.get("cells.json?sort=name").status_code == 404
    for path in TAKEN:
        assert served.get(path).status_code == 405
    assert served.post("state.json").status_code == 405


def test_pictures_are_those_of_the_cells(served: Served) -> None:
    crop = served.get("crops.jpg?of=0.0.0")
    assert crop.headers["content-type"] == "image/jpeg"
    assert crop.headers["cache-control"].startswith("private")
    assert crop.content[:2] == served.get("picture.jpg?f=0").content[:2] == b"\xff\xd8"
    first, second = (decoded(served.get(f"crops.jpg?of=0.{cell}").content) for cell in (0, 1))
    both = decoded(served.get("crops.jpg?of=0.0,0.1.17").content)
    assert first.shape == second.shape == (CROP_PX, CROP_PX, 3)
    assert not np.array_equal(first, second)
    assert set(np.nonzero(both != np.hstack([first, second]))[1]) <= {CROP_PX - 1, CROP_PX}
    unread = next(n for n, state in enumerate(served.review.fields) if not state.source.is_read)
    assert "is empty" in served.get(f"picture.jpg?f={unread}").json()["error"]


def test_a_picture_of_another_size_is_not_shown_and_cannot_be_looked_at(served: Served) -> None:
    source = served.review.fields[0].source
    cv2.imwrite(str(source.path), cv2.resize(cv2.imread(str(source.path)), None, fx=0.5, fy=0.5))
    assert "not as large as when it was counted" in served.get("crops.jpg?of=0.0").json()["error"]
    other = next(n for n, state in enumerate(served.review.fields) if n and state.source.is_read)
    empty, shown = np.hsplit(decoded(served.get(f"crops.jpg?of=0.0,{other}.0").content), 2)
    assert np.ptp(empty[:, :-1]) <= 1
    assert np.array_equal(shown[:, 1:], decoded(served.get(f"crops.jpg?of={other}.0").content)[:, 1:])
    look = {"field": 0, "revision": 0, "looked": True}
    answer = served.post("change", id="look-at-it", by="Ann", fields=[look])
    assert (answer.status_code, "not as large" in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_another_page_gets_nothing_and_changes_nothing(served: Served, headers: dict[str, str], status: int) -> None:
    for path in SHOWN:
        assert served.get(path, headers=headers).status_code == status
    change = {"id": "from-elsewhere", "by": "Eve", "fields": [{"field": 0, "revision": 0, "looked": True}]}
    for path in TAKEN:
        assert served.session.post(served.page.url + path, json=change, headers=headers).status_code == status
    assert served.review.version == 0
    assert not (served.review.run.folder / "reviewed").exists()


def test_without_the_token_nothing_is_served_and_nothing_changed(served: Served) -> None:
    page = httpx.URL(served.page.url)
    token = page.path.strip("/")
    assert len(token) >= 22
    for start in ("", "x/", f"{token[:-1]}/", f"{token}x/", "%00/"):
        for path in SHOWN:
            answer = served.session.get(f"http://127.0.0.1:{page.port}/{start}{path}")
            assert answer.status_code == 404
            assert token not in answer.text
        for path in TAKEN:
            change = {"id": "no-token-1", "by": "Eve", "fields": [{"field": 0, "revision": 0, "looked": True}]}
            assert served.session.post(f"http://127.0.0.1:{page.port}/{start}{path}", json=change).status_code == 404
    assert served.review.version == 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"[" * 5000, b'{"id": 7}', b'{"fields": 3, "id": "xxxxxxxx", "by": "a"}', b"\xff\xfe"]
)
def test_what_is_no_request_is_refused_with_its_reason(served: Served, content: bytes) -> None:
    for path in ("change", "undo"):
        answer = served.session.post(served.page.url + path, content=content)
        assert answer.status_code == 422
        assert answer.json()["error"]
    assert served.review.version == 0


def test_a_request_is_bounded(served: Served) -> None:
    assert served.session.post(f"{served.page.url}change", content=b" " * (17 << 20)).status_code == 413


def test_a_stale_page_is_told_which_fields_changed(served: Served) -> None:
    look = {"field": 0, "revision": 0, "looked": True}
    assert served.post("change", id="look-one", by="Ann", fields=[look]).json()["version"] == 1
    answer = served.post("change", id="look-two", by="Bob", fields=[{**look, "looked": False}])
    assert (answer.status_code, answer.json()["stale"]) == (409, [0])
    assert [field["field"] for field in served.get("state.json?since=0").json()["fields"]] == [0]
    assert served.get("state.json?since=1").json()["fields"] == []


def test_results_are_written_on_request(served: Served) -> None:
    written = served.post("write").json()["written"]
    assert (Path(written[0]) / "report.html").is_file()
    answer = served.post("write", dataset=True)
    assert (answer.status_code, "mark fields as looked at first" in answer.json()["error"]) == (422, True)


def test_cells_come_in_the_order_asked_for(served: Served) -> None:
    states, _ = served.review.snapshot()
    thresholds = served.review.run.thresholds
    total = sum(len(state.model_cells) for state in states)
    for sort in ("doubt", "score", "size", "field"):
        flat = listed(states, thresholds, -1, sort)
        cells = [tuple(flat[i : i + 2]) for i in range(0, len(flat), IN_LIST)]
        assert len(set(cells)) == total
    scores = listed(states, thresholds, -1, "score")[3::IN_LIST]
    assert scores == sorted(scores)
    assert set(listed(states, thresholds, 1, "doubt")[2::IN_LIST]) == {1}


def test_cells_of_fields_that_were_changed_are_told(served: Served) -> None:
    everything = served.get("cells.json").json()
    assert everything["version"] == 0
    assert served.get("cells.json?since=0").json() == {"cells": [], "fields": [], "version": 0}
    cells = [{"cell": 0, "removed": True}, {"box": [10, 10, 50, 30], "label": 2}]
    served.post("change", id="so-it-is-told", by="Ann", fields=[{"field": 1, "revision": 0, "cells": cells}])
    answer = served.get("cells.json?since=0").json()
    told = [tuple(answer["cells"][i : i + IN_LIST]) for i in range(0, len(answer["cells"]), IN_LIST)]
    state = served.review.fields[1]
    assert ([cell[1] for cell in told], answer["fields"], answer["version"]) == ([*range(1, len(state.cells))], [1], 1)
    assert told[-1][:4] == (1, len(state.model_cells), 2, 1000)
    assert served.get("cells.json?since=1").json() == {"cells": [], "fields": [], "version": 1}
    # A field whose picture is lost meanwhile stays as it is.
    state.source.problem = "lost"
    assert served.get("cells.json?since=0").json()["fields"] == []
    assert served.get("cells.json?since=x").status_code == 404


def test_a_cell_that_was_drawn_and_removed_hides_no_other_of_its_row(served: Served) -> None:
    new = len(served.review.fields[0].model_cells)
    for revision, cells in enumerate(([{"box": [10, 10, 50, 30], "label": 2}], [{"cell": new, "removed": True}])):
        fields = [{"field": 0, "revision": revision, "cells": cells}]
        assert served.post("change", id=f"drawn-{revision:04}", by="Ann", fields=fields).status_code == 200
    assert served.get(f"crops.jpg?of=0.0,0.{new}").status_code == 200
    assert served.get(f"crops.jpg?of=0.{new + 1}").status_code == 404


def test_which_cell_is_meant_is_marked_in_its_crop_and_not_hidden(tmp_path: Path) -> None:
    boxes = [(40.0, 50.0, 80.0, 70.0), (0.0, 100.0, 10.0, 140.0), (250.0, 20.0, 490.0, 220.0), (20.0, 200.0, 28.0, 206.0)]
    rgb = np.full((300, 500, 3), 60, np.uint8)
    for x1, y1, x2, y2 in boxes:
        rgb[int(y1) : int(y2), int(x1) : int(x2)] = 160
    cv2.imwrite(str(tmp_path / "field.png"), rgb)
    cells = Detections(np.array(boxes, np.float32), np.ones(4, np.float32), np.zeros(4, np.int64), (500, 300))
    field = OpenedField(FieldResult("field.png", "smear", None, cells), tmp_path / "field.png", "", "")
    jpeg = Pictures().crops([(field, (*box, 0)) for box in boxes])
    strip = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        crop = strip[:, CROP_PX * number : CROP_PX * (number + 1)]
        # By whole pixels of the field, each of which is seven wide in the crop of the smallest.
        half_w, half_h = (30 * length / max(x2 - x1, y2 - y1) for length in (x2 - x1, y2 - y1))
        y, x = np.nonzero(crop > 200)
        line = (x.min(), x.max(), y.min(), y.max())
        assert line == pytest.approx((48 - half_w, 48 + half_w, 48 - half_h, 48 + half_h), abs=6 if number == 3 else 2.5)
        # The cell is as light as in its field, and what is around it is darker.
        inside = crop[int(48 - half_h) + 7 : int(48 + half_h) - 7, int(48 - half_w) + 7 : int(48 + half_w) - 7]
        assert np.median(inside) == pytest.approx(160, abs=4)
        assert np.median(crop[30:66, :6] if number == 2 else crop[30:66, -6:]) == pytest.approx(42, abs=4)


def test_fields_to_correct_next_are_those_that_nobody_looked_at(served: Served) -> None:
    readable = {field["field"] for field in served.get("state.json").json()["fields"] if field["read"]}
    assert set(served.get("proposed.json").json()["fields"]) == readable
    served.post("change", id="look-next", by="Ann", fields=[{"field": 0, "revision": 0, "looked": True}])
    assert set(served.get("proposed.json").json()["fields"]) == readable - {0}


@pytest.mark.slow
def test_two_hundred_clients_lose_nothing(many_fields: Path) -> None:
    run = open_run(many_fields)
    answers: list[int] = []
    with ReviewJournal(many_fields, run.sha256) as journal, ReviewPage(("127.0.0.1", 0), Review(run, journal), "Ann") as page:
        place = httpx.URL(page.url)

        def client(number: int) -> None:
            connection = HTTPConnection(place.host, place.port, timeout=60)
            box = {"box": [number, 10, number + 20, 40], "label": number % 3}
            wanted = {"field": number, "revision": 0, "cells": [box]}
            content = {"id": f"client-{number:03}", "by": f"reader {number}", "fields": [wanted], "since": 0}
            # Sent twice, as a page does that got no answer.
            for _ in range(2):
                connection.request("POST", f"{place.path}change", json.dumps(content))
                answer = connection.getresponse()
                answer.read()
                answers.append(answer.status)
            connection.close()

        threads = [threading.Thread(target=client, args=(number,)) for number in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200] * 400
    with ReviewJournal(many_fields, run.sha256) as journal:
        again = Review(run, journal)
        drawn = [[cell for number, cell in state.cells.items() if number not in state.model_cells] for state in again.fields]
    assert drawn == [[(number, 10.0, number + 20, 40.0, number % 3)] for number in range(200)]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_the_command_goes_on_after_a_kill_and_ends_by_ctrl_c(run_folder: Path) -> None:
    look = {"field": 0, "revision": 0, "looked": True, "cells": [{"cell": 0, "removed": True}]}
    with started(run_folder, "--reader", "Ann") as (_, url):
        assert httpx.post(f"{url}change", json={"id": "before-kill", "by": "Ann", "fields": [look]}).status_code == 200
    with started(run_folder) as (process, again):
        assert again != url
        field = httpx.get(f"{again}state.json").json()["fields"][0]
        assert (field["looked"]["by"], field["edits"]) == ("Ann", 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_results_are_written_without_a_page(run_command: Run, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command.main, run_folder, "--write", "--reader", "Ann") == 0
    assert (run_folder / "reviewed" / "counts.csv").is_file()
    assert "written to" in capsys.readouterr().out
    assert run_command(command.main, run_folder, "--write", "--dataset") == 3
    assert "mark fields as looked at first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["{out}", "--dataset"], 2, "--dataset needs --write"),
        (["{out}", "--pdf"], 2, "--pdf needs --write"),
        (["{out}", "--serve", "http"], 2, "is not a port"),
        (["{out}", "--reader", " "], 2, "reader's name"),
        (["{out}/none"], 2, "is not a folder"),
        (["{out}", "--pictures", "none"], 2, "is not a folder"),
    ],
)
def test_wrong_use_says_what_would_work(
    run_command: Run, run_folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert run_command(command.main, *(option.format(out=run_folder) for option in options)) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (run_folder / JOURNAL).exists()


def test_a_folder_of_pictures_is_counted_first(run_command: Run, fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command.main, fields, "--write") == 0
    (folder,) = Path("runs/count").iterdir()
    assert {"counts.csv", "reviewed", JOURNAL} <= {path.name for path in folder.iterdir()}
