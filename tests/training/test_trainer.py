"""A training in several processes, as on several GPUs, and a loss that asks for nothing in ignore regions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from detector import convert, synth
from detector.training import framework

# Looked for and not imported: ultralytics changes how Pillow opens images in its whole process.
pytestmark = pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")

PROCESSES = """
import torch
from torch import distributed, nn
from detector.training import trainer
from ultralytics.data import augment
from ultralytics.utils import LOCAL_RANK, RANK

shared = nn.parallel.DistributedDataParallel
nn.parallel.DistributedDataParallel = lambda model, device_ids, **options: shared(model, **options)


class Processes(trainer.Trainer):
    '''Two processes of Ultralytics' own making, on the CPU where it would give each a GPU.'''

    def train(self):
        self.world_size = 2
        self.ddp = LOCAL_RANK == -1
        super().train()

    def _setup_ddp(self):
        distributed.init_process_group("gloo", rank=RANK, world_size=2)

    def build_dataset(self, *arguments, **options):
        dataset = super().build_dataset(*arguments, **options)
        if options.get("mode", arguments[1]) == "train":
            changes = [repr(change.transform) for change in dataset.transforms.transforms if hasattr(change, "contains_spatial")]
            print(f"process {RANK} changes by {changes}", flush=True)
            print(f"process {RANK} cuts with {augment.RandomPerspective.__module__}", flush=True)
        return dataset

    def final_eval(self):
        '''Would ask for the GPU of this process.'''
"""

START = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path.cwd()))
from detector.training import fit, framework, settings, trainer
framework.prepare(Path("runs/.ultralytics"))
import processes
trainer.Trainer = processes.Processes
arguments = fit.arguments
fit.arguments = lambda *given: arguments(*given) | {"plots": False}
chosen = settings.load(None, dict(model=sys.argv[1], epochs=1, image_px=64, batch=4, device="cpu", threads=1))
fit.fit(chosen, [Path("data/data.yaml")], Path("runs/two"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the processes talk as they do on Linux")
def test_each_process_finds_the_fields_and_changes_them_as_one_would(tmp_path: Path, run_command: Callable[..., int]) -> None:
    made = ("--out", "smears", "--fields", 10, "--size", "96x96", "--rbc", 6, "--um-per-px", 0.3)
    assert run_command(synth.main, *made) == 0
    assert run_command(convert.main, "smears/truth.json", "--out", "data", "--splits", "0.8/0.1/0.1") == 0
    (tmp_path / "processes.py").write_text(PROCESSES, encoding="utf-8")
    # Older versions of Ultralytics import the trainer's module in each process by its name.
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    program = [sys.executable, "-c", START, str(Path(__file__).with_name("small.yaml"))]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "two"
    for name in ("data.yaml", "data.train.txt", "settings.json", "results.csv", "weights/best.pt"):
        assert (run / name).is_file(), name
    for process in (0, 1):
        assert f"process {process} cuts with detector.training" in done.stdout
        (changes,) = [line for line in done.stdout.splitlines() if line.startswith(f"process {process} changes by")]
        for change in ("RandomRotate90", "Defocus", "GaussNoise", "CLAHE", "ImageCompression"):
            assert change in changes


HEIGHT, WIDTH = 64, 96
REGION = 3.0
CELL = (0, 0.0, 0.3, 0.4, 0.2, 0.3)
"""Picture, class, and centre, width and height as shares of the picture's sides."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A network that has learnt nothing, what it gives for two pictures, and its loss as Ultralytics makes it and as ours."""
    framework.prepare(tmp_path_factory.mktemp("state"))
    import torch
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    from detector.training import trainer

    torch.manual_seed(0)
    network = DetectionModel("yolo11n.yaml", nc=3, verbose=False)
    network.args = get_cfg()
    with torch.no_grad():
        given = network.train()(torch.rand(2, 3, HEIGHT, WIDTH))
    return SimpleNamespace(given=given, theirs=network.init_criterion(), ours=trainer.criterion(network))


def of(criterion: Any, given: Any, *rows: tuple[float, ...]) -> Any:
    """Loss of boxes, classes and edges, each for two pictures; a row is as `CELL`."""
    import torch

    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return criterion(given, {"batch_idx": table[:, 0], "cls": table[:, 1:2], "bboxes": table[:, 2:]})[0]


@pytest.mark.parametrize("rows", [(), (CELL,), (CELL, (1, 2.0, 0.7, 0.5, 0.1, 0.1), (1, 1.0, 0.4, 0.5, 0.3, 0.4))])
def test_without_regions_it_is_ultralytics_own(made: SimpleNamespace, rows: tuple[tuple[float, ...], ...]) -> None:
    ours, theirs = of(made.ours, made.given, *rows), of(made.theirs, made.given, *rows)
    assert type(made.ours) is not type(made.theirs)
    assert ours.tolist() == theirs.tolist()
    assert theirs[1] > 0


def test_in_a_region_over_everything_nothing_is_asked_for(made: SimpleNamespace) -> None:
    everywhere = [(picture, REGION, 0.5, 0.5, 1.0, 1.0) for picture in (0, 1)]
    assert of(made.ours, made.given, *everywhere).tolist() == [0, 0, 0]
    one, none = of(made.ours, made.given, everywhere[0]), of(made.ours, made.given)
    assert 0 < one[1] < none[1]


def test_what_is_asked_for_inside_of_a_region_and_outside_is_the_whole(made: SimpleNamespace) -> None:
    """A region over the left two thirds of a picture that is wider than high, and one over the rest."""
    other = (1, REGION, 0.5, 0.5, 1.0, 1.0)
    left, right = (0, REGION, 1 / 3, 0.5, 2 / 3, 1.0), (0, REGION, 5 / 6, 0.5, 1 / 3, 1.0)
    without_left, without_right, whole = (of(made.ours, made.given, other, *rows)[1] for rows in ((left,), (right,), ()))
    assert (without_left + without_right).item() == pytest.approx(whole.item(), rel=1e-5)
    # Two thirds of the places are in the left part, and a network that has learnt nothing answers alike at all.
    assert without_left.item() == pytest.approx(whole.item() / 3, rel=0.1)
    assert of(made.ours, made.given, other, left, right)[1] == 0


def test_what_is_not_asked_for_lies_in_the_region(made: SimpleNamespace) -> None:
    """A region over the lower left part of the first picture."""
    import torch

    scores = made.given["scores"].clone().requires_grad_()
    of(made.ours, {**made.given, "scores": scores}, (0, REGION, 0.2, 0.75, 0.4, 0.5))[1].backward()
    places = [(x, y) for step in (8, 16, 32) for y in range(step // 2, HEIGHT, step) for x in range(step // 2, WIDTH, step)]
    within = torch.tensor([x < 0.4 * WIDTH and y > 0.5 * HEIGHT for x, y in places])
    silent = (scores.grad == 0).all(dim=1)
    assert silent[0].tolist() == within.tolist()
    assert not silent[1].any()


def test_a_cell_in_a_region_is_asked_for_all_the_same(made: SimpleNamespace) -> None:
    everywhere = [(picture, REGION, 0.5, 0.5, 1.0, 1.0) for picture in (0, 1)]
    within, alone = of(made.ours, made.given, CELL, *everywhere), of(made.ours, made.given, CELL)
    assert within[0] == alone[0] > 0
    assert within[2] == alone[2] > 0
    assert 0 < within[1] < alone[1]


def test_a_region_is_no_cell_to_be_found(made: SimpleNamespace) -> None:
    """A region that covers no place of the network's changes nothing."""
    tiny = (0, REGION, 0.5, 0.5, 1e-4, 1e-4)
    assert of(made.ours, made.given, CELL, tiny).tolist() == of(made.ours, made.given, CELL).tolist()
