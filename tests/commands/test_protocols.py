"""`detector.evaluate --protocol`: studies by which a laboratory validates its counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import evaluate
from detector.accuracy.report import drawings

pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
Run = Callable[..., int]
METHODS = ["--protocol", "methods", "--counts", "ours.csv", "--truth", "hand.csv"]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plots, which take the time."""
    monkeypatch.setattr(drawings, "write", lambda folder, parts, *kinds: {part: [] for part in parts})


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Tables of each study, in a folder."""
    rng = np.random.default_rng(2)
    mean = {"p1": (900, 20, 60), "p2": (1200, 0, 120)}
    repeats = [
        f"{smear},{day},{run},{','.join(map(str, rng.poisson(means)))}"
        for smear, means in mean.items()
        for day in range(5)
        for run in ("am", "pm", "pm")
    ]
    true = rng.integers((500, 20), (3000, 400), (45, 2))
    ours = rng.poisson(true * (1.0, 1.2))
    texts = {
        "repeats": ["smear,day,run,RBC,WBC,Platelets", *repeats],
        "hand": ["smear,RBC,Platelets", *(f"s{i},{r},{p}" for i, (r, p) in enumerate(true))],
        "ours": ["smear,RBC,Platelets", *(f"s{i},{r},{p}" for i, (r, p) in enumerate(ours))],
        "readers": [
            "sample,reader,neutrophils,<b>others</b>",
            *(f"{i},{reader},{n},{200 - n}" for i in range(8) for reader, n in (("A", 120 + i), ("B", 122))),
        ],
    }
    for name, lines in texts.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def figures(folder: str) -> Any:
    return json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_repeatability_gives_components_and_a_page(tables: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(evaluate.main, "--protocol", "repeatability", "--counts", "repeats.csv", "--out", "out") == 0
    document = figures("out")
    assert (document["protocol"], document["counts"], document["unit"]) == ("repeatability", "repeats.csv", "cells per smear")
    red = document["classes"]["RBC"]["samples"]["p1"]
    assert list(red["variances"]) == ["day", "run", "repeatability"]
    assert red["groups"] == {"day": 5, "run": 10}
    assert document["classes"]["WBC"]["samples"]["p2"]["repeatability"]["cv"] is None
    assert document["classes"]["RBC"]["pooled_cv"]["value"] == pytest.approx(0.03, rel=0.5)
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "CV in the laboratory" in page
    assert Path("out/plots/repeats_RBC.svg").is_file()
    assert "CV of a count within a run" in capsys.readouterr().out


def test_counts_that_are_all_alike_are_told(
    tables: Path, undrawn: None, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("same.csv").write_text("smear,RBC\np1,18\np1,18\np1,18\n", encoding="utf-8")
    assert run_command(evaluate.main, "--protocol", "repeatability", "--counts", "same.csv", "--out", "out") == 0
    assert "counts that are all alike: p1, RBC; the same pictures always give the same counts" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.slow
def test_comparison_of_methods_finds_a_slope_and_the_bias_at_levels(
    tables: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (
        "--protocol",
        "methods",
        "--counts",
        "ours.csv",
        "--truth",
        "hand.csv",
        "--levels",
        "Platelets=50,5000",
        "--out",
        "out",
    )
    assert run_command(evaluate.main, *given) == 0
    classes = figures("out")["classes"]
    for line in ("passing_bablok", "deming"):
        slope = classes["Platelets"][line]["slope"]
        assert slope["low"] <= 1.2 <= slope["high"]
        assert list(classes["Platelets"][line]["bias"]) == ["50", "5000"]
        assert classes["RBC"][line]["slope"]["low"] <= 1 <= classes["RBC"][line]["slope"]["high"]
    assert "Platelets: outside the values measured" in capsys.readouterr().err
    assert Path("out/plots/regression_Platelets.png").is_file()
    assert "Bland and Altman" in Path("out/report.html").read_text(encoding="utf-8")


def test_counts_per_litre_are_compared_with_an_analyser(tables: Path, undrawn: None, run_command: Run) -> None:
    rows = [f"s{i},Platelets,,{(100 + 10 * i) * 1100}" for i in range(12)]
    Path("smears.csv").write_text("\n".join(["smear,class,warning,per_ul", *rows]), encoding="utf-8")
    Path("analyser.csv").write_text(
        "\n".join(["smear,PLT 10^9/L", *(f"s{i},{100 + 10 * i}" for i in range(12))]), encoding="utf-8"
    )
    assert (
        run_command(evaluate.main, "--protocol", "methods", "--counts", "smears.csv", "--truth", "analyser.csv", "--out", "out")
        == 0
    )
    document = figures("out")
    assert document["unit"] == "10⁹ per litre"
    assert document["classes"]["Platelets"]["deming"]["slope"]["value"] == pytest.approx(1.1)
    assert document["warnings"] == ["Platelets: 12 samples; EP09 asks for 40 or more"]


def test_two_readers_are_compared_whatever_their_classes_are_called(
    tables: Path, undrawn: None, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(evaluate.main, "--protocol", "readers", "--counts", "readers.csv", "--out", "out") == 0
    document = figures("out")
    assert document["readers"] == ["A", "B"]
    assert document["classes"]["neutrophils"]["outside"] == []
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "<b>others</b>" not in page
    assert "&lt;b&gt;others" in page
    assert "they do not differ by more than chance" in capsys.readouterr().out


def test_a_class_that_cannot_be_compared_costs_the_others_nothing(
    tables: Path, undrawn: None, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path("ours.csv").read_text(encoding="utf-8").splitlines()
    Path("flat.csv").write_text("\n".join([lines[0], *(f"{line.rpartition(',')[0]},0" for line in lines[1:])]), encoding="utf-8")
    assert run_command(evaluate.main, "--protocol", "methods", "--counts", "flat.csv", "--truth", "hand.csv", "--out", "out") == 0
    assert list(figures("out")["classes"]) == ["RBC"]
    assert "Platelets: all values of the test method are 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (["--protocol", "precision", "--counts", "repeats.csv"], 2, "no such protocol; known: repeatability, methods, readers"),
        (["--protocol", "repeatability"], 2, "needs --counts, a table: smear,day,run"),
        (["--protocol", "methods", "--counts", "ours.csv"], 2, "needs --truth"),
        (["--protocol", "readers", "--counts", "readers.csv", "--truth", "hand.csv"], 2, "takes no --truth"),
        (["--protocol", "readers", "--counts", "readers.csv", "--levels", "RBC=1"], 2, "--levels belongs to --protocol methods"),
        ([*METHODS, "--levels", "RBC=low"], 2, "--levels RBC=low: give a class"),
        ([*METHODS, "--levels", "XYZ=4"], 2, "--levels XYZ=4: give a class"),
        ([*METHODS, "--against", "x"], 2, "--against does not go with --protocol"),
        (["--levels", "RBC=1", "--counts", "ours.csv", "--truth", "hand.csv"], 2, "--levels belongs to --protocol methods"),
        (["--protocol", "repeatability", "--counts", "hand.csv"], 3, "no sample was counted twice"),
        (["--protocol", "methods", "--counts", "ours.csv", "--truth", "repeats.csv"], 2, "counted twice"),
        (["--protocol", "repeatability", "--counts", "none.csv"], 2, "cannot be read"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_and_leaves_nothing(
    tables: Path, run_command: Run, capsys: pytest.CaptureFixture[str], given: list[str], code: int, message: str
) -> None:
    assert run_command(evaluate.main, *given, "--out", "out") == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()
