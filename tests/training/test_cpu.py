"""Fast steps on a CPU: chosen by what the machine has, and equal to plain steps."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from detector.training import cpu

# Looked for and not imported: ultralytics changes how Pillow opens images in its whole process.
pytestmark = pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a machine is made to answer; one of two cores with four threads and AVX2 unless changed."""
    import psutil
    import torch

    asked = SimpleNamespace(instructions="AVX2", one_dnn=True, avx512_bf16=False, amx=False, cores=2, processors=4)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: asked.instructions)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: asked.one_dnn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: asked.avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: asked.amx)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: asked.processors if logical else asked.cores)
    monkeypatch.setattr(cpu, "processors", lambda: asked.processors)
    return asked


@pytest.mark.parametrize(
    ("answers", "channels_last", "bfloat16"),
    [
        ({}, True, False),
        ({"instructions": "AVX512"}, True, False),
        ({"instructions": "AVX512", "avx512_bf16": True}, True, True),
        ({"instructions": "AVX512", "amx": True}, True, True),
        ({"instructions": "AVX512", "amx": True, "one_dnn": False}, False, False),
        ({"instructions": "DEFAULT"}, False, False),
        ({"instructions": "SVE256"}, False, False),
    ],
)
def test_each_means_is_used_where_the_processor_is_made_for_it(
    machine: SimpleNamespace, answers: dict[str, object], channels_last: bool, bfloat16: bool
) -> None:
    vars(machine).update(answers)
    steps = cpu.ask()
    assert (steps.channels_last, steps.bfloat16) == (channels_last, bfloat16)


def test_a_torch_that_cannot_be_asked_for_bfloat16_computes_in_float32(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    machine.amx = machine.avx512_bf16 = True
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not cpu.ask().bfloat16


@pytest.mark.parametrize(
    ("cores", "processors", "threads"),
    [(2, 4, 2), (8, 4, 4), (None, 4, 4), (1, 1, 1)],
)
def test_there_is_a_thread_for_each_core_that_is_ours(
    machine: SimpleNamespace, cores: int | None, processors: int, threads: int
) -> None:
    machine.cores, machine.processors = cores, processors
    assert cpu.ask().threads == threads
    assert cpu.ask(7).threads == 7


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_memory_is_left_to_systems_without_glibc(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert not cpu.ask().keep_memory


@pytest.mark.parametrize(
    ("system", "cores", "free", "expected"),
    [("linux", 2, 1000, 1), ("linux", 2, 999, 0), ("linux", 1, 1000, 0), ("darwin", 8, 1000, 0), ("win32", 8, 1000, 0)],
)
def test_batches_are_prepared_by_another_process_where_it_has_a_core_and_room(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, system: str, cores: int, free: int, expected: int
) -> None:
    machine.cores = machine.processors = cores
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert cpu.loaders(100) == expected


def _blas_threads() -> int:
    import threadpoolctl

    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas")


@pytest.mark.skipif(sys.platform != "linux" or cpu.cores() < 2, reason="needs processes that can be forked, and two cores")
def test_numpy_multiplies_on_one_thread_in_a_process_forked_in_the_block() -> None:
    before = _blas_threads()
    if before == 1:
        pytest.skip("NumPy is given one thread here, as by OMP_NUM_THREADS=1")
    with cpu.one_blas_thread(), multiprocessing.get_context("fork").Pool(1) as pool:
        within = pool.apply(_blas_threads)
        here = _blas_threads()
    assert (within, here, _blas_threads()) == (1, 1, before)


@pytest.mark.slow
@pytest.mark.skipif(not cpu.ask().keep_memory, reason="needs glibc")
def test_kept_memory_is_not_asked_for_again_and_given_back_at_the_end() -> None:
    """Blocks of 64 MiB, which glibc by itself maps anew each time: each touched page is a fault.

    They are asked of glibc itself: an aligned block, as torch asks for, need not fit where the last one lay.
    """
    code = (
        "import ctypes, resource\n"
        "from pathlib import Path\n"
        "from detector.training import cpu\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    block = libc.malloc(64 << 20)\n"
        "    ctypes.memset(block, 1, 64 << 20)\n"
        "    libc.free(block)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "def pages(): return int(Path('/proc/self/statm').read_text().split()[1])\n"
        "plain = min(faults() for _ in range(6))\n"
        "cpu._keep_memory(True)\n"
        "kept = min(faults() for _ in range(6))\n"
        "held = pages()\n"
        "cpu._keep_memory(False)\n"
        "print(plain, kept, held - pages())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    plain, kept, given_back = map(int, done.stdout.split())
    block = (64 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert plain >= 0.9 * block
    assert kept <= 0.1 * block
    assert given_back >= 0.9 * block


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_other_devices_are_left_as_they_are(device: str) -> None:
    import torch

    threads = torch.get_num_threads()
    # No model, no averaged model: anything done to them would fail.
    trainer = SimpleNamespace(device=torch.device(device))
    calls: dict[str, list[object]] = {}
    model = SimpleNamespace(add_callback=lambda event, call: calls.setdefault(event, []).append(call))
    cpu.speed_up(model, cpu.Steps(threads=threads + 1, channels_last=True, bfloat16=True, keep_memory=True))
    for call in [call for event in calls.values() for call in event]:
        call(trainer)  # type: ignore[operator]
    assert torch.get_num_threads() == threads


TRAININGS = """
import json, sys
from pathlib import Path
from detector.training import cpu, fit, framework, settings
framework.prepare(Path("state"))
import torch
from ultralytics.nn.tasks import load_checkpoint
from detector.training.trainer import Trainer

def trained(name, steps, **options):
    common = dict(image_px=64, batch=4, device="cpu", close_mosaic_epochs=0, warmup_epochs=0)
    chosen = settings.load(None, common | options)
    arguments = fit.arguments(chosen, Path("data/data.yaml"), Path("runs") / name) | {"plots": False, "augmentations": []}
    told = {"losses": [], "strides": set(), "types": set(), "threads": set()}
    def look(trainer):
        told["losses"].append([float(value) for value in trainer.loss_items.values()])
        told["threads"].add(torch.get_num_threads())
        told["loaders"] = [trainer.train_loader.num_workers, trainer.test_loader.num_workers, trainer.args.workers]
        told["strides"].add(str([
            m.model[0].conv.weight.is_contiguous(memory_format=torch.channels_last) for m in (trainer.model, trainer.ema.ema)]))
    def hook(trainer):
        trainer.model.model[2].register_forward_hook(lambda module, given, out: told["types"].add(str(out.dtype)))
        told["parameters"] = str({p.dtype for p in trainer.model.parameters()})
    model = fit.start(chosen.model)
    cpu.speed_up(model, steps)
    model.add_callback("on_train_start", hook)
    model.add_callback("on_train_batch_end", look)
    model.add_callback("on_val_batch_end", lambda validator: told["threads"].add(torch.get_num_threads()))
    model.train(trainer=Trainer, **arguments)
    saved, _ = load_checkpoint(Path("runs") / name / "weights" / "last.pt")
    told["saved"] = str(saved.model[0].conv.weight.is_contiguous())
    return {key: sorted(value) if isinstance(value, set) else value for key, value in told.items()}

plain = cpu.Steps(1, False, False, False)
begun = trained("begun", plain, model=sys.argv[1], epochs=10)
# Another process would draw the changes to the fields otherwise.
cpu.loaders = lambda batch_bytes: 0
# Small steps, so that the noise of rounding does not grow from one to the next.
rest = dict(model="runs/begun/weights/last.pt", epochs=2, optimizer="SGD", learning_rate=1e-3)
made = {
    "begun": begun,
    "plain": trained("plain", plain, **rest),
    "fast": trained("fast", cpu.Steps(2, True, False, cpu.ask().keep_memory), **rest),
    "bfloat16": trained("bfloat16", cpu.Steps(1, True, True, False), **rest),
}
Path("made.json").write_text(json.dumps(made))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[object]]]:
    """What three short trainings of one model on the same fields did: plain, fast, and fast with bfloat16 forced on."""
    folder = tmp_path_factory.mktemp("cpu")
    for arguments in (
        ("synth", "--out", "smears", "--fields", "16", "--size", "96x96", "--rbc", "6", "--um-per-px", "0.3"),
        ("convert", "smears/truth.json", "--out", "data", "--splits", "0.7/0.2/0.1"),
    ):
        done = subprocess.run([sys.executable, "-m", f"detector.{arguments[0]}", *arguments[1:]], cwd=folder, capture_output=True)
        assert done.returncode == 0, done.stderr
    program = [sys.executable, "-c", TRAININGS, str(Path(__file__).with_name("small.yaml"))]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "made.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.slow
def test_fast_steps_lose_the_same_as_plain_steps(made: dict[str, dict[str, list[object]]]) -> None:
    plain, fast = made["plain"]["losses"], made["fast"]["losses"]
    assert len(plain) == 6
    for one, other in zip(plain, fast, strict=True):
        assert other == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_fast_steps_are_taken_as_asked(made: dict[str, dict[str, list[object]]]) -> None:
    assert (made["plain"]["threads"], made["fast"]["threads"]) == ([1], [2])
    assert (made["plain"]["strides"], made["fast"]["strides"]) == (["[False, False]"], ["[True, True]"])
    assert [made[kind]["types"] for kind in ("plain", "fast", "bfloat16")] == [
        ["torch.float32"],
        ["torch.float32"],
        ["torch.bfloat16"],
    ]


@pytest.mark.slow
def test_batches_to_train_on_are_prepared_beside_the_steps(made: dict[str, dict[str, list[object]]]) -> None:
    assert made["begun"]["loaders"] == [cpu.loaders(4 * 3 * 64**2), 0, 0]
    assert made["plain"]["loaders"] == [0, 0, 0]


@pytest.mark.slow
def test_bfloat16_learns_nearly_the_same_in_weights_of_full_precision(made: dict[str, dict[str, list[object]]]) -> None:
    assert made["bfloat16"]["parameters"] == "{torch.float32}"
    for one, other in zip(made["plain"]["losses"], made["bfloat16"]["losses"], strict=True):
        assert other == pytest.approx(one, rel=0.05)


@pytest.mark.slow
def test_checkpoints_lie_as_ultralytics_writes_them(made: dict[str, dict[str, list[object]]]) -> None:
    assert {made[kind]["saved"] for kind in made} == {"True"}
