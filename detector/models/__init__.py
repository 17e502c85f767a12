"""`python -m detector.models`: which models are here, and how far each errs. The files beside this are those of the shipped model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from detector.arguments import Parser, called
from detector.commandline import console, run
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED
from detector.output.figures import fixed, many
from detector.vision import catalogue
from detector.vision.cells import CLASSES


def models() -> int:
    """List the models that --model takes by name: for which microscope and stain, measured error, licence and SHA-256.

    Those of detector.adapt lie in a folder of yours; the environment variable SMEARCOUNT_MODELS names another one.
    """
    listed = catalogue.entries()
    for entry in listed:
        console.print(f"[bold]{escape(entry.name)}[/]", soft_wrap=True)
        lines = [entry.problem] if entry.card is None else _lines(entry.card)
        for line in [*lines, str(entry.path)]:
            console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print(f"use one: {called('count')} --model NAME INPUT", markup=False)
    return EXIT_SOME_FAILED if any(entry.problem for entry in listed) else EXIT_DONE


def _lines(card: Mapping[str, Any]) -> list[str]:
    origin = card["training"].get("adapted from")
    return [
        f"for: {card.get('about') or 'not named'}, adapted from {origin}"
        if origin
        else "for: stained thin smears; errors in other stains and light can be larger than these",
        *_errors(card),
        f"licence {card['licence']}, SHA-256 {card['sha256'][:12]}",
    ]


def _errors(card: Mapping[str, Any]) -> list[str]:
    """Mean absolute errors a field, each with the fields that they were measured on."""
    if "adapted" in card:
        adapted = card["adapted"]
        before, kept = (
            next(c["own_error"] for c in adapted["choices"] if c["kind"] == kind) for kind in ("shipped", adapted["kept"])
        )
        return [
            f"error a field: {_cells(kept)}; before {_cells(before)} ({many(adapted['fields'], 'corrected field')}, cross-validated)"
        ]
    measured = [
        (f"{figures['fields']} test fields of {figures['data']}", figures["all_cells"]) for figures in card.get("figures", ())
    ]
    return [f"error a field: {_cells(errors)} ({of})" for of, errors in measured]


def _cells(errors: Mapping[str, Mapping[str, float] | None]) -> str:
    return ", ".join(
        f"{name} {fixed(error['value'], 2) if error else 'unknown'}" for name in CLASSES if (error := errors[name]) or True
    )


def parser() -> Parser:
    """What the command takes."""
    return Parser("models", "", models.__doc__)


def main() -> None:
    """Entry point."""
    run(models, parser())
