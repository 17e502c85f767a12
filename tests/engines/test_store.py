"""Fields and results in object stores are those of a disk."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import pytest

from detector.engines import archive, job, store
from detector.engines.archive import Archive, Flow
from detector.engines.options import CountOptions
from detector.engines.shards import ShardWorker
from detector.engines.store import Store, url_of
from detector.errors import ImageError, NothingToDoError, OutputError, UsageError
from detector.vision.model import Model

fsspec = pytest.importorskip("fsspec", reason="needs the ray extra: pip install -e '.[ray]'")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the dev extra: pip install -e '.[dev]'")

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server of S3 on the loopback."""
    moto = pytest.importorskip("moto.server", reason="needs a server of S3: pip install 'moto[server]' s3fs")
    pytest.importorskip("s3fs", reason="needs the ray extra: pip install -e '.[ray]'")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ENDPOINT_URL", f"http://{host}:{port}"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs = fsspec.filesystem("s3", use_listings_cache=False)
    # What a server holds outlives it, in the process.
    bucket = f"s3://bucket-{uuid.uuid4().hex[:8]}"
    fs.mkdir(bucket)
    yield bucket
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.fixture
def memory() -> Iterator[str]:
    """The object store that fsspec has for tests."""
    yield "memory://bucket"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Three fields of one smear, one of another, and what is no picture."""
    folder = tmp_path / "archive"
    for smear, n in (("a", 3), ("b", 1)):
        (folder / smear).mkdir(parents=True)
        for field in sorted(SAMPLES.glob("smear_a/*.jpg"))[:n]:
            cv2.imwrite(str(folder / smear / field.name), cv2.imread(str(field))[:240, :320])
    (folder / "a" / "notes.txt").write_text("seen")
    (folder / "b" / ".hidden.jpg").touch()
    return folder


def counted(options: CountOptions, model: Model) -> list[str]:
    """A count by one worker in this process; gives the skipped files' line and the fields that were searched."""
    key = job.journal_key(model)
    count = Archive(options)
    with archive.folder_of(options, key) as place:
        flow = Flow(count.smears(), lambda _done: None)
        worker = ShardWorker(archive.setup_of(options, place, key))
        while (task := flow.next()) is not None:
            flow.done(task, getattr(worker, task.method)(*task.arguments))
        archive.finish(place, flow.totals, options, model, 0.0)
    return [count.skipped_line()]


def table(place: str, name: str) -> list[dict[str, Any]]:
    fs, root = fsspec.core.url_to_fs(f"{place}/{name}", use_listings_cache=False)
    rows = [row for path in sorted(fs.ls(root, detail=False)) for row in parquet.read_table(fs.open(path)).to_pylist()]
    return sorted(rows, key=lambda row: (row["smear"], row.get("field", "")))


@pytest.mark.slow
def test_a_bucket_is_counted_as_a_folder_is(bucket: str, fields: Path, tmp_path: Path, model: Model) -> None:
    fs, root = fsspec.core.url_to_fs(bucket)
    for path in sorted(fields.rglob("*.*")):
        fs.pipe_file(f"{root}/archive/{path.relative_to(fields).as_posix()}", path.read_bytes())
    here = CountOptions([str(fields)], out=tmp_path / "out", um_per_px=None)
    there = CountOptions([f"{bucket}/archive"], out=Path(f"{bucket}/results/out"))
    assert counted(here, model) == counted(there, model) == ["1 .txt; such names are not those of pictures"]
    for name in ("counts", "smears", "cells"):
        assert table(f"{bucket}/results/out", name) == table(str(tmp_path / "out"), name)
    before = table(f"{bucket}/results/out", "counts")
    with pytest.raises(OutputError, match=r"holds journal/header.json already"):
        counted(there, model)
    # Another version of an object is counted again, and one that is gone is no longer in the tables.
    fs.pipe_file(f"{root}/archive/b/{next((fields / 'b').glob('[!.]*.jpg')).name}", b"no image")
    counted(replace(there, resume=True), model)
    after = table(f"{bucket}/results/out", "counts")
    assert [row["status"] for row in after] == ["ok", "ok", "ok", "unread"]
    assert after[:3] == before[:3]


@pytest.mark.slow
@pytest.mark.parametrize("failures", [2, 6], ids=["for a moment", "for the whole count"])
def test_a_store_that_fails_changes_no_other_fields_scale_for_good(
    memory: str, fields: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    fs, root = fsspec.core.url_to_fs(memory)
    for path in sorted((fields / "a").glob("*.jpg")):
        fs.pipe_file(f"{root}/archive/a/{path.name}", path.read_bytes())
    failing = sorted(fs.ls(f"{root}/archive/a", detail=False))[0]
    whole, broken = (CountOptions([f"{memory}/archive"], out=Path(f"{memory}/{name}")) for name in ("whole", "broken"))
    counted(whole, model)
    get_file, asked = type(fs).get_file, []

    def fails(self: object, path: str, copy: str) -> None:
        if f"/{path.lstrip('/')}" == failing:
            asked.append(path)
            if len(asked) <= failures:
                raise OSError("503 slow down")
        get_file(self, path, copy)

    monkeypatch.setattr(store, "_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(type(fs), "get_file", fails)
    counted(broken, model)
    assert len(asked) == (4 if failures == 2 else 3)
    rows = table(f"{memory}/broken", "counts")
    if failures == 2:
        assert rows == table(f"{memory}/whole", "counts")
        return
    assert [row["status"] for row in rows] == ["unread", "ok", "ok"]
    assert rows[0]["reason"] == "cannot be fetched (503 slow down); count again with --resume"
    failures = 0
    counted(replace(broken, resume=True), model)
    for name in ("counts", "smears", "cells"):
        assert table(f"{memory}/broken", name) == table(f"{memory}/whole", name)


def test_a_manifest_names_objects(bucket: str, fields: Path, tmp_path: Path, model: Model) -> None:
    picture = next((fields / "a").glob("*.jpg"))
    fs, root = fsspec.core.url_to_fs(bucket)
    fs.pipe_file(f"{root}/in/{picture.name}", picture.read_bytes())
    (tmp_path / "m.csv").write_text(f"field,smear\n{picture.name},x\ngone.jpg,x\n")
    counted(CountOptions([f"{bucket}/in"], manifest=tmp_path / "m.csv", out=Path(f"{bucket}/out")), model)
    rows = table(f"{bucket}/out", "counts")
    assert {row["field"]: row["status"] for row in rows} == {picture.name: "ok", "gone.jpg": "unread"}
    assert "does not exist" in next(row["reason"] for row in rows if row["field"] == "gone.jpg")


def test_a_url_is_told_from_a_path() -> None:
    assert url_of("s3://b/x") == url_of(Path("s3://b/x")) == "s3://b/x"
    assert [url_of(place) for place in ("out", "/out/s3", "C:/out", Path("a") / "b", "s3")] == [None] * 5


def test_files_of_a_store_are_whole_or_not_there(bucket: str, tmp_path: Path) -> None:
    for place in (Store(bucket), Store(tmp_path / "out")):
        place.prepare()
        assert place.read("a/b") is None
        assert place.names("a") == set()
        place.write("a/b", b"1")
        place.write("a/b", b"2")
        assert place.read("a/b") == b"2"
        assert place.names("a") == {"b"}
        place.remove("a/b")
        place.remove("a/b")
        assert place.read("a/b") is None
    with store.at_hand(str(tmp_path)) as path:
        assert path == tmp_path
    with pytest.raises(ImageError, match="does not exist"), store.at_hand(f"{bucket}/gone.jpg"):
        pass


def test_the_next_files_of_a_store_come_while_one_is_worked_on(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, root = fsspec.core.url_to_fs(memory)
    for name in "abcd":
        fs.pipe_file(f"{root}/{name}.jpg", name.encode())
    begun = {name: threading.Event() for name in ("a", "b", "c", "d", "gone")}
    fetch = store._fetch

    def noted(fs: Any, path: str, copy: Path) -> None:
        begun[PurePosixPath(path).stem].set()
        fetch(fs, path, copy)

    monkeypatch.setattr(store, "_fetch", noted)
    monkeypatch.setattr(store.tempfile, "tempdir", str(tmp_path))
    fetcher = store.Fetcher()
    local = tmp_path / "local.jpg"
    files = fetcher.each([f"{memory}/a.jpg", f"{memory}/gone.jpg", str(local), f"{memory}/b.jpg", f"{memory}/c.jpg"])
    with next(files) as path:
        assert (path.read_bytes(), path.suffix) == (b"a", ".jpg")
        assert begun["gone"].wait(10)
        assert not begun["b"].is_set(), "more are fetched than there is to be room for"
    assert not path.exists()
    with pytest.raises(ImageError, match="does not exist"), next(files):
        pass
    with next(files) as path:
        assert path == local
    next(files)  # Is left unused.
    with next(files) as path:
        assert path.read_bytes() == b"c"
    with pytest.raises(StopIteration):
        next(files)
    # Those that are begun and not asked for any more end before their folder goes.
    files = fetcher.each([f"{memory}/{name}.jpg" for name in "abcd"])
    with next(files):
        assert begun["d"].is_set() is False
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there_or_denies_is_told(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = CountOptions(["s3://nowhere/x"])
    with pytest.raises(
        NothingToDoError, match=r"s3://nowhere/x: cannot be read \(.*bucket.*\); check its name, and AWS_ENDPOINT_URL"
    ):
        list(Archive(nowhere).smears())
    with pytest.raises(OutputError, match=r"s3://nowhere/\S+: cannot be written \(.*bucket.*\); check its name"):
        Store("s3://nowhere").prepare()
    import s3fs

    async def denied(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", denied)
    with pytest.raises(NothingToDoError, match=r"cannot be read \(Access Denied\); check its name, and AWS_ENDPOINT_URL"):
        list(Archive(CountOptions([s3])).smears())
    with pytest.raises(OutputError, match=r"cannot be written \(Access Denied\)"):
        Store(s3).prepare()


def test_a_bucket_stands_alone(memory: str) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/x", b"")
    with pytest.raises(UsageError, match="alone, not with other inputs"):
        list(Archive(CountOptions([memory, "other"])).smears())
    with pytest.raises(NothingToDoError, match="no images in it"):
        list(Archive(CountOptions([memory])).smears())


def test_an_unknown_scheme_is_told() -> None:
    with pytest.raises(NothingToDoError, match=r"nix://x: .*give a path, or a URL such as s3://bucket/folder"):
        Store("nix://x")
