"""The README and the other pages: short where they must be, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200


def test_figures_of_the_readme_are_those_of_the_page_of_accuracy() -> None:
    accuracy = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    figures = re.findall(r"\d+\.\d+ \(\d+\.\d+–\d+\.\d+\)", README)
    assert len(figures) >= 6
    assert [one for one in figures if one not in accuracy] == []


TESTS = 'pip install -e ".[train,dev]" && pytest -n auto'


def test_the_commands_that_the_checks_call_stand_in_the_readme() -> None:
    for command in ("pip install -e . && python -m detector.count datasets/samples", TESTS):
        assert f"```\n{command}\n```" in README
    assert TESTS in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    paths = [link.partition("#")[0] for link in links if not link.startswith(("http://", "https://", "#"))]
    assert [path for path in paths if not (page.parent / path).exists()] == []


def test_each_page_is_on_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {line.strip() for line in index.splitlines()}
    pages = {path.stem for ending in ("md", "rst") for path in (ROOT / "docs").glob(f"*.{ending}")} - {"index"}
    assert pages - listed == set()


def test_modules_are_named_that_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:detector|tests|benchmarks|configs)/[\w/]+\.\w+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
