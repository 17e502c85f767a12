"""Clients of a service."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from detector.service.service import Service

TOKEN = "a token of twenty-four".replace(" ", "-")
PATIENCE_S = 240
"""A worker opens its model in a second; on a busy machine in many."""
SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"


class Client:
    """Asks a service, and reads its log."""

    def __init__(self, service: Service, log: io.StringIO) -> None:
        self.service, self._log = service, log
        # Nothing is encrypted here, and preparing for it takes longer than most answers.
        self.http = httpx.Client(verify=False, base_url=service.url, timeout=PATIENCE_S, headers=bearer(TOKEN))

    def field(self, content: bytes, kind: str = "image/jpeg", **query: Any) -> Any:
        """The answer for one picture."""
        return self.http.post("/v1/field", content=content, params=query, headers={"Content-Type": kind})

    def form(self, path: str, pictures: Mapping[str, bytes], headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        """The answer for the files of a form."""
        files = [("field", (name, content, "image/jpeg")) for name, content in pictures.items()]
        return self.http.post(path, files=files, params=query, headers=dict(headers or {}))

    def finished(self, job_id: str) -> dict[str, Any]:
        """A job when nothing more will become of it."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            state: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").json()
            if state["finished"] is not None:
                return state
            time.sleep(0.05)
        raise AssertionError(f"unfinished: {state}")

    def log(self) -> list[dict[str, Any]]:
        """Its events so far."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]


Start = Callable[..., Client]


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}
