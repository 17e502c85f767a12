"""What became of each frame: `frames.csv`, added to as the stream runs, and sums of it."""

from __future__ import annotations

import csv
import io
import os
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from detector.output import files
from detector.output.results import STREAM_LOG
from detector.streams.capture import Gap, Passed
from detector.streams.sources.source import Fault
from detector.streams.survey import Verdict

COLUMNS = ("index", "time_s", "status", "reason", "focus", "dx_px", "dy_px", "segment", "cells", "new_cells", "latency_ms")
"""Of each row. `status` is `used`, `dropped` or `rejected` for a frame; `fault` and `gap` are no frames and have no index."""

_SYNC_EVERY_S = 2.0
_MOST_TOLD = 200
_MOST_LATENCIES = 100_000


class FrameLog:
    """An open `frames.csv`; as a context manager it is closed, and made durable, however the block ends.

    Where it cannot be written any more, that is told by `problem`, and the sums go on.
    """

    def __init__(self, folder: Path, finish: bool = False) -> None:
        """Begin a log.

        Args:
            finish: take up the sums of the log that stands there instead, of a run that was killed.
        """
        self.used = 0
        self.dropped: Counter[str] = Counter()
        """Frames that nobody looked at, by reason."""
        self.rejected: Counter[str] = Counter()
        """Frames that were looked at and not used, by reason."""
        self.faults: Counter[str] = Counter()
        """Faults by kind."""
        self.incidents: list[dict[str, Any]] = []
        """The first faults and gaps, for `run.json`."""
        self.problem = ""
        self._latencies_ms: list[float] = []
        # Without a buffer, so that nothing is left in it where the disk is full or the power fails.
        self._file: io.FileIO | None = None
        self._synced = time.monotonic()
        if finish:
            self._take_up(folder / STREAM_LOG)
            return
        try:
            self._file = io.FileIO(folder / STREAM_LOG, "x")
        except OSError as error:
            self._failed(error)
        self._write(*COLUMNS)

    def __enter__(self) -> FrameLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as failure:
            self._failed(failure)

    @property
    def received(self) -> int:
        """Frames that came: used, dropped and rejected together."""
        return self.used + self.dropped.total() + self.rejected.total()

    def verdict(self, time_s: float, verdict: Verdict, latency_ms: float) -> None:
        """Write down a frame that was looked at; `latency_ms` is the time from its arrival to the verdict."""
        if verdict.status == "used":
            self.used += 1
        else:
            self.rejected[verdict.reason] += 1
        if len(self._latencies_ms) == _MOST_LATENCIES:
            del self._latencies_ms[::2]
        self._latencies_ms.append(latency_ms)
        dx, dy = verdict.shift_px or (None, None)
        new = int(np.count_nonzero(verdict.new))
        self._write(verdict.index, time_s, verdict.status, verdict.reason, verdict.focus, dx, dy, verdict.segment,
                  len(verdict.cells), new, latency_ms)  # fmt: skip

    def failure(self, index: int, time_s: float, reason: str) -> None:
        """Write down a frame that could not be looked at."""
        self.rejected[reason] += 1
        self._write(index, time_s, "rejected", reason)

    def passed(self, passed: Passed) -> None:
        """Write down a frame that nobody looked at."""
        (self.dropped if passed.dropped else self.rejected)[passed.reason] += 1
        self._write(passed.index, passed.time_s, "dropped" if passed.dropped else "rejected", passed.reason)

    def fault(self, fault: Fault) -> None:
        """Write down what went wrong between two frames."""
        self.faults[fault.kind] += 1
        self._note(fault.time_s, fault.kind, fault.reason)
        self._write(None, fault.time_s, "fault", f"{fault.kind}: {fault.reason}")

    def gap(self, gap: Gap) -> None:
        """Write down a time without frames."""
        reason = f"no picture for {gap.length_s:.1f} s" + f", connected again {gap.tries} times" * bool(gap.tries)
        self._note(gap.time_s, "gap", reason)
        self._write(None, gap.time_s, "gap", reason)

    def summary(self) -> dict[str, Any]:
        """The sums, for `run.json`."""
        return {
            "received": self.received,
            "used": self.used,
            "dropped": self.dropped.total(),
            "rejected": self.rejected.total(),
            "reasons": dict(self.dropped + self.rejected),
            "faults": dict(self.faults),
            "incidents": self.incidents,
            "latency_ms": self.latency_ms(),
        }

    def latency_ms(self) -> dict[str, float]:
        """Median and 95th percentile of the time from a frame's arrival to its verdict; empty before the first."""
        if not self._latencies_ms:
            return {}
        p50, p95 = np.percentile(self._latencies_ms, [50, 95])
        return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}

    def _take_up(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            self.problem = f"{STREAM_LOG}: cannot be read ({error.strerror}); what became of each frame is not known"
            return
        # The last row may be torn.
        for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
            status, reason = row["status"], row["reason"] or ""
            self.used += status == "used"
            if status in ("dropped", "rejected"):
                (self.dropped if status == "dropped" else self.rejected)[reason] += 1
            elif status == "fault":
                kind, _, reason = reason.partition(": ")
                self.faults[kind] += 1
                self._note(float(row["time_s"]), kind, reason)
            elif status == "gap":
                self._note(float(row["time_s"]), status, reason)

    def _note(self, time_s: float, kind: str, reason: str) -> None:
        if len(self.incidents) < _MOST_TOLD:
            self.incidents.append({"time_s": round(time_s, 3), "kind": kind, "reason": reason})

    def _write(self, *values: object) -> None:
        if self._file is None:
            return
        line = io.StringIO()
        entries = [files.as_entry(value) for value in values]
        csv.writer(line, lineterminator="\n").writerow([*entries, *[""] * (len(COLUMNS) - len(entries))])
        try:
            self._file.write(line.getvalue().encode("utf-8", "backslashreplace"))
            if time.monotonic() - self._synced > _SYNC_EVERY_S:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.problem = f"{STREAM_LOG}: cannot be written any more ({error.strerror}); the count goes on"
        if self._file is not None:
            self._file.close()
            self._file = None
