"""A field unlike those of the training is told from them, by the numbers alone that tell wrong counts from right ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from detector.vision import card as cards
from detector.vision import doubts, familiar
from detector.vision.familiar import LIGHTS, PLAIN, Familiar
from detector.vision.model import Model
from detector.vision.quality import Quality

TRAINING = [{"score": score, "blueness": blue} for score in np.linspace(0.8, 0.95, 50) for blue in np.linspace(-1, 1, 10)]
RIGHT = [({"score": score, "blueness": 40.0}, False) for score in np.linspace(0.82, 0.93, 60)]
WRONG = [({"score": score, "blueness": 40.0}, True) for score in np.linspace(0.4, 0.6, 30)]
SOUND = Quality(8.0, 0.5, 0.02, 0.01, (200, 190, 185), 0.3, 0.1, (20, 1, 0), score=0.9)


def test_distance_is_counted_outside_of_the_ranges_in_their_widths() -> None:
    ranges = Familiar({"a": (0, 2), "b": (10, 20)}, 0.5)
    assert ranges.distance({"a": 1, "b": 15}) == 0
    assert ranges.distance({"a": -6, "b": 60}) == pytest.approx(5)
    assert ranges.distance({"a": 4}) == pytest.approx(1)
    assert ranges.strangest({"a": 4, "b": 21}) == "a"


def test_what_disturbs_no_count_is_no_reason() -> None:
    ranges = familiar.calibrate(TRAINING, RIGHT + WRONG)
    assert ranges is not None
    assert set(ranges.ranges) == {"score"}
    assert not any(ranges.distance(numbers) > ranges.limit for numbers, _ in RIGHT)
    assert all(ranges.distance(numbers) > ranges.limit for numbers, _ in WRONG)


def test_few_wrong_fields_choose_no_numbers_but_right_ones_the_limit() -> None:
    ranges = familiar.calibrate(TRAINING, RIGHT)
    assert ranges is not None
    assert set(ranges.ranges) == {"score", "blueness"}
    assert not any(ranges.distance(numbers) > ranges.limit for numbers, _ in RIGHT)


def test_so_many_right_fields_are_strange_and_no_more() -> None:
    right = [({"score": score}, False) for score in np.linspace(0.3, 0.95, 100)]
    ranges = familiar.calibrate([{"score": numbers["score"]} for numbers in TRAINING], right, most_right=0.1)
    assert ranges is not None
    assert 5 <= sum(ranges.distance(numbers) > ranges.limit for numbers, _ in right) <= 10


@pytest.mark.parametrize(("training", "judged"), [([], RIGHT), (TRAINING, []), (TRAINING, WRONG), ([{"score": 0.9}] * 9, RIGHT)])
def test_without_anything_to_tell_it_there_is_none(
    training: list[dict[str, float]], judged: list[tuple[dict[str, float], bool]]
) -> None:
    assert familiar.calibrate(training, judged) is None


def test_a_strange_field_is_doubtful_where_the_card_tells_and_says_by_what() -> None:
    strange = replace(SOUND, score=0.55)
    ranges = Familiar({"score": (0.8, 0.95)}, 0.5)
    assert doubts.of_fields([SOUND, strange]) == ["", ""]
    assert doubts.of_fields([SOUND, strange], ranges) == [
        "",
        "unlike the fields that the model was trained on: scores of the red cells",
    ]


def test_every_number_of_a_field_has_a_name_for_people() -> None:
    every = replace(SOUND, density=(0.1, 0.3, 0.2), red_share=0.03, sizes=0.1).numbers()
    assert set(every) == set(doubts._NUMBERS)
    assert "score" not in replace(SOUND, score=None).numbers()


def test_a_card_holds_it_or_is_silent(model: Model) -> None:
    ranges = Familiar({"score": (0.8, 0.95)}, 0.5)
    for told in (ranges, None):
        card = replace(model.card, familiar=told)
        assert cards.from_metadata({cards.METADATA_KEY: card.json()}, Path("own.onnx")) == card
        assert ("familiar" in json.loads(card.json())) == (told is not None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"limit": 1}, "ranges is missing"),
        ({"ranges": {"a": [1]}, "limit": 1}, "familiar.ranges.a must be two numbers"),
        ({"ranges": {"a": [2, 1]}, "limit": 1}, "familiar.ranges.a must be a number above 2"),
        ({"ranges": {"a": [1, 2]}, "limit": 0}, "familiar.limit must be a number above 0"),
    ],
)
def test_what_cannot_be_is_refused(content: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        familiar.of_json(content)


def test_it_goes_through_json() -> None:
    ranges = Familiar({"a": (0.0, 2.0)}, 0.5)
    assert familiar.of_json(json.loads(json.dumps(asdict(ranges)))) == ranges


def test_each_light_does_what_it_is_called() -> None:
    rgb = np.full((40, 40, 3), (200, 100, 50), dtype=np.uint8)
    rgb[:, 20:] = (100, 50, 250)
    lit = {name: change(rgb, 60) for name, change in LIGHTS.items()}
    assert all(changed.dtype == np.uint8 and changed.shape == rgb.shape for changed in lit.values())
    assert np.array_equal(lit[PLAIN], rgb)
    assert lit["bluish lamp"][0, 0].tolist() == [150, 90, 55]
    assert lit["bluish lamp"][0, 30].tolist() == [75, 45, 255]
    assert lit["blue ground"][0, 0].tolist() == [120, 75, 50]
    assert (np.ptp(lit["grey"], axis=2) == 0).all()
    assert 100 < lit["blur"][20, 20, 0] < 200
    assert np.array_equal(rgb[0, 0], (200, 100, 50))
