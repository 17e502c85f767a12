"""What is asked of one stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detector.streams.totals import TARGETS
from detector.vision.cells import CLASSES, RBC, WBC


@dataclass(frozen=True)
class StreamOptions:
    """The options of `detector.stream`, on the command line and from Python alike."""

    source: str = ""
    """Camera, address, video, folder or simulated microscope; see `sources.FORMS`."""
    mode: Literal["fields", "scan"] = "fields"
    """`fields` counts where the stage rests, `scan` while it moves."""
    out: Path | None = None
    """Folder for the results; None makes a new one."""
    model: Path | None = None
    """An .onnx model; None takes the one shipped."""
    um_per_px: float | None = None
    until_enough: bool = False
    """End when red and white cells are known as well as `rbc_within` and `wbc_within` ask for."""
    rbc_within: float = 100 * TARGETS[CLASSES[RBC]]
    """Half of the interval to which red cells are to be known, in percent of their count."""
    wbc_within: float = 100 * TARGETS[CLASSES[WBC]]
    seconds: float | None = None
    """End after so many seconds of the stream."""
    save: Path | None = None
    """A video file of what is seen."""
    show: bool = False
    """Open a window."""
    serve: str | None = None
    """`PORT` or `HOST:PORT` of a page for browsers."""
    finish: Path | None = None
    """Instead of counting a source: folder of a run that was killed, whose results are to be made."""

    @property
    def targets(self) -> Mapping[str, float]:
        """Share to which each class is to be known, by its name."""
        return {CLASSES[RBC]: self.rbc_within / 100, CLASSES[WBC]: self.wbc_within / 100}

    def recorded(self, source: str) -> dict[str, Any]:
        """What `run.json` holds of them; `source` is its name as it may be shown, without passwords."""
        return {
            "source": source,
            "mode": self.mode,
            "um_per_px": self.um_per_px,
            "until_enough": self.until_enough,
            "rbc_within": self.rbc_within,
            "wbc_within": self.wbc_within,
            "seconds": self.seconds,
            "save": self.save and str(self.save),
        }
