"""`python -m detector.models`: which models are here, and how far each errs. The files beside this are those of the shipped model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from detector.arguments import Parser, called
from detector.commandline import for_people, print_json, run
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED
from detector.output.figures import fixed, many
from detector.vision import catalogue
from detector.vision.catalogue import ModelEntry
from detector.vision.cells import CLASSES


def models(*, json: bool) -> int:
    """List the models that --model takes by name: for which microscope and stain, measured error, licence and SHA-256.

    Those of detector.adapt lie in a folder of yours; the environment variable SMEARCOUNT_MODELS names another one.
    """
    listed, words = catalogue.entries(), for_people(json)
    for entry in listed:
        words.print(f"[bold]{escape(entry.name)}[/]", soft_wrap=True)
        lines = [entry.problem] if entry.card is None else _lines(entry.card)
        for line in [*lines, str(entry.path)]:
            words.print(f"  {line}", markup=False, soft_wrap=True)
    words.print(f"use one: {called('count')} --model NAME INPUT", markup=False)
    if json:
        print_json({"format": "smearcount-models", "version": 1, "models": [_document(entry) for entry in listed]})
    return EXIT_SOME_FAILED if any(entry.problem for entry in listed) else EXIT_DONE


def _document(entry: ModelEntry) -> dict[str, Any]:
    """A model for programs; what its card does not say, or no card says, is null."""
    card = entry.card or {}
    return {
        "name": entry.name,
        "path": str(entry.path),
        "problem": entry.problem,
        "sha256": card.get("sha256"),
        "licence": card.get("licence"),
        "about": card.get("about"),
        "adapted_from": card["training"].get("adapted from") if card else None,
        "errors": [{"on": on, "classes": dict(errors)} for on, errors in _measured(card)],
    }


def _lines(card: Mapping[str, Any]) -> list[str]:
    origin = card["training"].get("adapted from")
    return [
        f"for: {card.get('about') or 'not named'}, adapted from {origin}"
        if origin
        else "for: stained thin smears; errors in other stains and light can be larger than these",
        *_errors(card),
        f"licence {card['licence']}, SHA-256 {card['sha256'][:12]}",
    ]


Errors = Mapping[str, Mapping[str, float] | None]
"""Mean absolute error a field by class, each with its interval; None where it is not known."""


def _measured(card: Mapping[str, Any]) -> list[tuple[str, Errors]]:
    """Errors with the fields that they were measured on; of an adapted model those before and after it was."""
    if "adapted" in card:
        adapted = card["adapted"]
        before, kept = (
            next(c["own_error"] for c in adapted["choices"] if c["kind"] == kind) for kind in ("shipped", adapted["kept"])
        )
        on = f"{many(adapted['fields'], 'corrected field')}, cross-validated"
        return [(on, kept), (f"{on}, before", before)]
    return [
        (f"{figures['fields']} test fields of {figures['data']}", figures["all_cells"]) for figures in card.get("figures", ())
    ]


def _errors(card: Mapping[str, Any]) -> list[str]:
    measured = _measured(card)
    if "adapted" in card:
        (on, kept), (_, before) = measured
        return [f"error a field: {_cells(kept)}; before {_cells(before)} ({on})"]
    return [f"error a field: {_cells(errors)} ({on})" for on, errors in measured]


def _cells(errors: Errors) -> str:
    return ", ".join(
        f"{name} {fixed(error['value'], 2) if error else 'unknown'}" for name in CLASSES if (error := errors[name]) or True
    )


def parser() -> Parser:
    """What the command takes."""
    made = Parser("models", "[OPTION]...", models.__doc__)
    made.add_json()
    return made


def main() -> None:
    """Entry point."""
    run(models, parser())
