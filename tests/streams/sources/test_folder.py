"""The pictures of a folder as frames."""

from __future__ import annotations

from pathlib import Path

import cv2
from staging import number_of, picture, taken


def test_frames_of_a_folder_come_in_the_order_of_their_numbers_and_damaged_ones_are_told(tmp_path: Path) -> None:
    for number in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), picture(number)[:, :, ::-1])
    (tmp_path / "f3.png").write_bytes((tmp_path / "f2.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    found, faults = taken(tmp_path)
    assert [number_of(one.rgb) for one in found] == [1, 2, 9, 10]
    assert [one.kind for one in faults] == ["damaged"]
    assert faults[0].reason.startswith("f3.png is ")
