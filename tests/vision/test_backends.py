"""What runs the network, and that a count does not depend on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.errors import ModelError, UsageError
from detector.vision import backends, finder, images
from detector.vision.catalogue import SHIPPED
from detector.vision.model import Model

pytestmark = pytest.mark.usefixtures("afresh")

SAMPLES = sorted((Path(__file__).parents[2] / "datasets" / "samples").glob("*/*.jpg"))
HERE = [name for name in backends.available() if name not in (backends.AUTO, backends.CPU)]


def test_the_processor_is_always_there() -> None:
    assert backends.available()[:2] == [backends.AUTO, backends.CPU]
    backends.check(backends.CPU)
    assert set(backends.available()) <= set(backends.NAMES)


def test_what_is_experimental_is_among_the_names() -> None:
    assert set(backends.NAMES) == {backends.AUTO, backends.CPU, backends.OPENVINO, *backends.EXPERIMENTAL}


def test_openvino_is_used_only_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such library")

    monkeypatch.setattr(backends, "_has_openvino", lambda: True)
    monkeypatch.setattr(backends, "_openvino", broken)
    assert backends.open_network(SHIPPED).backend == "cpu"
    with pytest.raises(ModelError, match="no such library"):
        backends.open_network(SHIPPED, backends.OPENVINO)


def test_a_backend_that_is_not_there_says_what_it_needs_and_which_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_has_openvino", lambda: False)
    with pytest.raises(UsageError, match=r"needs pip install 'smearcount\[openvino\]'; available: auto, cpu"):
        Model.load(backend="openvino")
    with pytest.raises(UsageError, match="backend 'gpu' is unknown; available: auto, cpu"):
        Model.load(backend="gpu")
    monkeypatch.setattr(backends, "available", lambda: ["auto", "cpu"])
    for name in ("cuda", "coreml", "directml"):
        with pytest.raises(UsageError, match=f"backend '{name}' is not available; it needs .*; available: auto, cpu"):
            Model.load(backend=name)


@pytest.mark.skipif("cuda" in backends.available(), reason="ONNX Runtime was built with CUDA here")
def test_an_accelerator_that_does_not_start_is_not_replaced_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "available", lambda: ["auto", "cpu", "cuda"])
    not_built = pytest.warns(UserWarning, match="CUDAExecutionProvider")
    with not_built, pytest.raises(UsageError, match="backend 'cuda' does not start; it needs an NVIDIA GPU"):
        Model.load(backend="cuda")


@pytest.mark.parametrize("backend", [backends.CPU, *HERE])
def test_the_network_gives_the_places_that_reach_the_least_score(backend: str) -> None:
    network = backends.open_network(SHIPPED, backend)
    pixels = cv2.resize(images.read(SAMPLES[0]), (416, 320))
    everywhere = network.run(pixels, np.zeros(3, dtype=np.float32))
    assert (everywhere.shape, everywhere.dtype) == ((52 * 40 + 26 * 20 + 13 * 10, 7), np.float32)
    least = np.array([0.3, 0.5, 0.9], dtype=np.float32)
    some = network.run(pixels, least)
    expected = everywhere[(everywhere[:, 4:] >= least).any(axis=1)]
    assert 10 < len(expected) < 500
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-3)
    none = network.run(pixels, np.ones(3, dtype=np.float32))
    assert none.shape == (0, 7)


def _needs(backend: str) -> None:
    if backend not in backends.available():
        pytest.skip(f"backend {backend} is not on this computer")


@pytest.mark.parametrize("backend", [name for name in backends.NAMES if name not in (backends.AUTO, backends.CPU)])
def test_every_backend_finds_the_same_cells(backend: str, model: Model) -> None:
    _needs(backend)
    other = Model.load(backend=backend, workers=2)
    assert other.card == model.card
    for path in SAMPLES:
        rgb = images.read(path)
        expected, cells = finder.find(model, rgb).cells, finder.find(other, rgb).cells
        assert cells.counts() == expected.counts(), path
        np.testing.assert_allclose(cells.xyxy, expected.xyxy, atol=0.05)


@pytest.mark.parametrize("backend", [backends.CPU, backends.OPENVINO])
def test_what_is_no_network_is_said_to_be_none(tmp_path: Path, backend: str) -> None:
    _needs(backend)
    (tmp_path / "text.onnx").write_text("RBC,WBC\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"text\.onnx: is not an ONNX model that can be run"):
        Model.load(tmp_path / "text.onnx", backend)


def test_openvino_sends_word_of_nothing() -> None:
    _needs(backends.OPENVINO)
    code = (
        "import sys, socket\n"
        "def refuse(*_): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from detector.vision.model import Model\n"
        "Model.load(backend='openvino')\n"
        "print([name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
