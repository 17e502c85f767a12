"""The page before there is a count: folders, counting, and the way to the review."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detector import app
from detector.errors import UsageError
from detector.output import results
from detector.output.journal import Journal
from detector.review.start import Counting, Start, listing

httpx = pytest.importorskip("httpx", reason="needs the dev extra: pip install -e '.[dev]'")
pytest.importorskip("uvicorn", reason="needs the serve extra: pip install -e '.[serve]'")


class Asked:
    """The page as a client sees it."""

    def __init__(self, url: str, session: Any) -> None:
        self.url, self.session = url, session

    def post(self, path: str, **content: Any) -> Any:
        return self.session.post(self.url + path, json=content)

    def refused(self, path: str, **content: Any) -> str:
        """Why something is refused."""
        answer = self.post(path, **content)
        assert answer.status_code == 422
        return str(answer.json()["error"])

    def finished(self) -> dict[str, Any]:
        """What became of the count."""
        until = time.monotonic() + 120
        while (state := self.post("work").json())["phase"] in ("searching", "counting"):
            assert time.monotonic() < until
            time.sleep(0.05)
        return dict(state)


@pytest.fixture
def asked(fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """The page, begun in the folder above the pictures."""
    monkeypatch.chdir(tmp_path)
    with Start(0, fields, "Ann") as page, httpx.Client(verify=False, timeout=60) as session:
        yield Asked(page.url, session)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_folders_are_listed_by_names_and_numbers_of_pictures(asked: Asked, fields: Path) -> None:
    (fields / "notes.txt").write_text("secret", encoding="utf-8")
    (fields / ".hidden").mkdir()
    (fields / "<b>").mkdir()
    answer = asked.post("folder").json()
    assert answer["folder"] == str(fields)
    shown = [(folder["name"], folder["pictures"], folder["folders"]) for folder in answer["folders"]]
    assert shown == [("<b>", 0, 0), ("smear_a", 2, 0), ("smear_b", 2, 0)]
    assert (answer["pictures"], answer["is_run"], answer["counts"]) == (0, False, [])
    assert [parent["path"] for parent in answer["parents"]] == [str(path) for path in reversed(fields.parents)]
    assert "notes" not in str(answer)
    inner = asked.post("folder", folder=str(fields / "smear_a")).json()
    assert (inner["pictures"], inner["folders"]) == (2, [])


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("{}/none", "cannot be opened (No such file"),
        ("{}/smear_a/field_01.jpg", "cannot be opened (Not a directory"),
        ("fields", "is no whole path"),
        ("{}/\0", "no folder is named"),
        (7, "no folder is named"),
    ],
)
def test_what_is_no_folder_is_refused_with_its_reason(asked: Asked, fields: Path, named: Any, reason: str) -> None:
    folder = named.format(fields) if isinstance(named, str) else named
    assert reason in asked.refused("folder", folder=folder)
    assert asked.refused("open", folder=folder)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything is readable")
def test_a_folder_that_cannot_be_read_is_told(fields: Path) -> None:
    (fields / "smear_a").chmod(0)
    try:
        with pytest.raises(UsageError, match="Permission denied"):
            listing(fields / "smear_a")
        assert [folder["pictures"] for folder in listing(fields)["folders"]] == [None, 2]
    finally:
        (fields / "smear_a").chmod(0o755)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_a_name_that_is_no_text_is_listed_and_opened(asked: Asked, fields: Path) -> None:
    (fields / os.fsdecode(b"caf\xe9")).mkdir()
    assert rb"caf\udce9" in asked.post("folder").content
    # As a browser sends it back.
    answer = asked.session.post(f"{asked.url}folder", content=rb'{"folder": "%s/caf\udce9"}' % os.fsencode(fields))
    assert answer.status_code == 200


def test_a_folder_is_counted_reviewed_and_exported_without_another_command(asked: Asked, fields: Path, tmp_path: Path) -> None:
    before = contents(fields)
    assert asked.post("count", folder=str(fields)).json()["phase"] in ("searching", "counting")
    state = asked.finished()
    assert (state["phase"], state["run"], state["done"], state["total"]) == ("done", "run/0/", 4, 4)
    (out,) = (tmp_path / "runs" / "count").iterdir()
    assert {"counts.csv", "smears.csv", "report.html", "run.json", "review.jsonl"} <= {path.name for path in out.iterdir()}
    run = asked.url + state["run"]
    assert b"review.js" in asked.session.get(run).content
    shown = asked.session.get(f"{run}state.json").json()
    assert (len(shown["fields"]), shown["reader"], shown["start"]) == (4, "Ann", "../../")
    looks = [{"field": number, "revision": 0, "looked": True} for number in range(4)]
    assert asked.post("run/0/change", id="look-at-all", by="Ann", fields=looks).status_code == 200
    signed = [{"smear": smear, "signed": True} for smear in ("smear_a", "smear_b")]
    assert asked.post("run/0/change", id="sign-them-all", by="Ann", smears=signed).status_code == 200
    for folder in ("exchange", "exchange-2"):
        answer = asked.post("run/0/write", dataset=True, formats=["coco", "yolo", "fhir"]).json()
        written = {Path(path).relative_to(out).as_posix() for path in answer["written"]}
        formats = {f"reviewed/{folder}/{name}" for name in ("coco", "yolo", "fhir")}
        assert written == {"reviewed", "reviewed/dataset/data.yaml", *formats}
    # Messages are those of the count, and final, for its smears are signed.
    assert '"final"' in "".join(path.read_text(encoding="utf-8") for path in (out / "reviewed/exchange/fhir").rglob("*.json"))
    assert "no such format" in asked.refused("run/0/write", formats=["docx"])
    assert contents(fields) == before
    # What was counted before is offered, and opened as it is.
    (earlier,) = asked.post("folder", folder=str(fields)).json()["counts"]
    assert (earlier["path"], earlier["fields"]) == (str(out.resolve()), 4)
    assert asked.post("open", folder=earlier["path"]).json() == {"run": "run/0/"}
    assert asked.post("folder", folder=str(out)).json()["is_run"]
    assert "open the count that was reviewed" in asked.refused("open", folder=str(out / "reviewed"))
    assert asked.session.get(f"{asked.url}run/1/").status_code == 404


def test_what_cannot_be_counted_is_told(asked: Asked, fields: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asked.post("count", folder=str(tmp_path / "empty"))
    state = asked.finished()
    assert (state["phase"], "no images in it" in state["error"]) == ("failed", True)
    shutil.rmtree(fields / "smear_b")
    for picture in (fields / "smear_a").iterdir():
        picture.write_bytes(b"")
    asked.post("count", folder=str(fields))
    state = asked.finished()
    assert (state["phase"], "none of its pictures could be read" in state["error"]) == ("failed", True)


@pytest.mark.slow
def test_a_count_is_cancelled_and_goes_on(asked: Asked, fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., None] = Counting._advance

    def cancelled(self: Counting, done: float, folder: Path, out: Path) -> None:
        if done:
            self.cancel()
        real(self, done, folder, out)

    with monkeypatch.context() as patch:
        patch.setattr(Counting, "_advance", cancelled)
        asked.post("count", folder=str(fields))
        assert asked.finished()["phase"] == "cancelled"
    (out,) = (tmp_path / "runs" / "count").iterdir()
    assert not (out / "counts.csv").exists()
    asked.post("count", folder=str(fields))
    assert asked.finished()["phase"] == "done"
    assert [path.name for path in (tmp_path / "runs" / "count").iterdir()] == [out.name]
    assert len((out / "journal.jsonl").read_bytes().splitlines()) == 1 + 4


def test_one_folder_is_counted_at_a_time(asked: Asked, fields: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def counted(_self: Counting, folder: Path) -> Path:
        goes_on.wait(60)
        return folder

    monkeypatch.setattr(Counting, "_count", counted)
    asked.post("count", folder=str(fields))
    assert "is still being counted" in asked.refused("count", folder=str(fields / "smear_a"))
    goes_on.set()
    state = asked.finished()
    assert (state["phase"], "is not the folder of a finished count" in state["error"]) == ("failed", True)


def test_a_folder_into_which_another_count_writes_is_not_opened(asked: Asked, run_folder: Path) -> None:
    key = json.loads((run_folder / results.JOURNAL).read_bytes().splitlines()[0])["key"]
    with Journal(run_folder / results.JOURNAL, key, resume=True):
        assert "a count writes into it" in asked.refused("open", folder=str(run_folder))
    assert asked.post("open", folder=str(run_folder)).json() == {"run": "run/0/"}


def test_without_the_token_no_folder_is_listed(asked: Asked) -> None:
    port = httpx.URL(asked.url).port
    for path in ("folder", "count", "open", "work", "cancel", "run/0/state.json"):
        assert asked.session.post(f"http://127.0.0.1:{port}/{path}", json={}).status_code == 404
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert asked.session.post(asked.url + path, json={}, headers=headers).status_code == 403


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_the_command_tells_its_address_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "detector.app", str(tmp_path), "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        assert process.stderr is not None
        try:
            url = next(line for line in process.stderr if "http://127.0.0.1:" in line).split()[-1]
            assert httpx.post(f"{url}folder", json={}, timeout=60).json()["folder"] == str(tmp_path)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["none"], "is not a folder"), (["--reader", " "], "reader's name"), (["--port", "70000"], "from 0 to 65535")],
)
def test_wrong_use_says_what_would_work(
    run_command: Any, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_command(app.main, *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
