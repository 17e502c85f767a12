"""The device that a training asks for."""

from __future__ import annotations

import re

from detector.errors import UsageError


def require(device: str, batch: int) -> None:
    """Refuse a device that torch does not have on this computer, and a batch that several GPUs cannot share.

    Args:
        device: auto, cpu, mps, or numbers of GPUs such as 0 or 0,1.
        batch: fields a step, on all GPUs together.

    Raises:
        UsageError: says what would work here.
    """
    import torch

    gpus = torch.cuda.device_count()
    here = ["auto", "cpu", *(["mps"] if torch.backends.mps.is_available() else []), *map(str, range(gpus))]
    if device in here:
        return
    numbers = [int(number) for number in device.split(",")] if re.fullmatch(r"\d+(,\d+)+", device) else []
    if not numbers or max(numbers) >= gpus or len(set(numbers)) < len(numbers):
        several = f", or several GPUs such as {','.join(map(str, range(gpus)))}" if gpus > 1 else ""
        raise UsageError(f"--device {device}: is not available; available: {', '.join(here)}{several}")
    if batch % len(numbers):
        raise UsageError(f"--batch {batch}: must be a multiple of {len(numbers)}, the number of GPUs in --device {device}")
