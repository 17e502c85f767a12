"""How two views lie to each other, and where each view of a stream lies on the smear."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.streams import registration
from detector.streams.fake import Fake
from detector.streams.focus import LEAST_SHARP, Focus, sharpness
from detector.streams.frames import Frame
from detector.streams.registration import Texture
from detector.streams.tracking import Tracker


def textures(address: str) -> tuple[Fake, list[NDArray[np.uint8]]]:
    fake = Fake(address)
    return fake, [registration.grey(item.rgb) for item in fake if isinstance(item, Frame)]


SMALL = "width=320&height=240&um_per_px=0.15&vibration=0.3&drift=0.2"


@pytest.fixture(scope="module")
def pan() -> tuple[Fake, list[NDArray[np.uint8]]]:
    return textures(f"fake:pan?{SMALL}&columns=2.5&speed=20&seed=1")


def way(fake: Fake, i: int, j: int) -> NDArray[np.float64]:
    return np.array(fake.view(j)[:2]) - np.array(fake.view(i)[:2])


def test_a_shift_is_found_to_a_fraction_of_a_pixel_from_a_rough_guess(pan: tuple[Fake, list[NDArray[np.uint8]]]) -> None:
    fake, greys = pan
    errors = []
    for i in range(0, len(greys) - 10, 2):
        x, y = way(fake, i, i + 10)
        found = registration.near(registration.texture(greys[i]), registration.texture(greys[i + 10]), (x + 9, y - 7))
        assert found is not None
        errors.append(np.abs(np.array(found.xy) - (x, y)).max())
    assert np.median(errors) < 0.15
    assert max(errors) < 0.8


def test_a_shift_is_found_without_a_guess_even_of_a_blurred_view(pan: tuple[Fake, list[NDArray[np.uint8]]]) -> None:
    fake, greys = pan
    for i, j, blur in [(0, 12, 0), (12, 0, 0), (3, 11, 2), (11, 3, 2)]:
        other = cv2.GaussianBlur(greys[j], (0, 0), blur) if blur else greys[j]
        found = registration.anywhere(registration.texture(greys[i]), registration.texture(np.asarray(other, np.uint8)))
        assert found is not None
        assert np.abs(np.array(found.xy) - way(fake, i, j)).max() < 2


def test_views_that_share_nothing_are_not_believed_to(pan: tuple[Fake, list[NDArray[np.uint8]]]) -> None:
    _, greys = pan
    _, others = textures(f"fake:pan?{SMALL}&columns=2.5&speed=20&seed=2")
    believed = [
        registration.anywhere(registration.texture(a), registration.texture(b)) for a, b in zip(greys, others, strict=False)
    ]
    assert believed == [None] * len(believed)


def test_looking_changes_no_view(pan: tuple[Fake, list[NDArray[np.uint8]]]) -> None:
    first, second = (registration.texture(grey) for grey in pan[1][:2])
    kept = first.copy(), second.copy()
    registration.anywhere(first, second)
    registration.near(first, second, (20.0, 0.0))
    assert np.array_equal(first, kept[0])
    assert np.array_equal(second, kept[1])


def test_light_that_stands_still_does_not_hold_the_view() -> None:
    _, greys = textures(f"fake:pan?{SMALL}&columns=2&speed=12&seed=3")
    x = np.linspace(0.5, 1.2, greys[0].shape[1])
    lit = [registration.texture((grey * x).clip(0, 255).astype(np.uint8)) for grey in greys]
    found = registration.anywhere(lit[10], lit[15])
    assert found is not None
    assert found.xy[0] == pytest.approx(60, abs=2)


def test_empty_glass_is_told() -> None:
    rng = np.random.default_rng(0)
    glass = (200 + rng.normal(0, 0.8, (240, 320))).clip(0, 255).astype(np.uint8)
    assert registration.plain(registration.texture(glass))
    assert sharpness(glass) is None


def test_focus_falls_with_blur_whatever_is_in_view(pan: tuple[Fake, list[NDArray[np.uint8]]]) -> None:
    focus = Focus()
    sharp = [focus.share(grey) for grey in pan[1]]
    assert min(share for share in sharp if share is not None) > 0.7
    for grey in pan[1][::5]:
        blurred = focus.share(np.asarray(cv2.GaussianBlur(grey, (0, 0), 2), np.uint8))
        assert blurred is not None
        assert blurred < LEAST_SHARP


def follow(
    fake: Fake, tracker: Tracker, greys: list[NDArray[np.uint8]], first: int = 0
) -> list[tuple[int, NDArray[np.float64] | None]]:
    """Segment and error of the place of each view, against its segment's first."""
    found, base = [], {}
    for i, grey in enumerate(greys, first):
        at = tracker.locate(registration.texture(grey), 1.0, True)
        if at.place_px is None:
            found.append((at.segment, None))
            continue
        true = np.array(fake.view(i)[:2])
        base.setdefault(at.segment, true - at.place_px)
        found.append((at.segment, true - at.place_px - base[at.segment]))
    return found


@pytest.mark.slow
def test_errors_do_not_add_up_over_a_long_way() -> None:
    fake, greys = textures(f"fake:serpentine?{SMALL}&rows=4&columns=3&speed=10&seed=2")
    found = follow(fake, Tracker(), greys)
    assert {segment for segment, _ in found} == {1}
    errors = [np.abs(error).max() for _, error in found if error is not None]
    assert len(errors) == len(greys)
    assert np.percentile(errors, 95) < 1
    assert max(errors) < 2.5


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
