"""Only the layers that score are trained, on pictures of one field each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if find_spec("ultralytics") is None:
    pytest.skip("needs the train extra: pip install -e '.[train]'", allow_module_level=True)

from detector.annotations import dataset, sources
from detector.training import framework, settings
from detector.vision.catalogue import SHIPPED

if TYPE_CHECKING:
    from detector.training.scores import AugmentedView, Scorer

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples" / "truth.json"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scorer, Sequence[AugmentedView], Path]:
    """A scorer, two views of each of two rendered fields, one all of it an ignore region, and weights that were trained on them."""
    folder = tmp_path_factory.mktemp("scores")
    framework.prepare(folder / ".ultralytics", says=False)
    from detector.training.scores import Scorer

    records = list(sources.load_truth(SAMPLES).records.values())[:2]
    w, h = records[0].size_wh
    records[0] = replace(records[0], ignore=np.array([[0, 0, w, h]], np.float32))
    dataset.write(folder / "data", [replace(record, name=f"f{i}", split="train") for i, record in enumerate(records)])
    images = sorted((folder / "data" / "images" / "train").iterdir(), reverse=True)
    scorer = Scorer(SHIPPED.with_suffix(".pt"), settings.load(overrides={"image_px": 96, "batch": 4}))
    views = scorer.look(images, 2)
    scorer.teach(views[:2], views[2:], 2, folder / "taught.pt")
    return scorer, views, folder / "taught.pt"


def weights(path: Path) -> dict[str, Any]:
    """The state of a network in a file of weights."""
    from detector.training import fit

    return dict(fit.start(str(path)).model.state_dict())


@pytest.mark.slow
def test_views_are_of_one_field_each_in_the_order_of_the_fields(taught: tuple[Scorer, Sequence[AugmentedView], Path]) -> None:
    _, views, _ = taught
    assert [view.field for view in views] == [0, 0, 1, 1]
    for view in views:
        assert [tuple(level.shape[1:]) for level in view.features] == [(12, 12), (6, 6), (3, 3)]
        assert tuple(view.asked.shape) == (189, 3)
        assert ((view.asked >= 0) & (view.asked <= 1)).all()
    assert all(view.asked.any() for view in views)


@pytest.mark.slow
def test_nothing_is_asked_in_ignore_regions(taught: tuple[Scorer, Sequence[AugmentedView], Path]) -> None:
    _, views, _ = taught
    # The field with a region comes last.
    assert [bool((view.weight == 0).any()) for view in views[:2]] == [False, False]
    assert any((view.weight == 0).any() for view in views[2:])
    assert all(view.weight[view.asked.amax(dim=1) > 0].all() for view in views)


def test_all_but_the_scores_stays(taught: tuple[Scorer, Sequence[AugmentedView], Path]) -> None:
    before, after = weights(SHIPPED.with_suffix(".pt")), weights(taught[2])
    assert before.keys() == after.keys()
    changed = {name for name, value in before.items() if not value.equal(after[name])}
    head = max(int(name.split(".")[1]) for name in before)
    assert changed
    assert all(name.startswith(f"model.{head}.cv3.") for name in changed)
    # Means and variances of the layers that score are those of the former training.
    assert not any("running" in name for name in changed)


@pytest.mark.slow
def test_each_training_begins_with_the_loaded_weights(
    taught: tuple[Scorer, Sequence[AugmentedView], Path], tmp_path: Path
) -> None:
    scorer, views, path = taught
    scorer.teach(views[:2], views[2:], 2, tmp_path / "again.pt")
    first, again = weights(path), weights(tmp_path / "again.pt")
    assert all(value.equal(again[name]) for name, value in first.items())


@pytest.mark.slow
def test_the_seed_alone_decides_what_pictures_are_drawn(taught: tuple[Scorer, Sequence[AugmentedView], Path]) -> None:
    import torch

    scorer, views, written = taught
    images = sorted((written.parent / "data" / "images" / "train").iterdir(), reverse=True)
    torch.manual_seed(5)
    again = scorer.look(images, 2)
    for view, other in zip(views, again, strict=True):
        assert all(torch.equal(level, same) for level, same in zip(view.features, other.features, strict=True))
