"""The log of a daily control, targets and Westgard's rules."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from detector.accuracy import control
from detector.accuracy.control import ControlRun, Target, charts, westgard
from detector.accuracy.report import control as page
from detector.counting.fields import FieldCount
from detector.errors import ManifestError, OutputError
from detector.output import files
from detector.vision.quality import Quality

SEED = random.Random(7)


def entry(number: int, model: str = "aa", **values: float) -> ControlRun:
    usual = {"RBC": 18.0, "lightness": 90.0}
    return ControlRun(f"2026-01-{number:02}T08:00:00+01:00", 5, model, usual | values, f"{number:016x}")


# Each row: values in SDs from the mean, the last of which is judged, and what it breaks (Westgard 1981, in words of its table).
@pytest.mark.parametrize(
    ("z", "broken"),
    [
        ([0.5], []),
        ([2.0], []),
        ([2.1], ["1_2s"]),
        ([-2.1], ["1_2s"]),
        ([3.1], ["1_3s"]),
        ([2.1, 2.1], ["2_2s"]),
        ([-2.1, -2.5], ["2_2s"]),
        ([2.1, 1.9], []),
        ([2.1, -2.1], ["R_4s"]),
        ([2.1, -1.9], []),
        ([1.1, 1.2, 1.5, 1.1], ["4_1s"]),
        ([1.1, -1.2, 1.5, 1.1], []),
        ([1.1, 1.2, 1.1], []),
        ([0.1] * 10, ["10_x"]),
        ([0.1] * 9, []),
        ([0.1] * 5 + [0.0] + [0.1] * 4, []),
        ([1.5, 1.5, 2.5, 3.5], ["1_3s", "2_2s", "4_1s"]),
        ([3.5, 0.1], []),
    ],
)
def test_westgards_rules(z: list[float], broken: list[str]) -> None:
    assert westgard(z) == broken


def test_few_runs_without_a_fault_are_rejected_and_a_shift_is_seen() -> None:
    rejected = sum(bool(set(westgard([SEED.gauss(0, 1) for _ in range(10)])) - {"1_2s"}) for _ in range(2000))
    # The rules together reject 1 run in 100 or a few more without a fault.
    assert 0.004 * 2000 < rejected < 0.03 * 2000
    shifted = sum(bool(set(westgard([SEED.gauss(3, 1) for _ in range(2)])) - {"1_2s"}) for _ in range(500))
    assert shifted > 0.7 * 500


def test_targets_are_learned_from_the_first_days_and_then_stand() -> None:
    first = [entry(n, lightness=90 + n % 2) for n in range(1, 11)]
    assert charts(first, 10)[0].target is None
    chart = next(c for c in charts([*first, entry(11), entry(12, lightness=80)], 10) if c.measure.name == "lightness")
    assert chart.target == Target(90.5, pytest.approx(0.527, abs=1e-3), 10)
    assert chart.marks[:11] == [""] * 11
    assert (chart.broken[-1], chart.marks[-1]) == (["1_3s"], "out")


def test_all_runs_of_a_day_are_learned_from_and_a_day_is_over_when_the_next_begins() -> None:
    runs = [entry(1 + n // 2, RBC=18 + n % 3) for n in range(20)]
    assert charts(runs, 10)[0].target is None
    target = charts([*runs, entry(11)], 10)[0].target
    assert target is not None
    assert target.learned == 20


def test_values_that_never_differed_still_tell_a_change_but_not_by_their_fineness() -> None:
    first = [entry(n) for n in range(1, 11)]
    red, light = charts([*first, *(entry(n, lightness=90.2) for n in range(11, 21)), entry(21, RBC=17, lightness=90.2)], 10)
    assert (red.broken[-1], red.marks[-1]) == (["1_3s"], "out")
    assert light.marks == [""] * 21


def test_given_targets_judge_from_the_first_run() -> None:
    red, light = charts([entry(1, RBC=30)], 10, {"RBC": Target(18, 2, 0)})
    assert (red.marks, light.target) == (["out"], None)


def test_runs_of_another_model_are_in_no_chart() -> None:
    log = control.ControlLog([*(entry(n) for n in range(1, 12)), entry(12, model="bb")])
    assert [len(chart.values) for chart in charts(log.entries, 10)] == [1, 1]
    sheet, verdict = page.sheet(log, 10, {}, [])
    assert verdict == ""
    assert "not judged yet; still learning, 1 of 10 days" in sheet.sentence
    assert "11 runs of another model, which the charts leave out" in sheet.warnings


def test_the_page_names_what_is_out_and_what_could_not_be_measured() -> None:
    log = control.ControlLog([*(entry(n, lightness=90 + n % 2) for n in range(1, 12)), entry(12, lightness=85)])
    sheet, verdict = page.sheet(log, 10, {}, ["doubtful: a.jpg: out of focus"])
    assert verdict == "out"
    assert sheet.sentence == (
        "2026-01-12: OUT OF CONTROL, so find the cause before patients' smears are counted: lightness of the ground (CIELAB) (1_3s)."
    )
    assert sheet.warnings[0] == "doubtful: a.jpg: out of focus"
    assert "could not be measured in the last run: WBC per field" in sheet.warnings[1]
    assert [row.entries[-1].text for row in sheet.parts[0].tables[0].rows] == ["in control", "OUT"]


def test_a_log_is_appended_to_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    entries = [entry(1, WBC=0.25, green_red=-2.5), entry(2)]
    for one in entries:
        before = path.read_bytes() if path.exists() else b""
        control.append(path, one)
        assert path.read_bytes().startswith(before)
    assert control.read(path).entries == entries
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(control.COLUMNS)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_that_a_crash_cut_off_is_left_out_and_the_log_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.csv"
    for n in (1, 2):
        control.append(path, entry(n))
    path.write_bytes(path.read_bytes()[:-cut])
    # Without its line break alone a line is whole.
    kept = [entry(1), entry(2)][: 2 if cut == 1 else 1]
    log = control.append(path, entry(3))
    assert log.entries == [*kept, entry(3)]
    assert control.read(path).entries == [*kept, entry(3)]
    assert control.read(path).remarks == ([] if cut == 1 else ["not whole, and left out: line 3"])


def test_a_log_that_a_spreadsheet_saved_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    control.append(path, entry(1, RBC=18.5))
    text = path.read_text(encoding="utf-8").replace(",", ";").replace("18.5", "18,5")
    path.write_text(text, encoding="utf-8-sig")
    control.append(path, entry(2))
    assert control.read(path).entries == [entry(1, RBC=18.5), entry(2)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("18.0", "many", "line 2, column 'RBC': needs a number, found 'many'"),
        ("18.0", "nan", "line 2, column 'RBC': needs a number"),
        ("2026-01-01T08:00:00+01:00", "01.01.26 8:00", "line 2: time is '01.01.26 8:00'; it must be as written"),
        ("time,", "when,", "line 1: is no log of a control"),
    ],
)
def test_a_log_that_is_none_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "log.csv"
    control.append(path, entry(1))
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(ManifestError, match=message):
        control.append(path, entry(2))
    assert path.read_bytes() == before


def test_a_log_in_utf16_or_in_use_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    control.append(path, entry(1))
    with path.open("ab") as other:
        assert files.lock(other)
        with pytest.raises(OutputError, match="another process is writing it"):
            control.append(path, entry(2))
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-16")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="was saved as UTF-16"):
        control.append(path, entry(2))
    assert path.read_bytes() == before


def targets(tmp_path: Path, text: str) -> Any:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return control.targets(tmp_path / "t.csv")


def test_targets_are_read_and_wrong_ones_refused(tmp_path: Path) -> None:
    assert targets(tmp_path, "measure,mean,sd\nrbc,18,0.5\nsharpness,2.5,0.1\n") == {
        "RBC": Target(18, 0.5, 0),
        "sharpness": Target(2.5, 0.1, 0),
    }
    for text, message in (
        ("measure,mean,sd\nhue,1,1\n", "line 2: measure 'hue' is unknown, or comes twice; .* measures are RBC, WBC"),
        ("measure,mean,sd\nRBC,1,1\nRBC,1,1\n", "line 3: measure 'RBC' is unknown, or comes twice"),
        ("measure,mean,sd\nRBC,18,0\n", "line 2: sd is 0; give a standard deviation above 0"),
        ("measure,mean,sd\nRBC,,1\n", "line 2, column 'mean': needs a number, found ''"),
        ("measure,mean\nRBC,1\n", "line 1: has columns measure, mean"),
    ):
        with pytest.raises(ManifestError, match=message):
            targets(tmp_path, text)


def test_a_runs_values_are_means_over_its_fields() -> None:
    seen = Quality(2.0, 0.3, 0, 0, (200, 200, 200), 0.2, 0.1)
    none = Quality(None, 0.0, 0, 0, (100, 100, 100), 0.0, 0.3)
    counts = [{"RBC": 10, "WBC": 0, "Platelets": 1}, {"RBC": 13, "WBC": 1, "Platelets": 1}]
    fields = [FieldCount(f"{i}", "s", (9, 9), c, c, quality=q) for i, (c, q) in enumerate(zip(counts, (seen, none), strict=True))]
    measures = control.measured(fields, "2026-01-01T08:00:00+01:00", "aa", "0" * 16)
    assert measures.values["RBC"] == 11.5
    assert (measures.values["sharpness"], measures.values["unevenness"]) == (2.0, 0.2)
    # CIELAB lightness of grey 200 and 100 (sRGB): 80.6 and 42.4.
    assert measures.values["lightness"] == pytest.approx((80.6 + 42.4) / 2, abs=0.1)
    assert measures.values["green_red"] == pytest.approx(0, abs=0.01)
