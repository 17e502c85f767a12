"""Why a figure is undefined: words beside the figure, so that nobody takes it for 0 or for a fault."""

from __future__ import annotations

UNDEFINED = "undefined"

TOO_FEW = "too few"

WHY = {
    "loa_low": "only one",
    "loa_high": "only one",
    "exact": "not whole",
    "within_one": "not whole",
    "pooled_accuracy": "no true cells",
    "pearson_r": "no variance",
    "concordance": "no variance",
    "guess": "no training fields",
    "ap50": "none labelled",
    "ap50_95": "none labelled",
    "precision": "none found",
    "recall": "none labelled",
    "f1": "no cells",
    "accuracy": "no cells",
    "named_right": "none found",
}
"""By the name of each figure that can be undefined; of a difference, for one of its sides."""
