"""Jobs whose service or worker is killed by `kill -9`: each is finished once, with the counts that it has otherwise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import PATIENCE_S, TOKEN, Client, Start, bearer

import detector
from detector.output import journal, results
from detector.service.jobs import RESULT, JobStore, Settings, new_id

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills processes as POSIX systems do")

JOBS = 2


@contextmanager
def serving(state: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A service as a process of its own, and a client of it when it takes jobs."""
    command = [sys.executable, "-m", "detector.serve", "--address", "0", "--state", str(state), "--threads", "2"]
    with log.open("wb") as written:
        process = subprocess.Popen(command, stderr=written, env={**os.environ, "SMEARCOUNT_TOKEN": TOKEN})
    try:
        until = time.monotonic() + PATIENCE_S
        while not (started := [event for event in events(log) if event["event"] == "started"]):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.05)
        url = f"http://127.0.0.1:{started[0]['port']}"
        with httpx.Client(verify=False, base_url=url, headers=bearer(TOKEN), timeout=PATIENCE_S) as http:
            yield process, http
    finally:
        process.kill()
        process.wait()


def events(log: Path) -> list[dict[str, Any]]:
    """What a service wrote so far, in whole lines."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture(scope="module")
def many(pictures: dict[str, bytes]) -> dict[str, bytes]:
    """Twelve fields in three smears."""
    return {f"smear_{n}/{i}.jpg": content for n in range(3) for i, content in enumerate(pictures.values())}


@pytest.fixture(scope="module")
def expected(many: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The tables that a count of them writes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name, content in many.items():
        (folder / "fields" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fields" / name).write_bytes(content)
    detector.Detector(threads=2).count(folder / "fields").save(folder / "out")
    return tables(folder / "out")


def tables(folder: Path) -> tuple[str, str]:
    counts, smears = ((folder / name).read_text(encoding="utf-8") for name in (results.COUNTS, results.SMEARS))
    return counts, smears


def fields_written(folder: Path) -> list[str]:
    """Names of fields in a journal, one for each line."""
    lines = (folder / RESULT / results.JOURNAL).read_text(encoding="ascii").splitlines()
    return [content["field"] for content in map(json.loads, lines) if "field" in content]


@pytest.mark.slow
def test_jobs_of_a_killed_service_are_finished_once(tmp_path: Path, many: dict[str, bytes], expected: tuple[str, str]) -> None:
    state, logs = tmp_path / "state", [tmp_path / f"log{number}" for number in range(3)]
    files = [("field", (name, content, "image/jpeg")) for name, content in many.items()]
    with serving(state, logs[0]) as (process, http):
        ids = [http.post("/v1/jobs", files=files).json()["id"] for _ in range(JOBS)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(state, logs[1]) as (process, http):
        place = state / "jobs" / ids[0] / RESULT / results.JOURNAL
        until = time.monotonic() + PATIENCE_S
        while not (place.is_file() and len(fields_written(place.parents[1])) >= 2) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(state, logs[2]) as (_, http):
        until = time.monotonic() + PATIENCE_S
        while True:
            listed = {job["id"]: job for job in http.get("/v1/jobs").json()["jobs"]}
            if all(job["finished"] for job in listed.values()):
                break
            assert time.monotonic() < until, listed
            time.sleep(0.1)
        assert sorted(listed) == sorted(ids)
        for job_id in ids:
            assert (listed[job_id]["state"], listed[job_id]["unread"]) == ("done", 0)
            assert http.get(f"/v1/jobs/{job_id}/files/counts.csv").text == expected[0]
            assert http.get(f"/v1/jobs/{job_id}/files/smears.csv").text == expected[1]
            assert sorted(fields_written(state / "jobs" / job_id)) == sorted(many)
    ended = [event["id"] for log in logs for event in events(log) if event["event"] == "job ended"]
    # The last one may be killed before it wrote what it knew.
    assert len(ended) == len(set(ended))
    assert set(ended) <= set(ids)


@pytest.mark.slow
def test_jobs_and_requests_of_a_killed_worker_are_finished(
    start: Start, many: dict[str, bytes], expected: tuple[str, str]
) -> None:
    client: Client = start(time_s=PATIENCE_S)
    service = client.service
    job_id = client.form("/v1/jobs", many).json()["id"]
    folder = service.store.folder(job_id)
    until = time.monotonic() + PATIENCE_S
    while not ((folder / RESULT / results.JOURNAL).is_file() and fields_written(folder)) and time.monotonic() < until:
        time.sleep(0.02)
    for lane in (service.jobs, service.fields):
        assert lane._process is not None
        lane._process.popen.kill()
    answer = client.form("/v1/batch", many)
    assert answer.status_code == 200
    assert [row["status"] for row in answer.json()["counts"]] == ["ok"] * len(many)
    assert client.finished(job_id)["state"] == "done"
    assert tables(folder / RESULT) == expected
    assert sorted(journal.results_in(folder / RESULT / results.JOURNAL)) == sorted(many)
    assert service.jobs.figures()["restarts"] >= 1


@pytest.mark.slow
def test_a_job_begun_by_another_model_is_counted_anew(
    start: Start, many: dict[str, bytes], expected: tuple[str, str], tmp_path: Path
) -> None:
    store = JobStore(tmp_path)
    intake = store.intake()
    for name, content in many.items():
        intake.place(name, "smear").write_bytes(content)
    job, _ = store.accept(intake, Settings(), new_id())
    result = store.folder(job.id) / RESULT
    result.mkdir()
    with journal.Journal(result / results.JOURNAL, {"model_sha256": "other"}, resume=False):
        pass
    store.close()
    client: Client = start(state=tmp_path, time_s=PATIENCE_S)
    assert client.finished(job.id)["state"] == "done"
    assert tables(result) == expected
