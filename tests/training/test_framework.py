"""The door to Ultralytics leaves the rest of the program as it was."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from detector.errors import ImageError
from detector.training import framework
from detector.vision import images

pytestmark = pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")


def test_a_file_that_is_no_image_is_told_as_before(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Ultralytics would try to install a package to read it with."""
    framework.prepare(tmp_path / "state")
    (tmp_path / "text.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="is not an image"):
        images.size_of(tmp_path / "text.png")
    assert "pi-heif" not in "".join(capfd.readouterr())


def test_a_file_that_is_no_image_is_told_where_another_program_imported_ultralytics(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    framework.prepare(tmp_path / "state")
    from ultralytics.utils import patches

    # As it is after an import that went by another door.
    monkeypatch.setattr(Image, "open", patches.image_open)
    (tmp_path / "text.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="is not an image"):
        images.size_of(tmp_path / "text.png")
    with pytest.raises(ImageError, match="is not an image"):
        images.read(tmp_path / "text.png")
    assert "pi-heif" not in "".join(capfd.readouterr())


def test_triton_which_is_for_gpus_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, torch; from detector.training import framework; framework.prepare(pathlib.Path(sys.argv[1]));"
        "torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1);"
        "print(torch.cuda.is_available() or not any(name.startswith('triton.') for name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert ended.stdout.split()[-1] == "True"
