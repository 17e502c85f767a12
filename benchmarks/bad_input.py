"""Damaged and hostile files, made here, for every reader: each is read or refused with a reason, soon and in little memory.

    python -m benchmarks.bad_input [--changes 2000] [--seed 1]

The corpus has every form of picture that is read, each whole, cut at eight places, with bytes swapped and replaced, with another form's
beginning, and with a header that states huge sides; beside them formats that are not read, and what is no regular file. Labels, tables,
manifests, settings, journals and the metadata of models are changed at random, `--changes` times each, and read again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, features

from benchmarks import machine, markdown
from detector.accuracy import tables
from detector.annotations import corrections, dataset, sources
from detector.arguments import Number, Parser
from detector.commandline import run
from detector.engines import manifest
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, SmearcountError
from detector.output.journal import Journal
from detector.streams import journal as streamed
from detector.streams.sources import open_source
from detector.training import settings
from detector.vision import card as cards
from detector.vision import images
from detector.vision.catalogue import SHIPPED
from detector.vision.images import files
from detector.vision.model import Model
from detector.vision.slides import formats

if sys.platform != "win32":
    import resource

MOST_S = 10.0
"""No input of the corpus may take longer; those of real fields take milliseconds."""

TOKENS = [
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x81", b"-", b"1e999", b"-1e308", b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}",
    b"[[[[", b"9" * 400, b"9" * 5000, b"0.5", b"-3", b'"', b"'", b",", b";", b"\t", b"\r\n", b"\r", b"\n\n", b": ", b"&a ", b"*a",
    b"!!binary x", b"2024-01-01", b"2024-13-41", b"<x>", b"</object>", b"&amp;", b"&#0;", b"<!DOCTYPE a>", b"../", b"x" * 300,
    b"\xc3\xa4", b"1.234", b"1,5", b"1_0", b"sep=;\n", b"\x1c", b"\xe2\x80\xa8",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 1e999, float("nan"), 10**400, "", "x", "9" * 400, "x" * 300, [], {}, [[]], [1], {"a": 1}, "..", "a\0b", "1", 0.5,
    1e308, [None] * 4, {"size": [9, 9], "counts": "o" * 40}, {"size": [9, 9], "counts": [1e999]}, {"size": None, "counts": 1},
    [[1, 2, 3, 4]], "[" * 2000,
]  # fmt: skip


@dataclass
class Outcome:
    """What came of the inputs of one reader."""

    read: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    """What ended in anything but a reason, or took too long."""

    def note(self, name: str, read: Callable[[], object]) -> None:
        """Read one input, and count what comes of it."""
        began = time.monotonic()
        try:
            read()
            self.read += 1
        except SmearcountError as error:
            self.refused += 1
            if not str(error).strip():
                self.faults.append(f"{name}: refused without a reason")
        except Exception as error:
            self.faults.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        took_s = time.monotonic() - began
        self.slowest_s = max(self.slowest_s, took_s)
        if took_s > MOST_S:
            self.faults.append(f"{name}: took {took_s:.1f} s")


def report(*, changes: int, seed: int) -> int:
    """Read damaged and hostile files of every kind, and count what is read, refused with a reason, and neither."""
    rows, faults = [], []
    with tempfile.TemporaryDirectory() as place:
        for name, outcome in all_outcomes(Path(place), changes, seed):
            peak = f"{_peak_mb():.0f}"
            inputs = outcome.read + outcome.refused + len(outcome.faults)
            numbers = (inputs, outcome.read, outcome.refused, len(outcome.faults))
            rows.append([name, *map(str, numbers), f"{outcome.slowest_s:.2f}", peak])
            faults += [f"{name}: {fault}" for fault in outcome.faults]
    head = ("reader", "inputs", "read", "refused with a reason", "faults", "slowest, s", "peak memory so far, MB")
    print(markdown.table(f"Bad input, {changes} changes, seed {seed}", head, rows))
    print("\n".join([*faults, f"machine: {machine.described()}"]))
    return EXIT_SOME_FAILED if faults else EXIT_DONE


def all_outcomes(place: Path, changes: int, seed: int) -> Iterator[tuple[str, Outcome]]:
    """What each reader makes of its inputs."""
    folder = place / "corpus"
    corpus(folder, seed)
    yield "pictures", pictures(folder)
    yield "TIFF as slides", pictures(folder, _of_slide, "*.tif")
    for name, prepare in READERS.items():
        (place / name).mkdir()
        yield name, changed(prepare(place / name), changes, seed)
    for name, prepare in NATIVE.items():
        (place / name).mkdir()
        yield name, changed(prepare(place / name), max(changes // _NATIVE_LESS, 1), seed)


def _peak_mb() -> float:
    """Most memory that this process has held, in MB."""
    if sys.platform == "win32":
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def pictures(folder: Path, read: Callable[[Path], object] = images.load, names: str = "*") -> Outcome:
    """Read the files of a corpus with such names; one that is not as it was before is a fault."""
    outcome = Outcome()
    paths = sorted(folder.glob(names))
    before = _hashes(paths)
    for path in paths:
        outcome.note(path.name, lambda path=path: read(path))  # type: ignore[misc]
    changed_files = [path.name for path, digest in _hashes(paths).items() if before[path] != digest]
    outcome.faults += [f"{name}: was changed by its reader" for name in changed_files]
    return outcome


def _of_slide(path: Path) -> None:
    with formats.open_slide(path) as slide:
        slide.overview(256)


def _hashes(paths: Sequence[Path]) -> dict[Path, str]:
    regular = [path for path in paths if path.is_file() and not path.is_symlink() and path.stat().st_size < files.MOST_BYTES]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in regular}


def corpus(folder: Path, seed: int = 1) -> None:
    """Write the corpus: more than 500 files in one folder."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    whole = dict(forms())
    beginnings = [content[:32] for content in whole.values()]
    for name, content in whole.items():
        path = folder / name
        path.write_bytes(content)
        for number, damaged in enumerate(_damaged(content, rng, beginnings)):
            path.with_name(f"{path.stem}_{number:02}{path.suffix}").write_bytes(damaged)
    for suffix in files.UNREAD:
        (folder / f"unread{suffix}").write_bytes(rng.randbytes(200))
    for number, (place, signs, _) in enumerate(files._SIGNATURES):
        (folder / f"sign_{number:02}.jpg").write_bytes(bytes(place) + signs[0] + rng.randbytes(200))
    _odd(folder)


def forms() -> Iterator[tuple[str, bytes]]:
    """A small picture in every form that is read, by the names of files."""
    y, x = np.mgrid[:40, :60]
    rgb = np.stack([200 - x, 180 - y, 160 + (x + y) // 2], axis=2).astype(np.uint8)
    picture = Image.fromarray(rgb)
    saved: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("plain.jpg", picture, {}), ("progressive.jpg", picture, {"progressive": True}), ("grey.jpg", picture.convert("L"), {}),
        ("cmyk.jpg", picture.convert("CMYK"), {}), ("plain.png", picture, {}), ("palette.png", picture.convert("P"), {}),
        ("alpha.png", picture.convert("RGBA"), {}), ("bits.png", picture.convert("1"), {}), ("deep.png", picture.convert("I;16"), {}),
        ("plain.bmp", picture, {}), ("plain.gif", picture, {}), ("plain.ppm", picture, {}), ("plain.pgm", picture.convert("L"), {}),
        ("plain.tif", picture, {}), ("lzw.tif", picture, {"compression": "tiff_lzw"}),
        ("fax.tif", picture.convert("1"), {"compression": "group4"}),
        ("pages.tif", picture, {"save_all": True, "append_images": [picture] * 3}),
        ("moving.gif", picture, {"save_all": True, "append_images": [picture.rotate(9)]}),
    ]  # fmt: skip
    saved += [
        (f"plain{suffix}", picture, {})
        for kind, suffix in (("webp", ".webp"), ("avif", ".avif"), ("jpg_2000", ".jp2"))
        if features.check(kind)
    ]
    for name, image, options in saved:
        stream = io.BytesIO()
        Image.registered_extensions()
        image.save(stream, Image.registered_extensions()[Path(name).suffix], **options)
        yield name, stream.getvalue()
    deep = rgb.astype(np.uint16) * 257
    for name, values, options in (
        ("deep.tif", deep, {"photometric": "rgb"}),
        ("planes.tif", np.moveaxis(deep, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        ("tiled.tif", rgb, {"photometric": "rgb", "tile": (16, 16)}), ("zip.tif", rgb, {"photometric": "rgb", "compression": "zlib"}),
        ("big.tif", rgb, {"photometric": "rgb", "bigtiff": True}), ("white.tif", deep[..., 0], {"photometric": "miniswhite"}),
        ("imagej.tif", np.moveaxis(rgb, 2, 0), {"imagej": True}),
    ):  # fmt: skip
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **options)
        yield name, stream.getvalue()


def _damaged(content: bytes, rng: random.Random, beginnings: Sequence[bytes]) -> Iterator[bytes]:
    n = len(content)
    for share in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98):
        yield content[: int(n * share)]
    yield content[:-1]
    for _ in range(4):
        swapped = bytearray(content)
        for _ in range(rng.choice([1, 8, 60])):
            a, b = rng.randrange(n), rng.randrange(n)
            swapped[a], swapped[b] = swapped[b], swapped[a]
        yield bytes(swapped)
    for _ in range(4):
        yield mutated(content, rng)
    for beginning in rng.sample(beginnings, 2):
        yield beginning + content[len(beginning) :]
    for side in (b"\xff\xff", b"\x7f\xff"):
        yield _huge(content, side)


def _huge(content: bytes, side: bytes) -> bytes:
    """The content with every place that states its sides, 60 and 40, saying so many pixels instead."""
    for own in (60, 40):
        for form in (">I", "<I", ">H", "<H"):
            packed = struct.pack(form, own)
            stated = side.rjust(len(packed), b"\0") if form[0] == ">" else side[::-1].ljust(len(packed), b"\0")
            content = content[:400].replace(packed, stated) + content[400:].replace(packed, stated, 4)
    if content[:4] == b"\x89PNG":
        content = content[:29] + struct.pack(">I", zlib.crc32(content[12:29])) + content[33:]
    return content.replace(b"60 40", b"65535 65535")


def _odd(folder: Path) -> None:
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture", encoding="utf-8")
    (folder / "folder.tif").mkdir()
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
    if Path("/dev/zero").exists():
        (folder / "endless.jpg").symlink_to("/dev/zero")
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 34)


Change = Callable[[random.Random], None]
Prepared = tuple[Change, Callable[[], object]]
"""What changes the file of a reader, and what reads it."""


def changed(prepared: Prepared, changes: int, seed: int) -> Outcome:
    """Read after each of many random changes."""
    change, read = prepared
    outcome = Outcome()
    for number in range(changes):
        change(random.Random(seed * 1_000_000 + number))
        outcome.note(f"change {number}", read)
    return outcome


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with a few of its bytes cut, repeated, swapped or replaced."""
    for _ in range(rng.choice([1, 1, 2, 5])):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice([0, 1, 3, 30]))
        middle = rng.choice([b"", rng.choice(TOKENS), content[start:end] * rng.choice([2, 50]), rng.randbytes(3)])
        content = content[:start] + middle + content[end:]
    return content[: rng.randrange(len(content) + 1)] if rng.random() < 0.05 else content


def restructured(document: Any, rng: random.Random) -> Any:
    """A JSON document in which one value, somewhere, is another."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        key = rng.choice(list(document))
        if rng.random() < 0.1:
            return {k: v for k, v in document.items() if k != key}
        return {**document, key: restructured(document[key], rng)}
    if isinstance(document, list) and document and rng.random() < 0.9:
        at = rng.randrange(len(document))
        return [*document[:at], restructured(document[at], rng), *document[at + 1 :]]
    return rng.choice(VALUES)


def in_bytes(path: Path) -> Change:
    """Changes the bytes of a file, each time those that it has now."""
    whole = path.read_bytes()
    return lambda rng: (path.write_bytes(mutated(whole, rng)), None)[1]


def in_structure(path: Path, document: Any) -> Change:
    """Changes the bytes of a JSON file, or more often a value in it."""
    path.write_text(json.dumps(document), encoding="utf-8")
    bytes_changed = in_bytes(path)

    def change(rng: random.Random) -> None:
        if rng.random() < 0.3:
            bytes_changed(rng)
        else:
            path.write_text(json.dumps(restructured(document, rng)), encoding="utf-8")

    return change


def _field(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((96, 64), 50).convert("RGB").save(path)


def _coco(folder: Path) -> Prepared:
    _field(folder / "images" / "a.png")
    document = {
        "images": [{"id": 7, "file_name": "a.png", "width": 96, "height": 64},
                   {"id": 8, "file_name": "b\\c.png", "width": 96, "height": 64}],
        "annotations": [
            {"id": 0, "image_id": 7, "category_id": 1, "bbox": None, "segmentation": {"size": [64, 96], "counts": [300, 9, 5835]}},
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [40, 10, 38, 42], "iscrowd": 1},
            {"id": 2, "image_id": 8, "category_id": 1, "bbox": [4, 6, 26, 22], "segmentation": [[1, 2, 30, 2, 30, 40]]},
        ],
        "categories": [{"id": 1, "name": "RBC"}, {"id": 2, "name": "WBC"}],
    }  # fmt: skip
    return in_structure(folder / "labels.json", document), lambda: sources.load_truth(folder)


def _voc(folder: Path) -> Prepared:
    _field(folder / "JPEGImages" / "a.png")
    path = folder / "Annotations" / "a.xml"
    path.parent.mkdir()
    box = "<bndbox><xmin>4</xmin><ymin>6</ymin><xmax>30</xmax><ymax>28</ymax></bndbox>"
    size = "<size><width>96</width><height>64</height><depth>3</depth></size>"
    path.write_text(f"<annotation>{size}{f'<object><name>RBC</name>{box}</object>' * 3}</annotation>", encoding="utf-8")
    return in_bytes(path), lambda: tables.read_counts(folder)


def _yolo(folder: Path) -> Path:
    _field(folder / "images" / "train" / "a.png")
    path = folder / "labels" / "train" / "a.txt"
    path.parent.mkdir(parents=True)
    path.write_text("0 0.2 0.3 0.1 0.2\n1 0.6 0.5 0.2 0.3\n2 0.8 0.8 0.05 0.06\n", encoding="utf-8")
    names = folder / "data.yaml"
    names.write_text("train: images/train\nnames:\n  0: WBC\n  1: RBC\n  2: Platelet\n", encoding="utf-8")
    return path


def _labels(folder: Path) -> Prepared:
    return in_bytes(_yolo(folder)), lambda: tables.read_counts(folder)


def _class_names(folder: Path) -> Prepared:
    _yolo(folder)
    return in_bytes(folder / "data.yaml"), lambda: dataset.load(folder / "data.yaml", "train")


def _table(text: str, read: Callable[[Path], object]) -> Callable[[Path], Prepared]:
    def prepare(folder: Path) -> Prepared:
        path = folder / "table.csv"
        path.write_text(text, encoding="utf-8")
        return in_bytes(path), lambda: read(path)

    return prepare


def _settings(folder: Path) -> Prepared:
    path = folder / "own.yaml"
    path.write_text("epochs: 7\nbatch: 4\nlearning_rate: 0.002\noptimizer: SGD\ncosine: true\nmosaic: 0.5\n", encoding="utf-8")
    return in_bytes(path), lambda: settings.load(path)


def _journal(folder: Path) -> Prepared:
    path = folder / "journal.jsonl"
    shutil.copy(Path(__file__).parents[1] / "tests" / "output" / "former_journal.jsonl", path)
    # Of the former version, whose lines have no checksum: whatever stands there must be judged by itself.
    key = json.loads(path.read_bytes().splitlines()[0])["key"]

    def read() -> None:
        with Journal(path, key, resume=True) as opened:
            for name in list(opened._offsets):
                opened.read(name)

    return in_bytes(path), read


def _stream_journal(folder: Path) -> Prepared:
    path = folder / "journal.jsonl"
    lines = [
        json.dumps(record).encode() for record in ({"layout": streamed.LAYOUT, "settings": {}}, {"units": {}, "received": 3})
    ]
    path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(line), line) for line in lines))
    return in_bytes(path), lambda: streamed.read(folder)


def _metadata(folder: Path) -> Prepared:
    path = folder / "card.json"
    change = in_structure(path, json.loads(Model.load().card.json()))

    def read() -> None:
        cards.from_metadata({cards.METADATA_KEY: path.read_bytes().decode("utf-8", "replace")}, path)

    return change, read


def _card(folder: Path) -> Prepared:
    (folder / "model.onnx").write_bytes(b"model")
    return in_structure(folder / "model.json", {"sha256": cards.sha256(folder / "model.onnx")}), lambda: cards.check_hash(
        folder / "model.onnx"
    )


READERS: dict[str, Callable[[Path], Prepared]] = {
    "COCO": _coco,
    "Pascal VOC": _voc,
    "YOLO": _labels,
    "class names": _class_names,
    "tables of counts": _table("field;smear;RBC;WBC;note\na.png;s;12,5;3;x\nb.png;s;7;;y\n", tables.read_counts),
    "manifests": _table(
        "field,smear,um_per_px,domain\na/b.png,s,0.1,d\nc.png,t,,e\n",
        lambda path: (manifest.read(path), manifest.read(path, domains=True)),
    ),
    "corrections": _table(f"{','.join(corrections.COLUMNS)}\na,relabel,RBC,1,2,30,40,WBC,why\n", corrections.read),
    "settings": _settings,
    "journals of counts": _journal,
    "journals of streams": _stream_journal,
    "metadata of models": _metadata,
    "cards of models": _card,
}
"""By name, what makes a file for a reader in a folder."""


def _model(folder: Path) -> Prepared:
    path = folder / "model.onnx"
    shutil.copy(SHIPPED, path)
    return in_bytes(path), lambda: Model.load(path)


def _video(folder: Path) -> Prepared:
    path = folder / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, (96, 64))
    for number in range(12):
        writer.write(np.full((64, 96, 3), 20 * number, np.uint8))
    writer.release()

    def read() -> None:
        with open_source(str(path)) as source:
            for _ in source:
                pass

    return in_bytes(path), read


NATIVE: dict[str, Callable[[Path], Prepared]] = {"models": _model, "videos": _video}
"""The same of files that ONNX Runtime and FFmpeg read."""
_NATIVE_LESS = 20
"""Reading these takes so many times as long, so they are changed so many times less often."""


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.bad_input", "[OPTION]...", report.__doc__)
    made.add_argument(
        "--changes",
        type=Number(int, 1),
        default=2000,
        help="random changes of the file of each reader; a twentieth for models and videos",
    )
    made.add_argument("--seed", type=Number(int, 0), default=1, help="of the changes")
    return made


if __name__ == "__main__":
    run(report, parser())
