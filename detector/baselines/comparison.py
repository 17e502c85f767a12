"""All methods fitted on the same fields and run over the same test sets; what each finds is kept in a file, so that none is run twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from detector.accuracy.evaluation import Candidate, load_split
from detector.annotations import dataset, duplicates
from detector.annotations.records import Record
from detector.baselines.candidates import Candidates
from detector.baselines.circles import HoughCircles, IterativeCircles
from detector.baselines.classifiers import CLASSIFIERS, CropClassifier
from detector.baselines.crops import Crops, ShapeCrops, of_boxes
from detector.baselines.methods import LabelledField, Method, spread, torch_needed
from detector.baselines.watershed import Watershed
from detector.baselines.white_cells import CmykMoments, HueSaturation
from detector.errors import ImageError, MissingExtraError, NothingToDoError, OutputError, SmearcountError, UsageError, writing
from detector.output.files import seal_holds, sealed, write_bytes, write_text
from detector.shipped import version
from detector.texts import one_line
from detector.vision import images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread
from detector.vision.model import Model

KEY, METHODS = "comparison.json", "methods"
"""What was asked for, and the folder with a file for each method."""
MOST_FIT = 150
"""Fields that methods are fitted on, spread evenly over the training fields."""
MOST_CROPS = 600
"""Crops of each class that classifiers are fitted on."""
CELLS, SHAPES = "cells", "shapes"
"""Whether crops are classified as red cell, white cell or platelet, or red cells by their shape."""
_LAYOUT = 3

Bar = Callable[[str, int], AbstractContextManager[Callable[[float], None]]]
"""Shows progress: what is done, of how many steps; what it gives is called with the steps since the last call."""


class OurDetector(Method):
    """The detector of this project, which was trained elsewhere."""

    name = "smearcount"
    source = "this project: YOLO11n, trained on fields of several laboratories"
    seeks = classes = (0, 1, 2)

    def __init__(self, model: Model) -> None:
        self.model, self._candidate = model, Candidate.of(model)

    def fit(self, fields: Sequence[LabelledField]) -> None:
        """Nothing is learnt here: the model is taken as it is."""

    def search(self, rgb: images.Rgb) -> tuple[Detections, Detections]:
        """The cells at the model's thresholds, and all that it nearly found."""
        return self._candidate.find(rgb)

    def detect(self, rgb: images.Rgb) -> Detections:
        """The cells at the model's thresholds."""
        return self.search(rgb)[0]

    def size_bytes(self) -> int:
        """Size of the model file."""
        return self.model.path.stat().st_size


class Unavailable(Method):
    """A method whose packages are not installed, so that it is named and not run."""

    source = ""
    seeks = ()

    def __init__(self, name: str, error: MissingExtraError) -> None:
        self.name, self._error = name, error

    def fit(self, _fields: Sequence[LabelledField]) -> None:
        """Say what is missing."""
        raise self._error

    def detect(self, _rgb: images.Rgb) -> Detections:
        """Nothing: it was never fitted."""
        raise self._error


def methods(model: Model, seed: int, long: bool = False) -> list[Method]:
    """All methods of finding cells, the detector first.

    Args:
        long: also those that take about as long as all others together.
    """
    return [
        OurDetector(model),
        Watershed(),
        HoughCircles(),
        IterativeCircles(),
        HueSaturation(),
        CmykMoments(),
        Candidates(seed),
        *_networks(seed, long),
    ]


def _networks(seed: int, long: bool) -> list[Method]:
    try:
        torch_needed("U-Net and Faster R-CNN")
    except MissingExtraError as error:
        return [Unavailable(name, error) for name in ("U-Net", *(["Faster R-CNN"] if long else []))]
    from detector.baselines.rcnn import RegionNetwork
    from detector.baselines.unet import UNet

    return [UNet(seed), *([RegionNetwork(seed)] if long else [])]


@dataclass(frozen=True, eq=False)
class TestSet:
    """Labelled fields that methods are tested on."""

    name: str
    records: Sequence[Record]
    same_as_fitted: Sequence[str] = ()
    """Fields that were left out, for they show cells that methods are fitted on."""
    excluded: Sequence[str] = ()
    """Fields that were left out on request."""


@dataclass(frozen=True, eq=False)
class TestDetections:
    """The cells that one method finds in one test set; parallel sequences, a field each, but for those on which it failed."""

    records: Sequence[Record]
    counted: Sequence[Detections]
    searched: Sequence[Detections]
    ms: Sequence[float]
    """Processor time that each took, without reading its picture."""
    failed: Sequence[Unread]
    """The fields on which it failed, and why; they are in none of the others."""


@dataclass(frozen=True, eq=False)
class MethodRun:
    """One method in all test sets."""

    name: str
    source: str
    failed: str | None
    """Why it could not be fitted; None where it could."""
    classes: tuple[int, ...]
    """Labels of the classes that it looks for."""
    fit_s: float
    size_bytes: int
    detections: Mapping[str, TestDetections]
    """By the name of the test set; empty where it could not be fitted."""


@dataclass(frozen=True, eq=False)
class Classified:
    """One classifier on the crops of one test set."""

    task: str
    """`CELLS` or `SHAPES`."""
    data: str
    """Name of the test set."""
    classifier: str
    enhanced: bool
    """Whether contrast and noise were preprocessed."""
    failed: str | None
    """Why it could not be fitted, or not be tested on these crops; None where it could."""
    unlearnt: tuple[str, ...]
    """Classes of which there were too few crops to learn."""
    crops: Crops
    """Those of the test set."""
    taken_for: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The label that each was given; empty where the classifier failed."""
    fit_s: float
    """Processor time of fitting, without measuring features."""
    size_bytes: int


class Results:
    """The folder that holds what each method found, in a file of its own."""

    def __init__(self, folder: Path, asked: Mapping[str, Any], resume: bool) -> None:
        """Begin, or continue what stands in the folder.

        Args:
            asked: all that the results depend on, as JSON takes it; a folder is only continued with the same.

        Raises:
            OutputError: it cannot be written, holds results and is not to be continued, or holds those of something else.
        """
        self._folder = folder
        key = {"layout": _LAYOUT, **asked}
        target = folder / KEY
        if target.exists():
            if not resume:
                raise OutputError(f"{folder}: holds a comparison already; choose another --out, or continue with --resume")
            _require_same(target, key)
            return
        if resume:
            raise OutputError(f"{folder}: holds no comparison to resume; leave out --resume to begin one")
        with writing(folder, "choose another --out"):
            (folder / METHODS).mkdir(parents=True, exist_ok=True)
            write_text(target, json.dumps(key, indent=1) + "\n")

    def kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What stands in the file of that name, or is made and written there. A damaged file is made again.

        Raises:
            OutputError: it cannot be written.
        """
        target = self._folder / METHODS / f"{name.replace(' ', '_')}.json"
        line = target.read_bytes() if target.is_file() else b""
        if not seal_holds(line):
            line = sealed(make())
            with writing(target):
                write_bytes(target, line)
        made: dict[str, Any] = json.loads(line)
        return made


def _require_same(target: Path, key: Mapping[str, Any]) -> None:
    try:
        former = json.loads(target.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        former = None
    if not isinstance(former, dict):
        raise OutputError(f"{target}: cannot be read; choose another --out")
    unlike = [name for name in key if former.get(name) != key[name]]
    if unlike:
        raise OutputError(f"{target.parent}: was begun with other {', '.join(unlike)}; choose another --out")


def key_of(fitted: Sequence[Record], tests: Sequence[TestSet], model: Model, seed: int, shapes: Sequence[str]) -> dict[str, Any]:
    """All that results depend on: labels and names of fields, model, seed, versions, and the fields of shapes."""
    packages = ["scikit-image", "scikit-learn", "opencv-python-headless", "numpy"]
    packages += [name for name in ("torch", "torchvision") if find_spec(name)]
    return {
        "training fields": _digest(fitted),
        "test fields": {test.name: _digest(test.records) for test in tests},
        "fields of shapes": hashlib.sha256("\n".join(shapes).encode()).hexdigest()[:16],
        "model": model.sha256,
        "seed": seed,
        "versions": {"smearcount": version(), **{name: metadata.version(name) for name in packages}},
    }


def _digest(records: Sequence[Record]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.name.encode("utf-8", "surrogatepass"))
        for array in (record.xyxy, record.label, record.ignore):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def read_fields(records: Sequence[Record], most: int | None = None) -> tuple[list[LabelledField], list[Unread]]:
    """Fields with their pixels, at most so many, spread evenly; and those that cannot be read."""
    read: list[LabelledField] = []
    unread: list[Unread] = []
    for record in [records[i] for i in spread(len(records), most or len(records))]:
        try:
            read.append(LabelledField(record, pixels(record)))
        except ImageError as error:
            unread.append(Unread(record.name, str(error)))
    return read, unread


def pixels(record: Record) -> images.Rgb:
    """The picture of a field.

    Raises:
        ImageError: it cannot be read, or is of another size than its labels are for.
    """
    if record.image is None:
        raise ImageError("labels without an image")
    rgb = images.read(record.image)
    if (rgb.shape[1], rgb.shape[0]) != record.size_wh:
        raise ImageError(f"is {rgb.shape[1]}x{rgb.shape[0]} px, its labels are for {record.size_wh[0]}x{record.size_wh[1]} px")
    return rgb


def test_sets(
    data: Path, others: Sequence[Path], fitted: Sequence[Record], excluded: Collection[str]
) -> tuple[list[TestSet], list[Unread]]:
    """The test splits of the dataset that methods are fitted on, where it has one, and of others; and the fields of no use.

    Args:
        data: `data.yaml` of the one, `others` of the others.
        fitted: fields that methods are fitted on; test fields that show their cells are left out.
        excluded: names of fields to leave out of all test sets.

    Raises:
        UsageError: a dataset is named twice. NothingToDoError: one of the others has no test fields, or no field is left at all.
    """
    paths = [*([data] if dataset.load(data, "test").records or not others else []), *others]
    names = [path.resolve().parent.name for path in paths]
    if len(set(names)) < len(names):
        names = [path.resolve().parent.as_posix() for path in paths]
    if len(set(names)) < len(names):
        raise UsageError(
            f"--test: a dataset is named twice, among {', '.join(names)}; --data is tested without being named again"
        )
    tests: list[TestSet] = []
    unread: list[Unread] = []
    for path, name in zip(paths, names, strict=True):
        split = load_split(path, "test")
        records = [record for record in split.records if record.name not in excluded]
        unusable = [field for field in split.unusable if field.source not in excluded]
        there = {record.name for record in split.records} | {field.source for field in split.unusable}
        test, not_looked = apart(TestSet(name, records, excluded=sorted(there & set(excluded))), fitted)
        tests.append(test)
        unread += [*(Unread(f"{name}/{field.source}", field.reason) for field in unusable), *not_looked]
    if not any(test.records for test in tests):
        raise NothingToDoError("no test field can be used: all are unreadable, excluded, or show cells of the training fields")
    return tests, unread


def apart(test: TestSet, fitted: Sequence[Record]) -> tuple[TestSet, list[Unread]]:
    """The fields of a test set that show no cells of the fields that methods are fitted on; and those that cannot be read.

    What `annotations.duplicates` sees decides: names of fields such as 1 or image-1 stand in several datasets.
    """
    looked: list[tuple[Record, duplicates.Look]] = []
    unread: list[Unread] = []
    for record in test.records:
        try:
            pixels(record)
            assert record.image is not None
            looked.append((record, duplicates.look(record.image)))
        except ImageError as error:
            unread.append(Unread(f"{test.name}/{record.name}", str(error)))
    ours = [duplicates.look(record.image) for record in fitted if record.image is not None]
    same = {pair.first for pair in duplicates.between([picture for _, picture in looked], ours)}
    kept = [record for i, (record, _) in enumerate(looked) if i not in same]
    return replace(test, records=kept, same_as_fitted=[looked[i][0].name for i in sorted(same)]), unread


def run_method(
    results: Results, method: Method, fields: Sequence[LabelledField], tests: Sequence[TestSet], advance: Callable[[float], None]
) -> MethodRun:
    """Fit a method and run it over all test sets, or take what a run before this one kept.

    Args:
        advance: is called with the steps of fitting or the number of fields that were done.
    """
    kept = results.kept(method.name, lambda: _searched(method, fields, tests, advance))
    return MethodRun(
        method.name,
        method.source,
        kept["failed"],
        tuple(kept["classes"]),
        kept["fit_s"],
        kept["size_bytes"],
        {test.name: _detections(kept["found"][test.name], test) for test in tests} if kept["failed"] is None else {},
    )


def _searched(
    method: Method, fields: Sequence[LabelledField], tests: Sequence[TestSet], advance: Callable[[float], None]
) -> dict[str, Any]:
    if method.steps:
        method.advance = advance
    began = time.process_time()
    try:
        method.fit(fields)
        fit_s = time.process_time() - began
        size = method.size_bytes()
    # Whatever its library does, it must not cost the other methods their results.
    except Exception as error:
        return {"failed": _why(error), "classes": [], "fit_s": 0.0, "size_bytes": 0, "found": {}}
    of_tests: dict[str, list[Any]] = {}
    for test in tests:
        rows = of_tests[test.name] = []
        for record in test.records:
            rows.append(_searched_field(method, record))
            advance(1)
    return {"failed": None, "classes": list(method.classes), "fit_s": round(fit_s, 3), "size_bytes": size, "found": of_tests}


def _searched_field(method: Method, record: Record) -> dict[str, Any]:
    try:
        rgb = pixels(record)
        began = time.process_time()
        counted, searched = method.search(rgb)
        ms = 1000 * (time.process_time() - began)
        found = {"counted": _packed(counted), "searched": None if searched is counted else _packed(searched)}
    # Nor must one field cost a method its others.
    except Exception as error:
        return {"failed": _why(error)}
    return {"failed": None, "ms": round(ms, 3), **found}


def _why(error: Exception) -> str:
    """The reason of a failure in one line; one that nobody foresaw with its kind."""
    if isinstance(error, SmearcountError):
        return str(error)
    if images.out_of_memory(error):
        return images.TOO_LITTLE_MEMORY
    kind, reason = type(error).__name__, one_line(error)
    return kind if reason == kind else f"{kind}: {reason}"


def _packed(cells: Detections) -> dict[str, Any]:
    return {"xyxy": cells.xyxy.round(2).tolist(), "score": cells.score.tolist(), "label": cells.label.tolist()}


def _detections(rows: Sequence[Mapping[str, Any]], test: TestSet) -> TestDetections:
    both = list(zip(rows, test.records, strict=True))
    done = [(row, record) for row, record in both if row["failed"] is None]
    counted = [record.judged(_unpacked(row["counted"], record)) for row, record in done]
    searched = [
        cells if row["searched"] is None else record.judged(_unpacked(row["searched"], record))
        for (row, record), cells in zip(done, counted, strict=True)
    ]
    failed = [Unread(record.name, row["failed"]) for row, record in both if row["failed"] is not None]
    return TestDetections([record for _, record in done], counted, searched, [row["ms"] for row, _ in done], failed)


def _unpacked(packed: Mapping[str, Any], record: Record) -> Detections:
    xyxy = np.array(packed["xyxy"], dtype=np.float32).reshape(-1, 4)
    return Detections(xyxy, np.array(packed["score"], np.float32), np.array(packed["label"], np.int64), record.size_wh)


class CropTask:
    """One question that crops are asked, with the crops to learn it from and those of each test set; crops are cut when they are needed."""

    def __init__(self, name: str, train: Callable[[], Crops], tests: Mapping[str, Callable[[], Crops]], seed: int) -> None:
        self.name, self.seed = name, seed
        self._train, self._tests = train, tests
        self.data = tuple(tests)

    @cached_property
    def train(self) -> Crops:
        """At most `MOST_CROPS` of each class."""
        return self._train().at_most(MOST_CROPS, self.seed)

    @cached_property
    def tests(self) -> dict[str, Crops]:
        """By the name of the test set."""
        return {name: make() for name, make in self._tests.items()}


def cells_task(fields: Sequence[LabelledField], tests: Sequence[TestSet], seed: int) -> CropTask:
    """Crops of labelled boxes, as red cell, white cell or platelet."""

    def crops_of(test: TestSet) -> Callable[[], Crops]:
        return lambda: of_boxes(read_fields(test.records)[0])

    return CropTask(CELLS, lambda: of_boxes(fields), {test.name: crops_of(test) for test in tests}, seed)


def shapes_task(shapes: ShapeCrops, data: str, seed: int) -> CropTask:
    """Crops of red cells by their shape."""
    return CropTask(SHAPES, lambda: shapes.train, {data: lambda: shapes.test}, seed)


def classify(results: Results, task: CropTask, advance: Callable[[float], None]) -> Iterator[Classified]:
    """Each classifier on the crops of each test set, with preprocessing and without, or what a run before this one kept."""
    for enhanced in (False, True):
        for name in CLASSIFIERS:
            title = f"{task.name}, {name}, {'enhanced' if enhanced else 'plain'}"

            def make(name: str = name, enhanced: bool = enhanced) -> dict[str, Any]:
                return _classified(task, CropClassifier(name, enhanced, task.seed))

            kept = results.kept(title.replace(",", ""), make)
            for data in task.data:
                labels = np.array(kept["taken_for"].get(data, []), dtype=np.int64)
                failed = kept["failed"] or kept["failed_on"].get(data)
                about = (failed, tuple(kept["unlearnt"]), task.tests[data], labels, kept["fit_s"], kept["size_bytes"])
                yield Classified(task.name, data, name, enhanced, *about)
            advance(1)


def _classified(task: CropTask, classifier: CropClassifier) -> dict[str, Any]:
    try:
        classifier.fit(task.train)
        about = {"fit_s": round(classifier.fit_s, 3), "size_bytes": classifier.size_bytes()}
    # As of a method of finding cells: it must cost no other its results.
    except Exception as error:
        return {"failed": _why(error), "failed_on": {}, "unlearnt": [], "taken_for": {}, "fit_s": 0.0, "size_bytes": 0}
    taken_for, failed_on = {}, {}
    for data, crops in task.tests.items():
        try:
            taken_for[data] = classifier.classify(crops)[0].tolist()
        # Nor must one test set cost it the others.
        except Exception as error:
            failed_on[data] = _why(error)
    unlearnt = list(classifier.unlearnt)
    return {"failed": None, "failed_on": failed_on, "unlearnt": unlearnt, "taken_for": taken_for, **about}


def measure(
    kept: Results,
    methods: Sequence[Method],
    fields: Sequence[LabelledField],
    tests: Sequence[TestSet],
    tasks: Sequence[CropTask],
    bar: Bar,
) -> tuple[list[MethodRun], list[Classified]]:
    """All methods on all test sets, and all classifiers on all crops."""
    runs, to_test = [], sum(len(test.records) for test in tests)
    for method in methods:
        with bar(method.name, method.steps + to_test) as advance:
            runs.append(run_method(kept, method, fields, tests, advance))
    with bar("classifying", 2 * len(CLASSIFIERS) * len(tasks)) as advance:
        return runs, [classified for task in tasks for classified in classify(kept, task, advance)]


def unlabelled(test: TestSet) -> list[str]:
    """Classes of which a test set has no labelled cell: whether it shows any is not known."""
    held = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(record.label for record in test.records)]))
    return [name for label, name in enumerate(CLASSES) if label not in held]
