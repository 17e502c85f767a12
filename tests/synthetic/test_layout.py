"""Where cells are laid: how many, how near, and what cannot be laid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import UsageError
from detector.synthetic import stain
from detector.synthetic.layout import APART, JOINED, Density, Kind, Plan, most_covered, plan
from detector.vision.cells import RBC

LOOK = stain.preset("bccd")


def within(laid: Plan, kinds: list[Kind]) -> int:
    """Things of these kinds whose centre is on the smear."""
    on = ((laid.xy_um >= 0) & (laid.xy_um < laid.size_um)).all(axis=1)
    return int((on & np.isin(laid.kind, kinds)).sum())


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0])
def test_numbers_follow_the_density(factor: float) -> None:
    density = Density(9000 * factor, 600 * factor, 1200 * factor, 2000 * factor)
    laid = plan((8000, 6000), LOOK, 3, density)
    mm2 = 0.6 * 0.45
    whites = [Kind.NEUTROPHIL, Kind.LYMPHOCYTE, Kind.MONOCYTE, Kind.EOSINOPHIL]
    for kinds, per_mm2 in (
        ([Kind.RED], density.rbc_per_mm2),
        (whites, density.wbc_per_mm2),
        ([Kind.PLATELET], density.platelets_per_mm2),
        ([Kind.SPECK, Kind.STREAK], density.debris_per_mm2),
    ):
        expected = per_mm2 * mm2
        assert abs(within(laid, kinds) - expected) < 4 * np.sqrt(expected) + 0.03 * expected


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), touching=st.floats(0, 1))
def test_cells_keep_their_distance(seed: int, touching: float) -> None:
    laid = plan((1200, 900), LOOK, seed, Density(touching=touching))
    cells = [i for i in range(len(laid.kind)) if Kind(int(laid.kind[i])).label is not None]
    for n, i in enumerate(cells):
        for j in cells[:n]:
            pair = sorted((Kind(int(laid.kind[i])).label or 0, Kind(int(laid.kind[j])).label or 0))
            least = JOINED if pair == [RBC, RBC] else APART[pair[0], pair[1]]
            apart = np.hypot(*(laid.xy_um[i] - laid.xy_um[j]))
            assert apart >= least * (laid.radius_um[i] + laid.radius_um[j]) - 1e-9


def test_more_touching_means_more_that_touch() -> None:
    def share(touching: float) -> float:
        laid = plan((4000, 4000), LOOK, 1, Density(touching=touching))
        red = laid.kind == Kind.RED
        xy, r = laid.xy_um[red], laid.radius_um[red]
        apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) / (r[:, None] + r[None])
        np.fill_diagonal(apart, np.inf)
        return float((apart.min(axis=1) <= 1).mean())

    assert share(0) == 0
    assert 0.2 < share(0.25) < share(0.6)


def test_at_the_limit_nearly_all_cells_find_a_place() -> None:
    for touching in (0.0, 0.25):
        rbc = (most_covered(touching) - 1e-6) * 1e6 / (np.pi / 4 * 7.5**2)
        laid = plan((3000, 3000), LOOK, 2, Density(rbc, 0, 0, 0, touching))
        assert within(laid, [Kind.RED]) > 0.85 * rbc * 0.225**2


def test_plans_are_in_drawing_order_and_reproducible() -> None:
    first, again = plan((600, 600), LOOK, [4, 2]), plan((600, 600), LOOK, [4, 2])
    assert (np.diff(first.kind) >= 0).all()
    assert len(np.unique(first.seed)) == len(first.seed)
    for name in ("kind", "xy_um", "radius_um", "seed"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.stain == again.stain
    assert first.size_wh == (600, 600)


def test_plain_smears_hold_plain_kinds_alone() -> None:
    plain = {Kind.SPECK, Kind.STREAK, Kind.RED, Kind.NEUTROPHIL, Kind.LYMPHOCYTE, Kind.MONOCYTE, Kind.EOSINOPHIL, Kind.PLATELET}
    assert {Kind(int(kind)) for kind in plan((6000, 6000), LOOK, 1).kind} == plain


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Density(rbc_per_mm2=20000), "of the glass"),
        (Density(wbc_per_mm2=-1), "wbc_per_mm2 must be 0 or more"),
        (Density(platelets_per_mm2=float("nan")), "platelets_per_mm2 must be 0 or more"),
        (Density(touching=1.5), "touching must be a share from 0 to 1"),
    ],
)
def test_what_cannot_be_laid_is_refused(asked: Density, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan((100, 100), LOOK, 0, asked)


def test_sizes_and_scales_are_checked() -> None:
    with pytest.raises(UsageError, match="1x1 px or larger"):
        plan((0, 100), LOOK, 0)
    with pytest.raises(UsageError, match="um_per_px must be from"):
        plan((100, 100), LOOK, 0, um_per_px=0)
