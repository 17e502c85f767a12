"""Series of fields: names, seeds, stains and mean counts."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import UsageError
from detector.synthetic.series import Series
from detector.vision.cells import CLASSES


def test_fields_are_named_by_smear_and_number() -> None:
    names = [name for name, _ in Series(fields=2, smears=2, size_wh=(60, 40)).render()]
    assert names == ["smear_a/field_01.jpg", "smear_a/field_02.jpg", "smear_b/field_01.jpg", "smear_b/field_02.jpg"]


@pytest.mark.slow
def test_many_fields_still_sort_by_name() -> None:
    names = [name for name, _ in Series(fields=101, size_wh=(4, 4)).render()]
    assert names == sorted(names)
    assert names[-1] == "smear_a/field_101.jpg"


def test_the_same_settings_give_the_same_fields() -> None:
    first, again = (list(Series(fields=2, size_wh=(200, 150), seed=9).render()) for _ in range(2))
    for (name, one), (other, two) in zip(first, again, strict=True):
        assert name == other
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.xyxy, two.xyxy)
    assert (first[0][1].image != first[1][1].image).any()


def test_mixed_takes_the_stains_in_turn() -> None:
    assert [Series(smears=4, stain="mixed").plan(i).stain.name for i in range(4)] == ["bccd", "pbc", "raabin", "bccd"]


@pytest.mark.slow
def test_mean_counts_are_those_asked_for() -> None:
    # Cells cut by the border are seen too, so fields show more than have their centre within.
    series = Series(fields=20, size_wh=(400, 300), um_per_px=0.125, rbc=14, wbc=2, platelets=3)
    counts = [field.counts() for _, field in series.render()]
    mean = {name: float(np.mean([c[name] for c in counts])) for name in CLASSES}
    assert 14 < mean["RBC"] < 14 * 1.45
    assert 2 < mean["WBC"] < 2 * 1.9
    assert 2.2 < mean["Platelets"] < 3 * 1.5


def test_none_of_a_class_can_be_asked_for() -> None:
    series = Series(fields=2, size_wh=(300, 300), rbc=0, wbc=0, platelets=0)
    assert all(len(field.label) == 0 for _, field in series.render())


@pytest.mark.parametrize("wrong", [{"fields": 0}, {"smears": 27}, {"seed": -1}, {"stain": "gram"}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"must be|known: bccd, pbc, raabin, mixed"):
        Series(**wrong)
