"""Names that attack a terminal, a spreadsheet, a page or a path: each command takes or refuses them, and none does harm."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from detector import card, convert, count, evaluate, exchange, export, stream, synth, train
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED
from detector.review.opened import open_run

Run = Callable[..., int]
Captured = pytest.CaptureFixture[str]

ROOT = Path(__file__).parents[2]
HARMFUL = {
    "formula": "=HYPERLINK(1)",
    "formula by at": "@SUM(1)",
    "formula after a line break": "\n=1+1",
    "formula in wide signs": "＝1",
    "element": "<img src=x onerror=alert(1)>",
    "attribute": "\"' onclick=alert(1) x='",
    "entity": "&lt;b&gt;",
    "clipboard": "a\x1b]52;c;ZXZpbA==\x07",
    "clear screen": "a\x1b[2J",
    "C1": "a\x9b2J",
    "right to left": "a\u202egpj",
    "isolate": "a\u2066b",
    "line separator": "a\u2028b",
    "forged line": "a\nunread: all",
    "carriage return": "a\rb",
    "markup of the terminal": "[red]x[bold]]",
    "template": "{{7*7}}{%x%}",
    "option": "--out=x",
    "shell": "$(id)`id`;id",
    "format": "%n%s{0}",
    "parent": "..\\..\\evil",
    "device": "CON",
    "half a sign": "a\udcff",
}
"""What a file or folder can be called here; some systems refuse a few."""
EXCHANGED = ("coco", "voc", "yolo", "csv", "parquet", "xlsx", "imagej", "qupath", "labelstudio", "cvat")
"""Formats whose packages the extra dev brings."""
PATHS = ("../evil", "../../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil")


def commands_in(text: str) -> set[str]:
    """Signs that a terminal obeys, or by which a text seems to be another."""
    return {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign != "\n"}


def formulas(table: Path) -> Iterator[str]:
    """Cells that a spreadsheet would run."""
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                if cell.lstrip()[:1] in tuple("=+-@＝＋－＠") and not cell.lstrip("-").replace(".", "").isdigit() and cell != "":
                    yield cell


class Elements(HTMLParser):
    """What of a page a browser would load or run."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]
        self.found += [
            f"{tag} {value}" for name, value in attrs if name in ("src", "href") and not str(value).startswith(("data:", "#"))
        ]


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """A small picture with a few cells."""
    path = tmp_path / "field.jpg"
    with Image.open(ROOT / "datasets" / "samples" / "smear_a" / "field_01.jpg") as picture:
        picture.crop((0, 0, 96, 96)).save(path)
    return path


@pytest.fixture
def hostile(tmp_path: Path, field: Path) -> Path:
    """A folder of smears with harmful names, each with a field of that name: every fourth a picture, the others empty."""
    folder = tmp_path / "in"
    content = field.read_bytes()
    for i, name in enumerate(HARMFUL.values()):
        try:
            smear = folder / f"s{name}" if name.startswith(".") else folder / name
            smear.mkdir(parents=True)
            (smear / f"{name}.jpg").write_bytes(b"" if i % 4 else content)
        except (OSError, UnicodeEncodeError):
            continue
    return folder


@pytest.mark.slow
def test_a_count_of_hostile_names_does_no_harm(hostile: Path, tmp_path: Path, run_command: Run, capsys: Captured) -> None:
    before = tree(tmp_path)
    assert run_command(count.main, hostile, "--out", "results", "--overlays") == EXIT_SOME_FAILED
    printed = capsys.readouterr()
    assert commands_in(printed.out + printed.err) == set()
    assert not any(line.startswith("unread: all") for line in printed.err.splitlines())
    made = tree(tmp_path) - before
    assert {name.partition("/")[0] for name in made} == {"results"}
    for table in ("counts.csv", "smears.csv"):
        assert list(formulas(Path("results") / table)) == [], table
    report = Path("results/report.html")
    assert Elements(report).found == []
    assert commands_in(report.read_text(encoding="utf-8")) <= {"\t"}
    document = json.loads(Path("results/detections.json").read_text(encoding="utf-8"))
    assert all(".." not in image["file_name"].split("/") and image["file_name"][0] != "/" for image in document["images"])


@pytest.mark.slow
def test_a_count_as_json_holds_no_sign_that_a_terminal_obeys(hostile: Path, run_command: Run, capsys: Captured) -> None:
    assert run_command(count.main, hostile, "--out", "results", "--json", "--quiet") == EXIT_SOME_FAILED
    printed = capsys.readouterr()
    assert commands_in(printed.out + printed.err) == set()
    assert json.loads(printed.out)


@pytest.mark.slow
def test_names_that_are_no_utf8_pass_through_every_command(
    tmp_path: Path, field: Path, run_command: Run, capsys: Captured
) -> None:
    name = os.fsdecode(b"f\xe9ld")
    pictures, labels = tmp_path / "voc" / "JPEGImages", tmp_path / "voc" / "Annotations"
    pictures.mkdir(parents=True)
    labels.mkdir()
    try:
        (pictures / f"{name}.jpg").write_bytes(field.read_bytes())
    except OSError:
        pytest.skip("this system takes no such name")
    box = "<bndbox><xmin>4</xmin><ymin>6</ymin><xmax>30</xmax><ymax>28</ymax></bndbox>"
    size = "<size><width>96</width><height>96</height><depth>3</depth></size>"
    (labels / f"{name}.xml").write_text(
        f"<annotation>{size}<object><name>RBC</name>{box}</object></annotation>", encoding="utf-8"
    )
    calls: list[tuple[Callable[[], None], list[str]]] = [
        (count.main, ["voc/JPEGImages", "--truth", "voc", "--um-per-px", "0.075", "--out", "counted", "--overlays"]),
        (convert.main, ["voc", "--out", "set", "--splits", "1/0/0"]),
        (evaluate.main, ["--counts", "counted/counts.csv", "--truth", "counted/counts.csv", "--out", "compared"]),
        (exchange.main, ["counted", *(f"--to={form}" for form in EXCHANGED)]),
    ]
    for main, arguments in calls:
        code = run_command(main, *arguments)
        printed = capsys.readouterr()
        assert code in (EXIT_DONE, EXIT_SOME_FAILED), printed.err
        assert commands_in(printed.out + printed.err) == set(), arguments
    reviewed = open_run(Path("counted")).fields
    assert [(field.path.name, field.problem) for field in reviewed] == [(f"{name}.jpg", "")]
    for table in (*tmp_path.rglob("*.csv"), *tmp_path.rglob("*.md"), *tmp_path.rglob("*.json")):
        table.read_text(encoding="utf-8")
    assert "f\\udce9ld.jpg" in Path("counted/exchange/csv/cells.csv").read_text(encoding="utf-8")


def test_smears_of_a_manifest_do_no_harm(tmp_path: Path, field: Path, run_command: Run, capsys: Captured) -> None:
    smears = [*HARMFUL.values(), *PATHS]
    (tmp_path / "in").mkdir()
    with (tmp_path / "manifest.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        csv.writer(file).writerows([["field", "smear"], *([f"{i}.jpg", smear] for i, smear in enumerate(smears))])
    for i in range(len(smears)):
        (tmp_path / "in" / f"{i}.jpg").write_bytes(field.read_bytes() if i == 0 else b"")
    before = tree(tmp_path)
    code = run_command(count.main, "in", "--manifest", "manifest.csv", "--out", "results", "--overlays")
    printed = capsys.readouterr()
    assert code == EXIT_SOME_FAILED, printed.err
    assert commands_in(printed.out + printed.err) == set()
    assert {name.partition("/")[0] for name in tree(tmp_path) - before} == {"results"}
    for table in ("counts.csv", "smears.csv"):
        assert list(formulas(Path("results") / table)) == [], table
    assert Elements(Path("results/report.html")).found == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [*HARMFUL.values(), *PATHS])
def test_a_name_in_an_option_does_no_harm(name: str, tmp_path: Path, run_command: Run, capsys: Captured) -> None:
    missing = f"none/{name}"
    calls: list[tuple[Callable[[], None], list[str]]] = [
        (count.main, [missing]),
        (count.main, [f"--model={missing}", str(ROOT / "datasets/samples")]),
        (count.main, [f"--manifest={missing}"]),
        (convert.main, [missing, "--out=made"]),
        (convert.main, [f"--download={name}", "--out=made"]),
        (evaluate.main, [f"--counts={missing}", f"--truth={missing}"]),
        (evaluate.main, [f"--data={missing}"]),
        (stream.main, [missing, "--out=made"]),
        (stream.main, [f"--finish={missing}"]),
        (card.main, [missing, missing]),
        (synth.main, [f"--size={name}", "--out=made"]),
        (train.main, [f"--data={missing}", f"--name={name}"]),
        (train.main, [f"--resume={missing}"]),
        (export.main, [missing, f"--data={missing}", "--out=made.onnx"]),
    ]
    for main, arguments in calls:
        before = tree(tmp_path)
        code = run_command(main, *arguments)
        printed = capsys.readouterr()
        assert code not in (EXIT_DONE, None), arguments
        assert commands_in(printed.out + printed.err) == set(), arguments
        assert "Traceback" not in printed.err
        assert tree(tmp_path) == before, arguments


@pytest.mark.parametrize("name", [*PATHS, "", ".", "..", " ", "a\x1b[2J", "a\u202eb", "a|b", "a\nb"])
def test_a_training_is_not_begun_outside_its_folder(name: str, tmp_path: Path, run_command: Run, capsys: Captured) -> None:
    assert run_command(train.main, f"--name={name}", "--data=none.yaml") == 2
    assert "must be the name of one folder" in capsys.readouterr().err
    assert tree(tmp_path) == set()


@pytest.mark.parametrize("name", HARMFUL.values())
def test_class_names_of_strangers_are_refused_without_harm(
    name: str, tmp_path: Path, field: Path, run_command: Run, capsys: Captured
) -> None:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "field.jpg", "width": 96, "height": 96}],
        "annotations": [box],
        "categories": [{"id": 1, "name": name}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content), encoding="utf-8")
    before = tree(tmp_path)
    assert run_command(convert.main, "truth.json", "--out", "made") not in (EXIT_DONE, EXIT_SOME_FAILED)
    printed = capsys.readouterr()
    assert commands_in(printed.out + printed.err) == set()
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", PATHS)
def test_labels_reach_no_picture_outside_their_set(
    name: str, tmp_path: Path, field: Path, run_command: Run, capsys: Captured
) -> None:
    inner = tmp_path / "set"
    inner.mkdir()
    field.rename(tmp_path / "evil.jpg")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": f"{name}.jpg", "width": 96, "height": 96}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "RBC"}],
    }
    (inner / "truth.json").write_text(json.dumps(content), encoding="utf-8")
    assert run_command(convert.main, "set/truth.json", "--out", "made") != EXIT_DONE
    assert not list(Path("made").rglob("*.jpg")) if Path("made").exists() else True
    capsys.readouterr()


def test_an_earlier_conversion_is_replaced_without_following_links(tmp_path: Path, run_command: Run, capsys: Captured) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.jpg").write_bytes(b"mine")
    assert (
        run_command(synth.main, "--out", "smears", "--fields", 3, "--size", "160x128", "--rbc", 4, "--um-per-px", 0.2)
        == EXIT_DONE
    )
    assert run_command(convert.main, "smears/truth.json", "--out", "made") in (EXIT_DONE, EXIT_SOME_FAILED)
    try:
        (tmp_path / "made" / "images" / "linked").symlink_to(mine, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    run_command(convert.main, "smears/truth.json", "--out", "made")
    assert (mine / "precious.jpg").read_bytes() == b"mine"
    capsys.readouterr()
