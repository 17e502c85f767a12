"""How fast counting is, and how much memory it needs: each ratio beside the limit that it is held to.

`python -m benchmarks.run --fields BCCD/JPEGImages` takes about a quarter of an hour on two cores; without `--fields` it renders
synthetic ones. Repeats alternate what is compared, so that a computer that slows down slows both, and medians are taken. Stock is
`yolo predict` with the shipped weights at the shipped model's image size, as it comes, which draws and saves every field.
Processor time of all threads stands beside wall time: it suffers less from what else runs on the computer.

Other measurements have programs of their own: benchmarks.parity (counts by all backends), benchmarks.train_speed (training against
`yolo train`).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from benchmarks.machine import described
from benchmarks.processes import Measured, Stock, counting, measure, own_peak_mb
from detector.arguments import Number, Parser
from detector.commandline import console, run
from detector.errors import EXIT_DONE, NothingToDoError, UsageError
from detector.vision import backends
from detector.vision.images import SUFFIXES


@dataclass(frozen=True)
class Ratio:
    """One figure over the repeats, and the limit that it is held to."""

    name: str
    values: tuple[float, ...]
    limit: float | None = None
    at_least: bool = True
    remark: str = ""
    median: float = field(init=False)
    met: bool | None = field(init=False)

    def __post_init__(self) -> None:
        median = statistics.median(self.values)
        object.__setattr__(self, "median", median)
        kept = None if self.limit is None else median >= self.limit if self.at_least else median <= self.limit
        object.__setattr__(self, "met", kept)


@dataclass(frozen=True)
class Setting:
    """What all measurements share."""

    fields: Path
    folder: Path
    repeats: int
    backend: str
    many: tuple[int, ...]

    def options(self) -> tuple[str, ...]:
        """Of `detector.count`."""
        return ("--backend", self.backend)


Runs = dict[str, Any]
Figures = tuple[list[Ratio], Runs]


def stock(setting: Setting) -> Figures:
    """All fields: the whole process against `yolo predict` with the weights."""
    rival = Stock(setting.folder)
    return _against(
        setting, "all fields, stock .pt / ours", 4.0, lambda: rival.predict(setting.fields, rival.weights), setting.fields
    )


def stock_onnx(setting: Setting) -> Figures:
    """The same against `yolo predict` with Ultralytics' own ONNX export."""
    rival = Stock(setting.folder)
    model = rival.exported()
    return _against(setting, "all fields, stock .onnx / ours", 2.5, lambda: rival.predict(setting.fields, model), setting.fields)


def cold(setting: Setting) -> Figures:
    """One field: the whole process against `yolo predict` with the weights."""
    field = _linked(setting, 1)
    rival = Stock(setting.folder)
    return _against(setting, "one field, stock .pt / ours", 5.0, lambda: rival.predict(field, rival.weights), field)


def bare(setting: Setting) -> Figures:
    """Share of the bare model's throughput on the same backend, and the share that reports and measures of quality take.

    The limit is for the bare model as one would time it, a field at a time on all processors. With fields side by side, as the count
    works, the network alone keeps every processor busy, and nothing can be done beside it at no cost.
    """
    inside = _inside(setting, setting.backend)
    runs = inside["runs"]
    alone = tuple(run["alone_s"] / run["count_s"] for run in runs)
    share = tuple(run["bare_s"] / run["count_s"] for run in runs)
    cpu = tuple(run["bare_cpu_s"] / run["count_cpu_s"] for run in runs)
    aside = tuple((run["measured_cpu_s"] + run["written_cpu_s"]) / (run["count_cpu_s"] + run["written_cpu_s"]) for run in runs)
    rate = statistics.median(inside["fields"] / run["count_s"] for run in runs)
    remark = f"{rate:.1f} fields/s, {inside['program']}"
    return [
        Ratio("throughput, ours / bare model, a field at a time", alone, 0.85, remark=remark),
        Ratio("throughput, ours / bare model, fields side by side", share),
        Ratio("processor time, bare model / ours", cpu, None),
        Ratio("report and quality, share of processor time", aside, 0.10, at_least=False),
    ], inside


def memory(setting: Setting) -> Figures:
    """Peak memory against stock, and how it grows with the number of fields."""
    rival = Stock(setting.folder)
    theirs, ours = _in_turn(
        setting.repeats,
        lambda: rival.predict(setting.fields, rival.weights),
        lambda: _count(setting, setting.fields),
    )
    grown = {number: _count(setting, _linked(setting, number)) for number in setting.many}
    ratios = [_ratio("peak memory, ours / stock .pt", ours, theirs, "peak_mb", 0.25, at_least=False)]
    if len(grown) > 1:
        least, most = min(grown), max(grown)
        growth = grown[most].peak_mb / grown[least].peak_mb
        remark = ", ".join(f"{number:,} fields {measured.peak_mb:.0f} MB" for number, measured in grown.items())
        ratios.append(Ratio(f"peak memory, {most:,} / {least:,} fields", (growth,), 1.15, at_least=False, remark=remark))
    all_runs = {
        "stock": _plain(theirs),
        "ours": _plain(ours),
        "many": {str(n): asdict(measured) for n, measured in grown.items()},
    }
    return ratios, all_runs


def each_backend(setting: Setting) -> Figures:
    """Every backend that is there against ONNX Runtime on the processor: the bare model, and the count."""
    measured = {name: _inside(setting, name) for name in backends.available() if name != backends.AUTO}
    ratios = []
    for name, inside in measured.items():
        if name == backends.CPU:
            continue
        for what in ("bare_s", "count_s"):
            pairs = zip(measured[backends.CPU]["runs"], inside["runs"], strict=True)
            values = tuple(base[what] / run[what] for base, run in pairs)
            ratios.append(Ratio(f"{what.removesuffix('_s')}, cpu / {name}", values, remark=inside["program"]))
    return ratios, measured


KINDS: dict[str, Callable[[Setting], Figures]] = {
    "stock": stock, "stock_onnx": stock_onnx, "bare": bare, "cold": cold, "memory": memory, "backends": each_backend,
}  # fmt: skip


def command(
    *, fields: Path | None, only: Sequence[str], repeats: int, backend: str, many: Sequence[int], synthetic: int, out: Path
) -> int:
    """Measure how fast fields are counted, against stock Ultralytics and against the bare model, and how much memory it needs."""
    unknown = set(only) - set(KINDS)
    if unknown:
        raise UsageError(f"--only {', '.join(sorted(unknown))} is not known; known: {', '.join(KINDS)}")
    if fields is not None and not fields.is_dir():
        raise UsageError(f"--fields {fields}: is not a folder")
    backends.check(backend)
    machine = described()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        used = fields.resolve() if fields else _synthetic(folder, synthetic)
        setting = Setting(used, folder, repeats, backend, tuple(many or (1_000, 10_000)))
        console.print(
            f"{len(_images(used))} fields of {fields or 'synthetic smears'}; {machine['processors']} x {machine['processor']}"
        )
        for name in only or KINDS:
            load = os.getloadavg()[0]
            ratios, runs = KINDS[name](setting)
            results[name] = {"load_before": load, "ratios": [asdict(ratio) for ratio in ratios], "runs": runs}
            _show(ratios)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "fields": str(fields or f"{synthetic} synthetic"), "repeats": repeats, "measured": results}
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {out}", markup=False)
    return EXIT_DONE


def _against(setting: Setting, name: str, limit: float, rival: Callable[[], Measured], fields: Path) -> Figures:
    theirs, ours = _in_turn(setting.repeats, rival, lambda: _count(setting, fields))
    seconds = " s and ".join(f"{statistics.median(run.wall_s for run in runs):.2f}" for runs in (theirs, ours)) + " s"
    ratios = [
        _ratio(name, theirs, ours, "wall_s", limit, remark=seconds),
        _ratio("  processor time", theirs, ours, "cpu_s", None),
    ]
    return ratios, {"stock": _plain(theirs), "ours": _plain(ours)}


def _in_turn(repeats: int, *kinds: Callable[[], Measured]) -> list[list[Measured]]:
    """Each kind so many times, in alternating order."""
    done: list[list[Measured]] = [[] for _ in kinds]
    for repeat in range(repeats):
        for i in range(len(kinds)) if repeat % 2 == 0 else reversed(range(len(kinds))):
            done[i].append(kinds[i]())
    if own_peak_mb() > min(measured.peak_mb for kind in done for measured in kind):
        raise NothingToDoError("this process holds more memory than what it measures, which hides their peak")
    return done


def _ratio(
    name: str,
    above: Sequence[Measured],
    below: Sequence[Measured],
    what: str,
    limit: float | None,
    at_least: bool = True,
    remark: str = "",
) -> Ratio:
    values = tuple(getattr(a, what) / getattr(b, what) for a, b in zip(above, below, strict=True))
    return Ratio(name, values, limit, at_least, remark)


def _count(setting: Setting, fields: Path) -> Measured:
    return measure(counting(fields, setting.folder / "counted", *setting.options()), setting.folder)


def _inside(setting: Setting, backend: str) -> dict[str, Any]:
    inside = [
        sys.executable,
        "-m",
        "benchmarks.inside",
        str(setting.fields),
        "--backend",
        backend,
        "--repeats",
        str(setting.repeats),
    ]
    measure(inside, setting.folder, {"PYTHONPATH": str(Path(__file__).parents[1])})
    measured: dict[str, Any] = json.loads((setting.folder / "said.txt").read_text(encoding="utf-8").splitlines()[-1])
    return measured


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _linked(setting: Setting, number: int) -> Path:
    """A folder with so many fields, which are links to those there are."""
    folder = setting.folder / f"fields_{number}"
    if not folder.exists():
        folder.mkdir()
        images = _images(setting.fields)
        for i in range(number):
            (folder / f"{i:06d}{images[i % len(images)].suffix}").symlink_to(images[i % len(images)])
    return folder


def _synthetic(folder: Path, fields: int) -> Path:
    render = [sys.executable, "-m", "detector.synth", "--out", "smears", "--fields", str(fields), "--stain", "mixed"]
    measure(render, folder)
    return folder / "smears" / "smear_a"


def _plain(measured: Sequence[Measured]) -> list[dict[str, float]]:
    return [asdict(measurement) for measurement in measured]


def _show(ratios: Sequence[Ratio]) -> None:
    table = Table("", "median", "least to most", "limit", "", box=box.SIMPLE_HEAD, show_header=False)
    for ratio in ratios:
        limit = (
            "" if ratio.limit is None else f"{'≥' if ratio.at_least else '≤'} {ratio.limit:g} {'met' if ratio.met else 'MISSED'}"
        )
        table.add_row(
            ratio.name, f"{ratio.median:.3g}", f"{min(ratio.values):.3g} to {max(ratio.values):.3g}", limit, ratio.remark
        )
    console.print(table)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.run", "[OPTION]...", command.__doc__)
    made.add_argument("--fields", type=Path, help="folder with fields; default: synthetic ones")
    made.add_argument("--only", action="append", default=[], help=f"measure these alone: {', '.join(KINDS)}")
    made.add_argument("--repeats", type=Number(int, 1), default=3, help="of each comparison, in alternating order")
    made.add_argument("--backend", default=backends.AUTO, help="of our count")
    made.add_argument(
        "--many", type=Number(int, 1), action="append", default=[], help="numbers of fields whose peak memory is compared"
    )
    made.add_argument("--synthetic", type=Number(int, 1), default=100, help="fields to render where none are given")
    made.add_argument("--out", type=Path, default=Path("runs/benchmarks/run.json"), help="JSON file for the figures")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
