"""The report of an evaluation as one HTML file that asks nothing of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.accuracy.plots import style
from detector.accuracy.report.content import Page
from detector.accuracy.report.drawn import Plots
from detector.output import html

MOST_NAMED = 300
"""Fields named in a list of those with a fault."""

_MOST_OPEN = 20
"""A longer list is folded."""
_TEMPLATES = Path(__file__).parent / "templates"


def render(page: Page, plots: Plots) -> str:
    """The page as HTML."""
    return html.render(
        _TEMPLATES,
        page=page,
        about=page.about,
        lists=[one for one in page.lists if one.names],
        settings=_settings(page.about),
        plots=plots,
        colours=style.OF_CLASS,
        most_named=MOST_NAMED,
        most_open=_MOST_OPEN,
    )


def _settings(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was compared, as names and values; what does not apply is left out."""
    rows = [(name, about[name]) for name in ("data", "split", "smears", "also", "counts", "truth") if about.get(name)]
    rows += [row for title, key in (("model", "model"), ("other model", "other")) for row in _of(title, about.get(key))]
    return [*rows, ("versions", ", ".join(f"{name} {value}" for name, value in about["versions"].items()))]


def _of(title: str, of: Mapping[str, Any] | str | None) -> list[tuple[str, str]]:
    if of is None:
        return []
    if isinstance(of, str):
        return [("other counts", of)]
    return [
        (title, f"{of['name']} ({of['file']})"),
        ("SHA-256", of["sha256"]),
        ("thresholds", ", ".join(f"{name} {value:g}" for name, value in of["thresholds"].items())),
        ("overlap suppressed", f"IoU above {of['nms_iou']:g}"),
        ("model input", f"{of['image_px']} px"),
    ]
