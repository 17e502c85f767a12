"""The bytes of the tables depend on the fields alone: not on threads, order or what stands beside a field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engines import inputs, job
from detector.engines.inputs import FieldInput
from detector.engines.local import Work
from detector.output import coco, tables
from detector.output.journal import Journal
from detector.synthetic.layout import plan
from detector.synthetic.render import window
from detector.synthetic.stain import preset
from detector.vision import backends, images
from detector.vision.model import Model, canvas

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("afresh")]

SIZES_WH = [(320, 240), (200, 260), (416, 320), (90, 70), (320, 240), (640, 300)]


@pytest.fixture(scope="module")
def model(afresh: None) -> Model:
    """The shipped model, which remembers nothing."""
    return Model.load()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[FieldInput]:
    """Synthetic fields of several sizes, one of them in tiles, one without cells and one that is no image."""
    folder = tmp_path_factory.mktemp("fields")
    for i, (w, h) in enumerate(SIZES_WH):
        field = window(plan((w, h), preset("bccd"), i, um_per_px=0.15), 0, 0, w, h)
        cv2.imwrite(str(folder / f"{i}.png"), field.image[:, :, ::-1])
    cv2.imwrite(str(folder / "empty.png"), np.full((100, 120, 3), 230, np.uint8))
    (folder / "bad.png").write_bytes(b"no image")
    return inputs.search([str(folder)], um_per_px=0.15).fields


@pytest.fixture(scope="module", params=[backends.CPU, backends.OPENVINO])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param not in backends.available():
        pytest.skip(f"backend {request.param} is not on this computer")
    return str(request.param)


def _files(fields: Sequence[FieldInput], model: Model, workers: int, folder: Path) -> list[bytes]:
    """What a count writes, with the fields back in the order of their names."""
    ordered = sorted(fields, key=lambda one: one.field)
    with Journal(folder / "journal", job.journal_key(model), resume=False) as journal:
        job.count_fields(fields, Work(model, workers, journal))
        outcome = job.count_fields(ordered, Work(model, workers, journal))
        coco.write(folder / "detections.json", job.entries(ordered, journal))
    tables.of_fields(outcome.fields).write(folder / "counts.csv")
    tables.of_smears(outcome.smears).write(folder / "smears.csv")
    return [(folder / name).read_bytes() for name in ("counts.csv", "smears.csv", "detections.json")]


def test_threads_and_order_change_no_byte(
    rendered: list[FieldInput], backend: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = _files(rendered, Model.load(backend=backend), 1, tmp_path_factory.mktemp("one"))
    assert expected[0].count(b",ok,") == len(SIZES_WH) + 1
    models = {workers: Model.load(backend=backend, workers=workers) for workers in (1, 2, 3)}

    @given(st.permutations(rendered), st.sampled_from(sorted(models)))
    @settings(max_examples=5)
    def holds(fields: list[FieldInput], workers: int) -> None:
        assert _files(fields, models[workers], workers, tmp_path_factory.mktemp("other")) == expected

    holds()


def test_a_field_alone_is_counted_as_among_others(
    rendered: list[FieldInput], model: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    among = _files(rendered, model, 2, tmp_path_factory.mktemp("among"))[0].splitlines()
    for i, one in enumerate(sorted(rendered, key=lambda one: one.field)):
        alone = _files([one], model, 2, tmp_path_factory.mktemp("alone"))[0].splitlines()
        assert alone[1] == among[1 + i]


def test_threads_within_a_crop_change_no_cell(rendered: list[FieldInput], model: Model) -> None:
    several = Model.load(threads=3)
    least = np.full(3, 0.01, dtype=np.float32)
    for field in rendered:
        if field.field == "bad.png":
            continue
        pixels = canvas(images.read(field.path), model.card)[0]
        # The last bits, far below what a result keeps, depend on how a sum is cut for threads.
        np.testing.assert_allclose(several.network.run(pixels, least), model.network.run(pixels, least), rtol=0, atol=1e-3)
