"""The routes of the service and their OpenAPI description: who is let in, what is taken, and what is answered."""

from __future__ import annotations

import asyncio
import secrets
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as RoutingError
from starlette.requests import ClientDisconnect

from detector.errors import OutputError, UsageError
from detector.output import serving
from detector.service.intake import FORM, Limits, take_form, take_picture
from detector.service.jobs import RESULT, Intake, Job, Settings, files_of
from detector.service.lanes import FullError, Lane
from detector.service.schema import About, Counts, Health, JobList, JobState, Refusal
from detector.shipped import version
from detector.texts import MEBIBYTE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from detector.service.service import Service

ABOUT = (
    "Counts red cells, white cells and platelets in photographs of blood smears, as `smearcount count` does. "
    "Not a medical device: not to be used for diagnosis."
)
FileName = Literal["counts.csv", "smears.csv", "detections.json", "run.json", "report.html", "tiles.csv"]
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_REASONS = {
    400: "the request is not understood",
    401: "the token is missing or wrong",
    404: "there is none of that name",
    408: "the body came too slowly",
    409: "the job is not in a state for this",
    413: "the body is too large",
    415: "the body is of another type",
    422: "a value cannot be, or the picture cannot be counted",
    429: "as much is waiting as is taken; Retry-After says when to try again",
    503: "there is too little free space, or the service is not ready",
    504: "counting took longer than it may; submit it as a job",
}
_ASKED_OFTEN = ("/health/live", "/health/ready", "/metrics")
"""By what watches the service; not in the log."""
_LEFT = 499
"""The status in the log of a request whose client left; nobody gets it."""


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    described: dict[int | str, dict[str, Any]] = {code: {"model": Refusal, "description": _REASONS[code]} for code in codes}
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    for code in {429, 503} & set(codes):
        described[code]["headers"] = retry
    return described


_TAKING = _refusals(400, 401, 408, 413, 415, 422, 429, 503)
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one picture.",
        "content": dict.fromkeys(("application/octet-stream", "image/jpeg", "image/png", "image/tiff"), _BYTES),
    }
}
_FORM_BODY = {
    "requestBody": {
        "required": True,
        "description": "Pictures with their names; the part of a name before its last slash is its smear.",
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["field"],
                    "properties": {"field": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}},
                }
            }
        },
    }
}
_COUNTED: dict[str, Any] = {"model": Counts, "description": "What was counted."}

_Name = Annotated[str, Query(min_length=1, max_length=255)]
_Positive = Annotated[float | None, Query(gt=0, allow_inf_nan=False)]
_bearer = HTTPBearer(auto_error=False, description="The service's token, where it has one.")


async def _let_in(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
    token = _service(request).token
    if token and not secrets.compare_digest((given.credentials if given else "").encode(), token.encode()):
        raise HTTPException(401, "the token is missing or wrong; send it as: Authorization: Bearer TOKEN",
                            {"WWW-Authenticate": "Bearer"})  # fmt: skip


async def _settings(um_per_px: _Positive = None, rbc_per_ul: _Positive = None, ul_factor: _Positive = None) -> Settings:
    """Calibration, by the rules of `detector.count`.

    Raises:
        UsageError: it is not possible.
    """
    settings = Settings(um_per_px, rbc_per_ul, ul_factor)
    if settings != Settings():
        await run_in_threadpool(_check, settings)
    return settings


def _check(settings: Settings) -> None:
    # These import much, which few requests need.
    from detector.engines.job import check_calibration
    from detector.engines.options import CountOptions

    check_calibration(CountOptions([], **asdict(settings)))
    if settings.ul_factor is not None and settings.um_per_px is None:
        raise UsageError("ul_factor needs cells per mm²: give um_per_px too")


_Calibrated = Annotated[Settings, Depends(_settings)]
_open = APIRouter()
_closed = APIRouter(prefix="/v1", dependencies=[Depends(_let_in)], responses=_refusals(401))


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _limits(service: Service) -> Limits:
    return Limits(service.options.most_mb * MEBIBYTE, service.options.most_fields, service.options.time_s)


@asynccontextmanager
async def _intake(service: Service, lane: Lane) -> AsyncIterator[Intake]:
    """Room in a lane and on disk for a request; what comes of it and is no job is removed at the end."""
    with lane.room():
        service.check_space()
        intake = await run_in_threadpool(service.store.intake)
        try:
            yield intake
        finally:
            await run_in_threadpool(intake.drop)


# Counts on which a client waits


@_closed.post(
    "/field",
    summary="Count the cells in one picture",
    openapi_extra=_PICTURE_BODY,
    responses={200: _COUNTED, **_TAKING, **_refusals(504)},
)
async def field(
    request: Request,
    settings: _Calibrated,
    field: _Name = "field",
    smear: _Name = "smear",
    detections: Annotated[bool, Query(description="Also give each cell's box.")] = False,
) -> Response:
    """The picture is the body. It is answered when it is counted, and nothing of it is kept."""
    service = _service(request)
    async with _intake(service, service.fields) as intake:
        await take_picture(request, intake, field, smear, _limits(service))
        return await _counted(request, intake, settings, detections)


@_closed.post(
    "/batch",
    summary="Count the cells in several pictures",
    openapi_extra=_FORM_BODY,
    responses={200: _COUNTED, **_TAKING, **_refusals(504)},
)
async def batch(
    request: Request,
    settings: _Calibrated,
    smear: _Name = "smear",
    detections: Annotated[bool, Query(description="Also give each cell's box.")] = False,
) -> Response:
    """The pictures are the files of a form. They are answered when all are counted, and nothing of them is kept."""
    service = _service(request)
    async with _intake(service, service.fields) as intake:
        await take_form(request, intake, smear, _limits(service))
        return await _counted(request, intake, settings, detections)


async def _counted(request: Request, intake: Intake, settings: Settings, detections: bool) -> Response:
    left = asyncio.ensure_future(_gone(request))
    try:
        end = await _service(request).count(intake, settings, detections, left)
    finally:
        left.cancel()
    if end["end"] == "done":
        if len(intake.pictures) == 1 and end["unread"]:
            return _refuse(422, f"the picture cannot be counted: {end['first_unread']}")
        return Response(end["document"], media_type="application/json")
    if end["end"] == "late":
        return _refuse(504, f"{end['reason']}; submit it as a job")
    if end["end"] == "left":
        return Response(status_code=_LEFT)
    if end["end"] == "cancelled":
        return _refuse(503, "the service ends; try again later", {"Retry-After": "5"})
    return _refuse(422, f"it cannot be counted: {end['reason']}")


async def _gone(request: Request) -> None:
    """Returns when the client hangs up; its whole body has come before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


# Jobs


_job_answers: dict[int | str, dict[str, Any]] = {
    202: {"model": JobState, "description": "It is on disk, and will be counted."},
    200: {"model": JobState, "description": "This key named a job before; here it is."},
    **_TAKING,
}


@_closed.post("/jobs", summary="Submit pictures as a job", status_code=202, openapi_extra=_FORM_BODY, responses=_job_answers)
async def submit(
    request: Request,
    settings: _Calibrated,
    smear: _Name = "smear",
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=200, description="Your own name of the job: sent again, it names the same one."),
    ] = None,
) -> Response:
    """The job is on disk before this is answered, and is finished once, also where a worker or the service is killed."""
    service = _service(request)
    async with _intake(service, service.jobs) as intake:
        await take_form(request, intake, smear, _limits(service))
        job, is_new = await run_in_threadpool(service.submit, intake, settings, idempotency_key)
    return JSONResponse(JobState.of(job).model_dump(), 202 if is_new else 200, {"Location": f"/v1/jobs/{job.id}"})


@_closed.get("/jobs", summary="List jobs")
async def jobs(request: Request) -> JobList:
    """All that are unfinished, or were finished not long ago."""
    return JobList(jobs=[JobState.of(job) for job in _service(request).store.all()])


async def _named(request: Request, job_id: str) -> Job:
    job = _service(request).store.get(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job; finished ones are removed after a time")
    return job


_Named = Annotated[Job, Depends(_named)]


async def _done(job: _Named) -> Job:
    if job.state != "done":
        raise HTTPException(409, f"the job is {job.state}" + (f": {job.reason}" if job.reason else ""))
    return job


_Done = Annotated[Job, Depends(_done)]


@_closed.get("/jobs/{job_id}", summary="Where a job stands", responses=_refusals(404, 422))
async def state(job: _Named) -> JobState:
    """Its state, and how many pictures are done."""
    return JobState.of(job)


@_closed.post("/jobs/{job_id}/cancel", summary="End a job", responses=_refusals(404, 409, 422, 503))
async def cancel(request: Request, job: _Named) -> JobState:
    """Its pictures are removed; that it was cancelled can be asked until it is removed."""
    if not await run_in_threadpool(_service(request).cancel, job):
        raise HTTPException(409, f"the job is {job.state} already")
    return JobState.of(job)


@_closed.delete("/jobs/{job_id}", summary="Remove a job", status_code=204, responses=_refusals(404, 422, 503))
async def remove(request: Request, job: _Named) -> Response:
    """It is ended if need be, and all that belongs to it is removed."""
    await run_in_threadpool(_service(request).remove, job)
    return Response(status_code=204)


@_closed.get("/jobs/{job_id}/result", summary="What a job counted", responses={200: _COUNTED, **_refusals(404, 409, 422)})
async def result(request: Request, job: _Done) -> Response:
    """The same as the answer for a batch."""
    return Response(await run_in_threadpool(_service(request).document, job), media_type="application/json")


@_closed.get(
    "/jobs/{job_id}/files/{name}",
    summary="One file of a job's results",
    response_class=FileResponse,
    responses=_refusals(404, 409, 422),
)
async def file(request: Request, job: _Done, name: FileName) -> Response:
    """As `smearcount count` writes it."""
    path = _service(request).store.folder(job.id) / RESULT / name
    if not path.is_file():
        raise HTTPException(404, f"this job has no {name}")
    return FileResponse(path, filename=name)


@_closed.get(
    "/jobs/{job_id}/folder",
    summary="The folder of a job's results, as ZIP",
    response_class=FileResponse,
    responses=_refusals(404, 409, 422),
)
async def folder(request: Request, job: _Done) -> Response:
    """What `smearcount count` writes, whole."""
    service = _service(request)
    target = service.store.incoming / f"{secrets.token_hex(16)}.zip"
    await run_in_threadpool(_zip, service.store.folder(job.id) / RESULT, target)
    return FileResponse(target, filename="result.zip", background=BackgroundTask(target.unlink))


def _zip(source: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files_of(source):
            archive.write(path, name)


# The service itself


@_closed.get("/model", summary="The model that counts", responses=_refusals(503))
async def model(request: Request) -> About:
    """Its name, thresholds and SHA-256, and the version of the program."""
    about = _service(request).fields.model
    if not about:
        raise HTTPException(503, "the model is not open yet", {"Retry-After": "1"})
    return About(**{name: about[name] for name in About.model_fields})


@_open.get("/health/live", summary="Whether the service lives")
async def live() -> Health:
    """Always, where it answers."""
    return Health(status="ok")


@_open.get("/health/ready", summary="Whether it can count", responses={503: {"model": Health, "description": "Not now."}})
async def ready(request: Request) -> Response:
    """Whether the model is open, and the service does not end."""
    is_ready = _service(request).fields.is_ready
    return JSONResponse({"status": "ok" if is_ready else "not ready"}, 200 if is_ready else 503)


@_open.get(
    "/metrics",
    summary="Metrics for Prometheus",
    dependencies=[Depends(_let_in)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_refusals(401)},
)
async def metrics(request: Request) -> Response:
    """Requests, their time, fields, jobs, queues, workers and memory."""
    content = await run_in_threadpool(_service(request).metrics.exposition)
    return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})


# Around all of them


def application(service: Service, host: str) -> ASGIApp:
    """What is served.

    Args:
        host: the name under which it is asked, as its user gave it.
    """
    app = FastAPI(title="smearcount", version=version(), description=ABOUT, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(_open)
    app.include_router(_closed)
    kinds: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        RoutingError: _on_refusal,
        RequestValidationError: _on_invalid,
        FullError: _on_full,
        UsageError: _on_wrong_use,
        OutputError: _on_unwritable,
        ClientDisconnect: _on_left,
    }
    for kind, handler in kinds.items():
        app.add_exception_handler(kind, handler)
    # Other pages in a browser of this computer reach it too; elsewhere it has a token, and names of its own.
    hosts = serving.own_names(host) if host in (serving.LOOPBACK, "localhost", "::1") else None
    return _Watched(app, service, hosts)


def _refuse(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)


async def _on_refusal(_request: Request, error: RoutingError) -> Response:
    return _refuse(error.status_code, str(error.detail), dict(error.headers or {}))


async def _on_invalid(_request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    return _refuse(422, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")


async def _on_full(_request: Request, error: FullError) -> Response:
    return _refuse(429, str(error), {"Retry-After": str(error.retry_after_s)})


async def _on_wrong_use(_request: Request, error: UsageError) -> Response:
    return _refuse(422, str(error))


async def _on_unwritable(request: Request, _error: OutputError) -> Response:
    # Its text names folders of this computer.
    _service(request).log.note("nothing can be written", level="error")
    return _refuse(503, "nothing can be written here at present; try again later", {"Retry-After": "30"})


async def _on_left(_request: Request, _error: ClientDisconnect) -> Response:
    return Response(status_code=_LEFT)


class _Watched:
    """Answers with headers that are safe in a browser, and notes each request in the log and the metrics."""

    def __init__(self, app: ASGIApp, service: Service, hosts: set[str] | None) -> None:
        self._app, self._service, self._hosts = app, service, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status, name = time.monotonic(), 500, secrets.token_hex(8)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({**_HEADERS, "X-Request-ID": name})
            await send(message)

        refusal = None if self._hosts is None else serving.stranger(Headers(scope=scope), self._hosts)
        answer = self._app if refusal is None else _refuse(*refusal)
        failure = ""
        try:
            await answer(scope, receive, watched)
        # The text of an error may hold names of files; its kind and place do not.
        except Exception as error:
            failure = _place(error)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.monotonic() - began
            self._service.metrics.answered(scope["method"] if route != "none" else "none", route, status, seconds)
            reason = {"error": failure} if failure else {}
            if route not in _ASKED_OFTEN:
                level = "error" if status >= 500 else "info"
                self._service.log.note(
                    "request", level=level, id=name, route=route, status=status, ms=round(1000 * seconds, 1), **reason
                )


def _place(error: Exception) -> str:
    """What kind of error it is, and the line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"
