"""Files that tools for labels and training read: COCO, Pascal VOC, YOLO, CVAT and Label Studio. All of them show pictures upright."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

import yaml

from detector.annotations import dataset, yolo
from detector.annotations.labelstudio import FIELD
from detector.annotations.records import Record
from detector.counting.result import FieldResult
from detector.errors import ImageError
from detector.output import coco
from detector.output.exchange.run import Run, RunField
from detector.vision import names
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread
from detector.vision.drawing import COLOURS

_LOCAL = "/data/local-files/?d="
"""How Label Studio is asked for a file of the folder that its LOCAL_FILES_DOCUMENT_ROOT names."""


def write_coco(run: Run, folder: Path) -> list[str]:
    """`annotations.json`, as `detections.json`."""
    read = [FieldResult(field.path, field.smear, None, field.cells) for field in run.fields]
    unread = [FieldResult(name, "", None, Unread(name, reason)) for name, reason in run.unread.items()]
    coco.write(folder / "annotations.json", [*read, *unread])
    return []


def write_voc(run: Run, folder: Path) -> list[str]:
    """`Annotations/FIELD.xml` and, where the pictures are known, `JPEGImages/FIELD`.

    A list of all fields and `labelmap.txt` are there for CVAT.
    """
    copied = _Copies(folder / "JPEGImages")
    stems = _stems(run.fields)
    _write(folder / "ImageSets" / "Main" / "default.txt", "".join(f"{stem}\n" for stem in stems))
    colours = "".join(f"{name}:{','.join(map(str, COLOURS[name]))}::\n" for name in CLASSES)
    _write(folder / "labelmap.txt", f"# label:color_rgb:parts:actions\n{colours}")
    for field, stem in zip(run.fields, stems, strict=True):
        root = Element("annotation")
        picture = copied.add(field, stem)
        _texts(root, {"folder": "JPEGImages", "filename": picture or field.path})
        _texts(SubElement(root, "source"), {"database": "smearcount"})
        w, h = field.cells.size_wh
        _texts(SubElement(root, "size"), {"width": w, "height": h, "depth": 3})
        _texts(root, {"segmented": 0})
        for name, corners in zip(field.names, field.corners, strict=True):
            cell = SubElement(root, "object")
            _texts(cell, {"name": name, "pose": "Unspecified", "truncated": 0, "difficult": 0})
            _texts(SubElement(cell, "bndbox"), dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)))
        _write(folder / "Annotations" / f"{stem}.xml", _xml(root))
    return copied.remarks()


def write_yolo(run: Run, folder: Path) -> list[str]:
    """`labels/FIELD.txt`, `data.yaml`, `classes.txt` and, where the pictures are known, `images/FIELD`."""
    copied = _Copies(folder / "images")
    for field, stem in zip(run.fields, _stems(run.fields), strict=True):
        copied.add(field, stem)
        cells = field.cells
        record = Record(field.path, None, cells.size_wh, cells.xyxy, cells.label)
        _write(folder / "labels" / f"{stem}.txt", yolo.text(record))
    # Without `path`, the images are looked for beside data.yaml.
    described = {"train": "images", "val": "images", "names": dict(enumerate(CLASSES))}
    _write(folder / "data.yaml", yaml.safe_dump(described, sort_keys=False))
    _write(folder / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    return copied.remarks()


def write_cvat(run: Run, folder: Path) -> list[str]:
    """`annotations.xml` to upload to a task of the same pictures, and `labels.json`, the classes of such a task."""
    root = Element("annotations")
    _texts(root, {"version": "1.1"})
    listed = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in CLASSES:
        _texts(SubElement(listed, "label"), {"name": name, "color": _hex(name)})
    for number, field in enumerate(run.fields):
        w, h = field.cells.size_wh
        image = SubElement(root, "image", id=str(number), name=field.path, width=str(w), height=str(h))
        for name, corners in zip(field.names, field.corners, strict=True):
            edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(str, corners), strict=True))
            SubElement(image, "box", {"label": name, "source": "auto", "occluded": "0", **edges, "z_order": "0"})
    _write(folder / "annotations.xml", _xml(root))
    _write(folder / "labels.json", _json([{"name": name, "color": _hex(name), "attributes": []} for name in CLASSES]))
    return []


def write_labelstudio(run: Run, folder: Path) -> list[str]:
    """`tasks.json`, with the cells as predictions, and `config.xml`, the labelling interface."""
    model = run.about.get("model")
    version = f"smearcount {model.get('name', '')}".strip() if isinstance(model, dict) else "smearcount"
    tasks = [
        {
            "data": {"image": _LOCAL + quote(field.path), FIELD: field.path},
            "predictions": [{"model_version": version, "result": _regions(field)}],
        }
        for field in run.fields
    ]
    _write(folder / "tasks.json", _json(tasks))
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image", zoom="true")
    classes = SubElement(view, "RectangleLabels", name="cell", toName="image")
    for name in CLASSES:
        SubElement(classes, "Label", value=name, background=_hex(name))
    _write(folder / "config.xml", _xml(view))
    return []


def _regions(field: RunField) -> list[dict[str, Any]]:
    w, h = field.cells.size_wh
    cells = zip(field.names, field.corners, field.scores, strict=True)
    return [
        {
            "id": f"c{number}",
            "type": "rectanglelabels",
            "from_name": "cell",
            "to_name": "image",
            "original_width": w,
            "original_height": h,
            "image_rotation": 0,
            "value": {
                "x": x1 / w * 100,
                "y": y1 / h * 100,
                "width": (x2 - x1) / w * 100,
                "height": (y2 - y1) / h * 100,
                "rotation": 0,
                "rectanglelabels": [name],
            },
            "score": score,
        }
        for number, (name, (x1, y1, x2, y2), score) in enumerate(cells, start=1)
    ]


class _Copies:
    """Copies of pictures beside their labels, as training reads them; slides are too large to be copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._missing = 0
        self._failed: list[str] = []

    def add(self, field: RunField, stem: str) -> str | None:
        """Copy the picture of a field; its path in the folder, or None where there is none to copy."""
        if field.picture is None or field.is_slide:
            self._missing += 1
            return None
        (self._folder / stem).parent.mkdir(parents=True, exist_ok=True)
        try:
            return dataset.copy_picture(field.picture, self._folder, stem).relative_to(self._folder).as_posix()
        except ImageError as error:
            self._failed.append(f"{field.name}: its picture {error}, and was not copied")
            return None

    def remarks(self) -> list[str]:
        """What was not copied."""
        fields = "1 field was" if self._missing == 1 else f"{self._missing} fields were"
        missing = [f"the pictures of {fields} not copied: they were not found, or are slides"] if self._missing else []
        return missing + self._failed


def _stems(fields: Iterable[RunField]) -> list[str]:
    """What the label file of each field is called, without an ending: as the picture, with its ending where two are called alike."""
    bare = [(field.path, names.bare(field.path)) for field in fields]
    alike = Counter(stem.casefold() for _, stem in bare)
    return [stem if alike[stem.casefold()] == 1 else path for path, stem in bare]


def _texts(parent: Element, content: dict[str, object]) -> None:
    for tag, value in content.items():
        SubElement(parent, tag).text = str(value)


def _xml(root: Element) -> str:
    return tostring(root, encoding="unicode") + "\n"


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _hex(name: str) -> str:
    red, green, blue = COLOURS[name]
    return f"#{red:02x}{green:02x}{blue:02x}"


def _write(target: Path, content: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8", newline="\n")
