"""The order of the wings, the confinement of torch, and the public names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

import detector
from detector import errors

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these() -> None:
    results = ["ClassCount", "Detections", "Detector", "FieldCount", "Outcome", "SmearCount", "Unread"]
    raised = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert detector.__all__ == sorted([*results, *raised, "__version__"])
    for name in (*results, *raised):
        assert getattr(detector, name).__name__ == name
    assert set(detector.__all__) <= set(dir(detector))
    with pytest.raises(AttributeError, match="Detektor"):
        detector.Detektor  # noqa: B018


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert detector.__version__ == project["version"]


USER = """
from pathlib import Path

import detector

try:
    finder = detector.Detector(threads=1)
    cells: detector.Detections = finder.detect(Path("field.jpg"), um_per_px=0.075)
    print(detector.__version__, cells.counts()["RBC"], cells.xyxy.mean())
    outcome: detector.Outcome = finder.count("slides")
    smear: detector.SmearCount = outcome.smears[0]
    red: detector.ClassCount = smear.classes["RBC"]
    print(red.total + 1, [field.raw for field in outcome.read])
except detector.ImageError as error:
    print(error)
"""


UNTYPED = """
[mypy]
[mypy-cryptography.*,fpdf.*,jinja2.*,matplotlib.*,openpyxl.*,optype.*,pydicom.*,requests.*,scipy.*,urllib3.*,yaml.*]
follow_imports = skip
follow_imports_for_stubs = true
"""
"""Packages of which no public name has a type; to read theirs takes most of the time."""


@pytest.mark.slow
def test_a_users_program_is_checked_by_its_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs the dev extra: pip install -e '.[dev]'")
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(f"{USER}red.totals\n", encoding="utf-8")
    (tmp_path / "own.ini").write_text(UNTYPED, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=own.ini", f"--cache-dir={ROOT / '.mypy_cache' / 'user'}"]
    # Found as an installed package would be, so that py.typed counts.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "user.py", "wrong.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    (complaint,) = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert complaint.startswith("wrong.py:")
    assert 'has no attribute "totals"' in complaint


def test_wings_import_downwards_and_torch_stays_in_training() -> None:
    importlinter = pytest.importorskip("importlinter.cli", reason="needs the dev extra: pip install -e '.[dev]'")
    assert importlinter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_no_module_imports_itself_by_way_of_others() -> None:
    grimp = pytest.importorskip("grimp", reason="needs the dev extra: pip install -e '.[dev]'")
    graph = grimp.build_graph("detector", cache_dir=None, exclude_type_checking_imports=True)
    # A circle has no order, whether its imports stand at the top of a module or in a function.
    order = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) - {module} for module in graph.modules})
    assert set(order.static_order()) == graph.modules


def test_the_picture_shows_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"detector\.(\w+)", layer)) for layer in contracts[0]["layers"]]
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    heights = re.findall(r'<text [^>]*y="(\d+)"[^>]*font-weight="bold"[^>]*>([^<]+)<', picture)
    height = {name: int(y) for y, names in heights for name in names.replace(",", " ").split()}
    assert height.keys() == set().union(*layers)
    for above, below in pairwise(layers):
        assert max(height[name] for name in above) < min(height[name] for name in below)


LIGHT = (
    "detector",
    "detector.api",
    "detector.app",
    "detector.batch",
    "detector.control",
    "detector.convert",
    "detector.count",
    "detector.evaluate",
    "detector.exchange",
    "detector.factor",
    "detector.napari",
    "detector.review",
    "detector.serve",
    "detector.stream",
    "detector.synth",
)


@pytest.mark.slow
def test_only_training_waits_for_torch_and_for_the_reader_of_settings() -> None:
    code = """
import sys
from importlib import import_module

for module in sys.argv[1:]:
    import_module(module)
    print(module, *{"torch", "ultralytics", "albumentations", "pydantic"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, *LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(LIGHT)


def test_a_count_starts_without_what_only_its_end_needs() -> None:
    late = {
        "rich",
        "scipy",
        "jinja2",
        "pandas",
        "matplotlib",
        "onnxruntime",
        "openvino",
        "pooch",
        "platformdirs",
        "pydantic",
        "typer",
    }
    code = f"import sys, detector.count; print(sorted({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_commands_are_short() -> None:
    for path in (ROOT / "detector").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "def main(" not in text or text.count("\n") <= 150, path
