"""The exported graph answers what Ultralytics answers, for networks that the project ships, trains and could train."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import ModelError
from detector.training import framework
from detector.vision import backends

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'"),
]

SHIPPED_WEIGHTS = Path(framework.__file__).parents[1] / "models" / "smearcount.pt"
# Blocks of halves and stretched pictures are to be found in the first three; the last has one branch for boxes without bins.
ARCHITECTURES = ["yolo11n.yaml", "yolov8n.yaml", "yolov9t.yaml", "yolo12n.yaml", "yolo26n.yaml"]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Any:
    framework.prepare(tmp_path_factory.mktemp("state"))
    return framework.graph()


def _network(name: str) -> Any:
    """A network with weights that let every place see what lies around it, which those of a first step hardly do."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    network = YOLO(name, task="detect").model.float().eval()
    if name.endswith(".yaml"):
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.3, 0.6)
                part.weight.data.uniform_(0.8, 1.2)
                part.bias.data.normal_(0, 0.1)
        for last in (one[-1] for one in network.model[-1].cv3):
            last.bias.data.fill_(-0.5)
    return network


def _expected(network: Any, pixels: np.ndarray) -> np.ndarray:
    """Boxes and scores of all places, by Ultralytics."""
    import torch

    head = network.model[-1]
    head.end2end = False
    head.xyxy = True
    with torch.no_grad():
        answer = network(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).float() / 255)
    return (answer[0] if isinstance(answer, tuple) else answer)[0].numpy().T


@pytest.mark.parametrize("name", [str(SHIPPED_WEIGHTS), *ARCHITECTURES])
def test_the_graph_answers_as_the_network_it_was_made_of(graph: Any, name: str, tmp_path: Path) -> None:
    import torch

    network = _network(name)
    pixels = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    network.model[-1].end2end = False
    expected = _expected(copy.deepcopy(network), pixels)
    made = graph.Graph(network, range(len(network.model[-1].stride)))
    target = tmp_path / "made.onnx"
    graph.write(made, target)
    best = np.sort(expected[:, 4:].max(axis=1))
    for share in (0.0, 0.5, 0.95):
        # In the widest gap thereabouts, so that no rounding decides.
        part = best[int(share * len(best)) :][:16]
        widest = np.diff(part).argmax()
        cut = 0.0 if share == 0 else part[widest : widest + 2].mean()
        least = np.full(expected.shape[1] - 4, cut, dtype=np.float32)
        chosen = expected[(expected[:, 4:] >= least).any(axis=1)]
        answer = made(torch.from_numpy(pixels), torch.from_numpy(least)).numpy()
        np.testing.assert_allclose(answer, chosen, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(backends.open_network(target).run(pixels, least), chosen, rtol=1e-3, atol=1e-3)


def test_what_costs_more_than_it_needs_is_put_elsewhere(graph: Any) -> None:
    """Else the test above would hold for a graph that saves nothing."""
    import torch

    network = _network(str(SHIPPED_WEIGHTS))
    made = graph.Graph(network, [0, 1, 2])
    halves = [part for part in made.modules() if isinstance(part, graph._Halves)]
    assert [len(part.before) for part in halves].count(2) == 2, "stretched pictures are convolved before they are stretched"
    assert len(halves) == 9
    calls = []
    for level in made.levels:
        level.first.register_forward_hook(lambda _part, given, _answer: calls.append(len(given[0])))
    pixels = torch.full((320, 416, 3), 235, dtype=torch.uint8)
    made(pixels, torch.full((3,), 0.95))
    assert calls == [0, 0, 0], "where no place reaches the scores there is no box"


def test_a_level_that_never_answers_is_left_out_and_no_other(graph: Any, tmp_path: Path) -> None:
    import torch

    network = _network("yolo11n.yaml")
    pixels = np.random.default_rng(1).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    assert graph.answering(network, [pixels]) == [0, 1, 2]
    last = network.model[-1].cv3[1][-1]
    last.weight.data.zero_()
    last.bias.data.fill_(-20.0)
    assert graph.answering(network, [pixels, pixels]) == [0, 2]
    expected = _expected(copy.deepcopy(network), pixels)
    finest, coarsest = 12 * 20, 3 * 5
    some = np.concatenate([expected[:finest], expected[-coarsest:]])
    target = tmp_path / "some.onnx"
    graph.write(graph.Graph(network, [0, 2]), target)
    answer = backends.open_network(target).run(pixels, np.zeros(80, dtype=np.float32))
    np.testing.assert_allclose(answer, some, rtol=1e-3, atol=1e-3)
    mute = _network("yolo11n.yaml")
    for head in mute.model[-1].cv3:
        head[-1].weight.data.zero_()
        torch.nn.init.constant_(head[-1].bias, -20.0)
    assert graph.answering(mute, [pixels]) == [0, 1, 2], "of a network that finds nothing, nothing is known"


def test_another_head_is_refused_before_it_is_trained(graph: Any) -> None:
    from ultralytics import YOLO

    with pytest.raises(ModelError, match=r"mine\.yaml: ends in another head than YOLO's for detection; yolo11n\.yaml"):
        graph.check(YOLO("yolo11n-cls.yaml").model, "mine.yaml")
    graph.check(YOLO("yolo11n.yaml").model, "yolo11n.yaml")
