"""Boxes of cells that a random crop cuts."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from detector.training import augment, disturb, framework
from detector.vision.cells import PLATELETS, RBC

SIZE = (200, 160)


def _drawn(box: np.ndarray) -> np.ndarray:
    """The same box from the pixels of a drawn ellipse, fine enough to be exact to a twentieth of a pixel."""
    w, h = SIZE
    fine = 20
    x, y = (np.arange(0, n * fine) / fine + 0.5 / fine for n in (w, h))
    (x1, y1, x2, y2) = box
    inside = ((x[None] - (x1 + x2) / 2) / ((x2 - x1) / 2)) ** 2 + ((y[:, None] - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2 <= 1
    xs, ys = x[inside.any(axis=0)], y[inside.any(axis=1)]
    return np.array([xs[0], ys[0], xs[-1], ys[-1]])


@pytest.mark.parametrize(
    "box",
    [(50, 40, 90, 100), (-30, 40, 10, 90), (-10, 40, 30, 90), (180, 40, 240, 90), (60, -35, 110, 15), (60, 150, 110, 190)],
)
def test_a_cut_ellipse_has_the_box_of_what_is_left(box: tuple[float, ...]) -> None:
    got = augment.visible(np.array([box], dtype=np.float32), SIZE)[0]
    assert got == pytest.approx(_drawn(np.array(box)), abs=0.3)


def test_a_cell_outside_has_no_box() -> None:
    got = augment.visible(np.array([[-50, 10, -10, 50], [210, 10, 250, 50]], dtype=np.float32), SIZE)
    assert ((got[:, 2:] - got[:, :2]).min(axis=1) <= 0).all()


def test_ultralytics_crops_follow_the_rule_of_the_border(tmp_path: Path) -> None:
    if find_spec("ultralytics") is None:
        pytest.skip("needs the train extra: pip install -e '.[train]'")
    framework.prepare(tmp_path)
    from ultralytics.data import augment as theirs
    from ultralytics.utils.instance import Instances

    original = theirs.RandomPerspective
    # A shift of 40 px to the left leaves 30, 8 and 8 px of three cells 40 px wide, the last of them a platelet.
    xyxy = np.array([[30, 50, 70, 90], [8, 100, 48, 140], [8, 20, 48, 60], [100, 20, 140, 60]], dtype=np.float32)
    label = np.array([RBC, RBC, PLATELETS, RBC], dtype=np.float32).reshape(-1, 1)
    nothing = disturb.Disturbance(None, 0.1, None)
    shift = np.array([[1, 0, -41], [0, 1, 0], [0, 0, 1.0]])
    params = {"M": shift, "scale": 1.0, "orig_shape": (160, 200), "size": SIZE, "disturbance": nothing}
    with augment.cut_like_the_border():
        crop = theirs.RandomPerspective()
        instances = Instances(xyxy.copy(), np.zeros((0, 1000, 2), np.float32), bbox_format="xyxy", normalized=False)
        labels = crop.apply_instances({"cls": label, "instances": instances}, params)
    assert theirs.RandomPerspective is original
    # Processes that load data on Windows and macOS are handed a copy.
    assert type(pickle.loads(pickle.dumps(crop))) is type(crop)
    assert labels["cls"].reshape(-1).tolist() == [RBC, PLATELETS, RBC]
    assert labels["instances"].bboxes[0] == pytest.approx([0, 50, 29, 90])
    height = labels["instances"].bboxes[1, 3] - labels["instances"].bboxes[1, 1]
    assert height == pytest.approx(2 * np.sqrt(20**2 - 13**2), abs=0.01)
