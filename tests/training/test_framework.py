"""The door to Ultralytics leaves the rest of the program as it was."""

from __future__ import annotations

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
