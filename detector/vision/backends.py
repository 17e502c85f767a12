"""The programs that run a network: ONNX Runtime, on the processor or on an accelerator, and OpenVINO."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError, UsageError
from detector.texts import one_line

AUTO = "auto"
CPU = "cpu"
OPENVINO = "openvino"

_PROVIDERS: dict[str, tuple[str, Mapping[str, Any]]] = {
    CPU: ("CPUExecutionProvider", {}),
    # Its usual way to multiply rounds to ten bits.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": 0}),
    "coreml": ("CoreMLExecutionProvider", {"ModelFormat": "MLProgram", "AllowLowPrecisionAccumulationOnGPU": 0}),
    "directml": ("DmlExecutionProvider", {}),
}
_NEEDS = {
    OPENVINO: "pip install 'smearcount[openvino]'",
    "cuda": "an NVIDIA GPU, and onnxruntime-gpu in place of onnxruntime: pip uninstall onnxruntime && pip install onnxruntime-gpu",
    "coreml": "macOS, where onnxruntime brings it",
    "directml": "Windows, and onnxruntime-directml in place of onnxruntime: "
    "pip uninstall onnxruntime && pip install onnxruntime-directml",
}
PIXELS, LEAST = "pixels", "least"
"""What goes into a network, by name."""
PRECISION = "float32"
"""Of every backend: bfloat16 and INT8 count too many fields otherwise (`docs/performance.md`)."""
NAMES = (AUTO, CPU, *_NEEDS)
"""What can be asked for; `AUTO` is `CPU`, since no other was found faster (`docs/performance.md`)."""
EXPERIMENTAL = ("cuda", "coreml", "directml")
"""Those of `NAMES` that are written, and that nobody has run."""


@dataclass(frozen=True)
class Network:
    """An open network; safe to share between threads."""

    backend: str
    """One of `NAMES`, never `AUTO`."""
    program: str
    """What runs it, with its version."""
    metadata: Mapping[str, str]
    """What its file says of it."""
    run: Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]
    """From the pixels of a crop, of shape (h, w, 3), RGB, and the least score of each class, of shape (classes,), to x1, y1, x2, y2 in
    pixels and the score of every class, in float32, of shape (k, 4 + classes), wherever a class reaches its least score."""
    run_within: Callable[[NDArray[np.uint8], NDArray[np.float32], float], NDArray[np.float32]]
    """The same; it fails where that takes more seconds than the last argument says."""


def open_network(path: Path, backend: str = AUTO, workers: int = 1, threads: int = 1) -> Network:
    """Open an ONNX file.

    Args:
        backend: one of `NAMES`.
        workers: calls of `run` at a time, beyond which one waits for another.
        threads: of the CPU that work on one call. No result depends on either, but for the last bits.

    Raises:
        UsageError: the backend is not known or not there; the message says which are, and what the one asked for needs.
        ModelError: the file holds no network that can be run.
    """
    check(backend)
    try:
        if backend == OPENVINO:
            return _openvino(path, workers, threads)
        return _onnxruntime(path, CPU if backend == AUTO else backend, threads)
    except UsageError:
        raise
    # Neither program's exceptions share a base class but Exception.
    except Exception as error:
        reason = one_line(error)
        raise ModelError(
            f"{path}: is not an ONNX model that can be run ({reason}); give an .onnx file made by detector.train or detector.export"
        ) from None


def check(backend: str) -> None:
    """Refuse a backend by its name.

    Raises:
        UsageError: it is not known or not there.
    """
    if backend not in NAMES:
        raise UsageError(f"backend {backend!r} is unknown; available: {', '.join(available())}")
    if backend not in available():
        raise UsageError(f"backend {backend!r} is not available; it needs {_NEEDS[backend]}; available: {', '.join(available())}")


def available() -> list[str]:
    """Names that can be asked for on this computer."""
    onnxruntime = _runtime()
    providers = onnxruntime.get_available_providers()
    here = [name for name, (provider, _) in _PROVIDERS.items() if provider in providers]
    return [AUTO, *here, *[OPENVINO] * _has_openvino()]


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _runtime() -> Any:
    """ONNX Runtime, told to report nothing to its maker.

    From version 1.32 on Linux it sends what computer it runs on after ten seconds, whatever its own switch says; only this variable, set
    before its first import, stops it.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _onnxruntime(path: Path, backend: str, threads: int) -> Network:
    onnxruntime = _runtime()
    session = _session(onnxruntime, path, backend, threads)
    lock = threading.Lock()

    def run(pixels: NDArray[np.uint8], least: NDArray[np.float32]) -> NDArray[np.float32]:
        given = {PIXELS: pixels, LEAST: least}
        if backend == CPU:
            return np.asarray(session.run(None, given)[0])
        # DirectML allows one call at a time, and no accelerator gains by more.
        with lock:
            return np.asarray(session.run(None, given)[0])

    def run_within(pixels: NDArray[np.uint8], least: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
        how = onnxruntime.RunOptions()
        ending = threading.Timer(seconds, setattr, (how, "terminate", True))
        ending.daemon = True
        ending.start()
        try:
            return np.asarray(session.run(None, {PIXELS: pixels, LEAST: least}, how)[0])
        finally:
            ending.cancel()

    program = f"ONNX Runtime {onnxruntime.__version__}, {session.get_providers()[0]}"
    return Network(backend, program, session.get_modelmeta().custom_metadata_map, run, run_within)


def open_session(path: Path) -> Any:
    """A session of ONNX Runtime for a small network of another kind, on one thread of the processor; safe to share between threads."""
    return _session(_runtime(), path, CPU, 1)


def _session(onnxruntime: Any, path: Path, backend: str, threads: int) -> Any:
    provider, settings = _PROVIDERS[backend]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # a tenth less memory, no slower, and DirectML asks for it
    options.log_severity_level = 4  # what it calls errors is raised too, and told in one line
    session = onnxruntime.InferenceSession(str(path), options, providers=[(provider, dict(settings))])
    if session.get_providers()[0] != provider:
        # It goes on with the processor where the provider's own libraries are missing.
        raise UsageError(f"backend {backend!r} does not start; it needs {_NEEDS[backend]}; available: {', '.join(available())}")
    return session


def _openvino(path: Path, workers: int, threads: int) -> Network:
    # Where openvino-telemetry is installed, importing openvino sends word of it; a module that is None cannot be imported.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
        "ENABLE_CPU_PINNING": False,  # other programs have their share of the processors too
    }
    compiled = core.compile_model(model, "CPU", settings)
    described = dict(model.rt_info.items()).get("framework", {})
    own = threading.local()

    def run(pixels: NDArray[np.uint8], least: NDArray[np.float32]) -> NDArray[np.float32]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer({PIXELS: pixels, LEAST: least}, share_inputs=True)
        return np.array(own.request.get_output_tensor(0).data)

    def run_within(pixels: NDArray[np.uint8], least: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
        request = compiled.create_infer_request()
        request.start_async({PIXELS: pixels, LEAST: least})
        if not request.wait_for(round(1000 * seconds)):
            request.cancel()
            raise TimeoutError
        return np.array(request.get_output_tensor(0).data)

    program = f"OpenVINO {metadata.version('openvino')}, CPU"
    return Network(OPENVINO, program, {key: str(value.value) for key, value in described.items()}, run, run_within)
