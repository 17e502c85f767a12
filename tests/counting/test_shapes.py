"""Shares of red cell shapes: intervals by field, the range that errors leave, and when a share says no more than errors do."""

from __future__ import annotations

import pytest

from detector.counting import shapes
from detector.counting.intervals import Interval
from detector.counting.shapes import ABOVE, WITHIN, SmearShapes, shortfall, true_range
from detector.vision.familiar import Familiar
from detector.vision.shapes import NORMAL, NOT_SURE, FieldShapes, ShapeCard, ShapeErrors

NAMES = (NORMAL, "target cell")
CARD = ShapeCard(
    name="made up",
    shapes=NAMES,
    threshold=0.6,
    strange_from=1.5,
    licence="none",
    data=("nowhere",),
    training={},
    figures={"not_sure_most": 0.5, "strange_most": 0.2},
    errors={
        NORMAL: ShapeErrors((0.1, 0.2), (0.7, 0.9, 0.8), 0.05),
        "target cell": ShapeErrors((0.0, 0.02), (0.8, 1.0, 0.9), 0.05),
    },
    familiar=Familiar({"focus": (1.0, 2.0)}, 0.5),
)


class _Model:
    card, sha256 = CARD, "0" * 64


def _looked(normal: int, target: int, unsure: int, unlike: str = "", strange: int = 0) -> FieldShapes:
    return FieldShapes({NORMAL: normal, "target cell": target, NOT_SURE: unsure}, unlike, strange)


def _smear(*fields: FieldShapes) -> SmearShapes:
    return shapes.of_smears([("a", field) for field in fields], _Model()).smears[0]  # type: ignore[arg-type]


def test_shares_are_of_all_cells_that_were_looked_at() -> None:
    smear = _smear(_looked(60, 20, 20), _looked(50, 25, 25))
    assert smear.cells == 200
    assert [own.cells for own in smear.shapes.values()] == [110, 45, 45]
    share = smear.shapes["target cell"].share
    assert share is not None
    assert share.value == pytest.approx(0.225)
    assert share.low is not None
    assert 0 < share.low < 0.225
    assert sum(own.share.value for own in smear.shapes.values() if own.share) == pytest.approx(1)


def test_fields_that_differ_widen_the_interval() -> None:
    def width(*targets: int) -> float:
        share = _smear(*(_looked(100 - target, target, 0) for target in targets)).shapes["target cell"].share
        assert share is not None
        assert share.low is not None
        assert share.high is not None
        return share.high - share.low

    assert width(2, 38, 5, 35, 20, 20) > 1.5 * width(20, 20, 20, 20, 20, 20)


def test_smears_come_in_the_order_of_their_names() -> None:
    looked = _looked(1, 0, 0)
    shares = shapes.of_smears([("b", looked), ("a", looked), ("b", looked)], _Model())  # type: ignore[arg-type]
    assert [(smear.smear, smear.fields) for smear in shares.smears] == [("a", 1), ("b", 2)]


def test_the_range_of_the_true_share_holds_it_whatever_the_errors_are() -> None:
    errors = CARD.errors["target cell"]
    for true in (0.0, 0.03, 0.3, 0.9):
        for false in errors.false:
            for found in errors.found:
                called = true * found + (1 - true) * false
                limits = true_range(Interval(called, called, called), errors)
                assert limits is not None
                assert limits[0] - 1e-9 <= true <= limits[1] + 1e-9


def test_with_one_error_the_range_is_the_estimate_of_rogan_and_gladen() -> None:
    errors = ShapeErrors((0.05,), (0.85,), 0.05)
    assert true_range(Interval(0.25, 0.25, 0.25), errors) == pytest.approx((0.25, 0.25))
    assert true_range(Interval(0.45, 0.45, 0.45), errors) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("called", "errors", "expected"),
    [
        (None, CARD.errors[NORMAL], None),
        (Interval(0.5, 0.4, 0.6), None, None),
        (Interval(0.5, 0.4, 0.6), ShapeErrors((0.1,), (), 0.05), None),
        # More are called so than can be found: at least what is called is not more than is there.
        (Interval(0.9, 0.88, 0.92), ShapeErrors((0.1,), (0.5,), 0.05), (0.88, 1.0)),
        (Interval(0.01, 0.0, 0.02), ShapeErrors((0.05,), (0.5,), 0.05), (0.0, 0.0)),
    ],
)
def test_what_is_not_known_has_no_range(
    called: Interval | None, errors: ShapeErrors | None, expected: tuple[float, float] | None
) -> None:
    assert true_range(called, errors) == expected


def test_a_share_that_errors_explain_is_called_so() -> None:
    few, many = _smear(_looked(985, 15, 0)), _smear(_looked(800, 200, 0))
    assert few.shapes["target cell"].verdict == WITHIN
    assert many.shapes["target cell"].verdict == ABOVE
    assert many.shapes[NORMAL].verdict == many.shapes[NOT_SURE].verdict == ""


def test_fields_unlike_those_of_the_training_are_told_first() -> None:
    like, unlike = _looked(10, 0, 0), _looked(10, 0, 0, "unlike in focus")
    assert not _smear(like, like).warning
    assert not _smear(*[like] * 4, unlike).warning
    assert _smear(like, like, unlike).warning.startswith("1 of 3 fields are unlike")
    assert _smear(unlike).warning.startswith("the only field is unlike")


def test_more_cells_that_are_not_sure_than_ever_before_are_told_first() -> None:
    assert not _smear(*[_looked(50, 0, 50)] * 6).warning
    assert _smear(*[_looked(20, 0, 80)] * 6).warning.startswith("more cells are not sure than in any smear")


def test_more_cells_unlike_those_learned_from_than_ever_before_are_told_first() -> None:
    assert not _smear(*[_looked(100, 0, 0, strange=20)] * 6).warning
    assert not _smear(_looked(3, 0, 0, strange=1)).warning
    warned = _smear(*[_looked(100, 0, 0, strange=40)] * 6)
    assert (warned.strange, warned.cells) == (240, 600)
    assert warned.warning.startswith("240 of 600 red cells are unlike those that shapes were learned from")


def test_a_smear_without_red_cells_has_no_shares() -> None:
    smear = _smear(_looked(0, 0, 0))
    assert smear.cells == 0
    assert all(own.share is None and own.true is None and own.verdict == "" for own in smear.shapes.values())


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (ShapeErrors((0.01,), (0.9, 0.9, 0.85), 0.05), ""),
        (ShapeErrors((0.01, 0.07), (0.9, 0.9, 0.85), 0.05), "up to 7.0% of other cells"),
        (ShapeErrors((0.01,), (0.9, 0.9, 0.4), 0.05), "only 40% of them"),
        (ShapeErrors((0.01,), (0.9,), 0.05), "only 1 left out smears"),
        (ShapeErrors((), (), 0.05), "up to 100.0% of other cells"),
    ],
)
def test_what_a_reader_needs_and_does_not_get_is_told(errors: ShapeErrors, said: str) -> None:
    told = shortfall("target cell", errors)
    assert said in told if said else told == ""
    assert shortfall(NORMAL, errors) == ""
