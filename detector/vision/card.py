"""What a model file says of itself, in its metadata and on the card beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from detector import texts
from detector.arguments import called
from detector.errors import ModelError
from detector.vision import cells, checks, familiar
from detector.vision.familiar import Familiar
from detector.vision.sums import ValSums, val_sums

METADATA_KEY = "smearcount"
"""Key in an ONNX file's metadata under which its `Card` stands as JSON."""
_MOST_BYTES = 16 * texts.MEBIBYTE
"""Of a card beside a model; ours have some kilobytes."""
_MOST_OF_MODEL = 2 * 1024 * texts.MEBIBYTE
"""Bytes of a model or weights; no ONNX file can have more."""
MOST_PX = 4096
"""No side of a network's input is asked to be longer."""
LAYOUT = 3
"""Version of a card and of the network that it describes: what goes in and what comes out."""

WEIGHTS_HASH = "weights_sha256"
"""Key in the file of a card under which the hash of the weights stands of which the model was made."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that is needed to use a model rightly and to know where it comes from.

    Raises:
        ValueError: a value is of another kind than is told here, or cannot be.
    """

    layout: int = LAYOUT
    name: str
    class_names: tuple[str, ...]
    image_px: int
    """Long side of the network's input that it was trained at."""
    stride_px: int
    """Sides of the input must be multiples of this."""
    rbc_px: float
    """Median width and height of red cells, in input pixels, in the training fields shown whole."""
    shown_px: float
    """Width, in input pixels, at which red cells are shown to the model to be counted."""
    thresholds: dict[str, float]
    """Least score of a counted cell, by class name."""
    thresholds_from: str
    """On what the thresholds were tuned."""
    nms_iou: float
    max_cells: int
    """Most cells reported in one crop; a field that reaches it is said to be saturated."""
    licence: str
    data: tuple[str, ...]
    """Training data, one line each."""
    training: dict[str, Any]
    """Settings of the training."""
    versions: dict[str, str]
    val_sums: ValSums | None = None
    """What the counts of the validation fields tell of the error; None in files made before there was this."""
    familiar: Familiar | None = None
    """What the training fields are like; None in files made before there was this, or where nothing told a limit."""

    def __post_init__(self) -> None:
        for name, least in (("layout", 0), ("max_cells", 1)):
            checks.whole(name, getattr(self, name), least)
        # Pictures are resized and padded to these: larger ones would take all memory, and smaller ones no end of tiles.
        checks.whole("image_px", self.image_px, 32, MOST_PX)
        checks.whole("stride_px", self.stride_px, 1, MOST_PX)
        checks.number("shown_px", self.shown_px, above=1, below=MOST_PX)
        for name in ("name", "thresholds_from", "licence"):
            checks.text(name, getattr(self, name))
        for name in ("class_names", "data"):
            checks.texts(name, getattr(self, name))
        checks.number("rbc_px", self.rbc_px, above=0)
        checks.number("nms_iou", self.nms_iou, above=0, below=1)
        for name, value in checks.mapping("thresholds", self.thresholds).items():
            checks.number(f"thresholds.{name}", value, above=0, below=1)
        checks.mapping("training", self.training)
        for name, value in checks.mapping("versions", self.versions).items():
            checks.text(f"versions.{name}", value)

    @classmethod
    def of(cls, content: Any) -> Self:
        """The card that JSON holds; keys that are not ours are ignored.

        Raises:
            ValueError: a value is missing, or cannot be.
        """
        given = checks.arguments(cls, content)
        sums, ranges = given.get("val_sums"), given.get("familiar")
        return cls(**{
            **given,
            "class_names": checks.texts("class_names", given["class_names"]),
            "data": checks.texts("data", given["data"]),
            "val_sums": None if sums is None else val_sums(sums),
            "familiar": None if ranges is None else familiar.of_json(ranges),
        })  # fmt: skip

    def json(self) -> str:
        """As it stands in a file's metadata."""
        content = {name: value for name, value in asdict(self).items() if name != "familiar" or value is not None}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))

    def minimum(self) -> tuple[float, ...]:
        """Thresholds in the order of the labels."""
        return tuple(self.thresholds[name] for name in self.class_names)


def from_metadata(metadata: Mapping[str, str], path: Path) -> Card:
    """The card in an ONNX file's metadata.

    Raises:
        ModelError: there is none, or it is of another layout or other classes than ours.
    """
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: is an ONNX model without smearcount's metadata (thresholds, scale); "
            f"make it from its weights with {called('export')}"
        )
    try:
        card = Card.of(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its metadata cannot be understood ({texts.one_line(error)})") from None
    if card.layout != LAYOUT:
        raise ModelError(
            f"{path}: was made by another version of smearcount; make it again from its weights with {called('export')}"
        )
    if card.class_names != cells.CLASSES or set(card.thresholds) != set(cells.CLASSES):
        raise ModelError(f"{path}: finds {', '.join(card.class_names)}; a model for {', '.join(cells.CLASSES)} is needed")
    return card


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path) -> str:
    """SHA-256 of a model file, checked against the card that stands beside it, if one does. Nothing else of the file is read.

    Raises:
        ModelError: the card names another hash, so the file was changed or the two do not belong together.
    """
    return _checked(path, "sha256", required=True)


def check_weights(path: Path) -> str:
    """SHA-256 of weights, checked in the same way against the card of the model that was made of them, if it names one."""
    return _checked(path, WEIGHTS_HASH, required=False)


def _checked(path: Path, key: str, required: bool) -> str:
    try:
        if path.stat().st_size > _MOST_OF_MODEL:
            raise ModelError(
                f"{path}: is larger than 2 GiB, which no model is; give an .onnx or .pt file that training or export wrote"
            )
        digest = sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give a file that you can read") from None
    beside = path.with_suffix(".json")
    if beside.is_file():
        try:
            card = json.loads(texts.content(beside, _MOST_BYTES))
            expected = card.get(key, None if required else digest)
        except (OSError, ValueError, AttributeError, RecursionError):
            raise ModelError(f"{beside}: is not a model card; restore the card of {path.name} or remove it") from None
        if expected != digest:
            raise ModelError(
                f"{path}: its SHA-256 is {digest[:12]}..., its card says {str(expected)[:12]}...; restore either file"
            )
    return digest
