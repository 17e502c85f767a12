"""How commands take their arguments: in any order, whole words only, and what they say of wrong ones."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.markup import escape
from rich.table import Table

from detector import __main__ as commands
from detector import adapt, commandline, count, demo, shipped, synth, train
from detector.arguments import Number, Parser
from detector.commandline import run
from detector.errors import NothingToDoError, UsageError

Run = Callable[..., int]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def parser() -> Parser:
    made = Parser("try", "[OPTION]... INPUT...", "Try it.\n\n    At 95 % of the\n    cost.")
    made.add_argument("inputs", nargs="+", metavar="INPUT", help="what to try")
    made.add_argument("--out", type=Path, help="where; default: nowhere")
    made.add_argument("--share", type=Number(float, 0, 1), default=0.5, help="in % of 100 %")
    made.add_argument("--times", type=Number(int, 1), required=True, help="how often")
    made.add_argument("--size", type=Number(float), help="any")
    made.add_argument("--how", choices=("fast", "well"), default="well", help="in what manner")
    made.add_argument("--dry", action="store_true", help="only say so")
    return made


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["a", "--times", "2", "b", "--out", "x", "c"], {"inputs": ["a", "b", "c"], "times": 2, "out": Path("x")}),
        (["--times=2", "a", "--dry"], {"times": 2, "dry": True, "share": 0.5, "how": "well", "size": None}),
        (["--times", "1", "a", "--size", "-3"], {"size": -3.0}),
        (["--times", "1", "--", "-odd.jpg"], {"inputs": ["./-odd.jpg"]}),
        (["a", "--times", "1", "--", "-odd.jpg", "--out", "b"], {"inputs": ["a", "./-odd.jpg", "./--out", "b"], "out": None}),
        (["--times", "1", "--out", "first", "a", "--out", "last"], {"out": Path("last")}),
    ],
)
def test_options_and_other_words_come_in_any_order(parser: Parser, words: list[str], values: dict[str, Any]) -> None:
    given = parser.given(words)
    assert {name: given[name] for name in values} == values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: "),
        (["a"], "the following arguments are required: --times"),
        (["--times", "1"], "the following arguments are required: INPUT"),
        (["a", "--times", "0"], "--times: must be a whole number from 1 up, got '0'"),
        (["a", "--times", "1.5"], "--times: must be a whole number from 1 up, got '1.5'"),
        (["a", "--times"], "--times: expected one argument"),
        (["a", "--times", "1", "--share", "1.1"], "--share: must be a number from 0 to 1, got '1.1'"),
        (["a", "--times", "1", "--share", "nan"], "--share: must be a number from 0 to 1, got 'nan'"),
        (["a", "--times", "1", "--size", "wide"], "--size: must be a number, got 'wide'"),
        (["a", "--times", "1", "--how", "ill"], "--how: invalid choice: 'ill' (choose from"),
        (["a", "--times", "1", "--dr"], "unknown option --dr; did you mean --dry? python -m detector.try --help lists"),
        (["a", "--times", "1", "--out", ""], "--out: is empty; give a path"),
        (["a", "--times", "1", "--out= "], "--out: is empty; give a path"),
        (["a", "--times", "1", "--no-dry"], "unknown option --no-dry"),
        (["a", "--times", "1", "--tmies=3"], "unknown option --tmies; did you mean --times?"),
        (["a", "--times", "1", "--dry=yes"], "--dry: ignored explicit argument 'yes'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(parser: Parser, words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        parser.given(words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "words", "hint"),
    [
        (count, ["slides", "--overlay"], "unknown option --overlay; did you mean --overlays? "),
        (count, ["slides", "--weights", "a.onnx"], "unknown option --weights; did you mean --model? "),
        (count, ["--source=slides"], "unknown option --source; did you mean INPUT? "),
        (count, ["slides", "--conf", "0.5"], "unknown option --conf; thresholds are tuned, not given; they are on the model"),
        (count, ["slides", "--imgsz", "640"], "unknown option --imgsz; pictures may have any size: they are scaled by"),
        (demo, ["--imgsz", "640"], "unknown option --imgsz; python -m detector.demo --help lists"),
        (train, ["--imgsz", "640"], "unknown option --imgsz; did you mean --image-px? "),
        (train, ["--batch-size", "4"], "unknown option --batch-size; did you mean --batch? "),
        (train, ["--lr0", "0.1"], "unknown option --lr0; did you mean --learning-rate? "),
    ],
)
def test_names_that_others_use_are_answered_with_ours(command: ModuleType, words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as error:
        command.parser().given(words)
    assert str(error.value).startswith(hint)


def test_help_tells_kinds_bounds_and_defaults(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = parser.format_help()
    assert text.startswith("usage: python -m detector.try [OPTION]... INPUT...\n\nTry it.\n\nAt 95 % of the cost.\n")
    told = [" ".join(line.split()) for line in text.splitlines()]
    assert "--share <float> in % of 100 % (from 0 to 1; default: 0.5)" in told
    assert "--times <int> how often (required; from 1 up)" in told
    assert "--how {fast,well} in what manner (default: well)" in told
    assert "--out <path> where; default: nowhere" in told
    assert "--dry only say so" in told


@pytest.mark.parametrize("columns", [80, 300])
@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_explains_itself(
    name: str, columns: int, run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    module = importlib.import_module(f"detector.{name}")
    assert run_command(module.main, "--help") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m detector.{name} ")
    assert max(len(line) for line in printed.splitlines()) <= min(columns, 120)
    assert "%%" not in printed


def test_all_commands_are_listed_and_called_by_one_name(
    run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {path.stem: path for path in (ROOT / "detector").glob("*.py")}
    modules |= {path.parent.name: path for path in (ROOT / "detector").glob("*/__init__.py")}
    with_main = {name for name, path in modules.items() if "\ndef main()" in path.read_text(encoding="utf-8")}
    assert set(commands.COMMANDS) == with_main - {"__main__"}
    for called, usage in (("/bin/smearcount", "smearcount"), ("/x/detector/__main__.py", "python -m detector")):
        monkeypatch.setattr(sys, "argv", [called])
        commands.main()
        printed = capsys.readouterr().out
        assert printed.startswith(f"usage: {usage} COMMAND ")
        assert all(f"\n  {name} " in printed for name in commands.COMMANDS)
        monkeypatch.setattr(sys, "argv", [called, "card", "--help"])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: {usage} card MODEL")
    monkeypatch.setattr(sys, "argv", ["smearcount", "synth", "--fields", "0"])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    assert ended.value.code == 2
    assert "smearcount synth --help lists" in capsys.readouterr().err


def test_a_benchmark_is_called_as_the_module_that_it_is() -> None:
    assert Parser("benchmarks.run", "[OPTION]...", None).prog == "python -m benchmarks.run"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--version"], 0, f"smearcount {shipped.version()}\n"),
        (["cuont", "slides"], 2, "error: unknown command 'cuont'; did you mean count?\n"),
        (["--out"], 2, "error: unknown command '--out'; known: count, demo, "),
    ],
)
def test_the_one_name_is_quick_and_says_what_it_does_not_know(words: list[str], code: int, told: str) -> None:
    program = (
        f"import sys; sys.argv = ['smearcount', *{words}]; from detector import __main__ as commands\ntry: commands.main()\n"
    )
    program += "finally: assert not {'numpy', 'rich', 'argparse'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert (done.stderr or done.stdout).startswith(told)


def test_the_samples_are_counted_wherever_the_program_is(run_command: Run) -> None:
    assert run_command(demo.main, "--out", "out") == 0
    assert Path("out/counts.csv").read_text(encoding="utf-8").count(",ok,") == 8


def test_the_samples_are_counted_for_scripts_too(run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(demo.main, "--out", "out", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["counts"]) == 8
    assert run_command(demo.main, "--out", "again", "--quiet") == 0
    assert capsys.readouterr().out == ""


def test_folders_of_the_repository_are_in_the_wheel_where_they_are_looked_for() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for folder in (shipped.configs(), shipped.samples(), shipped.sources()):
        assert wheel["force-include"][folder.relative_to(ROOT).as_posix()] == f"detector/{folder.name}"


def test_shells_can_complete_all_commands() -> None:
    shtab = pytest.importorskip("shtab", reason="needs shtab: pip install shtab")
    script = shtab.complete(commands.parser(), "bash")
    assert all(f"_smearcount_{name}_option_strings" in script for name in commands.COMMANDS)
    assert "--overlays" in script
    assert "--learning-rate" in script


def test_zero_is_a_default_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert "(from 0 up; default: 0)" in synth.parser().format_help()


def test_nothing_is_no_default_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert "default: )" not in adapt.parser().format_help()


def test_a_setting_that_is_a_switch_can_be_switched_off() -> None:
    given = [train.parser().given(words)["cosine"] for words in (["--cosine"], ["--no-cosine"], [])]
    assert given == [True, False, None]


def test_fields_stand_on_both_sides_of_an_option(fields: Path, run_command: Run) -> None:
    (fields / "smear_a" / "field_01.jpg").rename("-odd.jpg")
    assert run_command(count.main, fields / "smear_a", "--out", "out", fields / "smear_b", "--", "-odd.jpg") == 0
    table = Path("out/counts.csv").read_text(encoding="utf-8")
    assert table.count(",ok,") == 4
    assert "-odd.jpg" in table


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2J\x1b]52;c;eA==\x07.jpg", r"a\x1b[2J\x1b]52;c;eA==\x07.jpg"),
        ("a\x9b2J.jpg", r"a\x9b2J.jpg"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("a\u2066b\u200f.jpg\r", r"a\u2066b\u200f.jpg\r"),
        ("é צילום 図.jpg", "é צילום 図.jpg"),
    ],
)
def test_names_that_command_a_terminal_are_shown_as_escapes(
    name: str, shown: str, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table()
    table.add_column("smear")
    table.add_row(escape(name))

    def named() -> int:
        commandline.console.print(f"[bold]unread:[/] {escape(name)}", soft_wrap=True)
        commandline.console.print(name, markup=False, soft_wrap=True)
        commandline.console.print(table)
        raise NothingToDoError(f"{name}: is none")

    assert run_command(lambda: run(named, Parser("x", "", ""))) == 3
    printed = capsys.readouterr()
    assert printed.out.startswith(f"unread: {shown}\n{shown}\n")
    assert printed.out.count(shown) == 3
    assert printed.err == f"error: {shown}: is none\n"


def test_an_interrupted_command_says_so(parser: Parser, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: Any) -> int:
        raise KeyboardInterrupt

    assert run_command(lambda: run(interrupted, parser), "a", "--times", "1") == 130
    assert capsys.readouterr().err == "interrupted\n"
