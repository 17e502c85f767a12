"""Put the figures of evaluations on a model's card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.accuracy.report import metrics
from detector.arguments import Parser, called
from detector.commandline import console, run
from detector.errors import EXIT_DONE, ModelError, OutputError, UsageError
from detector.output.files import write_text
from detector.training import page
from detector.vision import card as cards


def command(*, model: Path, figures: Sequence[Path], left_out: Sequence[Path]) -> int:
    """Put the figures of evaluations on a model's card, in place of earlier figures, and write the card's page again."""
    beside = model.with_suffix(".json")
    if not model.is_file() or not beside.is_file():
        lacking = f"has no card {beside.name} beside it" if model.is_file() else "no such model file"
        raise ModelError(f"{model}: {lacking}; give an .onnx file that {called('export')} made, with its card")
    digest = cards.check_hash(model)
    content = json.loads(beside.read_text(encoding="utf-8"))
    content["figures"] = [_of(path, digest) for path in figures]
    if left_out:
        content["left_out"] = [_of_another(path, digest) for path in left_out]
    try:
        text = page.render(content)
        write_text(beside, json.dumps(content, indent=2) + "\n")
        write_text(model.with_suffix(".md"), text)
    except (OSError, KeyError, ValueError) as error:
        raise OutputError(f"{beside}: cannot be written, or is not a card that detector.export made ({error})") from None
    console.print(f"{len(figures)} evaluations on the card {beside}", markup=False, soft_wrap=True)
    return EXIT_DONE


def _of(path: Path, digest: str) -> dict[str, Any]:
    """What a card says of one evaluation.

    Raises:
        UsageError: no figures of ours, or those of another model.
    """
    document = _document(path)
    evaluated = document["model"]["sha256"]
    if evaluated != digest:
        raise UsageError(f"{path}: holds figures of another model ({evaluated[:12]}...); evaluate this one")
    return _evaluation(path, document)


def _of_another(path: Path, digest: str) -> dict[str, Any]:
    """What a card says of a model that was trained alike, but without the fields on which it is evaluated.

    Raises:
        UsageError: no figures of ours, or those of the card's own model.
    """
    document = _document(path)
    evaluated = document["model"]["sha256"]
    if evaluated == digest:
        raise UsageError(
            f"{path}: holds figures of this model; --left-out takes those of one that never saw these fields' laboratory"
        )
    return {**_evaluation(path, document), "model_sha256": evaluated}


def _document(path: Path) -> dict[str, Any]:
    document = metrics.read(path)
    if document["kind"] != "model":
        raise UsageError(f"{path}: compares tables of counts; a card tells of {called('evaluate')} --data")
    return document


def _evaluation(path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {
            **{key: document[key] for key in ("data", "split", "left_out")},
            **_figures(document["figures"]),
            "domains": {name: _figures(figures) for name, figures in document["domains"].items()},
            "failures": document["failures"],
        }
    except (KeyError, TypeError, AttributeError):
        raise UsageError(f"{path}: lacks some of the figures; evaluate anew with {called('evaluate')}") from None


def _figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of some fields, all or those of a domain."""
    ap = figures["average_precision"]
    return {
        "fields": figures["fields"],
        "map50": ap["mean_ap50"],
        "map50_95": ap["mean_ap50_95"],
        "ap50": ap["ap50"],
        "ap50_95": ap["ap50_95"],
        **{kind: {name: row["mae"] for name, row in figures[kind].items()} for kind in ("all_cells", "clear_cells")},
        # There is no constant baseline where the dataset has no training fields.
        "constant_baseline": {name: row["mae"] for name, row in (figures["constant_baseline"] or {}).items()},
    }


def parser() -> Parser:
    """What the command takes."""
    made = Parser("card", "MODEL FIGURES...", command.__doc__)
    made.add_argument("model", metavar="MODEL", type=Path, help="an .onnx model with its card (.json) beside it")
    left = f"result folders of {called('evaluate')} --data for this model, or their metrics.json"
    made.add_argument("figures", metavar="FIGURES", type=Path, nargs="+", help=left)
    another = "the same for a model that was trained without the laboratory of these fields; can be given several times"
    made.add_argument("--left-out", metavar="FIGURES", type=Path, action="append", default=[], help=another)
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser())


if __name__ == "__main__":
    main()
