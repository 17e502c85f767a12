"""What the count of a stream is asked for: the command line fills it, `run.json` records it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StreamOptions:
    """The options of `detector.stream` by their names; its help says what they are."""

    source: str
    mode: str = "fields"
    um_per_px: float | None = None
    until_enough: bool = False
    rbc_within: float = 5.0
    wbc_within: float = 20.0
    seconds: float | None = None
    save: Path | None = None
    out: Path | None = None
    model: Path | None = None
    show: bool = False
    serve: str | None = None

    def recorded(self, source: str) -> dict[str, Any]:
        """What `run.json` tells, with the name of the source that holds no password."""
        kept = {name: value for name, value in asdict(self).items() if name not in ("out", "model", "show", "serve")}
        return kept | {"source": source, "save": self.save and str(self.save)}
