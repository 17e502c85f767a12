"""Varied fields: all kinds occur, the truth holds, the seed decides, and conversion keeps the ignore regions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.annotations import conversion, dataset, splits
from detector.errors import UsageError
from detector.synthetic import variety
from detector.synthetic.forms import FORMS
from detector.synthetic.layout import Kind, Plan
from detector.synthetic.render import RenderedField, window
from detector.synthetic.truth import BOXES, Truth, write_jpeg
from detector.synthetic.variety import Variety
from detector.vision.cells import CLASSES, RBC, WBC

SIZE = (200, 200)


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [variety.laid(np.random.default_rng([8, i]), (416, 416), 0.2) for i in range(80)]


@pytest.mark.slow
def test_every_kind_of_thing_occurs(plans: list[Plan]) -> None:
    seen = Counter(int(kind) for plan in plans for kind in plan.kind)
    assert {Kind(kind) for kind in seen} >= set(Kind) - {Kind.STREAK, Kind.NEUTROPHIL}
    assert {name.upper() for name in FORMS} <= {kind.name for kind in Kind}


def test_one_field_in_three_has_several_white_cells_and_some_have_no_red_ones(plans: list[Plan]) -> None:
    labels = [[Kind(int(kind)).label for kind in plan.kind] for plan in plans]
    assert 0.2 < np.mean([row.count(WBC) >= 3 for row in labels]) < 0.5
    assert 0 < np.mean([row.count(RBC) == 0 for row in labels]) < 0.2


def test_red_cells_lie_in_rows_in_some_fields(plans: list[Plan]) -> None:
    def nearest(plan: Plan) -> float:
        red = [i for i, kind in enumerate(plan.kind) if Kind(int(kind)).label == RBC]
        xy, r = plan.xy_um[red], plan.radius_um[red]
        apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) / (r[:, None] + r[None])
        np.fill_diagonal(apart, np.inf)
        return float(apart.min(initial=np.inf))

    assert 0.05 < np.mean([nearest(plan) < 0.7 for plan in plans]) < 0.4


def test_platelets_lie_on_red_cells_too(plans: list[Plan]) -> None:
    for plan in plans:
        small = plan.kind == Kind.OVERLYING
        red = [i for i, kind in enumerate(plan.kind) if Kind(int(kind)).label == RBC]
        if small.any():
            apart = np.hypot(*(plan.xy_um[small][:, None] - plan.xy_um[red][None]).transpose(2, 0, 1))
            assert (apart < plan.radius_um[red]).any(axis=1).all()


@pytest.mark.slow
@pytest.mark.parametrize("rbc_px", [(12.0, 12.0), (50.0, 60.0), (120.0, 120.0)])
def test_red_cells_are_as_wide_as_asked(rbc_px: tuple[float, float]) -> None:
    fields = [field for _, field in Variety(fields=6, size_wh=(416, 416), rbc_px=rbc_px, seed=2).render()]
    widths = [7.6 / field.um_per_px for field in fields]
    assert rbc_px[0] - 0.01 <= min(widths)
    assert max(widths) <= rbc_px[1] + 0.01
    assert len({field.um_per_px for field in fields}) == (1 if rbc_px[0] == rbc_px[1] else 6)
    sides = np.concatenate([field.xyxy[field.label == RBC] for field in fields])
    assert 0.6 < np.median((sides[:, 2:] - sides[:, :2]).max(axis=1)) / np.mean(widths) < 1.4


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_boxes_and_regions_lie_within_the_field_and_what_light_reaches(seed: int) -> None:
    ((_, field),) = Variety(fields=1, size_wh=SIZE, seed=seed).render()
    for edges in (field.xyxy, field.ignore):
        assert (edges >= 0).all()
        assert (edges <= 200).all()
        assert (edges[:, 2:] > edges[:, :2]).all()
    for x1, y1, x2, y2 in field.xyxy.astype(int):
        assert field.image[y1:y2, x1:x2].max() > 20


def test_the_seed_decides_and_no_two_fields_are_alike() -> None:
    first, again = (list(Variety(fields=3, size_wh=SIZE, seed=4).render()) for _ in range(2))
    for (name, one), (other, two) in zip(first, again, strict=True):
        assert name == other
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.xyxy, two.xyxy)
        np.testing.assert_array_equal(one.ignore, two.ignore)
    grounds = [np.median(field.image, axis=(0, 1)) for _, field in first]
    assert np.abs(grounds[0] - grounds[1]).max() > 5
    other = next(iter(Variety(fields=3, size_wh=SIZE, seed=5).render()))[1]
    assert (other.image != first[0][1].image).any()


def test_a_field_is_the_same_however_many_follow() -> None:
    alone = next(iter(Variety(fields=1, size_wh=SIZE, seed=4).render()))[1]
    among = next(iter(Variety(fields=9, smears=2, size_wh=SIZE, seed=4).render()))[1]
    np.testing.assert_array_equal(alone.image, among.image)


def test_marks_change_few_pixels() -> None:
    for seed in range(20):
        image = np.full((300, 300, 3), 180, dtype=np.uint8)
        variety.mark(image, 0.2, np.random.default_rng(seed))
        assert 0 < (image != 180).any(axis=2).mean() < 0.03


@pytest.mark.parametrize("wrong", [{"fields": 0}, {"smears": 27}, {"seed": -1}, {"rbc_px": (10, 40)}, {"rbc_px": (60, 40)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be"):
        Variety(**wrong)


def with_heap() -> RenderedField:
    """The first field of a seed that has an ignore region and cells."""
    return next(f for _, f in Variety(fields=60, seed=6).render() if len(f.ignore) and len(f.label) > 5)


def test_conversion_writes_ignore_regions_and_training_reads_them(tmp_path: Path) -> None:
    field, plain = with_heap(), next(f for _, f in Variety(fields=60, seed=6).render() if not len(f.ignore) and len(f.label))
    truth = Truth("test")
    for name, one in (("smear_a/field_01.jpg", field), ("smear_a/field_02.jpg", plain)):
        write_jpeg(tmp_path / "set" / name, one)
        truth.add(name, one)
    (tmp_path / "set" / BOXES).write_text(truth.coco(), encoding="utf-8")
    out = tmp_path / "data"
    conversion.convert(conversion.Conversion(source=tmp_path / "set" / BOXES, out=out, plan=splits.plan("1/0/0"), seed=0))
    assert len(list((out / "ignore" / "train").iterdir())) == 1
    records = dataset.read(out / "data.yaml", "train")
    regions = [record.ignore for record in records if len(record.ignore)]
    np.testing.assert_allclose(regions[0], field.ignore, atol=0.01)
    for record in records:
        assert set(record.label.tolist()) <= set(range(len(CLASSES)))


def test_a_plan_is_looked_at_through_windows_like_any_other(plans: list[Plan]) -> None:
    whole, part = window(plans[0], 0, 0, 416, 416), window(plans[0], 100, 100, 200, 200)
    rim = 60
    np.testing.assert_array_equal(part.image[rim:-rim, rim:-rim], whole.image[100 + rim : 300 - rim, 100 + rim : 300 - rim])
