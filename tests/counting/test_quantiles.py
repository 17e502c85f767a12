"""Quantiles against values that are known otherwise, and when SciPy is imported."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from detector.counting import quantiles


def test_they_are_those_of_their_distributions() -> None:
    assert quantiles.normal(0.975) == pytest.approx(1.959963984540054)
    assert quantiles.normal(np.array([0.5, 0.841344746068543])) == pytest.approx([0, 1])
    # With one degree of freedom Student's t is Cauchy's distribution.
    assert quantiles.student(1, 0.9) == pytest.approx(math.tan(math.pi * 0.4))
    assert quantiles.gamma(1, 0.3) == pytest.approx(-math.log(0.7))
    assert quantiles.beta(2, 1, 0.25) == pytest.approx(0.5)


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


def test_nothing_that_counts_waits_for_the_reader_of_settings() -> None:
    modules = "detector.api, detector.batch, detector.convert, detector.evaluate, detector.stream, detector.synth"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print('pydantic' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
