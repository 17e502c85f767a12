"""Find and count red cells, white cells and platelets in photographs of blood smears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector.api import Detector
    from detector.errors import SmearcountError
    from detector.vision.detections import Detections, Unread

__all__ = ["Detections", "Detector", "SmearcountError", "Unread"]

_HOMES = {
    "Detections": "detector.vision.detections",
    "Detector": "detector.api",
    "SmearcountError": "detector.errors",
    "Unread": "detector.vision.detections",
}


def __getattr__(name: str) -> Any:
    # Looked up when asked for: a command that needs no model does not wait for one to be imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
