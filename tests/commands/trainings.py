"""Trainings and what follows them, in one process that imports PyTorch once; `test_train.py` runs this and looks at what came of it.

Usage: python trainings.py NETWORK.yaml < lines.json > ended.json
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from detector.review.journal import ReviewJournal
from detector.review.opened import open_run
from detector.review.review import Review
from detector.training import fit, framework, settings

KILLS = {"between": ("on_train_epoch_start", 1), "unsaved": ("on_fit_epoch_end", 1), "torn": ("on_train_epoch_start", 2)}
"""Names of trainings with the moment and the epoch, from 0, of their end."""
TINY = Path("runs/train/tiny")


def called(name: str, *arguments: str) -> dict[str, Any]:
    """How a command ended, and what it printed."""
    sys.argv = [name, *arguments]
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
        try:
            import_module(f"detector.{name}").main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return {"code": code, "output": output.getvalue(), "errors": errors.getvalue()}


def corrected(network: str) -> dict[str, Any]:
    """A count whose fields are looked at and corrected, the dataset that its review writes, and a training on it.

    `drawn` is how many platelets were drawn, and `counts` how many cells of each class the looked-at fields have then.
    """
    counted = called("count", "smears", "--out", "counts", "--quiet")
    run = open_run(Path("counts"))
    with ReviewJournal(run.folder, run.sha256) as journal:
        review = Review(run, journal)
        for number, state in enumerate(review.fields):
            drawn = {"box": [2, 2, 12, 12], "label": 2}
            look = {"field": number, "revision": state.revision, "looked": True, "cells": [drawn]}
            review.change({"id": f"look-at-{number:04}", "by": "Ann", "fields": [look]})
        counts = [sum(of_class) for of_class in zip(*(field["counts"] for field in review.state()["fields"]), strict=True)]
        drawn_in = len(review.fields)
    written = called("review", "counts", "--write", "--dataset")
    options = f"--name corrected --model {network} --epochs 1 --image-px 64 --batch 3"
    trained = called("train", "--data", "counts/reviewed/dataset/data.yaml", *options.split())
    return {"ended": [counted, written, trained], "counts": counts, "drawn": drawn_in}


def leave_out_plots() -> None:
    """Have Ultralytics draw nothing from here on; it takes a quarter of so short a training."""
    arguments = fit.arguments
    fit.arguments = lambda *given: arguments(*given) | {"plots": False}


def kill_trainings(network: str) -> None:
    """Train in processes that are killed, each at its moment."""
    framework.prepare(Path("runs/train/.ultralytics"))
    # Once for all that are forked.
    import torch._inductor

    from detector.training import graph, trainer  # noqa: F401

    torch.set_num_threads(1)
    for name, (moment, epoch) in KILLS.items():
        child = os.fork()
        if not child:
            _train_until(network, name, moment, epoch)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, name


def _train_until(network: str, name: str, moment: str, epoch: int) -> None:
    start = fit.start

    def stop(trainer: Any) -> None:
        if trainer.epoch == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    def started(model: str) -> Any:
        yolo = start(model)
        yolo.add_callback(moment, stop)
        return yolo

    fit.start = started
    leave_out_plots()
    chosen = settings.load(None, {"model": network, "epochs": 3, "image_px": 64, "batch": 3, "threads": 1})
    fit.fit(chosen, [Path("data/data.yaml")], Path("runs/train") / name)


def parity() -> dict[str, tuple[bool, bool]]:
    """Whether the trained model is shown what its weights are, and answers what they do: a field, and one with its channels swapped."""
    import cv2
    import torch
    from ultralytics import YOLO

    from detector.vision import images
    from detector.vision.model import Model, canvas

    cv2.imwrite("field.png", images.read(Path("smears/smear_a/field_01.jpg"))[:, :, ::-1])
    rgb = images.read(Path("field.png"))
    ours = Model.load(TINY / "model.onnx")
    weights = YOLO(TINY / "weights" / "best.pt")
    weights.predict("field.png", imgsz=64, device="cpu", verbose=False)
    predictor: Any = weights.predictor
    shown = predictor.preprocess([cv2.imread("field.png")])
    with torch.no_grad():
        answer = predictor.model(shown)
    expected = (answer[0] if isinstance(answer, (list, tuple)) else answer).numpy()[0].T
    half = expected[:, 2:4] / 2
    expected[:, :4] = np.concatenate([expected[:, :2] - half, expected[:, :2] + half], axis=1)
    alike = {}
    for how, picture in (("as it is", rgb), ("swapped", np.ascontiguousarray(rgb[:, :, ::-1]))):
        pixels = canvas(picture, ours.card)[0]
        output = ours.network.run(pixels, np.zeros(3, dtype=np.float32))
        assert output.shape == expected.shape, (output.shape, expected.shape)
        assert output.shape[1] == 7
        sees = np.allclose(pixels.transpose(2, 0, 1)[None] / 255, shown.numpy(), atol=1e-6)
        alike[how] = (bool(sees), bool(np.allclose(output, expected, rtol=1e-3, atol=1e-4)))
    return alike


def main(network: str) -> None:
    """Do it all in the order in which a user would, but for the killed trainings: a process that has trained is not to be forked."""
    lines: list[list[str]] = json.load(sys.stdin)
    made = [
        called("synth", "--out", "smears", "--fields", "10", "--size", "160x128", "--rbc", "4", "--um-per-px", "0.2"),
        called("convert", "smears/truth.json", "--out", "data", "--splits", "0.6/0.2/0.2"),
    ]
    killed = hasattr(os, "fork")
    if killed:
        kill_trainings(network)
    options = f"--name tiny --model {network} --epochs 2 --image-px 64 --batch 3 --close-mosaic-epochs 1"
    made.append(called("train", "--data", "data/data.yaml", *options.split()))
    assert [ended["code"] for ended in made] == [0, 0, 0], made
    table = (TINY / "results.csv").read_text(encoding="utf-8")
    leave_out_plots()
    Path("fake.pt").write_bytes(b"not weights")
    ended = {
        "train": made[-1],
        "parity": parity(),
        "finished": called("train", "--resume", str(TINY)),
        "table": table,
        "corrected": corrected(network),
        "lines": [called(*line) for line in lines],
    }
    if killed:
        ended["resumed"] = {name: _resumed(name) for name in KILLS}
    json.dump(ended, sys.stdout)


def _resumed(name: str) -> dict[str, Any]:
    folder = (Path("runs/train") / name).rename(f"moved_{name}")
    kept = len((folder / "results.csv").read_text(encoding="utf-8").splitlines()) - 1
    if name == "torn":
        last = folder / "weights" / "last.pt"
        last.write_bytes(last.read_bytes()[:9999])
    return {"kept": kept, **called("train", "--resume", str(folder))}


if __name__ == "__main__":
    main(sys.argv[1])
