"""The README and the other pages: short where they must be, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


NOT_RUN = {
    "pip install": "installs from the network; `.ci/run` does it",
    "pytest": "is what runs this",
    "python -m detector.stream fake:": "a camera, simulated for minutes; `tests/streams` do it in short",
    "python -m detector.adapt": "trains for minutes; `tests/training/test_adaptation.py` does it in short",
    "python -m detector.convert --download": "downloads",
    "python -m detector.train": "trains for hours, on what was downloaded; `tests/commands/test_train.py` does it in short",
    "python -m detector.count datasets/samples --model runs/train/mine": "needs the model of that training",
}
"""Commands of the README that the test leaves out, by how they begin, with the reason."""


def commands() -> list[str]:
    """Those of the README from top to bottom, in blocks and in the text."""
    found: list[str] = []
    code = r"^```(\w*)\n(.*?)^```$|`(python -m detector\.\w+ [^`]+)`"
    for language, block, inline in re.findall(code, README, re.MULTILINE | re.DOTALL):
        lines = [] if language else (block or inline).splitlines()
        found += [command for line in lines for command in line.split(" && ")]
    return found


def is_left_out(command: str) -> bool:
    return command.startswith(tuple(NOT_RUN))


def test_only_commands_of_the_readme_are_left_out() -> None:
    run = [command.split()[2] for command in commands() if not is_left_out(command)]
    assert run == [f"detector.{name}" for name in ("count", "count", "exchange", "review", "evaluate")]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in commands())] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a page is ended by Ctrl-C, which differs on Windows")
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("starlette", "uvicorn", "matplotlib")),
    reason="needs what the README installs on the way: pip install -e '.[serve,evaluate]'",
)
def test_the_commands_of_the_readme_work_from_top_to_bottom(tmp_path: Path) -> None:
    """As typed in a fresh copy, each after those before it."""
    shutil.copytree(ROOT / "datasets" / "samples", tmp_path / "datasets" / "samples")
    for command in commands():
        if is_left_out(command):
            continue
        words = [sys.executable, *shlex.split(command)[1:]]
        # No browser is opened.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "BROWSER": "true"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(words, cwd=tmp_path, env=environment, **pipes) as process:
            told = ""
            try:
                for line in process.stdout or ():
                    told += line
                    if line.startswith("each change is on disk at once; Ctrl-C ends the page"):
                        process.send_signal(signal.SIGINT)
                assert process.wait(timeout=60) == 0, f"{command}\n{told}"
            finally:
                process.kill()
    (counted,) = (tmp_path / "runs" / "count").iterdir()
    (evaluated,) = (tmp_path / "runs" / "evaluate").iterdir()
    fields = len(list((tmp_path / "datasets" / "samples").rglob("*.jpg")))
    assert (counted / "counts.csv").read_bytes() == (tmp_path / "results" / "counts.csv").read_bytes()
    assert (tmp_path / "results" / "counts.csv").read_text(encoding="utf-8").count(",ok,") == fields == 8
    assert len(list((tmp_path / "results" / "exchange" / "qupath").rglob("*.geojson"))) == fields
    assert (tmp_path / "results" / "review.jsonl").is_file()
    assert (evaluated / "report.html").is_file()
