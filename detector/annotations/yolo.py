"""YOLO text labels: a line `class cx cy w h` a box, in fractions of the image; the names stand in another file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from detector import texts
from detector.annotations.labels import CENTRE_SIZE, Labels, boxes, class_name, is_shifted
from detector.annotations.records import Record
from detector.errors import AnnotationError, UnknownClassError
from detector.vision import cells

DATA_FILES = ("data.yaml", "data.yml")
"""What the file of a dataset folder is called that names its classes."""
_MOST_BYTES = 64 * texts.MEBIBYTE
_MOST_CLASSES = 10_000
_DEEPEST = 100
_NUMBER = re.compile(r"[0-9]{1,9}")
DIGITS = 8
"""Decimals of a written coordinate: less than a hundredth of a pixel for sides up to half a million pixels."""


def class_names(root: Path) -> list[str] | None:
    """Names by class number from `data.yaml` or `classes.txt` in a folder or its `labels`, or None where there is neither.

    Raises:
        AnnotationError: a file is there and holds no names, or two of them name a class otherwise.
    """
    places = (*(root / name for name in DATA_FILES), root / "classes.txt", root / "labels" / "classes.txt")
    paths = [path for path in places if path.is_file()]
    listed = [_names_of_text(path) if path.suffix == ".txt" else _names_of_yaml(path) for path in paths]
    for path, names in zip(paths[1:], listed[1:], strict=True):
        for number, (first, second) in enumerate(zip(listed[0], names, strict=False)):
            if _meant(first) != _meant(second):
                raise AnnotationError(
                    f"{paths[0]} and {path}: class {number} is {first!r} in the one and {second!r} in the other; "
                    "remove the file that the labels were not made with"
                )
    return listed[0] if listed else None


def refuse_shifted(root: Path, classes: Sequence[str], used: Iterable[str]) -> None:
    """Refuse labels whose class numbers are one off those that have names, as each would be taken for another class.

    Args:
        used: names that `read` gave, of all files.

    Raises:
        AnnotationError: they are.
    """
    numbers = {number for name in used if (number := _number_of(name, classes)) is not None}
    if is_shifted(numbers, set(range(len(classes)))):
        raise AnnotationError(
            f"{root}: the label files use the class numbers {min(numbers)} to {max(numbers)}, and names are given for 0 to "
            f"{len(classes) - 1}; YOLO counts classes from 0: give each number its name, in data.yaml as a map from number to name"
        )


def _number_of(name: str, classes: Sequence[str]) -> int | None:
    """The number that `read` made a name of; None for one that is no class, such as an ignore region's."""
    if name in classes:
        return classes.index(name)
    number = name.removeprefix("class ")
    return int(number) if _NUMBER.fullmatch(number) else None


def _meant(name: str) -> str:
    """What a class is called, whichever of its names is used."""
    try:
        return cells.CLASSES[cells.label_of(name)]
    except UnknownClassError:
        return name.strip().casefold()


def _names_of_text(path: Path) -> list[str]:
    names = [line.strip() for line in _named(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise AnnotationError(f"{path}: holds no class names, expected one a line")
    return _checked(path, names)


def _names_of_yaml(path: Path) -> list[str]:
    text = _named(path)
    # Brackets in brackets take time with the cube of their number.
    depths = accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", text))
    if max(depths, default=0) > _DEEPEST:
        raise AnnotationError(f"{path}: not readable as YAML: nested too deeply")
    # Only composed: as values, dates, huge numbers and aliases within aliases could be anything, and of any size.
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise AnnotationError(f"{path}: not readable as YAML: {texts.one_line(error, 300)}") from None
    except RecursionError:
        raise AnnotationError(f"{path}: not readable as YAML: nested too deeply") from None
    pairs = document.value if isinstance(document, yaml.MappingNode) else []
    node = next((value for key, value in pairs if key.value == "names"), None)
    if isinstance(node, yaml.SequenceNode) and node.value and _scalars(node.value):
        return _checked(path, [name.value for name in node.value])
    if isinstance(node, yaml.MappingNode) and node.value and _scalars(part for pair in node.value for part in pair):
        return _checked(path, _numbered(path, [(key.value, name.value) for key, name in node.value]))
    raise AnnotationError(f"{path}: has no usable 'names', expected a list or a map from number to name")


def _scalars(nodes: Iterable[yaml.Node]) -> bool:
    return all(isinstance(node, yaml.ScalarNode) for node in nodes)


def _numbered(path: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names in the order of their numbers; a number between them that has none is the unknown name `class NUMBER`."""
    names: dict[int, str] = {}
    for number, name in pairs:
        if not _NUMBER.fullmatch(number) or int(number) >= _MOST_CLASSES:
            raise AnnotationError(
                f"{path}: has no usable 'names': {number[:40]!r} is no class number, which are 0 to {_MOST_CLASSES - 1}"
            )
        if names.setdefault(int(number), name) != name:
            raise AnnotationError(f"{path}: class {number} is called {names[int(number)][:40]!r} and {name[:40]!r}")
    return [names.get(number, f"class {number}") for number in range(max(names) + 1)]


def _checked(path: Path, names: list[str]) -> list[str]:
    try:
        return [class_name(name) for name in names]
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None


def read(path: Path, names: list[str]) -> Labels:
    """Boxes and class names of one label file; a number beyond `names` becomes the unknown name `class NUMBER`.

    Raises:
        AnnotationError: a line is not `class cx cy w h`; the message is the reason without the path.
    """
    box_names: list[str] = []
    rows: list[tuple[float, float, float, float]] = []
    lines: list[int] = []
    for number, line in enumerate(_text(path, _MOST_BYTES).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, cx, cy, w, h = (float(word) for word in line.split())
            index = int(label)
        except (ValueError, OverflowError):
            raise AnnotationError(f"line {number} is {line[:60]!r}, expected 'class cx cy width height'") from None
        box_names.append(names[index] if 0 <= index < len(names) and index == label else f"class {label:g}")
        lines.append(number)
        rows.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return Labels(names=tuple(box_names), xyxy=boxes(rows), normalised=True, form=CENTRE_SIZE, lines=tuple(lines))


def text(record: Record) -> str:
    """The label file of a record, in the order of its boxes; the class number is the index into `cells.CLASSES`."""
    return _lines(record.xyxy, record.label, record.size_wh)


def ignore_text(record: Record) -> str:
    """The file of a record's ignore regions, in the same form; they have number 0, for they are of one kind."""
    return _lines(record.ignore, np.zeros(len(record.ignore), dtype=np.int64), record.size_wh)


def _lines(boxes: NDArray[np.float32], label: NDArray[np.int64], size_wh: tuple[int, int]) -> str:
    sides = np.array([*size_wh, *size_wh], dtype=np.float64)
    xyxy = boxes.astype(np.float64) / sides
    centre, extent = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
    rows = np.concatenate([centre, extent], axis=1)  # (n, 4)
    return "".join(
        f"{number} {' '.join(f'{value:.{DIGITS}f}' for value in row)}\n" for number, row in zip(label, rows, strict=True)
    )


def _named(path: Path) -> str:
    """The text of a file of class names, whose messages name it."""
    try:
        return _text(path, texts.MEBIBYTE)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None


def _text(path: Path, most_bytes: int) -> str:
    try:
        return texts.content(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AnnotationError(f"{path.name} is not UTF-8 text") from None
    except OSError as error:
        raise AnnotationError(f"{path.name} cannot be read: {error.strerror}") from None
