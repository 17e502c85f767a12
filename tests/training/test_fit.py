"""A device that is not there is refused before anything is written."""

from __future__ import annotations

import pytest

from detector.errors import UsageError
from detector.training import fit

torch = pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """As many GPUs as the test asks for, and no Apple GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("gpus", "name"), [(0, "auto"), (0, "cpu"), (1, "0"), (4, "3"), (2, "0,1"), (4, "1,3")], indirect=["gpus"]
)
def test_what_is_there_may_be_used(gpus: None, name: str) -> None:
    fit.require_device(name, 16)


@pytest.mark.parametrize(
    ("gpus", "name", "message"),
    [
        (0, "0", "--device 0: is not available; available: auto, cpu$"),
        (0, "mps", "available: auto, cpu$"),
        (1, "0,1", "available: auto, cpu, 0$"),
        (2, "2", "available: auto, cpu, 0, 1, or several GPUs such as 0,1$"),
        (2, "0,0", "--device 0,0"),
        (2, "cuda", "--device cuda"),
        (2, "", "--device : "),
    ],
    indirect=["gpus"],
)
def test_another_is_refused_with_those_that_are_there(gpus: None, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit.require_device(name, 16)


@pytest.mark.parametrize("gpus", [4], indirect=True)
def test_a_batch_is_shared_by_all_gpus(gpus: None) -> None:
    fit.require_device("0,1,2", 9)
    with pytest.raises(UsageError, match="--batch 16: must be a multiple of 3"):
        fit.require_device("0,1,2", 16)


def test_an_apple_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    fit.require_device("mps", 16)
