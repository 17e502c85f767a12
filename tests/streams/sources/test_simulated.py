"""A camera on the simulated microscope: what it shows, and that it knows what is in view."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from detector.errors import UsageError
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Fault, Frame
from detector.synthetic.microscope import Smear
from detector.vision.model import Model

SMALL = "width=160&height=120&um_per_px=0.3&columns=2&rows=2&speed=20&rest=2"


def frames(fake: SimulatedCamera) -> list[Frame]:
    return [item for item in fake if isinstance(item, Frame)]


def test_the_same_address_gives_the_same_pictures_and_another_seed_others() -> None:
    first, again, other = (frames(SimulatedCamera(f"fake:pan?{SMALL}&seed={seed}")) for seed in (1, 1, 2))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].rgb, other[0].rgb)
    assert not first[0].rgb.flags.writeable


def test_cells_lie_where_the_truth_says() -> None:
    fake = SimulatedCamera(f"fake:vibration?{SMALL}&seed=4&noise=0")
    taken = frames(fake)
    cells = 0
    for frame in taken[::7]:
        x, y, w, h = fake.view(frame.index)
        inside = fake.in_view(frame.index)
        assert 0 < inside.sum() < len(inside)
        green = frame.rgb[:, :, 1].astype(float)
        for x1, y1, x2, y2 in fake.microscope.smear.xyxy[inside & (fake.microscope.smear.label == 0)] - np.array(
            [x, y, x, y], np.float32
        ):
            if x1 >= 0 and y1 >= 0 and x2 < w and y2 < h:
                quarter_w, quarter_h = (x2 - x1) / 4, (y2 - y1) / 4
                box = green[round(y1 + quarter_h) : round(y2 - quarter_h), round(x1 + quarter_w) : round(x2 - quarter_w)]
                assert box.mean() < np.percentile(green, 95) - 8
                cells += 1
    assert cells > 20


def test_the_light_drifts_and_the_focus_goes_and_comes() -> None:
    still = "path=still&rest=170&width=160&height=120&um_per_px=0.3&noise=0".replace("path=still&", "")
    level = [frame.rgb[:, :, 1].mean() for frame in SimulatedCamera(f"fake:still?{still}&drift=0.2")]  # type: ignore[union-attr]
    assert max(level) / level[0] == pytest.approx(1.2, abs=0.03)
    assert min(level) / level[0] == pytest.approx(0.8, abs=0.03)
    fake = SimulatedCamera(f"fake:still?{still}&defocus=0.2")
    blurred = [fake.microscope.blur_px(step) > 1 for step in range(170)]
    assert 0.1 < np.mean(blurred) < 0.25
    assert not any(blurred[:40])


def test_a_lost_camera_leaves_a_gap_and_comes_back_elsewhere_and_with_another_size() -> None:
    fake = SimulatedCamera(f"fake:resized?{SMALL}&lost=8")
    items = list(fake)
    kinds = [item.kind for item in items if isinstance(item, Fault)]
    taken = [item for item in items if isinstance(item, Frame)]
    assert kinds == ["lost"]
    assert [frame.index for frame in taken] == list(range(len(taken)))
    assert len(taken) == len(fake.microscope.places) - 8
    assert {frame.rgb.shape[:2] for frame in taken} == {(120, 160), (90, 120)}
    assert max(np.diff(fake.step_of)) == 9


def test_a_frozen_camera_repeats_one_picture() -> None:
    taken = frames(SimulatedCamera(f"fake:frozen?{SMALL}&frozen=10"))
    same = [np.array_equal(a.rgb, b.rgb) for a, b in pairwise(taken)]
    assert sum(same) == 9


def test_it_looks_at_another_smear_where_one_is_given() -> None:
    grey = Smear(np.full((400, 600, 3), 90, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    assert abs(frames(SimulatedCamera(f"fake:pan?{SMALL}&noise=0", grey))[0].rgb.mean() - 88) < 3
    with pytest.raises(UsageError, match="600x400"):
        SimulatedCamera("fake:pan", grey)


def test_the_shipped_model_knows_the_cells(model: Model) -> None:
    fake = SimulatedCamera("fake:still?rest=1&seed=6")
    (frame,) = frames(fake)
    assert abs(len(model.detect(frame.rgb)) - int(fake.in_view(0).sum())) <= 8
