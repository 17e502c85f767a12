"""`detector.factor`: a laboratory's own factor from ten or more smears."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from detector import count, factor
from detector.accuracy.methods import UnfitError, proportion
from detector.accuracy.report import drawings

pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
Run = Callable[..., int]
RNG = np.random.default_rng(4)


def write_tables(platelets: Sequence[float], densities: Sequence[float], red: Sequence[float] = ()) -> None:
    """Tables in the present folder: densities per mm² of our count, and platelets in 10⁹ per litre of an analyser."""
    rows = [f"s{i},Platelets,,{density}" for i, density in enumerate(densities)]
    rows += [f"s{i},RBC,,{density}" for i, density in enumerate(red)]
    Path("smears.csv").write_text("\n".join(["smear,class,warning,per_mm2", *rows]), encoding="utf-8")
    lines = [f"s{i},{value},4.6" for i, value in enumerate(platelets)]
    Path("analyser.csv").write_text("\n".join(["smear,PLT 10^9/L,RBC 10^12/L", *lines]), encoding="utf-8")


def test_the_factor_is_the_geometric_mean_with_students_interval() -> None:
    x, y = RNG.uniform(50, 800, 12), RNG.uniform(50, 800, 12)
    estimate = proportion(x, y)
    logs = np.log(y / x)
    assert estimate.factor.value == pytest.approx(np.exp(logs.mean()))
    half = 2.200985 * logs.std(ddof=1) / 12**0.5  # Student's t with 11 degrees of freedom, from tables
    assert estimate.factor.limits == pytest.approx((np.exp(logs.mean() - half), np.exp(logs.mean() + half)), rel=1e-5)
    without_first = x[0] * np.exp(logs[1:].mean())
    assert estimate.without[0] == pytest.approx(without_first)


def test_a_further_smear_lies_within_its_limits() -> None:
    held = 0
    for _ in range(400):
        x = RNG.uniform(50, 800, 13)
        y = 500 * x * np.exp(RNG.normal(0, 0.15, 13))
        estimate = proportion(x[:12], y[:12])
        low, high = estimate.of_another.limits or (0, 0)
        held += low <= y[12] / (estimate.factor.value * x[12]) <= high
    assert held == pytest.approx(0.95 * 400, abs=0.035 * 400)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0] * 9, [2.0] * 9, "9 smears have both"),
        ([1.0] * 10, list(range(1, 11)), "all counts are 1"),
        (list(range(1, 11)), [5.0] * 10, "all values of the analyser are 5"),
    ],
)
def test_what_gives_no_factor_is_refused(x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(UnfitError, match=message):
        proportion(x, y)


def test_a_factor_is_derived_and_used_by_a_count(fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    platelets = np.round(RNG.uniform(50, 500, 14))
    write_tables(platelets, platelets * 1000 / 480 * np.exp(RNG.normal(0, 0.1, 14)), platelets * 0 + RNG.uniform(90, 110, 14))
    assert run_command(factor.main, "smears.csv", "--analyser", "analyser.csv", "--out", "out") == 0
    printed = capsys.readouterr()
    classes = json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))["classes"]
    value = classes["Platelets"]["factor"]
    assert value["low"] < 480 < value["high"]
    assert len(classes["Platelets"]["estimates"]) == 14
    assert "RBC: all values of the analyser are 4.6e+06; a factor needs smears that differ" in " ".join(printed.err.split())
    assert "--ul-factor, with the scale" in printed.out
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "limit of agreement (10⁹ per litre)" in page
    assert Path("out/plots/bland_altman_Platelets.svg").is_file()
    assert run_command(count.main, fields, "--um-per-px", 0.1, "--ul-factor", value["value"], "--out", "counted") == 0


def test_zero_counts_are_left_out_and_named_and_classes_that_differ_are_told(
    tmp_path: Path, run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "write", lambda folder, parts, *kinds: {part: [] for part in parts})
    platelets = np.linspace(50, 500, 12)
    write_tables(platelets, [0.0, *(platelets[1:] * 2)], RNG.uniform(10_000, 10_500, 12))
    text = Path("analyser.csv").read_text(encoding="utf-8").splitlines()
    lines = [text[0], *(line.replace(",4.6", f",{4.5 + i / 50}") for i, line in enumerate(text[1:]))]
    Path("analyser.csv").write_text("\n".join(lines), encoding="utf-8")
    assert run_command(factor.main, "smears.csv", "--analyser", "analyser.csv", "--out", "out", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"out": "out", **json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))}
    told = " ".join(printed.err.split())
    assert "Platelets: smears without such a cell, and left out: s0" in told
    assert "the factors of RBC and Platelets differ by more than chance" in told


def test_too_few_smears_give_no_factor(tmp_path: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_tables(range(100, 109), range(200, 209))
    assert run_command(factor.main, "smears.csv", "--analyser", "analyser.csv", "--out", "out") == 3
    assert "Platelets: 9 smears have both a count and a value of the analyser; at least 10 are needed" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not Path("out").exists()
