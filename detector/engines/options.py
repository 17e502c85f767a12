"""What a count is asked for: the command line fills it, `Detector.count` uses it, `run.json` records it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.vision import backends
from detector.vision.tiles import TILE_PX

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class CountOptions:
    """The options of `detector.count` by their names."""

    inputs: Sequence[str]
    """Images, slides, folders (each subfolder is a smear) and patterns."""
    manifest: Path | None = None
    """CSV or .xlsx file with the columns `field,smear[,um_per_px][,rbc_per_ul]`."""
    um_per_px: float | None = None
    """Micrometres per pixel of fields for which the manifest gives none."""
    rbc_per_ul: float | None = None
    """Red cells per µL from an analyser, of smears for which the manifest gives none."""
    ul_factor: float | None = None
    """A laboratory's own factor from cells per mm² to cells per µL, in mm² per µL."""
    truth: Path | None = None
    """Labels, or a CSV or .xlsx file of manual counts, to compare with."""
    backend: str = backends.AUTO
    threads: int | None = None
    """Fields, or tiles of a large one, that are worked on at a time; None is one more than there are processors."""
    tile_px: int = TILE_PX
    """Side of a slide's tiles in the model's own pixels."""
    engine: str = "local"
    """What works through the fields, one of `ENGINES`."""
    ray_address: str | None = None
    """`host:port` of a cluster of Ray; None is one on this computer."""
    model: Path | None = None
    """None is the one shipped."""
    out: Path | None = None
    """Folder for the results; None makes a new one."""
    overlays: bool = False
    pdf: bool = False
    """Write the report as a PDF too."""
    shapes: bool = False
    """Shares of red cell shapes, by a second model."""
    export: Sequence[str] = ()
    """Formats for other tools, by their names in `output.exchange.FORMATS`."""
    resume: bool = False
    json: bool = False
    """Print one JSON document, and all words on standard error."""
    quiet: bool = False
    """Print nothing but what went wrong."""

    def recorded(self) -> dict[str, Any]:
        """What decides the results, as JSON takes it; `run.json` describes the model apart."""
        names = (*_RECORDED, *["shapes"] * self.shapes)
        return {name: str(value) if isinstance(value := getattr(self, name), Path) else value for name in names}


_RECORDED = ("inputs", "manifest", "um_per_px", "rbc_per_ul", "ul_factor", "truth", "backend", "threads", "tile_px", "engine")
