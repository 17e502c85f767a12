"""The computer and the versions that figures were measured with."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from detector.vision.model import processors

PACKAGES = ("smearcount", "onnxruntime", "openvino", "opencv-python-headless", "pillow", "numpy", "ultralytics", "torch")


def described() -> dict[str, Any]:
    """Processor, system and versions; None for a package that is not installed."""
    return {
        "processor": _processor(),
        "processors": processors(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names: Iterator[str] = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
