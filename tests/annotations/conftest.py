"""Tiny label sets of every layout, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

Box = tuple[str, float, float, float, float]
"""Class name and corners in pixels."""

CELLS: tuple[Box, ...] = (("RBC", 4, 6, 30, 28), ("WBC", 40, 10, 78, 52), ("Platelets", 10, 40, 16, 47))


def picture(seed: int, size_wh: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A field that looks like no other: smooth blobs, of shape (h, w, 3)."""
    w, h = size_wh
    noise = np.random.default_rng(seed).normal(size=(h, w, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + 500 * smooth, 0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write an image whatever letters its name has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def voc_xml(boxes: Sequence[Box], size_wh: tuple[int, int] | None = (96, 64), filename: str = "wrong.jpg") -> str:
    """A VOC annotation; its file name is wrong on purpose."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in boxes
    )
    size = f"<size><width>{size_wh[0]}</width><height>{size_wh[1]}</height><depth>3</depth></size>" if size_wh else ""
    return f"<annotation><filename>{filename}</filename>{size}{objects}</annotation>"


def yolo_text(boxes: Sequence[Box], names: Sequence[str], size_wh: tuple[int, int] = (96, 64)) -> str:
    """A YOLO label file in the class order `names`."""
    w, h = size_wh
    rows = ((names.index(n), (a + c) / 2 / w, (b + d) / 2 / h, (c - a) / w, (d - b) / h) for n, a, b, c, d in boxes)
    return "".join(f"{k} {cx:.8f} {cy:.8f} {bw:.8f} {bh:.8f}\n" for k, cx, cy, bw, bh in rows)


def coco_json(fields: dict[str, Sequence[Box]], size_wh: tuple[int, int] = (96, 64)) -> str:
    """A COCO file with ids that start at 7, as no reader may trust them."""
    names = sorted({name for boxes in fields.values() for name, *_ in boxes})
    images = [{"id": 7 + i, "file_name": n, "width": size_wh[0], "height": size_wh[1]} for i, n in enumerate(fields)]
    annotations = [
        {"id": 1, "image_id": 7 + i, "category_id": 7 + names.index(name), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for i, boxes in enumerate(fields.values())
        for name, x1, y1, x2, y2 in boxes
    ]
    categories = [{"id": 7 + k, "name": name} for k, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def write_voc(root: Path, fields: dict[str, Sequence[Box]], lists: dict[str, Sequence[str]] | None = None) -> Path:
    """A folder in BCCD's layout."""
    for i, (name, boxes) in enumerate(fields.items()):
        save(root / "JPEGImages" / f"{name}.jpg", picture(i))
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(boxes), encoding="utf-8")
    for split, names in (lists or {}).items():
        (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def write_yolo(root: Path, fields: dict[str, Sequence[Box]], names: Sequence[str] = ("WBC", "RBC", "Platelet")) -> Path:
    """A YOLO folder with `classes.txt`; a field's name may begin with its split's folder."""
    aliases = {"Platelets": "Platelet"}
    for i, (name, boxes) in enumerate(fields.items()):
        save(root / "images" / f"{name}.png", picture(i))
        label = root / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(yolo_text([(aliases.get(n, n), *corners) for n, *corners in boxes], names), encoding="utf-8")
    (root / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


class Make:
    """The makers above, for tests to reach through one fixture."""

    CELLS = CELLS
    picture = staticmethod(picture)
    save = staticmethod(save)
    voc_xml = staticmethod(voc_xml)
    yolo_text = staticmethod(yolo_text)
    coco_json = staticmethod(coco_json)
    voc = staticmethod(write_voc)
    yolo = staticmethod(write_yolo)


@pytest.fixture(scope="session")
def make() -> type[Make]:
    """Makers of tiny label sets."""
    return Make


@pytest.fixture
def real() -> Callable[[str], Path]:
    """A folder of the shared real data, or a skipped test."""

    def folder(name: str) -> Path:
        path = Path(__file__).parents[2].parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"the real data {name} is not beside this checkout")
        return path

    return folder
