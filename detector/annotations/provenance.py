"""Where a converted dataset comes from and what its audit found: what the card of a model trained on it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from detector.annotations import dataset
from detector.annotations.corrections import ACTIONS
from detector.annotations.download import DESCRIPTORS
from detector.annotations.labels import SPLITS
from detector.annotations.repair import DROPPED


def describe(data_yaml: Path, descriptors: Path = DESCRIPTORS) -> dict[str, Any]:
    """Licence, credits, splits, shared cells and corrections of a dataset folder, as plain JSON values.

    Licence and credits stand in the descriptor that has the name of the dataset folder, or else of the folder that it was converted
    from; a dataset without one has neither, and one that was not converted by us has no more than these.
    """
    folder = data_yaml.resolve().parent
    audit = _audit(folder)
    names = [folder.name, *(Path(audit[key]).name for key in ("source", "labels") if key in audit)]
    return {**_credit(names, descriptors), **_found(audit)}


def _audit(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / dataset.AUDIT).read_bytes())) if dataset.is_ours(folder) else {}


def _credit(names: list[str], descriptors: Path) -> dict[str, Any]:
    paths = {path.stem: path for path in descriptors.glob("*.yaml")}
    for name in names:
        if name.casefold() in paths:
            fields = yaml.safe_load(paths[name.casefold()].read_text(encoding="utf-8"))
            return {key: fields[key] for key in ("title", "homepage", "licence", "credits")}
    return {}


def _found(audit: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit says of splits, of fields that show the same cells in two of them, of dropped boxes and of corrections."""
    if not audit:
        return {}
    leaks = Counter(
        " and ".join(sorted((pair["first_split"], pair["second_split"]), key=SPLITS.index))
        for pair in audit["twins"]
        if pair["first_split"] != pair["second_split"]
    )
    return {
        "fields": {split: tally["images"] for split, tally in audit["splits"].items()},
        "same_cells_across_splits": dict(sorted(leaks.items())),
        "boxes_dropped": dict(Counter(box["reason"] for box in audit["boxes"] if box["action"] == DROPPED)),
        "corrections": _corrections(audit.get("corrections")),
    }


def _corrections(outcome: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    rows = {action: sum(kind["rows"] for kind in outcome["applied"] if kind["action"] == action) for action in ACTIONS}
    # The name alone, for the path is one of the machine that converted.
    return {
        "file": Path(outcome["file"]).name,
        "sha256": outcome["sha256"],
        **rows,
        "not_applied": len(outcome["not_applied"]),
    }
