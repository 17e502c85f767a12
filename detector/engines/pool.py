"""Several things worked on at a time: with results in their order, or handed on from one to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

import cv2

from detector import process
from detector.vision.model import processors

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_EVERY_S = 0.2


@contextmanager
def handed_on(taking: Callable[[Iterator[Item]], None]) -> Iterator[Callable[[Item], None]]:
    """Gives a function that hands things on, one after the other, to what takes them in a thread of its own meanwhile.

    At the end of the block it is waited for. Where the block fails, what takes them fails by the same exception.

    Raises:
        Exception: whatever `taking` raises, by the function or at the end of the block.
    """
    queue: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def handed() -> Iterator[Item]:
        while True:
            kind, thing = queue.get()
            if kind == "failed":
                raise thing
            if kind == "ended":
                return
            yield thing

    pool = ThreadPoolExecutor(1)
    try:
        taken = pool.submit(taking, handed())

        def hand(thing: Item) -> None:
            if taken.done():
                taken.result()
            queue.put(("next", thing))

        yield hand
        queue.put(("ended", None))
        taken.result()
    except BaseException as error:
        queue.put(("failed", error))
        raise
    finally:
        pool.shutdown()


def workers_for(threads: int | None = None) -> int:
    """Fields to work on at a time, where a user asked for `threads` or left it open.

    One more than there are processors: while one waits for the interpreter, another computes.
    """
    return threads or processors() + 1


def in_order(work: Callable[[Item], Result], todo: Iterable[Item], workers: int) -> Generator[Result]:
    """What `work` makes of each, in their order, while `workers` of them are worked on; at most twice as many are in memory.

    OpenCV works on one thread meanwhile: a second one for parts of a picture gains nothing beside them, and waits for the
    next picture in a loop, which took 2.4 ms of a processor a field.

    Raises:
        KeyboardInterrupt: a signal waits (`process.answering`); no more of them is begun.
    """
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        # A few more than the workers, so that none waits while a result is written down.
        for item in todo:
            pending.append(pool.submit(work, item))
            if len(pending) >= 2 * workers:
                yield _awaited(pending.popleft())
        while pending:
            yield _awaited(pending.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _awaited(future: Future[Result]) -> Result:
    while not future.done():
        process.check()
        wait([future], _LOOK_EVERY_S)
    process.check()
    return future.result()
