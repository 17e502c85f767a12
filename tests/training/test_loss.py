"""Training asks for nothing in ignore regions, and elsewhere for what Ultralytics asks for."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest

from detector.training import framework

# Looked for and not imported: imported before it is prepared, ultralytics changes how Pillow opens images.
pytestmark = pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")

HEIGHT, WIDTH = 64, 96
REGION = 3.0
CELL = (0, 0.0, 0.3, 0.4, 0.2, 0.3)
"""Picture, class, and centre, width and height as shares of the picture's sides."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A network that has learnt nothing, what it gives for two pictures, and its loss as Ultralytics makes it and as ours."""
    framework.prepare(tmp_path_factory.mktemp("state"))
    import torch
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    from detector.training import loss

    torch.manual_seed(0)
    network = DetectionModel("yolo11n.yaml", nc=3, verbose=False)
    network.args = get_cfg()
    with torch.no_grad():
        given = network.train()(torch.rand(2, 3, HEIGHT, WIDTH))
    return SimpleNamespace(given=given, theirs=network.init_criterion(), ours=loss.criterion(network))


def of(criterion: Any, given: Any, *rows: tuple[float, ...]) -> Any:
    """Loss of boxes, classes and edges, each for two pictures; a row is as `CELL`."""
    import torch

    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return criterion(given, {"batch_idx": table[:, 0], "cls": table[:, 1:2], "bboxes": table[:, 2:]})[0]


@pytest.mark.parametrize("rows", [(), (CELL,), (CELL, (1, 2.0, 0.7, 0.5, 0.1, 0.1), (1, 1.0, 0.4, 0.5, 0.3, 0.4))])
def test_without_regions_it_is_ultralytics_own(made: SimpleNamespace, rows: tuple[tuple[float, ...], ...]) -> None:
    ours, theirs = of(made.ours, made.given, *rows), of(made.theirs, made.given, *rows)
    assert type(made.ours) is not type(made.theirs)
    assert ours.tolist() == theirs.tolist()
    assert theirs[1] > 0


def test_in_a_region_over_everything_nothing_is_asked_for(made: SimpleNamespace) -> None:
    everywhere = [(picture, REGION, 0.5, 0.5, 1.0, 1.0) for picture in (0, 1)]
    assert of(made.ours, made.given, *everywhere).tolist() == [0, 0, 0]
    one, none = of(made.ours, made.given, everywhere[0]), of(made.ours, made.given)
    assert 0 < one[1] < none[1]


def test_what_is_asked_for_inside_of_a_region_and_outside_is_the_whole(made: SimpleNamespace) -> None:
    """A region over the left two thirds of a picture that is wider than high, and one over the rest."""
    other = (1, REGION, 0.5, 0.5, 1.0, 1.0)
    left, right = (0, REGION, 1 / 3, 0.5, 2 / 3, 1.0), (0, REGION, 5 / 6, 0.5, 1 / 3, 1.0)
    without_left, without_right, whole = (of(made.ours, made.given, other, *rows)[1] for rows in ((left,), (right,), ()))
    assert (without_left + without_right).item() == pytest.approx(whole.item(), rel=1e-5)
    # Two thirds of the places are in the left part, and a network that has learnt nothing answers alike at all.
    assert without_left.item() == pytest.approx(whole.item() / 3, rel=0.1)
    assert of(made.ours, made.given, other, left, right)[1] == 0


def test_what_is_not_asked_for_lies_in_the_region(made: SimpleNamespace) -> None:
    """A region over the lower left part of the first picture."""
    import torch

    scores = made.given["scores"].clone().requires_grad_()
    of(made.ours, {**made.given, "scores": scores}, (0, REGION, 0.2, 0.75, 0.4, 0.5))[1].backward()
    places = [(x, y) for step in (8, 16, 32) for y in range(step // 2, HEIGHT, step) for x in range(step // 2, WIDTH, step)]
    within = torch.tensor([x < 0.4 * WIDTH and y > 0.5 * HEIGHT for x, y in places])
    silent = (scores.grad == 0).all(dim=1)
    assert silent[0].tolist() == within.tolist()
    assert not silent[1].any()


def test_a_cell_in_a_region_is_asked_for_all_the_same(made: SimpleNamespace) -> None:
    everywhere = [(picture, REGION, 0.5, 0.5, 1.0, 1.0) for picture in (0, 1)]
    within, alone = of(made.ours, made.given, CELL, *everywhere), of(made.ours, made.given, CELL)
    assert within[0] == alone[0] > 0
    assert within[2] == alone[2] > 0
    assert 0 < within[1] < alone[1]


def test_a_region_is_no_cell_to_be_found(made: SimpleNamespace) -> None:
    """A region that covers no place of the network's changes nothing."""
    tiny = (0, REGION, 0.5, 0.5, 1e-4, 1e-4)
    assert of(made.ours, made.given, CELL, tiny).tolist() == of(made.ours, made.given, CELL).tolist()
