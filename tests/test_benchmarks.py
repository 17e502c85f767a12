"""The tools that speed, memory and parity are measured with tell a miss from a hit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resource", reason="processes are measured on Linux and macOS only")

from benchmarks import doubts, parity, processes, run, scales, threshold_rules
from detector.annotations.records import Record
from detector.errors import NothingToDoError
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.familiar import LIGHTS, PLAIN
from detector.vision.quality import Quality


def test_a_ratio_is_held_to_its_limit_by_its_median() -> None:
    assert run.Ratio("faster", (3.0, 4.5, 9.0), 4.0).met is True
    assert run.Ratio("faster", (3.0, 3.9, 9.0), 4.0).met is False
    assert run.Ratio("smaller", (0.2, 0.24, 0.9), 0.25, at_least=False).met is True
    assert run.Ratio("smaller", (0.3,), 0.25, at_least=False).met is False
    assert run.Ratio("told", (1.0,)).met is None


def test_time_and_memory_of_a_process_are_its_own(tmp_path: Path) -> None:
    plain = processes.measure([sys.executable, "-c", "pass"], tmp_path)
    code = "import time; held = b'x' * 400_000_000; began = time.process_time()\nwhile time.process_time() - began < 0.3: pass"
    busy = processes.measure([sys.executable, "-c", code], tmp_path)
    assert busy.peak_mb > 380
    assert busy.cpu_s > plain.cpu_s + 0.25
    assert busy.wall_s >= 0.3
    with pytest.raises(NothingToDoError, match=r"ended with 3: .*no luck"):
        processes.measure([sys.executable, "-c", "import sys; print('no luck'); sys.exit(3)"], tmp_path)


def test_backends_are_held_to_the_share_of_fields_and_to_one_cell() -> None:
    names = [f"{i}.jpg" for i in range(100)]
    reference = [{"RBC": 10, "WBC": 1}] * 100
    one_off = [{"RBC": 11, "WBC": 1}, *reference[1:]]
    result = parity.compare("b", "B 1", names, reference, one_off)
    assert (result.same, result.largest, result.differing, result.met) == (0.99, 1, ("0.jpg",), True)
    assert result.mean_absolute == {"RBC": 0.01, "WBC": 0.0}
    assert not parity.compare("b", "B 1", names, reference, [{"RBC": 12, "WBC": 1}, *reference[1:]]).met
    assert not parity.compare("b", "B 1", names, reference, [*one_off[:1] * 2, *reference[2:]]).met


@pytest.mark.slow
def test_what_is_measured_inside_a_count_is_told(fields: Path, tmp_path: Path) -> None:
    document = run._inside(run.Setting(fields, tmp_path, 2, "cpu", ()), "cpu")
    assert (document["backend"], document["fields"], len(document["runs"])) == ("cpu", 4, 2)
    for one in document["runs"]:
        assert one["bare_cpu_s"] > 0
        assert 0 < one["measured_cpu_s"] < one["count_cpu_s"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "speed"], "known: stock, stock_onnx, bare, cold, memory, backends"),
        (["--fields", "nowhere"], "is not a folder"),
        (["--backend", "gpu"], "available: auto, cpu"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], said: str, run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(run.main, *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_width_of_red_cells_is_judged_by_counts_and_single_cells() -> None:
    xyxy = np.array([[10, 10, 50, 50], [60, 10, 100, 50], [0, 60, 30, 100], [70, 70, 90, 90]], np.float32)
    record = Record("a", None, (120, 110), xyxy, np.array([0, 0, 0, 2]))
    field = scales.Field("d", record, np.zeros((110, 120, 3), np.uint8), 40.0)
    detections = Detections(xyxy[[0, 1, 2]], np.full(3, 0.9, np.float32), np.array([0, 0, 2]), (120, 110), CLASSES)
    assert scales._figures([field], [detections]) == ["1.00 / 0.00", "0.800", "0.00 / 0.00", "no WBC", "0.00 / 1.00", "0.000"]
    small = scales._shrunk(field, 0.5)
    assert (small.rgb.shape, small.rbc_px, small.record.size_wh) == ((55, 60, 3), 20.0, (60, 55))
    assert small.record.xyxy.tolist() == (xyxy / 2).tolist()


def test_rules_that_choose_alike_differ_by_nothing() -> None:
    errors = {"d": np.array([[1.0, 2.0], [0.0, 3.0], [2.0, 4.0]] * 5)}
    both = threshold_rules.Errors(errors, errors)
    assert threshold_rules._difference(both, {"d": 0}, both, {"d": 0}) == "+0.00"
    difference = threshold_rules._difference(both, {"d": 1}, both, {"d": 0})
    assert difference.startswith("+2.00 (+")


def test_doubt_is_tabled_by_domain_light_and_reason() -> None:
    sound = Quality(8.0, 0.5, 0.02, 0.01, (200, 190, 185), 0.3, 0.1, (20, 1, 0))
    pale = replace(sound, plain_whites=1)
    seen = [doubts.Seen("a", light, one, one is pale) for light in LIGHTS for one in (sound, pale)]
    report = doubts.report([*seen, doubts.Seen("b", PLAIN, sound, True)], None)
    assert "| a | plain | 1 | 1 (100 %) | 1 | 0 (0 %) | 100 % |" in report
    assert "| b | plain | 1 | 0 (0 %) | 0 | 0 (–) | – |" in report
    assert "| all | plain | 2 | 1 (50 %) | 1 | 0 (0 %) | 100 % |" in report
    assert "| without a nucleus | 1 of 2 | 0 of 1 | 4 of 4 | 0 of 4 |" in report
