"""The service's own description is true: what it allows is answered as it says, and nothing ends in a fault of the service."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from asking import TOKEN, Client, bearer
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

requests = pytest.importorskip("requests", reason="needs the dev extra: pip install -e '.[dev]'")
schemathesis = pytest.importorskip("schemathesis", reason="needs the dev extra: pip install -e '.[dev]'")

EXAMPLES = 8
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "ignored_auth",
)


def operations(description: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method, path) for path, own in description["paths"].items() for method in own]


def test_everything_is_described(client: Client) -> None:
    description = client.http.get("/openapi.json").json()
    listed = operations(description)
    assert ("post", "/v1/jobs") in listed
    for method, path in listed:
        own = description["paths"][path][method]
        assert own["summary"]
        if path.startswith("/v1") or path == "/metrics":
            assert own["security"] == [{"HTTPBearer": []}], path
            assert "401" in own["responses"], path
        assert "HTTPValidationError" not in str(own), path


@pytest.mark.slow
def test_its_own_description_finds_no_fault(client: Client, pictures: dict[str, bytes]) -> None:
    job = client.form("/v1/jobs", pictures).json()["id"]
    client.finished(job)
    schema = schemathesis.openapi.from_url(f"{client.service.url}openapi.json")
    schemathesis.checks.load_all_checks()
    modes = schemathesis.GenerationMode
    tried: set[str] = set()
    with requests.Session() as session:
        for result in schema.get_all_operations():
            operation = result.ok()
            tried.add(operation.label)
            for mode in (modes.POSITIVE, modes.NEGATIVE):
                ask_at_random(operation.as_strategy(generation_mode=mode), session)
            if "{job_id}" in operation.path and operation.method != "delete":
                ask_at_random(operation.as_strategy(path_parameters={"job_id": job}), session)
    assert len(tried) == len(operations(client.http.get("/openapi.json").json()))
    faults = [event for event in client.log() if event["event"] == "request" and event["status"] >= 500]
    assert faults == []


def ask_at_random(cases: SearchStrategy[Any], session: Any) -> None:
    """Ask what a description allows, or does not, and hold each answer to it.

    Raises:
        Exception: an answer is not as described.
    """

    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(case=cases)
    def ask(case: Any) -> None:
        case.call_and_validate(session=session, headers=bearer(TOKEN), checks=checks)

    with suppress(Unsatisfiable):  # nothing is there that could be wrong
        ask()
