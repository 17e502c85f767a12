"""Networks: those that classify crops, U-Net and Faster R-CNN, on rendered cells whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch

from detector.accuracy.matching import operating
from detector.baselines import comparison, methods, networks, unet
from detector.baselines.classifiers import NETWORKS, CropClassifier
from detector.baselines.crops import Crops, of_boxes
from detector.baselines.methods import Classical, LabelledField
from detector.baselines.scores import score
from detector.errors import MissingExtraError, NothingToDoError
from detector.vision import boxes
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC
from detector.vision.model import Model

Steps = Callable[[int], None]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Sets the batches that networks learn from, and makes them small."""

    def fixed(number: int) -> None:
        monkeypatch.setattr(networks, "STEPS", number)
        monkeypatch.setattr(networks, "_BATCH", 24)
        monkeypatch.setattr(unet.UNet, "steps", number)

    return fixed


@pytest.fixture(scope="module")
def train(train_fields: list[LabelledField]) -> Crops:
    return of_boxes(train_fields)


@pytest.fixture(scope="module")
def test(test_fields: list[LabelledField]) -> Crops:
    return of_boxes(test_fields)


def without(fields: list[LabelledField], label: int) -> list[LabelledField]:
    """Fields in which no cell of this class is labelled."""
    kept = [field.record.label != label for field in fields]
    return [
        LabelledField(replace(field.record, xyxy=field.record.xyxy[cells], label=field.record.label[cells]), field.rgb)
        for field, cells in zip(fields, kept, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_tell_rendered_cells_apart(name: str, train: Crops, test: Crops, steps: Steps) -> None:
    steps(60)
    classifier = CropClassifier(name, enhanced=False, seed=1)
    classifier.fit(train)
    label, probability = classifier.classify(test)
    scores = score(CLASSES, test.label, label, test.fields)
    assert scores.balanced is not None
    assert scores.balanced.value > 0.85
    assert probability.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(probability.argmax(axis=1), label)
    assert 10_000 < classifier.size_bytes() < 2_000_000
    assert classifier.fit_s > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_network(name: str, train: Crops, test: Crops, steps: Steps) -> None:
    steps(3)
    probabilities = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(probabilities))
        classifier = CropClassifier(name, enhanced=True, seed=seed)
        classifier.fit(train)
        probabilities.append(classifier.classify(test)[1])
    assert np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(probabilities[0], probabilities[2])


def test_a_class_without_crops_is_never_given(train: Crops, test: Crops, steps: Steps) -> None:
    steps(2)
    classifier = CropClassifier("triplet embedding", enhanced=False)
    classifier.fit(train.subset(np.flatnonzero(train.label != WBC).tolist()))
    label, probability = classifier.classify(test)
    assert classifier.unlearnt == ("WBC",)
    assert WBC not in label
    assert (probability[:, WBC] == 0).all()
    assert classifier.classify(test.subset([]))[0].shape == (0,)


def test_one_class_only_is_refused(train: Crops) -> None:
    with pytest.raises(NothingToDoError, match=r"CNN by Adam needs 5 crops of two classes or more, got \d+ RBC"):
        CropClassifier("CNN by Adam", enhanced=False).fit(train.subset(np.flatnonzero(train.label == RBC).tolist()))


def test_the_triplet_loss_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(7, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    truth = np.array([0, 0, 1, 1, 2, 0, 2])
    losses = []
    for a in range(7):
        for p in np.flatnonzero(truth == truth[a]):
            for n in np.flatnonzero(truth != truth[a]):
                if p != a:
                    apart = ((points[a] - points[p]) ** 2).sum() - ((points[a] - points[n]) ** 2).sum()
                    losses.append(max(0.0, apart + 0.2))
    above = [loss for loss in losses if loss > 0]
    loss = networks.triplet_loss(torch.from_numpy(points), torch.from_numpy(truth))
    assert float(loss) == pytest.approx(sum(above) / len(above))
    assert float(networks.triplet_loss(torch.from_numpy(points), torch.zeros(7))) == 0


def test_embeddings_have_length_one(train: Crops, steps: Steps) -> None:
    steps(1)
    embedding = networks.TripletEmbedding(0).fit(train.squares(False), train.label)
    assert np.linalg.norm(embedding.outputs(train.squares(False)), axis=1) == pytest.approx(1, abs=1e-4)


def test_separable_convolutions_are_lighter() -> None:
    heavy, light = (networks.weights_bytes(kind(0).made(3)) for kind in (networks.AdamCnn, networks.SeparableCnn))
    assert light < heavy / 4


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with networks.seeded(1):
        torch.rand(5)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_unet_finds_touching_cells(train_fields: list[LabelledField], test_fields: list[LabelledField], steps: Steps) -> None:
    steps(120)
    method = unet.UNet()
    method.fit(train_fields)
    rates = operating([field.record for field in test_fields], [method.detect(field.rgb) for field in test_fields])
    for name, least in (("RBC", 0.85), ("WBC", 0.8), ("Platelets", 0.5)):
        assert rates[name].precision.value >= least, rates[name]
        assert rates[name].recall.value >= least, rates[name]
    bare = np.random.default_rng(0).normal(215, 3, (210, 280, 3)).clip(0, 255).astype(np.uint8)
    for rgb in (bare, np.full((60, 80, 3), 230, np.uint8)):
        assert len(method.detect(rgb)) == 0


@pytest.mark.parametrize("name", ["U-Net", pytest.param("Faster R-CNN", marks=pytest.mark.slow)])
def test_a_class_that_is_not_labelled_is_not_looked_for(
    name: str,
    train_fields: list[LabelledField],
    test_fields: list[LabelledField],
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps(2)
    kind: type[Classical] = unet.UNet
    if name != "U-Net":
        # It imports torchvision, which takes seconds.
        from detector.baselines import rcnn

        kind = rcnn.RegionNetwork
        monkeypatch.setattr(kind, "steps", 2)
    told: list[float] = []
    made = []
    for _ in range(2):
        method = kind()
        method.advance = told.append
        method.fit(without(train_fields, PLATELETS))
        made.append(method.search(test_fields[0].rgb))
    assert method.classes == (RBC, WBC)
    assert told == [1] * 4
    assert method.size_bytes() > 100_000
    (counted, searched), (again, _) = made
    assert np.array_equal(counted.xyxy, again.xyxy)
    assert np.array_equal(counted.score, again.score)
    assert len(counted) <= len(searched)
    assert searched.size_wh == test_fields[0].record.size_wh
    with pytest.raises(NothingToDoError, match="learns from 3 labelled fields or more, got 2"):
        kind().fit(train_fields[:2])


def test_faster_r_cnn_begins_from_boxes_that_cover_half_of_every_cell() -> None:
    """At its default depth the places of boxes are 32 px apart, and cells lie between them."""
    from torchvision.models.detection.image_list import ImageList

    from detector.baselines import rcnn

    pictures = torch.zeros(1, 3, 320, 320)
    network = rcnn._network().eval()
    with torch.inference_mode():
        features = list(network.backbone(pictures).values())
        (begun,) = network.rpn.anchor_generator(ImageList(pictures, [(320, 320)]), features)
    for side in (20, 28, 40, 48, 60, 80, 110):
        for at in range(100, 132, 5):
            cells = np.array([[at, at + 7, at + side, at + 7 + side]], np.float32)
            assert boxes.iou(begun.numpy(), cells).max() >= 0.5, (side, at)


@pytest.mark.slow
def test_faster_r_cnn_finds_touching_cells(
    train_fields: list[LabelledField], test_fields: list[LabelledField], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 30 of its 800 steps: white cells and platelets take longer, and what an empty field is, these fields do not teach."""
    from detector.baselines import rcnn

    monkeypatch.setattr(rcnn.RegionNetwork, "steps", 30)
    method = rcnn.RegionNetwork()
    method.fit(train_fields)
    rates = operating([field.record for field in test_fields], [method.detect(field.rgb) for field in test_fields])
    assert rates["RBC"].precision.value >= 0.8, rates["RBC"]
    assert rates["RBC"].recall.value >= 0.7, rates["RBC"]


@pytest.mark.parametrize("training", [True, False])
def test_faster_r_cnn_sees_fields_in_the_size_that_it_learned(training: bool) -> None:
    from detector.baselines import rcnn

    network = rcnn._network().train(training)
    seen, _ = network.transform([torch.zeros(3, 60, 90)])
    assert seen.image_sizes == [(60, 90)]


def touching(ignore: list[list[float]]) -> LabelledField:
    """Two red cells that touch, and a platelet."""
    rgb = np.full((60, 90, 3), 220, np.uint8)
    for x in (25, 55):
        cv2.circle(rgb, (x, 30), 15, (200, 120, 140), cv2.FILLED)
    made = methods.Record(
        "touching",
        None,
        (90, 60),
        np.array([[10, 15, 40, 45], [40, 15, 70, 45], [76, 8, 84, 16]], np.float32),
        np.array([RBC, RBC, PLATELETS]),
        ignore=np.array(ignore, np.float32).reshape(-1, 4),
    )
    return LabelledField(made, rgb)


def test_middles_of_touching_cells_are_apart() -> None:
    label, weight = unet._truth(touching([[0, 0, 20, 20]]), (RBC, PLATELETS), 30.0)
    number, _, stats, _ = cv2.connectedComponentsWithStats((label == RBC + 1).astype(np.uint8))
    assert number == 3
    for (x, y, w, h, _), box in zip(stats[1:].tolist(), ([10, 15, 40, 45], [40, 15, 70, 45]), strict=True):
        assert unet._grown((x, y, x + w, y + h), 1 / 0.6) == pytest.approx(box, abs=1.5)
    assert 8 < (label == PLATELETS + 1).sum() < 20
    assert weight[12, 80] > weight[30, 40] == weight[30, 25] > weight[2, 50] == 1
    assert label[2, 2] == -1
    assert label[30, 25] == RBC + 1


def test_cells_on_top_of_each_other_have_no_common_middle() -> None:
    field = touching([])
    same = replace(field.record, xyxy=field.record.xyxy[[0, 0]], label=np.array([RBC, WBC]))
    label, _ = unet._truth(LabelledField(same, field.rgb), (RBC, WBC), 30.0)
    assert (label == 0).all()


def test_without_torch_the_networks_are_named(monkeypatch: pytest.MonkeyPatch, model: Model, train: Crops) -> None:
    monkeypatch.setattr(methods, "find_spec", lambda _: None)
    *others, last = comparison.methods(model, 0, long=True)
    assert (others[-1].name, last.name) == ("U-Net", "Faster R-CNN")
    for failing in (lambda: last.fit([]), lambda: CropClassifier("CNN by SGD", enhanced=False).fit(train)):
        with pytest.raises(MissingExtraError, match=r"needs torch, which is not installed: pip install 'smearcount\[train\]'"):
            failing()


def test_long_methods_are_asked_for(model: Model) -> None:
    assert "Faster R-CNN" not in [method.name for method in comparison.methods(model, 0)]
    assert comparison.methods(model, 0, long=True)[-1].name == "Faster R-CNN"
