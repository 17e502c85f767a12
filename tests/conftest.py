"""What tests of several wings share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from detector.vision.model import Model

# How long an example takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "datasets" / "samples"


@pytest.fixture(scope="session")
def model() -> Model:
    """The shipped model, on one thread."""
    return Model.load()


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A folder of two smears with two fields each, copied from the samples."""
    folder = tmp_path / "fields"
    for smear in ("smear_a", "smear_b"):
        (folder / smear).mkdir(parents=True)
        for field in sorted((SAMPLES / smear).glob("*.jpg"))[:2]:
            shutil.copy(field, folder / smear)
    return folder


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run a command's `main` with arguments in an empty folder, as a shell would, and give its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(main: Callable[[], None], *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call
