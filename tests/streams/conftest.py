"""Servers that end with their test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from staging import MjpegServer


@pytest.fixture
def mjpeg() -> Iterator[MjpegServer]:
    """A server that runs."""
    server = MjpegServer()
    server.start()
    yield server
    server.kill()
