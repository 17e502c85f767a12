"""The order of the wings, the confinement of torch, and the public names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import detector

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these() -> None:
    assert detector.__all__ == ["Detections", "Detector", "SmearcountError", "Unread"]
    for name in detector.__all__:
        assert getattr(detector, name).__name__ == name
    with pytest.raises(AttributeError, match="Detektor"):
        detector.Detektor  # noqa: B018


def test_wings_import_downwards_and_torch_stays_in_training() -> None:
    importlinter = pytest.importorskip("importlinter.cli", reason="needs the dev extra: pip install -e '.[dev]'")
    assert importlinter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize(
    "module",
    ["detector", "detector.api", "detector.count", "detector.convert", "detector.evaluate", "detector.stream", "detector.synth"],
)
def test_counting_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; print({{'torch', 'ultralytics', 'albumentations'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_commands_are_short() -> None:
    for path in (ROOT / "detector").glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 150, path
