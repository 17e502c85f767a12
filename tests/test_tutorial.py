"""The tutorial's commands work, one after the other."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ python (-m detector\..*)$", PAGE, re.MULTILINE)


def test_the_tutorial_has_its_steps() -> None:
    names = [command.split()[1].removeprefix("detector.") for command in COMMANDS]
    assert names == ["synth", "count", "convert", "train", "evaluate", "count"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")
def test_the_tutorial_works_from_top_to_bottom(tmp_path: Path) -> None:
    for command in COMMANDS:
        done = subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    for made in ("first/report.html", "data/audit.md", "evaluation/report.html", "second/counts.csv"):
        assert (tmp_path / "runs" / "tutorial" / made).is_file(), made
