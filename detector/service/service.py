"""The service: what is done with requests once they are in, and the thread on which it is served."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from detector.errors import MissingExtraError, ModelError, OutputError, UsageError
from detector.output import serving
from detector.service.jobs import DOCUMENT, Intake, Job, JobStore, Settings, new_id
from detector.service.lanes import End, Lane, LanePlan, QueuedRequest
from detector.texts import MEBIBYTE

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_MOST_CONNECTIONS = 256
_DRAIN_S = 20
_JOBS_NICE = 5
"""By how much jobs give way to requests on whose answer somebody waits."""
_SPARE_BYTES = 512 * MEBIBYTE
"""Free space below which nothing more is taken in."""
_WAIT_FOR_MODEL_S = 600.0


@dataclass(frozen=True)
class ServiceOptions:
    """The options of `detector.serve` by their names."""

    address: str = "8000"
    state: Path = Path("runs/serve")
    model: Path | None = None
    backend: str = "auto"
    threads: int | None = None
    token_file: Path | None = None
    most_mb: int = 512
    most_fields: int = 1000
    most_megapixels: float = 178
    time_s: float = 60
    queue: int = 64
    keep_hours: float = 72


class Service(serving.Listener):
    """Counts what is asked for over HTTP; as a context manager it is closed however the block ends."""

    def __init__(self, options: ServiceOptions, token: str, log: TextIO) -> None:
        """Take the folder and the address, and start a worker; nothing is served yet.

        Args:
            token: what clients must know; empty lets everybody in who can reach the address.
            log: where events are written.

        Raises:
            MissingExtraError: the service's packages are not installed. UsageError: the address needs a token, or is none.
            OutputError: the folder or the address cannot be taken.
        """
        try:
            from detector.service import app, watch
        except ImportError as error:
            raise MissingExtraError(str(error.name), "service", "serve") from None
        self.options, self.token = options, token
        self.log = watch.EventLog(log)
        place = serving.address(options.address, "--address", anywhere=True)
        self.store = JobStore(options.state)
        # Forms that come in are written there and not to a small /tmp in memory.
        self._former_tempdir, tempfile.tempdir = tempfile.tempdir, str(self.store.incoming)
        self.fields, self.jobs = (Lane(plan, self.log.note) for plan in self._plans())
        self.fields.start()
        self.metrics = watch.Metrics((self.fields, self.jobs))
        self._routes = app
        try:
            super().__init__(place, "serve", _MOST_CONNECTIONS, "--address", anywhere=True, drain_s=_DRAIN_S)
            if not self.is_local and not token:
                self._socket.close()
                raise UsageError(
                    f"--address {options.address}: others can reach it, so a token is needed: set SMEARCOUNT_TOKEN, or give --token-file"
                )
        except BaseException:
            self.fields.close(0)
            self._let_go()
            raise
        # A request may come, wait behind others, and be worked on, for as long as each may take.
        self.idle_s = (options.queue + 2) * options.time_s
        self.warning = "" if self.is_local else (
            f"others can reach {self.bound}:{self.port}, and nothing is encrypted: put a proxy with TLS before it"
        )  # fmt: skip
        """What must be said of who can reach it; empty where only users of this computer can."""

    def __enter__(self) -> Self:
        super().__enter__()
        unfinished = self.store.unfinished()
        for job in unfinished:
            self._work(job)
        self.log.note("started", port=self.port, local=self.is_local, token=bool(self.token), jobs_unfinished=len(unfinished))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.log.note("ending", jobs_unfinished=len(self.store.unfinished()))
        # A job goes on at the next start; who waits for an answer gets it.
        self.jobs.close(0)
        self.fields.close(_DRAIN_S)
        super().__exit__(kind, error, trace)
        self._let_go()
        self.log.note("ended")

    def _let_go(self) -> None:
        tempfile.tempdir = self._former_tempdir
        self.store.close()

    def wait_for_model(self, is_asked_to_end: Callable[[], bool]) -> None:
        """Return when requests can be counted, or when asked to end.

        Raises:
            ModelError: the model cannot be opened.
        """
        until = time.monotonic() + _WAIT_FOR_MODEL_S
        while not self.fields.is_ready and not is_asked_to_end():
            if self.fields.problem:
                raise ModelError(self.fields.problem)
            if time.monotonic() > until:
                raise ModelError("the worker does not come up; count a field with detector.count to see why")
            time.sleep(0.01)

    def sweep(self) -> None:
        """Remove jobs that were finished long ago."""
        try:
            removed = self.store.sweep(self.options.keep_hours * 3600)
        except OutputError:
            self.log.note("old jobs not removed", level="error")
            return
        if removed:
            self.log.note("old jobs removed", jobs=removed)

    def check_space(self) -> None:
        """Refuse what could not be written.

        Raises:
            OutputError: there is too little free space.
        """
        if shutil.disk_usage(self.store.incoming).free < _SPARE_BYTES:
            raise OutputError("too little free space to take anything in; try again later")

    async def count(self, intake: Intake, settings: Settings, detections: bool, left: asyncio.Future[Any]) -> End:
        """What comes of pictures on whose counts somebody waits; at the end `end` is also `left`, where they waited no longer.

        Args:
            left: done when the client is gone.
        """
        intake.describe(settings, durable=False)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[End] = loop.create_future()

        def set_end(end: End) -> None:
            if not ended.done():
                ended.set_result(end)

        def on_end(end: End) -> None:
            loop.call_soon_threadsafe(set_end, end)

        item = QueuedRequest(intake.folder.name, intake.folder, keep=False, on_end=on_end, detections=detections)
        self.fields.put(item)
        await asyncio.wait({ended, left}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            self.fields.cancel(item.id)
            return {"end": "left"}
        end = ended.result()
        self.metrics.counted(end)
        return end

    def submit(self, intake: Intake, settings: Settings, key: str | None) -> tuple[Job, bool]:
        """Accept a job; it is on disk when this returns. Gives whether it is new: a client's key names one job.

        Raises:
            OutputError: it cannot be written.
        """
        job, is_new = self.store.accept(intake, settings, new_id(key))
        if is_new:
            self._work(job)
        return job, is_new

    def cancel(self, job: Job) -> bool:
        """End a job; gives False where it was finished before.

        Raises:
            OutputError: that cannot be written.
        """
        is_cancelled = self.store.finish(job, "cancelled")
        self.jobs.cancel(job.id)
        if is_cancelled:
            self._tell_end(job)
        return is_cancelled

    def remove(self, job: Job) -> None:
        """End a job if need be, and remove all of it.

        Raises:
            OutputError: it cannot be removed.
        """
        self.cancel(job)
        self.store.remove(job.id)
        self.log.note("job removed", id=job.id)

    def document(self, job: Job) -> bytes:
        """What a job counted, as JSON."""
        return (self.store.folder(job.id) / DOCUMENT).read_bytes()

    def _work(self, job: Job) -> None:
        def on_progress(done: float) -> None:
            job.fields_done = done
            if not job.is_finished:
                job.state = "running"

        def on_end(end: End) -> None:
            try:
                self._finish(job, end)
            except OutputError:
                self.log.note("result not written", level="error", id=job.id)
                time.sleep(1)
                self.jobs.put(item)

        item = QueuedRequest(job.id, self.store.folder(job.id), keep=True, on_end=on_end, on_progress=on_progress)
        self.log.note("job accepted", id=job.id, fields=job.fields)
        self.jobs.put(item)

    def _finish(self, job: Job, end: End) -> None:
        if end["end"] == "cancelled":
            return
        is_done = end["end"] == "done"
        if self.store.finish(job, "done" if is_done else "failed", str(end.get("reason", "")), int(end.get("unread", 0))):
            self.metrics.counted(end)
            self._tell_end(job)

    def _tell_end(self, job: Job) -> None:
        self.metrics.job_ended(job.state)
        seconds = round((job.finished or job.submitted) - job.submitted, 3)
        level = "error" if job.state == "failed" else "info"
        self.log.note("job ended", level=level, id=job.id, state=job.state, fields=job.fields, unread=job.unread, seconds=seconds)

    def _app(self, host: str) -> ASGIApp:
        return self._routes.application(self, host)

    def _plans(self) -> tuple[LanePlan, LanePlan]:
        options = self.options
        own: Mapping[str, Any] = {
            "model": None if options.model is None else str(options.model),
            "backend": options.backend,
            "threads": options.threads,
            "most_pixels": int(options.most_megapixels * 1e6),
        }
        held = (self.store.owner.fileno(),) if os.name == "posix" else ()
        fields = LanePlan("fields", options.queue, options.time_s, True, {**own, "slots": None, "nice": 0}, held)
        jobs = LanePlan("jobs", options.queue, options.time_s, False, {**own, "slots": 1, "nice": _JOBS_NICE}, held)
        return fields, jobs


def token_of(file: Path | None, environment: Mapping[str, str]) -> str:
    """The token that clients must know, from a file or else from the environment; empty where neither gives one.

    Raises:
        UsageError: the file cannot be read, or the token is short.
    """
    if file is None:
        token = environment.get("SMEARCOUNT_TOKEN", "").strip()
        where = "SMEARCOUNT_TOKEN"
        if not token:
            return ""
    else:
        where = f"--token-file {file}"
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"{where}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{where}: is no token; 16 or more letters and digits are, as `openssl rand -hex 24` makes them")
    return token
