"""A training in several processes, as on several GPUs, here without any."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

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
chosen = settings.load(None, dict(model="yolo11n.yaml", epochs=1, image_px=64, batch=4, device="cpu", threads=1))
fit.fit(chosen, [Path("data/data.yaml")], Path("runs/two"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the processes talk as they do on Linux")
def test_each_process_finds_the_fields_and_changes_them_as_one_would(tmp_path: Path) -> None:
    for arguments in (
        ("synth", "--out", "smears", "--fields", "10", "--size", "96x96", "--rbc", "6", "--um-per-px", "0.3"),
        ("convert", "smears/truth.json", "--out", "data", "--splits", "0.8/0.1/0.1"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"detector.{arguments[0]}", *arguments[1:]], cwd=tmp_path, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    (tmp_path / "processes.py").write_text(PROCESSES, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", START], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "two"
    for name in ("data.yaml", "data.train.txt", "settings.json", "results.csv", "weights/best.pt"):
        assert (run / name).is_file(), name
    for process in (0, 1):
        assert f"process {process} cuts with detector.training" in done.stdout
        (changes,) = [line for line in done.stdout.splitlines() if line.startswith(f"process {process} changes by")]
        for change in ("RandomRotate90", "Defocus", "GaussNoise", "CLAHE", "ImageCompression"):
            assert change in changes
