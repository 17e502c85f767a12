"""What a count on a cluster costs, and whether it is the one of a single machine.

    python -m benchmarks.scaling counts [--fields 2000] [--workers 2] [--kill 3] [--ray-address HOST:PORT]
    python -m benchmarks.scaling driver [--fields 1000 --fields 10000 --fields 100000] [--ray-address HOST:PORT]

`counts` counts the same rendered fields under many names, in smears of a hundred, by the engine of one machine and on a cluster,
kills workers there by `kill -9`, and compares all tables. `driver` measures the memory of the driver alone: workers answer at once,
and count nothing.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks import machine
from detector.arguments import Number, Parser
from detector.commandline import run as run_command
from detector.engines import archive, job, local, ray
from detector.engines.archive import Archive, Flow
from detector.engines.inputs import search
from detector.engines.options import CountOptions
from detector.engines.shards import Setup
from detector.errors import SmearcountError
from detector.output import partitions, tables
from detector.output.partitions import Totals
from detector.synthetic.layout import plan
from detector.synthetic.render import window
from detector.synthetic.stain import preset
from detector.vision.model import Model, processors

_RENDERED = 20
_SIZE_WH = (200, 160)
_IN_SMEAR = 100


def fields_in(folder: Path, n: int) -> None:
    """Fill a folder with so many names of a few rendered fields, in smears of a hundred; one in a hundred is no picture."""
    import cv2

    stored = folder.with_name("rendered")
    stored.mkdir()
    w, h = _SIZE_WH
    for i in range(_RENDERED):
        picture = window(plan(_SIZE_WH, preset("bccd"), i, um_per_px=0.15), 0, 0, w, h).image
        cv2.imwrite(str(stored / f"{i}.png"), picture[:, :, ::-1])
    (stored / "bad.png").write_bytes(b"no image")
    for i in range(n):
        smear = folder / f"smear_{i // _IN_SMEAR:05d}"
        smear.mkdir(parents=True, exist_ok=True)
        os.link(stored / ("bad.png" if i % _IN_SMEAR == 7 else f"{i % _RENDERED}.png"), smear / f"{i:06d}.png")


def counts(*, fields: int, workers: int, kill: int, ray_address: str | None) -> None:
    """Print JSON: seconds and processor seconds of both engines, how many workers were killed, and whether all rows are the same.

    Raises:
        SmearcountError: they are not.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "fields"
        fields_in(folder, fields)
        options = CountOptions([str(folder)], out=Path(place) / "out", engine="ray")
        model = Model.load()
        began, cells = time.time(), Counter[tuple[str, ...]]()
        searched = search(options.inputs)

        def note(result: Any) -> None:
            for box in getattr(result.cells, "xyxy", ()):
                cells[(result.field, *(f"{side:.2f}" for side in box.tolist()))] += 1

        outcome = job.completed(
            job.count_fields(searched.fields, local.Work(model, processors() + 1), on_result=note),
            options,
            searched,
            model,
            began,
        )
        of_local = time.time() - began
        began = time.time()
        killed = _counted(options, model, workers, kill, ray_address)
        of_ray = time.time() - began
        same = {
            "counts": _rows(options.out, partitions.COUNTS) == tables.of_fields(outcome.fields).records(),
            "smears": _rows(options.out, partitions.SMEARS) == tables.of_smears(outcome.smears).records(),
            "cells": cells
            == Counter(
                (row["field"], *(f"{row[side]:.2f}" for side in ("x1", "y1", "x2", "y2")))
                for row in _rows(options.out, partitions.CELLS)
            ),
        }
        rss = psutil.Process().memory_info().rss // 2**20
        print(
            json.dumps(
                {
                    "machine": machine.described(),
                    "fields": fields,
                    "cells": cells.total(),
                    "unread": len(outcome.unread),
                    "seconds of local engine": round(of_local, 1),
                    "seconds of ray": round(of_ray, 1),
                    "workers": workers,
                    "killed after, recovered after, s": killed,
                    "same rows": same,
                    "MiB": rss,
                },
                indent=2,
            )
        )
        if not all(same.values()):
            raise SmearcountError("the engines disagree")


def _counted(options: CountOptions, model: Model, workers: int, kill: int, address: str | None) -> list[tuple[float, float]]:
    """Count on a cluster and kill workers meanwhile; when each was killed, and how long after it the next slice was done."""
    key = job.journal_key(model)
    began = time.monotonic()
    done: list[float] = []
    killed: list[float] = []
    stop = threading.Event()

    def killing() -> None:
        while len(killed) < kill and not stop.wait(0.5):
            # After each third slice or so, so that all runs through several kinds of tasks.
            if len(done) >= 3 * (len(killed) + 1):
                actors = [p for p in psutil.process_iter(["name", "cmdline"]) if _is_actor(p)]
                if actors:
                    os.kill(actors[len(killed) % len(actors)].pid, signal.SIGKILL)
                    killed.append(time.monotonic())

    thread = threading.Thread(target=killing, daemon=True)
    thread.start()
    with archive.folder_of(options, key) as store:
        flow = Flow(Archive(options).smears(), lambda _n: done.append(time.monotonic()))
        ray.run(flow, archive.setup_of(options, store, key), address, workers)
        archive.finish(store, flow.totals, options, model, 0.0)
    stop.set()
    thread.join()
    return [(round(at - began, 1), round(next((d - at for d in done if d > at), 0.0), 1)) for at in killed]


def _is_actor(process: psutil.Process) -> bool:
    return any("ray::_Actor" in word for word in (process.info["cmdline"] or [])) or "ray::_Actor" in (process.info["name"] or "")


def _rows(folder: Path | None, table: str) -> list[dict[str, Any]]:
    import pyarrow.parquet

    assert folder is not None
    rows = [row for path in (folder / table).iterdir() for row in pyarrow.parquet.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: (row["smear"], row.get("field", "")))


class Idle:
    """A worker that answers at once, as long as what one answers that counts."""

    def load(self, setup: Setup) -> None:
        """Load nothing."""

    def do(self, method: str, *arguments: Any) -> Any:
        """Say that a task is done."""
        if method != "sum":
            return None
        n = sum(len(smear.items) for smear in arguments[0])
        name = f"{hash(arguments[0][0].name):016x}"[-16:]
        return Totals(
            Counter(smears=len(arguments[0]), read=n, RBC=20 * n),
            [],
            [],
            [f"{table}/{name}.parquet" for table in ("counts", "smears", "cells")],
        )


def driver(*, fields: list[int], ray_address: str | None) -> None:
    """Print a line of JSON for each number of fields: memory and processor time of a driver whose workers answer at once."""
    for n in fields:
        # A process of its own for each, so that none has the memory of another.
        code = f"from benchmarks import scaling; scaling.drive({n}, {ray_address!r})"
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own words


def drive(n: int, address: str | None) -> None:
    """One line of `driver`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "fields"
        fields_in(folder, n)
        options = CountOptions([str(folder)], out=Path(place) / "out", engine="ray")
        model = Model.load()
        ray._Actor = Idle  # type: ignore[misc]
        key = job.journal_key(model)
        before, cpu = psutil.Process().memory_info().rss, time.process_time()
        with archive.folder_of(options, key) as store:
            flow = Flow(Archive(options).smears(), lambda _n: None)
            ray.run(flow, archive.setup_of(options, store, key), address, 2)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        line = {
            "fields": n,
            "counted": flow.totals.numbers["read"],
            "MiB before": before // 2**20,
            "MiB at most": most // 2**20,
            "driver's processor ms a field": round(1000 * (time.process_time() - cpu) / n, 3),
        }
        print(json.dumps(line), flush=True)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.scaling", "counts|driver [OPTION]...", __doc__)
    made.add_argument("what", choices=("counts", "driver"), help="what is measured")
    made.add_argument("--fields", type=Number(int, 1), action="append", default=[], help="names of fields")
    made.add_argument("--workers", type=Number(int, 1), default=2, help="of the cluster")
    made.add_argument("--kill", type=Number(int, 0), default=3, help="workers to kill")
    made.add_argument("--ray-address", help="head of a running cluster")
    return made


def measure(*, what: str, fields: list[int], workers: int, kill: int, ray_address: str | None) -> None:
    """Measure one of both."""
    if what == "driver":
        driver(fields=fields or [1000, 10_000, 100_000], ray_address=ray_address)
        return
    for n in fields or [2000]:
        counts(fields=n, workers=workers, kill=kill, ray_address=ray_address)


if __name__ == "__main__":
    run_command(measure, parser())
