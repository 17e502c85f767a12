"""The scale of a smear is told once by some of its fields, whichever of them is counted first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from detector.engines import inputs, local
from detector.engines.inputs import FieldInput
from detector.engines.local import SmearScales
from detector.errors import UsageError
from detector.vision import images, scale
from detector.vision.model import Model
from detector.vision.scale import Scale

SAMPLE = next((Path(__file__).parents[2] / "datasets" / "samples").glob("smear_a/*.jpg"))


def smear(folder: Path, factors: Sequence[float]) -> list[FieldInput]:
    """Fields of one smear, each the same sample made larger or smaller."""
    folder.mkdir(parents=True)
    bgr = cv2.imread(str(SAMPLE))
    for i, factor in enumerate(factors):
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(bgr, None, fx=factor, fy=factor))
    return inputs.search([str(folder)]).fields


def told(model: Model, fields: Sequence[FieldInput]) -> Scale:
    return scale.of_smear([scale.estimate(model, images.read(field.path)) for field in fields])


@pytest.fixture
def seven(tmp_path: Path) -> list[FieldInput]:
    """Seven fields, of which the two that do not tell the scale have the largest cells."""
    return smear(tmp_path / "s", [0.5, 1.5, 0.6, 0.55, 0.58, 1.5, 0.52])


def test_the_scale_is_the_same_whichever_field_asks_first(model: Model, seven: list[FieldInput]) -> None:
    expected = told(model, [seven[i] for i in scale.probes(7)])
    assert expected != told(model, seven)
    assert expected.source == scale.OF_SMEAR
    for fields in (seven, seven[::-1]):
        scales = SmearScales(model, seven)
        assert {scales.of(field) for field in fields} == {expected}


def test_threads_wait_for_one_of_them_to_find_it(model: Model, seven: list[FieldInput], monkeypatch: pytest.MonkeyPatch) -> None:
    looks, together = [], threading.Barrier(4)
    monkeypatch.setattr(local, "estimate", lambda *arguments: looks.append(1) or scale.estimate(*arguments))
    scales = SmearScales(model, seven)

    def ask(one: FieldInput) -> Scale | None:
        together.wait(30)
        return scales.of(one)

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(ask, seven[:4]))
    assert len(answers) == 1
    assert len(looks) == scale.PROBES


@pytest.mark.parametrize("fields", [1, 2])
def test_in_a_smear_of_few_fields_each_tells_its_own(model: Model, tmp_path: Path, fields: int) -> None:
    few = smear(tmp_path / "s", [0.5] * fields)
    assert [SmearScales(model, few).of(field) for field in few] == [None] * fields


def test_smears_do_not_speak_for_each_other(model: Model, tmp_path: Path) -> None:
    small, large = (smear(tmp_path / name, [factor] * 3) for name, factor in (("a", 0.5), ("b", 1.0)))
    both = [*(replace(field, smear="a") for field in small), *(replace(field, smear="b") for field in large)]
    scales = SmearScales(model, both)
    a, b = scales.of(both[0]), scales.of(both[-1])
    assert a is not None and a.rbc_px is not None  # noqa: PT018
    assert b is not None and b.rbc_px == pytest.approx(2 * a.rbc_px, rel=0.1)  # noqa: PT018


def test_a_field_that_cannot_be_read_tells_nothing_and_stops_nothing(model: Model, tmp_path: Path) -> None:
    fields = smear(tmp_path / "s", [0.5, 0.5, 0.5])
    expected = told(model, fields)
    fields[0].path.write_bytes(b"no image")
    assert [SmearScales(model, fields).of(field) for field in fields] == [expected] * 3
    for field in fields:
        field.path.unlink()
    assert SmearScales(model, fields).of(fields[0]) == Scale(None, scale.UNKNOWN)


def test_what_a_user_gives_is_taken_and_tells_the_others_nothing(model: Model, tmp_path: Path) -> None:
    fields = smear(tmp_path / "s", [0.5, 0.5, 0.5])
    given = [replace(field, um_per_px=0.5) for field in fields[:1]]
    scales = SmearScales(model, [*given, *fields[1:]])
    assert scales.of(given[0]) == Scale(15.0, scale.GIVEN)
    assert scales.of(fields[1]) is None
    with pytest.raises(UsageError, match="not a scale of a smear"):
        scales.of(replace(fields[0], um_per_px=20.0))
