"""`metrics.json` is strict, documented to its last key, and read by its layout."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detector.accuracy.report import metrics
from detector.errors import UsageError
from detector.vision.cells import CLASSES

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
DOCUMENTED = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)


def keys(value: Any, names: frozenset[str]) -> Iterator[str]:
    """All keys at any depth, but for those that are names of classes, domains and packages."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in names:
                yield key
            yield from () if key == "versions" else keys(one, names)
    elif isinstance(value, list):
        for one in value:
            yield from keys(one, names)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["of_model", "of_tables"])
def test_every_key_is_documented(folder: str, request: pytest.FixtureRequest) -> None:
    document = metrics.read(request.getfixturevalue(folder))
    told = set(re.findall(r"`([^`]+)`", DOCUMENTED)) | {"value", "low", "high"}
    names = frozenset([*CLASSES, *document.get("domains", ())])
    undocumented = {key for key in keys(document, names) if key not in told}
    assert not undocumented


@pytest.mark.slow
def test_every_documented_key_and_column_is_written(of_model: Path, of_tables: Path) -> None:
    written: set[str] = set(CLASSES)
    for folder in (of_model, of_tables):
        written |= set(keys(metrics.read(folder), frozenset(CLASSES)))
        with (folder / "fields.csv").open(encoding="utf-8", newline="") as file:
            written |= set(next(csv.reader(file)))
    first_cells = re.findall(r"^\| (`[^|]+`) \|", DOCUMENTED.split("## `metrics.json`")[1], re.MULTILINE)
    names = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    assert names - written == set()


@pytest.mark.slow
def test_what_was_evaluated_stands_in_it(of_model: Path) -> None:
    document = metrics.read(of_model)
    assert (document["kind"], document["data"], document["smears"]) == ("model", "first/data.yaml", document["smears"])
    assert document["smears"].endswith("/smears.csv")
    assert document["also"] == "second/data.yaml"
    assert document["other"]["sha256"] == document["model"]["sha256"]
    assert [item["source"] for item in document["unread"]] == ["a_4"]
    assert document["without_smear"] == ["b_5"]
    assert set(document["domains"]) == set()
    assert document["against"]["mean_ap50"]["value"] == 0
    assert document["relabelled"]["labels"]["RBC"]["fields"] == 4
    assert document["figures"]["per_smear"]["RBC"]["fields"] == 3
    rows = csv.DictReader((of_model / "fields.csv").read_text(encoding="utf-8").splitlines())
    assert {(row["against_counted"], row["against_error"]) == (row["counted"], row["error"]) for row in rows} == {True}
    text = (of_model / metrics.NAME).read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    assert str(of_model.parent) not in text


def test_figures_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        metrics.write(tmp_path / "m.json", {"value": float("nan")})
    assert not (tmp_path / "m.json").exists()


@pytest.mark.slow
def test_folders_and_files_are_read_and_others_refused(of_model: Path, tmp_path: Path) -> None:
    assert metrics.read(of_model) == metrics.read(of_model / metrics.NAME)
    (tmp_path / "old.json").write_text(json.dumps({"format": "smearcount-metrics", "version": 1}), encoding="utf-8")
    with pytest.raises(UsageError, match="version 1, not smearcount-metrics version 3"):
        metrics.read(tmp_path / "old.json")
    for text in ("", "[1]", '{"a": 1}', "{"):
        (tmp_path / "none.json").write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match="holds no figures"):
            metrics.read(tmp_path / "none.json")
    with pytest.raises(UsageError, match="holds no figures"):
        metrics.read(tmp_path)
