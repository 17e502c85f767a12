"""A running service, and clients of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from asking import PATIENCE_S, SAMPLES, TOKEN, Client, Start

from detector.service.service import Service, ServiceOptions


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts services with options of their own, and ends them when the file is done."""
    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(package, reason="needs the service extra: pip install -e '.[service]'")
    running: list[Client] = []

    def begin(**options: Any) -> Client:
        state = options.pop("state", None) or tmp_path_factory.mktemp("state")
        log = io.StringIO()
        service = Service(ServiceOptions(address="0", state=state, threads=2, **options), TOKEN, log)
        running.append(Client(service.__enter__(), log))
        return running[-1]

    yield begin
    for client in running:
        client.http.close()
        client.service.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client(start: Start) -> Client:
    """A service that is ready."""
    own = start(time_s=PATIENCE_S)
    own.service.wait_for_model(lambda: False)
    return own


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Four fields of two smears by their names."""
    return {
        f"{smear}/{path.name}": path.read_bytes()
        for smear in ("smear_a", "smear_b")
        for path in sorted((SAMPLES / smear).glob("*.jpg"))[:2]
    }
