"""Make an ONNX model that counts from trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.arguments import Number, Parser
from detector.commandline import console, errors, run
from detector.errors import EXIT_DONE, ModelError, OutputError, UsageError
from detector.training import fit, framework, settings
from detector.training.export import ModelSizes
from detector.training.finish import PLOT, FinishedModel, UnseenData, finish


def make_model(
    weights: Path,
    data: Sequence[Path],
    target: Path,
    sizes: ModelSizes,
    training: dict[str, Any],
    unseen: UnseenData | None = None,
) -> FinishedModel:
    """Export weights with tuned thresholds and a card, and tell the user what came of it."""
    finished = finish(weights, data, target, sizes, training, unseen)
    parity = finished.parity
    if finished.unfound:
        errors.print(f"[yellow]finds no {', '.join(finished.unfound)} in the val fields at any score: train longer[/]")
    if finished.untuned:
        errors.print(
            f"[yellow]no val field has a {' or '.join(finished.untuned)}, so that threshold is not tuned: "
            "convert again with such fields in val[/]"
        )
    console.print(f"model: {finished.model} (card: {finished.card})", markup=False, soft_wrap=True)
    console.print("thresholds: " + ", ".join(f"{name} {value:.2f}" for name, value in finished.thresholds.items()))
    console.print(
        f"same counts as the weights in {parity.equal} of {parity.fields} fields, largest difference {parity.worst}",
        soft_wrap=True,
    )
    return finished


@dataclass(frozen=True)
class ExportOptions:
    """The options by their names; `parser` says what they are."""

    weights: Path
    data: Sequence[Path]
    out: Path
    shown_rbc_px: float
    image_px: int | None = None
    unseen_model: Path | None = None
    unseen_data: Sequence[Path] = ()


def export(options: ExportOptions) -> int:
    """Make an ONNX model for counting from trained weights, with thresholds tuned on the datasets' val fields.

    Several thresholds may do about as well there. Then laboratories can decide that a second model was trained without: of these
    thresholds, the one by which --unseen-model counts the val fields of --unseen-data best is taken.
    """
    weights, out = options.weights, options.out
    if (options.unseen_model is None) != (not options.unseen_data):
        raise UsageError("--unseen-model and --unseen-data go together; give both or neither")
    if not weights.is_file():
        raise ModelError(f"{weights}: no such file; give weights such as runs/train/NAME/weights/best.pt")
    if weights.suffix != ".pt":
        raise ModelError(f"{weights}: must be weights (.pt), such as runs/train/NAME/weights/best.pt")
    if out.suffix != ".onnx":
        raise OutputError(f"{out}: must end with .onnx")
    if options.image_px is not None and (options.image_px < 64 or options.image_px % 32):
        raise UsageError(f"--image-px {options.image_px}: must be a multiple of 32, 64 or more")
    if not 12 <= options.shown_rbc_px <= 200:
        raise UsageError(f"--shown-rbc-px {options.shown_rbc_px:g}: must be 12 to 200")
    for made in (out, *(out.with_suffix(suffix) for suffix in (".json", ".md", PLOT))):
        if made.exists():
            raise OutputError(f"{made}: exists already; choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent}: cannot be made ({error.strerror})") from None
    framework.prepare(Path("runs") / "train" / ".ultralytics")
    unseen = None if options.unseen_model is None else UnseenData(options.unseen_model, options.unseen_data)
    sizes = ModelSizes(_side_px(weights, options.image_px), options.shown_rbc_px)
    make_model(weights, options.data, out, sizes, {"weights": weights.name}, unseen)
    return EXIT_DONE


def _side_px(weights: Path, given: int | None) -> int:
    """Side of the pictures of the weights' training: at another one they would find other cells."""
    stated = fit.trained_px(weights)
    if given is None and stated is None:
        raise UsageError(f"{weights}: does not say at which size it was trained; give --image-px")
    if given is not None and stated is not None and given != stated:
        raise UsageError(f"--image-px {given}: {weights} was trained at {stated} px; leave it out")
    return stated or given or 0


def parser() -> Parser:
    """What the command takes."""
    made = Parser("export", "[OPTION]... --data <path> --out <path> WEIGHTS", export.__doc__)
    add = made.add_argument
    add("weights", metavar="WEIGHTS", type=Path, help="trained weights (.pt)")
    add(
        "--data",
        type=Path,
        action="append",
        required=True,
        help="data.yaml of a dataset of their training; can be given several times",
    )
    add("--out", type=Path, required=True, help=".onnx file to write; its card is written beside it")
    add("--image-px", type=Number(int), help="--image-px of their training; default: as the weights say")
    shown = "width of red cells in the model's input when it counts, in pixels"
    add("--shown-rbc-px", type=Number(float), default=settings.load().shown_rbc_px, help=shown)
    add("--unseen-model", type=Path, help="a model that was trained without the laboratories of --unseen-data")
    add("--unseen-data", type=Path, action="append", default=[], help="their data.yaml; can be given several times")
    return made


def main() -> None:
    """Entry point."""
    run(export, parser(), ExportOptions)


if __name__ == "__main__":
    main()
