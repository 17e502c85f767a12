"""Which fields are of one stain and camera, by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.annotations import dataset, domains
from detector.annotations.records import Record
from detector.errors import AnnotationError

PBC, RAABIN = [f"pbc_{i}" for i in range(50)], [f"raabin_{i}" for i in range(50)]


def _domains(names: list[str], called: str = "mine") -> dict[str, int]:
    of = domains.by_name(names, called)
    found = [of(name) for name in names]
    return {domain: found.count(domain) for domain in dict.fromkeys(found)}


def test_each_of_a_few_prefixes_is_a_domain() -> None:
    assert _domains([*PBC, *RAABIN], "txl_pbc") == {"txl_pbc/pbc": 50, "txl_pbc/raabin": 50}


@pytest.mark.parametrize(
    "names",
    [
        [f"BloodImage_{i:05}" for i in range(20)],
        [*PBC, *PBC, "raabin_1"],  # too few of one
        [*PBC, *RAABIN, "test"],  # one without a prefix
        [f"{slide}_{i}" for slide in (101, 102) for i in range(9)],  # mere numbers
        [f"slide{k}_{i}" for k in range(domains.MOST + 1) for i in range(9)],
        ["a_", "b_"],
        ["field"],
        [],
    ],
)
def test_otherwise_the_dataset_is_one_domain(names: list[str]) -> None:
    assert set(_domains(names)) <= {"mine"}


def test_a_prefix_may_be_as_rare_as_the_rule_says() -> None:
    names = [f"a_{i}" for i in range(95)] + [f"b_{i}" for i in range(5)]
    assert _domains(names) == {"mine/a": 95, "mine/b": 5}
    assert _domains([*names, "a_95"]) == {"mine": 101}


def test_a_stranger_is_of_the_dataset() -> None:
    assert domains.by_name([*PBC, *RAABIN], "mine")("bccd_1") == "mine"


def _write(folder: Path, names: list[tuple[str, str]]) -> Path:
    image = folder.parent / "image.png"
    image.write_bytes(b"not looked into")
    box = (np.array([[1, 1, 5, 5]], np.float32), np.array([0]))
    dataset.write(folder, [Record(name, image, (9, 9), *box, split) for name, split in names])
    return folder / "data.yaml"


def test_the_prefixes_of_all_splits_count(tmp_path: Path) -> None:
    data = _write(tmp_path / "mine", [("a_1", "train"), ("a_2", "train"), ("b_1", "test"), ("a_3", "val")])
    assert dataset.names(data) == ["a_1", "a_2", "a_3", "b_1"]
    of = domains.of_dataset(data)
    assert [of(name) for name in ("a_3", "b_1")] == ["mine/a", "mine/b"]
    assert domains.of_dataset(data, "mine (2)")("a_3") == "mine (2)/a"
    with pytest.raises(AnnotationError, match="no such file"):
        domains.of_dataset(tmp_path / "none.yaml")
