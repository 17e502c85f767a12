"""The folder that a stream leaves: as a count's, and what became of each frame, and a picture of all that was seen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.arguments import called
from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOTHING_DONE, EXIT_SOME_FAILED, UsageError, writing
from detector.output import files, results
from detector.output.report import page
from detector.streams import journal, modes
from detector.streams.journal import Journalled
from detector.streams.live import Ended
from detector.streams.log import FrameLog
from detector.streams.modes import REST_FRAMES, Mode
from detector.streams.options import StreamOptions
from detector.streams.show.display import Display
from detector.streams.survey import FinishedSurvey
from detector.vision import images
from detector.vision.model import Model

_REPORT_PX = 1600
_MOST_PX = 16_000
_QUALITY = 88


@dataclass(frozen=True, eq=False)
class Concluded:
    """A run whose results are written."""

    finished: FinishedSurvey
    described: Mapping[str, Any]
    """As of `describe`."""
    exit_code: int


def of_killed(folder: Path, model_path: Path | None) -> Concluded:
    """Write the results of a run that was killed, from its journal and `frames.csv`.

    Raises:
        OutputError: there is no such run, or something cannot be written.
        UsageError: it counted with another model.
    """
    header, records = journal.read(folder)
    model = Model.load(model_path)
    if model.sha256 != header["model"]:
        raise UsageError(f"--finish {folder}: was counted with another model; name it by --model")
    names = ("mode", "um_per_px", "rbc_within", "wbc_within")
    mode = modes.of(model, StreamOptions(**{name: header["settings"][name] for name in names}))
    mode.restore(records)
    ended = Ended("killed", "the program was killed; its last seconds and its pictures are lost")
    return conclude(folder, model, mode, header, FrameLog(folder, finish=True), ended, None)


def conclude(
    folder: Path, model: Model, mode: Mode, header: Mapping[str, Any], log: FrameLog, ended: Ended, display: Display | None
) -> Concluded:
    """Write the results and remove the journal.

    Args:
        header: the journal's.
        display: None where nothing was displayed.

    Raises:
        OutputError: something cannot be written; the journal stays.
    """
    finished = mode.finish()
    settings = header["settings"]
    run = results.describe_run(model, settings, finished.outcome.fields, header["started"], time.time())
    problem = mode.problem if isinstance(mode, Journalled) else ""
    run["stream"] = describe(finished, ended, log, settings, display, problem)
    write(folder, finished, run)
    with suppress(OSError):
        (folder / results.JOURNAL).unlink()
    return Concluded(finished, run["stream"], exit_code_of(ended, log))


def describe(
    finished: FinishedSurvey, ended: Ended, log: FrameLog, settings: Mapping[str, Any], display: Display | None, problem: str = ""
) -> dict[str, Any]:
    """What stands of the stream in `run.json` and in the report.

    Args:
        settings: as of `StreamOptions.recorded`.
        display: None where nothing was displayed.
        problem: a further one, in a sentence.
    """
    return {
        "source": settings["source"],
        "mode": settings["mode"],
        "ended": asdict(ended),
        "sentence": finished.totals.sentence,
        "enough": finished.totals.enough,
        "area_mm2": finished.totals.area_mm2,
        "area_views": round(finished.totals.area_views, 3),
        "segments": [asdict(segment) for segment in finished.segments],
        "remarks": [*finished.remarks, *nothing_used(log, settings["mode"])],
        "frames": log.summary(),
        "overlay_latency_ms": {} if display is None else display.latency_ms(),
        "problems": [problem for problem in (log.problem, problem, *([] if display is None else display.problems)) if problem],
    }


def nothing_used(log: FrameLog, mode: str) -> list[str]:
    """Why no frame was used, and what would work; empty where one was."""
    if log.used or not log.received:
        return []
    reasons = ", ".join(f"{number} {reason}" for reason, number in (log.dropped + log.rejected).most_common(3))
    remarks = [f"none of {log.received} frames was used: {reasons}"]
    if mode == "fields":
        remarks.append(
            f"mode fields counts a view at which the stage rests for {REST_FRAMES} frames; with a moving stage, use --mode scan; "
            f"photographs of single fields are counted with {called('count')}"
        )
    return remarks


def write(folder: Path, finished: FinishedSurvey, run: Mapping[str, Any]) -> None:
    """Write all files but `frames.csv`, the counts first.

    Raises:
        OutputError: one of them cannot be written; those before it are.
    """
    results.write(folder, finished.outcome, run)
    results.write_cells(folder, finished.entries)
    mosaic = images.shrink(finished.mosaic, min(1.0, _MOST_PX / max(finished.mosaic.shape[:2])))
    with writing(folder / results.MOSAIC, "free space"):
        files.write_bytes(folder / results.MOSAIC, images.as_jpeg(mosaic, _QUALITY))
    small = images.shrink(mosaic, min(1.0, _REPORT_PX / max(mosaic.shape[:2])))
    page.write(folder / results.REPORT, finished.outcome, finished.entries, run, images.as_jpeg(small, _QUALITY))


def exit_code_of(ended: Ended, log: FrameLog) -> int:
    """0 all was counted, 1 something is missing, 3 nothing was counted, 130 interrupted."""
    if ended.why == "interrupted":
        return EXIT_INTERRUPTED
    if not log.used:
        return EXIT_NOTHING_DONE
    missing = ended.why in ("lost", "failed", "killed") or log.faults["ended"] or log.faults["damaged"]
    return EXIT_SOME_FAILED if missing else EXIT_DONE
