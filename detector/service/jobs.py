"""Jobs on disk: what is accepted stands there before anybody is told so, and is finished once, whatever ends this process.

A folder in `jobs` is a job that was accepted: it is moved there in one step, when all of it is durable. It is finished when its
`outcome.json` stands in it. Names of pictures stand in `request.json` and in results only; on disk a picture has a number.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from detector.errors import OutputError, SmearcountError, UsageError, writing
from detector.output.files import lock, write_text

State = Literal["queued", "running", "done", "failed", "cancelled"]

REQUEST, OUTCOME, DOCUMENT = "request.json", "outcome.json", "document.json"
PICTURES, RESULT = "pictures", "result"
_ID = re.compile(r"[0-9a-f]{32}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_OWNER_WAIT_S = 30.0
"""Time in which the workers of a service that was killed see that it is gone."""


@dataclass(frozen=True)
class Settings:
    """What pictures are counted with; None where it was not given."""

    um_per_px: float | None = None
    rbc_per_ul: float | None = None
    ul_factor: float | None = None


@dataclass(frozen=True)
class RequestPicture:
    """One picture of a request."""

    field: str
    smear: str
    file: str
    """Its name below `pictures`: a number, with the ending that the client's name has."""


@dataclass(frozen=True)
class CountRequest:
    """What is to be counted, as it stands in `request.json`."""

    submitted: float
    """Seconds since the epoch."""
    settings: Settings
    pictures: tuple[RequestPicture, ...]

    @classmethod
    def read(cls, folder: Path) -> CountRequest:
        """That of a job's folder.

        Raises:
            OSError, ValueError, KeyError, TypeError: it cannot be read, or is none.
        """
        content = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        pictures = tuple(RequestPicture(**picture) for picture in content["pictures"])
        return cls(float(content["submitted"]), Settings(**content["settings"]), pictures)


@dataclass
class Job:
    """What is known of an accepted job."""

    id: str
    submitted: float
    fields: int
    state: State = "queued"
    fields_done: float = 0.0
    unread: int = 0
    reason: str = ""
    """Why it failed; else empty."""
    finished: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will become of it."""
        return self.finished is not None


@dataclass
class Intake:
    """A folder into which the pictures of one request come, before it is known what becomes of them."""

    folder: Path
    pictures: list[RequestPicture] = field(default_factory=list)
    _fields: set[str] = field(default_factory=set)

    def place(self, name: str, smear: str) -> Path:
        """Where the next picture is to be written.

        Args:
            name: of the picture; the part before its last slash, if any, is its smear.
            smear: that of a name without a slash.

        Raises:
            UsageError: the request has a picture of this name already.
        """
        if name in self._fields:
            raise UsageError(f"picture {len(self.pictures) + 1} has the name of another one; give each its own")
        self._fields.add(name)
        suffix = Path(name).suffix.lower()
        file = f"{len(self.pictures) + 1:06d}{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        self.pictures.append(RequestPicture(name, name.rpartition("/")[0] or smear, file))
        return self.folder / PICTURES / file

    def describe(self, settings: Settings, durable: bool) -> CountRequest:
        """Write down what is to be counted.

        Raises:
            OutputError: it cannot be written.
        """
        request = CountRequest(
            time.time(), settings, tuple(sorted(self.pictures, key=lambda picture: (picture.smear, picture.field)))
        )
        text = json.dumps(asdict(request))
        with writing(self.folder, "free space"):
            if durable:
                for picture in request.pictures:
                    _make_durable(self.folder / PICTURES / picture.file)
                write_text(self.folder / REQUEST, text)
                _make_durable(self.folder / PICTURES)
                _make_durable(self.folder)
            else:
                (self.folder / REQUEST).write_text(text, encoding="utf-8")
        return request

    def drop(self) -> None:
        """Remove what came, unless a job was made of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class JobStore:
    """The jobs of one folder, which one service at a time has; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Take a folder and find the jobs in it.

        Raises:
            OutputError: it cannot be written, or another service has it.
        """
        self._jobs_folder, self._incoming = folder / "jobs", folder / "incoming"
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        with writing(folder, "choose another --state"):
            self._jobs_folder.mkdir(parents=True, exist_ok=True)
            self.owner = (folder / "owner.lock").open("ab")
        # Workers hold it too, so that none of a service that was killed writes beside those of the next.
        until = time.monotonic() + _OWNER_WAIT_S
        while not lock(self.owner):
            if time.monotonic() > until:
                self.owner.close()
                raise OutputError(f"{folder}: another service has it; end that one, or choose another --state")
            time.sleep(0.1)
        with writing(folder, "choose another --state"):
            shutil.rmtree(self._incoming, ignore_errors=True)
            self._incoming.mkdir()
        for place in self._jobs_folder.iterdir():
            if _ID.fullmatch(place.name):
                self._jobs[place.name] = _restored(place)

    def close(self) -> None:
        """Let another service have the folder."""
        self.owner.close()

    @property
    def incoming(self) -> Path:
        """Folder of what is on its way in; emptied at each start."""
        return self._incoming

    def intake(self) -> Intake:
        """A new place for the pictures of a request.

        Raises:
            OutputError: it cannot be written.
        """
        folder = self._incoming / secrets.token_hex(16)
        with writing(folder, "free space"):
            (folder / PICTURES).mkdir(parents=True)
        return Intake(folder)

    def accept(self, intake: Intake, settings: Settings, job_id: str) -> tuple[Job, bool]:
        """Make a job of what came, durable when this returns; gives the job, and whether it is new.

        Raises:
            OutputError: it cannot be written.
        """
        request = intake.describe(settings, durable=True)
        with self._lock:
            if job_id in self._jobs:
                return self._jobs[job_id], False
            with writing(self._jobs_folder, "free space"):
                intake.folder.rename(self.folder(job_id))
                _make_durable(self._jobs_folder)
            job = self._jobs[job_id] = Job(job_id, request.submitted, len(request.pictures))
        return job, True

    def folder(self, job_id: str) -> Path:
        """That of a job."""
        return self._jobs_folder / job_id

    def get(self, job_id: str) -> Job | None:
        """A job, or None where there is none of that name."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """All jobs, the oldest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: (job.submitted, job.id))

    def unfinished(self) -> list[Job]:
        """Jobs of which something is still to become, the oldest first."""
        return [job for job in self.all() if not job.is_finished]

    def finish(self, job: Job, state: State, reason: str = "", unread: int = 0) -> bool:
        """Write down what became of a job, and remove its pictures; gives False where it was finished or removed before.

        Raises:
            OutputError: it cannot be written.
        """
        with self._lock:
            if job.is_finished or job.id not in self._jobs:
                return False
            finished = time.time()
            folder = self.folder(job.id)
            content = {"state": state, "reason": reason, "unread": unread, "finished": finished}
            with writing(folder, "free space"):
                write_text(folder / OUTCOME, json.dumps(content))
            job.reason, job.unread = reason, unread
            job.fields_done = job.fields if state == "done" else job.fields_done
            job.finished, job.state = finished, state
        shutil.rmtree(folder / PICTURES, ignore_errors=True)
        return True

    def remove(self, job_id: str) -> None:
        """Remove a job with all that belongs to it."""
        with self._lock:
            if self._jobs.pop(job_id, None) is None:
                return
            # Moved first: half a job must not be taken for an accepted one.
            gone = self._incoming / f"{job_id}.{secrets.token_hex(4)}"
            with writing(self.folder(job_id), "make the folder writable"):
                self.folder(job_id).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self, keep_s: float) -> int:
        """Remove jobs that were finished so long ago, and give their number."""
        due = [job for job in self.all() if job.finished is not None and time.time() - job.finished > keep_s]
        for job in due:
            self.remove(job.id)
        return len(due)


def new_id(key: str | None = None) -> str:
    """A job's name: of a client's own key always the same, else a random one."""
    return secrets.token_hex(16) if key is None else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _restored(folder: Path) -> Job:
    """The job in a folder, as the service left it that had it before."""
    try:
        request = CountRequest.read(folder)
        job = Job(folder.name, request.submitted, len(request.pictures))
        if not (folder / OUTCOME).exists():
            return job
        outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
        job.state, job.reason, job.unread = outcome["state"], str(outcome["reason"]), int(outcome["unread"])
        job.finished = float(outcome["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        return Job(folder.name, 0.0, 0, "failed", reason="its files on disk are damaged", finished=time.time())
    job.fields_done = job.fields if job.state == "done" else 0.0
    # It was killed between the two.
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    return job


def _make_durable(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_of(result: Path) -> Iterator[tuple[str, Path]]:
    """Files of a folder of results by their names in it, sorted."""
    for path in sorted(result.rglob("*")):
        if path.is_file():
            yield path.relative_to(result).as_posix(), path


def reason_of(error: BaseException) -> str:
    """What of an error may be told: its text where it is meant for users, else only its kind, for the text may hold names."""
    return str(error) if isinstance(error, SmearcountError) else type(error).__name__
