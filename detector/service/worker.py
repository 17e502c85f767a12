"""A process that counts for the service: requests in on standard input, a line each, and what becomes of them out.

A picture that crashes a codec, or takes all memory, ends this process and not the service, which starts another one.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any


def main() -> None:
    """Serve the process that started this one, and end with it."""
    # Whatever a library prints must not get between the messages.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(message: Mapping[str, Any]) -> None:
        with lock:
            stream.write(json.dumps(message) + "\n")
            stream.flush()

    lines: SimpleQueue[str] = SimpleQueue()
    # From the start on: opening a model takes a while, and nobody may hold a folder that the next service needs.
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    settings = json.loads(lines.get())
    if settings["nice"] and hasattr(os, "nice"):
        os.nice(settings["nice"])
    # Read when NumPy is imported. No matrices are multiplied here, and OpenBLAS's threads wait for some in a loop.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from detector.service import counting

    opened = counting.opened(settings, say)
    if opened is None:
        return
    worker, slots = opened
    with ThreadPoolExecutor(slots) as pool:
        while True:
            pool.submit(worker.answer, json.loads(lines.get()))


def _listen(lines: SimpleQueue[str]) -> None:
    """Hand on what is asked, until nobody is there to ask: what is unfinished is counted by the next service."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
