"""From a request's body to pictures on disk: bounded in bytes, number and time, whatever is sent."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from detector.errors import writing
from detector.service.jobs import Intake
from detector.texts import MEBIBYTE

FORM = "multipart/form-data"
_LONGEST_NAME = 255
_MOST_OTHER = 16
_HEAD_BYTES = 64 * 1024
"""Room for a form's own lines beside the pictures."""


@dataclass(frozen=True)
class Limits:
    """What a request may hold."""

    most_bytes: int
    most_fields: int
    time_s: float
    """In which its body must have come."""


def kind_of(request: Request) -> str:
    """The media type of its body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def take_picture(request: Request, intake: Intake, name: str, smear: str, limits: Limits) -> None:
    """Write a body that is one picture.

    Raises:
        HTTPException: it is no picture's type, is empty, too large or too slow. OutputError: it cannot be written.
    """
    if kind_of(request) != "application/octet-stream" and not kind_of(request).startswith("image/"):
        raise HTTPException(415, "the body must be one picture, of type image/jpeg, another image/ or application/octet-stream")
    path = intake.place(name, smear)
    size = 0
    async with _bounded(request, limits) as bounded:
        with writing(intake.folder, "free space"), path.open("wb") as file:
            async for part in bounded.stream():
                size += len(part)
                file.write(part)
    if not size:
        raise HTTPException(422, "the body is empty; send the bytes of a picture")


async def take_form(request: Request, intake: Intake, smear: str, limits: Limits) -> None:
    """Write each file of a multipart form.

    Raises:
        HTTPException: it is no form, holds no picture or too many, or is too large or too slow. OutputError: it cannot be written.
            UsageError: two pictures have one name.
    """
    if kind_of(request) != FORM:
        raise HTTPException(415, f"the body must be a {FORM} whose files are pictures, as curl -F field=@a.jpg sends")
    async with _bounded(request, limits) as bounded, bounded.form(max_files=limits.most_fields, max_fields=_MOST_OTHER) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        others = len(form.multi_items()) - len(files)
        if others or not files:
            what = "a part without a filename" if others else "no picture"
            raise HTTPException(
                422, f"the form holds {what}; each part must be a file with its name, as curl -F field=@a.jpg sends"
            )
        for number, file in enumerate(files, 1):
            name = file.filename or ""
            if not 0 < len(name) <= _LONGEST_NAME:
                raise HTTPException(422, f"picture {number} needs a name of 1 to {_LONGEST_NAME} letters")
            if not file.size:
                raise HTTPException(422, f"picture {number} is empty (0 bytes)")
            await run_in_threadpool(_copy, file, intake.place(name, smear))


def _copy(file: UploadFile, target: Path) -> None:
    with writing(target.parent, "free space"), target.open("wb") as written:
        shutil.copyfileobj(file.file, written, MEBIBYTE)


@asynccontextmanager
async def _bounded(request: Request, limits: Limits) -> AsyncIterator[Request]:
    """The request with a body that ends in an exception where it is too large or comes too slowly."""
    most = limits.most_bytes + _HEAD_BYTES
    too_large = HTTPException(413, f"a request may hold {limits.most_bytes // MEBIBYTE} MiB; send less at a time")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise too_large
    came = 0

    async def receive() -> Message:
        nonlocal came
        message = await request.receive()
        came += len(message.get("body", b""))
        if came > most:
            raise too_large
        return message

    try:
        async with asyncio.timeout(limits.time_s):
            yield Request(request.scope, receive)
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {limits.time_s:g} s") from None
