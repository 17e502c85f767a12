"""The examples of docs/python.md are run in their order, as a reader would."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
TRUTH = Path(__file__).parents[1] / "datasets" / "samples" / "truth.csv"


def test_the_examples_of_the_python_page_run(
    fields: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields.rename(fields.with_name("slides"))
    shutil.copy(TRUTH, fields.with_name("truth.csv"))
    monkeypatch.chdir(fields.parent)
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == repr(names["cells"])
    # What the page says is printed.
    shown = [line.split("  # ")[1] for line in text.splitlines() if line.strip().startswith("print(") and "  # " in line]
    assert len(shown) == 3
    for line in shown:
        assert line.removesuffix("...)") in printed
    for cells in names["same"]:
        assert np.array_equal(cells.xyxy, names["cells"].xyxy)
    assert len(names["table"]) == len(names["cells"])
    assert np.array_equal(np.asarray(Image.open("drawn.png")), names["drawn"])
    assert len(names["counts"]) == 4
    assert names["boxes"]["smear_a/field_01.jpg"].counts()["RBC"] == names["counts"]["RBC"][0]
    assert Path("results/report.html").is_file()
    assert Path("results/counts.csv").read_text(encoding="utf-8").count("\n") == 5
    assert "mae" in printed
