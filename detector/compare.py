"""`python -m detector.compare`: methods that papers describe, and the detector, measured on the same fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from detector.accuracy import evaluation, precision, terminal
from detector.accuracy.report.folder import portable
from detector.annotations import dataset
from detector.arguments import Number, Parser
from detector.commandline import console, errors, progress_bar, run
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, MissingExtraError, NothingToDoError, UsageError
from detector.output import results
from detector.shipped import version
from detector.vision.model import Model


@dataclass(frozen=True)
class CompareOptions:
    """The options by their names; `parser` says what they are."""

    data: Path
    test: list[Path] = field(default_factory=list)
    shapes: Path | None = None
    splits: Path | None = None
    model: Path | None = None
    exclude: list[Path] = field(default_factory=list)
    long: bool = False
    seed: int = 0
    out: Path | None = None
    resume: bool = False


def command(options: CompareOptions) -> int:
    """Measure methods that papers describe beside the detector: watershed, circles, thresholds, moments, U-Net, features with classifiers.

    All are fitted on the train split of --data and tested on its test split and on those of --test. Classifiers and small networks also
    tell cropped cells apart, and with --shapes the shapes of red cells. Writes report.html (for people), compare.csv, failures.csv, and a
    file for each method.
    """
    _check(options)
    from detector.baselines import comparison, crops, report

    model = Model.load(options.model)
    shapes = crops.of_points(options.shapes, options.splits) if options.shapes and options.splits else None
    train = dataset.load(options.data, "train")
    fields, unread = comparison.read_fields(train.records, comparison.MOST_FIT)
    if not fields:
        raise NothingToDoError(f"{options.data}: split 'train' has no field that can be read to fit the methods on")
    fitted = [field.record for field in fields]
    excluded = {name for path in options.exclude for name in evaluation.names_in(path)}
    tests, not_tested = comparison.test_sets(options.data, options.test, fitted, excluded)
    absent = excluded.difference(*(test.excluded for test in tests))
    terminal.print_names(errors, "names of --exclude that no test set has", sorted(absent))
    unread = [*train.unusable, *unread, *not_tested, *(shapes.unread if shapes else ())]
    folder = options.out or results.default_folder("compare")
    asked = comparison.key_of(fitted, tests, model, options.seed, shapes.names() if shapes else ())
    kept = comparison.Results(folder, asked, options.resume)
    tasks = [comparison.cells_task(fields, tests, options.seed)]
    if shapes and options.shapes:
        tasks.append(comparison.shapes_task(shapes, portable(options.shapes), options.seed))
    methods = comparison.methods(model, options.seed, options.long)
    try:
        runs, classified = comparison.measure(kept, methods, fields, tests, tasks, progress_bar)
    except KeyboardInterrupt:
        errors.print(f"interrupted; continue with the same command and: --out {folder} --resume", markup=False, soft_wrap=True)
        raise
    made = report.MethodsReport(fitted, tests, runs, classified, unread, _about(options, len(fitted), model))
    report.show(console, errors, made)
    report.write(folder, made)
    console.print(f"results: {folder}", markup=False, soft_wrap=True)
    return EXIT_SOME_FAILED if made.failures or unread else EXIT_DONE


def _check(options: CompareOptions) -> None:
    """Refuse what cannot work before anything takes time.

    Raises:
        MissingExtraError: a package of the extra is not installed. UsageError: options contradict each other.
    """
    if (options.shapes is None) != (options.splits is None):
        raise UsageError(
            "--shapes and --splits belong together: labelled points, and which fields are for training and for tests"
        )
    if options.resume and options.out is None:
        raise UsageError("--resume continues what stands in a folder; name it by --out")
    for package, module in (("scikit-image", "skimage"), ("scikit-learn", "sklearn")):
        if find_spec(module) is None:
            raise MissingExtraError(package, "baselines", "the comparison of methods")
    precision.reference()


def _about(options: CompareOptions, fitted: int, model: Model) -> dict[str, str]:
    return {
        "smearcount": version(),
        "model": model.card.name,
        "fitted on": f"{portable(options.data)}, split train, {fitted} fields",
        "tested on": ", ".join(f"{portable(path)}" for path in (options.data, *options.test)) + ", split test",
        "seed": str(options.seed),
    }


def parser() -> Parser:
    """What the command takes."""
    made = Parser("compare", "[OPTION]... --data <path>", command.__doc__)
    add = made.add_argument
    add(
        "--data",
        type=Path,
        required=True,
        help="data.yaml of a dataset folder made by detector.convert; its train split fits the methods",
    )
    add(
        "--test",
        type=Path,
        action="append",
        default=[],
        help="data.yaml of another test set, also of other labels; can be repeated",
    )
    add("--shapes", type=Path, help="folder of Chula RBC-12 (images, points): classify red cells by shape")
    add("--splits", type=Path, help="with --shapes: folder with train.txt and test.txt, the names of the fields of each")
    add("--model", type=Path, help="an .onnx model, or the name of one that adapt made; default: the shipped one")
    add(
        "--exclude",
        type=Path,
        action="append",
        default=[],
        help="text file with the names of test fields to leave out, one a line; can be repeated",
    )
    add("--long", action="store_true", help="also methods that take as long as all others together: Faster R-CNN")
    add("--seed", type=Number(int, 0), default=0, help="random seed of forests, clusters, networks and drawn crops")
    add("--out", type=Path, help="folder for the results; default: runs/compare/<time>")
    add("--resume", action="store_true", help="continue the comparison in --out: methods that are done are not run again")
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser(), CompareOptions)


if __name__ == "__main__":
    main()
