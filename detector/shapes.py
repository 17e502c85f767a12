"""Learn to tell the shapes of red cells, for `detector.count --shapes`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from detector.annotations import layouts
from detector.arguments import Number, Parser, called
from detector.commandline import console, errors, progress_bar, run
from detector.errors import EXIT_DONE, MissingExtraError, UsageError
from detector.output import results

if TYPE_CHECKING:
    from detector.training.shape_cells import ShapeCells

LIGHTS = 2
"""Pictures of each cell in another light."""


@dataclass(frozen=True)
class ShapesOptions:
    """The options by their names; `parser` says what they are."""

    data: Path
    labels: Path = Path("datasets/labels/chula")
    splits: Path = Path("datasets/splits/chula")
    classical: list[str] = field(default_factory=list)
    seed: int = 0
    out: Path | None = None


def learn(options: ShapesOptions) -> int:
    """Train the classifier of red cell shapes that detector.count --shapes uses, cross-validated by smear.

    Learns from the train and val fields of --splits, and tests once on its test fields. Writes shapes.onnx, its card (shapes.json
    and shapes.md), and held_out.npz: for each cell, what the network answers that was trained without its smear.
    """
    try:
        from detector.training import shape_card, shape_cells, shapes
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "train", "training") from None
    splits = layouts.split_lists(options.splits) if options.splits.is_dir() else {}
    if not {"train", "test"} <= splits.keys():
        raise UsageError(f"--splits {options.splits}: give a folder with train.txt and test.txt, lists of the fields of each")
    if not (options.data / "images").is_dir() or not (options.data / "points").is_dir():
        raise UsageError(f"--data {options.data}: has no folders 'images' and 'points', as Chula RBC-12 has")
    folder = options.out or results.default_folder("shapes")
    results.make_folder(folder, ("shapes.onnx", "shapes.json", "shapes.md"))
    learnt_from = splits["train"] | splits.get("val", frozenset())
    cells = shape_cells.read(options.data, options.labels, learnt_from, LIGHTS, options.seed)
    tests = shape_cells.read(options.data, options.labels, splits["test"] - learnt_from, 0, options.seed)
    for unread in (*cells.unread, *tests.unread):
        errors.print(f"unread: {unread.source}: {unread.reason}", markup=False, soft_wrap=True)
    with progress_bar("learning", (len(set(cells.smears)) + 1) * shapes.STEPS) as advance:
        learned = shapes.learn(cells, options.seed, advance)
    settings = {
        "command": called("shapes"),
        "seed": options.seed,
        "lights": LIGHTS,
        "channels": shapes.CHANNELS,
        "units": shapes.UNITS,
        "batches": shapes.STEPS,
        "batch": shapes.BATCH,
        "rate": shapes.RATE,
    }
    rivals = _classical(cells, options.classical, options.seed)
    card = shape_card.finish(folder / "shapes.onnx", learned, cells, tests, {**settings, "classical": rivals})
    console.print(json.dumps({name: value for name, value in card.figures.items() if name != "confusion"}), soft_wrap=True)
    console.print(f"results: {folder}", markup=False, soft_wrap=True)
    return EXIT_DONE


def _classical(cells: ShapeCells, names: Sequence[str], seed: int) -> dict[str, dict[str, float]]:
    """Figures of other classifiers, with the same smears left out and on the same pictures."""
    if not names:
        return {}
    from detector.baselines import classifiers
    from detector.training import shape_card

    pictures, classes = cells.pictures[:, 0], len(shape_card.grouped())
    answers = classifiers.left_out_by_smear(pictures, cells.shape, cells.smears, names, classes, seed)
    return {name: shape_card.calibrated_rates(probability, shape_card.truth(cells)) for name, probability in answers}


def parser() -> Parser:
    """What the command takes."""
    made = Parser("shapes", "[OPTION]... --data <path>", learn.__doc__)
    add = made.add_argument
    add("--data", type=Path, required=True, help="folder of Chula RBC-12, with images and points")
    add("--labels", type=Path, default=ShapesOptions.labels, help="folder with boxes of the same fields, as YOLO files")
    add("--splits", type=Path, default=ShapesOptions.splits, help="folder with train.txt, val.txt and test.txt")
    of_rivals = "classifier of detector.compare to measure beside it, by its name there; can be given several times"
    add("--classical", metavar="<name>", action="append", default=[], help=of_rivals)
    add("--seed", type=Number(int, 0), default=0, help="random seed")
    add("--out", type=Path, help="folder for the results; default: runs/shapes/<time>")
    return made


def main() -> None:
    """Entry point."""
    run(learn, parser(), ShapesOptions)


if __name__ == "__main__":
    main()
