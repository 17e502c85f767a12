"""Where each view of a stream lies on the smear."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from staging import textures, way

from detector.streams.placing import registration
from detector.streams.placing.registration import Texture
from detector.streams.placing.tracking import Tracker
from detector.streams.sources.simulated import SimulatedCamera

SMALL = "width=320&height=240&um_per_px=0.15&vibration=0.3&drift=0.2"


def follow(
    fake: SimulatedCamera, tracker: Tracker, greys: list[NDArray[np.uint8]], first: int = 0
) -> list[tuple[int, NDArray[np.float64] | None]]:
    """Segment and error of the place of each view, against its segment's first."""
    steps, base = [], {}
    for i, grey in enumerate(greys, first):
        at = tracker.locate(registration.texture(grey), 1.0, True)
        if at.place_px is None:
            steps.append((at.segment, None))
            continue
        true = np.array(fake.view(i)[:2])
        base.setdefault(at.segment, true - at.place_px)
        steps.append((at.segment, true - at.place_px - base[at.segment]))
    return steps


@pytest.mark.slow
def test_errors_do_not_add_up_over_a_long_way() -> None:
    fake, greys = textures(f"fake:serpentine?{SMALL}&rows=4&columns=3&speed=10&seed=2")
    steps = follow(fake, Tracker(), greys)
    assert {segment for segment, _ in steps} == {1}
    errors = [np.abs(error).max() for _, error in steps if error is not None]
    assert len(errors) == len(greys)
    assert np.percentile(errors, 95) < 1
    assert max(errors) < 2.5


@pytest.mark.slow
def test_a_place_is_found_again_after_an_interruption_and_another_one_begins_a_segment() -> None:
    fake, greys = textures(f"fake:pan?{SMALL}&columns=4&speed=10&seed=5")
    tracker = Tracker()
    follow(fake, tracker, greys[:40])
    tracker.interrupt("the camera was lost")
    again = tracker.locate(registration.texture(greys[15]), 1.0, True)
    assert again.segment == 1
    assert again.shift_px is None
    assert again.place_px == pytest.approx(way(fake, 0, 15).tolist(), abs=1.5)
    tracker.interrupt("the camera was lost")
    assert tracker.locate(registration.texture(greys[-20]), 1.0, True).place_px is None
    new = tracker.locate(registration.texture(greys[-19]), 1.0, True)
    assert (new.segment, new.place_px) == (2, (0.0, 0.0))
    assert tracker.began[2] == "the camera was lost"


def test_views_of_another_size_begin_a_segment() -> None:
    _, greys = textures(f"fake:still?{SMALL}&rest=4&seed=5")
    tracker = Tracker()
    cut: list[Texture] = [registration.texture(np.ascontiguousarray(grey[:180, :240])) for grey in greys]
    assert [tracker.locate(registration.texture(grey), 1.0, True).segment for grey in greys[:2]] == [1, 1]
    assert [tracker.locate(view, 1.0, True).segment for view in cut[:3]] == [1, 2, 2]
    assert "size" in tracker.began[2]
