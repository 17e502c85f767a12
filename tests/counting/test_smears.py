"""Smear totals: which fields they are made of, and what is left unsaid."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.counting import density
from detector.counting.expected import corrections
from detector.counting.fields import CountedPart, FieldCount, UnreadField
from detector.counting.intervals import rate, ratio
from detector.counting.smears import LONE, ClassCount, SmearCount, aggregate
from detector.errors import UsageError
from detector.output import tables
from detector.vision.sums import FieldSums


def field(
    name: str, smear: str = "s", rbc: int = 0, wbc: int = 0, plt: int = 0, *, um: float | None = None, saturated: bool = False
) -> FieldCount:
    """A field whose counting frame holds one red cell less than the whole of it, where there is one."""
    raw = {"RBC": rbc, "WBC": wbc, "Platelets": plt}
    return FieldCount(name, smear, (1000, 1000), raw, raw | {"RBC": max(rbc - 1, 0)}, saturated, um)


def one(*fields: FieldCount, unread: tuple[UnreadField, ...] = ()) -> SmearCount:
    (smear,) = aggregate(fields, unread)
    return smear


def test_totals_means_and_ratios() -> None:
    smear = one(field("a", rbc=21, wbc=1, plt=2), field("b", rbc=31, wbc=0, plt=3, saturated=True))
    assert (smear.fields, smear.unread, smear.saturated) == (2, 0, 1)
    rbc, wbc, plt = (smear.classes[c] for c in ("RBC", "WBC", "Platelets"))
    assert (rbc.total, rbc.frame_total, wbc.total, plt.total) == (52, 50, 1, 5)
    assert rbc.mean == rate([21, 31])
    assert wbc.per_rbc == ratio([1, 0], [20, 30])
    assert plt.per_rbc is not None
    assert plt.per_rbc.value == pytest.approx(0.1)
    assert plt.per_1000_rbc == plt.per_rbc.times(1000)
    assert rbc.per_1000_rbc is None
    assert rbc.per_rbc is None
    assert rbc.per_mm2 is None


def test_unread_fields_are_in_no_mean() -> None:
    smear = one(field("a", rbc=10), unread=(UnreadField("b", "s", "truncated"),))
    assert (smear.fields, smear.unread) == (1, 1)
    assert smear.classes["RBC"].mean == rate([10])


def test_a_smear_with_nothing_read_has_no_mean() -> None:
    smear = one(unread=(UnreadField("b", "s", "truncated"),))
    assert (smear.fields, smear.unread) == (0, 1)
    assert smear.classes["RBC"].mean is None
    assert smear.classes["WBC"].per_rbc is None


def test_no_red_cells_leave_ratios_undefined() -> None:
    assert one(field("a", wbc=3)).classes["WBC"].per_rbc is None


def test_density_needs_every_field_calibrated() -> None:
    both = one(field("a", rbc=101, um=0.1), field("b", rbc=101, um=0.1))
    some = one(field("a", rbc=101, um=0.1), field("b", rbc=101))
    per_mm2 = both.classes["RBC"].per_mm2
    assert per_mm2 is not None
    assert per_mm2.value == pytest.approx(200 / (2 * (1000 * 1e-4) ** 2))
    assert per_mm2.low < per_mm2.value < per_mm2.high
    assert some.classes["RBC"].per_mm2 is None


def test_density_of_fields_of_unlike_magnification() -> None:
    smear = one(field("a", rbc=101, um=0.1), field("b", rbc=401, um=0.2))
    per_mm2 = smear.classes["RBC"].per_mm2
    assert per_mm2 is not None
    assert per_mm2.value == pytest.approx(100 / (1000 * 1e-4) ** 2)


def view(name: str, rbc: int, share: float, column: int) -> FieldCount:
    """A square of a stream's grid of which so much was seen."""
    raw = {"RBC": rbc, "WBC": 0, "Platelets": 0}
    part = CountedPart(raw, raw, share * 10_000, (column * 100.0, 0.0, column * 100.0 + 100, 100.0), "1")
    return FieldCount(name, "s", (100, 100), raw, raw, tiles=(part,), share=share)


def test_the_mean_of_a_stream_is_per_area_of_a_whole_view() -> None:
    """However little of a square was seen: 16 cells in each whole view, and slivers with what their area holds."""
    val = FieldSums(fields=30, true=450, false=0, missed=150, counted_squared=6750, truth_squared=12000, counted_truth=9000)
    whole = [view(str(i), 16, 1.0, i) for i in range(4)]
    slivers = [view(f"sliver {i}", i % 2, 1 / 32, 10 + i) for i in range(8)]
    (smear,) = aggregate([*whole, *slivers], (), corrections({"RBC": {"a": val}}))
    rbc = smear.classes["RBC"]
    assert (smear.fields, rbc.total) == (12, 68)
    assert rbc.mean is not None
    assert rbc.expected_mean is not None
    assert rbc.mean.value == pytest.approx(16)
    assert rbc.mean.low < 16 < rbc.mean.high
    assert rbc.expected_mean.value == pytest.approx(16 / 0.75, rel=0.01)
    assert rbc.expected_mean.low < 16 / 0.75 < rbc.expected_mean.high


def test_expected_true_counts_stand_beside_the_raw_ones_where_they_are_known() -> None:
    val = FieldSums(fields=30, true=450, false=0, missed=150, counted_squared=6750, truth_squared=12000, counted_truth=9000)
    factors = corrections({"RBC": {"a": val}})
    fields = [field("a", rbc=21, wbc=1), field("b", rbc=31)]
    (smear,) = aggregate(fields, (), factors)
    (plain,) = aggregate(fields)
    rbc, wbc = smear.classes["RBC"], smear.classes["WBC"]
    assert factors["RBC"] is not None
    assert (rbc.expected_total, rbc.expected_mean) == (factors["RBC"].total(52, 52), factors["RBC"].mean([21, 31], 52))
    assert rbc.expected_total is not None
    assert rbc.expected_total.value == pytest.approx(52 / 0.75, rel=0.01)
    assert (wbc.expected_total, wbc.expected_mean) == (None, None)
    assert replace(rbc, expected_total=None, expected_mean=None) == plain.classes["RBC"]
    (lost,) = aggregate([], [UnreadField("b", "s", "truncated")], factors)
    assert (lost.classes["RBC"].expected_total, lost.classes["RBC"].expected_mean) == (None, None)


@pytest.mark.parametrize(
    ("number", "doubtful", "warning"),
    [
        (1, 0, ""),
        (1, 1, "the only field is doubtful: do not use these counts before looking at it"),
        (2, 1, ""),
        (2, 2, "2 of 2 fields are doubtful: do not use these counts before looking at them"),
        (8, 2, "2 of 8 fields are doubtful: do not use these counts before looking at them"),
        (9, 2, ""),
        (20, 12, "12 of 20 fields are doubtful: do not use these counts before looking at them"),
    ],
)
def test_many_doubtful_fields_lead_and_withhold_the_expected_count(number: int, doubtful: int, warning: str) -> None:
    val = FieldSums(fields=30, true=450, false=0, missed=150, counted_squared=6750, truth_squared=12000, counted_truth=9000)
    fields = [replace(field(f"{i:02}", rbc=20), doubt="blurred" * (i < doubtful)) for i in range(number)]
    (smear,) = aggregate(fields, (), corrections({"RBC": {"a": val}}))
    assert (smear.doubtful, smear.warning) == (doubtful, warning)
    rbc = smear.classes["RBC"]
    assert (rbc.expected_total is None, rbc.expected_mean is None) == (bool(warning), bool(warning))
    assert rbc.total == 20 * number
    assert rbc.mean is not None


def test_a_smear_of_one_field_says_that_its_intervals_bound_that_field_alone() -> None:
    assert one(field("a", rbc=10)).lone
    assert not one(field("a", rbc=10), field("b", rbc=9)).lone
    assert not one(unread=(UnreadField("b", "s", "truncated"),)).lone
    rows = tables.of_smears([one(field("a", rbc=10))]).records()
    assert [row["warning"] for row in rows] == [LONE] * 3


def test_nothing_read_is_no_doubt() -> None:
    assert aggregate([], [UnreadField("b", "s", "truncated")])[0].warning == ""


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice: a"):
        aggregate([field("a"), field("a")])
    with pytest.raises(ValueError, match="given twice: a"):
        aggregate([field("a")], [UnreadField("a", "s", "gone")])
    assert len(aggregate([field("a", "one"), field("a", "two")])) == 2


@settings(deadline=None)
@given(st.permutations([field(f"{s}/{i}", s, rbc=i * 7, plt=i) for s in ("b", "a", "ä c") for i in range(4)]))
def test_order_of_fields_does_not_matter(fields: list[FieldCount]) -> None:
    assert [s.smear for s in aggregate(fields)] == ["a", "b", "ä c"]
    assert aggregate(fields) == aggregate(fields[::-1])


def known(smear: SmearCount) -> dict[str, ClassCount]:
    """The classes of which cells per µL are known."""
    return {name: count for name, count in smear.classes.items() if count.per_ul is not None}


def test_per_microlitre_from_red_cells() -> None:
    smear = one(field("a", rbc=501, wbc=1, plt=25), field("b", rbc=501, wbc=1, plt=25))
    classes = known(density.from_red_cells(smear, 5e6))
    assert classes.keys() == {"WBC", "Platelets"}
    assert classes["WBC"].per_ul is not None
    assert classes["WBC"].per_ul.value == pytest.approx(10_000)
    assert classes["Platelets"].per_ul is not None
    assert classes["Platelets"].per_ul.value == pytest.approx(250_000)
    per_rbc = smear.classes["WBC"].per_rbc
    assert per_rbc is not None
    assert classes["WBC"].per_ul == per_rbc.times(5e6)
    assert "5e+06 red cells per µL" in classes["WBC"].per_ul_source
    assert classes["WBC"] == replace(
        smear.classes["WBC"], per_ul=classes["WBC"].per_ul, per_ul_source=classes["WBC"].per_ul_source
    )


def test_per_microlitre_from_a_factor() -> None:
    calibrated = one(field("a", plt=20, um=0.1))
    classes = known(density.from_area(calibrated, 12.5))
    per_mm2 = calibrated.classes["Platelets"].per_mm2
    assert per_mm2 is not None
    assert classes["Platelets"].per_ul == per_mm2.times(12.5)
    assert "12.5 mm² per µL" in classes["Platelets"].per_ul_source
    assert known(density.from_area(one(field("a", plt=20)), 12.5)) == {}


def test_no_red_cells_give_no_estimate() -> None:
    assert known(density.from_red_cells(one(field("a", wbc=3)), 5e6)) == {}


def test_nothing_given_leaves_a_smear_as_it_is() -> None:
    smear = one(field("a", rbc=5, um=0.1))
    assert density.per_ul(smear, None, None) == smear


@pytest.mark.parametrize(
    ("value", "said"),
    [(4.6, "millions per µL.*give 4600000"), (4600, "thousands per µL: give 4600000"), (4.6e12, "per litre: give 4600000"),
     (0.02, "between 10,000 and 50,000,000, got 0.02$")],
)  # fmt: skip
def test_red_cells_in_another_unit_are_refused_with_the_unit_wanted(value: float, said: str) -> None:
    with pytest.raises(UsageError, match=f"must be in cells per µL.*{said}"):
        density.from_red_cells(one(field("a", rbc=5)), value)


@pytest.mark.parametrize("value", [0.5, 2e5, 1e300])
def test_a_factor_that_no_film_has_is_refused(value: float) -> None:
    """A number per µL that is too large for a number would stand in JSON as what is no JSON."""
    with pytest.raises(UsageError, match=r"must be in mm² per µL, between 1 and 100,000, got \S+$"):
        density.from_area(one(field("a", rbc=5, um=0.1)), value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_sources_must_be_positive(value: float) -> None:
    smear = one(field("a", rbc=5, um=0.1))
    with pytest.raises(UsageError, match="must be a positive number"):
        density.from_red_cells(smear, value)
    with pytest.raises(UsageError, match="must be a positive number"):
        density.from_area(smear, value)
