"""What a model's card says of the datasets it was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.annotations.audit import provenance
from detector.annotations.download import DESCRIPTORS

CREDIT = {"title": "Mine", "homepage": "https://example.org", "licence": "CC0", "credits": ["Photographs by M. E."]}


def _twins(first: str, second: str) -> dict[str, Any]:
    return {"first": "a", "first_split": first, "second": "b", "second_split": second, "similarity": 0.9, "identical": False}


def _dataset(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    audit = {
        "format": "smearcount-audit",
        "source": "somewhere/Smears",
        "labels": "somewhere/labels",
        "splits": {"train": {"images": 5}, "val": {"images": 2}, "test": {"images": 1}},
        "twins": [_twins("val", "train"), _twins("train", "val"), _twins("train", "train"), _twins("train", "test")],
        "boxes": [{"action": "dropped", "reason": "the same box twice"}, {"action": "repaired", "reason": "inverted"}],
        **changes,
    }
    (folder / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    return folder / "data.yaml"


@pytest.fixture
def descriptors(tmp_path: Path) -> Path:
    folder = tmp_path / "descriptors"
    folder.mkdir()
    (folder / "smears.yaml").write_text(yaml.safe_dump({**CREDIT, "note": "not for the card"}), encoding="utf-8")
    return folder


def test_the_audit_is_summed_up(tmp_path: Path, descriptors: Path) -> None:
    described = provenance(_dataset(tmp_path / "mine"), descriptors)
    assert described == {
        **CREDIT,
        "fields": {"train": 5, "val": 2, "test": 1},
        "same_cells_across_splits": {"train and test": 1, "train and val": 2},
        "boxes_dropped": {"the same box twice": 1},
        "corrections": None,
    }


def test_corrections_are_counted_and_their_file_named_without_its_folder(tmp_path: Path, descriptors: Path) -> None:
    applied = [{"action": a, "name": "RBC", "new_name": None, "rows": n} for a, n in (("remove", 2), ("remove", 3), ("add", 1))]
    outcome = {"file": "some/where/mine.csv", "sha256": "0" * 64, "applied": applied, "not_applied": [{}], "absent": {}}
    described = provenance(_dataset(tmp_path / "mine", corrections=outcome), descriptors)
    expected = {"file": "mine.csv", "sha256": "0" * 64, "remove": 5, "relabel": 0, "add": 1, "not_applied": 1}
    assert described["corrections"] == expected


def test_the_name_of_the_dataset_goes_before_that_of_its_source(tmp_path: Path, descriptors: Path) -> None:
    (descriptors / "mine.yaml").write_text(yaml.safe_dump({**CREDIT, "title": "Chosen"}), encoding="utf-8")
    assert provenance(_dataset(tmp_path / "Mine"), descriptors)["title"] == "Chosen"
    assert "title" not in provenance(_dataset(tmp_path / "other", source="else/where"), descriptors)


def test_of_a_folder_that_conversion_did_not_make_only_its_descriptor_is_known(tmp_path: Path, descriptors: Path) -> None:
    (tmp_path / "smears").mkdir()
    assert provenance(tmp_path / "smears" / "data.yaml", descriptors) == CREDIT


@pytest.mark.parametrize("name", sorted(path.stem for path in DESCRIPTORS.glob("*.yaml")))
def test_every_descriptor_names_licence_and_credits(name: str, tmp_path: Path) -> None:
    described = provenance(tmp_path / name / "data.yaml")
    assert any(licence in described["licence"] for licence in ("MIT", "CC0", "AGPL"))
    assert described["homepage"].startswith(("https://", "docs/"))
    assert described["title"]
    assert all(isinstance(line, str) and line for line in described["credits"])


def test_who_took_the_images_is_credited(tmp_path: Path) -> None:
    credit = " ".join(provenance(tmp_path / "txl_pbc" / "data.yaml")["credits"])
    assert all(name in credit for name in ("lugan113", "Acevedo", "Barcelona", "Raabin-WBC", "Tehran"))
    assert "cosmicad" in " ".join(provenance(tmp_path / "bccd_complete" / "data.yaml")["credits"])
