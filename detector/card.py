"""Put the figures of evaluations on a model's card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.commandline import EXIT_DONE, console, run
from detector.errors import ModelError, OutputError, UsageError
from detector.output.files import write_text
from detector.training import page
from detector.vision import card as cards


def command(
    model: Annotated[Path, typer.Argument(help="An .onnx model with its card (.json) beside it.")],
    figures: Annotated[list[Path], typer.Argument(help="Figures that python -m detector.evaluate --out wrote for this model.")],
) -> int:
    """Put the figures of evaluations on a model's card, in place of those that stand there, and write its page anew."""
    beside = model.with_suffix(".json")
    if not model.is_file() or not beside.is_file():
        raise ModelError(f"{model}: no such model, or no card {beside.name} beside it")
    digest = cards.check_hash(model)
    content = json.loads(beside.read_text(encoding="utf-8"))
    content["figures"] = [_of(path, digest) for path in figures]
    try:
        text = page.render(content)
        write_text(beside, json.dumps(content, indent=2) + "\n")
        write_text(model.with_suffix(".md"), text)
    except (OSError, KeyError) as error:
        raise OutputError(f"{beside}: cannot be written, or is no card that detector.export made ({error})") from None
    console.print(f"{len(figures)} evaluations on the card {beside}", markup=False, soft_wrap=True)
    return EXIT_DONE


def _of(path: Path, digest: str) -> dict[str, Any]:
    """What a card says of one evaluation.

    Raises:
        UsageError: no figures of ours, or those of another model.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if metrics["model_sha256"] != digest:
            raise UsageError(f"{path}: holds figures of another model ({metrics['model_sha256'][:12]}...); evaluate this one")
        return {
            **{key: metrics[key] for key in ("data", "split", "left_out")},
            **_figures(metrics),
            "domains": {name: _figures(of) for name, of in metrics["domains"].items()},
            "failures": metrics["failures"],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path}: holds no figures; write them with python -m detector.evaluate --out") from None


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of some fields, all or those of a domain."""
    ap = metrics["average_precision"]
    return {
        "fields": metrics["fields"],
        "map50": ap["mean_ap50"],
        "map50_95": ap["mean_ap50_95"],
        "ap50": ap["ap50"],
        "ap50_95": ap["ap50_95"],
        **{kind: {name: row["mae"] for name, row in metrics[kind].items()} for kind in ("all_cells", "clear_cells")},
        # There is no guess where the dataset has no training fields.
        "guess": {name: row["mae"] for name, row in (metrics["guess"] or {}).items()},
    }


def main() -> None:
    """Run the command line."""
    run(command, "python -m detector.card")


if __name__ == "__main__":
    main()
