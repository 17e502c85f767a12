"""`python -m detector.adapt`: teach the model a laboratory by a few corrected fields, and prove that it gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.accuracy.evaluation import load_all_splits
from detector.accuracy.failures import groups_by_name
from detector.accuracy.terminal import show
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.arguments import Parser, called
from detector.commandline import console, errors, run
from detector.engines import manifest
from detector.errors import EXIT_DONE, ModelError, NothingToDoError, writing
from detector.output.figures import many
from detector.output.results import CELLS
from detector.review import outcome
from detector.training import adaptation
from detector.training.adaptation import Adapted
from detector.vision import catalogue
from detector.vision.model import Model


@dataclass(frozen=True)
class AdaptOptions:
    """The options by their names; `parser` says what they are."""

    data: Path
    name: str
    model: Path | None = None
    smears: Path | None = None
    about: str = ""


def adapt(options: AdaptOptions) -> int:
    """Adapt a model to your microscope and stain by five or more corrected fields, and keep it only if it counts better.

    Compares the model as it is, the same with thresholds of its own, and weights that were trained on the corrected fields. Each field
    is counted by a model that does not know it (three-fold cross-validation, by smear if --smears names them). Takes some
    minutes.
    """
    target = catalogue.new(options.name)
    model = Model.load(options.model)
    weights = model.path.with_suffix(".pt")
    if not weights.is_file():
        raise ModelError(f"{weights}: no such weights; adapt a model that has its weights (.pt) beside its .onnx file")
    data = _data(options.data)
    records = _records(data)
    named = data.with_name(dataset.SMEARS)
    groups, smears = _groups(records, options.smears or (named if named.is_file() else None))
    with writing(target.parent, f"name a folder that can be written in {catalogue.FOLDER_VARIABLE}"):
        target.parent.mkdir(parents=True, exist_ok=True)
    job = adaptation.Adaptation(records, groups, model, weights, options.about)
    adapted = adaptation.adapt(job, target, lambda step: errors.print(f"{step} ...", markup=False, soft_wrap=True))
    _say(adapted, smears, target)
    return EXIT_DONE


def _data(given: Path) -> Path:
    """The `data.yaml` of a dataset, or of the reviewed fields of a count."""
    if not given.is_dir():
        return given
    reviewed = given / outcome.FOLDER / outcome.DATASET
    if reviewed.is_dir():
        return reviewed / "data.yaml"
    if (given / CELLS).is_file():
        review = f"{called('review')} {given}"
        raise NothingToDoError(
            f"{given}: no reviewed fields are written; look at some ({review}), then write them: {review} --write --dataset"
        )
    return given / "data.yaml"


def _records(data: Path) -> list[Record]:
    records = [record for record in load_all_splits(data) if record.image is not None]
    if not records:
        raise NothingToDoError(f"{data}: holds no labelled field; give the dataset folder of corrected fields")
    return records


def _groups(records: Sequence[Record], smears: Path | None) -> tuple[list[str], int]:
    """The smear of each field, and how many smears are known."""
    if smears is None:
        return [record.name for record in records], 0
    smear_of = groups_by_name(((row.field, row.smear) for row in manifest.read(smears, domains=True).rows), "smear")
    groups = [smear_of.get(record.name, f"{record.name} (of no smear)") for record in records]
    return groups, len({smear_of[record.name] for record in records if record.name in smear_of})


def _say(adapted: Adapted, smears: int, target: Path) -> None:
    cells = ", ".join(f"{n:,} {name}" for name, n in adapted.cells.items())
    of_smears = f" of {many(smears, 'smear')}" if smears else ""
    console.print(f"{many(adapted.fields, 'corrected field')}{of_smears} with {cells}", soft_wrap=True)
    show(console, [adaptation.table(adapted.choices)])
    if adapted.model is None:
        best = max(adapted.choices[1:], key=lambda choice: choice.gain.value)
        console.print(
            f"nothing was gained for certain ({best.told_gain}); the model stays as it was: correct more fields, best those that the page "
            f"of {called('review')} lists as to correct next",
            soft_wrap=True,
        )
        return
    console.print(f"kept: {adapted.kept.name}, {adapted.kept.told_gain}", soft_wrap=True)
    console.print(f"model: {adapted.model}", markup=False, soft_wrap=True)
    console.print(f"count with it: {called('count')} --model {target.stem} INPUT", markup=False, soft_wrap=True)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("adapt", "[OPTION]... --from <path> --name <str>", adapt.__doc__)
    add = made.add_argument
    add(
        "--from",
        dest="data",
        type=Path,
        required=True,
        help="results of a count whose review was written with --dataset; or a dataset folder of corrected fields",
    )
    add("--name", required=True, help="name of the new model, which --model of other commands then takes")
    add("--model", type=Path, help="model to adapt, by name or path, with its weights (.pt) beside it; default: the shipped one")
    add("--smears", type=Path, help="CSV file with each field's smear: field,smear")
    add("--about", default=AdaptOptions.about, help="microscope and stain, for the model's card")
    return made


def main() -> None:
    """Entry point."""
    run(adapt, parser(), AdaptOptions)


if __name__ == "__main__":
    main()
