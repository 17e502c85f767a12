"""Find and count red cells, white cells and platelets in photographs of blood smears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detector import process

if TYPE_CHECKING:
    from detector.api import Detector
    from detector.counting.fields import FieldCount
    from detector.counting.smears import ClassCount, SmearCount
    from detector.errors import (
        AnnotationError,
        ConfigError,
        DownloadError,
        ImageError,
        ManifestError,
        MissingExtraError,
        ModelError,
        NothingToDoError,
        OutputError,
        SmearcountError,
        SourceError,
        UnknownClassError,
        UsageError,
    )
    from detector.output.outcome import Outcome
    from detector.vision.detections import Detections, Unread

    __version__: str
    """Version of this package as it is installed."""

__all__ = [
    "AnnotationError",
    "ClassCount",
    "ConfigError",
    "Detections",
    "Detector",
    "DownloadError",
    "FieldCount",
    "ImageError",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "NothingToDoError",
    "Outcome",
    "OutputError",
    "SmearCount",
    "SmearcountError",
    "SourceError",
    "UnknownClassError",
    "Unread",
    "UsageError",
    "__version__",
]

process.catch_at_start()

_HOMES = {
    "ClassCount": "detector.counting.smears",
    "Detections": "detector.vision.detections",
    "Detector": "detector.api",
    "FieldCount": "detector.counting.fields",
    "Outcome": "detector.output.outcome",
    "SmearCount": "detector.counting.smears",
    "Unread": "detector.vision.detections",
}
"""Where the public names are defined; those that are not here are errors."""


def __getattr__(name: str) -> Any:
    # Looked up when asked for: a command that needs no model does not wait for one to be imported.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "__version__":
        return import_module("detector.shipped").version()
    return getattr(import_module(_HOMES.get(name, "detector.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
