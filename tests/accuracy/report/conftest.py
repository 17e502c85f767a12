"""Evaluations of rendered fields, with all that can stand in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detector import evaluate
from detector.annotations import dataset, sources
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED
from detector.vision.catalogue import SHIPPED

SAMPLES = Path(__file__).parents[3] / "datasets" / "samples" / "truth.json"
NASTY = "a long name <img src=x onerror=alert(1)>&' of a field"


@pytest.fixture(scope="session")
def of_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shipped model against itself, with smears, domains, other labels, a field that cannot be read and a nasty name."""
    for package in ("pycocotools", "matplotlib"):
        pytest.importorskip(package, reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    folder = tmp_path_factory.mktemp("evaluation")
    records = list(sources.load_truth(SAMPLES).records.values())[:8]
    names = [NASTY, *(f"{'ab'[i % 2]}_{i}" for i in range(1, 8))]
    splits = ["test"] * 6 + ["train"] * 2
    made = [replace(r, name=name, split=split) for r, name, split in zip(records, names, splits, strict=True)]
    dataset.write(folder / "first", made)
    # The others do not label the first cell of each field, nor all fields.
    dataset.write(folder / "second", [replace(r, xyxy=r.xyxy[1:], label=r.label[1:]) for r in made[:5]])
    (folder / "first" / "labels" / "test" / "a_4.txt").unlink()
    manifest = folder / "smears.csv"
    lines = [f'"{name}.jpg",smear {i % 3}' for i, name in enumerate(names[:5])]
    manifest.write_text("\n".join(["field,smear", *lines, ""]), encoding="utf-8")
    ended = evaluate.command(
        evaluate.EvaluateOptions(
            folder / "first" / "data.yaml",
            smears=manifest,
            also=folder / "second" / "data.yaml",
            against=SHIPPED,
            out=folder / "out",
        )
    )
    assert ended == EXIT_SOME_FAILED
    return folder / "out"


@pytest.fixture(scope="session")
def of_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two tables of counts against a third, with names on one side only."""
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    folder = tmp_path_factory.mktemp("tables")
    for name, rows in {
        "mine": [("a", 10, 1), ("b", 12, 0), ("c", 9, 1), (NASTY, 4, 4), ("e", 3, 3)],
        "other": [("a", 11, 1), ("b", 12, 2), ("c", 9, 1), (NASTY, 4, 4)],
        "truth": [("a", 10, 1), ("b", 13, 0), ("c", 9, 2), (NASTY, 5, 4), ("<b>only here", 1, 1)],
    }.items():
        lines = [f'"{field}",smear {i % 2},{rbc},{wbc}' for i, (field, rbc, wbc) in enumerate(rows)]
        (folder / f"{name}.csv").write_text("\n".join(["field,smear,RBC,WBC", *lines, ""]), encoding="utf-8")
    counts, truth, against = (folder / f"{name}.csv" for name in ("mine", "truth", "other"))
    assert (
        evaluate.command(evaluate.EvaluateOptions(counts=counts, truth=truth, against=against, out=folder / "out")) == EXIT_DONE
    )
    return folder / "out"
