"""Fast training steps on a CPU: each means is chosen by asking the machine, and left off where it does not help."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from detector.vision.model import processors

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of glibc's `mallopt`: free memory from which it goes back to the system, and blocks mapped one by one."""
_TRIM_DEFAULT, _MMAP_DEFAULT = 128 * 1024, 65536


@dataclass(frozen=True)
class Steps:
    """How a CPU computes the steps of a training."""

    threads: int
    """Threads that compute."""
    channels_last: bool
    """Features lie pixel by pixel, so that convolutions need not reorder them."""
    bfloat16: bool
    """The network, but not the loss, computes in bfloat16."""
    keep_memory: bool
    """Memory of a step is kept for the next one, which need not ask the system for it again, zeroed and page by page."""

    def __str__(self) -> str:
        means = {"channels-last": self.channels_last, "bfloat16": self.bfloat16, "memory kept": self.keep_memory}
        return ", ".join([f"threads {self.threads}", *(name for name, used in means.items() if used)])


def ask(threads: int | Literal["auto"] = "auto") -> Steps:
    """How this machine trains fastest; the number of threads may be given."""
    import torch

    one_dnn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    x86 = one_dnn and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return Steps(
        threads=cores() if threads == "auto" else threads,
        channels_last=x86,
        bfloat16=x86 and _computes_bfloat16(),
        keep_memory=_glibc() is not None,
    )


def cores() -> int:
    """Cores that this process may use; the two halves of one core would only wait for each other."""
    import psutil

    return min(psutil.cpu_count(logical=False) or processors(), processors())


def loaders(batch_bytes: int) -> int:
    """Processes that prepare batches while others are computed: one where it can be forked and has a core, else none.

    What it prepares ahead, up to five batches, is handed over in shared memory, which some containers have little of.
    """
    if sys.platform != "linux" or cores() < 2:
        return 0
    try:
        return int(shutil.disk_usage("/dev/shm").free >= 10 * batch_bytes)  # noqa: S108
    except OSError:
        return 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy multiply on one thread, in this process and in those forked in the block.

    Its other threads would wait for cores on which the steps of a training are computed: changing a stain then takes ten times as long.
    """
    from threadpoolctl import ThreadpoolController

    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        yield


def speed_up(model: Any, steps: Steps) -> None:
    """Let a training of this Ultralytics model compute so if it is on a CPU; on any other device nothing is changed."""
    model.add_callback("on_train_start", partial(begin, steps))
    # The last validation selects the device again, and with it Ultralytics' own number of threads.
    model.add_callback("on_val_start", partial(_use_threads, steps))
    model.add_callback("teardown", partial(_end, steps))


def begin(steps: Steps, trainer: Any) -> None:
    """Prepare an Ultralytics trainer whose model, averaged model and optimizer are made and whose first step is to come."""
    import torch
    from ultralytics.utils import LOGGER
    from ultralytics.utils.torch_utils import unwrap_model

    if trainer.device.type != "cpu":
        return
    _use_threads(steps, trainer)
    if steps.channels_last:
        # Batches follow: a convolution with such weights makes its output, and all that is made of it, the same.
        trainer.model.to(memory_format=torch.channels_last)
        trainer.ema.ema.to(memory_format=torch.channels_last)
    if steps.bfloat16:
        # In a process of several, the network lies within what keeps them alike.
        _compute_in_bfloat16(unwrap_model(trainer.model))
    if steps.keep_memory:
        _keep_memory(True)
    LOGGER.info(f"Computing on the CPU: {steps}")


def _end(steps: Steps, trainer: Any) -> None:
    if trainer.device.type == "cpu" and steps.keep_memory:
        _keep_memory(False)


def _use_threads(steps: Steps, worker: Any) -> None:
    """Set the threads for a trainer or validator on a CPU; Ultralytics would leave one core idle and use eight at most."""
    import torch

    if worker.device.type == "cpu":
        torch.set_num_threads(steps.threads)


def _compute_in_bfloat16(network: Any) -> None:
    """Let a network predict under autocast and hand out float32: boxes in the loss need more digits than bfloat16 has."""
    import torch

    exact = network.predict

    def predict(*arguments: Any, **options: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            predicted = exact(*arguments, **options)
        return _in_float32(predicted)

    network.predict = predict


def _in_float32(output: Any) -> Any:
    import torch

    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, dict):
        return {key: _in_float32(value) for key, value in output.items()}
    if isinstance(output, (list, tuple)):
        return type(output)(_in_float32(value) for value in output)
    return output


def _computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is computed too, and slower than float32."""
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, where it is one whose memory can be tuned."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def _keep_memory(keep: bool) -> None:
    library = _glibc()
    assert library is not None
    library.mallopt(_MMAP_MAX, 0 if keep else _MMAP_DEFAULT)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1 if keep else _TRIM_DEFAULT)
    if not keep:
        library.malloc_trim(0)
