"""Counts and streams that are killed at random moments, continued, and compared with those that nothing disturbed.

    python -m benchmarks.crashes [--rounds 100] [--only fields,slides,streams] [--seed 1]

In each round `kill -9` comes one to three times, at random moments of a run that lasts as long as an undisturbed one. Then `--resume`
brings a count to its end, and `--finish` makes the results of a stream. Compared are the bytes of all results but times. Of a count, no
field and no tile may stand in the journal twice: what was written down is not counted again, and nothing is missing. A stream that was
killed must have the results of an undisturbed one that ended at the last frame of its journal, which is written every 0.3 s here.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import tifffile

from benchmarks import machine, markdown
from detector import process, shipped
from detector.arguments import Number, Parser
from detector.commandline import run
from detector.errors import EXIT_DONE, EXIT_NOTHING_DONE, EXIT_SOME_FAILED, NothingToDoError, UsageError
from detector.output import results
from detector.streams import journal, modes
from detector.streams.modes import FieldsMode, ScanMode
from detector.streams.options import StreamOptions
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Frame
from detector.synthetic import layout, render, stain
from detector.vision.model import Model

FIELDS, SLIDES, STREAMS = "fields", "slides", "streams"
KINDS = (FIELDS, SLIDES, STREAMS)
MOST_KILLS = 3
SLIDE_TILE_PX = 448
SCALE = 0.12
"""Of the streams, in micrometres per pixel."""
_VIEW = "width=256&height=192&rows=2&columns=3"
STREAM_OF = {"fields": f"fake:fields?{_VIEW}&speed=48&rest=8", "scan": f"fake:serpentine?{_VIEW}&speed=10"}
"""A simulated microscope for each mode."""
_TABLES = (results.COUNTS, results.SMEARS, "detections.json")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+:\d]*|\(\d+\.?\d* s\)")
_COUNT = (sys.executable, "-m", "detector.count")
_OFTEN = "from detector.streams import journal; journal._EVERY_S = 0.3; from detector import stream; stream.main()"
_STREAM = (sys.executable, "-c", _OFTEN)


@dataclass
class Outcomes:
    """What came of the rounds of one kind."""

    rounds: int = 0
    kills: int = 0
    began: int = 0
    """Kills before anything was written."""
    midst: int = 0
    """Kills while things were counted."""
    late: int = 0
    """Kills while results were written, or after that."""
    faults: list[str] = field(default_factory=list)
    """What differed, a line each."""

    def row(self, kind: str) -> list[str]:
        """Of the table."""
        return [kind, *map(str, (self.rounds, self.kills, self.began, self.midst, self.late, len(self.faults)))]


def report(*, rounds: int, only: str, seed: int) -> int:
    """Kill counts and streams at random moments, and compare what is made of them with undisturbed ones.

    Ctrl-C ends it after the present round, with the table of those that were made.
    """
    kinds = only.split(",")
    if not set(kinds) <= set(KINDS):
        raise UsageError(f"--only {only}: must be of {', '.join(KINDS)}")
    rows, faults = [], []
    with tempfile.TemporaryDirectory() as folder, process.answering("wait"):
        for kind in kinds:
            outcomes = of_kind(kind, Path(folder) / kind, rounds, random.Random(seed))
            rows.append(outcomes.row(kind))
            faults += [f"{kind}: {fault}" for fault in outcomes.faults]
    head = ("input", "rounds", "kills", "before anything was written", "while counting", "while or after writing", "differing")
    print(markdown.table(f"Killed at random moments, seed {seed}", head, rows))
    print("\n".join([*faults, f"machine: {machine.described()}"]))
    return EXIT_SOME_FAILED if faults else EXIT_DONE


def of_kind(kind: str, folder: Path, rounds: int, rng: random.Random) -> Outcomes:
    """Rounds with inputs of one kind, in a folder of their own."""
    folder.mkdir(parents=True)
    if kind == STREAMS:
        return _streams(folder, rounds, rng)
    arguments = {FIELDS: _fields, SLIDES: _slides}[kind](folder / "inputs")
    return _counts(folder, arguments, rounds, rng)


def _fields(folder: Path) -> list[str]:
    """Sixteen fields of two smears, and two that cannot be read; gives the arguments of their count."""
    for smear in range(2):
        (folder / f"smear_{smear}").mkdir(parents=True)
        for number, sample in enumerate(sorted(shipped.samples().glob("*/*.jpg"))):
            shutil.copy(sample, folder / f"smear_{smear}" / f"field_{number}.jpg")
    whole = (folder / "smear_0" / "field_0.jpg").read_bytes()
    (folder / "smear_0" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "smear_1" / "text.png").write_text("no picture", encoding="utf-8")
    return [str(folder), "--overlays"]


def _slides(folder: Path) -> list[str]:
    """Two slides as Aperio's scanners write them, in a few tiles each; gives the arguments of their count."""
    folder.mkdir(parents=True)
    for number in range(2):
        w, h = 1100, 800
        rgb = render.window(layout.plan((w, h), stain.preset("bccd"), number), 0, 0, w, h).image
        text = f"Aperio Image Library v12.0.15\r\n{w}x{h} [0,0 {w}x{h}] (240x240) JPEG/RGB Q=70|AppMag = 100|MPP = 0.0750"
        tiled = {
            "photometric": "rgb",
            "tile": (240, 240),
            "compression": "jpeg",
            "compressionargs": {"level": 92},
            "metadata": None,
        }
        with tifffile.TiffWriter(folder / f"slide_{number}.svs") as file:
            file.write(rgb, description=text, **tiled)
            small = np.asarray(cv2.resize(rgb, (w // 4, h // 4), interpolation=cv2.INTER_AREA))
            file.write(small, description=text, **tiled)
    return [str(folder), "--tile-px", str(SLIDE_TILE_PX)]


def _counts(folder: Path, arguments: Sequence[str], rounds: int, rng: random.Random) -> Outcomes:
    command = [*_COUNT, *arguments, "--quiet", "--threads", "2", "--out"]
    took_s = _finished([*command, str(folder / "whole")], folder)
    expected = contents(folder / "whole")
    entries = set(noted(folder / "whole"))
    outcomes = Outcomes()
    for number in range(rounds):
        if process.asked():
            break
        outcomes.rounds += 1
        out = folder / f"round_{number}"
        for _ in range(rng.randint(1, MOST_KILLS)):
            killed_after(_continued(command, out), folder, rng.uniform(0, took_s))
            _note(outcomes, out)
        _finished(_continued(command, out), folder)
        made, lines = contents(out), noted(out)
        different = sorted(name for name in {*made, *expected} if made.get(name) != expected.get(name))
        # What cannot be read is tried again each time.
        twice = [entry for entry, times in lines.items() if times > 1 and not entry.startswith("unread")]
        if different or twice or set(lines) != entries:
            outcomes.faults.append(
                f"round {number}: differ: {different}; twice: {twice}; missing: {sorted(entries - set(lines))}"
            )
        shutil.rmtree(out)
    return outcomes


def _continued(command: Sequence[str], out: Path) -> list[str]:
    """The command that a user gives after a crash."""
    begun = (out / results.JOURNAL).exists()
    return [*command, str(out), *(["--resume"] if begun else [])]


def _note(outcomes: Outcomes, out: Path) -> None:
    outcomes.kills += 1
    if not (out / results.JOURNAL).exists():
        outcomes.began += 1
    elif any((out / name).exists() for name in (results.COUNTS, results.RUN)):
        outcomes.late += 1
    else:
        outcomes.midst += 1


def noted(out: Path) -> Counter[str]:
    """How often each field and tile stands in the journal of a count."""
    lines = [json.loads(line) for line in (out / results.JOURNAL).read_bytes().splitlines()[1:]]
    return Counter(
        f"{line['tile_of']}, tile {line['number']}" if "tile_of" in line else ("unread " * ("unread" in line)) + line["field"]
        for line in lines
    )


def contents(out: Path) -> dict[str, bytes]:
    """The bytes of all results but the journal, without times, by their names."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    files.pop(results.JOURNAL, None)
    run_json = json.loads(files[results.RUN])
    files[results.RUN] = json.dumps(
        {key: value for key, value in run_json.items() if key not in ("started", "finished", "seconds")}
    ).encode()
    files[results.REPORT] = _TIME.sub("", files[results.REPORT].decode()).encode()
    return files


def _finished(command: Sequence[str], folder: Path, codes: Sequence[int] = (EXIT_DONE, EXIT_SOME_FAILED)) -> float:
    """Run a command to its end; gives how long it took, in seconds."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603
    if done.returncode not in codes or "Traceback" in done.stderr:
        raise NothingToDoError(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr[-1500:]}")
    return time.monotonic() - began


def killed_after(command: Sequence[str], folder: Path, wait_s: float) -> None:
    """Start a command and kill it after that time, unless it has ended."""
    started = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        started.wait(wait_s)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _streams(folder: Path, rounds: int, rng: random.Random) -> Outcomes:
    outcomes = Outcomes()
    for mode, times in (("fields", rounds // 2), ("scan", rounds - rounds // 2)):
        command = [*_STREAM, STREAM_OF[mode], "--mode", mode, "--um-per-px", str(SCALE), "--out"]
        took_s = _finished([*command, str(folder / mode)], folder)
        killed: dict[int, list[dict[str, bytes]]] = {}
        for number in range(times):
            if process.asked():
                break
            outcomes.rounds += 1
            out = folder / f"{mode}_{number}"
            killed_after([*command, str(out)], folder, rng.uniform(0.2, 1) * took_s)
            frames = _of_killed(out, rng, outcomes)
            if frames is not None:
                killed.setdefault(frames, []).append({name: (out / name).read_bytes() for name in _TABLES})
        for frames, expected in _undisturbed(mode, set(killed)):
            names = [name for made in killed[frames] for name in _TABLES if made[name] != expected[name]]
            outcomes.faults += [f"{mode}, {frames} frames: {name} differs" for name in names]
    return outcomes


def _of_killed(out: Path, rng: random.Random, outcomes: Outcomes) -> int | None:
    """Make the results of a stream that was killed; gives the frames that its journal knows of, or None where it had none yet."""
    _note(outcomes, out)
    path = out / results.JOURNAL
    if not path.exists() or not path.read_bytes().endswith(b"\n"):
        return None
    frames = [record["received"] for record in journal.read(out)[1]][-1:] or [0]
    finish = [*_STREAM, "--finish", str(out)]
    if rng.random() < 0.5:
        # What makes its results is killed too.
        killed_after(finish, out.parent, rng.uniform(0, 2))
        _note(outcomes, out)
    if path.exists():
        _finished(finish, out.parent, (EXIT_DONE, EXIT_SOME_FAILED, EXIT_NOTHING_DONE))
    return frames[0]


def _undisturbed(mode: str, at: set[int]) -> Iterator[tuple[int, dict[str, bytes]]]:
    """The tables of a stream that ended after each of these numbers of frames."""
    made = modes.of(Model.load(), StreamOptions(mode=mode, um_per_px=SCALE))
    assert isinstance(made, FieldsMode | ScanMode)
    with tempfile.TemporaryDirectory() as folder:
        for frames, frame in enumerate([None, *SimulatedCamera(STREAM_OF[mode])]):
            if isinstance(frame, Frame):
                made.take(frame)
            if frames in at:
                # Not `Mode.finish`, which may search a view that waits: the stream goes on here.
                finished = made._survey.finish()
                results.write(Path(folder), finished.outcome, {})
                results.write_cells(Path(folder), finished.entries)
                yield frames, {name: (Path(folder) / name).read_bytes() for name in _TABLES}


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.crashes", "[OPTION]...", report.__doc__)
    made.add_argument("--rounds", type=Number(int, 1), default=100, help="of each kind of input")
    made.add_argument("--only", default=",".join(KINDS), help=f"kinds of input, of {', '.join(KINDS)}")
    made.add_argument("--seed", type=Number(int, 0), default=1, help="of the random moments")
    return made


if __name__ == "__main__":
    run(report, parser())
