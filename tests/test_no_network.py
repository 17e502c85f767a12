"""Nothing that runs asks for a network: system calls are watched from outside, for libraries may do so in code of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.__main__ import COMMANDS
from detector.synthetic.series import Series
from detector.synthetic.truth import write_jpeg
from detector.vision.catalogue import SHIPPED

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "datasets" / "samples" / "smear_a"
NETWORK = ROOT / "tests" / "training" / "small.yaml"
_STRACE = shutil.which("strace")
_PATIENCE_S = 300
_TOKEN = "of-the-test-of-sockets"


QUIETENED = ("NO_ALBUMENTATIONS_UPDATE", "ORT_DISABLE_TELEMETRY", "YOLO_OFFLINE")
"""Environment variables by which commands keep libraries from a network."""

NOTHING: frozenset[str] = frozenset()
# By libc, for the name of the account, where no environment variable has it.
ACCOUNT_IS_NAMED = frozenset({"socket AF_UNIX", "connect AF_UNIX /var/run/nscd/socket"})
# By libuuid, for a number of no other: of the daemon that gives such, and by the names of this computer's network cards.
NUMBER_IS_MADE = frozenset({"socket AF_UNIX", "connect AF_UNIX /run/uuidd/request", "socket AF_INET"})
# By torch, where a process of its own prepares batches and hands them over.
BATCHES_ARE_HANDED_OVER = frozenset({"socket AF_UNIX", "bind AF_UNIX own", "connect AF_UNIX own"})
# By urllib3, which pydicom imports, to learn whether this computer has IPv6; nothing listens.
IPV6_IS_TRIED = frozenset({"socket AF_INET6", "bind AF_INET6 ::1"})
LISTENS = frozenset({"socket AF_INET", "bind AF_INET 127.0.0.1"})

ALLOWED = {
    **dict.fromkeys(("card", "control", "convert", "demo", "evaluate", "factor", "models", "stream", "synth"), NOTHING),
    **dict.fromkeys(("count", "exchange"), IPV6_IS_TRIED),
    **dict.fromkeys(("compare", "shapes"), ACCOUNT_IS_NAMED),
    **dict.fromkeys(("adapt", "export", "train"), ACCOUNT_IS_NAMED | NUMBER_IS_MADE | BATCHES_ARE_HANDED_OVER),
    **dict.fromkeys(("app", "review"), ACCOUNT_IS_NAMED | LISTENS),
    "serve": LISTENS,
}
"""What each command may do with sockets: system calls with the family and, where they name one, the address."""


@dataclass(frozen=True)
class Lines:
    """Commands that run one after the other in one process."""

    lines: tuple[str, ...]
    needs: Mapping[str, str] = field(default_factory=dict)
    """Extras by a module of theirs."""
    before: str = ""
    """Python that makes what is long shorter."""
    files: Callable[[Path], None] | None = None
    """Writes what they are given into a folder."""


def write_laboratory(folder: Path) -> None:
    """Tables of counts as laboratories have them, and a copy of the shipped model with its card."""
    for suffix in (".onnx", ".json"):
        shutil.copyfile(SHIPPED.with_suffix(suffix), folder / f"own{suffix}")
    rng = np.random.default_rng(2)
    hand = rng.integers((500, 20), (3000, 400), (45, 2))
    ours = rng.poisson(hand)
    tables = {
        "repeats": ["smear,day,run,RBC", *(f"p{n},{day},am,{rng.poisson(900)}" for n in (1, 2) for day in (1, 1, 2, 2))],
        "hand": ["smear,RBC,Platelets", *(f"s{i},{r},{p}" for i, (r, p) in enumerate(hand))],
        "ours": ["smear,RBC,Platelets", *(f"s{i},{r},{p}" for i, (r, p) in enumerate(ours))],
        "readers": ["sample,reader,neutrophils,others", *(f"{i},{by},{120 + i},{80 - i}" for i in range(8) for by in "AB")],
        "smears": ["smear,class,warning,per_mm2", *(f"s{i},Platelets,,{100 + 9 * i}" for i in range(12))],
        "analyser": ["smear,PLT 10^9/L", *(f"s{i},{110 + 8 * i}" for i in range(12))],
    }
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")


def write_shapes(folder: Path) -> None:
    """Rendered fields of three smears as Chula RBC-12 has them, with cells of two shapes, in `chula`."""
    folder = folder / "chula"
    for part in ("images", "points", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text("RBC\nWBC\nPlatelets\n", encoding="utf-8")
    w, h = size_wh = (240, 180)
    numbers = (100, 101, 200, 201, 300, 301)
    for number, (_, made) in zip(numbers, Series(fields=6, size_wh=size_wh, um_per_px=0.2, rbc=14).render(), strict=True):
        write_jpeg(folder / "images" / f"{number}.jpg", made)
        centre, side = (made.xyxy[:, :2] + made.xyxy[:, 2:]) / 2, made.xyxy[:, 2:] - made.xyxy[:, :2]
        shares = np.hstack([centre, side]) / (w, h, w, h)
        boxes = [f"{label} " + " ".join(map(str, share)) for label, share in zip(made.label, shares, strict=True)]
        points = [f"{x:.0f} {y:.0f} {3 * (i % 2)}" for i, (x, y) in enumerate(centre)]
        (folder / "labels" / f"{number}.txt").write_text("\n".join(boxes), encoding="utf-8")
        (folder / "points" / f"{number}.txt").write_text("\n".join(points), encoding="utf-8")
    for name, own in (("train", numbers[:4]), ("test", numbers[4:])):
        (folder / f"{name}.txt").write_text("\n".join(map(str, own)), encoding="utf-8")


MADE_FIRST = (
    "synth --out smears --fields 10 --size 240x180 --rbc 14 --wbc 2 --platelets 3 --um-per-px 0.2",
    "convert smears/truth.json --out set --splits 0.6/0.2/0.2",
)
TRAIN = {"ultralytics": "train", "onnx": "train", "matplotlib": "evaluate"}
TOGETHER = {
    "counting": Lines((
        "demo --out of-demo",
        "count {samples} --out counted --overlays --shapes --um-per-px 0.075",
        "count {samples} --out counted --resume --overlays --shapes --um-per-px 0.075",
        "stream fake:serpentine --seconds 2 --out streamed",
        "exchange counted --to voc --to csv --to qupath --to labelstudio --to fhir --to hl7",
        "models",
        "review counted --write",
        "evaluate --counts {samples}/../truth.csv --truth {samples}/../truth.csv --out compared",
    )),
    "other tools": Lines(
        (
            "count {samples} --out counted --pdf --export imagej --export xlsx --export parquet --export dicom",
            "exchange counted --to cvat --to coco --to yolo --to dicom",
            "review counted --write --pdf",
        ),
        {"openpyxl": "exchange", "pyarrow": "exchange", "roifile": "exchange", "highdicom": "dicom", "fpdf": "pdf"},
    ),
    "laboratory": Lines(
        (
            *MADE_FIRST,
            "evaluate --data set/data.yaml --out evaluated",
            "card own.onnx evaluated",
            "evaluate --protocol repeatability --counts repeats.csv --out repeatability",
            "evaluate --protocol methods --counts ours.csv --truth hand.csv --out methods",
            "evaluate --protocol readers --counts readers.csv --out readers",
            "factor smears.csv --analyser analyser.csv --out factor",
            "control {samples} --log lamp.csv",
        ),
        {"pycocotools": "evaluate", "matplotlib": "evaluate"},
        files=write_laboratory,
    ),
    "training": Lines(
        (
            *MADE_FIRST,
            "train --data set/data.yaml --name tiny --model {network} --epochs 1 --image-px 64 --batch 6",
            "export runs/train/tiny/weights/best.pt --data set/data.yaml --out again.onnx",
            "adapt --from set --name mine",
        ),
        TRAIN,
        # Plots are drawn by commands of the laboratory, and weights exported by the two first ones here.
        "import shutil, types; from detector.accuracy.report import drawings; from detector.training import adaptation as a, fit; "
        "drawings.write = lambda _folder, parts, *_kinds: {part: [] for part in parts}; "
        "arguments = fit.arguments; fit.arguments = lambda *given: arguments(*given) | {'plots': False}; "
        "a.FOLDS, a.HOME, a.STEPS, a._VIEWS, a._FEWEST_VIEWS = 2, 3, 1, 6, 1; from detector.vision.catalogue import SHIPPED; "
        "a.export = types.SimpleNamespace(put_card=a.export.put_card, to_onnx=lambda _, made, *_rest: shutil.copyfile(SHIPPED, made))",
    ),
    "papers": Lines(
        (
            *MADE_FIRST,
            "compare --data set/data.yaml --out compared",
            "shapes --data chula --labels chula --splits chula --classical 'random forest' --out learned",
        ),
        {**TRAIN, "sklearn": "baselines", "skimage": "baselines"},
        "from detector.baselines import comparison, networks, unet; from detector.training import shapes; "
        "comparison.MOST_FIT, comparison.MOST_CROPS, networks.STEPS, unet.UNet.steps, shapes.STEPS = 3, 12, 2, 2, 2",
        write_shapes,
    ),
}  # fmt: skip

RUN = """
import os, shlex, sys
from importlib import import_module

exec(sys.argv[1])
for number, line in enumerate(sys.argv[2:]):
    name, *sys.argv[1:] = shlex.split(line)
    # What is called from here on is this command's.
    os.makedirs(f"../calls/{number}/{name}")
    os.chdir(f"../calls/{number}/{name}")
    os.chdir("../../../state")
    try:
        import_module(f"detector.{name}").main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    if code not in (None, 0, 1):
        raise SystemExit(f"{line}: {code}")
"""
COUNT_FOR_30_S = """
import sys
import time
from pathlib import Path

import detector

began, model = time.monotonic(), detector.Detector()
field = sorted(Path(sys.argv[1]).iterdir())[0]
while time.monotonic() - began < 30:
    model.detect(field)
    time.sleep(0.2)
"""
"""ONNX Runtime reports, unless it is kept from it, some ten seconds after it began."""


_CALL = re.compile(r"\b(socket|bind|connect|sendto|sendmsg|sendmmsg)\(.*?\b([AP]F_\w+)\b")
_ADDRESS = re.compile(r'(?:inet_addr\(|inet_pton\(AF_INET6, |sun_path=)@?"([^"]+)"')
_OWN = re.compile(r"/.*/pymp-\w+/listener-\w+")
"""A socket in a folder that Python makes for the processes of one program."""
_COMMAND = re.compile(r'chdir\("\.\./calls/\d+/(\w+)"')


def watched(calls: Path, *words: str) -> list[str]:
    """A Python program under strace, which writes calls about sockets to a file; the process is Python's own."""
    assert _STRACE is not None
    names = "socket,bind,connect,sendto,sendmsg,sendmmsg,chdir"
    return [
        _STRACE,
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        f"trace={names}",
        "-e",
        "signal=none",
        "-o",
        str(calls),
        sys.executable,
        *words,
    ]


def environment(**own: str) -> dict[str, str]:
    """Ours, without what keeps libraries from a network: commands do so themselves."""
    kept = {name: value for name, value in os.environ.items() if name not in QUIETENED}
    return {**kept, "PYTHONPATH": str(ROOT), **own}


def calls_of(folder: Path, *words: str) -> list[tuple[str, str]]:
    """What a Python program, and those that it starts, do with sockets, as `read` gives it."""
    calls = folder / "calls.txt"
    # The pipes are closed when strace has written all.
    program, own = watched(calls, *words), environment()
    done = subprocess.run(program, cwd=folder / "state", env=own, capture_output=True, text=True, timeout=_PATIENCE_S)
    _skip_if_unseen(done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    return list(read(calls))


def _skip_if_unseen(printed: str) -> None:
    if "PTRACE" in printed or "ptrace" in printed:
        pytest.skip(f"system calls cannot be watched here: {printed.strip().splitlines()[0]}")


def read(calls: Path, command: str = "") -> Iterator[tuple[str, str]]:
    """Commands, each with a system call as `ALLOWED` has them, in the order of what strace wrote.

    Args:
        command: the one that runs first.
    """
    for line in calls.read_text(encoding="utf-8").splitlines():
        if began := _COMMAND.search(line):
            command = began[1]
        if call := _CALL.search(line):
            yield command, " ".join([*call.groups(), *(_OWN.sub("own", address) for address in _ADDRESS.findall(line))])


def faults(calls: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the commands may not do."""
    return [(command, call) for command, call in calls if call not in ALLOWED[command]]


def require(needs: Mapping[str, str]) -> None:
    """Skip where an extra is not installed."""
    for module, extra in needs.items():
        if find_spec(module) is None:
            pytest.skip(f"needs the {extra} extra: pip install -e '.[{extra}]'")


needs_strace = pytest.mark.skipif(_STRACE is None, reason="needs strace, which watches system calls")


def test_every_command_stands_in_the_table() -> None:
    assert ALLOWED.keys() == COMMANDS.keys()
    called = {line.split()[0] for lines in TOGETHER.values() for line in lines.lines}
    assert called | PAGES.keys() == COMMANDS.keys()


@needs_strace
@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "count"),
        ("import socket; socket.socket(socket.AF_INET6).connect_ex(('::1', 9))", "serve"),
        ("import socket; socket.socket(socket.AF_UNIX)", "serve"),
        ("import socket; socket.socket().bind(('', 0))", "serve"),
        ("import socket; socket.socket().connect_ex(('127.0.0.1', 9))", "serve"),
        ("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'1', ('127.0.0.1', 9))", "train"),
    ],
)  # fmt: skip
def test_a_socket_would_be_seen(program: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    mark = f"import os; os.makedirs('../calls/0/{command}'); os.chdir('../calls/0/{command}'); "
    assert faults(calls_of(tmp_path, "-c", mark + program))


@needs_strace
@pytest.mark.slow
def test_counting_for_long_opens_no_socket(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert calls_of(tmp_path, "-c", COUNT_FOR_30_S, str(SAMPLES)) == []


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER)
def test_no_command_asks_for_a_network(name: str, tmp_path: Path) -> None:
    together = TOGETHER[name]
    require(together.needs)
    folder = tmp_path / "state"
    folder.mkdir()
    if together.files:
        together.files(folder)
    lines = [line.format(samples=SAMPLES, network=NETWORK) for line in together.lines]
    assert faults(calls_of(tmp_path, "-c", RUN, together.before, *lines)) == []


@needs_strace
@pytest.mark.slow
def test_a_cluster_on_this_computer_stays_on_it(tmp_path: Path) -> None:
    require({"ray": "ray", "pyarrow": "ray"})
    (tmp_path / "state").mkdir()
    calls = calls_of(tmp_path, "-c", RUN, "", f"count {SAMPLES} --engine ray --threads 1 --out archived")
    addresses = {call.split()[2] for _, call in calls if "AF_INET" in call and not call.startswith("socket")}
    assert "127.0.0.1" in addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@contextmanager
def page_of(folder: Path, command: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command that serves, under strace, and its address."""
    program = watched(folder / "calls.txt", "-m", f"detector.{command}", *words)
    own = environment(SMEARCOUNT_TOKEN=_TOKEN)
    with subprocess.Popen(program, cwd=folder, env=own, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        printed = []
        try:
            for line in process.stderr:
                printed.append(line)
                if (url := re.search(r"http://[^\s\"]+", line)) and (command != "serve" or '"ready"' in line):
                    yield process, url[0]
                    break
            else:
                _skip_if_unseen("".join(printed))
                pytest.fail("".join(printed))
        finally:
            process.kill()


def counted_by_page(url: str, session: Any) -> None:
    """Count the samples by the page of `app`, and look at the review that it opens."""
    assert session.get(url).status_code == 200
    assert session.post(url + "count", json={"folder": str(SAMPLES)}).status_code == 200
    until = time.monotonic() + _PATIENCE_S
    while (state := session.post(url + "work", json={}).json())["phase"] in ("searching", "counting"):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert session.get(url + state["run"]).status_code == 200


def looked_at(url: str, session: Any) -> None:
    """Show the page of `review`."""
    assert session.get(url).status_code == 200


def counted_by_service(url: str, session: Any) -> None:
    """Have the service count a field."""
    content = (SAMPLES / "field_01.jpg").read_bytes()
    headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "image/jpeg"}
    assert session.post(f"{url}v1/field", content=content, headers=headers).status_code == 200


PAGES: Mapping[str, tuple[Callable[[str, Any], None], Sequence[str]]] = {
    "app": (counted_by_page, (str(SAMPLES), "--no-browser")),
    "review": (looked_at, (str(SAMPLES), "--no-browser")),
    "serve": (counted_by_service, ("--address", "0", "--state", "jobs", "--threads", "1")),
}
"""What is asked of each command that serves, and its words."""


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("command", PAGES)
def test_who_serves_listens_on_the_loopback_only(command: str, tmp_path: Path) -> None:
    require({"httpx": "dev", "uvicorn": "serve", **({"fastapi": "service"} if command == "serve" else {})})
    import httpx

    ask, words = PAGES[command]
    with page_of(tmp_path, command, *words) as (process, url), httpx.Client(verify=False, timeout=_PATIENCE_S) as session:
        ask(url, session)
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE_S) == 0
        assert process.stderr is not None
        # Its end comes once strace has written all.
        process.stderr.read()
    calls = list(read(tmp_path / "calls.txt", command))
    assert faults(calls) == []
    assert (command, "bind AF_INET 127.0.0.1") in calls
