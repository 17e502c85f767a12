"""The service as a client meets it: the same counts as the command's, and nothing that breaks it or goes unsaid."""

from __future__ import annotations

import io
import json
import socket
import time
import zipfile
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import SAMPLES, TOKEN, Client, Start, bearer
from PIL import Image

import detector
from detector.output import tables
from detector.output.tables import COUNTS_COLUMNS, SMEARS_COLUMNS
from detector.service import schema
from detector.service.lanes import FullError


@pytest.fixture(scope="module")
def counter() -> detector.Detector:
    """What the command counts with."""
    return detector.Detector(threads=2)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, counter: detector.Detector, pictures: dict[str, bytes]) -> Path:
    """The folder that a count of the same pictures writes."""
    folder = tmp_path_factory.mktemp("counted")
    for name, content in pictures.items():
        (folder / "fields" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fields" / name).write_bytes(content)
    counter.count(folder / "fields").save(folder / "out")
    return folder / "out"


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_batch_has_the_counts_of_the_command(
    client: Client, counter: detector.Detector, counted: Path, pictures: dict[str, bytes]
) -> None:
    answer = client.form("/v1/batch", pictures, detections=True)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    schema.Counts.model_validate(document)
    outcome = counter.count(counted.parent / "fields")
    assert document["counts"] == json.loads(json.dumps(tables.of_fields(outcome.fields).records()))
    assert document["smears"] == json.loads(json.dumps(tables.of_smears(outcome.smears).records()))
    assert document["detections"] == json.loads(text(counted, "detections.json"))
    assert document["run"]["model"] == json.loads(text(counted, "run.json"))["model"]


def test_a_field_is_counted_alone(client: Client, counter: detector.Detector, pictures: dict[str, bytes]) -> None:
    name, content = next(iter(pictures.items()))
    answer = client.field(content, field="ä b.jpg", smear="s", um_per_px=0.08)
    assert answer.status_code == 200
    row = answer.json()["counts"][0]
    own = counter.count(SAMPLES / name, um_per_px=0.08).read[0]
    assert (row["field"], row["smear"], row["scale"]) == ("ä b.jpg", "s", "given")
    assert {cell: row[cell] for cell in own.raw} == own.raw
    assert "detections" not in answer.json()


def test_a_job_leaves_what_the_command_leaves(client: Client, counted: Path, pictures: dict[str, bytes]) -> None:
    accepted = client.form("/v1/jobs", pictures, {"Idempotency-Key": "one"})
    assert accepted.status_code == 202
    job = accepted.json()
    assert accepted.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert client.form("/v1/jobs", pictures, {"Idempotency-Key": "one"}).json()["id"] == job["id"]
    state = client.finished(job["id"])
    assert (state["state"], state["fields"], state["fields_done"], state["unread"]) == ("done", 4, 4, 0)
    assert [own["id"] for own in client.http.get("/v1/jobs").json()["jobs"]].count(job["id"]) == 1
    path = f"/v1/jobs/{job['id']}"
    for name in ("counts.csv", "smears.csv", "detections.json"):
        answer = client.http.get(f"{path}/files/{name}")
        assert answer.text == text(counted, name), name
        assert "attachment" in answer.headers["Content-Disposition"]
    report = client.http.get(f"{path}/files/report.html")
    assert report.status_code == 200
    assert "sandbox" in report.headers["Content-Security-Policy"]
    assert client.http.get(f"{path}/files/tiles.csv").status_code == 404
    assert client.http.get(f"{path}/files/journal.jsonl").status_code == 422
    with zipfile.ZipFile(io.BytesIO(client.http.get(f"{path}/folder").content)) as archive:
        assert {"counts.csv", "journal.jsonl", "report.html"} <= set(archive.namelist())
    document = client.http.get(f"{path}/result").json()
    assert len(document["counts"]) == 4
    assert client.http.post(f"{path}/cancel").status_code == 409
    assert client.http.delete(path).status_code == 204
    assert client.http.get(path).status_code == 404
    assert not client.service.store.folder(job["id"]).exists()


def picture(kind: str, size_wh: tuple[int, int] = (64, 64)) -> bytes:
    """A picture with nothing on it."""
    content = io.BytesIO()
    Image.fromarray(np.full((size_wh[1], size_wh[0], 3), 200, np.uint8)).save(content, kind)
    return content.getvalue()


BROKEN = [
    (b"", "image/jpeg", 422, "empty"),
    (b"GIF89a is none", "image/jpeg", 422, "cannot be counted"),
    (b"\xff\xd8\xff\xe0" + b"\0" * 200, "image/jpeg", 422, "cannot be counted"),
    (picture("PNG")[:60], "image/png", 422, "cannot be counted"),
    (b"<xml/>", "text/xml", 415, "application/octet-stream"),
    (b"{}", "", 415, "application/octet-stream"),
]


@pytest.mark.parametrize(("content", "kind", "status", "said"), BROKEN)
def test_what_is_no_picture_is_refused_with_its_reason(client: Client, content: bytes, kind: str, status: int, said: str) -> None:
    answer = client.field(content, kind)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_broken_pictures_of_a_batch_are_unread_and_cost_no_other(client: Client) -> None:
    answer = client.form("/v1/batch", {"blank.png": picture("PNG"), "broken.jpg": b"nothing", "large.czi": b"ZISRAWFILE"})
    rows = {row["field"]: row for row in answer.json()["counts"]}
    assert [rows[name]["status"] for name in sorted(rows)] == ["ok", "unread", "unread"]
    assert rows["blank.png"]["RBC"] == 0
    assert rows["broken.jpg"]["RBC"] is None
    assert "CZI" in rows["large.czi"]["reason"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"um_per_px": "x"}, "um_per_px"),
        ({"um_per_px": "nan"}, "um_per_px"),
        ({"um_per_px": "75"}, "is not a scale of a smear"),
        ({"rbc_per_ul": "5"}, "cells per µL"),
        ({"rbc_per_ul": "5e6", "ul_factor": "1", "um_per_px": "0.1"}, "two ways"),
        ({"ul_factor": "1"}, "um_per_px too"),
        ({"smear": ""}, "smear"),
        ({"field": "x" * 300}, "field"),
    ],
)
def test_wrong_values_are_named(client: Client, query: dict[str, str], said: str) -> None:
    answer = client.field(picture("PNG"), "image/png", **query)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_forms_that_hold_something_else_are_refused(client: Client) -> None:
    for path in ("/v1/batch", "/v1/jobs"):
        assert client.http.post(path, json={}).status_code == 415
        assert client.http.post(path, data={"field": "a.jpg"}, files={"x": ("", b"y")}).status_code == 422
        assert client.form(path, {"a.jpg": b""}).status_code == 422
        broken = client.http.post(path, content=b"--x\r\nnothing", headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert broken.status_code in (400, 422), broken.text
        assert client.http.post(path, content=b"x", headers={"Content-Type": "multipart/form-data"}).status_code in (400, 422)
    twice = [("field", ("a.jpg", b"x", "image/jpeg"))] * 2
    assert client.http.post("/v1/jobs", files=twice).status_code == 422


@pytest.mark.parametrize(("path", "status"), [("/v1/jobs/" + "0" * 32, 404), ("/v1/jobs/../../etc/passwd", 404), ("/v2", 404)])
def test_what_is_not_there_is_said(client: Client, path: str, status: int) -> None:
    answer = client.http.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(TOKEN + "x"), {"Authorization": TOKEN}, bearer("é")])
def test_nobody_is_let_in_without_the_token(client: Client, headers: dict[str, str]) -> None:
    asked = {name: value.encode() for name, value in headers.items()}
    client_without = client.http.__class__(verify=False, base_url=client.service.url)
    with client_without as http:
        for method, path in (("GET", "/v1/jobs"), ("GET", "/metrics"), ("POST", "/v1/field"), ("DELETE", "/v1/jobs/x")):
            answer = http.request(method, path, headers=asked)
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/health/live", "/health/ready", "/openapi.json"):
            assert http.get(path, headers=asked).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "["}],
)
def test_pages_from_elsewhere_are_not_let_in(client: Client, headers: dict[str, str]) -> None:
    assert client.http.get("/v1/jobs", headers=headers).status_code in (400, 403)


def test_health_metrics_and_model_are_told(client: Client, counter: detector.Detector) -> None:
    assert client.http.get("/health/ready").json() == {"status": "ok"}
    about = client.http.get("/v1/model").json()
    assert about["sha256"] == counter.model.sha256
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(client.http.get("/metrics").text)}
    assert {"smearcount_requests", "smearcount_request_seconds", "smearcount_fields", "smearcount_jobs"} <= set(families)
    memory = {sample.labels["lane"]: sample.value for sample in families["smearcount_worker_memory_bytes"].samples}
    assert memory["fields"] > 20e6
    assert any(sample.labels.get("route") == "/v1/field" for sample in families["smearcount_requests"].samples)


def test_rows_are_described_by_the_columns_of_the_tables() -> None:
    assert tuple(schema.FieldRow.model_fields) == COUNTS_COLUMNS
    assert tuple(schema.SmearRow.model_fields) == SMEARS_COLUMNS


def test_answers_are_safe_in_a_browser(client: Client) -> None:
    for path in ("/health/live", "/v1/jobs", "/none"):
        headers = client.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers


def test_the_log_holds_no_names(client: Client, pictures: dict[str, bytes]) -> None:
    content = next(iter(pictures.values()))
    client.field(content, field="Jane-Doe", smear="Ward-7")
    client.form("/v1/batch", {"Jane-Doe/1.jpg": b"broken"})
    client.finished(client.form("/v1/jobs", {"Jane-Doe/2.jpg": content}, smear="Ward-7").json()["id"])
    client.http.get("/v1/jobs/Jane-Doe")
    events = client.log()
    written = json.dumps(events)
    assert not [word for word in ("Jane", "Ward", TOKEN, "smear_a") if word in written]
    assert {"request", "job accepted", "job ended", "worker ready"} <= {event["event"] for event in events}
    assert all({"time", "level", "event"} <= set(event) for event in events)


def test_too_much_is_refused_and_told(start: Start) -> None:
    small = start(most_mb=1, most_fields=2, most_megapixels=0.01, time_s=240)
    answer = small.field(b"x" * (2 << 20))
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["error"]
    streamed = small.http.post("/v1/field", content=(b"x" * 65536 for _ in range(40)), headers={"Content-Type": "image/jpeg"})
    assert streamed.status_code == 413
    assert small.form("/v1/jobs", dict.fromkeys(("a", "b", "c"), b"x")).status_code in (400, 422)
    answer = small.field(picture("PNG", (400, 300)), "image/png")
    assert answer.status_code == 422
    assert "million" in answer.json()["error"]
    assert small.field(picture("PNG", (80, 60)), "image/png").status_code == 200
    assert list(small.service.store.incoming.iterdir()) == []


def test_a_full_queue_is_told_and_takes_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Any:
        raise FullError(7)

    for lane in (client.service.fields, client.service.jobs):
        monkeypatch.setattr(lane, "room", full)
    for answer in (client.field(b"x"), client.form("/v1/batch", {"a": b"x"}), client.form("/v1/jobs", {"a": b"x"})):
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "7"
    monkeypatch.undo()
    monkeypatch.setattr("detector.service.service._SPARE_BYTES", 1 << 60)
    answer = client.field(b"x")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_clients_that_hang_up_leave_nothing(client: Client, pictures: dict[str, bytes]) -> None:
    content = next(iter(pictures.values()))
    head = f"POST /v1/field HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: image/jpeg\r\n"
    for sent in (content, content[:100]):
        with closing(socket.create_connection(("127.0.0.1", client.service.port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + sent)
            time.sleep(0.1)
    until = time.monotonic() + 60
    while list(client.service.store.incoming.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(client.service.store.incoming.iterdir()) == []
    figures = client.service.fields.figures()
    assert figures["waiting"] == 0
    assert client.field(content).status_code == 200
    assert not [event for event in client.log() if event["event"] == "request" and event["status"] == 500]


def test_a_body_that_does_not_come_is_given_up(start: Start) -> None:
    hasty = start(time_s=0.5)
    connection = HTTPConnection("127.0.0.1", hasty.service.port, timeout=60)
    with closing(connection):
        connection.putrequest("POST", "/v1/field")
        for name, value in {**bearer(TOKEN), "Content-Type": "image/jpeg", "Content-Length": "100"}.items():
            connection.putheader(name, value)
        connection.endheaders(b"some")
        assert connection.getresponse().status == 408
