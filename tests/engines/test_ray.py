"""A cluster of Ray on this machine counts as the engine of one machine does, also where its workers are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import count
from detector.engines import archive, job, ray, shards
from detector.engines.archive import Archive, Flow
from detector.engines.options import CountOptions
from detector.errors import SmearcountError
from detector.vision.model import Model

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "datasets" / "samples"
Run = Callable[..., int]


@pytest.mark.parametrize("address", ["nowhere", "host:port", "ray://127.0.0.1:10001"])
def test_an_address_that_is_none_is_refused(
    address: str, fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(count.main, fields, "--engine", "ray", "--ray-address", address) == 2
    assert f"--ray-address {address}: give host:port of the cluster's head" in capsys.readouterr().err


def test_an_address_without_a_cluster_is_told(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--engine", "ray", "--ray-address", "127.0.0.1:1") == 3
    assert (
        "127.0.0.1:1: no cluster answers there (Connection refused); start one with `ray start --head`" in capsys.readouterr().err
    )


def test_an_address_needs_the_engine(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(count.main, fields, "--ray-address", "127.0.0.1:1") == 2
    assert "--ray-address needs --engine ray" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cluster() -> str:
    """The address of a cluster: that of RAY_ADDRESS, or of one that each count starts for itself, which is an empty text."""
    pytest.importorskip("ray", reason="needs the ray extra: pip install -e '.[ray]'")
    pytest.importorskip("pyarrow", reason="needs the ray extra: pip install -e '.[ray]'")
    return os.environ.get("RAY_ADDRESS", "")


def actors() -> list[int]:
    """Processes that hold an actor of ours."""
    processes = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::_Actor" in (place / "cmdline").read_bytes():
                processes.append(int(place.name))
        except OSError:
            continue
    return processes


@pytest.mark.slow
def test_workers_killed_in_mid_run_change_nothing(
    cluster: str, tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fields"
    for smear in range(3):
        (folder / str(smear)).mkdir(parents=True)
        for number in range(24):
            source = sorted(SAMPLES.glob("smear_a/*.jpg"))[number % 4]
            shutil.copy(source, folder / str(smear) / f"{number}.jpg")
    (folder / "0" / "bad.jpg").write_bytes(b"no image")
    out, killed = tmp_path / "out", []

    def kill() -> None:
        deadline = time.monotonic() + 1800
        while len(killed) < 2 and time.monotonic() < deadline:
            if len(list((out / "journal").glob("*/*.jsonl"))) > len(killed) and (alive := actors()):
                os.kill(alive[0], signal.SIGKILL)
                killed.append(alive[0])
            time.sleep(0.2)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    address = ["--ray-address", cluster] if cluster else []
    assert run_command(count.main, folder, "--engine", "ray", "--threads", 2, *address, "--out", out) == 1
    killer.join()
    assert len(killed) == 2
    printed = capsys.readouterr()
    assert "72 fields counted, 1 unread" in printed.out
    assert "unread: 0/bad.jpg" in printed.err
    assert run_command(count.main, folder, "--out", tmp_path / "local") == 1
    pandas = pytest.importorskip("pandas")
    local = pandas.read_csv(tmp_path / "local" / "counts.csv").convert_dtypes()
    there = pandas.read_parquet(out / "counts").sort_values(["smear", "field"], ignore_index=True).convert_dtypes()
    local["smear"] = local["smear"].astype("string")
    columns = ["field", "smear", "status", "reason", "RBC", "WBC", "Platelets", "RBC_frame", "saturated", "doubt"]
    counts, expected = (table[columns].astype(object).where(table[columns].notna(), "") for table in (there, local))
    assert counts.astype(str).to_csv() == expected.astype(str).to_csv()
    document = json.loads((tmp_path / "local" / "detections.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    cells = [(names[cell["image_id"]], *cell["bbox"][:2], cell["score"]) for cell in document["annotations"]]
    table = pandas.read_parquet(out / "cells")[["field", "x1", "y1", "score"]].round(4)
    assert sorted(table.itertuples(index=False, name=None)) == sorted(cells)
    assert json.loads((out / "run.json").read_text())["fields"] == {"read": 72, "unread": 1, "saturated": 0}


@pytest.mark.slow
def test_a_cluster_of_its_own_leaves_no_token_and_one_with_a_token_says_so(
    cluster: str, tmp_path: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if cluster:
        pytest.skip("needs to start clusters itself, RAY_ADDRESS names one")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run_command(count.main, SAMPLES / "smear_a", "--engine", "ray", "--threads", 1, "--out", "own") == 0
    assert not (tmp_path / "home" / ".ray").exists()
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & os.environ.keys()
    program = Path(sys.executable).with_name("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = [program, "start", "--head", "--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}", "--num-cpus=1"]
    token = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    capsys.readouterr()
    try:
        small = ["--object-store-memory=100000000", "--disable-usage-stats", "--include-dashboard=false"]
        subprocess.run([*start, *small], env=token, capture_output=True, check=True)
        given = [sys.executable, "-m", "detector.count", SAMPLES / "smear_a", "--engine", "ray", "--ray-address", address]
        without = subprocess.run([*given, "--out", "without"], capture_output=True, text=True)
        assert without.returncode == 3
        assert "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to it" in without.stderr
        assert subprocess.run([*given, "--out", "with"], env=token, capture_output=True).returncode == 0
    finally:
        subprocess.run([program, "stop", "--force"], env=token, capture_output=True)


@pytest.mark.slow
def test_a_worker_without_the_model_is_told(cluster: str, fields: Path, tmp_path: Path, model: Model) -> None:
    options = CountOptions([str(fields)], out=tmp_path / "out", engine="ray")
    key = job.journal_key(model)
    with archive.folder_of(options, key) as store:
        setup = archive.setup_of(options, store, key)
        gone = shards.Setup(setup.out, tmp_path / "gone.onnx", setup.backend, key, setup.versions)
        flow = Flow(Archive(options).smears(), lambda _done: None)
        with pytest.raises(SmearcountError, match=r"gone\.onnx.*put the model at the same path on each machine of the cluster"):
            ray.run(flow, gone, cluster or None, 1)


_WITHOUT = """
import sys
sys.modules["ray"] = None
from detector.count import main
sys.argv = ["count", sys.argv[1], "--engine", "ray", "--out", sys.argv[2]]
main()
"""


def test_without_ray_it_says_what_to_install(fields: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WITHOUT, fields, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "--engine ray needs Ray, which is not installed: pip install 'smearcount[ray]'" in done.stderr
