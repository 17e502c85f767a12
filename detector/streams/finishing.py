"""The folder that a stream leaves: as a count's, and what became of each frame, and a picture of all that was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOTHING_DONE, EXIT_SOME_FAILED, writing
from detector.output import files, results
from detector.output.report import page
from detector.streams.live import Ended
from detector.streams.log import FrameLog
from detector.streams.show.display import Display
from detector.streams.survey import Finished
from detector.vision import images

_REPORT_PX = 1600
_MOST_PX = 16_000
_QUALITY = 88


def describe(finished: Finished, ended: Ended, log: FrameLog, display: Display, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What stands of the stream in `run.json` and in the report; `settings` as of `StreamOptions.recorded`."""
    return {
        "source": settings["source"],
        "mode": settings["mode"],
        "ended": asdict(ended),
        "sentence": finished.totals.sentence,
        "enough": finished.totals.enough,
        "area_mm2": finished.totals.area_mm2,
        "area_views": round(finished.totals.area_views, 3),
        "segments": [asdict(segment) for segment in finished.segments],
        "remarks": list(finished.remarks),
        "frames": log.summary(),
        "overlay_latency_ms": display.latency_ms(),
        "problems": [problem for problem in (log.problem, *display.problems) if problem],
    }


def write(folder: Path, finished: Finished, run: Mapping[str, Any]) -> None:
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
    missing = ended.why in ("lost", "failed") or log.faults["ended"] or log.faults["damaged"]
    return EXIT_SOME_FAILED if missing else EXIT_DONE
