"""Jobs on disk: what is accepted is there after any end, once, and what is not is gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.errors import OutputError, UsageError
from detector.service import jobs
from detector.service.jobs import OUTCOME, PICTURES, REQUEST, CountRequest, Intake, JobStore, RequestPicture, Settings, new_id


def filled(store: JobStore, *names: str) -> Intake:
    """An intake with pictures of these names."""
    intake = store.intake()
    for name in names:
        intake.place(name, "smear").write_bytes(name.encode())
    return intake


def test_an_accepted_job_is_there_for_the_next_service(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job, is_new = store.accept(filled(store, "b.jpg", "s/a.PNG", "../../etc/passwd"), Settings(0.1), new_id())
    filled(store, "c.jpg")
    assert is_new
    store.close()
    again = JobStore(tmp_path)
    assert [own.id for own in again.unfinished()] == [job.id]
    assert list(again.incoming.iterdir()) == []
    request = CountRequest.read(again.folder(job.id))
    assert request.settings == Settings(0.1)
    assert request.pictures == (
        RequestPicture("../../etc/passwd", "../../etc", "000003"),
        RequestPicture("s/a.PNG", "s", "000002.png"),
        RequestPicture("b.jpg", "smear", "000001.jpg"),
    )
    assert [(again.folder(job.id) / PICTURES / picture.file).read_bytes().decode() for picture in request.pictures] == [
        picture.field for picture in request.pictures
    ]
    again.close()


def test_an_outcome_stays_and_the_pictures_go(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job, _ = store.accept(filled(store, "a.jpg"), Settings(), new_id())
    assert store.finish(job, "done", unread=1)
    assert not store.finish(job, "failed", "later")
    assert not (store.folder(job.id) / PICTURES).exists()
    store.close()
    again = JobStore(tmp_path)
    restored = again.get(job.id)
    assert restored == job
    assert again.unfinished() == []
    assert (job.state, job.unread, job.fields_done) == ("done", 1, 1)
    assert again.sweep(3600) == 0
    assert again.sweep(-1) == 1
    assert again.get(job.id) is None
    assert not again.folder(job.id).exists()
    again.close()


def test_a_key_names_one_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    first, _ = store.accept(filled(store, "a.jpg"), Settings(), new_id("key"))
    intake = filled(store, "a.jpg")
    second, is_new = store.accept(intake, Settings(), new_id("key"))
    assert (second, is_new) == (first, False)
    intake.drop()
    assert not intake.folder.exists()
    assert new_id() != new_id()
    store.close()


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    with pytest.raises(UsageError, match="picture 2 has the name of another one"):
        filled(store, "a.jpg", "a.jpg")
    store.close()


def test_a_folder_has_one_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_OWNER_WAIT_S", 0.2)
    store = JobStore(tmp_path)
    with pytest.raises(OutputError, match="another service has it"):
        JobStore(tmp_path)
    store.close()
    JobStore(tmp_path).close()


@pytest.mark.parametrize(("name", "content"), [(REQUEST, b"{"), (REQUEST, b"[]"), (OUTCOME, b"{}"), (OUTCOME, b"\xff")])
def test_a_damaged_job_is_told_and_costs_no_other(tmp_path: Path, name: str, content: bytes) -> None:
    store = JobStore(tmp_path)
    damaged, _ = store.accept(filled(store, "a.jpg"), Settings(), new_id())
    whole, _ = store.accept(filled(store, "a.jpg"), Settings(), new_id())
    store.close()
    (store.folder(damaged.id) / name).write_bytes(content)
    again = JobStore(tmp_path)
    assert [job.id for job in again.unfinished()] == [whole.id]
    kept = again.get(damaged.id)
    assert kept is not None
    assert (kept.state, kept.reason) == ("failed", "its files on disk are damaged")
    again.close()


def test_names_of_pictures_stand_in_the_request_only(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job, _ = store.accept(filled(store, "Jane Doe/1.jpg"), Settings(), new_id())
    assert not [path for path in tmp_path.rglob("*") if "Jane" in str(path)]
    assert "Jane Doe" in json.loads((store.folder(job.id) / REQUEST).read_text(encoding="utf-8"))["pictures"][0]["field"]
    store.close()
