"""Files of class names from strangers: nothing of them is built but the names, and what is none has a reason."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from detector.annotations import yolo
from detector.errors import AnnotationError


def names(folder: Path, text: str) -> list[str] | None:
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return yolo.class_names(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("names: [RBC, 'WBC', Platelets]\n", ["RBC", "WBC", "Platelets"]),
        ("names:\n  0: RBC\n  2: WBC\n", ["RBC", "class 1", "WBC"]),
        ("names: [no, 2024-01-01, 1e999, 0x10, ~]\n", ["no", "2024-01-01", "1e999", "0x10", "~"]),
        ("names: &n [RBC]\nother: *n\n", ["RBC"]),
        ("other: &n [RBC, WBC]\nnames: *n\n", ["RBC", "WBC"]),
        ("train: ../train\ndate: 2024-13-45\nnumber: 1e999\nnames: [RBC]\n", ["RBC"]),
        ("download: !!python/object/apply:os.system [exit]\nnames: [RBC]\n", ["RBC"]),
    ],
)
def test_names_are_those_that_stand_there(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert names(tmp_path, text) == expected


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)) + "names: [*a59]\n"
MERGED = "a0: &a0 {k: x}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)) + "names: *a59\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "no usable 'names'"),
        (MERGED, "no usable 'names'"),
        ("names: {100000000: x}\n", "'100000000' is no class number, which are 0 to 9999"),
        ("names: {-1: x}\n", "'-1' is no class number"),
        ("names: {1.5: x}\n", "'1.5' is no class number"),
        ("names: {2024-01-01: x}\n", "'2024-01-01' is no class number"),
        (f"names: {{{'9' * 900}: x}}\n", "is no class number"),
        (f"names:\n  {'9' * 5000}: x\n", "not readable as YAML"),
        ("names: {0: RBC, 0: WBC}\n", "class 0 is called 'RBC' and 'WBC'"),
        ("names: [[RBC]]\n", "no usable 'names'"),
        ("names: {0: [RBC]}\n", "no usable 'names'"),
        (f"names: {'[' * 5000}\n", "nested too deeply"),
        (f"names: {'{a: ' * 5000}\n", "nested too deeply"),
        (f"names: {'- ' * 5000}\n", "not readable as YAML"),
        (f"names: [{'x' * 300}]\n", "a class has a name of 300 characters"),
        ("names: &n [*n]\n", "no usable 'names'"),
        ("names: *nowhere\n", "not readable as YAML"),
        ("? [a]\n: b\n", "no usable 'names'"),
        ("", "no usable 'names'"),
        ("names: [RBC]\n---\nnames: [WBC]\n", "not readable as YAML"),
        ("names: [R\0C]\n", "not readable as YAML"),
    ],
)
def test_an_attack_on_the_names_has_a_reason_in_little_time_and_memory(tmp_path: Path, text: str, reason: str) -> None:
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(AnnotationError, match=rf"data\.yaml: .*{reason}"):
            names(tmp_path, text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", ["data.yaml", "classes.txt"])
def test_a_file_of_names_without_end_is_not_read(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(AnnotationError, match="is larger than 1 MiB"):
        yolo.class_names(tmp_path)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("RBC\n" + "y" * 256 + "\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"classes\.txt: a class has a name of 256 characters"):
        yolo.class_names(tmp_path)
