"""Cameras that Micro-Manager drives, through pymmcore-plus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import MissingExtraError, SourceError
from detector.streams.sources.source import Fault, Frame, Source
from detector.texts import one_line

DEMO = "demo"
"""Instead of a configuration file: Micro-Manager's own demo camera."""

_PAUSE_S = 0.002


class MicroManager(Source):
    """The camera of a Micro-Manager configuration, in continuous acquisition."""

    live = True
    ends = False
    nominal_fps: float | None = None

    def __init__(self, config: str) -> None:
        """Name a configuration.

        Args:
            config: path of the .cfg file that Micro-Manager's hardware wizard wrote, or `demo`.

        Raises:
            MissingExtraError: pymmcore-plus is not installed.
            SourceError: there is no such file.
        """
        try:
            import pymmcore_plus  # noqa: F401
        except ImportError:
            raise MissingExtraError("pymmcore-plus", "micromanager", "a Micro-Manager camera") from None
        self.name = f"micromanager:{config}"
        if config != DEMO and not Path(config).is_file():
            raise SourceError(
                f"{self.name}: no such file; give the .cfg of Micro-Manager's hardware wizard, or micromanager:demo"
            )
        self._config = config

    def __iter__(self) -> Iterator[Frame | Fault]:
        core = self._connected()
        try:
            core.startContinuousSequenceAcquisition(0)
            began, index = time.monotonic(), 0
            while core.isSequenceRunning():
                waiting = core.getRemainingImageCount()
                if not waiting:
                    time.sleep(_PAUSE_S)
                    continue
                pixels = core.popNextImage()
                # A picture that waited behind others is old; each is still received, and the newest wins.
                yield Frame(index, time.monotonic() - began, to_rgb(pixels, core.getImageBitDepth()))
                index += 1
        except RuntimeError as error:
            raise SourceError(f"{self.name}: {one_line(error)}") from None
        finally:
            _let_go(core)

    def _connected(self) -> Any:
        from pymmcore_plus import CMMCorePlus

        core = CMMCorePlus()
        config = self._config
        try:
            if config == DEMO:
                config = _demo(core)
            core.loadSystemConfiguration(config)
            if not core.getCameraDevice():
                raise SourceError(f"{self.name}: names no camera; set one as Core-Camera in the configuration")
        except (RuntimeError, OSError) as error:
            _let_go(core)
            raise SourceError(f"{self.name}: cannot be loaded ({one_line(error)})") from None
        return core


def to_rgb(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """A camera's picture, (h, w) or (h, w, 3) with `bits` of depth, as RGB of 8 bits.

    The scale is the camera's depth, not the brightest value, so that light does not change from frame to frame.
    """
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.uint32) * 255 // ((1 << bits) - 1)).clip(0, 255).astype(np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3])


def _demo(core: Any) -> str:
    """The demo's configuration; its adapters come from Micro-Manager where that is installed, else from a test package."""
    try:
        import mm_test_adapters

        libraries = mm_test_adapters.device_adapter_path()
        core.setDeviceAdapterSearchPaths([libraries])
        return str(Path(libraries) / "MMConfig_demo.cfg")
    except ImportError:
        return "MMConfig_demo.cfg"


def _let_go(core: Any) -> None:
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()
    core.unloadAllDevices()
