"""Counting for the service, in the process of a worker: by the same functions as `detector.count`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from PIL import Image

from detector.engines import job, local
from detector.engines.inputs import FieldInput, Inputs
from detector.engines.local import Work
from detector.engines.options import CountOptions
from detector.engines.pool import workers_for
from detector.errors import ImageError, OutputError, SmearcountError
from detector.output import coco, results, tables
from detector.output.files import write_text
from detector.output.journal import OtherCountError
from detector.service.jobs import DOCUMENT, PICTURES, RESULT, CountRequest, reason_of
from detector.shipped import version
from detector.vision import images
from detector.vision.model import Model, processors
from detector.vision.slides import formats

if TYPE_CHECKING:
    from detector.counting.result import FieldResult
    from detector.output.outcome import Outcome

_TELL_EVERY_S = 0.2


class Worker:
    """Counts what it is asked for, several requests at a time."""

    def __init__(self, model: Model, settings: Mapping[str, Any], say: Callable[[Mapping[str, Any]], None]) -> None:
        self._model, self._say = model, say
        self._threads: int = settings["threads"]
        self._backend: str = settings["backend"]
        self._most_pixels: int = settings["most_pixels"]

    def answer(self, asked: Mapping[str, Any]) -> None:
        """Work one request through, and say what became of it; raises nothing."""
        began = time.monotonic()
        try:
            end = self._end(asked)
        except OutputError as error:
            end = {"end": "unwritable", "reason": reason_of(error)}
        except SmearcountError as error:
            end = {"end": "refused", "reason": reason_of(error)}
        # Whatever a picture does must not end the others' requests.
        except Exception as error:
            end = {"end": "failed", "reason": local.not_searched(error) if images.out_of_memory(error) else reason_of(error)}
        self._say({"id": asked["id"], "seconds": round(time.monotonic() - began, 3), **end})

    def _end(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        folder = Path(asked["folder"])
        request = CountRequest.read(folder)
        settings = asdict(request.settings)
        fields = [self._input(folder, picture.file, picture.field, picture.smear, request) for picture in request.pictures]
        options = CountOptions([], backend=self._backend, threads=self._threads, **settings)
        if asked["keep"]:
            outcome = self._kept(folder, fields, options, asked["id"])
            text = json.dumps(self._document(outcome))
            write_text(folder / DOCUMENT, text)
            text = ""
        else:
            made: list[FieldResult] = []
            outcome = self._passing(fields, options, made, asked["id"])
            cells = {"detections": json.loads("".join(coco.parts(made)))} if asked["detections"] else {}
            text = json.dumps({**self._document(outcome), **cells})
        unread = outcome.unread
        first = unread[0].reason if unread else ""
        return {"end": "done", "read": len(outcome.read), "unread": len(unread), "first_unread": first, "document": text}

    def _passing(self, fields: list[FieldInput], options: CountOptions, made: list[FieldResult], asked_id: str) -> Outcome:
        started = time.time()
        work = Work(self._model, self._threads, tile_px=options.tile_px)
        outcome = job.count_fields(fields, work, self._progress(asked_id), made.append)
        return job.completed(outcome, options, Inputs(fields, []), self._model, started)

    def _kept(self, folder: Path, fields: list[FieldInput], options: CountOptions, asked_id: str) -> Outcome:
        """Count into the job's folder, and go on with what stands there."""
        result = folder / RESULT
        try:
            return self._into(result, fields, options, asked_id)
        except OtherCountError:
            # The service was started with another model or version before.
            shutil.rmtree(result)
            return self._into(result, fields, options, asked_id)

    def _into(self, result: Path, fields: list[FieldInput], options: CountOptions, asked_id: str) -> Outcome:
        resume = (result / results.JOURNAL).exists()
        results.prepare(result, resume)
        given = CountOptions(**{**vars(options), "resume": resume})
        searched = Inputs(fields, [])
        return job.count_into(
            result,
            searched,
            given,
            self._model,
            time.time(),
            self._progress(asked_id),
            lambda remark: self._say({"remark": remark}),
        )

    def _document(self, outcome: Outcome) -> dict[str, Any]:
        """As `detector.count --json` prints it, but for the folder, with how it was made."""
        document = tables.document(outcome, Path())
        del document["out"]
        return {**document, "run": dict(outcome.run)}

    def _input(self, folder: Path, file: str, field: str, smear: str, request: CountRequest) -> FieldInput:
        path = folder / PICTURES / file
        return FieldInput(path, field, smear, request.settings.um_per_px, self._problem(path))

    def _problem(self, path: Path) -> str:
        """Why a picture is not looked at; empty where it is."""
        try:
            if formats.is_slide(path):
                with formats.open_slide(path) as slide:
                    w, h = slide.size_wh
            else:
                w, h = images.size_of(path)
        # Its reader says better what is wrong with it.
        except (ImageError, OSError):
            return ""
        if w * h <= self._most_pixels:
            return ""
        return (
            f"has {w * h / 1e6:,.0f} million pixels, and {self._most_pixels / 1e6:,.0f} million are the most that is taken here"
        )

    def _progress(self, asked_id: str) -> job.Progress:
        done, told_at = 0.0, 0.0

        def advance(more: float) -> None:
            nonlocal done, told_at
            done += more
            if time.monotonic() - told_at > _TELL_EVERY_S:
                told_at = time.monotonic()
                self._say({"id": asked_id, "done": done})

        return advance


def opened(settings: Mapping[str, Any], say: Callable[[Mapping[str, Any]], None]) -> tuple[Worker, int] | None:
    """Open the model and say so; gives what counts with it, and how many requests it takes at a time. None where that fails.

    Args:
        settings: what the lane was made with: `model`, `backend`, `threads`, `most_pixels`, and `slots`, None for its own choice.
    """
    cv2.setNumThreads(1)
    Image.MAX_IMAGE_PIXELS = min(Image.MAX_IMAGE_PIXELS or 0, settings["most_pixels"] // 2)
    threads = workers_for(settings["threads"])
    try:
        path = settings["model"]
        model = Model.load(None if path is None else Path(path), settings["backend"], processors())
    except SmearcountError as error:
        say({"failed": str(error)})
        return None
    slots = settings["slots"] or max(2, threads)
    about = {**results.describe_model(model), "backend": model.network.backend, "smearcount": version()}
    say({"ready": about, "slots": slots})
    return Worker(model, {**settings, "threads": threads}, say), slots
