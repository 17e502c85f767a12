"""A folder of results for tests of exchange."""

from __future__ import annotations

from pathlib import Path

import pytest
from madeup import BARE, HARMFUL, PLAIN, TURNED, UPWARDS, Made, detections, save_picture, write_run

from detector.counting.result import FieldResult
from detector.vision.detections import Unread


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A plain field, one that EXIF turns, one without cells, one whose name is code, one above the folder, and one that was not read."""
    pictures = tmp_path / "pictures"
    for seed, name in enumerate((PLAIN, BARE, HARMFUL)):
        save_picture(pictures / name, seed)
    save_picture(pictures / TURNED, 9, orientation=6)
    names = {PLAIN: detections(), TURNED: detections(), BARE: detections(()), HARMFUL: detections(), UPWARDS: detections()}
    results = [FieldResult(name, "=smear()", None, cells) for name, cells in names.items()]
    lost = FieldResult("smear_a/lost.jpg", "=smear()", None, Unread("lost.jpg", "is empty"))
    write_run(tmp_path / "run", [*results, lost], [str(pictures)])
    return Made(tmp_path / "run", pictures)
