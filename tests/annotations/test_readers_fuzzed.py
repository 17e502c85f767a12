"""Damaged and hostile label files, tables and manifests: whatever stands in them, a reader ends with one of our own errors."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bad_input import in_bytes, in_structure
from detector.accuracy import tables
from detector.annotations import corrections, dataset, sources
from detector.engines import manifest
from detector.errors import SmearcountError

SECONDS = 3.0
"""How long each reader is fuzzed at most."""
ROUNDS = 2000


def fuzz(change: Callable[[random.Random], None], read: Callable[[], object]) -> None:
    """Read after each of many changes; anything but our own errors goes through, and no reading takes long."""
    ends = time.monotonic() + SECONDS
    refused = 0
    for seed in range(ROUNDS):
        change(random.Random(seed))
        started = time.monotonic()
        try:
            read()
        except SmearcountError as error:
            refused += bool(str(error))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - started < 10, f"seed {seed}"
        if time.monotonic() > ends and seed > 20:
            break
    assert refused


def test_coco(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "images" / "a.png", make.picture(1))
    document = json.loads(make.coco_json({"a.png": make.CELLS, "b\\c.png": make.CELLS[:1]}))
    for number, annotation in enumerate(document["annotations"]):
        annotation |= {"id": number, "iscrowd": number % 2, "segmentation": [[1, 2, 30, 2, 30, 40]]}
    document["annotations"][0] |= {"bbox": None, "segmentation": {"size": [64, 96], "counts": [300, 9, 96 * 64 - 309]}}
    fuzz(in_structure(tmp_path / "labels.json", document), lambda: sources.load_truth(tmp_path))


def test_voc(make: Any, tmp_path: Path) -> None:
    root = make.voc(tmp_path, {"a": make.CELLS})
    fuzz(in_bytes(root / "Annotations" / "a.xml"), lambda: tables.read_counts(root))


def test_yolo(make: Any, tmp_path: Path) -> None:
    root = make.yolo(tmp_path, {"a": make.CELLS})
    fuzz(in_bytes(root / "labels" / "a.txt"), lambda: tables.read_counts(root))


def test_a_file_of_class_names(make: Any, tmp_path: Path) -> None:
    root = make.yolo(tmp_path, {"train/a": make.CELLS})
    (root / "data.yaml").write_text("train: images/train\nnames:\n  0: WBC\n  1: RBC\n  2: [Platelet]\n", encoding="utf-8")
    fuzz(in_bytes(root / "data.yaml"), lambda: dataset.load(root / "data.yaml", "train"))


def test_tables_of_counts(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("field;smear;RBC;WBC;note\na.png;s;12,5;3;x\nb.png;s;7;;y\n", encoding="utf-8")
    fuzz(in_bytes(path), lambda: tables.read_counts(path))


def test_manifests(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("field,smear,um_per_px,domain\na/b.png,s,0.1,d\nc.png,t,,e\n", encoding="utf-8")
    fuzz(in_bytes(path), lambda: (manifest.read(path), manifest.read(path, domains=True)))


def test_corrections(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"{','.join(corrections.COLUMNS)}\na,relabel,RBC,1,2,30,40,WBC,why\n", encoding="utf-8")
    fuzz(in_bytes(path), lambda: corrections.read(path))


@pytest.mark.parametrize("name", ["<a>" * 100_000, "<annotation>" + "<object>" * 50_000])
def test_deep_xml_is_a_reason(make: Any, tmp_path: Path, name: str) -> None:
    root = make.voc(tmp_path, {"a": make.CELLS, "b": make.CELLS})
    (root / "Annotations" / "a.xml").write_text(name, encoding="utf-8")
    assert sources.load_truth(root).broken[0].startswith("Annotations/a.xml: not readable as XML")
