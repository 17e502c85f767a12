"""What a count takes beside its model, measured within one process; prints JSON for `benchmarks.run`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from detector.arguments import Number, Parser
from detector.commandline import run
from detector.engines import inputs, job
from detector.engines.inputs import FieldInput
from detector.engines.local import Work
from detector.engines.pool import workers_for
from detector.output import results
from detector.output.journal import Journal
from detector.output.outcome import Outcome
from detector.output.report import page, pictures
from detector.vision import images, quality
from detector.vision.model import Model, canvas, processors

DISTINCT = 32
"""Crops that the bare model is shown again and again; all of them at once would fill the memory."""


def command(*, folder: Path, backend: str, repeats: int, threads: int | None) -> None:
    """Time the bare model and the count in turn, over the same fields, and print seconds of both and of the report.

    The bare model is timed in two ways: a field at a time with all threads on it, as a program runs it that does nothing else ("alone"),
    and as many fields at a time as there are threads ("bare").
    """
    cores = threads or processors()
    fields = inputs.search([str(folder)]).fields
    model = Model.load(None, backend, cores)
    alone = Model.load(None, backend, 1, cores)
    crops = [canvas(images.read(field.path), model.card)[0] for field in fields[:: max(1, len(fields) // DISTINCT)]]
    page.prepare()
    rows = []
    for loaded, at_a_time in ((model, cores), (alone, 1)):
        _bare(loaded, crops, at_a_time, min(len(fields), 40))
    for repeat in range(repeats):
        order: list[Callable[[], dict[str, float]]] = [
            lambda: _named("bare", _bare(model, crops, cores, len(fields))),
            lambda: _counted(fields, model, workers_for(threads)),
            lambda: _named("alone", _bare(alone, crops, 1, len(fields))),
        ]
        row: dict[str, float] = {}
        for measured in order if repeat % 2 == 0 else order[::-1]:
            row.update(measured())
        rows.append(row)
    print(json.dumps({"backend": model.network.backend, "program": model.network.program, "fields": len(fields), "runs": rows}))


def _bare(model: Model, crops: Sequence[Any], at_a_time: int, fields: int) -> Mapping[str, float]:
    """Time the network over so many ready crops, `at_a_time` of them side by side."""
    least = np.array(model.card.minimum(), dtype=np.float32)
    with ThreadPoolExecutor(at_a_time) as pool, _timed() as spent:
        list(pool.map(lambda i: model.network.run(crops[i % len(crops)], least).shape, range(fields)))
    return spent


def _named(name: str, spent: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}_s": spent["wall"], f"{name}_cpu_s": spent["cpu"]}


def _counted(fields: Sequence[FieldInput], model: Model, at_a_time: int) -> dict[str, float]:
    aside = {"cpu": 0.0}
    restore = [_watched(quality, "measure", aside), _watched(pictures, "small", aside)]
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            with Journal(folder / results.JOURNAL, job.journal_key(model), False) as journal:
                with _timed() as spent:
                    work = Work(model, at_a_time, journal, picture_bytes=pictures.most_bytes(len(fields)))
                    outcome = job.count_fields(fields, work)
                with _timed() as written:
                    _write(folder, outcome, fields, model, journal)
    finally:
        for undo in restore:
            undo()
    return {
        "count_s": spent["wall"], "count_cpu_s": spent["cpu"], "written_s": written["wall"], "written_cpu_s": written["cpu"],
        "measured_cpu_s": aside["cpu"],
    }  # fmt: skip


def _write(folder: Path, outcome: Outcome, fields: Sequence[FieldInput], model: Model, journal: Journal) -> None:
    described = results.describe_run(model, {}, outcome.fields, 0.0, 0.0)
    results.write(folder, outcome, described)
    results.write_cells(folder, job.entries(fields, journal))
    page.write(folder / results.REPORT, outcome, job.entries(fields, journal), described)


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    spent: dict[str, float] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    yield spent
    spent.update(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def _watched(module: Any, name: str, into: dict[str, float]) -> Callable[[], None]:
    """Add what a function spends to a sum; gives what takes the watch off again."""
    plain = getattr(module, name)

    def watching(*arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return plain(*arguments)
        finally:
            into["cpu"] += time.thread_time() - began

    setattr(module, name, watching)
    return lambda: setattr(module, name, plain)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.inside", "[OPTION]... FOLDER", command.__doc__)
    made.add_argument("folder", metavar="FOLDER", type=Path, help="folder with fields")
    made.add_argument("--backend", default="auto", help="what runs the model")
    made.add_argument("--repeats", type=Number(int, 1), default=3, help="of each, in alternating order")
    made.add_argument("--threads", type=Number(int, 1), help="fields worked on at a time; default: one more than processors")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
